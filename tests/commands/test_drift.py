"""`make drift` and `make forget`, as a scheduler and a person call them."""

import hashlib

import onnx_models
import predictions
import pytest

from pipeline.commands import drift, forget
from pipeline.core.errors import ConfigurationError, DataError, DriftError
from pipeline.records.manifest import Manifest


@pytest.fixture
def place(tmp_path):
    """A folder with a model of strips without reference statistics, and its log."""
    onnx_models.package(tmp_path / "artifacts")
    model = Manifest.read(tmp_path / "artifacts/strips/manifest.json").model.sha256
    predictions.write(tmp_path / "log", predictions.traffic(600, 1, model=model))
    return tmp_path, model


def run(place, **arguments):
    return drift.main(log=str(place / "log"), artifacts=str(place / "artifacts"), **arguments)


def test_a_change_is_reported_with_pictures_and_exit_code_5_and_can_be_accepted(place):
    folder, model = place
    with pytest.raises(DataError, match=r"strips: not watched: .*ACCEPT=1"):
        run(folder)
    assert "0 pictures, against accepted traffic: no drift" in run(folder, task="strips", accept=True)
    changed = predictions.traffic(600, 2, first=600, start=1.001e9, model=model, brightness=80.0, accepted=False)
    predictions.write(folder / "log", changed)
    (folder / "log/quarantine").mkdir()
    shown = folder / f"log/quarantine/{changed[-1]['digest']}.png"
    shown.write_bytes(b"\x89PNG picture")
    for _ in range(2):
        with pytest.raises(DriftError, match=r"strips\.html") as raised:
            run(folder)
        assert raised.value.exit_code == 5
    page = (folder / "log/drift/strips.html").read_text()
    assert "Drift of strips: alarm" in page
    assert changed[-1]["digest"] in page
    assert "data:image/png;base64," in page
    assert "no drift" in run(folder, task="strips", accept=True)


def test_a_damaged_state_is_an_error_whatever_the_other_tasks_are(place):
    """A model without a reference is a note: nothing is wrong with it."""
    folder, model = place
    onnx_models.package(folder / "artifacts", "mnist")
    other = Manifest.read(folder / "artifacts/mnist/manifest.json").model.sha256
    predictions.write(folder / "log", predictions.traffic(600, 3, first=9000, task="mnist", model=other, reading="1"))
    run(folder, task="strips", accept=True)
    assert "mnist: not watched: " in run(folder)
    run(folder, task="mnist", accept=True)
    state = folder / "log/drift/mnist.json"
    state.write_text(state.read_text()[:-20])
    with pytest.raises(DataError, match=r"mnist: not watched: .*mnist\.json.*TASK=mnist RESET=1"):
        run(folder)
    changed = predictions.traffic(600, 2, first=600, start=1.001e9, model=model, brightness=80.0, accepted=False)
    predictions.write(folder / "log", changed)
    with pytest.raises(DriftError, match=r"strips: see .*mnist\.json"):
        run(folder)
    assert "no drift" in run(folder, task="mnist", accept=True)


def test_a_forgotten_picture_is_in_no_report_either(place):
    folder, model = place
    lines = predictions.traffic(600, 1, first=5000, model=model, accepted=False)
    predictions.write(folder / "log", lines)
    (folder / "log/quarantine").mkdir()
    (folder / f"log/quarantine/{lines[-1]['digest']}.png").write_bytes(b"\x89PNG picture")
    run(folder, task="strips", accept=True)
    assert lines[-1]["digest"] in (folder / "log/drift/strips.html").read_text()
    assert forget.main(lines[-1]["digest"], str(folder / "log")) == (
        "removed 1 lines, 1 pictures, 0 files of feedback, 1 reports and 0 rows and files of corrections"
    )
    assert run(folder)
    assert lines[-1]["digest"] not in (folder / "log/drift/strips.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"accept": True}, "expected TASK"),
        ({"suite": "plain"}, "expected TASK"),
        ({"task": "strips", "accept": True, "reset": True}, "expected one reference"),
        ({"task": "stripes"}, "TASK: 'stripes' found, expected one of strips"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(place, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        run(place[0], **arguments)


def test_what_is_not_there_is_named(place, tmp_path):
    with pytest.raises(DataError, match="no prediction log"):
        drift.main(log=str(tmp_path / "none"))
    with pytest.raises(DataError, match="no such folder"):
        forget.main(hashlib.sha256(b"").hexdigest(), str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match=r"DIGEST: 'photo\.png' found"):
        forget.main("photo.png", str(place[0] / "log"))
