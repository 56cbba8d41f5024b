"""The service as a Starlette application: routes, middleware, and one form for every error."""

import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.access.middleware import Access
from pipeline.access.settings import AccessSettings
from pipeline.core.decoding import PictureError
from pipeline.monitoring.log import PredictionLog
from pipeline.monitoring.settings import LogSettings
from pipeline.records.token import Scope
from pipeline.rollout.follower import Follower
from pipeline.rollout.store import Store
from pipeline.rollout.versions import Versions, task_of_name
from pipeline.runtime.gallery import Gallery
from pipeline.runtime.reader import Reader
from pipeline.scheduling.admission import Gate
from pipeline.scheduling.batching import DynamicBatcher, give_way
from pipeline.scheduling.errors import ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.shutdown import Shutdown
from pipeline.scheduling.watchdog import Watchdog, WatchedReader, watched_readers
from pipeline.serving import openapi, static, swagger
from pipeline.serving.codings import Decompression
from pipeline.serving.comparing import CompareEndpoints
from pipeline.serving.endpoints import OperationEndpoints, ReadEndpoints, RolloutEndpoints
from pipeline.serving.feedback import FeedbackEndpoints
from pipeline.serving.metrics import Metrics
from pipeline.serving.middleware import HEALTH_PATHS, Admission, AllowedHosts, RequestTracking
from pipeline.serving.supervisor import leave
from pipeline.serving.uploads import JSON

_log = logging.getLogger("bentoml.reader")
READ_PATHS = ("/read", "/read_many", "/classify", "/classify_many", "/compare", "/features")
ROLLOUT_PATH, ABORT_PATH = "/rollout", "/rollout/abort"
FEEDBACK_PATH = "/feedback"
SCOPES: Mapping[str, Scope] = {
    **dict.fromkeys((*READ_PATHS, "/info", "/metrics"), "read"),
    FEEDBACK_PATH: "feedback",
    **dict.fromkeys((ROLLOUT_PATH, ABORT_PATH), "admin"),
}
"""By path, the scope that a token needs for it."""
OPEN = ("/", *HEALTH_PATHS, "/openapi.json", "/schema.json")
"""Paths that need no token, beside what a browser loads: health checks, and what is the same for everybody."""
BENTOML_SCHEMA = "/schema.json"
"""The path where BentoML's clients look up what they can call."""


def create_app(
    readers: Mapping[str, Reader],
    limits: Limits,
    hosts: Sequence[str] = (),
    gallery: Gallery | None = None,
    log_settings: LogSettings | None = None,
    *,
    rollout: Path | None = None,
    access: AccessSettings | None = None,
    reload: Callable[[str], Reader] | None = None,
) -> Starlette:
    """Make the application of one process. Its lifespan begins and ends what runs beside the requests.

    If a run of a model does not end on request, the process ends (`pipeline.scheduling.watchdog`).

    Args:
        readers: of the models to serve, by task.
        limits: of this process.
        hosts: that requests may be for; none means any.
        gallery: the strategies that are compared; None compares those of `readers`, without feature maps.
        log_settings: of the prediction log; None logs nothing.
        rollout: the folder whose models replace those of `readers` (`pipeline.rollout.store`); None for none.
        access: who may call; None for everybody, and then nobody may call what needs the scope `admin`.
        reload: the reader of a task as in `readers`, loaded again; None takes the one of `readers`.

    Raises:
        DataError: the rollout folder, or a model in it, is damaged.
    """
    manifests = {task: reader.manifest for task, reader in readers.items()}
    metrics = Metrics(manifests, None if log_settings is None else log_settings.folder)
    shutdown = Shutdown(limits.stop_seconds, limits.close_seconds)

    log = None
    if log_settings is not None:
        log = PredictionLog(log_settings, count=metrics.count_log, begin=give_way)

    audit = None if access is None else access.audit

    def end(code: int) -> None:
        for part in _present(audit, log):
            part.close()
        with contextlib.suppress(OSError):
            metrics.close()
        leave(code)

    watchdog = Watchdog(shutdown, seconds=limits.answer_seconds, grace_seconds=limits.close_seconds, end=end)
    watched = watched_readers(readers, watchdog)
    batcher = DynamicBatcher(
        watched,
        threads=limits.threads,
        batch=limits.batch,
        waiting=limits.waiting,
        waiting_seconds=limits.waiting_seconds,
        inline_seconds=limits.inline_seconds,
        observe=lambda name, pictures: metrics.count_run(task_of_name(name), pictures),
    )
    gallery = Gallery.of(readers, None, limits.gallery_bytes) if gallery is None else gallery
    versions = Versions(watched, batcher, metrics.count_answer)

    follower = None
    if rollout is not None:
        follower = _follower(
            rollout, versions, watchdog, limits, metrics, gallery, reload or (lambda task: readers[task])
        )
        follower.begin()
    read = ReadEndpoints(versions, batcher, limits, metrics, log)
    compare = CompareEndpoints(gallery, watchdog, limits)
    # Feedback ends rollouts, and models learn from it: only a token of its scope may send it.
    say = None
    if log_settings is not None and access is not None:
        say = FeedbackEndpoints(
            versions,
            limits,
            log_settings,
            count=metrics.count_feedback,
            observe=_nothing if follower is None else follower.feedback,
        )
    operate = OperationEndpoints(versions, metrics, shutdown, feedback=say is not None)
    admission = [
        Middleware(Admission, limits=limits, shutdown=shutdown),
        Middleware(Decompression, limits=limits),
    ]
    # Only a token of the scope `admin` may change what is served.
    admin = RolloutEndpoints(Store(rollout)) if rollout is not None and access is not None else None
    scopes = None if access is None else SCOPES
    routes = [
        *(
            []
            if admin is None
            else [
                Route(ROLLOUT_PATH, admin.status),
                Route(ABORT_PATH, admin.abort, methods=["POST"], middleware=admission),
            ]
        ),
        *([] if say is None else [Route(FEEDBACK_PATH, say.feedback, methods=["POST"], middleware=admission)]),
        *(
            Route(path, endpoint, methods=["POST"], middleware=admission)
            for path, endpoint in zip(
                READ_PATHS,
                (read.read, read.read_many, read.classify, read.classify_many, compare.compare, compare.features),
                strict=True,
            )
        ),
        Route("/info", operate.info),
        Route("/livez", operate.live),
        Route("/healthz", operate.live),
        Route("/readyz", operate.ready),
        Route("/metrics", operate.metrics),
        _document("/openapi.json", openapi.document(manifests, limits, scopes, feedback=say is not None)),
        _document(BENTOML_SCHEMA, openapi.bentoml_schema()),
        *swagger.routes(),
        *static.routes(),
    ]
    for route in routes:
        # Starlette ends its expression with `$`, which a newline may follow.
        route.path_regex = re.compile(re.escape(route.path) + r"\Z")
    pages = (swagger.PATH, static.PATH)
    labels = {route.path: next((path for path in pages if route.path.startswith(path)), route.path) for route in routes}

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # It logs a line for every malformed form; clients are told, and metrics count.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)
        shutdown.listen()
        watchdog.start()
        for part in _present(follower, log):
            part.start()
        yield
        for part in _present(follower, batcher):
            part.close()
        watchdog.stop()
        # The log waits for the disk; the event loop has nothing else to do by now.
        for part in _present(read, compare, say, admin, access, log, metrics):
            part.close()

    async def handle(request: Request, exception: Exception) -> Response:
        error = _api_error(request, exception)
        metrics.count_error(error.code)
        return error.response()

    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(RequestTracking, limits=limits, metrics=metrics, shutdown=shutdown, labels=labels),
            *([Middleware(AllowedHosts, hosts=hosts, metrics=metrics)] if hosts else []),
            *([] if access is None else [_access(access, routes, metrics)]),
        ],
        exception_handlers=dict.fromkeys((ApiError, PictureError, HTTPException), handle),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    # For tests; BentoML takes the signals from the process.
    app.state.shutdown = shutdown
    app.state.follower = follower

    app.state.gate = Gate(batcher, limits, shutdown, ("/read", "/classify"), metrics.count_refused)
    return app


