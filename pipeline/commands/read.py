"""`make read`: read your own pictures with the packaged models, one picture or a folder. Not a DVC stage."""

import json as documents
import os
import sys
from pathlib import Path

from pipeline.core.decoding import PictureError, decode_grey
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import printable, read_file
from pipeline.project import command
from pipeline.project.ray_address import ADDRESS_VARIABLE
from pipeline.reading import bulk, marking, sources, storage, table
from pipeline.reading.folder import read_folder
from pipeline.reading.packaged import Answered, PackagedModels
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
    on: str = "",
    workers: int = 0,
) -> str | None:
    """Read one picture and print what was read, or every picture of a folder or of Parquet files into a table.

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
        images: a folder of pictures, a Parquet file or a folder of them, or an address such as s3://bucket/prefix;
            `out` has a row for each.
        out: a file that ends in .csv or .parquet for the pictures of a folder; or the folder of a dataset, which may be
            an address.
        again: read every picture again that an earlier run has read into `out`.
        on: `ray` reads on the Ray cluster at RAY_ADDRESS, or a local one; "" on this machine. For a dataset.
        workers: processes, or actors on Ray, each with a core; 0 for as many as this machine has cores. For a dataset.
    """
    _expect_arguments(image, images, out, json, again, on, workers)
    if images and _is_dataset(images, out, on, workers):
        _expect_for_dataset(images, out, on, workers, draw)
        run = _on_ray() if on else None
        return bulk.read_dataset(
            images, out, _models(artifacts), task=task, invert=invert, again=again, workers=workers, run=run
        )
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


def _is_dataset(images: str, out: str, on: str, workers: int) -> bool:
    """Whether the readings become a dataset, which takes any source, and not one table of a folder."""
    if storage.is_address(images) or storage.is_address(out) or on or workers:
        return True
    return out.endswith("/") or (bool(out) and Path(out).suffix == "") or sources.is_parquet(Path(images))


def _expect_for_dataset(images: str, out: str, on: str, workers: int, draw: str) -> None:
    if on not in ("", "ray"):
        raise ConfigurationError(f"ON: {on} found, expected ray, or nothing for the cores of this machine")
    if workers < 0:
        raise ConfigurationError(f"WORKERS: {workers} found, expected a number above 0")
    if draw:
        raise ConfigurationError("DRAW: for the pictures of a folder that become a .csv or .parquet file")
    if Path(out).suffix in table.FORMATS:
        needed = "ON and WORKERS need" if on or workers else f"{images} needs"
        raise ConfigurationError(f"OUT: {out} found, but {needed} the folder of a dataset; expected OUT=readings, say")
    for name, place in (("IMAGES", images), ("OUT", out)):
        if on and os.environ.get(ADDRESS_VARIABLE) and not storage.is_address(place) and not Path(place).is_absolute():
            raise ConfigurationError(
                f"{name}: {place} found, but the workers of a cluster run in other folders; expected an address, or a "
                "path from the root"
            )
    table.pyarrow()


def _on_ray() -> bulk.Run:
    # Ray is an extra, and slow to import.
    from pipeline.reading.cluster import on_ray

    return on_ray


def _models(named: str) -> Path:
    if named:
        return Path(named)
    folder = models_folder(Path())
    if (folder / RELEASE).exists():
        print(f"read: with the released models in {folder}/, since none are packaged here", file=sys.stderr)
    return folder


def _expect_arguments(image: str, images: str, out: str, json: bool, again: bool, on: str, workers: int) -> None:
    if images and image:
        raise ConfigurationError("IMAGE and IMAGES found, expected one of them")
    if not images and not image:
        raise ConfigurationError(
            "IMAGE: no picture named; expected make read IMAGE=path/to/picture.png, or IMAGES=folder OUT=readings.csv"
        )
    if images and not out:
        raise ConfigurationError(
            "OUT: no file named; expected make read IMAGES=folder OUT=readings.csv or .parquet, or the "
            "folder of a dataset, OUT=readings"
        )
    if not images and (out or again):
        raise ConfigurationError(f"{'OUT' if out else 'AGAIN'}: for a folder alone, expected IMAGES=folder with it")
    if not images and (on or workers):
        raise ConfigurationError(f"{'ON' if on else 'WORKERS'}: for a dataset alone, expected IMAGES=folder with it")
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
