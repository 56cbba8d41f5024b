"""Tiny suites that meet every expectation, to be broken one rule at a time."""

from pathlib import Path

import numpy as np

from pipeline.core.images import DIGIT_NAMES, SPLITS, ImageSet
from pipeline.data import scenes, strips
from pipeline.records.data import ValidationReport
from pipeline.validation import validator
from pipeline.validation.suite_spec import SuiteSpec
from pipeline.validation.table import tabulate

PER_SPLIT = 60
STRIPS = {
    "plain": {"digits": (5, 5)},
    "blanks": {"digits": (0, 5)},
    "jitter": {"digits": (5, 5), "jitter": True},
    "clutter": {"digits": (5, 5), "jitter": True, "clutter": True},
}


def singles(shape: tuple[int, int, int] = (28, 28, 1), origin: str = "mnist") -> dict[str, ImageSet]:
    """Four splits of noise in a frame of black, the classes evenly spread, every id used once."""
    rng = np.random.default_rng(3)
    splits = {}
    for number, split in enumerate(SPLITS):
        images = np.zeros((PER_SPLIT, *shape), np.uint8)
        images[:, 5:-5, 5:-5] = rng.integers(1, 256, images[:, 5:-5, 5:-5].shape)
        splits[split] = ImageSet(
            images=images,
            labels=(np.arange(PER_SPLIT, dtype=np.uint8) % 10)[:, None],
            class_names=DIGIT_NAMES,
            origin=origin,
            sources=np.arange(PER_SPLIT, dtype=np.int32)[:, None] + 1000 * number,
        )
    return splits


def composed_strips(suite: str, origin: str = "mnist") -> dict[str, ImageSet]:
    """Four splits of strips of the noise, as the suite of this name has them."""
    settings = {"jitter": False, "clutter": False} | STRIPS[suite]
    fewest, most = settings.pop("digits")
    return {
        split: strips.compose(pictures, rounds=4, fewest=fewest, most=most, seed=number, **settings)
        for number, (split, pictures) in enumerate(singles(origin=origin).items())
    }


def composed_scenes() -> dict[str, ImageSet]:
    """Four splits of scenes of the noise."""
    return {
        split: scenes.compose(pictures, rounds=4, fewest=1, most=8, clutter=True, seed=number)
        for number, (split, pictures) in enumerate(singles().items())
    }


def suite_of(name: str) -> dict[str, ImageSet]:
    """The suite of this name, sound."""
    if name in STRIPS:
        return composed_strips(name)
    return composed_scenes() if name == "scenes" else singles((32, 32, 3) if name == "cifar10" else (28, 28, 1))


def spec(suite: str, **changes) -> SuiteSpec:
    """The specification of a suite, with bounds that these few pictures meet."""
    task = "strips" if suite in STRIPS else suite
    digits = {"digits": (1, 8), "clutter": True} if suite == "scenes" else {}
    settings = {"class_share": (0.4, 2.0), "constant_share": 0.0} | digits | STRIPS.get(suite, {}) | changes
    return SuiteSpec(suite=suite, task=task, **settings)


def validate(splits: dict[str, ImageSet], against: SuiteSpec, docs: Path) -> ValidationReport:
    """The report of a suite."""
    tables = [tabulate(split, pictures, against.task) for split, pictures in splits.items()]
    return validator.validate(tables, against, docs)


def failures(report: ValidationReport) -> dict[str, list[tuple[str, str]]]:
    """The failed expectations as `{column: rows and values}`."""
    return {result.column: list(result.first) for result in report.expectations if not result.success}


def write(folder: Path, splits: dict[str, ImageSet]) -> Path:
    """Write the splits to a folder."""
    for split, pictures in splits.items():
        pictures.save(folder / f"{split}.npz")
    return folder
