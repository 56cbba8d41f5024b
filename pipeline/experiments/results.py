"""The result of a study: the accuracy of each setting, its spread over repeated runs, and its paired differences.

Everything is computed from the readings that the experiments stored, never from copied numbers.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError, RegistryError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation import bootstrap
from pipeline.evaluation.accuracy import rounded
from pipeline.evaluation.evaluated import Evaluated
from pipeline.experiments import runs
from pipeline.experiments.studies import Study
from pipeline.records.evaluation import Evaluation
from pipeline.registry import artifacts
from pipeline.registry.storage import Storage

RESAMPLES = 9_999
SEED = 0
"""Of the bootstrap: equal readings give equal intervals."""
Interval = tuple[float, float, float]
"""A difference of two shares, and the ends of its 95 % interval."""


@dataclass(frozen=True)
class Row:
    """The sequence accuracy of the runs of one setting, on one suite.

    Attributes:
        strategy, suite, levels: what was run, and its level on each axis but the repeated one.
        origin: of the pictures.
        accuracies: the sequence accuracy of each run, 0 to 1.
        difference: from the baseline on the same pictures; None for the baseline itself, or without one.
    """

    strategy: str
    suite: str
    levels: Mapping[str, str]
    origin: str
    accuracies: tuple[float, ...]
    difference: Interval | None = None

    @property
    def mean(self) -> float:
        """Over the runs."""
        return float(np.mean(self.accuracies))

    @property
    def deviation(self) -> float | None:
        """The standard deviation of one run (n - 1 in the divisor); None for a single run."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else None


@dataclass(frozen=True)
class Effect:
    """The difference between a level and the baseline's level, averaged over the levels of all other axes."""

    strategy: str
    suite: str
    axis: str
    level: str
    against: str
    difference: Interval


