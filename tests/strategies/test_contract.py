"""The contract: every strategy, found by its name, keeps the same promises."""

import dataclasses
import functools
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline import strategies
from pipeline.config import params
from pipeline.core import readings
from pipeline.core.errors import ConfigurationError
from pipeline.core.images import BLANK, ImageSet
from pipeline.data import strips
from pipeline.export import onnx, parity
from pipeline.preprocessing import normalization
from pipeline.training import loop, models

ROOT = Path(__file__).parents[2]
ENTRIES = params.load(ROOT / "params.yaml").strategies
FEW = 64
STEPS = 160
"""Steps that suffice to learn 64 pictures by heart."""
SCENES = 16
"""Scenes a step: half of what the settings say suffices for a few."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A strategy trained on a few pictures, and pictures made of just those."""

    name: str
    model: keras.Model
    seen: ImageSet
    history: list[dict[str, float]]


def train(name, train_on, valid, seed=1, steps=STEPS):
    entry = ENTRIES[name]
    settings = {**entry.settings, "batch": min(entry.settings["batch"], SCENES if entry.task == "scenes" else FEW)}
    statistics = normalization.fit(train_on, name=entry.train_on, zca_epsilon=1e-6)
    # Several times the same pictures a pass: a pass of one step would spend its time on validation.
    train_on = train_on.take(np.resize(np.arange(len(train_on)), 16 * settings["batch"]))
    budget = steps * settings["batch"] / len(train_on) / settings["epochs"]
    with loop.running("auto") as run:
        model = strategies.load(name).train(
            train_on, valid, normalizer=statistics, seed=seed, budget=budget, **settings
        )
    return model, run.history


def read_suite(name, few):
    """What the strategy reads, made of the pictures it has seen."""
    entry = ENTRIES[name]
    if entry.task == "strips" and entry.train_on == "mnist/mnist":
        return strips.compose(few, rounds=1, fewest=5, most=5, jitter=False, clutter=False, seed=1)
    return few


def share_right(name, model, pictures):
    """Of the true digits (or of all slots where nothing is blank), compared one by one from left to right."""
    blank = BLANK if pictures.class_names[-1] == "blank" else None
    said = readings.left_to_right(models.read(model, pictures.images), blank).classes
    true = pictures.labels
    if not getattr(strategies.load(name), "POSITIONAL", True):
        said, true = readings.in_order(said, blank), readings.in_order(true, blank)
    there = np.ones_like(true, bool) if blank is None else true != blank
    return float((said == true)[there].mean())


@pytest.fixture(scope="module")
def trainings(embedded):
    """Each strategy's training, once for all tests."""

    @functools.cache
    def trained_on_few(name):
        few = embedded[ENTRIES[name].train_on]["train"].take(slice(0, FEW))
        model, history = train(name, few, few)
        return Trained(name, model, read_suite(name, few), history)

    return trained_on_few


@pytest.fixture(params=strategies.strategy_names())
def trained(request, trainings):
    return trainings(request.param)


def test_the_outputs_are_those_of_the_contract(trained):
    outputs = {name: value.numpy() for name, value in models.reader(trained.model)(trained.seen.images).items()}
    n, slots = trained.seen.labels.shape
    assert set(outputs) - {"boxes"} == {"probabilities", "classes", "confidence"}
    assert outputs["probabilities"].shape[:2] == (n, slots)
    assert outputs["probabilities"].dtype == np.float32
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=-1), 1, atol=1e-5)
    assert outputs["classes"].shape == (n, slots)
    assert outputs["confidence"].shape == (n,)
    assert ((outputs["confidence"] >= 0) & (outputs["confidence"] <= 1)).all()
    assert trained.model.inputs[0].dtype == "uint8"


def test_its_suites_are_those_of_its_task(trained):
    suites = strategies.load(trained.name).SUITES
    known = params.load(ROOT / "params.yaml").suites_of(ENTRIES[trained.name].task)
    assert suites
    assert set(suites) <= set(known)


def test_the_loss_falls_and_it_learns_what_it_sees(trained):
    assert trained.history[-1]["loss"] < 0.5 * trained.history[0]["loss"]
    assert share_right(trained.name, trained.model, trained.seen) >= 0.95


