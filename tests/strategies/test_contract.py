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
from pipeline.config import params, signatures
from pipeline.config.types import Recipe
from pipeline.core import readings
from pipeline.core.errors import ConfigurationError
from pipeline.core.files import digest
from pipeline.core.images import BLANK, ImageSet
from pipeline.data import strips
from pipeline.export import onnx, parity
from pipeline.preprocessing import normalization, proposals
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop, models

ROOT = Path(__file__).parents[2]
ENTRIES = params.load(ROOT / "params.yaml").strategies
FEW = 64
STEPS = 160
"""Steps that suffice to learn 64 pictures by heart."""
SLOW = (
    *("cnn", "resnet", "vgg16"),
    *("ctc", "goodfellow", "multihead", "multilabel", "sdnn", "forum_sigmoids", "forum_softmax"),
    *("rcnn", "fast_rcnn", "faster_rcnn"),
    *("fcn_ctc", "crnn", "centernet"),
)
"""`make test` trains the other strategies, new ones among them, and `make test-slow` trains these."""
SCENES = 16
"""Scenes a step: half of what the settings say suffices for a few."""
LINES = 16
"""Lines a step, likewise. Temporal classification finds no digits at all in its first few hundred steps."""
LINE_STEPS = 400


OWN = [name for name in strategies.strategy_names() if strategies.load(name).train.__module__.endswith(f".{name}")]
"""The others take over the `train` of one of these."""
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in OWN]
IN_FULL = [pytest.param(name, marks=pytest.mark.full) if name in SLOW else name for name in OWN]
"""For a second training of each: what it tests is common to all strategies."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A strategy trained on a few pictures, and the pictures it reads, made of just those."""

    name: str
    model: keras.Model
    seen: ImageSet
    history: list[dict[str, float]]

    @property
    def regions(self):
        return regions_of(self.model, self.seen)


def regions_of(model, pictures):
    """What the second input takes, for a model that has one."""
    return proposals.propose(pictures.images) if len(model.inputs) > 1 else None


def train(name, train_on, valid, seed=1, steps=None):
    entry = ENTRIES[name]
    arguments = entry.arguments
    batch = min(arguments["recipe"].batch, {"scenes": SCENES, "lines": LINES}.get(entry.task, FEW))
    steps = steps or (LINE_STEPS if entry.task == "lines" else STEPS)
    if entry.task == "lines":
        arguments["distortion"] = 0.0
    # Rates for weights that are learned already are half of those for random ones, with which all begin here.
    rate = arguments["recipe"].learning_rate * (2 if entry.features.startswith("models/") else 1)
    arguments["recipe"] = arguments["recipe"].model_copy(update={"batch": batch, "learning_rate": rate})
    normalizer = Normalizer.of(normalization.fit(train_on, name=entry.train_on, zca_epsilon=1e-6), entry.normalization)
    # Several times the same pictures in a pass: a pass of one step would spend its time on validation.
    train_on = train_on.take(np.resize(np.arange(len(train_on)), 16 * batch))
    budget = steps * batch / len(train_on) / arguments["recipe"].epochs
    with loop.running("auto") as run:
        model = strategies.load(name).train(
            train_on, valid, normalizer=normalizer, seed=seed, budget=budget, **arguments
        )
    return model, run.history


def read_suite(name, few):
    """What the strategy reads, made of the pictures it has seen."""
    entry = ENTRIES[name]
    if entry.task == "strips" and entry.train_on == "mnist/mnist":
        return strips.compose(few, rounds=1, fewest=5, most=5, jitter=False, clutter=False, seed=1)
    return few


def accuracy(name, model, pictures):
    """Of the true digits (or of all slots where nothing is blank), compared one by one from left to right."""
    blank = BLANK if pictures.class_names[-1] == "blank" else None
    read = models.read(model, pictures.images, regions_of(model, pictures))
    predictions, targets = readings.left_to_right(read, blank).classes, pictures.labels
    if not strategies.traits(strategies.load(name)).positional:
        predictions, targets = readings.in_order(predictions, blank), readings.in_order(targets, blank)
    there = np.ones_like(targets, bool) if blank is None else targets != blank
    return float((predictions == targets)[there].mean())


@pytest.fixture(scope="module")
def trainings(embedded):
    """Each strategy's training, once for all tests."""

    @functools.cache
    def trained_on_few(name):
        few = embedded[ENTRIES[name].train_on]["train"].take(slice(0, FEW))
        model, history = train(name, few, few)
        return Trained(name, model, read_suite(name, few), history)

    return trained_on_few


@pytest.fixture(params=NAMES)
def trained(request, trainings):
    return trainings(request.param)


