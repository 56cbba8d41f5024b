"""The stock BentoML recipe at its documented best settings: the Keras model behind a batchable ndarray API.

`bentoml serve benchmarks.rivals.stock:Stock`; `BENCHMARK_KERAS` names the `.keras` file.
"""

import os

import bentoml
import numpy as np


@bentoml.service(name="stock", workers=2, traffic={"timeout": 60})
class Stock:
    """Reads arrays of pictures."""

    def __init__(self) -> None:
        from pipeline.training import models

        self.model = models.load(os.environ["BENCHMARK_KERAS"])
        self.model(np.zeros((1, *self.model.input_shape[1:]), np.uint8), training=False)

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=10_000)
    def predict(self, images: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, C) to the classes (n, slots)."""
        return np.asarray(self.model.predict_on_batch(images.astype(np.uint8))["classes"])