@pytest.mark.parametrize("name", strategies.strategy_names())
def test_it_learns_nothing_from_shuffled_labels(name, embedded):
    splits = embedded[ENTRIES[name].train_on]
    few, valid = splits["train"].take(slice(0, 256)), splits["valid"]
    rng = np.random.default_rng(0)
    # Only digits change places: where there is one may be learnt, not which.
    digits = few.labels != BLANK if few.class_names[-1] == "blank" else np.ones_like(few.labels, bool)
    labels = few.labels.copy()
    labels[digits] = rng.permutation(few.labels[digits])
    model, _ = train(name, dataclasses.replace(few, labels=labels), valid, steps=40)
    unseen = read_suite(name, valid)
    there = unseen.labels[unseen.labels != BLANK] if unseen.class_names[-1] == "blank" else unseen.labels.ravel()
    chance = np.bincount(there).max() / len(there)
    assert share_right(name, model, unseen) <= chance + max(4 * np.sqrt(chance * (1 - chance) / len(there)), 0.1)


def test_every_model_reads_the_same_where_no_strategy_was_imported(trainings, tmp_path):
    """In one process for all of them: importing TensorFlow takes most of it."""
    here = {}
    for name in strategies.strategy_names():
        trained = trainings(name)
        models.save(trained.model, tmp_path / f"{name}.keras")
        trained.seen.save(tmp_path / f"{name}-seen.npz")
        here[name] = models.read(trained.model, trained.seen.images)
    code = (
        "import sys; from pathlib import Path; from pipeline import images, models\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.keras')):\n"
        "    seen = images.ImageSet.load(path.with_name(f'{path.stem}-seen.npz'))\n"
        "    models.read(models.load(path), seen.images).save(path.with_name(f'{path.stem}-said.npz'))\n"
        "assert not [name for name in sys.modules if name.startswith('pipeline.strategies')]\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=True, capture_output=True)
    for name, ours in here.items():
        said = readings.Readings.load(tmp_path / f"{name}-said.npz")
        np.testing.assert_allclose(said.probabilities, ours.probabilities, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(said.classes, ours.classes, err_msg=name)


def test_a_model_is_saved_to_the_same_bytes_twice(trained, tmp_path):
    for name in "ab":
        models.save(trained.model, tmp_path / f"{name}.keras")
    assert onnx.sha256(tmp_path / "a.keras") == onnx.sha256(tmp_path / "b.keras")


def test_it_exports_to_the_same_bytes_twice_and_agrees_with_keras(trained, tmp_path):
    module = strategies.load(trained.name)
    if not getattr(module, "DEPLOYABLE", True):
        assert module.__doc__
        assert "deployable" in module.__doc__, "says why it stays outside a graph"
        return
    for name in "ab":
        onnx.to_onnx(trained.model, tmp_path / f"{name}.onnx")
    assert onnx.sha256(tmp_path / "a.onnx") == onnx.sha256(tmp_path / "b.onnx")
    said = parity.of_export(trained.model, tmp_path / "a.onnx", trained.seen)
    assert said.holds, said
    assert said.pictures == len(trained.seen)


@pytest.mark.parametrize("name", strategies.strategy_names())
def test_its_params_are_its_keyword_arguments(name):
    settings = params.settings_of(name)
    required = {key for key, (_, needed) in settings.items() if needed}
    assert required <= set(ENTRIES[name].settings) <= set(settings)
    assert strategies.load(name).train.__doc__
    for key in settings:
        assert f"{key}:" in strategies.load(name).train.__doc__, f"{name}: {key} is not documented"


@pytest.mark.parametrize(
    "name", [name for name in strategies.strategy_names() if "normalization" in params.settings_of(name)]
)
def test_an_impossible_normalization_is_a_clear_error(name, embedded):
    few = embedded[ENTRIES[name].train_on]["train"].take(slice(0, 8))
    settings = {**ENTRIES[name].settings, "normalization": "white"}
    statistics = normalization.fit(few, name="x", zca_epsilon=1e-6)
    with pytest.raises(ConfigurationError, match="expected one of none, rescale"):
        strategies.load(name).train(few, few, normalizer=statistics, seed=1, budget=0.01, **settings)


def test_an_unknown_strategy_is_told_which_there_are():
    with pytest.raises(ConfigurationError, match=r"strategies\.slyce: unknown strategy; there are cnn, "):
        strategies.load("slyce")
