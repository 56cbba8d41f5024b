"""FastAPI with ONNX Runtime: `uvicorn benchmarks.rivals.fastapi_app:app --workers 2`.

`BENCHMARK_MODEL` names a packaged folder.
"""

import os
from pathlib import Path

import numpy as np
from fastapi import FastAPI, Request

from pipeline.core.decoding import decode
from pipeline.runtime.answers import answer_as_json
from pipeline.runtime.reader import Reader

app = FastAPI()
reader = Reader.load(Path(os.environ["BENCHMARK_MODEL"]))


@app.post("/read")
async def read(request: Request) -> dict:
    """One picture: raw pixels of type application/octet-stream, or else a PNG."""
    body = await request.body()
    if request.headers.get("content-type") == "application/octet-stream":
        pixels = np.frombuffer(body, np.uint8).reshape(reader.manifest.shape)
    else:
        pixels = decode(body, reader.manifest.shape).pixels
    # On the event loop: the way to a thread and back takes about as long as a small model.
    return answer_as_json(reader.manifest, reader.read(pixels[None]), ())
