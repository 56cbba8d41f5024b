"""What `fetch` writes about a source, and `validate` about a data set."""

from collections.abc import Mapping

from pydantic import Field

from pipeline.records.base import Record

SOURCE = "source.json"
"""The name of the file that a `SourceRecord` is written to, beside the pictures."""


class SourceSet(Record):
    """One set of a source.

    Attributes:
        pictures: how many.
        shape: height and width in pixels, and channels, of every picture.
        sha256: of pictures and labels as decoded, 64 hexadecimal digits.
    """

    pictures: int
    shape: tuple[int, int, int]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class LinesSet(Record):
    """The set of a source of labelled lines, whose pictures have different sizes.

    Attributes:
        pictures: how many.
        digits: in all pictures together.
        boxes: whether every digit has a box.
        sha256: of names, pictures, digits and boxes as decoded, 64 hexadecimal digits.
    """

    pictures: int
    digits: int
    boxes: bool
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SourceRecord(Record):
    """`data/raw/SOURCE/source.json`: the same for every copy of the same pictures.

    Attributes:
        origin: `mnist`, `cifar10`, `cheques`, `folder:NAME`, or `embedded`, the stand-in.
        class_names: the name of each class.
        sets: the sets by name: `pool`, or a split; `pictures` of a source of labelled lines.
    """

    origin: str
    class_names: tuple[str, ...]
    sets: Mapping[str, SourceSet | LinesSet]


class ExpectationResult(Record):
    """The outcome of one expectation.

    Attributes:
        table: `pictures` (one row per picture) or `classes` (one row per split and class).
        expectation: Great Expectations' name of its type.
        column: the column that it checks.
        description: what is expected, as a statement.
        success: whether it holds.
        checked: rows that were checked.
        unexpected: rows that are not as expected. It can be above 0 with success, where some are allowed.
        first: the first such rows, at most five, as (row, value found).
        lowest, highest: the column's smallest and largest number in the table; None without numbers.
    """

    table: str
    expectation: str
    column: str
    description: str
    success: bool
    checked: int
    unexpected: int
    first: tuple[tuple[str, str], ...]
    lowest: float | None
    highest: float | None


class ValidatedSplit(Record):
    """One split of a validated data set.

    Attributes:
        pictures: how many.
        sha256: of all its arrays, 64 hexadecimal digits.
        classes: labels by class name.
    """

    pictures: int
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    classes: Mapping[str, int]


class Duplicates(Record):
    """Pictures that are equal to another one.

    Attributes:
        across_splits: how many are equal to one of another split.
        within_splits: how many are equal to an earlier one of their split.
    """

    across_splits: int
    within_splits: int


class Passed(Record):
    """`data/validated/TASK/SUITE.json`: says that a data set meets all its expectations, and exists only if it does.

    Attributes:
        suite, task: the data set.
        origin: where its pictures came from.
    """

    suite: str
    task: str
    origin: str


class ValidationReport(Record):
    """`reports/validation/TASK/SUITE.json`, without times: equal data give equal reports.

    Attributes:
        suite, task: the data set.
        origin: where its pictures came from.
        success: whether every expectation holds.
        splits: the splits by name.
        expectations: all results.
        duplicates: equal pictures.
        notes: what is allowed and still worth knowing.
    """

    suite: str
    task: str
    origin: str
    success: bool
    splits: Mapping[str, ValidatedSplit]
    expectations: tuple[ExpectationResult, ...]
    duplicates: Duplicates
    notes: tuple[str, ...]
