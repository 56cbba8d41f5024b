"""`make read`: read pictures of one's own with the packaged models, one picture or a folder. Not a DVC stage."""

import json as documents
import sys
from pathlib import Path

from pipeline.commands import marking
from pipeline.commands.folder import read_folder
from pipeline.commands.packaged import Answered, PackagedModels
from pipeline.core.decoding import PictureError, decode_grey, printable, read_file
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.project import command
from pipeline.records.answer import PictureAnswer
from pipeline.records.release import RELEASE
from pipeline.runtime import text
from pipeline.runtime.answers import reads_digits
from pipeline.runtime.pages import Page
from pipeline.runtime.releases import models_folder


def main(
    image: str = "",
    artifacts: str = "",
    invert: bool = False,
    json: bool = False,
    *,
    task: str = "",
    draw: str = "",
    images: str = "",
    out: str = "",
    again: bool = False,
) -> str | None:
    """Read one picture and print what was read, or every picture of a folder into a table.

    A picture of the size of a model is read by that model as it is. In any other, the lines of writing are found and
    read by the model of the task `lines`.

    Args:
        image: the file of one picture.
        artifacts: the packaged models, a folder for each task; "" for those of `READER_ARTIFACTS`, of artifacts/ or of
            release/, the first that has any.
        invert: invert dark and light first, for dark ink on a light background in a picture of a model's size.
        json: print the answer as the service gives it.
        task: whose model reads every picture; "" where the size of a picture decides.
        draw: a folder for the pictures with boxes and readings drawn in; "" for none.
        images: a folder of pictures; `out` is the table, with a row for each.
        out: a file that ends in .csv or .parquet.
        again: read every picture again that an earlier run has read into `out`.
    """
    _expect_arguments(image, images, out, json, again)
    models = PackagedModels.of(_models(artifacts), task)
    drawings = Path(draw) if draw else None
    if images:
        return read_folder(Path(images), Path(out), models, invert=invert, drawings=drawings, again=again)
    data, answered = _read_one(Path(image), models, invert)
    if drawings is not None:
        _draw(Path(image), data, answered, drawings)
    answer = PictureAnswer.model_validate(answered.answer)
    print(documents.dumps(answer.as_json(), indent=2) if json else text.format_picture(image, answer))
    return None


def _models(named: str) -> Path:
    if named:
        return Path(named)
    folder = models_folder(Path())
    if (folder / RELEASE).exists():
        print(f"read: with the released models in {folder}/, since none are packaged here", file=sys.stderr)
    return folder


def _expect_arguments(image: str, images: str, out: str, json: bool, again: bool) -> None:
    if images and image:
        raise ConfigurationError("IMAGE and IMAGES found, expected one of them")
    if not images and not image:
        raise ConfigurationError(
            "IMAGE: no picture named; expected make read IMAGE=path/to/picture.png, or IMAGES=folder OUT=readings.csv"
        )
    if images and not out:
        raise ConfigurationError("OUT: no file named; expected make read IMAGES=folder OUT=readings.csv or .parquet")
    if not images and (out or again):
        raise ConfigurationError(f"{'OUT' if out else 'AGAIN'}: for a folder alone, expected IMAGES=folder with it")
    if images and json:
        raise ConfigurationError("JSON: for one picture alone; the column `readings` of OUT has the lines as JSON")


def _read_one(path: Path, models: PackagedModels, invert: bool) -> tuple[bytes, Answered]:
    """The bytes of one picture, and its answer.

    Raises:
        ConfigurationError: `invert` where it means nothing.
        DataError: the file is missing, is a folder, a FIFO or a device, is not a valid picture, or no model takes its
            size.
    """
    name = printable(path)
    try:
        data = read_file(path)
        opened = models.open(data)
        if invert and isinstance(opened, Page):
            raise ConfigurationError(
                f"--invert: {name} has the size of no model; there the polarity is found out, leave it out"
            )
        if invert and not isinstance(opened, Page) and not reads_digits(models.manifests[opened[0]]):
            raise ConfigurationError(
                f"--invert: {name} has the size of {opened[0]}, whose colours carry meaning; "
                "expected a picture of digits"
            )
        return data, models.answer(data, invert=invert)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{name}: no such file, expected a PNG or JPEG picture") from None
    except PictureError as error:
        raise DataError(f"{name}: {error}") from None
    except ValueError as error:
        # A name with a NUL in it.
        if "null" not in str(error):
            raise
        raise DataError(f"{name}: not a name of a file, expected a PNG or JPEG picture") from None


def _draw(path: Path, data: bytes, answered: Answered, drawings: Path) -> None:
    opened, answer = answered.opened, PictureAnswer.model_validate(answered.answer)
    pixels = decode_grey(data).pixels if isinstance(opened, Page) else opened[1].pixels
    lines = [line.as_json() for line in answer.lines]
    marking.draw(pixels, lines, f"{printable(path.name)}", drawings / f"{path.name}.png")


if __name__ == "__main__":
    command.run(main)
