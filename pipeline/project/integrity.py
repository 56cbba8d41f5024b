"""The files that DVC keeps, hashed again: DVC itself trusts time and size, which a bad disk does not change."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from dvc.repo import Repo
from dvc_data.hashfile.hash import hash_file
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError
from dvc_objects.fs.local import localfs
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.project import dvc

_FOLDER = ".dir"
"""The end of the name of an object that lists the files of a folder."""


@dataclass(frozen=True)
class Damage:
    """A file with other bytes than dvc.lock records, which DVC takes for intact.

    Attributes:
        path: of the file that a stage wrote, or of the folder whose list is damaged.
        place: the damaged file: `path` itself, or its copy in the cache; relative to the project if inside.
        stage: that wrote it.
        expected, found: MD5, in hexadecimal digits.
    """

    path: str
    place: str
    stage: str
    expected: str
    found: str

    def __str__(self) -> str:
        if self.place == self.path:
            where, removed, restored = "in the workspace", self.path, "`dvc checkout` or `make repro`"
        else:
            where, removed = f"in the cache ({self.place})", f"-r {self.place} {self.path}"
            restored = f"`dvc pull` or `dvc repro --force --single-item {self.stage}`"
        return (
            f"{self.path}: damaged {where}: MD5 {self.found} found, expected {self.expected} of {self.stage}; "
            f"`rm {removed}`, then {restored}"
        )


@dataclass(frozen=True)
class Examined:
    """The result of an examination.

    Attributes:
        files: that were hashed, those of the cache included.
        size: of these, in bytes.
        damaged: in the order of their paths.
    """

    files: int
    size: int
    damaged: tuple[Damage, ...]


@dataclass(frozen=True)
class _File:
    """A file to hash: `place` on disk, whose MD5 should be `expected`."""

    path: str
    place: Path
    stage: str
    algorithm: str
    expected: str


def examine(paths: Iterable[str] | None = None) -> Examined:
    """Hash the outputs that dvc.lock records, in the workspace and in the cache, several at a time.

    A file that is missing, or that DVC itself finds changed, is no damage: `dvc status` reports it.

    Args:
        paths: files and folders below which outputs are hashed; None for all of them.

    Raises:
        ConfigurationError: this is no DVC project, or dvc.yaml or dvc.lock is not valid.
        OSError: a file cannot be read.
    """
    below = None if paths is None else [PurePath(path) for path in paths]
    with dvc.opened() as repo:
        files = list(dict.fromkeys(_files(repo, below)))
        with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
            hashes = pool.map(_hash, files)
            found = list(tqdm(hashes, total=len(files), desc="hashing", unit="file", leave=False, disable=None))
        damaged = [
            Damage(file.path, _shown(file.place), file.stage, file.expected, digest)
            for file, (digest, _) in zip(files, found, strict=True)
            if digest != file.expected and _is_trusted(repo, file)
        ]
    return Examined(len(files), sum(size for _, size in found), tuple(sorted(damaged, key=lambda each: each.path)))


def expect_intact(paths: Iterable[str]) -> None:
    """Hash what DVC keeps below these paths; does nothing where the current folder is no DVC project.

    Raises:
        DataError: a file is damaged; the first one is named, and the others are counted.
        ConfigurationError: as for `examine`.
    """
    if not Path(".dvc").is_dir():
        return
    damaged = examine(paths).damaged
    if damaged:
        others = f" (and {len(damaged) - 1} more: `make doctor FSCK=1`)" if len(damaged) > 1 else ""
        raise DataError(f"{damaged[0]}{others}")


def _files(repo: Repo, below: list[PurePath] | None) -> Iterator[_File]:
    for stage in repo.index.stages:
        for out in stage.outs:
            path = os.path.relpath(out.fs_path, repo.root_dir)
            if not out.hash_info or out.fs.protocol != "local" or not _is_chosen(PurePath(path), below):
                continue
            yield from _files_of(out, path, stage.addressing)


def _files_of(out: Any, path: str, stage: str) -> Iterator[_File]:
    """The files of one output, a file or a folder: each in the workspace and, if it is kept there, in the cache."""
    algorithm, value = out.hash_info.name, out.hash_info.value
    entries = [(path, value)]
    if value.endswith(_FOLDER):
        listed = Path(out.cache.oid_to_path(value))
        if not listed.is_file():
            return
        yield _File(path, listed, stage, algorithm, value.removesuffix(_FOLDER))
        try:
            tree = Tree.load(out.cache, out.hash_info)
        except ObjectFormatError:
            # The hash of the list shows the damage.
            return
        entries = [(os.path.join(path, *key), entry.value) for key, (_, entry) in tree.iteritems()]  # noqa: PTH118
    for name, expected in entries:
        cached = Path(out.cache.oid_to_path(expected)) if out.use_cache else None
        if cached is not None and cached.is_file():
            yield _File(name, cached, stage, algorithm, expected)
        place = Path(name)
        # A link to the cache is the file that was hashed there.
        if place.is_file() and not (cached is not None and cached.is_file() and place.samefile(cached)):
            yield _File(name, place, stage, algorithm, expected)


def _is_chosen(path: PurePath, below: list[PurePath] | None) -> bool:
    return below is None or any(path.is_relative_to(each) or each.is_relative_to(path) for each in below)


def _hash(file: _File) -> tuple[str, int]:
    meta, found = hash_file(str(file.place), localfs, file.algorithm)
    return str(found.value), meta.size or 0


def _is_trusted(repo: Repo, file: _File) -> bool:
    """Whether DVC takes a damaged file for intact: it looks into no file of its cache, nor into one it has seen."""
    if file.place != Path(file.path):
        return True
    _, known = repo.state.get(str(file.place.absolute()), repo.fs)
    return known is not None and known.value == file.expected


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
