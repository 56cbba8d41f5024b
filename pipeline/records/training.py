"""What a training leaves behind beside its model."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from pipeline.records.base import Record

Task = Literal["strips", "scenes", "lines", "mnist", "cifar10"]


class TrainedModel(Record):
    """How a model was made.

    Attributes:
        strategy: its name, a file of `pipeline/strategies`.
        task: whose suites it is scored on.
        suites: the suites that it can read.
        trained_on: its data set, as task/suite.
        normalization: the one that is part of the model.
        origin: where the training pictures came from: `mnist`, `cifar10`, `folder:NAME`, or `embedded`, the stand-in.
        positional: whether slot i of a reading is the i-th position, and not the i-th digit found.
        deployable: whether the whole strategy is in the graph; if not, the model has a second input, `regions`.
        pretrained: where weights came from that training began with: `not_applicable`, `imagenet`, `missing`, `local:`
            and the digits of a file, or the name of a strategy.
        parameters: how many numbers the model holds.
        precision: the Keras dtype policy of the training.
        seed, budget: of params.yaml.
        settings: of the strategy in params.yaml.
    """

    strategy: str
    task: Task
    suites: tuple[str, ...]
    trained_on: str
    normalization: str
    origin: str
    positional: bool
    deployable: bool
    pretrained: str
    parameters: int
    precision: str
    seed: int
    budget: float
    settings: Mapping[str, JsonValue]


class TrainingRecord(TrainedModel):
    """`training.json`: the model and the metrics of each epoch."""

    history: tuple[Mapping[str, float], ...]
