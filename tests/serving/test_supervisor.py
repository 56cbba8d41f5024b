"""Workers serve what their supervisor has seen, or nothing."""

import json
import os

import galleries
import onnx_models
import pytest
import trap_models

from pipeline.core.errors import DataError
from pipeline.runtime.gallery import Gallery
from pipeline.runtime.reader import load_readers
from pipeline.serving import supervisor


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """A folder whose models are pinned in this process."""
    for name in ("READER_SUPERVISOR", "READER_PINNED_MODELS"):
        monkeypatch.setenv(name, "")
    # Its handler of the signal is for `bentoml serve` alone.
    monkeypatch.setattr(supervisor, "_STOP", None)
    onnx_models.package(tmp_path)
    onnx_models.package(tmp_path, "mnist")
    supervisor.pin(load_readers(tmp_path))
    return tmp_path


def test_the_same_models_are_served(pinned):
    supervisor.expect_pinned(load_readers(pinned))


def other_threshold(folder):
    manifest = json.loads((folder / "strips/manifest.json").read_text())
    manifest["coverage"]["threshold"] = 0.0
    (folder / "strips/manifest.json").write_text(json.dumps(manifest))


def other_model(folder):
    content = (folder / "strips/model.onnx").read_bytes()
    trap_models.repackage(folder / "strips", trap_models.model(content, "nan"))


def one_more(folder):
    onnx_models.package(folder, "cifar10")


def one_less(folder):
    (folder / "mnist/manifest.json").unlink()


@pytest.mark.parametrize(
    ("change", "task"),
    [(other_threshold, "strips"), (other_model, "strips"), (one_more, "cifar10"), (one_less, "mnist")],
)
def test_models_that_were_replaced_are_named(pinned, change, task):
    change(pinned)
    with pytest.raises(DataError, match=f"^the packaged models of {task} were replaced since the service started$"):
        supervisor.expect_pinned(load_readers(pinned))


def test_strategies_that_were_replaced_are_named(pinned):
    galleries.package_strategy(pinned, "strips", "slice")

    def models():
        readers = load_readers(pinned)
        return readers, Gallery.of(readers, pinned, 1).manifests()

    supervisor.pin(*models())
    supervisor.expect_pinned(*models())
    galleries.package_strategy(pinned, "strips", "ctc")
    with pytest.raises(DataError, match=r"^the packaged models of strips/ctc were replaced"):
        supervisor.expect_pinned(*models())


def test_without_a_supervisor_nothing_is_compared(pinned, monkeypatch):
    monkeypatch.delenv("READER_PINNED_MODELS")
    one_more(pinned)
    supervisor.expect_pinned(load_readers(pinned))
    assert "READER_PINNED_MODELS" not in os.environ
