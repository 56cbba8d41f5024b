"""The folder `corrections`: labelled pictures of each task, which DVC tracks, and what else was looked at."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.config.sections import REVIEWS_FOLDER
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import replacing
from pipeline.data import exclusions
from pipeline.data.corrections import COLUMNS, FOLDER, LABELS
from pipeline.labelling.tables import Row, Table

PICTURES = "pictures"
REVIEWED = "reviewed.csv"
REVIEWED_COLUMNS = ("kind", "of", "digest", "place", "verdict", "by")

Kind = Literal["picture", "suspect"]
Verdict = Literal["right", "wrong", "no digits", "unusable"]
Undo = Callable[[], None]
"""Takes back a change."""


@dataclass(frozen=True)
class Corrections:
    """The labels of pictures that the service read, and the verdicts on everything else that was looked at.

    `TASK/labels.csv` has the labels, `reviewed.csv` the verdicts: of a suspect, `right` or `wrong`; of both,
    `no digits` or `unusable`. Suspects whose label is not right also go to the list of their source in `reviews`.
    `compose` does not depend on the verdicts (.dvcignore).

    Attributes:
        folder: of all tasks.
        reviews: the folder of the lists of pictures that training leaves out.
    """

    folder: Path = FOLDER
    reviews: Path = Path(REVIEWS_FOLDER)

    def labels(self, task: str) -> Table:
        """The labels of a task."""
        return Table(self.folder / task / LABELS, COLUMNS, ("file",))

    def reviewed(self) -> Table:
        """The verdicts."""
        return Table(self.folder / REVIEWED, REVIEWED_COLUMNS, ("kind", "of", "digest", "place"))

    def excluded_table(self, source: str) -> Table:
        """The pictures of a source that training leaves out."""
        return Table(self.reviews / f"{source}.csv", exclusions.COLUMNS, ("sha256",), ordered=False)

    def tasks(self) -> list[str]:
        """The tasks with labels."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{LABELS}"))

    def pictures(self) -> set[tuple[str, str]]:
        """Task and digest of every picture that was labelled or found unusable.

        Raises:
            DataError: a table is damaged.
        """
        labelled = {(task, Path(name).stem) for task in self.tasks() for (name,) in self.labels(task).rows()}
        return labelled | {(of, digest) for kind, of, digest, _ in self.reviewed().rows() if kind == "picture"}

    def judged(self, source: str) -> set[tuple[str, str]]:
        """Digest and place of every suspect of a source that was judged."""
        rows = self.reviewed().rows()
        return {(digest, place) for kind, of, digest, place in rows if kind == "suspect" and of == source}

    def excluded(self, source: str) -> set[str]:
        """The digests of the pictures of a source that training leaves out."""
        return {digest for (digest,) in self.excluded_table(source).rows()}

    def label(self, task: str, digest: str, path: Path, row: Row) -> Undo:
        """Keep a picture and its label.

        Args:
            task: of the picture.
            digest: of the picture.
            path: of its file, which is copied byte for byte.
            row: label, reading, reason and by.

        Raises:
            DataError: the table is damaged.
            OSError: something cannot be written; neither picture nor label is kept then.
        """
        name = f"{PICTURES}/{digest}{path.suffix}"
        copy = self.folder / task / name
        if is_new := not copy.exists():
            # First the picture: a row never names one that is not there.
            with replacing(copy) as temporary:
                temporary.write_bytes(path.read_bytes())

        def remove_copy() -> None:
            if is_new:
                copy.unlink(missing_ok=True)

        try:
            back = _put(self.labels(task), {"file": name, **row})
        except (DataError, OSError):
            remove_copy()
            raise

        def undo() -> None:
            back()
            remove_copy()

        return undo

    def judge(self, kind: Kind, of: str, digest: str, place: int, verdict: Verdict, by: str) -> Undo:
        """Remember a verdict, so that nobody is asked again.

        Args:
            kind: what was looked at.
            of: the task of a picture, or the source of a suspect.
            digest: of it.
            place: of a digit in its picture; 0 where it is one object.
            verdict: on it.
            by: who says so.

        Raises:
            DataError, OSError: as `label`.
        """
        row = {"kind": kind, "of": of, "digest": digest, "place": str(place), "verdict": verdict, "by": by}
        return _put(self.reviewed(), row)

    def exclude(self, source: str, sha256: str, published: str, reason: str) -> Undo:
        """Add a picture to those that training leaves out. Of a line with two wrong digits, both reasons are kept.

        Raises:
            DataError, OSError: as `label`.
        """
        excluded = self.excluded_table(source)
        before = excluded.get((sha256,))
        if before is not None:
            reason = f"{before['reason']}; {reason}"
        return _put(excluded, {"sha256": sha256, "label": published, "reason": reason})

    def forget(self, digest: str) -> tuple[int, list[str]]:
        """Remove a picture's labels, verdicts and files; how many rows and files that were, and the tasks it was in.

        Called under `locked`. Every table is read before anything is removed.

        Raises:
            DataError, OSError: as `label`.
        """
        if not self.folder.is_dir():
            return 0, []
        names = sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        keys = {task: [key for key in self.labels(task).rows() if Path(key[0]).stem == digest] for task in names}
        verdicts = [key for key in self.reviewed().rows() if key[0] == "picture" and key[2] == digest]
        removed, tasks = 0, []
        for task, rows in keys.items():
            files = list((self.folder / task / PICTURES).glob(f"*{digest}*"))
            # First the row: it never names a picture that is not there.
            for key in rows:
                self.labels(task).remove(key)
            for path in files:
                path.unlink()
            removed += len(rows) + len(files)
            tasks += [task] if rows or files else []
        for key in verdicts:
            removed += self.reviewed().remove(key)
        return removed, tasks

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and hold its lock: one process at a time adds labels or removes them.

        Raises:
            ConfigurationError: another process holds the lock.
            OSError: the folder cannot be made or written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(f"{self.folder}: `make label` is open already; end it first") from None
            # Whether it can be written is known before anyone labels.
            tempfile.TemporaryFile(dir=self.folder).close()
            yield
        finally:
            os.close(descriptor)


def _put(table: Table, row: Row) -> Undo:
    key = table.key_of(row)
    before = table.get(key)
    table.put(row)

    def undo() -> None:
        if before is None:
            table.remove(key)
        else:
            table.put(before)

    return undo
