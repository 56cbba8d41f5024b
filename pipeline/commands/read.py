"""`make read`: read a picture of one's own with the packaged model that takes its size. Not a DVC stage."""

import json as documents
from pathlib import Path

from pipeline.core.errors import ConfigurationError
from pipeline.project import command
from pipeline.runtime import text
from pipeline.runtime.answers import answer, reads_digits
from pipeline.runtime.reader import Reader, load_manifests


def main(image: str, artifacts: Path = Path("artifacts"), invert: bool = False, json: bool = False) -> None:
    """Read one PNG or JPEG; nothing is resized.

    Args:
        image: the picture's file.
        artifacts: the packaged models, a folder for each task.
        invert: invert dark and light first, for dark ink on a light background.
        json: print the answer as the service gives it.
    """
    if not image:
        raise ConfigurationError("IMAGE: no picture named; expected make read IMAGE=path/to/picture.png")
    manifests = load_manifests(artifacts)
    task, picture = text.load_picture(Path(image), manifests)
    if reads_digits(manifests[task]):
        picture = text.with_polarity(picture, invert)
    elif invert:
        raise ConfigurationError(
            f"--invert: {image} has the size of {task}, whose colours carry meaning; expected a picture of digits"
        )
    reader = Reader.load(artifacts / task)
    found = answer(reader.manifest, reader.read(picture.pixels[None]), picture.notes)
    print(documents.dumps(found.as_json(), indent=2) if json else text.format_answer(image, found))


if __name__ == "__main__":
    command.run(main)
