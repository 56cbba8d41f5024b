"""What a packaged model is, as `manifest.json` beside it says."""

from collections.abc import Mapping

from pydantic import ConfigDict

from pipeline.records.evaluation import Coverage
from pipeline.records.export import ServedModel

MANIFEST = "manifest.json"


class Manifest(ServedModel):
    """A model that is packaged and served. Keys that a later version adds are left alone.

    Attributes:
        coverage: the threshold that `accepted` means, and what it gave.
        metrics: sequence accuracy on test, by suite.
        version: the registry's; None for a model that was never registered.
    """

    model_config = ConfigDict(extra="ignore")

    coverage: Coverage
    metrics: Mapping[str, float]
    version: str | None = None

    @property
    def threshold(self) -> float | None:
        """The confidence from which a reading is accepted; None where no threshold holds, so that none is."""
        return self.coverage.threshold

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a picture; uint8."""
        return self.inputs.shape