def _follower(
    rollout: Path,
    versions: Versions,
    watchdog: Watchdog,
    limits: Limits,
    metrics: Metrics,
    gallery: Gallery,
    reload: Callable[[str], Reader],
) -> Follower:
    """What keeps the models of this process those of the rollout folder."""

    def changed(reader: Reader, folder: Path | None) -> None:
        metrics.show_model(reader.manifest)
        gallery.serve(reader, folder)

    return Follower(
        Store(rollout),
        versions,
        watch=lambda reader: WatchedReader(reader, watchdog),
        watch_candidate=lambda reader: WatchedReader(reader, watchdog, limits.answer_seconds / 4),
        reload=reload,
        most_bytes=limits.candidate_bytes,
        changed=changed,
        count=metrics.count_compared,
    )


def _nothing(*_: object, **__: object) -> None:
    pass


def _present(*parts: Any) -> list[Any]:
    return [part for part in parts if part is not None]


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith((swagger.PATH, static.PATH))


def _access(access: AccessSettings, routes: Sequence[Route], metrics: Metrics) -> Middleware:
    """The middleware that asks for tokens: for every path that has a scope, and every path that is not there."""
    # A route that is in neither list is a bug, and the application is not made: nothing is open by mistake.
    scopes = {route.path: None if _is_open(route.path) else SCOPES[route.path] for route in routes}
    return Middleware(
        Access,
        tokens=access.tokens,
        rates=access.rates,
        audit=access.audit,
        scopes=scopes,
        count=metrics.count_error,
    )


def _document(path: str, document: Mapping[str, object]) -> Route:
    content = orjson.dumps(document)

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=JSON)

    return Route(path, endpoint, name=path)


def _api_error(request: Request, exception: Exception) -> ApiError:
    """The error that an exception stands for; Starlette raises 404 and 405 of its own."""
    if isinstance(exception, ApiError):
        return exception
    if isinstance(exception, PictureError):
        return ApiError.of(exception)
    path = request.scope["path"]
    if isinstance(exception, HTTPException) and exception.status_code == 404:
        return ApiError("not_found", f"no such path: {path[:80]!r}; /openapi.json lists the paths")
    if isinstance(exception, HTTPException) and exception.status_code == 405:
        methods = sorted((exception.headers or {})["Allow"].split(", "))
        return ApiError(
            "method_not_allowed",
            f"{request.method[:20]} {path}: expected {' or '.join(methods)}",
            {"Allow": ", ".join(methods)},
        )
    _log.error("%s failed", path, exc_info=exception)
    return ApiError("internal", "the service failed on this request; its log says why")
