"""The stage `compose` writes the four splits of a suite, whole or not at all."""

from pathlib import Path

import pytest
from refusals import refuses

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import SPLITS, ImageSet
from stages import compose

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_splits_of_a_suite_are_written(tmp_path, embedded):
    for split in SPLITS:
        embedded["mnist/mnist"][split].save(tmp_path / f"digits/{split}.npz")
    compose.main("plain", tmp_path / "digits", tmp_path / "plain")
    assert {path.stem for path in (tmp_path / "plain").iterdir()} == set(SPLITS)
    digits, strips = (ImageSet.load(tmp_path / folder / "gate.npz") for folder in ("digits", "plain"))
    assert (len(strips), strips.shape) == (len(digits) // 5, (28, 140, 1))


def test_what_an_earlier_run_made_stays_where_a_split_is_missing(tmp_path, embedded):
    embedded["mnist/mnist"]["train"].save(tmp_path / "digits/train.npz")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/train.npz").write_text("made before")
    with refuses(DataError, tmp_path / "digits/valid.npz"):
        compose.main("plain", tmp_path / "digits", tmp_path / "plain")
    assert (tmp_path / "plain/train.npz").read_text() == "made before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits", "plain"]


def test_an_unknown_suite_is_named_with_those_there_are(tmp_path):
    with refuses(ConfigurationError, "plian", "mnist, cifar10, plain"):
        compose.main("plian", tmp_path, tmp_path / "out")
