"""The BentoML service: mounts the application of `pipeline.serving.app` and gives it the packaged models."""

import contextlib
import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bentoml
from bentoml import get_current_service
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.utils.analytics.usage_stats import do_not_track
from bentoml.exceptions import BentoMLException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.access import settings
from pipeline.access.settings import AccessSettings
from pipeline.core.errors import PipelineError
from pipeline.monitoring.settings import FOLDER_VARIABLE, LogSettings
from pipeline.records.manifest import Manifest
from pipeline.rollout.follower import expect_loadable
from pipeline.rollout.store import ROLLOUT_VARIABLE, Store
from pipeline.runtime.gallery import Gallery
from pipeline.runtime.memory import bound_freed_memory
from pipeline.runtime.reader import Reader, load_readers
from pipeline.runtime.releases import ARTIFACTS_VARIABLE
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app
from pipeline.serving.metrics import make_folder, remove_folder
from pipeline.serving.middleware import hosts_of
from pipeline.serving.protocol import install, use_gate
from pipeline.serving.supervisor import expect_pinned, pin, stop_service, watch_supervisor

SERVICE = "reader"
_SWITCH_SECONDS = 0.0005


def artifacts() -> Path:
    """The folder that the environment names, or `artifacts` beside this package."""
    default = Path(__file__).parents[2] / "artifacts"
    return Path(os.environ.get(ARTIFACTS_VARIABLE) or default)


def packaged_readers() -> dict[str, Reader]:
    """Readers by task, from `artifacts()`.

    Raises:
        BentoMLException: a model is missing, damaged, or not the one its manifest names. `bentoml serve` prints this
            kind of exception as one line and exits.
    """
    try:
        return load_readers(artifacts())
    except PipelineError as error:
        raise BentoMLException(str(error)) from None
    except OSError as error:
        raise BentoMLException(f"{error.filename}: {error.strerror}") from None


def gallery_of(readers: Mapping[str, Reader]) -> Gallery:
    """The strategies that can be compared, beside the packaged models.

    Raises:
        BentoMLException: a manifest is damaged or in another strategy's folder.
    """
    try:
        return Gallery.of(readers, artifacts(), limits().gallery_bytes)
    except PipelineError as error:
        raise BentoMLException(str(error)) from None


def pinned_models() -> tuple[dict[str, Reader], Gallery]:
    """The same in a worker: if they are not those that the supervisor loaded, the service stops."""
    try:
        readers = packaged_readers()
        gallery = gallery_of(readers)
        expect_pinned(readers, gallery.manifests())
    except (BentoMLException, PipelineError) as error:
        stop_service(str(error))
    return readers, gallery


def limits() -> Limits:
    """The limits that the environment sets.

    Raises:
        BentoMLException: one of them is not a number above 0.
    """
    try:
        return Limits.of(os.environ)
    except PipelineError as error:
        raise BentoMLException(str(error)) from None


def log_settings() -> LogSettings | None:
    """The prediction log that the environment asks for.

    Raises:
        BentoMLException: one of its settings is not a number in its range.
    """
    try:
        return LogSettings.of(os.environ)
    except PipelineError as error:
        raise BentoMLException(str(error)) from None


def hosts() -> tuple[str, ...]:
    """The hosts that the environment allows.

    Raises:
        BentoMLException: one of them is malformed.
    """
    try:
        return hosts_of(os.environ)
    except PipelineError as error:
        raise BentoMLException(str(error)) from None


def access() -> AccessSettings | None:
    """Who may call, as the environment says; None where anybody may.

    Raises:
        BentoMLException: the file of tokens or the audit log cannot be used.
    """
    try:
        return AccessSettings.of(os.environ, limits().audit_bytes)
    except PipelineError as error:
        raise BentoMLException(str(error)) from None


def rollout_folder() -> Path | None:
    """The rollout folder that the environment names; None where it names none."""
    named = os.environ.get(ROLLOUT_VARIABLE)
    return Path(named) if named else None


def expect_rollout(manifests: Mapping[str, Manifest]) -> None:
    """Make the rollout folder where it is not there, and load the models in it that would be served.

    Raises:
        BentoMLException: it cannot be written, or is damaged.
    """
    folder = rollout_folder()
    if folder is None:
        return
    try:
        store = Store(folder)
        store.make()
        expect_loadable(store, manifests, limits().candidate_bytes)
    except PipelineError as error:
        raise BentoMLException(str(error)) from None


