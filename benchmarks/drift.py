"""How often `make drift` raises a false alarm, and how many pictures a change takes: the figures of docs/monitoring.md.

    python -m benchmarks.drift --data=data        # after `dvc repro compose`; two minutes on two idle cores

The released model of strips reads strips of the digits of `gate`, which it has never seen. A week of traffic is drawn
from these readings. What they are compared with is what a manifest carries: the readings of `valid`.
"""

import argparse
import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pipeline.core.images import DIGIT, ImageSet
from pipeline.data import strips
from pipeline.monitoring import statistics
from pipeline.monitoring.detector import WEEK, Crossing, Detector
from pipeline.monitoring.reference import count, predictions
from pipeline.monitoring.watching import RATE
from pipeline.runtime.reader import Reader

WEEKS = 1000
A_WEEK = 300
"""Pictures."""
MOST = 2000
"""Pictures after a change that are waited for."""
BURN_IN = {1: 50, 20: 20}
"""Weeks before a change, and how often each is simulated."""
_STEP = 125
_BATCH = 64
Draw = Callable[[np.random.Generator, int], np.ndarray]


def main() -> None:
    """Read the pictures, unless they were read before, and simulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--model", type=Path, default=Path("release/strips"))
    parser.add_argument("--cache", type=Path, default=Path(".bench/drift"))
    arguments = parser.parse_args()
    reader = Reader.load(arguments.model)
    names = statistics.names(reader.manifest)
    bins = {
        name: _bins(arguments.cache / f"{name}.npy", reader, make) for name, make in _pictures(arguments.data).items()
    }
    reference = count(bins["valid"])
    print(f"reference: {len(bins['valid'])} pictures; traffic: drawn from {len(bins['plain'])}; rate {RATE} a week")
    _false_alarms(names, reference, bins)
    changes = {name: changed for name, changed in bins.items() if name not in ("valid", "plain")}
    for weeks, repetitions in BURN_IN.items():
        _detection(names, reference, bins["plain"], changes, weeks, repetitions)


def _pictures(data: Path) -> dict[str, Callable[[], np.ndarray]]:
    """What makes the pictures of each kind, uint8 (n, 28, 140, 1)."""

    def split(suite: str, name: str) -> np.ndarray:
        return ImageSet.load(data / "strips" / suite / f"{name}.npz").images

    def composed(digits: ImageSet, rounds: int) -> np.ndarray:
        made = strips.compose(digits, rounds=rounds, fewest=5, most=5, jitter=False, clutter=False, seed=21)
        return made.images

    def gate() -> ImageSet:
        return ImageSet.load(data / "mnist" / "mnist" / "gate.npz")

    def without_sevens() -> np.ndarray:
        digits = gate()
        return composed(digits.take(np.flatnonzero(digits.labels[:, 0] != 7)), 1)

    def blurred() -> np.ndarray:
        return np.stack([cv2.GaussianBlur(picture, (0, 0), 1.0)[..., None] for picture in split("plain", "gate")])

    return {
        "valid": lambda: split("plain", "valid"),
        "plain": lambda: composed(gate(), 10),
        "jitter": lambda: split("jitter", "gate"),
        "clutter": lambda: split("clutter", "gate"),
        "inversion": lambda: 255 - split("plain", "gate"),
        "blur": blurred,
        "another collection": lambda: composed(_optical_digits(), 5),
        "no sevens": without_sevens,
        "MNIST test": lambda: split("plain", "test"),
    }


def _optical_digits() -> ImageSet:
    """The 1,797 digits of scikit-learn's `load_digits` (8 by 8 pixels, UCI 1998) as those of MNIST are: 28 by 28."""
    from sklearn.datasets import load_digits

    found = load_digits()
    grey = np.rint(found.images * (255 / 16)).clip(0, 255).astype(np.uint8)
    images = np.zeros((len(grey), DIGIT, DIGIT, 1), np.uint8)
    for index, picture in enumerate(grey):
        images[index, 4:24, 4:24, 0] = cv2.resize(picture, (20, 20), interpolation=cv2.INTER_CUBIC)
    return ImageSet(
        images=images,
        labels=found.target.astype(np.uint8)[:, None],
        class_names=tuple("0123456789"),
        origin="folder:optical",
        sources=np.arange(len(images), dtype=np.int32)[:, None],
    )


