"""What the stage `suspects` found: which labels look wrong, and the pictures of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.params import Params
from pipeline.config.sections import LabelledSuite, SplitSuite
from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT_NAMES, ImageSet
from pipeline.core.lines import PictureSet
from pipeline.data.exclusions import pixel_digest
from pipeline.labelling.tables import Row, Table
from pipeline.monitoring.quarantine import png_of

FOLDER = Path("reports/suspects")
COLUMNS = ("rank", "part", "index", "place", "given", "predicted", "probability", "quality", "sha256", "label")


@dataclass(frozen=True)
class Suspect:
    """A label that looks wrong.

    Attributes:
        source: of the picture.
        folder: what `fetch` wrote of it.
        part, index: the file, or the split, and the picture in it.
        place: which digit of the picture, from 1; 0 where it is one object.
        given, predicted: the class as published, and the most probable one.
        probability: of that class.
        sha256: of the picture's pixels, as `exclusions.pixel_digest` has it.
        published: the whole label of the picture.
    """

    source: str
    folder: Path
    part: str
    index: int
    place: int
    given: str
    predicted: str
    probability: float
    sha256: str
    published: str


@dataclass(frozen=True)
class SuspectView:
    """The picture of a suspect: a PNG, its height and width, the box of the digit (pixels x0, y0, x1, y1), classes."""

    content: bytes
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None
    classes: Sequence[str]


def sources(params: Params, task: str) -> Iterator[tuple[str, str, Path]]:
    """The sources with a table of suspects: name, task, and the folder of their pictures.

    Args:
        params: of params.yaml.
        task: the one that is asked for; "" for all.
    """
    for source, section in params.suspects.items():
        suites = [each for each in params.suites.values() if each.source == section.source]
        of_source = next((each.task for each in suites if isinstance(each, SplitSuite | LabelledSuite)), None)
        if of_source and task in ("", of_source) and table(source).path.is_file():
            yield source, of_source, Path("data") / section.source


def table(source: str) -> Table:
    """The table that the stage wrote."""
    return Table(FOLDER / source / "suspects.csv", COLUMNS, ("sha256", "place"), ordered=False)


def read(source: str, folder: Path) -> list[Suspect]:
    """The suspects of a source, the most suspicious first.

    Raises:
        DataError: the table is damaged.
    """
    found = table(source)
    try:
        return [_suspect(row, source, folder) for row in found.rows().values()]
    except ValueError as error:
        raise DataError(f"{found.path}: {error}; `dvc repro suspects@{source}` writes it again") from None


class Gallery:
    """Shows suspects; the pictures of one file at a time are in memory."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._loaded: tuple[Path, ImageSet | PictureSet] | None = None

    def show(self, suspect: Suspect) -> SuspectView:
        """The picture of a suspect.

        Raises:
            DataError: the file is missing or damaged, or holds other pictures than those that were looked at.
        """
        again = f"`dvc repro suspects@{suspect.source}` looks at the pictures that are there now"
        pictures = self._pictures(suspect)
        if not 0 <= suspect.index < len(pictures):
            raise DataError(f"{suspect.folder}: no picture {suspect.index} in {suspect.part}; {again}")
        box = None
        if isinstance(pictures, ImageSet):
            pixels, boxes, classes = pictures.images[suspect.index], None, pictures.class_names
        else:
            picture = pictures.pictures[suspect.index]
            pixels, boxes, classes = picture.pixels, picture.boxes, DIGIT_NAMES
        if pixel_digest(pixels) != suspect.sha256:
            raise DataError(f"{suspect.folder}: picture {suspect.index} of {suspect.part} is another one now; {again}")
        if boxes is not None:
            if not 1 <= suspect.place <= len(boxes):
                raise DataError(f"{suspect.folder}: no digit {suspect.place} in picture {suspect.index}; {again}")
            x0, y0, x1, y1 = map(float, boxes[suspect.place - 1])
            box = x0, y0, x1, y1
        return SuspectView(png_of(pixels), (pixels.shape[0], pixels.shape[1]), box, classes)

    def _pictures(self, suspect: Suspect) -> ImageSet | PictureSet:
        """What `index` counts in: the file of a part, or all pictures of lines, whose parts are splits."""
        path = suspect.folder / f"{suspect.part}.npz"
        singles = path.is_file()
        if not singles:
            path = next(iter(sorted(suspect.folder.glob("*.npz"))), path)
        if self._loaded is None or self._loaded[0] != path:
            # First the old ones go.
            self._loaded = None
            self._loaded = path, ImageSet.load(path) if singles else PictureSet.load(path)
        return self._loaded[1]


def _suspect(row: Row, source: str, folder: Path) -> Suspect:
    return Suspect(
        source=source,
        folder=folder,
        part=row["part"],
        index=int(row["index"]),
        place=int(row["place"]),
        given=row["given"],
        predicted=row["predicted"],
        probability=float(row["probability"]),
        sha256=row["sha256"],
        published=row["label"],
    )
