"""Fits the estimator of a model's confidence on valid and on shifted forms of it, and chooses its threshold."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression

from pipeline.confidence.attached import COLUMNS, with_columns
from pipeline.confidence.estimator import Estimator, Familiarity
from pipeline.confidence.evidence import RAW
from pipeline.confidence.shifts import KINDS, shifted
from pipeline.confidence.thresholds import RISK, Outcomes, choose
from pipeline.confidence.trees import STARTS, Diverged, Start, Trees
from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings, left_to_right
from pipeline.evaluation.accuracy import blank_of, rounded, sequence_correct
from pipeline.evaluation.calibration import LEVEL, TARGET, TARGETS, coverage, coverage_threshold, ece
from pipeline.preprocessing import proposals
from pipeline.records.calibration import CalibrationRecord, ShiftRisk
from pipeline.training import models

FOLDS = 5
EACH_LEVEL = 1 - (1 - LEVEL) / len(STARTS)
"""The level of a threshold: the start of the trees is chosen by it, so the thresholds of all starts hold at once."""
PRICE = 0.03
"""Coverage that a start at a constant may cost. Its trees learn more of what a shift looks like."""


@dataclass(frozen=True)
class Observed:
    """Readings of n pictures.

    Attributes:
        columns: float32 (n, k), of `attached.columns`.
        confidence: float32 (n,), the model's own.
        correct: bool (n,), exact matches.
        fold: int (n,), 0 to `FOLDS` - 1; a picture and its shifted forms are in one fold.
        kind: int (n,), 0 for familiar pictures, else the place of the shift in `KINDS`, from 1.
    """

    columns: np.ndarray
    confidence: np.ndarray
    correct: np.ndarray
    fold: np.ndarray
    kind: np.ndarray


def calibrate(
    model: keras.Model, valid: Mapping[str, ImageSet], *, pictures: int, per_shift: int, seed: int
) -> tuple[Estimator, CalibrationRecord]:
    """Fit the estimator of a model.

    Args:
        model: uint8 pictures, and possibly regions, to the outputs of the contract.
        valid: the valid split of every suite that it reads, by name.
        pictures: of valid at most, in equal shares of the suites.
        per_shift: pictures of each kind of shift.
        seed: of the choice of pictures, the shifts and the trees.

    Raises:
        DataError: there are no pictures.
    """
    observed = observe(model, valid, pictures=pictures, per_shift=per_shift, seed=seed)
    estimator, confidence, start = fit(observed, seed)
    return estimator, _record(observed, confidence, start)


def observe(model: keras.Model, valid: Mapping[str, ImageSet], *, pictures: int, per_shift: int, seed: int) -> Observed:
    """Read valid, and shifted forms of it. The arguments are those of `calibrate`."""
    if not valid:
        raise DataError("no valid split to calibrate on; expected at least one suite that the model reads")
    random = np.random.default_rng(seed)
    blank = blank_of(next(iter(valid.values())).class_names)
    images, labels = _pooled(list(valid.values()), pictures, blank, random)
    graph = models.traced(with_columns(model, blank))
    takes_regions = len(model.inputs) > 1
    parts = []
    for number, kind in enumerate(["", *KINDS]):
        index = np.arange(len(images)) if not kind else random.integers(0, len(images), per_shift)
        seen = images[index] if not kind else shifted(kind, images[index], seed)
        regions = proposals.propose(seen, int(model.inputs[1].shape[1])) if takes_regions else None
        outputs = _outputs(graph, seen, regions)
        # A detector lists its digits by how probable they are.
        classes = left_to_right(Readings.of(outputs), blank).classes.astype(np.uint8)
        # Of pictures with two lists of labels, such as published and reviewed ones, both have to say so.
        correct = np.all([sequence_correct(classes, each[index], blank) for each in labels], axis=0)
        parts.append((outputs[COLUMNS], outputs["confidence"], correct, index % FOLDS, np.full(len(index), number)))
    return Observed(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _pooled(
    suites: list[ImageSet], pictures: int, blank: int | None, random: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Pictures of all suites, as many of each, and two lists of labels.

    The lists differ where two suites have the same pictures under other labels.
    """
    slots = max(suite.slots for suite in suites)

    def labels(suite: ImageSet) -> np.ndarray:
        return np.pad(suite.labels, ((0, 0), (0, slots - suite.slots)), constant_values=blank or 0)

    pooled: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for suite in suites:
        for index, (images, ours, _) in enumerate(pooled):
            if np.array_equal(images, suite.images):
                pooled[index] = (images, ours, labels(suite))
                break
        else:
            pooled.append((suite.images, labels(suite), labels(suite)))
    shares = _shares([len(images) for images, _, _ in pooled], pictures)
    chosen = [random.permutation(len(images))[:share] for (images, _, _), share in zip(pooled, shares, strict=True)]
    first, second, third = (
        np.concatenate([arrays[at][index] for arrays, index in zip(pooled, chosen, strict=True)]) for at in range(3)
    )
    if not len(first):
        raise DataError("no pictures of valid to calibrate on; expected at least one")
    return first, [second, third]


