"""The endpoints: from a request to its answer."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, cast

import numpy as np
import orjson
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from pipeline.core.decoding import Shape
from pipeline.core.readings import Readings
from pipeline.records.answer import Info, ModelDescription, ModelIdentity
from pipeline.records.manifest import Manifest
from pipeline.runtime.answers import readings_as_json, select
from pipeline.scheduling.batching import DynamicBatcher
from pipeline.scheduling.errors import CLOSE, ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.pools import Pool
from pipeline.scheduling.shutdown import Shutdown
from pipeline.serving import uploads
from pipeline.serving.metrics import CONTENT_TYPE, Metrics
from pipeline.serving.uploads import JSON, Buffer, Share, Upload

PROBABILITIES = "probabilities"
"""The query parameter that asks for the probabilities of all classes of many pictures."""
_QUERY_BYTES = 2048
"""A query of a few bytes is expected; to parse 60 KB of parameters takes longer than to read a picture."""
_DECODING = 64
"""Bodies that wait for a thread that decodes them, or are being decoded; more are rejected."""


class ReadEndpoints:
    """The endpoints that read pictures, with what their requests share."""

    def __init__(
        self, manifests: Mapping[str, Manifest], batcher: DynamicBatcher, limits: Limits, metrics: Metrics
    ) -> None:
        """Define.

        Args:
            manifests: of the models that are served, by task.
            batcher: what reads.
            limits: of this process.
            metrics: where pictures that cannot be decoded are counted.
        """
        self._manifests = manifests
        self._batcher = batcher
        self._limits = limits
        self._metrics = metrics
        self._identities = {task: ModelIdentity.of(manifest).as_json() for task, manifest in manifests.items()}
        self._digits = _shapes(select(manifests.values(), digits=True))
        self._cifar10 = _shapes(select(manifests.values(), digits=False))
        self._buffer = Buffer(limits.buffered_bytes)
        self._many_in_progress = 0
        # Apart, so that a picture does not wait until a thousand are decoded.
        self._pool = Pool("decode", limits.threads, _DECODING)
        self._pool_of_many = Pool("decode-many", limits.threads, _DECODING)

    async def read(self, request: Request) -> Response:
        """One picture of digits; its size says which model reads it."""
        return await self._one(request, self._expect_packaged(self._digits, "pictures of digits"))

    async def classify(self, request: Request) -> Response:
        """One CIFAR-10 picture."""
        return await self._one(request, self._expect_packaged(self._cifar10, "cifar10"))

    async def read_many(self, request: Request) -> Response:
        """Many pictures of digits; one that cannot be read is an error in its place."""
        return await self._many(request, self._expect_packaged(self._digits, "pictures of digits"))

    async def classify_many(self, request: Request) -> Response:
        """Many CIFAR-10 pictures; one that cannot be read is an error in its place."""
        return await self._many(request, self._expect_packaged(self._cifar10, "cifar10"))

    def close(self) -> None:
        """Let the threads end."""
        self._pool.close()
        self._pool_of_many.close()

    def _expect_packaged(self, shapes: Mapping[str, Shape], wanted: str) -> Mapping[str, Shape]:
        if not shapes:
            packaged = ", ".join(self._manifests)
            raise ApiError("not_packaged", f"no model for {wanted} is packaged here; packaged are: {packaged}")
        return shapes

    async def _one(self, request: Request, shapes: Mapping[str, Shape]) -> Response:
        kind = uploads.content_type(request, many=False)
        limits = self._limits
        self._batcher.expect_room(CLOSE)
        with self._buffer.hold() as share:
            async with _TimeLimits(limits, share) as time:
                content = await uploads.receive_body(request, share, limits.body_bytes)
                time.body_received()
                upload = await uploads.decode_one(request, kind, content, shapes, self._pool)
                readings = await self._batcher.read(upload.task, upload.images)
        notes = upload.decoded().notes
        reading = readings_as_json(self._manifests[upload.task], readings, [notes], every_class=True)[0]
        return Response(orjson.dumps({**reading, "model": self._identities[upload.task]}), media_type=JSON)

    async def _many(self, request: Request, shapes: Mapping[str, Shape]) -> Response:
        kind = uploads.content_type(request, many=True)
        every_class = _every_class(request)
        limits = self._limits
        self._expect_place(CLOSE)
        with self._buffer.hold() as share:
            most = limits.json_bytes if kind == JSON else limits.many_body_bytes
            async with _TimeLimits(limits, share) as time:
                content = await uploads.receive_body(request, share, most)
                time.body_received()
                # Counted after the body has arrived: a slow client must not take the place of a quick one.
                self._expect_place()
                self._many_in_progress += 1
                try:
                    found = await uploads.decode_many(request, kind, content, shapes, limits, self._pool_of_many)
                    readings = await self._read_each(found)
                    document = await self._pool_of_many.run(self._document, found, readings, every_class)
                finally:
                    self._many_in_progress -= 1
        for each in found:
            if isinstance(each, ApiError):
                self._metrics.count_error(each.code)
        return Response(document, media_type=JSON)

    def _expect_place(self, headers: Mapping[str, str] | None = None) -> None:
        if self._many_in_progress >= self._limits.many_requests:
            raise ApiError(
                "overloaded", f"{self._many_in_progress} requests for many pictures are being read; try again", headers
            )

    async def _read_each(self, found: Sequence[Upload | ApiError]) -> dict[str, tuple[list[int], Readings]]:
        """By task, where its pictures are, and their readings."""
        by_task: dict[str, list[int]] = {}
        for index, each in enumerate(found):
            if isinstance(each, Upload):
                by_task.setdefault(each.task, []).append(index)
        tasks: dict[str, asyncio.Task[Readings]] = {}
        async with asyncio.TaskGroup() as group:
            for task, indices in by_task.items():
                pictures = [cast("Upload", found[index]).decoded().pixels for index in indices]
                tasks[task] = group.create_task(self._batcher.read(task, np.stack(pictures), many=True))
        return {task: (by_task[task], readings.result()) for task, readings in tasks.items()}

    def _document(
        self,
        found: Sequence[Upload | ApiError],
        readings: Mapping[str, tuple[list[int], Readings]],
        every_class: bool,
    ) -> bytes:
        """The answer: to each picture its task and reading, or its error."""
        answers: list[dict[str, JsonValue]] = [each.as_json() if isinstance(each, ApiError) else {} for each in found]
        for task, (indices, of_task) in readings.items():
            notes = [cast("Upload", found[index]).decoded().notes for index in indices]
            given = readings_as_json(self._manifests[task], of_task, notes, every_class=every_class)
            for index, reading in zip(indices, given, strict=True):
                answers[index] = {"task": task, **reading}
        models = {task: self._identities[task] for task in sorted(readings)}
        return orjson.dumps({"answers": answers, "models": models})


class OperationEndpoints:
    """The endpoints for operators: what is served, and how the process is doing."""

    def __init__(self, manifests: Mapping[str, Manifest], metrics: Metrics, shutdown: Shutdown) -> None:
        """Define.

        Args:
            manifests: of the models that are served, by task.
            metrics: what `/metrics` shows.
            shutdown: whether the process takes requests.
        """
        models = {task: ModelDescription.of(manifest) for task, manifest in manifests.items()}
        self._info = orjson.dumps(Info(models=models).as_json())
        self._metrics = metrics
        self._pool = Pool("metrics", 1, 2, polite=False)
        self._exposition: asyncio.Task[bytes] | None = None
        self._shutdown = shutdown

    async def index(self, request: Request) -> Response:
        """Redirect to what is served."""
        return RedirectResponse("/info")

    async def info(self, request: Request) -> Response:
        """Every model that is served: identity, input, classes, threshold, scores."""
        return Response(self._info, media_type=JSON)

    async def live(self, request: Request) -> Response:
        """Whether the process lives."""
        return PlainTextResponse("\n")

    async def ready(self, request: Request) -> Response:
        """Whether the process takes requests."""
        if self._shutdown.requested:
            raise ApiError("stopping", self._shutdown.reason)
        return PlainTextResponse("\n")

    async def metrics(self, request: Request) -> Response:
        """What Prometheus reads, of all workers together. Requests that arrive meanwhile get the same."""
        if self._exposition is None or self._exposition.done():
            # A thread that does nothing else: it waits for no picture.
            self._exposition = asyncio.create_task(self._pool.run(self._metrics.exposition))
        text = await asyncio.shield(self._exposition)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})


class _TimeLimits:
    """Bounds the time for a body to arrive, and then the time for its answer to be found."""

    def __init__(self, limits: Limits, share: Share) -> None:
        self._limits = limits
        self._share = share
        self._received = False
        self._timeout = asyncio.timeout(limits.body_seconds)

    def body_received(self) -> None:
        """Begin the time for the answer."""
        self._received = True
        self._timeout.reschedule(asyncio.get_running_loop().time() + self._limits.answer_seconds)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._error() from None

    def _error(self) -> ApiError:
        if self._received:
            return ApiError("timed_out", f"no answer within {self._limits.answer_seconds:g} seconds; try again later")
        return ApiError(
            "too_slow",
            f"{self._share.size:,} bytes of the body arrived within {self._limits.body_seconds:g} seconds, "
            "expected all of it",
            CLOSE,
        )


def _shapes(manifests: Iterable[Manifest]) -> dict[str, Shape]:
    return {manifest.task: manifest.shape for manifest in manifests}


def _every_class(request: Request) -> bool:
    size = len(request.scope["query_string"])
    if size > _QUERY_BYTES:
        raise ApiError("bad_query", f"{size:,} bytes of query found, expected at most {_QUERY_BYTES:,}")
    values = request.query_params.getlist(PROBABILITIES)
    if not values:
        return False
    if values not in (["true"], ["false"]):
        raise ApiError("bad_query", f"{PROBABILITIES}={','.join(values)[:40]} found, expected true or false")
    return values == ["true"]
