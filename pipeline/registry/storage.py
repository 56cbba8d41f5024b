"""The files of a revision as DVC keeps them: in git, in its cache, or in its remote storage."""

import contextlib
import errno
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dvc.exceptions import DvcException, OutputNotFoundError
from dvc.fs import DVCFileSystem
from dvc.repo import Repo
from dvc_data.index import DataIndexDirError

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.project import git
from pipeline.project.remote import collected_errors

LARGEST = 2**30
"""Bytes of a file in a folder that DVC tracks. The largest one, the scenes of a split, has some 70 million."""
_BLOCK = 2**20
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors of writing a copy; no reading fails with them."""


@dataclass(frozen=True)
class Storage:
    """The files of one revision.

    Attributes:
        revision: the commit, 40 hexadecimal digits.
    """

    revision: str
    _files: DVCFileSystem

    @classmethod
    @contextlib.contextmanager
    def at(cls, root: Path, revision: str) -> Iterator["Storage"]:
        """Open the files of a revision; the workspace is not touched.

        Raises:
            ConfigurationError: the folder is not a DVC project.
            RegistryError: this clone has no such revision, or a branch or a tag that is named like it.
        """
        # All processes of a machine share DVC's index of files, and one that reads it while another fills it misses
        # some. With a folder of its own, each process fills its own index.
        with tempfile.TemporaryDirectory() as index, _opened(root, site_cache_dir=index) as repo:
            _expect_unambiguous(root, revision)
            try:
                configured = repo.config
                with repo.switch(revision):
                    # The remote storage is where it is now, not where it was when the version was registered.
                    repo.config = configured
                    yield cls(revision, repo.dvcfs)
            except DvcException as error:
                raise RegistryError(f"{revision[:12]}: {_line(error)}") from None

    def md5(self, path: str) -> str:
        """The MD5 that is a file's name in DVC's cache. The file itself is not read.

        Raises:
            RegistryError: DVC does not track this file at this revision, or the list of its folder is gone.
        """
        try:
            return self._files.info(f"/{path}")["md5"]
        except (FileNotFoundError, KeyError, DataIndexDirError):
            raise RegistryError(
                f"{path}: not tracked by DVC at {self.revision[:12]}, or its folder is in neither cache nor remote; "
                "`dvc pull` or `make repro` restores it"
            ) from None

    def names(self, path: str) -> list[str]:
        """What is in a folder, sorted; nothing where there is no such folder at this revision.

        Raises:
            RegistryError: DVC tracks the folder, and its list is gone.
        """
        try:
            return sorted(PurePosixPath(each).name for each in self._files.ls(f"/{path}", detail=False))
        except FileNotFoundError:
            return []
        except DataIndexDirError:
            raise RegistryError(
                f"{path}: gone: neither the cache nor the remote storage has its list as of {self.revision[:12]}; "
                "`dvc pull` or `make repro` restores it"
            ) from None

    def fetch(self, path: str, target: Path) -> Path:
        """Copy a file from the cache, or else from the remote storage, to `target`, and compare its size and MD5.

        No more is read than the size in dvc.lock, or than `LARGEST` for a file of a folder, whose sizes DVC does not
        record: a storage that never stops sending fills no disk.

        Raises:
            OSError: the copy cannot be written; then nothing is left at `target`.
            RegistryError: neither has it, or it was changed; then nothing is left at `target`.
        """
        expected = self.md5(path)
        size = self._files.info(f"/{path}")["size"]
        limit = LARGEST if size is None else size
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            found = self._copy(path, target, limit)
        except _TooLarge:
            target.unlink()
            raise RegistryError(
                f"{path}: more than the {limit:,} bytes expected as of {self.revision[:12]}; the cache or the remote "
                "storage has another file"
            ) from None
        except (OSError, DvcException, DataIndexDirError) as error:
            target.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in _UNWRITABLE:
                raise OSError(error.errno, error.strerror, str(target)) from None
            raise RegistryError(
                f"{path}: gone: neither the cache nor the remote storage has it as of {self.revision[:12]} "
                f"(MD5 {expected}, {type(error).__name__}); `dvc pull`, or `make repro` at that revision, restores it"
            ) from None
        if found != expected:
            target.unlink()
            raise RegistryError(
                f"{path}: MD5 {found} found in the cache, expected {expected} as of {self.revision[:12]}; "
                f"it was changed or damaged: remove .dvc/cache/files/md5/{expected[:2]}/{expected[2:]} and `dvc pull` "
                "or `make repro` it again"
            )
        return target

    def _copy(self, path: str, target: Path, limit: int) -> str:
        """Copy a file of at most `limit` bytes, and return its MD5."""
        md5, left = hashlib.md5(usedforsecurity=False), limit
        with self._files.open(f"/{path}", "rb") as source, target.open("wb") as copy:
            while block := source.read(min(_BLOCK, left + 1)):
                if (left := left - len(block)) < 0:
                    raise _TooLarge
                md5.update(block)
                copy.write(block)
        return md5.hexdigest()


def _expect_unambiguous(root: Path, revision: str) -> None:
    """Raise a RegistryError where a ref has the commit's id as its name: DVC would open what that ref names."""
    places = ("refs", "refs/tags", "refs/heads", "refs/remotes", "refs/remotes/*")
    found = git.output("for-each-ref", "--format=%(refname)", *(f"{place}/{revision}" for place in places), folder=root)
    if found:
        ref = found.splitlines()[0]
        raise RegistryError(
            f"{ref}: named like a commit, and DVC would take one for the other; `git update-ref -d {ref}` removes it"
        )


class _TooLarge(Exception):
    """A file has more bytes than it may have."""


def push(root: Path, paths: Sequence[str], *, beside: Sequence[str] = ()) -> str | None:
    """Push these files, as dvc.lock in the workspace has them, to the remote storage, so that they outlive the cache.

    Args:
        root: the clone's top folder.
        paths: relative to it.
        beside: the same, pushed where DVC tracks them.

    Returns:
        The remote's name; None where none is configured.

    Raises:
        RegistryError: the storage cannot be written, or the cache lacks one of the files.
    """
    with _opened(root) as repo:
        remote = repo.config["core"].get("remote")
        if remote is None:
            return None
        try:
            # Whole outs: for a file inside a folder, DVC would push the file without the folder's list.
            outs = {out.fspath for path in paths for out in repo.find_outs_by_path(str(root / path), strict=False)}
            for path in beside:
                with contextlib.suppress(OutputNotFoundError):
                    outs |= {out.fspath for out in repo.find_outs_by_path(str(root / path), strict=False)}
            with collected_errors() as reasons:
                repo.push(targets=sorted(outs))
        except (DvcException, OSError) as error:
            why = "; ".join([_line(error), *(" ".join(str(each).split()) for each in reasons[:1])])
            raise RegistryError(f"dvc push to {remote}: {why}; nothing was registered") from None
        return remote


@contextlib.contextmanager
def _opened(root: Path, **core: str) -> Iterator[Repo]:
    try:
        repo = Repo(str(root), config={"core": core})
    except DvcException as error:
        raise ConfigurationError(f"{root}: not a DVC project ({_line(error)}); run in a clone of the project") from None
    with repo:
        yield repo


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
