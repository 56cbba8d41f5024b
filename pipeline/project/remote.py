"""The DVC remote, which several machines share: whether it can be used, its small files, and why a call failed."""

import concurrent.futures
import contextlib
import errno
import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dvc.config import NoRemoteError
from dvc.config import RemoteConfigError as DvcRemoteConfigError
from dvc.exceptions import DvcException, FileTransferError
from dvc.repo import Repo
from dvc_objects.fs.errors import AuthError, ConfigError, RemoteMissingDepsError

from pipeline.core.errors import ConfigurationError, PipelineError
from pipeline.project import dvc, git

INSTALL = "make extras"
"""Installs the plugins of DVC."""
PATIENCE = 30.0
"""Seconds in which a remote writes, reads and removes a file of a few bytes."""
_LONGEST = 300
"""Characters of a library's message."""
_FULL = ("no space left", "disk full", "storagefull", "quotaexceeded", "insufficientstorage", "disk quota exceeded")
_REFUSED = (
    *("invalidaccesskeyid", "signaturedoesnotmatch", "accessdenied", "access denied", "forbidden", "expiredtoken"),
    *("invalidtoken", "permission denied", "unable to locate credentials", "nocredentials", "host key is not trusted"),
    *("unable to find aws credentials", "the aws access key id you provided", "request signature we calculated"),
)
_ABSENT = ("nosuchbucket", "specified bucket does not exist", "bucket does not exist")
_Returned = TypeVar("_Returned")


class RemoteError(PipelineError):
    """The remote does not answer, is full, or stopped in the middle: the same command may succeed later."""

    exit_code = 4
    kind = "remote"


@dataclass(frozen=True)
class Remote:
    """The default remote of a project.

    Attributes:
        name: in DVC's configuration.
        address: as configured, without a password.
    """

    name: str
    address: str
    _fs: Any
    _path: str

    @classmethod
    def of(cls, repo: Repo) -> "Remote":
        """The default remote. It is not contacted.

        Raises:
            ConfigurationError: none is configured, its configuration is not valid, or its plugin is not installed.
        """
        name = repo.config["core"].get("remote")
        address = git.without_password(repo.config["remote"].get(name, {}).get("url", "")) if name else ""
        with explained(name or "", address):
            remote = repo.cloud.get_remote()
        return cls(remote.name, address, remote.fs, remote.path)

    def probe(self) -> None:
        """Write, read and remove a file of a few bytes.

        Raises:
            ConfigurationError: the remote refuses the key, or there is no such bucket.
            RemoteError: it does not answer within `PATIENCE` seconds, is full, or cannot be reached.
        """
        path = f"probe/{secrets.token_hex(8)}"
        content = secrets.token_bytes(16)

        def write_and_read() -> bytes | None:
            self.write(path, content)
            try:
                return self.read(path)
            finally:
                with explained(self.name, self.address):
                    self._fs.remove(self._at(path))

        if self._within(write_and_read) != content:
            raise RemoteError(f"{self.name} ({self.address}): returns other bytes than were written to it")

    def read(self, path: str) -> bytes | None:
        """The content of a small file, None where there is none."""
        with explained(self.name, self.address):
            try:
                return self._fs.fs.cat_file(self._at(path))
            except FileNotFoundError:
                return None

    def write(self, path: str, content: bytes) -> None:
        """Write a small file, whole or not at all."""
        target = self._at(path)
        with explained(self.name, self.address):
            if self._fs.protocol == "s3":
                self._fs.fs.pipe_file(target, content)
                return
            # Elsewhere a reader could see a part of it.
            partial = f"{target}.{secrets.token_hex(4)}.partial"
            self._fs.makedirs(self._fs.parent(target), exist_ok=True)
            self._fs.fs.pipe_file(partial, content)
            self._fs.fs.mv(partial, target)

    def copy_to(self, folder: str, target: Callable[[str], str]) -> list[str]:
        """Copy the files of a folder to this machine.

        Args:
            folder: below the remote.
            target: by the name of a file, its path here.

        Returns:
            The names of the files; none where there is no such folder.
        """
        with explained(self.name, self.address):
            try:
                paths = self._fs.find(self._at(folder))
                names = [self._fs.name(path) for path in paths]
                for path, name in zip(paths, names, strict=True):
                    self._fs.get_file(path, target(name))
            except FileNotFoundError:
                return []
        return names

    def _at(self, path: str) -> str:
        return self._fs.join(self._path, *path.split("/"))

    def _within(self, call: Callable[[], _Returned]) -> _Returned:
        """What a call returns, if it does so in `PATIENCE` seconds; else its thread ends with the process."""
        future: concurrent.futures.Future[_Returned] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        try:
            return future.result(PATIENCE)
        except concurrent.futures.TimeoutError:
            raise RemoteError(f"{self.name} ({self.address}): no answer within {PATIENCE:.0f} s") from None


def push(targets: list[str] | None = None, *, run_cache: bool = False) -> str:
    """Push what dvc.lock records, and the run cache, to the default remote.

    Args:
        targets: stages or outputs; None for all.
        run_cache: also what DVC's run cache knows of earlier runs.

    Returns:
        One line with what was done.

    Raises:
        ConfigurationError, RemoteError: as `Remote.probe` does.
    """
    with dvc.opened() as repo:
        remote = Remote.of(repo)
        remote.probe()
        with explained(remote.name, remote.address):
            number = repo.push(targets=targets)
            if run_cache:
                number += _push_run_cache(repo)
    return f"{number:,} file{'' if number == 1 else 's'} pushed to {remote.name} ({remote.address})"


