"""What `explore` records about the pictures that it takes out of a suite for the report."""

from collections.abc import Mapping

from pydantic import Field

from pipeline.records.base import Record


class Bin(Record):
    """One bin of a reliability diagram: `count` readings, their mean `confidence`, their share of exact matches."""

    count: int
    confidence: float
    accuracy: float


class StrategyExcerpt(Record):
    """What a strategy reads of a suite.

    Attributes:
        wrong: how many pictures of the whole split it misreads.
        listed: how many of those, the most confident first, are taken for its sake.
        reliability: of the whole split.
    """

    wrong: int = Field(ge=0)
    listed: int = Field(ge=0)
    reliability: tuple[Bin, ...]


class Excerpt(Record):
    """`reports/excerpts/TASK/SUITE.json`: the pictures of a split that some strategy misreads, and a few others.

    Beside it are the pictures, `SUITE.npz` (an `ImageSet`), and what each strategy reads of them, `SUITE-STRATEGY.npz`
    (`Readings`), in the same order.

    Attributes:
        task, suite, split: where the pictures are from.
        n: pictures of the split.
        indices: which of them were taken, rising.
        strategies: every strategy of the task that reads the suite, by name.
    """

    task: str
    suite: str
    split: str
    n: int = Field(ge=1)
    indices: tuple[int, ...]
    strategies: Mapping[str, StrategyExcerpt]
