"""Small real data for the tests: the stand-in's digits and patches, and strips, scenes and lines of the digits."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gto.log  # noqa: F401  # Configures logging when it is imported, which closes the stream of TensorFlow's handler.
import hypothesis
import pytest

from pipeline.core.images import SPLITS, ImageSet
from pipeline.data import lines, scenes, splits, stand_in, strips

# A deadline is an assertion on the wall clock: on a busy machine it fails.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

SIZES = {"train": 50_000, "valid": 5_000, "gate": 5_000, "test": 10_000}
SUITES = {
    "plain": {"fewest": 5, "most": 5, "jitter": False, "clutter": False},
    "blanks": {"fewest": 0, "most": 5, "jitter": False, "clutter": False},
    "jitter": {"fewest": 5, "most": 5, "jitter": True, "clutter": False},
    "clutter": {"fewest": 5, "most": 5, "jitter": True, "clutter": True},
    "mixed": {"fewest": 0, "most": 5, "jitter": True, "clutter": True, "vary": True},
}
LINES = {"train": 128, "valid": 32, "gate": 32, "test": 32}

LONGEST = ("test_pipeline.py", "test_contract.py")
"""Started first, so that where several processes share the files none of them is left with minutes at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def embedded() -> dict[str, dict[str, dict[str, ImageSet]]]:
    """The stand-in's pictures by data set (`task/suite`) and split."""
    digits = splits.divide(stand_in.digits(), SIZES, seed=7)
    sets = {"mnist/mnist": digits, "cifar10/cifar10": splits.divide(stand_in.patches(), SIZES, seed=7)}
    for suite, settings in SUITES.items():
        sets[f"strips/{suite}"] = {
            split: strips.compose(digits[split], rounds=1, seed=index, **settings) for index, split in enumerate(SPLITS)
        }
    sets["scenes/scenes"] = {
        split: scenes.compose(digits[split], rounds=1, fewest=1, most=8, clutter=True, seed=index)
        for index, split in enumerate(SPLITS)
    }
    composed = {split: lines.compose(digits[split], lines=LINES[split], seed=seed) for seed, split in enumerate(SPLITS)}
    return {**sets, "lines/lines": composed, "lines/cheques_reviewed": composed}