def remove_folders() -> None:
    """Remove what the supervisor made for its workers, where it cannot."""
    remove_folder()
    settings.remove_folder()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The application of this process: BentoML mounts it before it makes the service that loads the models."""
    await get_current_service().application(scope, receive, send)


def with_cors(app: ASGIApp) -> ASGIApp:
    """An application that answers browsers of other origins, if BentoML's settings (`http.cors`) say so.

    Raises:
        BentoMLException: the settings are incomplete or malformed.
    """
    if not BentoMLContainer.http.cors.enabled.get():
        return app
    options: dict[str, Any] = {"allow_methods": ["GET", "POST"]} | BentoMLContainer.access_control_options.get()
    try:
        if options.get("allow_origins") is None:
            raise ValueError("no access_control_allow_origins found, expected a list of origins")
        return CORSMiddleware(app, **options)
    except Exception as error:
        raise BentoMLException(f"http.cors of {SERVICE}: {error}") from None


def expect_no_other_limits() -> None:
    """Refuse settings of BentoML's that would answer requests in another form than the application.

    Raises:
        BentoMLException: there is one.
    """
    most = BentoMLContainer.config.services[SERVICE].traffic.max_concurrency.get()
    if most is not None:
        raise BentoMLException(
            f"traffic.max_concurrency of {SERVICE}: {most} found, expected none; READER_REQUESTS limits the requests "
            "of a process"
        )


class Precedence:
    """Hands requests to the application before BentoML's router, which comes to what is mounted last.

    BentoML would answer some paths itself, in a form of its own; its request context and router take a few percent of
    the time of a request to a small model. Its CORS settings hold.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._application = with_cors(application)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await (self._application if scope["type"] == "http" else self._app)(scope, receive, send)


@bentoml.asgi_app(application)
@bentoml.service(
    name=SERVICE,
    workers="cpu_count",
    # The application has its own time limits; this one only has to be longer (docs/serving.md). BentoML keeps a timer
    # of every request until then.
    traffic={"timeout": 60},
    # The application counts: BentoML's labels hold the raw path, and grow with whatever clients make up.
    metrics={"enabled": False},
    # Each costs more than the application does. BENTOML_CONFIG_OPTIONS turns them on again (docs/serving.md).
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": [".*"]},
)
class ReaderService:
    """Reads handwritten digits and classifies CIFAR-10 pictures.

    Attributes:
        application: of this process.
    """

    def __init__(self) -> None:
        # The event loop waits no longer than this for a thread that decodes.
        sys.setswitchinterval(_SWITCH_SECONDS)
        watch_supervisor(remove_folders)
        readers, gallery = pinned_models()
        try:
            self.application = create_app(
                readers,
                limits(),
                hosts(),
                gallery,
                log_settings(),
                rollout=rollout_folder(),
                access=access(),
                reload=lambda task: Reader.load(artifacts() / task),
            )
        except (BentoMLException, PipelineError) as error:
            stop_service(str(error))
        # What it rejects would lack the headers of CORS.
        if not BentoMLContainer.http.cors.enabled.get():
            use_gate(self.application.state.gate)
        self._lifespan = contextlib.AsyncExitStack()

    # A worker that cannot start is started again and again. This runs once, before there are workers, and stops it all.
    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Exit if a model is missing or is not the one its manifest names; make what the workers share."""
        limits()
        hosts()
        if (found := access()) is not None:
            found.close()
        if (logging := log_settings()) is not None:
            # A worker may have another working directory.
            os.environ[FOLDER_VARIABLE] = str(logging.folder)
        with_cors(application)
        expect_no_other_limits()
        readers = packaged_readers()
        expect_rollout({task: reader.manifest for task, reader in readers.items()})
        pin(readers, gallery_of(readers).manifests())
        # malloc reads them only when a process starts.
        bound_freed_memory(os.environ)
        try:
            make_folder()
            settings.make_folder(os.environ)
        except PipelineError as error:
            raise BentoMLException(str(error)) from None

    @bentoml.on_startup
    async def start(self) -> None:
        """Begin what runs beside the requests. BentoML begins the lifespan only of what exists when it mounts."""
        await self._lifespan.enter_async_context(self.application.router.lifespan_context(self.application))
        # What exists by now stays. To look through all of it again and again holds up every request for half a second
        # on a busy machine.
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """End it."""
        await self._lifespan.aclose()


install()
# BentoML asked the environment before it imported this, and remembers the answer.
do_not_track.cache_clear()
# What BentoML's decorator returns has the type of the class to type checkers, but is a Service.
ReaderService.add_asgi_middleware(Precedence)  # type: ignore[attr-defined]
