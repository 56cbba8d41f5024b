"""Suites: each split of its own digits, from a random stream of its own, always the same bytes."""

import hashlib

import numpy as np
import pytest

from pipeline.config.sections import SceneSuite, SplitSuite, StripSuite
from pipeline.core.images import SPLITS, ImageSet
from pipeline.data import stand_in, suites

SEED = 7
DIGITS = {"source": "mnist/mnist", "rounds": 1, "digits": [5, 5], "jitter": False, "clutter": False}
SUITES = {
    "mnist": SplitSuite(task="mnist", source="raw/mnist", train=50_000, valid=5_000, gate=5_000, test=10_000),
    "cifar10": SplitSuite(task="cifar10", source="raw/cifar10", train=40_000, valid=5_000, gate=5_000, test=10_000),
    "plain": StripSuite(task="strips", **DIGITS),
    "blanks": StripSuite(task="strips", **DIGITS | {"digits": [0, 5]}),
    "jitter": StripSuite(task="strips", **DIGITS | {"jitter": True}),
    "clutter": StripSuite(task="strips", **DIGITS | {"jitter": True, "clutter": True}),
    "mixed": StripSuite(
        task="strips", **DIGITS | {"rounds": 3, "digits": [0, 5], "jitter": True, "clutter": True, "vary": True}
    ),
    "scenes": SceneSuite(task="scenes", source="mnist/mnist", rounds=2, digits=[1, 8], clutter=True),
}
DIGESTS = {
    "mnist": "4d810a737dfd478a1ba29b5fdee415d2d0508fcc9b92860f6ad7de50c6ef6858",
    "cifar10": "3d041afd162764bb6b8cc4861289e284a759fc115744d6fb8eb7f5569f936867",
    "plain": "7b2b82e3799d60591c58edddaaabfb940d1b5a7f0b05e11929e05e23b31ca20a",
    "blanks": "666b2de4ddc8000d9299e349d1de818c939b36735e5ffe761e258c328df0d22f",
    "jitter": "54241e29022bb226c2e86c5a1eafbcb520203b0edce19069efc88c2cf630c22e",
    "clutter": "fc6a61198ad78618e39d9ea915bbfa156e56a9bda2cbfb754a9e192d11fd25df",
    "mixed": "70758f1b2b790ef76eb1a781d685832ad4fb8c50dee10019196c19e4998d653b",
    "scenes": "da8cadae08edf9e02c1112145cc4327361e6344579f18598410cc51a27f603d3",
}
"""SHA-256 of all arrays of the four splits that each suite makes of the stand-in."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with the stand-in's sets in `raw`, and its digits in splits in `mnist/mnist`."""
    folder = tmp_path_factory.mktemp("data")
    for source in ("mnist", "cifar10"):
        for name, pictures in stand_in.read(source).items():
            pictures.save(folder / f"raw/{source}/{name}.npz")
    for split, pictures in suites.compose("mnist", SUITES["mnist"], folder / "raw/mnist", SEED).items():
        pictures.save(folder / f"mnist/mnist/{split}.npz")
    return folder


def sha256(made: dict[str, ImageSet]) -> str:
    digest = hashlib.sha256()
    for split in SPLITS:
        for array in (made[split].images, made[split].labels, made[split].boxes, made[split].sources):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_is_always_the_same_bytes(data, name):
    """A change here makes every training stale, and its scores those of other pictures."""
    suite = SUITES[name]
    assert sha256(suites.compose(name, suite, data / suite.source, SEED)) == DIGESTS[name]


def test_each_split_is_made_of_its_own_digits_and_only_train_goes_round_more_than_once(data):
    suite = SUITES["clutter"].model_copy(update={"rounds": 2})
    made = suites.compose("clutter", suite, data / suite.source, SEED)
    for split in SPLITS:
        digits = ImageSet.load(data / f"mnist/mnist/{split}.npz").sources[:, 0]
        assert set(made[split].sources.ravel()) - {-1} <= set(digits)
        assert len(made[split]) == len(digits) // 5 * (2 if split == "train" else 1)


def test_the_stream_depends_on_seed_suite_and_split():
    seeds = {
        suites.stream_seed(seed, name, split) for seed in (1, 2) for name in ("plain", "blanks") for split in SPLITS
    }
    assert len(seeds) == 16
    assert all(0 <= seed < 2**32 for seed in seeds)
