"""`make read`: read a picture of one's own with the packaged model whose pictures have its size. No DVC stage."""

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
        invert: exchange dark and light first, for dark ink on a light ground.
        json: print the answer as the service gives it.
    """
    if not image:
        raise ConfigurationError("IMAGE: no picture named; expected make read IMAGE=path/to/picture.png")
    manifests = load_manifests(artifacts)
    task, picture = text.fitting(Path(image), manifests)
    if reads_digits(manifests[task]):
        picture = text.with_polarity(picture, invert)
    elif invert:
        raise ConfigurationError(
            f"--invert: {image} has the size of {task}, whose colours mean something; expected digits"
        )
    reader = Reader.load(artifacts / task)
    said = answer(reader.manifest, reader.read(picture.pixels[None]), picture.notes)
    print(documents.dumps(said, indent=2) if json else text.told(image, said))


if __name__ == "__main__":
    command.run(main)
