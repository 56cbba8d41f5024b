"""The folder of what people say of answers: its bound, and what is removed from it."""

import errno

import pytest

from pipeline.monitoring import feedback
from pipeline.monitoring.feedback import FeedbackStore
from pipeline.records.monitoring import Correction

DIGEST, OTHER = "ab" * 32, "cd" * 32


def correction(digest=DIGEST, **changes):
    values = {"digest": digest, "task": "mnist", "model": "1" * 64, "version": None, "reading": "1", "label": "7",
              "token": "ada", "time": 1.0, "picture": None}  # fmt: skip
    return Correction(**values | changes)


def test_what_is_replaced_counts_once(tmp_path):
    FeedbackStore(tmp_path, most_bytes=10_000).keep(correction(), (".png", b"x" * 5000))
    size = sum(path.stat().st_size for path in (tmp_path / "feedback/mnist").iterdir())
    store = FeedbackStore(tmp_path, most_bytes=size)
    for label in "78":
        store.keep(correction(label=label), (".png", b"x" * 5000))
    with pytest.raises(OSError, match="the bound of") as raised:
        store.keep(correction(OTHER), None)
    assert raised.value.errno == errno.EDQUOT
    assert feedback.forget(tmp_path, DIGEST) == 2
    store.keep(correction(OTHER), None)


def test_the_files_are_counted_once_and_not_for_each_answer(tmp_path, monkeypatch):
    store = FeedbackStore(tmp_path, most_bytes=10_000)
    counts = []
    sizes = feedback._sizes
    monkeypatch.setattr(feedback, "_sizes", lambda root: (counts.append(root), sizes(root))[1])
    for number in range(5):
        store.keep(correction(f"{number:064x}"), None)
    assert len(counts) == 1
    written = sum(path.stat().st_size for path in (tmp_path / "feedback/mnist").iterdir())
    assert int((tmp_path / "feedback/.bytes").read_text()) == written


def test_what_is_said_after_it_was_read_is_not_removed(tmp_path):
    store = FeedbackStore(tmp_path, most_bytes=10_000)
    store.keep(correction(label="1"), (".png", b"picture"))
    (seen,) = feedback.corrections(tmp_path)
    store.keep(correction(time=2.0), None)
    assert feedback.remove(tmp_path, seen) == 0
    (left,) = feedback.corrections(tmp_path)
    assert left.wrong
    assert feedback.picture_of(tmp_path, left).read_bytes() == b"picture"
    assert feedback.remove(tmp_path, left) == 2
    assert feedback.remove(tmp_path, left) == 0
