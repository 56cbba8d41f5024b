"""Parts of a suite in which a model may be bad although its mean is good, and the test that finds them."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np
from scipy import stats

from pipeline.analysis import measures
from pipeline.analysis.significance import holm
from pipeline.core.images import ImageSet
from pipeline.core.readings import in_order
from pipeline.evaluation.accuracy import blank_of, digits, expect_pictures, rounded
from pipeline.evaluation.evaluated import Evaluated

QUANTILES = (0.2, 0.4, 0.6, 0.8)
"""Between the slices of a measure: about a fifth of the suite in each."""


@dataclass(frozen=True)
class Slice:
    """A part of a suite.

    Attributes:
        factor: what the suite is divided by, for instance `thickness`.
        name: which part, for instance `below 2.1 px`.
        picture: int64 (units,), the picture of each unit of the suite: each picture once, or once for each of its
            digits.
        slot: int64 (units,), the slot of each unit; -1 where the units are pictures.
        inside: bool (units,), which of them belong to the part.
    """

    factor: str
    name: str
    picture: np.ndarray
    slot: np.ndarray
    inside: np.ndarray

    @property
    def unit(self) -> str:
        """`digit` or `picture`."""
        return "picture" if np.all(self.slot < 0) else "digit"


@dataclass(frozen=True)
class Estimate:
    """A share inside a slice against the share in the rest of the suite.

    Attributes:
        share, low, high: of the units inside, with its 95 % interval.
        rest: of the units outside.
        p: of the one-sided test that the share is not larger inside than outside.
    """

    share: float
    low: float
    high: float
    rest: float
    p: float


@dataclass(frozen=True)
class SliceScore:
    """What one strategy reads of one slice of test; a row of the table.

    Attributes:
        strategy, suite, unit, factor, slice: what was read of which part, counted in digits or in pictures.
        n, pictures: units inside, and the pictures that they are of.
        accuracy, low, high, rest: share of the units that are read correctly with its 95 % interval, and of the others.
        accuracy_p: of the test that it is not lower inside; None where the slice is too small to be judged. Once
            `corrected`, for the number of all tests.
        accepted_wrong, accepted_low, accepted_high, accepted_rest, accepted_p: the same of the units that are wrong in
            a reading that is accepted; the test is that they are not more.
    """

    strategy: str
    suite: str
    unit: str
    factor: str
    slice: str
    n: int
    pictures: int
    accuracy: float
    low: float
    high: float
    rest: float
    accuracy_p: float | None
    accepted_wrong: float
    accepted_low: float
    accepted_high: float
    accepted_rest: float
    accepted_p: float | None


COLUMNS = tuple(field.name for field in fields(SliceScore))
"""Of the scores of slices as CSV."""


def slices(pictures: ImageSet) -> list[Slice]:
    """Divide a suite by what its targets and pixels say, whatever a model reads.

    Photographs are divided by class, brightness and contrast. Digits are divided by digit, slot (from left to right),
    stroke thickness, size, overlap and slant; pictures of several digits also by their number. Slices that would hold
    everything are left out, and so are digits whose box is not known where the slice is of their box.
    """
    expect_pictures(pictures.images)
    everything, no_slot = np.arange(len(pictures)), np.full(len(pictures), -1)
    if pictures.shape[-1] == 3:
        values = {
            "brightness": _bins(measures.brightness(pictures.images), "", 0),
            "contrast": _bins(measures.contrast(pictures.images), "", 0),
        }
        divided = {"class": _by_class(pictures.labels[:, 0], pictures.class_names), **values}
        return _parts(divided, everything, no_slot)
    held = digits(pictures.labels, blank_of(pictures.class_names))
    counts = held.sum(axis=1)
    by_count = {f"{count} digit{'s' * (count != 1)}": counts == count for count in np.unique(counts).tolist()}
    picture, slot = np.nonzero(held)
    position = np.cumsum(held, axis=1)[picture, slot]
    by_slot = {f"slot {place}": position == place for place in np.unique(position).tolist()}
    boxes = pictures.boxes
    if boxes is None and pictures.slots == 1:
        boxes = np.stack([measures.ink_box(image) for image in pictures.images[..., 0]])[:, None]
    divided = {"digit": _by_class(pictures.labels[picture, slot], pictures.class_names), "slot": by_slot}
    if boxes is not None:
        thick, slant = _drawn(pictures.images[..., 0], boxes, picture, slot)
        divided |= {
            "thickness": _bins(thick, " px", 1),
            "size": _bins(measures.longer_side(boxes)[picture, slot], " px", 0),
            "overlap": _by_overlap(100 * measures.overlap(boxes)[picture, slot]),
            "slant": _bins(slant, "°", 0),
        }
    return [*_parts({"digits": by_count}, everything, no_slot), *_parts(divided, picture, slot)]


def digits_read(evaluated: Evaluated) -> np.ndarray:
    """Bool (n, slots of the targets): which target digits were read.

    With positions, a digit counts when the reading has it in the same slot. Without, when it belongs to a longest
    common subsequence of reading and target, as `digit_accuracy` counts; where there are several, to the one that
    matches digits as far to the right as it can.
    """
    labels, classes, blank = evaluated.pictures.labels, evaluated.readings.classes, evaluated.blank
    if evaluated.positional:
        width = min(labels.shape[1], classes.shape[1])
        found = np.zeros(labels.shape, bool)
        found[:, :width] = labels[:, :width] == classes[:, :width]
        return found & digits(labels, blank)
    held = digits(labels, blank)
    found = held.copy()
    for row in np.flatnonzero(~evaluated.correct):
        found[row] = False
        target, read = np.flatnonzero(held[row]), in_order(classes[row : row + 1], blank)[0]
        matched = _matched(labels[row, target].tolist(), [each for each in read.tolist() if each != blank])
        found[row, target[matched]] = True
    return found


def outcomes(evaluated: Evaluated, part: Slice, threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Of each unit: whether it is wrong, and whether it is wrong in an accepted reading; bool (units,) each.

    Args:
        evaluated: readings of the pictures of the slice's suite.
        part: the slice.
        threshold: the confidence from which a reading is accepted; None accepts nothing.
    """
    correct = (
        evaluated.correct[part.picture] if part.unit == "picture" else digits_read(evaluated)[part.picture, part.slot]
    )
    accepted = np.zeros(len(evaluated), bool)
    if threshold is not None:
        accepted = evaluated.readings.confidence.astype(np.float64) >= threshold
    return ~correct, ~correct & accepted[part.picture]