@dataclass(frozen=True)
class Results:
    """Rows in the order of the grid, effects, and the names of the runs that are missing."""

    rows: tuple[Row, ...]
    effects: tuple[Effect, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """The score of one run: its mean sequence accuracy over its suites, 0 to 1, as a candidate is chosen by it.

    Attributes:
        accuracy: the mean.
        suites: by name, the sequence accuracy.
        origin: of the pictures.
    """

    accuracy: float
    suites: Mapping[str, float]
    origin: str


@dataclass(frozen=True)
class _Outcome:
    """Which pictures of a suite one run read correctly: bool (n,); `pictures` is the digest of the suite."""

    strategy: str
    suite: str
    origin: str
    pictures: str
    correct: np.ndarray


def collect(study: Study) -> Results:
    """Score the readings of the finished runs, from DVC's cache or remote.

    Raises:
        DataError: readings or pictures are gone, or do not give the accuracy that the run itself recorded; or the runs
            of a study with a baseline have different pictures, on which there is no paired difference.
    """
    correct: dict[tuple[str, str], dict[tuple[str, ...], list[np.ndarray]]] = {}
    origins: dict[tuple[str, str], str] = {}
    digests: dict[str, str] = {}
    missing = []
    pictures: dict[tuple[str, str], ImageSet] = {}
    for point, run in study.points():
        commit = runs.finished(run)
        if commit is None:
            missing.append(run.name)
            continue
        levels = tuple(point[axis] for axis in study.axes)
        for outcome in _outcomes(commit, run.target.partition("@")[2], study.split, pictures):
            if study.baseline and digests.setdefault(outcome.suite, outcome.pictures) != outcome.pictures:
                raise DataError(
                    f"{run.name}: other pictures of {outcome.suite} than the runs before it; differences from a "
                    "baseline need the same ones: leave baseline out, or what changes the suite"
                )
            key = (outcome.strategy, outcome.suite)
            correct.setdefault(key, {}).setdefault(levels, []).append(outcome.correct)
            origins[key] = outcome.origin
    rows: list[Row] = []
    effects: list[Effect] = []
    baseline = tuple(study.baseline[axis] for axis in study.axes) if study.baseline else None
    for key, settings in correct.items():
        if baseline is None:
            rows += _rows(study, key, origins[key], settings, None)
            continue
        means = {levels: np.mean(each, axis=0) for levels, each in settings.items()}
        rows += _rows(study, key, origins[key], settings, means.get(baseline))
        effects += _effects(study, key, means)
    return Results(tuple(rows), tuple(effects), tuple(missing))


def score(commit: str, strategy: str, split: str, pictures: dict[tuple[str, str], ImageSet]) -> Score:
    """Score the readings of one experiment.

    Args:
        commit: of the experiment.
        strategy: that it evaluated.
        split: that is scored.
        pictures: those that were loaded before; filled. Empty at first.

    Raises:
        DataError: readings or pictures are gone, or do not give the accuracy that the run itself recorded.
    """
    outcomes = list(_outcomes(commit, strategy, split, pictures))
    suites = {each.suite: float(each.correct.mean()) for each in outcomes}
    return Score(float(np.mean([*suites.values()])), suites, outcomes[0].origin)


def _rows(
    study: Study,
    key: tuple[str, str],
    origin: str,
    settings: Mapping[tuple[str, ...], list[np.ndarray]],
    baseline: np.ndarray | None,
) -> Iterator[Row]:
    """The rows of one strategy and suite.

    Args:
        study: the grid.
        key: strategy and suite.
        origin: of the pictures.
        settings: by levels, bool (n,) of each run.
        baseline: float (n,), the mean over the runs of the baseline; None without it.
    """
    own = tuple(study.baseline.get(axis, "") for axis in study.axes)
    for levels, outcomes in settings.items():
        difference = None
        if baseline is not None and levels != own:
            difference = _paired(np.mean(outcomes, axis=0) - baseline)
        yield Row(
            *key,
            dict(zip(study.axes, levels, strict=True)),
            origin,
            tuple(float(np.mean(each)) for each in outcomes),
            difference,
        )


def _effects(study: Study, key: tuple[str, str], means: Mapping[tuple[str, ...], np.ndarray]) -> Iterator[Effect]:
    """The effect of every level all of whose counterparts were run; none with fewer than two axes."""
    if len(study.axes) < 2:
        return
    for index, axis in enumerate(study.axes):
        others = [levels for levels in means if levels[index] == study.baseline[axis]]
        for level in study.grid[axis]:
            pairs = [((*levels[:index], level, *levels[index + 1 :]), levels) for levels in others]
            if level == study.baseline[axis] or not pairs or not all(pair[0] in means for pair in pairs):
                continue
            differences = np.mean([means[here] - means[there] for here, there in pairs], axis=0)
            yield Effect(*key, axis, level, study.baseline[axis], _paired(differences))


def _paired(differences: np.ndarray) -> Interval:
    return bootstrap.mean_difference(differences, resamples=RESAMPLES, seed=SEED)


def _outcomes(commit: str, strategy: str, split: str, pictures: dict[tuple[str, str], ImageSet]) -> Iterator[_Outcome]:
    """The outcomes of one run on every suite.

    Args:
        commit: of the experiment.
        strategy: that was run.
        split: that is scored.
        pictures: those that were loaded before, by the digest of their folder and the split; filled.
    """
    lock = runs.document(commit, "dvc.lock")["stages"]
    outs = {out["path"]: out["md5"] for stage in lock.values() for out in stage.get("outs", []) if "md5" in out}
    evaluation = _evaluation(commit, strategy, lock)
    with Storage.at(Path(), commit) as storage, tempfile.TemporaryDirectory() as copies:
        for suite, scores in evaluation.suites.items():
            path = artifacts.pictures(evaluation.task, suite, split)
            folder = path.rpartition("/")[0]
            key = (outs.get(folder, folder), split)
            if key not in pictures:
                pictures[key] = ImageSet.load(_copied(storage, path, Path(copies)))
            stored = artifacts.predictions(evaluation.task, strategy, suite, split)
            readings = Readings.load(_copied(storage, stored, Path(copies)))
            correct = Evaluated.of(readings, pictures[key]).correct
            recorded = scores[split].sequence_accuracy
            if rounded(float(correct.mean())) != recorded:
                raise DataError(
                    f"experiment {commit[:7]}: {stored} gives {correct.mean():.6f}, but its evaluation has "
                    f"{recorded:.6f}; expected the same"
                )
            yield _Outcome(strategy, suite, evaluation.origin, key[0], correct)


def _evaluation(commit: str, strategy: str, lock: Mapping[str, Mapping[str, list[Mapping[str, str]]]]) -> Evaluation:
    """The scores that the experiment recorded; dvc.lock says where."""
    for out in lock[f"evaluate@{strategy}"]["outs"]:
        path = Path(out["path"])
        if path == Path(artifacts.evaluation(path.parent.name, strategy)):
            return Evaluation.parse(runs.text(commit, out["path"]), f"{out['path']} of experiment {commit[:7]}")
    raise DataError(f"experiment {commit[:7]}: evaluate@{strategy} wrote no evaluation; run the study again")


def _copied(storage: Storage, path: str, folder: Path) -> Path:
    """A file of an experiment, from the cache or else a remote, below `folder`."""
    try:
        return storage.fetch(path, folder / path)
    except RegistryError as error:
        raise DataError(
            f"{path} of experiment {storage.revision[:7]}: neither in DVC's cache nor in a remote ({error}); run the "
            "study again, or pull it"
        ) from None