def test_the_outputs_are_those_of_the_contract(trained):
    inputs = [trained.seen.images] if trained.regions is None else [trained.seen.images, trained.regions]
    outputs = {name: value.numpy() for name, value in models.traced(trained.model)(*inputs).items()}
    n, slots = trained.seen.labels.shape
    assert set(outputs) - {"boxes"} == {"probabilities", "classes", "confidence"}
    assert outputs["probabilities"].shape[:2] == (n, slots)
    assert outputs["probabilities"].dtype == np.float32
    assert outputs["probabilities"].min() >= 0
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
    assert accuracy(trained.name, trained.model, trained.seen) >= 0.95


@pytest.mark.parametrize("name", IN_FULL)
def test_it_learns_nothing_from_shuffled_labels(name, embedded):
    splits = embedded[ENTRIES[name].train_on]
    few, valid = splits["train"].take(slice(0, 256)), splits["valid"]
    rng = np.random.default_rng(0)
    # Only digits change places: where one is may be learned, not which.
    digits = few.labels != BLANK if few.class_names[-1] == "blank" else np.ones_like(few.labels, bool)
    labels = few.labels.copy()
    labels[digits] = rng.permutation(few.labels[digits])
    model, _ = train(name, dataclasses.replace(few, labels=labels), valid, steps=40)
    unseen = read_suite(name, valid)
    there = unseen.labels[unseen.labels != BLANK] if unseen.class_names[-1] == "blank" else unseen.labels.ravel()
    chance = np.bincount(there).max() / len(there)
    assert accuracy(name, model, unseen) <= chance + max(4 * np.sqrt(chance * (1 - chance) / len(there)), 0.1)


@pytest.mark.parametrize(
    "names",
    [
        [name for name in strategies.strategy_names() if name not in SLOW],
        pytest.param(SLOW, marks=pytest.mark.slow),
    ],
    ids=["fast", "slow"],
)
def test_models_read_the_same_where_no_strategy_was_imported(names, trainings, tmp_path):
    """In one process for all of them: importing TensorFlow takes most of it."""
    here = {}
    for name in names:
        trained = trainings(name)
        models.save(trained.model, tmp_path / f"{name}.keras")
        arrays = {"images": trained.seen.images}
        np.savez(tmp_path / f"{name}.npz", **arrays | ({} if trained.regions is None else {"regions": trained.regions}))
        here[name] = models.read(trained.model, trained.seen.images, trained.regions)
    code = (
        "import sys; from pathlib import Path; import numpy as np; from pipeline.training import models\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.keras')):\n"
        "    seen = dict(np.load(path.with_suffix('.npz')))\n"
        "    models.read(models.load(path), **seen).save(path.with_name(f'{path.stem}-readings.npz'))\n"
        "assert not [name for name in sys.modules if name.startswith('pipeline.strategies')]\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=True, capture_output=True)
    for name, ours in here.items():
        theirs = readings.Readings.load(tmp_path / f"{name}-readings.npz")
        np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(theirs.classes, ours.classes, err_msg=name)


def test_a_model_is_saved_to_the_same_bytes_twice(trained, tmp_path):
    for name in "ab":
        models.save(trained.model, tmp_path / f"{name}.keras")
    assert digest(tmp_path / "a.keras") == digest(tmp_path / "b.keras")


def test_it_exports_to_the_same_bytes_twice_and_agrees_with_keras(trained, tmp_path):
    for name in "ab":
        onnx.to_onnx(trained.model, tmp_path / f"{name}.onnx")
    assert digest(tmp_path / "a.onnx") == digest(tmp_path / "b.onnx")
    proof = parity.of_export(trained.model, tmp_path / "a.onnx", trained.seen, trained.regions)
    assert proof.holds, proof
    assert proof.pictures == len(trained.seen)


def test_a_model_takes_regions_if_and_only_if_its_strategy_is_not_deployable(trained):
    deployable = strategies.traits(strategies.load(trained.name)).deployable
    assert deployable == (len(trained.model.inputs) == 1)


@pytest.mark.parametrize("name", strategies.strategy_names())
def test_its_params_are_its_keyword_arguments(name):
    settings = signatures.settings_of(name)
    assert set(ENTRIES[name].settings) == set(settings)
    assert set(Recipe.model_fields) <= set(settings)
    documented = strategies.load(name).train.__doc__
    for key in [*(set(settings) - set(Recipe.model_fields)), "recipe"]:
        assert f"{key}:" in documented, f"{name}: {key} is not documented"


def test_an_unknown_strategy_is_an_error_that_lists_those_that_exist():
    with pytest.raises(
        ConfigurationError, match=r"strategies\.slyce: .*did you mean 'slice'.*there are centernet, cnn, "
    ):
        strategies.load("slyce")
