"""The endpoint that takes what people say of answers."""

import base64
import binascii
import errno
import functools
import hashlib
import re
import time
from collections.abc import Callable

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from pipeline.access.middleware import NAME_KEY
from pipeline.core.decoding import decode_grey
from pipeline.core.lines import LINE_SLOTS
from pipeline.monitoring.feedback import FeedbackStore
from pipeline.monitoring.log import POLL_SECONDS, QUARANTINE
from pipeline.monitoring.monitor import PREDICTIONS
from pipeline.monitoring.quarantine import pictures_of, suffix_of
from pipeline.monitoring.reading import has_answer
from pipeline.monitoring.settings import LogSettings
from pipeline.records.answer import Feedback, FeedbackRequest
from pipeline.records.manifest import Manifest
from pipeline.records.monitoring import Correction
from pipeline.rollout.versions import Versions
from pipeline.runtime.answers import select
from pipeline.runtime.pages import LINES
from pipeline.scheduling.errors import CLOSE, ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.pools import Pool
from pipeline.serving.endpoints import body_of
from pipeline.serving.uploads import JSON, Buffer

_REST = 16_384
"""Bytes of a body beside its picture."""
_WAITING = 16
_LOOKS = 3
"""For an answer in the log, `POLL_SECONDS` apart: that of another worker may still be in its queue."""


class FeedbackEndpoints:
    """The endpoint of the scope `feedback`."""

    def __init__(
        self,
        versions: Versions,
        limits: Limits,
        settings: LogSettings,
        *,
        count: Callable[[str, str], object],
        observe: Callable[..., object],
    ) -> None:
        """Define.

        Args:
            versions: the models that are served.
            limits: of this process.
            settings: of the log, below which feedback is kept.
            count: called with the task and `right` or `wrong` for every answer that someone judged.
            observe: called once a picture with the SHA-256 of the model, and with `picture`, its digest; `wrong`,
                whether the answer was; and `given`, which says whether the log has the answer since a time.
        """
        self._versions = versions
        self._limits = limits
        self._log = settings.folder / PREDICTIONS
        self._quarantine = settings.folder / QUARANTINE
        self._store = FeedbackStore(settings.folder, most_bytes=settings.feedback_bytes)
        self._count = count
        self._observe = observe
        self._most = limits.picture_bytes * 4 // 3 + _REST
        self._buffer = Buffer(limits.buffered_bytes)
        self._pool = Pool("feedback", 1, _WAITING)

    async def feedback(self, request: Request) -> Response:
        """Keep what a person says of one answer.

        Raises:
            ApiError: `bad_json`, `bad_feedback`, `not_packaged`, `feedback_full`, or of the picture.
            PictureError: the picture cannot be decoded.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise ApiError("unsupported_content_type", f"Content-Type {kind[:60]} found, expected {JSON}", CLOSE)
        async with body_of(request, self._buffer, self._limits, self._most) as content:
            answer = await self._pool.run(self._keep, content, request.scope[NAME_KEY])
        return Response(orjson.dumps(answer.as_json()), media_type=JSON)

    def close(self) -> None:
        """Let the thread end."""
        self._pool.close()

    def _keep(self, body: bytes, token: str) -> Feedback:
        given = _parsed(body)
        manifest = self._versions.manifests.get(given.task)
        if manifest is None:
            served = ", ".join(self._versions.manifests)
            raise ApiError("not_packaged", f"no model for {given.task[:40]!r} is served here; served are: {served}")
        _expect_label(given, manifest)
        digest, picture = self._picture(given)
        correction = Correction(
            digest=digest,
            task=given.task,
            model=given.model,
            version=manifest.version if given.model == manifest.model.sha256 else None,
            reading=given.reading,
            label=given.label,
            token=token,
            time=round(time.time(), 3),
            picture=None,
        )
        try:
            former = self._store.keep(correction, picture)
        except OSError as error:
            if error.errno == errno.EDQUOT:
                raise ApiError("feedback_full", f"the feedback: {error.strerror}; `make label` makes room") from None
            raise
        # Said twice is said once: nobody ends a rollout by repeating it.
        if former is None or former.model != correction.model:
            self._count(given.task, "wrong" if correction.wrong else "right")
            said = functools.partial(self._was_given, correction)
            self._observe(given.model, picture=digest, wrong=correction.wrong, given=said)
        kept = picture is not None or (former is not None and former.picture is not None)
        return Feedback(digest=digest, wrong=correction.wrong, kept=kept)

    def _was_given(self, correction: Correction, since: float) -> bool:
        """Whether a worker gave this answer since a time; anybody can make up a digest, a picture or a reading."""
        for look in range(_LOOKS):
            if look:
                time.sleep(POLL_SECONDS)
            if has_answer(self._log, correction.digest, correction.task, correction.model, correction.reading, since):
                return True
        return False

    def _picture(self, given: FeedbackRequest) -> tuple[str, tuple[str, bytes] | None]:
        """The digest, and suffix and content of the file, which came along or is in quarantine."""
        if given.picture is None:
            if given.digest is None:
                raise ApiError("bad_feedback", "neither picture nor digest found, expected one of them")
            path = next(pictures_of(self._quarantine, given.digest), None)
            return given.digest, None if path is None else (path.suffix, path.read_bytes())
        try:
            content = base64.b64decode(given.picture, validate=True)
        except binascii.Error as error:
            raise ApiError("bad_feedback", f"picture: {error}; expected base 64") from None
        digest = hashlib.sha256(content).hexdigest()
        if given.digest not in (None, digest):
            raise ApiError("bad_feedback", f"digest: that of the picture is {digest}; expected it, or none")
        # What is not a picture is refused here, and not when someone opens it.
        decode_grey(content)
        return digest, (suffix_of(content), content)


def _parsed(body: bytes) -> FeedbackRequest:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError("bad_json", f"not JSON: {error}"[:200]) from None
    try:
        return FeedbackRequest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise ApiError("bad_feedback", f"{where}: {first['msg']}"[:200]) from None


def _expect_label(given: FeedbackRequest, manifest: Manifest) -> None:
    """A label that a model of this task could have read.

    Raises:
        ApiError: `bad_feedback`.
    """
    if select([manifest], digits=False):
        if given.label not in manifest.class_names:
            names = ", ".join(manifest.class_names)
            raise ApiError("bad_feedback", f"label: {given.label[:40]!r} found, expected one of {names}")
        return
    lines = given.label.split("\n") if given.task == LINES else [given.label]
    most = LINE_SLOTS if given.task == LINES else manifest.slots
    fewest = 1 if manifest.slots == 1 else 0
    for line in lines:
        if not re.fullmatch(rf"[0-9]{{{fewest},{most}}}", line):
            raise ApiError(
                "bad_feedback", f"label: {given.label[:40]!r} found, expected {fewest} to {most} digits 0 to 9"
            )