def scores(
    strategy: str, suite: str, evaluated: Evaluated, parts: Sequence[Slice], threshold: float | None, least: int
) -> list[SliceScore]:
    """Score one strategy on every slice of one suite; the p-values are not corrected yet.

    Args:
        strategy: named in the rows.
        suite: named in the rows.
        evaluated: readings of the suite.
        parts: of `slices`.
        threshold: the confidence from which a reading is accepted; None accepts nothing.
        least: pictures of a slice that is judged; smaller ones have no p-value.
    """
    found = []
    of_unit = {part.unit: outcomes(evaluated, part, threshold) for part in parts}
    for part in parts:
        wrong, accepted = (estimate(each, part.picture, part.inside) for each in of_unit[part.unit])
        held = len(np.unique(part.picture[part.inside]))
        judged = held >= least
        found.append(
            SliceScore(
                strategy=strategy,
                suite=suite,
                unit=part.unit,
                factor=part.factor,
                slice=part.name,
                n=int(part.inside.sum()),
                pictures=held,
                accuracy=rounded(1 - wrong.share),
                low=rounded(1 - wrong.high),
                high=rounded(1 - wrong.low),
                rest=rounded(1 - wrong.rest),
                accuracy_p=wrong.p if judged else None,
                accepted_wrong=rounded(accepted.share),
                accepted_low=rounded(accepted.low),
                accepted_high=rounded(accepted.high),
                accepted_rest=rounded(accepted.rest),
                accepted_p=accepted.p if judged else None,
            )
        )
    return found


def corrected(rows: Sequence[SliceScore]) -> list[SliceScore]:
    """The rows with p-values that are corrected, by Holm's method, for all tests of all of them together."""
    tests = [p for row in rows for p in (row.accuracy_p, row.accepted_p) if p is not None]
    values = iter(float(f"{p:.3g}") for p in holm(tests))
    return [
        replace(
            row,
            accuracy_p=None if row.accuracy_p is None else next(values),
            accepted_p=None if row.accepted_p is None else next(values),
        )
        for row in rows
    ]


def worst(rows: Iterable[SliceScore], level: float) -> list[tuple[SliceScore, str]]:
    """Of each strategy and suite, the slice read least accurately, and the one with most accepted errors.

    Only slices that are significantly worse than the rest of the suite are named.

    Args:
        rows: of `corrected`.
        level: of the test.

    Returns:
        Rows with `accuracy` or `accepted_wrong`, by which each is the worst.
    """
    lowest: dict[tuple[str, str, str], SliceScore] = {}
    for row in rows:
        if row.accuracy_p is not None and row.accuracy_p <= level:
            key = (row.strategy, row.suite, "accuracy")
            lowest[key] = min(lowest.get(key, row), row, key=lambda each: each.accuracy)
        if row.accepted_p is not None and row.accepted_p <= level:
            key = (row.strategy, row.suite, "accepted_wrong")
            lowest[key] = max(lowest.get(key, row), row, key=lambda each: each.accepted_wrong)
    return [(row, by) for (_, _, by), row in lowest.items()]


def cells(row: SliceScore) -> list[str]:
    """A row as CSV, under `COLUMNS`."""
    return ["" if value is None else str(value) for value in astuple(row)]


