"""What `features` says of the outputs of frozen layers that it computed."""

from collections.abc import Mapping

from pydantic import JsonValue

from pipeline.records.base import Record


class FeaturesRecord(Record):
    """`features.json`, beside the arrays.

    Attributes:
        network: whose layers were frozen.
        weights, input_size, freeze_until, augmentation: the settings of the strategy that decide what the features are.
        pretrained: where the weights came from.
        precision: the Keras dtype policy of the pass.
        origin: where the pictures came from.
        missing: why there are no features; None where there are.
        code: SHA-256 of the modules that computed them. A change to those makes the training on features stale, and no
            other training.
    """

    network: str
    weights: JsonValue
    input_size: int
    freeze_until: int
    augmentation: Mapping[str, JsonValue]
    pretrained: str
    precision: str
    origin: str
    missing: str | None
    code: Mapping[str, str]
