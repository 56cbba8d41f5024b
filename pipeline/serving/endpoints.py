"""What each path answers."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope

from pipeline.core.decoding import Shape
from pipeline.records.manifest import Manifest
from pipeline.runtime.answers import answers, asked, identity
from pipeline.runtime.reader import Reader
from pipeline.serving import openapi, uploads
from pipeline.serving.batching import Desk
from pipeline.serving.errors import Refusal
from pipeline.serving.limits import Limits
from pipeline.serving.metrics import CONTENT_TYPE, Metrics
from pipeline.serving.uploads import Buffer, Found

JSON = "application/json"
PROBABILITIES = "probabilities"
"""The query parameter that asks for the probabilities of all classes of many pictures."""


class Endpoints:
    """The answers of one process to the requests that the front lets in.

    Attributes:
        limits: of this process.
        metrics: where it counts.
    """

    def __init__(self, readers: Mapping[str, Reader], limits: Limits) -> None:
        self.limits = limits
        self._manifests = {task: reader.manifest for task, reader in readers.items()}
        self.metrics = Metrics(self._manifests)
        self._desk = Desk(
            readers, threads=limits.threads, batch=limits.batch, waiting=limits.waiting, observe=self.metrics.run
        )
        self._buffer = Buffer(limits.buffered_bytes)
        self._many_in_progress = 0
        self._openapi = orjson.dumps(openapi.document(self._manifests, limits))
        self._info = orjson.dumps({"models": {task: _described(m) for task, m in self._manifests.items()}})

    def close(self) -> None:
        """End the threads that read."""
        self._desk.close()
        self.metrics.close()

    async def index(self, scope: Scope, receive: Receive) -> Response:
        """Lead to what is served."""
        return RedirectResponse("/info")

    async def info(self, scope: Scope, receive: Receive) -> Response:
        """What is served: every model, what it reads and how well it did."""
        return Response(self._info, media_type=JSON)

    async def openapi(self, scope: Scope, receive: Receive) -> Response:
        """The OpenAPI document."""
        return Response(self._openapi, media_type=JSON)

    async def count(self, scope: Scope, receive: Receive) -> Response:
        """What Prometheus reads, of all workers together."""
        return Response(await asyncio.to_thread(self.metrics.exposition), headers={"Content-Type": CONTENT_TYPE})

    async def read(self, scope: Scope, receive: Receive) -> Response:
        """One picture of digits; its size says which model reads it."""
        return await self._one(scope, receive, self._digits())

    async def classify(self, scope: Scope, receive: Receive) -> Response:
        """One CIFAR-10 picture."""
        return await self._one(scope, receive, self._cifar10())

    async def read_many(self, scope: Scope, receive: Receive) -> Response:
        """Many pictures of digits, as many answers in their order; one bad picture fails alone."""
        return await self._many(scope, receive, self._digits())

    async def classify_many(self, scope: Scope, receive: Receive) -> Response:
        """Many CIFAR-10 pictures, as many answers in their order; one bad picture fails alone."""
        return await self._many(scope, receive, self._cifar10())

    def _digits(self) -> dict[str, Shape]:
        return self._packaged("pictures of digits", digits=True)

    def _cifar10(self) -> dict[str, Shape]:
        return self._packaged("cifar10", digits=False)

    def _packaged(self, wanted: str, *, digits: bool) -> dict[str, Shape]:
        manifests = asked(self._manifests.values(), digits=digits)
        shapes = {manifest.task: manifest.shape for manifest in manifests}
        if not shapes:
            packaged = ", ".join(self._manifests)
            raise Refusal("not_packaged", f"no model for {wanted} is packaged here; there is one for {packaged}")
        return shapes

    async def _one(self, scope: Scope, receive: Receive, shapes: Mapping[str, Shape]) -> Response:
        uploads.expect_kind(uploads.content_type(scope), many=False)
        limits = self.limits
        with self._buffer.hold() as share:
            content = await uploads.body(scope, receive, share, limits.body_bytes, limits.body_seconds)
            async with _in_time(limits):
                found = await uploads.one(scope, content, shapes)
                readings = await self._desk.read(found.task, found.picture.pixels[None])
        manifest = self._manifests[found.task]
        answer = answers(manifest, readings, [found.picture.notes], every_class=True)[0]
        return Response(orjson.dumps({**answer, "model": identity(manifest)}), media_type=JSON)

    async def _many(self, scope: Scope, receive: Receive, shapes: Mapping[str, Shape]) -> Response:
        kind = uploads.content_type(scope)
        uploads.expect_kind(kind, many=True)
        every_class = _every_class(scope)
        limits = self.limits
        with self._buffer.hold() as share:
            most = limits.body_bytes if kind == JSON else limits.many_body_bytes
            content = await uploads.body(scope, receive, share, most, limits.body_seconds)
            # Counted with the body in hand: a slow caller must not take the place of a quick one.
            if self._many_in_progress >= limits.many_requests:
                raise Refusal(
                    "overloaded", f"{self._many_in_progress} requests for many pictures are being read; try again"
                )
            self._many_in_progress += 1
            try:
                async with _in_time(limits):
                    found = await uploads.many(scope, content, shapes, limits)
                    said = await self._each(found, every_class)
            finally:
                self._many_in_progress -= 1
        tasks = sorted({picture.task for picture in found if isinstance(picture, Found)})
        whole = {"answers": said, "models": {task: identity(self._manifests[task]) for task in tasks}}
        return Response(await asyncio.to_thread(orjson.dumps, whole), media_type=JSON)

    async def _each(self, found: Sequence[Found | Refusal], every_class: bool) -> list[dict[str, Any]]:
        """The answer to each picture: its task and reading, or its error."""
        said: list[dict[str, Any]] = [{}] * len(found)
        by_task: dict[str, list[int]] = {}
        for index, picture in enumerate(found):
            if isinstance(picture, Refusal):
                said[index] = picture.object()
                self.metrics.refused(picture.code)
            else:
                by_task.setdefault(picture.task, []).append(index)
        # No more runs at once than threads read: what others ask comes in between.
        turn = asyncio.Semaphore(self.limits.threads)

        async def read(task: str, chunk: list[int]) -> None:
            async with turn:
                pixels = np.stack([found[index].picture.pixels for index in chunk])
                readings = await self._desk.read(task, pixels, admitted=True)
            notes = [found[index].picture.notes for index in chunk]
            each = answers(self._manifests[task], readings, notes, every_class=every_class)
            for index, answer in zip(chunk, each, strict=True):
                said[index] = {"task": task, **answer}

        size = self.limits.batch
        async with asyncio.TaskGroup() as group:
            for task, indices in by_task.items():
                for start in range(0, len(indices), size):
                    group.create_task(read(task, indices[start : start + size]))
        return said


class _in_time:
    """Refuses what takes longer than `answer_seconds`."""

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.answer_seconds
        self._timeout = asyncio.timeout(limits.answer_seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise Refusal("timed_out", f"no answer within {self._seconds:g} seconds; try again later") from None


def _every_class(scope: Scope) -> bool:
    said = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True).get(PROBABILITIES)
    if said is None:
        return False
    if said not in (["true"], ["false"]):
        raise Refusal("bad_query", f"{PROBABILITIES}={','.join(said)[:40]} found, expected true or false")
    return said == ["true"]


def _described(manifest: Manifest) -> dict[str, Any]:
    height, width, channels = manifest.shape
    return {
        **identity(manifest),
        "bytes": manifest.model.bytes,
        "inputs": {"height": height, "width": width, "channels": channels, "dtype": "uint8"},
        "slots": manifest.slots,
        "class_names": list(manifest.class_names),
        "threshold": manifest.threshold,
        "metrics": dict(manifest.metrics),
    }