def _shares(sizes: list[int], most: int) -> list[int]:
    """Equal shares of at most so many, one at least; what a small set leaves goes to the larger ones."""
    shares = [0] * len(sizes)
    left = max(most, len(sizes))
    for waiting, place in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        shares[place] = min(sizes[place], left // (len(sizes) - waiting))
        left -= shares[place]
    return shares


def _outputs(graph: models.Predict, images: np.ndarray, regions: np.ndarray | None) -> dict[str, np.ndarray]:
    given = (images,) if regions is None else (images, regions)
    parts = [graph(*(array[start : start + 250] for array in given)) for start in range(0, len(images), 250)]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}


def fit(observed: Observed, seed: int) -> tuple[Estimator, np.ndarray, Start]:
    """The estimator fitted on all readings, confidences of one that did not see their fold, and where its trees start.

    The thresholds are chosen on these confidences, float64 (n,). The logistic curve is fitted on their scores of
    familiar pictures. Trees start at a constant, unless a start at the model's own confidence accepts more of them by
    more than `PRICE`. A model that reads nothing correctly, or everything, gets a constant confidence.
    """
    familiar = observed.kind == 0
    fitted = []
    for start in STARTS:
        # Of few readings, trees from the curve may have no finite end; those from a constant always have.
        with contextlib.suppress(Diverged):
            scores = _scores(observed, start, seed)
            parts = _uncalibrated(observed, slice(None), start, seed)
            slope, intercept = _curve(scores[familiar], observed.correct[familiar])
            confidence = 1 / (1 + np.exp(-(slope * scores + intercept)))
            outcomes, shifts = _outcomes(observed, confidence)
            threshold, _ = choose(outcomes, shifts, EACH_LEVEL)
            estimator = Estimator(*parts, slope=slope, intercept=intercept)
            accepted = outcomes.accepted(threshold) + (PRICE if start == "constant" else 0)
            fitted.append((accepted, estimator, confidence, start))
    # The first of equal ones.
    _, estimator, confidence, start = max(fitted, key=lambda each: each[0])
    return estimator, confidence, start


def _scores(observed: Observed, start: Start, seed: int) -> np.ndarray:
    """Float64 (n,): the score of each reading, of trees that did not see its fold."""
    scores = np.zeros(len(observed.correct))
    for fold in range(FOLDS):
        out = observed.fold == fold
        if out.any():
            familiarity, trees = _uncalibrated(observed, ~out, start, seed)
            scores[out] = trees.score(familiarity(observed.columns[out]))
    return scores


def _outcomes(observed: Observed, confidence: np.ndarray) -> tuple[Outcomes, dict[str, Outcomes]]:
    """Those of familiar pictures, and those of each kind of shift."""
    by_kind = [
        Outcomes(confidence[observed.kind == number], observed.correct[observed.kind == number])
        for number in range(len(KINDS) + 1)
    ]
    return by_kind[0], dict(zip(KINDS, by_kind[1:], strict=True))


def _uncalibrated(observed: Observed, rows: np.ndarray | slice, start: Start, seed: int) -> tuple[Familiarity, Trees]:
    seen, correct, kind = observed.columns[rows], observed.correct[rows], observed.kind[rows]
    familiarity = Familiarity.of(seen[kind == 0])
    steps = keras.ops.convert_to_numpy(familiarity(seen))
    return familiarity, Trees.fit(steps, correct, start=start, own=RAW, seed=seed)


def _curve(scores: np.ndarray, correct: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logistic curve (Platt 1999); 1 and 0 where all readings are equally correct."""
    if correct.all() or not correct.any():
        return 1.0, 0.0
    curve = LogisticRegression(C=1.0).fit(scores[:, None], correct)
    return round(float(curve.coef_[0, 0]), 6), round(float(curve.intercept_[0]), 6)


def _record(observed: Observed, confidence: np.ndarray, start: Start) -> CalibrationRecord:
    familiar, shifts = _outcomes(observed, confidence)
    threshold, decided_by = choose(familiar, shifts, EACH_LEVEL)
    share, accuracy = coverage(familiar.confidence, familiar.correct, threshold)
    own = observed.confidence[observed.kind == 0]
    before, _ = coverage(own, familiar.correct, coverage_threshold(own, familiar.correct))
    return CalibrationRecord(
        pictures=len(familiar.correct),
        target=TARGET,
        risk=RISK,
        level=LEVEL,
        start=start,
        threshold=threshold,
        decided_by=decided_by,
        thresholds={
            str(target): coverage_threshold(familiar.confidence, familiar.correct, target, EACH_LEVEL)
            for target in TARGETS
        },
        ece=rounded(ece(familiar.confidence, familiar.correct)),
        ece_before=rounded(ece(own, familiar.correct)),
        coverage=rounded(share),
        accuracy=rounded(accuracy),
        coverage_before=rounded(before),
        shifts={
            kind: ShiftRisk(
                pictures=len(outcomes.correct),
                sequence_accuracy=rounded(float(outcomes.correct.mean())),
                accepted=rounded(outcomes.accepted(threshold)),
                accepted_wrong=rounded(outcomes.accepted_wrong(threshold)),
            )
            for kind, outcomes in shifts.items()
        },
    )