def _bins(cache: Path, reader: Reader, make: Callable[[], np.ndarray]) -> np.ndarray:
    """int64 (n, statistics) of what the model reads of pictures."""
    if not cache.exists():
        images = make()
        names = statistics.names(reader.manifest)
        found = predictions(reader.manifest, images, reader.read(images, batch=_BATCH))
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, np.array([statistics.bins_of(each, names) for each in found], np.uint8))
        print(f"read {len(images)} pictures: {cache.stem}", flush=True)
    return np.load(cache).astype(np.int64)


def _detector(names: tuple[str, ...], reference: np.ndarray, seed: int) -> Detector:
    return Detector(reference, statistics.weights(names), rate=RATE, seed=seed)


def _false_alarms(names: tuple[str, ...], reference: np.ndarray, bins: dict[str, np.ndarray]) -> None:
    """Weeks in which nothing changes."""
    pool, rng = bins["plain"], np.random.default_rng(0)

    def traffic(pictures: int, weeks: float) -> tuple[np.ndarray, np.ndarray]:
        # Arrivals at random times, as many as on average.
        return pool[rng.integers(0, len(pool), pictures)], rng.exponential(WEEK * weeks / pictures, pictures)

    print(f"\nfalse alarms in {WEEKS} weeks of stationary traffic; allowed on average: {RATE * WEEKS:.0f}")
    detector = _detector(names, reference, 1)
    found = [detector.update(*traffic(A_WEEK, 1)) for _ in range(WEEKS)]
    print(f"one service for {WEEKS} weeks, {A_WEEK} pictures each: {_alarms(names, found)}", flush=True)
    found = [_detector(names, reference, seed).update(*traffic(A_WEEK, 1)) for seed in range(WEEKS)]
    print(f"{WEEKS} services for a week, {A_WEEK} pictures each: {_alarms(names, found)}", flush=True)
    found = []
    for seed in range(WEEKS):
        # Another reference each time, as small as one that is accepted from traffic may be.
        small = count(pool[rng.integers(0, len(pool), 500)])
        found.append(_detector(names, small, seed).update(*traffic(A_WEEK, 1)))
    print(f"{WEEKS} services for a week, references of 500 pictures of their own: {_alarms(names, found)}", flush=True)
    found = [_detector(names, reference, seed).update(*traffic(20, 1)) for seed in range(WEEKS)]
    print(f"{WEEKS} services for a week, 20 pictures each: {_alarms(names, found)}", flush=True)


def _alarms(names: tuple[str, ...], weeks: list) -> str:
    raised = Counter(names[crossing.statistic] for week in weeks for crossing in week)
    return f"{raised.total()} alarms in {sum(map(bool, weeks))} weeks {dict(raised) if raised else ''}"


def _detection(
    names: tuple[str, ...],
    reference: np.ndarray,
    pool: np.ndarray,
    changes: Mapping[str, np.ndarray],
    weeks: int,
    repetitions: int,
) -> None:
    """Print how many pictures of each change there are until the first alarm, after weeks in which nothing changed."""
    delays, first = defaultdict(list), defaultdict(Counter)
    for seed in range(repetitions):
        rng = np.random.default_rng([seed, weeks])
        settled = _detector(names, reference, seed)
        before = A_WEEK * weeks
        settled.update(pool[rng.integers(0, len(pool), before)], rng.exponential(WEEK / A_WEEK, before))
        for name, changed in changes.items():
            found = _first_alarm(copy.deepcopy(settled), changed, rng)
            delays[name].append(MOST + 1 if found is None else found.picture + 1)
            if found is not None:
                first[name][names[found.statistic]] += 1
    print(f"\npictures until an alarm, after {weeks} weeks of {A_WEEK} pictures, {repetitions} repetitions")
    print("| change | median | 9 of 10 | detected | first statistic |\n|---|---|---|---|---|")
    for name in changes:
        middle, most = np.quantile(delays[name], [0.5, 0.9], method="higher")
        shown = [f"{value}" if value <= MOST else f"more than {MOST}" for value in (middle, most)]
        share = np.mean(np.array(delays[name]) <= MOST)
        statistic = ", ".join(f"{key} ({number})" for key, number in first[name].most_common(3))
        print(f"| {name} | {shown[0]} | {shown[1]} | {100 * share:.0f} % | {statistic} |", flush=True)


def _first_alarm(detector: Detector, changed: np.ndarray, rng: np.random.Generator) -> Crossing | None:
    for start in range(0, MOST, _STEP):
        pictures = changed[rng.integers(0, len(changed), _STEP)]
        found = detector.update(pictures, rng.exponential(WEEK / A_WEEK, _STEP))
        if found:
            return replace(found[0], picture=start + found[0].picture)
    return None


if __name__ == "__main__":
    main()
