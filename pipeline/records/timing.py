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


class MemoryUse(Record):
    """Resident memory in bytes above that of a process with ONNX Runtime and no model.

    Attributes:
        loaded_bytes: after a model is loaded.
        peak_bytes: the most, up to the third reading of one picture on one thread.
    """

    loaded_bytes: int
    peak_bytes: int


class MemoryTiming(Record):
    """`timings/cost-TASK.json`: the memory of every strategy of a task, by name."""

    task: str
    memory: Mapping[str, MemoryUse]
