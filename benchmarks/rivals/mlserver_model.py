"""MLServer with ONNX Runtime: a custom runtime that takes raw pixels through the open inference protocol."""

import os
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from pipeline.runtime.reader import Reader


class Strips(MLModel):
    """Reads arrays of pictures."""

    async def load(self) -> bool:
        self.reader = Reader.load(Path(os.environ["BENCHMARK_MODEL"]))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        images = NumpyCodec.decode_input(payload.inputs[0])
        readings = self.reader.read(images)
        outputs = [NumpyCodec.encode_output("classes", readings.classes)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