def estimate(happened: np.ndarray, picture: np.ndarray, inside: np.ndarray) -> Estimate:
    """A share inside a slice against that of the rest. The digits of a picture are not independent; pictures are.

    The variances are those of ratios of sums over pictures (Taylor linearization; Cochran 1977, section 6.4), the
    interval is Wilson's with the effective number of units (Korn and Graubard 1998). The test is Wald's, one-sided;
    with few errors it is conservative, since the variance is that of the larger share inside.

    Args:
        happened: bool (units,), what is counted.
        picture: int (units,), the picture of each unit.
        inside: bool (units,), which units belong to the slice; some, and not all.
    """
    n_inside, n_rest = int(inside.sum()), int((~inside).sum())
    share, rest = float(happened[inside].mean()), float(happened[~inside].mean())
    pictures = int(picture.max()) + 1

    def influence(part: np.ndarray, mean: float, n: int) -> np.ndarray:
        return np.bincount(picture, np.where(part, happened - mean, 0.0) / n, pictures)

    here, there = influence(inside, share, n_inside), influence(~inside, rest, n_rest)
    held = len(np.unique(picture[inside]))
    variance = float(np.sum(here**2)) * held / max(held - 1, 1)
    # Where all or none happened, nothing shows how much the digits of a picture depend on each other.
    effective = min(n_inside, share * (1 - share) / variance) if variance > 0 else held
    both = float(np.sum((here - there) ** 2))
    z = (share - rest) / math.sqrt(both) if both > 0 else math.inf if share > rest else -math.inf
    low, high = _wilson(share, effective)
    return Estimate(share=share, low=low, high=high, rest=rest, p=float(stats.norm.sf(z)))


def _wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % score interval (Wilson 1927) of a share of n units, where n need not be whole."""
    z = float(stats.norm.ppf(0.975))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(centre - reach, share)), min(1.0, max(centre + reach, share))


def _by_class(labels: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: labels == index for index, name in enumerate(names) if name != "blank"}


def _by_overlap(values: np.ndarray) -> dict[str, np.ndarray]:
    """Without overlap, and the less and the more overlapping halves of the rest; `values` are per cent."""
    positive = np.where(values > 0, values, np.nan)
    return {"none": values == 0, **_bins(positive, " %", 0, (0.5,))}


def _bins(
    values: np.ndarray, unit: str, decimals: int, quantiles: Sequence[float] = QUANTILES
) -> dict[str, np.ndarray]:
    """Slices of a measure between its quantiles, rounded to so many decimals; one that is NaN is in none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {}
    edges = np.unique(np.round(np.quantile(known, quantiles), decimals))
    edges = edges[(edges > known.min()) & (edges <= known.max())]
    if not len(edges):
        return {}
    shown = [f"{edge:.{decimals}f}" for edge in edges]
    names = [
        f"below {shown[0]}{unit}",
        *(f"{low} to {high}{unit}" for low, high in itertools.pairwise(shown)),
        f"{shown[-1]}{unit} and more",
    ]
    place = np.where(np.isnan(values), -1, np.digitize(values, edges))
    return {name: place == index for index, name in enumerate(names)}


def _parts(divided: Mapping[str, Mapping[str, np.ndarray]], picture: np.ndarray, slot: np.ndarray) -> list[Slice]:
    return [
        Slice(factor, name, picture, slot, inside)
        for factor, parts in divided.items()
        for name, inside in parts.items()
        if inside.any() and not inside.all()
    ]


def _drawn(
    images: np.ndarray, boxes: np.ndarray, picture: np.ndarray, slot: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Thickness in pixels and slant in degrees of each digit, float64 (units,); NaN where the box is not known."""
    thick, slant = np.full(boxes.shape[:2], np.nan), np.full(boxes.shape[:2], np.nan)
    for index, image in enumerate(images):
        known = np.flatnonzero(boxes[index, :, 2] > boxes[index, :, 0])
        if not len(known):
            continue
        thick[index, known] = measures.thickness(image, boxes[index, known])
        for place in known:
            x0, y0, x1, y1 = np.rint(boxes[index, place]).astype(int)
            slant[index, place] = measures.slant(np.ascontiguousarray(image[max(y0, 0) : y1, max(x0, 0) : x1]))
    return thick[picture, slot], slant[picture, slot]


def _matched(target: Sequence[int], read: Sequence[int]) -> list[int]:
    """Indices of `target` in a longest common subsequence with `read`, rising."""
    longest = np.zeros((len(target) + 1, len(read) + 1), int)
    for i, wanted in enumerate(target):
        for j, found in enumerate(read):
            longest[i + 1, j + 1] = longest[i, j] + 1 if wanted == found else max(longest[i, j + 1], longest[i + 1, j])
    matched, i, j = [], len(target), len(read)
    while i and j:
        if target[i - 1] == read[j - 1]:
            i, j = i - 1, j - 1
            matched.append(i)
        elif longest[i - 1, j] >= longest[i, j - 1]:
            i -= 1
        else:
            j -= 1
    return matched[::-1]
