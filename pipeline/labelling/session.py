"""One sitting: the picture that is asked, the answers so far, and the way back."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.core.decoding import PictureError, decode_grey
from pipeline.core.errors import DataError
from pipeline.core.files import read_file
from pipeline.labelling import labels
from pipeline.labelling.folder import Corrections, Undo, Verdict
from pipeline.labelling.labels import Labels
from pipeline.labelling.queue import Item
from pipeline.labelling.suspects import Gallery

Answer = Literal["label", "no digits", "unusable"]
Kind = Answer | Literal["skip"]
KINDS: tuple[Kind, ...] = ("label", "no digits", "unusable", "skip")
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
"""Of pictures, by the suffixes of their files."""


class AnswerError(ValueError):
    """An answer that is not possible; its text says why."""


@dataclass(frozen=True)
class View:
    """A picture as the page shows it.

    Attributes:
        content: of its file.
        kind: the media type of that.
        size: height and width in pixels, as it is displayed; None of a damaged one.
        box: of the digit that is asked, in pixels x0, y0, x1, y1; None where it is the whole picture.
        labels: that it can have.
        problem: why it cannot be shown; None where it can.
    """

    content: bytes
    kind: str
    size: tuple[int, int] | None
    box: tuple[float, float, float, float] | None
    labels: Labels
    problem: str | None = None


@dataclass(frozen=True)
class _Step:
    """An answer: where it was given, and what takes it back."""

    at: int
    kind: Kind
    undo: Sequence[Undo]


class Session:
    """A queue that a person goes through. Every answer is written at once; several threads may ask."""

    def __init__(self, items: Sequence[Item], corrections: Corrections, user: str) -> None:
        """Define.

        Args:
            items: in the order in which they are asked.
            corrections: where answers are written.
            user: who labels.
        """
        self._items = items
        self._corrections = corrections
        self._user = user
        self._at = 0
        self._steps: list[_Step] = []
        self._lock = threading.Lock()
        self._gallery = Gallery()
        self._view: tuple[int, View] | None = None

    @property
    def saved(self) -> int:
        """Answers that were written."""
        return sum(step.kind != "skip" for step in self._steps)

    @property
    def left(self) -> int:
        """Pictures that were skipped, or not reached."""
        return len(self._items) - self.saved

    def state(self) -> dict[str, Any]:
        """What the page shows now, as JSON: `item` is None after the last picture."""
        with self._lock:
            return self._state()

    def view(self, number: int) -> View:
        """A picture.

        Raises:
            AnswerError: there is no such picture.
        """
        with self._lock:
            if not 0 <= number < len(self._items):
                raise AnswerError(f"no picture {number}; expected 0 to {len(self._items) - 1}")
            return self._viewed(number)

    def answer(self, number: int, kind: Kind, label: str = "") -> dict[str, Any]:
        """Write an answer, and go on.

        Args:
            number: of the picture that is asked.
            kind: `label` gives a label, `no digits` and `unusable` leave the picture out, `skip` asks for it again next
                time.
            label: digits, or the name of a class.

        Raises:
            AnswerError: another picture is asked, or the label is none of the picture's.
            DataError, OSError: it cannot be written; the picture is asked still.
        """
        with self._lock:
            if number != self._at or self._at >= len(self._items):
                raise AnswerError("this picture was answered meanwhile, in another window")
            undo = self._write(self._items[number], self._viewed(number), kind, label)
            self._steps.append(_Step(number, kind, undo))
            self._at += 1
            return self._state()

    def undo(self) -> dict[str, Any]:
        """Take the last answer back, and ask again.

        Raises:
            AnswerError: there is none.
            DataError, OSError: it cannot be taken back.
        """
        with self._lock:
            if not self._steps:
                raise AnswerError("this is the first picture")
            step = self._steps[-1]
            for back in reversed(step.undo):
                back()
            self._steps.pop()
            self._at = step.at
            return self._state()

    def _write(self, item: Item, view: View, kind: Kind, label: str) -> list[Undo]:
        if kind == "skip":
            return []
        if kind == "label":
            if view.problem:
                raise AnswerError("a picture that cannot be shown cannot be labelled; x leaves it out")
            if problem := view.labels.problem(label):
                raise AnswerError(problem)
        if kind == "no digits" and view.labels.classes:
            raise AnswerError("a picture of classes has no digits; x leaves it out")
        if item.suspect is not None:
            return self._judge(item, kind, label)
        if kind != "label":
            return [self._corrections.judge("picture", item.task, item.digest, 0, kind, self._user)]
        assert item.path is not None
        # Someone else said so, and this person agrees.
        by = item.by if item.by and label == item.proposal else self._user
        reason = "corrected" if item.reason == "corrected" else "declined"
        row = {"label": label, "reading": item.reading, "reason": reason, "by": by}
        return [self._corrections.label(item.task, item.digest, item.path, row)]

    def _judge(self, item: Item, kind: Answer, label: str) -> list[Undo]:
        suspect = item.suspect
        assert suspect is not None
        done = []
        verdict: Verdict = ("right" if label == suspect.given else "wrong") if kind == "label" else kind
        if verdict != "right":
            found = f"labelled {label}" if kind == "label" else kind
            which = f"digit {suspect.place} " if suspect.place else ""
            reason = f"{which}{found} by hand"
            done = [self._corrections.exclude(suspect.source, suspect.sha256, suspect.published, reason)]
        try:
            done.append(
                self._corrections.judge("suspect", suspect.source, suspect.sha256, suspect.place, verdict, self._user)
            )
        except (DataError, OSError):
            for back in done:
                back()
            raise
        return done

    def _viewed(self, number: int) -> View:
        if self._view is None or self._view[0] != number:
            self._view = number, _view(self._items[number], self._gallery)
        return self._view[1]

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "total": len(self._items),
            "left": len(self._items) - self._at,
            "saved": self.saved,
            "undo": bool(self._steps),
            "item": None,
        }
        if self._at < len(self._items):
            item, view = self._items[self._at], self._viewed(self._at)
            state["item"] = _document(self._at, item, view)
        return state


def _view(item: Item, gallery: Gallery) -> View:
    if item.suspect is not None:
        try:
            shown = gallery.show(item.suspect)
        except (DataError, OSError) as error:
            return View(b"", TYPES[".png"], None, None, labels.of_task(item.task), str(error))
        return View(shown.content, TYPES[".png"], shown.size, shown.box, labels.of_classes(shown.classes))
    assert item.path is not None
    allowed, kind = labels.of_task(item.task), TYPES[item.path.suffix]
    try:
        content = read_file(item.path)
        height, width = decode_grey(content).pixels.shape
    except FileNotFoundError:
        return View(b"", kind, None, None, allowed, f"{item.path}: the picture was removed meanwhile")
    except OSError as error:
        return View(b"", kind, None, None, allowed, f"{item.path}: {error.strerror or error}")
    except (PictureError, DataError) as error:
        return View(b"", kind, None, None, allowed, f"{item.path}: {error}")
    return View(content, kind, (height, width), None, allowed)


def _document(number: int, item: Item, view: View) -> dict[str, Any]:
    suspect = item.suspect
    return {
        "number": number,
        "reason": item.reason,
        "task": item.task,
        "reading": item.reading,
        "proposal": item.proposal,
        "confidence": item.confidence,
        "by": item.by,
        "time": item.time,
        "size": view.size,
        "box": view.box,
        "problem": view.problem,
        "classes": list(view.labels.classes),
        "most": view.labels.most,
        "suspect": None
        if suspect is None
        else {"source": suspect.source, "part": suspect.part, "place": suspect.place, "published": suspect.published},
    }
