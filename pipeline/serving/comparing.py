"""Endpoints for learners: one picture as every strategy of a task reads it, and what a network makes of it inside.

They share one thread and a buffer of their own, so that they never delay `/read`.
"""

import base64
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from pipeline.core.decoding import Picture, Shape, decode_grey
from pipeline.core.errors import DataError
from pipeline.core.fitting import Fitted
from pipeline.core.readings import Readings
from pipeline.records.answer import ModelIdentity
from pipeline.runtime.fitting import answer_fitted, fit
from pipeline.runtime.gallery import TEXTBOOK, Gallery
from pipeline.runtime.pages import LINES, Page, answer_page, page_of
from pipeline.runtime.session import ModelError
from pipeline.scheduling.admission import Places
from pipeline.scheduling.errors import CLOSE, ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.pools import Pool
from pipeline.scheduling.watchdog import Watchdog, WatchedReader
from pipeline.serving import uploads
from pipeline.serving.endpoints import TASK, body_of, task_of
from pipeline.serving.uploads import JSON, Buffer, Upload

_log = logging.getLogger("bentoml.reader")
_MOST_INPUTS = 8
"""Lines of a page whose pictures are in a comparison."""


class CompareEndpoints:
    """The endpoints that show how pictures are read."""

    def __init__(self, gallery: Gallery, watchdog: Watchdog, limits: Limits) -> None:
        """Define.

        Args:
            gallery: the strategies.
            watchdog: ends runs that take too long.
            limits: of this process.
        """
        self._gallery = gallery
        self._watchdog = watchdog
        self._limits = limits
        self._places = Places(limits.comparisons, "pictures are being compared")
        self._buffer = Buffer(limits.comparisons * limits.picture_bytes)
        # One thread: a load bounds the memory of the process, and `/read` has the other cores.
        self._pool = Pool("compare", 1, limits.comparisons)

    async def compare(self, request: Request) -> Response:
        """One picture of any size, read by every strategy of a task."""
        task = task_of(request)
        if task is None:
            raise ApiError("bad_query", f"no {TASK} found, expected one, as in {TASK}=strips")
        manifests = self._gallery.strategies(task)
        if not manifests:
            raise ApiError("not_packaged", f"no model for {task[:40]!r} is packaged here")
        shape = next(iter(manifests.values())).shape
        return await self._work(request, task, shape, self._comparison)

    async def features(self, request: Request) -> Response:
        """One digit of any size: the feature maps of the textbook net."""
        manifests = self._gallery.strategies(TEXTBOOK[0])
        if TEXTBOOK[1] not in manifests:
            raise ApiError("not_packaged", "the textbook net for one digit is not packaged here")
        return await self._work(request, TEXTBOOK[0], manifests[TEXTBOOK[1]].shape, self._features)

    def close(self) -> None:
        """Let the thread end."""
        self._pool.close()

    async def _work(
        self, request: Request, task: str, shape: Shape, make: Callable[[str, Page | Fitted], bytes]
    ) -> Response:
        """Receive a picture, bring it to the models, and make the answer in the thread."""
        kind = uploads.content_type(request, many=False)
        self._places.expect_free(CLOSE)
        async with body_of(request, self._buffer, self._limits, self._limits.picture_bytes) as content:
            # Taken after the body has arrived: a slow client must not take the place of a quick one.
            with self._places.take():
                found = await uploads.picture_of(request, kind, content, self._pool)
                shapes = {} if task == LINES else {task: shape}
                known = await uploads.decode_known(found, shapes, self._pool)
                opened = await self._pool.run(_opened, known, found, task, shape)
                document = await self._pool.run(make, task, opened)
        return Response(document, media_type=JSON)

    def _comparison(self, task: str, opened: Page | Fitted) -> bytes:
        """A `Comparison` as JSON."""
        served = self._gallery.served(task)
        readings = []
        for name, manifest in self._gallery.strategies(task).items():
            reading: dict[str, Any] = {
                "strategy": name,
                "served": name == served,
                "parameters": manifest.parameters,
                "bytes": manifest.model.bytes,
            }
            try:
                answer, seconds = self._answer(task, name, opened)
                reading |= {"milliseconds": round(seconds * 1000, 3), "answer": answer}
            except ApiError as error:
                reading |= error.as_json()
            readings.append(reading)
        return orjson.dumps({"task": task, "inputs": _inputs(opened), "readings": readings})

    def _answer(self, task: str, name: str, opened: Page | Fitted) -> tuple[dict[str, JsonValue], float]:
        """The answer of one strategy, and the seconds that its model took."""
        try:
            reader = WatchedReader(self._gallery.reader(task, name), self._watchdog)
        except DataError as error:
            _log.error("%s", error)
            raise ApiError(
                "internal", f"the model of {name} cannot be loaded; the log of the service says why"
            ) from None
        # A rollout may have replaced it since its manifest was read.
        manifest = reader.manifest
        identity = ModelIdentity.of(manifest).as_json()
        images = opened.images()
        readings: Readings | None = None
        started = time.perf_counter()
        if len(images):
            readings = reader.read(images)
        seconds = time.perf_counter() - started
        if isinstance(opened, Page):
            return answer_page(manifest, opened, readings, identity), seconds
        assert readings is not None
        return answer_fitted(manifest, opened, readings, identity), seconds

    def _features(self, task: str, opened: Page | Fitted) -> bytes:
        """`Features` as JSON."""
        assert isinstance(opened, Fitted)
        try:
            net = self._gallery.feature_net()
            with self._watchdog.watching(task, 1) as run:
                readings, layers = net.read(opened.picture.pixels, run)
        except ModelError as error:
            if run.cancelled:
                raise ApiError("timed_out", "the textbook net gave no answer in time; try again later") from None
            _log.error("%s", error)
            raise ApiError("internal", "the textbook net failed on this picture; the log says why") from None
        except DataError as error:
            _log.error("%s", error)
            raise ApiError("internal", "the textbook net cannot be loaded; the log of the service says why") from None
        answer = answer_fitted(net.manifest, opened, readings, ModelIdentity.of(net.manifest).as_json())
        shown = [
            {
                "kind": layer.kind,
                "kernel": list(layer.kernel),
                "channels": layer.channels,
                "height": layer.maps.shape[1],
                "width": layer.maps.shape[2],
                "maps": [_base64(each) for each in layer.maps],
            }
            for layer in layers
        ]
        return orjson.dumps({"input": _inputs(opened)[0], "layers": shown, "answer": answer})


def _opened(known: Upload | None, found: bytes | np.ndarray, task: str, shape: Shape) -> Page | Fitted:
    """A picture as the models of a task read it.

    Raises:
        PictureError: it cannot be decoded.
    """
    if known is not None:
        return Fitted(known.decoded(), shape[:2])
    if task == LINES:
        return page_of(Picture(found) if isinstance(found, np.ndarray) else decode_grey(found))
    return fit(found, task, shape)


def _inputs(opened: Page | Fitted) -> list[dict[str, JsonValue]]:
    """`Pixels` of what the models read."""
    return [
        {"height": each.shape[0], "width": each.shape[1], "channels": each.shape[2], "data": _base64(each)}
        for each in opened.images()[:_MOST_INPUTS]
    ]


def _base64(pixels: np.ndarray) -> str:
    return base64.b64encode(pixels.tobytes()).decode("ascii")