def pull(*, run_cache: bool = False) -> str:
    """Pull what dvc.lock records, and the run cache, from the default remote; what it does not have is left out.

    Args:
        run_cache: also what DVC's run cache knows of earlier runs, of any machine.

    Returns:
        One line with what was done.

    Raises:
        ConfigurationError, RemoteError: as `Remote.probe` does.
    """
    with dvc.opened() as repo:
        remote = Remote.of(repo)
        remote.probe()
        with explained(remote.name, remote.address):
            found = repo.pull(run_cache=run_cache, allow_missing=True)
        missing = sum(out.use_cache and out.changed_cache() for stage in repo.index.stages for out in stage.outs)
    line = f"{found.get('fetched', 0):,} files pulled from {remote.name} ({remote.address})"
    return f"{line}; {missing} outputs are not there: `make repro` makes them" if missing else line


def _push_run_cache(repo: Repo) -> int:
    """Push the run cache with the files that it names: DVC 3 pushes those of dvc.lock alone."""
    folder = Path(repo.stage_cache.cache_dir)
    entries = [(path.parent.name, path.name) for path in folder.glob("*/*/*")]
    used = repo.stage_cache.get_used_objs(entries, force=True).values()
    # A file that was collected as garbage takes its entry out of use, and stops nothing.
    kept = {each for objects in used for each in objects if repo.cache.local.exists(each.value)}
    number = len(repo.cloud.push(kept).transferred) if kept else 0
    return number + len(repo.stage_cache.push(None))


@contextlib.contextmanager
def explained(name: str, address: str) -> Iterator[None]:
    """Turn what DVC and the libraries of its remotes raise into one line.

    Raises:
        ConfigurationError: no remote, no plugin, a wrong key, no such bucket: the same command fails again.
        RemoteError: the remote is full, cut off or out of reach.
    """
    try:
        with collected_errors() as reasons:
            yield
    except PipelineError:
        raise
    except NoRemoteError:
        raise ConfigurationError(
            "no DVC remote: expected one that all machines reach; dvc remote add -d NAME ADDRESS"
        ) from None
    except RemoteMissingDepsError as error:
        raise ConfigurationError(
            f"remote {name} ({address}): needs dvc-{error.protocol}, which is not installed; {INSTALL}"
        ) from None
    except ImportError as error:
        # A kind of remote that DVC knows and that no extra installs is told in its words.
        raise ConfigurationError(f"remote {name} ({address}): {_line(error)}; {INSTALL} installs S3 and SSH") from None
    except (DvcRemoteConfigError, ConfigError, AuthError) as error:
        raise ConfigurationError(f"remote {name} ({address}): {_line(error)}") from None
    except Exception as error:
        if not _is_remote(error):
            raise
        raise _explained(error, reasons, f"{name} ({address})") from None


def _explained(error: BaseException, reasons: list[BaseException | str], remote: str) -> PipelineError:
    # DVC counts the files that failed; why is in what it logged, and botocore's reason below that of s3fs.
    causes = [*_chain(error), *(cause for reason in reasons for cause in _chain(reason))]
    told = [cause for cause in causes if not isinstance(cause, FileTransferError)] or causes
    line = _line(told[0])
    text = " ".join(f"{type(cause).__name__} {cause}".lower() for cause in causes)
    codes = {getattr(cause, "errno", None) for cause in causes}
    if codes & {errno.ENOSPC, errno.EDQUOT} or any(word in text for word in _FULL):
        return RemoteError(f"{remote}: full: {line}; free some space there and run again")
    if any(word in text for word in _ABSENT):
        return ConfigurationError(f"remote {remote}: no such bucket: {line}; create it, or dvc remote modify")
    if codes & {errno.EACCES, errno.EPERM, errno.EROFS} or any(word in text for word in _REFUSED):
        return ConfigurationError(f"remote {remote}: refused: {line}; check the key, and what it may do there")
    return RemoteError(f"{remote}: {line}; run again once it answers, what arrived is kept")


def _is_remote(error: BaseException) -> bool:
    """Whether an error is of a remote's library, and not a bug of this project."""
    modules = ("dvc", "dvc_data", "dvc_objects", "botocore", "aiobotocore", "s3fs", "fsspec", "asyncssh", "sshfs")
    roots = {type(cause).__module__.partition(".")[0] for cause in _chain(error)}
    return isinstance(error, OSError | DvcException | TimeoutError) or bool(roots & {*modules, "aiohttp"})


def _chain(error: BaseException | str | None) -> Iterator[BaseException | str]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__ if isinstance(error, BaseException) else None


def _line(error: BaseException | str) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@contextlib.contextmanager
def collected_errors() -> Iterator[list[BaseException | str]]:
    """Collect the errors that DVC would print, one for each file."""
    found: list[BaseException | str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(  # type: ignore[method-assign]
        record.exc_info[1] if record.exc_info and record.exc_info[1] else record.getMessage()
    )
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    try:
        yield found
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
