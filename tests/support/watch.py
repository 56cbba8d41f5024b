"""A file-system watch: a block that may write to some folders and to nothing else.

It compares what the watched folders hold before and after the block: the type, size, inode, mode, and the times of
modification and of change. The time of change cannot be set back, so that a file that was written and restored is
found. A file that was created and removed again is found by its folder.

    with watch.only(work, roots=watch.roots(work, canary)):
        run("registry", "verify")
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
NOISE = frozenset(
    {
        "__pycache__", ".cache", ".coverage", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv",
        ".venv-docs",
        # What git rewrites when it only reads.
        "index", "index.lock",
    }
)  # fmt: skip
"""Names that are not watched: what Python, pytest and git write beside what is tested, whatever is tested."""
HOME_DEPTH = 2
"""Levels of the home folder that are watched. Settings are there, and what is deeper may be a million files."""


@dataclass(frozen=True)
class Root:
    """A folder that is watched, to a `depth` of levels; None for all."""

    path: Path
    depth: int | None = None


Entry = tuple[int, ...]
Snapshot = dict[Path, Entry]


class Touched(AssertionError):
    """The block touched something outside.

    Attributes:
        changes: by path, `created`, `changed` or `deleted`.
    """

    def __init__(self, changes: dict[Path, str]) -> None:
        super().__init__("outside the allowed folders: " + "; ".join(f"{changes[path]} {path}" for path in changes))
        self.changes = changes


def canary(folder: Path) -> Path:
    """A new folder with files and folders of the kind that hostile input is aimed at."""
    for name in (".ssh/authorized_keys", ".gitconfig", ".bashrc", "etc/passwd", "model.onnx", "manifest.json", "x/y/z"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"canary {name}\n", encoding="utf-8")
    return folder


def roots(work: Path, *others: Path) -> list[Root]:
    """What is watched by default: the parent of the work folder, the home folder, the checkout, and these others."""
    return [Root(work.parent), Root(Path.home(), HOME_DEPTH), Root(CHECKOUT), *(Root(path) for path in others)]


@contextlib.contextmanager
def only(*allowed: Path, roots: Iterable[Root | Path] | None = None, noise: frozenset[str] = NOISE) -> Iterator[None]:
    """Run a block that may create, change and delete below these folders, and nothing else that is watched.

    Processes that the block started count as well, if they have ended with it.

    Args:
        allowed: folders, existing or not; the first one is the work folder.
        roots: what is watched; the default is `roots(work)`.
        noise: names of files and folders that do not count, wherever they are.

    Raises:
        Touched: something else was created, changed or deleted; the message names every path. It is raised whether
            the block succeeded or not.
    """
    watched = [
        root if isinstance(root, Root) else Root(root) for root in (_defaults(allowed) if roots is None else roots)
    ]
    inside = [folder.resolve() for folder in allowed]
    before = snapshot(watched, inside, noise)
    try:
        yield
    finally:
        if changes := compare(before, snapshot(watched, inside, noise)):
            raise Touched(changes)


def snapshot(watched: Iterable[Root], without: Iterable[Path] = (), noise: frozenset[str] = NOISE) -> Snapshot:
    """What the roots hold: by path, what identifies its content. Links are not followed."""
    found: Snapshot = {}
    excluded = set(without)
    for root in watched:
        folders = [(root.path.resolve(), 0)]
        # Of the root, its being there; its time changes with each allowed folder that is made in it.
        if folders[0][0] not in excluded:
            found.setdefault(folders[0][0], (int(os.path.lexists(root.path)),))
        while folders:
            folder, level = folders.pop()
            if folder in excluded:
                continue
            try:
                entries = list(os.scandir(folder))
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            for entry in entries:
                path = folder / entry.name
                if entry.name in noise or path in excluded:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    # The times of a folder that holds noise or an allowed folder change with those.
                    is_folder = stat.S_ISDIR(status.st_mode)
                    steady = not is_folder or not any(_holds(path, other) for other in excluded)
                    found[path] = _identity(status, times=steady)
                    if is_folder and (root.depth is None or level + 1 < root.depth):
                        folders.append((path, level + 1))
    return found


def compare(before: Snapshot, after: Snapshot) -> dict[Path, str]:
    """By path, what happened to it. A folder is named only where nothing below it is."""
    changes = dict.fromkeys(after.keys() - before.keys(), "created")
    changes |= dict.fromkeys(before.keys() - after.keys(), "deleted")
    named = {parent for path in changes for parent in path.parents}
    changed = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    named |= {parent for path in changed for parent in path.parents}
    changes |= {path: "changed" for path in changed if path not in named}
    return dict(sorted(changes.items()))


def _defaults(allowed: tuple[Path, ...]) -> list[Root]:
    return roots(allowed[0])


def _identity(status: os.stat_result, *, times: bool) -> Entry:
    kept = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_ino, status.st_uid, status.st_gid)
    if not times:
        return kept
    size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    return (*kept, size, status.st_mtime_ns, status.st_ctime_ns)


def _holds(folder: Path, other: Path) -> bool:
    return folder == other.parent or folder in other.parents
