"""Wall clock of the stages, kept apart from the scores: it differs from run to run."""

from collections.abc import Mapping

from pipeline.records.base import Record


class TrainingTiming(Record):
    """`timings/train-STRATEGY.json`: the `seconds` of one training."""

    strategy: str
    seconds: float


class EvaluationTiming(Record):
    """`timings/evaluate-STRATEGY.json`: reading with ONNX Runtime.

    Attributes:
        seconds, seconds_by_suite: reading all splits, in batches of 256 on `threads_batch_256` threads.
        ms_per_picture_batch_1, threads_batch_1: median milliseconds to read one picture, and on how many threads.
        ms_per_picture_batch_256, threads_batch_256: the same for each picture of a batch of (at most) 256.
    """

    seconds: float
    seconds_by_suite: Mapping[str, float]
    ms_per_picture_batch_1: float
    threads_batch_1: int
    ms_per_picture_batch_256: float
    threads_batch_256: int
