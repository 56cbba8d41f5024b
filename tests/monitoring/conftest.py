"""What tests of monitoring share: answers as the service logs them."""

import numpy as np
import pytest

from pipeline.monitoring.log import Answered
from pipeline.monitoring.settings import LogSettings

MODEL = {"task": "strips", "strategy": "bands", "sha256": "ab" * 32, "version": None, "origin": "mnist"}


@pytest.fixture
def settings(tmp_path):
    return LogSettings(tmp_path / "log", quarantine_bytes=2**20)


@pytest.fixture
def answered():
    """Makes the answer to a raw picture that holds a number."""

    def make(number: int, *, confidence: float = 0.99, accepted: bool = True, bytes_more: int = 0) -> Answered:
        pixels = np.zeros((1, 28, 140, 1), np.uint8)
        pixels.reshape(-1)[:8] = np.frombuffer(np.int64(number).tobytes(), np.uint8)
        content = pixels.tobytes() + bytes(bytes_more)
        answer = {"digits": "97541", "confidence": confidence, "accepted": accepted, "notes": [], "lines": []}
        return Answered(content, None if bytes_more else (28, 140), pixels, (28, 140), answer, MODEL, 0.001)

    return make
