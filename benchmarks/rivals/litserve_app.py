"""LitServe with ONNX Runtime: `python -m benchmarks.rivals.litserve_app PORT`.

`BENCHMARK_MODEL` names a packaged folder.
"""

import base64
import os
import sys
from pathlib import Path

import litserve
import numpy as np

from pipeline.core.decoding import decode
from pipeline.runtime.answers import readings_as_json
from pipeline.runtime.reader import Reader


class Strips(litserve.LitAPI):
    """Reads one picture per request, `{"picture": <base64>, "raw": bool}`, in batches."""

    def setup(self, device: str) -> None:
        self.reader = Reader.load(Path(os.environ["BENCHMARK_MODEL"]))

    def decode_request(self, request: dict) -> np.ndarray:
        content = base64.b64decode(request["picture"])
        if request["raw"]:
            return np.frombuffer(content, np.uint8).reshape(self.reader.manifest.shape)
        return decode(content, self.reader.manifest.shape).pixels

    def batch(self, inputs: list) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, pixels: np.ndarray) -> list:
        readings = self.reader.read(pixels)
        return readings_as_json(self.reader.manifest, readings, [()] * len(pixels), every_class=True)

    def unbatch(self, output: list) -> list:
        return output

    def encode_response(self, output: dict) -> dict:
        return output


if __name__ == "__main__":
    api = Strips(max_batch_size=32, batch_timeout=0.001)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=2).run(
        port=int(sys.argv[1]), generate_client_file=False
    )
