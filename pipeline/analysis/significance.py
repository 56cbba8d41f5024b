"""Whether two strategies differ: paired intervals and McNemar's test on the same pictures, corrected for many pairs."""

import csv
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from scipy import stats

from pipeline.core.errors import DataError
from pipeline.evaluation.accuracy import rounded
from pipeline.evaluation.bootstrap import paired


@dataclass(frozen=True)
class Comparison:
    """Two strategies on the same test pictures of one suite; shares lie in 0 to 1.

    Attributes:
        suite: the pictures.
        strategy_a, strategy_b: the two, the more accurate one first.
        pictures: how many both read.
        accuracy_a, accuracy_b: their sequence accuracies.
        difference, low, high: the first minus the second, and its interval.
        only_a, only_b: how many pictures that one alone reads correctly.
        p: of McNemar's exact test, two-sided.
        p_holm: the same, corrected for all pairs of the suite.
    """

    suite: str
    strategy_a: str
    strategy_b: str
    pictures: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    low: float
    high: float
    only_a: int
    only_b: int
    p: float
    p_holm: float


COLUMNS = tuple(field.name for field in fields(Comparison))
"""Of the comparisons as CSV."""


def mcnemar(only_a: int, only_b: int) -> float:
    """The two-sided p of McNemar's exact test (McNemar 1947; exact: the sign test of the discordant pictures).

    Args:
        only_a: pictures that the first alone reads correctly.
        only_b: pictures that the second alone reads correctly.
    """
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979), in the same order.

    The probability that any true null hypothesis among them is rejected at a level is at most this level, however the
    tests depend on each other.
    """
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected.tolist()


def compare(
    suite: str, correct: Mapping[str, np.ndarray], *, confidence: float, resamples: int, seed: int
) -> list[Comparison]:
    """Compare every pair of strategies on one suite.

    The correction is over all pairs, not only over those with the best: which strategy is the best was seen on the same
    pictures, so every pair was looked at.

    Args:
        suite: its name.
        correct: by strategy, bool (n,), exact matches of the same pictures in the same order.
        confidence: of the intervals, above 0.5 and below 1; they are not corrected.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        DataError: the strategies did not read the same number of pictures, or none.
    """
    order = sorted(correct, key=lambda name: (-float(correct[name].mean()), name))
    pairs = list(itertools.combinations(order, 2))
    found = []
    for a, b in pairs:
        result = paired({suite: correct[a]}, {suite: correct[b]}, confidence=confidence, resamples=resamples, seed=seed)
        only_a, only_b = int(np.sum(correct[a] & ~correct[b])), int(np.sum(correct[b] & ~correct[a]))
        found.append((a, b, result, only_a, only_b, mcnemar(only_a, only_b)))
    corrected = holm([p for *_, p in found])
    return [
        Comparison(
            suite=suite,
            strategy_a=a,
            strategy_b=b,
            pictures=result.pictures,
            accuracy_a=rounded(result.challenger),
            accuracy_b=rounded(result.champion),
            difference=rounded(result.difference),
            low=rounded(result.low),
            high=rounded(result.high),
            only_a=only_a,
            only_b=only_b,
            p=_significant(p),
            p_holm=_significant(p_holm),
        )
        for (a, b, result, only_a, only_b, p), p_holm in zip(found, corrected, strict=True)
    ]


def indistinguishable(
    comparisons: Iterable[Comparison], best: Mapping[str, str], *, confidence: float
) -> dict[str, tuple[str, ...]]:
    """By suite, the strategies that cannot be told apart from its best one, in the order of the comparisons.

    Args:
        comparisons: of `compare`.
        best: the best strategy of each suite.
        confidence: one minus the level of the corrected test.
    """
    found: dict[str, list[str]] = {}
    for each in comparisons:
        pair = {each.strategy_a, each.strategy_b}
        if best.get(each.suite) in pair and each.p_holm > 1 - confidence:
            found.setdefault(each.suite, []).extend(pair - {best[each.suite]})
    return {suite: tuple(names) for suite, names in found.items()}


def load(path: Path) -> list[Comparison]:
    """Read comparisons that were written as CSV under `COLUMNS`.

    Raises:
        DataError: the file is missing, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
        if not rows or tuple(rows[0]) != COLUMNS:
            raise ValueError(f"columns {', '.join(rows[0]) if rows else 'none'}, expected {', '.join(COLUMNS)}")
        kinds = [kind if isinstance(kind := field.type, type) else str for field in fields(Comparison)]
        return [Comparison(*(kind(cell) for kind, cell in zip(kinds, row, strict=True))) for row in rows[1:]]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run `make repro` to make it") from None
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}: not a table of comparisons ({error}); remove it and run `make repro`") from None


def cells(comparison: Comparison) -> list[str]:
    """The row of a comparison as CSV, under `COLUMNS`."""
    return [str(value) for value in astuple(comparison)]


def _significant(p: float) -> float:
    """With three significant digits: p-values differ by their magnitude."""
    return float(f"{p:.3g}")
