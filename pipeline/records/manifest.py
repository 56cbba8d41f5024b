"""What a packaged model is, as `manifest.json` beside it says."""

from collections.abc import Mapping
from typing import Literal

from pydantic import ConfigDict, Field

from pipeline.records.base import Record
from pipeline.records.evaluation import Coverage
from pipeline.records.export import ServedModel
from pipeline.records.monitoring import Reference

MANIFEST = "manifest.json"
Weights = Literal["float32", "float16", "int8"]
"""How a file holds the weights of large layers. They are float32 wherever they run."""


class ReleasedFrom(Record):
    """What a released model was made from.

    Attributes:
        artifact: of the registry.
        sha256, bytes: of the original file, which is the registered one where the manifest has a version.
        weights: how the released file holds them.
    """

    model_config = ConfigDict(extra="ignore")

    artifact: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int
    weights: Weights


class Manifest(ServedModel):
    """A model that is packaged and served. Keys that a later version adds are left alone.

    Attributes:
        coverage: the threshold that `accepted` means, and what it gave.
        metrics: sequence accuracy on test, by suite.
        version: the registry's; None for a model that was never registered.
        released: what it was made from, if `registry release` wrote it. Coverage, metrics and parity are then those of
            the original file.
        reference: statistics of what it reads of valid, for `make drift`; None in a manifest from before there were
            any. Of a released model they are those of the original file, too.
    """

    model_config = ConfigDict(extra="ignore")

    coverage: Coverage
    metrics: Mapping[str, float]
    version: str | None = None
    released: ReleasedFrom | None = None
    reference: Reference | None = None

    @property
    def threshold(self) -> float | None:
        """The confidence from which a reading is accepted; None where no threshold holds, so that none is."""
        return self.coverage.threshold

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a picture; uint8."""
        return self.inputs.shape
