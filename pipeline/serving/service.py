"""The BentoML service: reads strips and classifies pictures over HTTP, with the models that `package` exported.

The methods below are BentoML's API: its schema, its documentation and its Python client are made from them. Over HTTP
`serving.front` answers their routes itself.
"""

import os
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from pipeline.core.decoding import PictureError, Shape, decode_fitting
from pipeline.core.errors import PipelineError
from pipeline.runtime.answers import answer, asked, identity
from pipeline.runtime.reader import Reader, load_readers
from pipeline.serving.app import Front
from pipeline.serving.endpoints import Endpoints
from pipeline.serving.errors import Refusal
from pipeline.serving.limits import Limits
from pipeline.serving.metrics import make_folder
from pipeline.serving.shutdown import Stopping

ARTIFACTS_VARIABLE = "READER_ARTIFACTS"
"""Names another folder of packaged models than `artifacts` beside this package."""


def packaged_readers() -> dict[str, Reader]:
    """Readers by task, from the folder that the environment names or from `artifacts` beside this package.

    Raises:
        BentoMLException: a model is missing, damaged, or not the one its manifest names. `bentoml serve` prints this
            kind of exception as one line and exits.
    """
    default = Path(__file__).parents[2] / "artifacts"
    try:
        return load_readers(Path(os.environ.get(ARTIFACTS_VARIABLE) or default))
    except PipelineError as error:
        raise BentoMLException(str(error)) from None


def limits() -> Limits:
    """The limits that the environment sets.

    Raises:
        BentoMLException: one of them is no number.
    """
    try:
        return Limits.of(os.environ)
    except PipelineError as error:
        raise BentoMLException(str(error)) from None


@bentoml.service(
    name="reader",
    workers="cpu_count",
    # The front has its own time limits; this one only has to lie beyond them, and docs/serving.md says what it is.
    traffic={"timeout": 120},
    # The front counts: BentoML's labels hold the raw path, and grow with whatever callers make up.
    metrics={"enabled": False},
    # Each costs more than all of the front. BENTOML_CONFIG_OPTIONS turns them on again (docs/serving.md).
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": [".*"]},
)
class ReaderService:
    """Reads strips of handwritten digits and classifies CIFAR-10 pictures.

    Attributes:
        readers: by task.
        endpoints: what its paths answer.
        stopping: whether it was told to stop.
    """

    def __init__(self) -> None:
        self.readers = packaged_readers()
        bounds = limits()
        self.endpoints = Endpoints(self.readers, bounds)
        self.stopping = Stopping(bounds.stop_seconds)

    # A worker that cannot start is started again and again. This runs once, before there are workers, and stops it all.
    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Refuse to start on a model that is missing or not the one its manifest names; make what workers share."""
        limits()
        packaged_readers()
        make_folder()

    @bentoml.on_startup
    async def listen(self) -> None:
        """Hear when the service shall stop."""
        self.stopping.listen()

    @bentoml.on_shutdown
    async def close(self) -> None:
        """End the threads that read."""
        self.endpoints.close()

    @bentoml.api
    def read(self, picture: Path) -> dict[str, Any]:
        """The digits of one picture: a PNG or JPEG file."""
        return self._read(picture, digits=True)

    @bentoml.api
    def classify(self, picture: Path) -> dict[str, Any]:
        """The class of one CIFAR-10 picture: a PNG or JPEG file."""
        return self._read(picture, digits=False)

    @bentoml.api
    def read_many(self, pictures: list[Path]) -> dict[str, Any]:
        """The digits of many pictures, in order, each a reading or its own error."""
        return self._read_many(pictures, digits=True)

    @bentoml.api
    def classify_many(self, pictures: list[Path]) -> dict[str, Any]:
        """The classes of many CIFAR-10 pictures, in order, each a reading or its own error."""
        return self._read_many(pictures, digits=False)

    def _read(self, picture: Path, *, digits: bool) -> dict[str, Any]:
        task, decoded = decode_fitting(picture.read_bytes(), self._shapes(digits))
        reader = self.readers[task]
        return answer(reader.manifest, reader.read(decoded.pixels[None]), decoded.notes)

    def _read_many(self, pictures: list[Path], *, digits: bool) -> dict[str, Any]:
        said, tasks = [], set()
        for picture in pictures:
            try:
                one = self._read(picture, digits=digits)
            except PictureError as error:
                said.append(Refusal.of(error).object())
                continue
            tasks.add(one["model"]["task"])
            said.append({"task": one.pop("model")["task"], **one})
        return {"answers": said, "models": {task: identity(self.readers[task].manifest) for task in sorted(tasks)}}

    def _shapes(self, digits: bool) -> dict[str, Shape]:
        manifests = asked((reader.manifest for reader in self.readers.values()), digits=digits)
        return {manifest.task: manifest.shape for manifest in manifests}


ReaderService.add_asgi_middleware(Front)
