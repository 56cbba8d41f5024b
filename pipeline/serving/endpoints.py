"""The endpoints: from a request to its answer."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, cast

import numpy as np
import orjson
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pipeline.access.middleware import NAME_KEY
from pipeline.core.decoding import Shape
from pipeline.core.readings import Readings
from pipeline.monitoring.log import Answered, PredictionLog
from pipeline.records.answer import Info, ModelDescription
from pipeline.records.manifest import Manifest
from pipeline.rollout.follower import conclude
from pipeline.rollout.store import Store
from pipeline.rollout.trial import Trial
from pipeline.rollout.versions import Version, Versions
from pipeline.runtime.answers import readings_as_json, select
from pipeline.runtime.fitting import answer_fitted, fit
from pipeline.runtime.pages import LINES, answer_page, answer_picture, known_shapes
from pipeline.scheduling.admission import Places
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
TASK = "task"
"""The query parameter that says which model reads a picture."""
FIT = "fit"
"""The query parameter that has a picture of any size brought to the model of the task."""
_QUERY_BYTES = 2048
"""A query of a few bytes is expected; to parse 60 KB of parameters takes longer than to read a picture."""
_DECODING = 64
"""Bodies that wait for a thread that decodes them, or are being decoded; more are rejected."""

_FEW_LINES = 4
"""Lines of a picture that are read like single pictures; more are read in slices, behind single pictures."""


@contextlib.asynccontextmanager
async def body_of(request: Request, buffer: Buffer, limits: Limits, most: int) -> AsyncIterator[bytes]:
    """Receive and hold a body of at most so many bytes; time is bounded for it, and then for its answer.

    Args:
        request: whose body has not been received.
        buffer: holds the body until the block is left.
        limits: of time.
        most: bytes.

    Raises:
        ApiError: `body_too_large`, `overloaded`, `too_slow` or `timed_out`.
    """
    with buffer.hold() as share:
        async with _TimeLimits(limits, share) as time:
            content = await uploads.receive_body(request, share, most)
            time.body_received()
            yield content


class ReadEndpoints:
    """The endpoints that read pictures, with what their requests share."""

    def __init__(
        self,
        versions: Versions,
        batcher: DynamicBatcher,
        limits: Limits,
        metrics: Metrics,
        log: PredictionLog | None = None,
    ) -> None:
        """Define.

        Args:
            versions: the models that are served, which may change; what callers rely on stays the same.
            batcher: what reads.
            limits: of this process.
            metrics: where pictures that cannot be decoded are counted.
            log: where answers are logged; None logs none.
        """
        manifests = versions.manifests
        self._versions = versions
        self._tasks = tuple(manifests)
        self._batcher = batcher
        self._limits = limits
        self._metrics = metrics
        self._log = log
        self._shapes = known_shapes(manifests)
        self._digits = _shapes(select(manifests.values(), digits=True))
        self._cifar10 = _shapes(select(manifests.values(), digits=False))
        self._buffer = Buffer(limits.buffered_bytes)
        self._many_requests = Places(limits.many_requests, "requests for many pictures are being read")
        self._pages = Places(limits.pages, "pictures of any size are being read")
        # Apart, so that a picture does not wait until a thousand are decoded.
        self._pool = Pool("decode", limits.threads, _DECODING)
        self._pool_of_many = Pool("decode-many", limits.threads, _DECODING)
        self._pool_of_pages = Pool("decode-page", limits.threads, _DECODING)
        # One by one, because of the memory.
        self._pool_of_large = Pool("decode-large", 1, _DECODING)

    async def read(self, request: Request) -> Response:
        """One picture of any size. A model reads a picture of its own size; the lines of any other are found first."""
        shapes, lines = self._wanted(request)
        # Without a task the size of the picture says which model reads it: there is nothing to bring it to.
        any_size = (_is_true(request, FIT) and task_of(request) is not None) or lines
        kind = uploads.content_type(request, many=False)
        limits = self._limits
        self._batcher.expect_room(CLOSE)
        if any_size and uploads.declared_length(request) > limits.body_bytes:
            self._pages.expect_free(CLOSE)
        async with body_of(
            request, self._buffer, limits, limits.picture_bytes if any_size else limits.body_bytes
        ) as content:
            started = time.perf_counter()
            if any_size:
                found = await uploads.picture_of(request, kind, content, self._pool_of_pages)
                upload = await uploads.decode_known(found, shapes, self._pool)
                if upload is None and lines:
                    return await self._read_page(found, shapes, started)
                if upload is None:
                    return await self._read_fitted(found, shapes, started)
            else:
                upload = await uploads.decode_one(request, kind, content, shapes, self._pool)
            return await self._read_known(upload, started)

    async def classify(self, request: Request) -> Response:
        """One CIFAR-10 picture."""
        shapes = self._expect_packaged(self._cifar10, "cifar10")
        kind = uploads.content_type(request, many=False)
        self._batcher.expect_room(CLOSE)
        async with body_of(request, self._buffer, self._limits, self._limits.body_bytes) as content:
            started = time.perf_counter()
            upload = await uploads.decode_one(request, kind, content, shapes, self._pool)
            version, readings = await self._versions.read(upload.task, upload.images)
        notes = upload.decoded().notes
        reading = readings_as_json(version.manifest, readings, [notes], every_class=True)[0]
        document = orjson.dumps({**reading, "model": version.identity})
        self._log_known(upload, reading, version, started)
        return Response(document, media_type=JSON)

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
        self._pool_of_pages.close()
        self._pool_of_large.close()

    def _wanted(self, request: Request) -> tuple[Mapping[str, Shape], bool]:
        """Shapes of the pictures that models read as they are, by task, and whether others are searched for lines."""
        task = task_of(request)
        if task is None:
            lines = LINES in self._tasks
            if not lines:
                self._expect_packaged(self._digits, "pictures of digits")
            return self._shapes, lines
        if task not in self._tasks:
            raise self._not_packaged(repr(task[:40]))
        return ({}, True) if task == LINES else ({task: self._shapes[task]}, False)

    def _expect_packaged(self, shapes: Mapping[str, Shape], wanted: str) -> Mapping[str, Shape]:
        if not shapes:
            raise self._not_packaged(wanted)
        return shapes

    def _not_packaged(self, wanted: str) -> ApiError:
        packaged = ", ".join(self._tasks)
        return ApiError("not_packaged", f"no model for {wanted} is packaged here; packaged are: {packaged}")

    async def _read_known(self, upload: Upload, started: float) -> Response:
        version, readings = await self._versions.read(upload.task, upload.images)
        answer = answer_picture(version.manifest, upload.decoded(), readings, version.identity)
        document = orjson.dumps(answer)
        self._log_known(upload, answer, version, started)
        return Response(document, media_type=JSON)

    async def _read_page(self, found: bytes | np.ndarray, shapes: Mapping[str, Shape], started: float) -> Response:
        """Find a picture's lines and read them at once; many are read in slices, so that they delay no single picture.

        A place is held until they are read: decoding must not run ahead of reading.
        """
        with self._pages.take():
            pool = self._pool_of_large if uploads.is_large(found) else self._pool_of_pages
            page = await uploads.open_picture(found, shapes, pool)
            if isinstance(page, Upload):
                return await self._read_known(page, started)
            images = page.images()
            count = len(page.lines)
            self._metrics.count_lines(count)
            many = count > _FEW_LINES
            version, readings = self._versions.served(LINES), None
            if count:
                version, readings = await self._versions.read(LINES, images, slices=many)
            given = version.manifest, page, readings, version.identity
            answer = await self._pool_of_pages.run(answer_page, *given) if many else answer_page(*given)
        document = orjson.dumps(answer)
        self._log_any_size(found, version, images, page.size, answer, started)
        return Response(document, media_type=JSON)

    async def _read_fitted(self, found: bytes | np.ndarray, shapes: Mapping[str, Shape], started: float) -> Response:
        """Bring a picture of any size to the model of one task, and have it read."""
        ((task, shape),) = shapes.items()
        with self._pages.take():
            pool = self._pool_of_large if uploads.is_large(found) else self._pool_of_pages
            fitted = await pool.run(fit, found, task, shape)
            version, readings = await self._versions.read(task, fitted.images)
        answer = answer_fitted(version.manifest, fitted, readings, version.identity)
        document = orjson.dumps(answer)
        self._log_any_size(found, version, fitted.images(), fitted.size, answer, started)
        return Response(document, media_type=JSON)

    def _log_known(self, upload: Upload, answer: Mapping[str, JsonValue], version: Version, started: float) -> None:
        """Log the answer to a picture of a model's size. Called once the answer is ready: it never delays one."""
        if self._log is not None:
            pixels = upload.images()
            found = upload.content if upload.values is None else upload.values
            self._log_any_size(found, version, pixels, (pixels.shape[1], pixels.shape[2]), answer, started)

    def _log_any_size(
        self,
        found: bytes | np.ndarray,
        version: Version,
        pixels: np.ndarray,
        size: tuple[int, int],
        answer: Mapping[str, JsonValue],
        started: float,
    ) -> None:
        if self._log is not None:
            model, seconds = version.identity, time.perf_counter() - started
            content, shape = (found, None) if isinstance(found, bytes) else (found.tobytes(), found.shape)
            self._log.add(Answered(content, shape, pixels, size, answer, model, seconds))

    async def _many(self, request: Request, shapes: Mapping[str, Shape]) -> Response:
        kind = uploads.content_type(request, many=True)
        every_class = _is_true(request, PROBABILITIES)
        limits = self._limits
        self._many_requests.expect_free(CLOSE)
        async with body_of(
            request, self._buffer, limits, limits.json_bytes if kind == JSON else limits.many_body_bytes
        ) as content:
            started = time.perf_counter()
            # Counted after the body has arrived: a slow client must not take the place of a quick one.
            with self._many_requests.take():
                found = await uploads.decode_many(request, kind, content, shapes, limits, self._pool_of_many)
                readings = await self._read_each(found)
                document, answers = await self._pool_of_many.run(self._document, found, readings, every_class)
        for each, answer in zip(found, answers, strict=True):
            if isinstance(each, ApiError):
                self._metrics.count_error(each.code)
            else:
                self._log_known(each, answer, readings[each.task][1], started)
        return Response(document, media_type=JSON)

    async def _read_each(self, found: Sequence[Upload | ApiError]) -> dict[str, tuple[list[int], Version, Readings]]:
        """By task, where its pictures are, the model that has read them, and their readings."""
        by_task: dict[str, list[int]] = {}
        for index, each in enumerate(found):
            if isinstance(each, Upload):
                by_task.setdefault(each.task, []).append(index)
        tasks: dict[str, asyncio.Task[tuple[Version, Readings]]] = {}
        async with asyncio.TaskGroup() as group:
            for task, indices in by_task.items():
                pictures = [cast("Upload", found[index]).decoded().pixels for index in indices]
                tasks[task] = group.create_task(self._versions.read(task, np.stack(pictures), many=True))
        return {task: (by_task[task], *reading.result()) for task, reading in tasks.items()}

    def _document(
        self,
        found: Sequence[Upload | ApiError],
        readings: Mapping[str, tuple[list[int], Version, Readings]],
        every_class: bool,
    ) -> tuple[bytes, Sequence[Mapping[str, JsonValue]]]:
        """The answer, to each picture its task and reading, or its error; and these one by one."""
        answers: list[dict[str, JsonValue]] = [each.as_json() if isinstance(each, ApiError) else {} for each in found]
        for task, (indices, version, of_task) in readings.items():
            notes = [cast("Upload", found[index]).decoded().notes for index in indices]
            given = readings_as_json(version.manifest, of_task, notes, every_class=every_class)
            for index, reading in zip(indices, given, strict=True):
                answers[index] = {"task": task, **reading}
        models = {task: readings[task][1].identity for task in sorted(readings)}
        return orjson.dumps({"answers": answers, "models": models}), answers


