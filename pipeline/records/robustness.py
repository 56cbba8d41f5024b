"""What `robustness` records: how a model reads corrupted pictures, and collections that nothing trained on."""

from collections.abc import Iterator, Mapping

from pydantic import Field

from pipeline.records.base import Record
from pipeline.records.training import Task


class ShiftScores(Record):
    """Scores of one set of pictures. Shares lie in 0 to 1.

    Attributes:
        n: number of pictures.
        accuracy: sequence accuracy: the share of exact matches.
        accepted: share of the pictures that are accepted at the model's threshold.
        accepted_wrong: share of all pictures that are accepted and wrong.
        confidence: mean confidence.
    """

    n: int = Field(ge=1)
    accuracy: float
    accepted: float
    accepted_wrong: float
    confidence: float


class Shift(Record):
    """The figures of a model under distribution shift in short. Means count every suite, corruption and severity alike.

    Attributes:
        pictures: that were read corrupted.
        clean_accuracy, clean_accepted: means over the suites, of the same pictures as they are.
        accuracy, accepted, accepted_wrong: means over the corruptions.
        worst: the largest share accepted and wrong, of a corruption or of a collection.
        worst_on: which one it is: suite, corruption and severity, or the name of the collection.
    """

    pictures: int
    clean_accuracy: float
    clean_accepted: float
    accuracy: float
    accepted: float
    accepted_wrong: float
    worst: float
    worst_on: str


class Robustness(Record):
    """`metrics/robustness/TASK/STRATEGY.json`.

    Attributes:
        strategy, task, origin: of the model.
        sha256: of the ONNX file that read the pictures.
        threshold: the confidence from which a reading is accepted; None where none holds, so that nothing is accepted.
        suites: scores by suite, corruption and severity; `identity` at severity 0 has the pictures as they are.
        collections: scores of pictures of other collections, by name.
        shift: the figures in short.
    """

    strategy: str
    task: Task
    origin: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    threshold: float | None
    suites: Mapping[str, Mapping[str, Mapping[int, ShiftScores]]]
    collections: Mapping[str, ShiftScores]
    shift: Shift

    def rows(self) -> Iterator[tuple[str, str, int, ShiftScores]]:
        """Suite, corruption, severity and scores of every corrupted set, and of the pictures as they are."""
        for suite, corruptions in self.suites.items():
            for corruption, severities in corruptions.items():
                for severity, scores in severities.items():
                    yield suite, corruption, severity, scores