class OperationEndpoints:
    """The endpoints for operators: what is served, and how the process is doing."""

    def __init__(self, versions: Versions, metrics: Metrics, shutdown: Shutdown, *, feedback: bool) -> None:
        """Define.

        Args:
            versions: the models that are served.
            metrics: what `/metrics` shows.
            shutdown: whether the process takes requests.
            feedback: whether it takes what people say of answers.
        """
        self._feedback = feedback
        self._versions = versions
        self._metrics = metrics
        self._pool = Pool("metrics", 1, 2, polite=False)
        self._exposition: asyncio.Task[bytes] | None = None
        self._shutdown = shutdown

    async def info(self, request: Request) -> Response:
        """Every model that is served: identity, input, classes, threshold, scores."""
        models = {task: ModelDescription.of(manifest) for task, manifest in self._versions.manifests.items()}
        return Response(orjson.dumps(Info(models=models, feedback=self._feedback).as_json()), media_type=JSON)

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


class RolloutEndpoints:
    """The endpoints of the scope `admin`: what is rolled out, and the end of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool = Pool("rollout-status", 1, 4)

    async def status(self, request: Request) -> Response:
        """What every worker serves, the rollout in progress with its evidence, and how the last ones ended."""
        report = await self._pool.run(self._store.report)
        return Response(orjson.dumps(report.as_json()), media_type=JSON)

    async def abort(self, request: Request) -> Response:
        """End the rollout in progress; the model that was served before answers alone.

        Raises:
            ApiError: `not_found`, there is none.
        """
        await self._pool.run(self._end, request.scope.get(NAME_KEY, "nobody"))
        return await self.status(request)

    def close(self) -> None:
        """Let the thread end."""
        self._pool.close()

    def _end(self, who: str) -> None:
        rollout = self._store.read().rollout
        if rollout is None:
            raise ApiError("not_found", "no rollout is in progress; nothing was changed")
        trial = Trial(rollout.bounds)
        self._store.follow(rollout.id, trial)
        conclude(self._store, rollout, "aborted", f"by the token {who}", trial=trial)


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
    return known_shapes({manifest.task: manifest for manifest in manifests})


def _is_true(request: Request, name: str) -> bool:
    values = _values(request, name)
    if not values:
        return False
    if values not in (["true"], ["false"]):
        raise ApiError("bad_query", f"{name}={','.join(values)[:40]} found, expected true or false")
    return values == ["true"]


def task_of(request: Request) -> str | None:
    """The task that a query asks for; None where it names none.

    Raises:
        ApiError: `bad_query`, several or an empty one.
    """
    values = _values(request, TASK)
    if len(values) > 1 or values == [""]:
        raise ApiError("bad_query", f"{TASK}={','.join(values)[:40]} found, expected one task, as in {TASK}={LINES}")
    return values[0] if values else None


def _values(request: Request, name: str) -> list[str]:
    """The values of a query parameter; of a query that is too long nothing is parsed."""
    size = len(request.scope["query_string"])
    if size > _QUERY_BYTES:
        raise ApiError("bad_query", f"{size:,} bytes of query found, expected at most {_QUERY_BYTES:,}")
    return request.query_params.getlist(name) if size else []
