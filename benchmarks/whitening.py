"""ZCA whitening: time, memory and agreement with Keras's retired ImageDataGenerator and with scikit-learn's PCA.

`DATASETS_MIRROR=... python -m benchmarks.whitening` takes the first 40,000 CIFAR-10 pictures. Each contestant fits and
applies in a process of its own, one after the other, so that its peak of resident memory is its own; what counts is
how far the peak rose after the imports and the pictures. Ratios are of processor seconds, summed over threads: on a
machine that others use as well, those of the clock say more about the others. `--pictures N` takes fewer pictures,
`--side S` the middle S×S pixels of each: `--pictures 10000 --side 16` is the whole on a 16th, done in seconds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers import zca_sklearn
from pipeline.core.errors import PipelineError
from pipeline.data import sources
from pipeline.preprocessing import normalization
from pipeline.preprocessing.normalization import Normalizer, Statistics

PICTURES = 40_000
APPLIED = 10_000
APPLIED_SINGLY = 1_000
BATCH = 500
COMPARED = 500
EPSILON = 1e-12
"""Next to nothing, as the old generator's is: 1e-6 added to singular values, which are some hundred times larger."""
MEBI = 1 << 20


def main() -> None:
    """Run every contestant once, ours twice, and print the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--run", choices=["prepare", *CONTESTANTS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run == "prepare":
        _prepare(arguments)
        return
    if arguments.run:
        measured = CONTESTANTS[arguments.run](np.load(arguments.folder / "pictures.npy"), arguments.folder)
        (arguments.folder / f"{arguments.run}.json").write_text(json.dumps(measured))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Linux hands a process's peak of memory on to those it starts: this one must stay small.
        options = ["--pictures", str(arguments.pictures), "--side", str(arguments.side), "--folder", name]
        _start("prepare", *options)
        print(f"{'':24}{'fit: CPU s':>11}{'clock s':>9}{'MiB more':>10}   apply: CPU ms a picture")
        results = {}
        for contestant in CONTESTANTS:
            _start(contestant, "--folder", name)
            results[contestant] = json.loads((folder / f"{contestant}.json").read_text())
            print(_row(contestant, results[contestant]), flush=True)
        _compare(results, folder)


def _start(part: str, *options: str) -> None:
    command = [sys.executable, "-m", "benchmarks.whitening", "--run", part, *options]
    if code := subprocess.run(command, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}).returncode:
        sys.exit(code)


def _prepare(arguments: argparse.Namespace) -> None:
    mirror = os.environ.get("DATASETS_MIRROR", "")
    try:
        sets = sources.fetch("cifar10", "public", fallback="none", mirror=mirror, cache=Path(".cache/downloads"))
    except PipelineError as error:
        sys.exit(str(error))
    edge, side = (32 - arguments.side) // 2, arguments.side
    pictures = sets["pool"].images[: arguments.pictures, edge : edge + side, edge : edge + side]
    np.save(arguments.folder / "pictures.npy", pictures)
    print(f"{len(pictures):,} CIFAR-10 pictures, {side}×{side}; {os.cpu_count()} cores", flush=True)


def _row(contestant: str, measured: dict) -> str:
    row = f"{contestant:24}"
    if "fit" in measured:
        row += f"{measured['fit']:11.1f}{measured['clock']:9.1f}{measured['memory']:10.0f}"
    else:
        row += " " * 30
    return row + "".join(f"{1000 * seconds:9.3f} {how}" for how, seconds in measured["apply"].items())


def _compare(results: dict, folder: Path) -> None:
    old, ours = results["generator"], [results["ours, channel"], results["ours, picture"]]
    slower, most = max(each["fit"] for each in ours), max(each["memory"] for each in ours)
    applied = max(each["apply"]["blocks"] for each in ours)
    print(
        f"fit: {old['fit'] / slower:.1f} times as fast as the generator, in 1/{old['memory'] / most:.1f} of its memory"
    )
    for other in ("scikit-learn, float64", "scikit-learn, float32"):
        ratio, memory = results[other]["fit"] / slower, results[other]["memory"] / most
        print(f"fit: {ratio:.2f} times as fast as {other}, in 1/{memory:.1f} of its memory")
    for how, seconds in old["apply"].items():
        print(f"apply: {seconds / applied:.1f} times as fast as the generator {how}")
    for first, second in AGREE:
        a, b = (np.load(folder / f"{each}.npy").astype(np.float64) for each in (first, second))
        print(f"{first} against {second}: at most {np.abs(a - b).max() / np.abs(b).max():.1e} of the largest value off")


class _Measured(dict):
    """Processor and clock seconds and MiB of what runs inside, as `fit`, `clock` and `memory`."""

    def __enter__(self) -> "_Measured":
        self._started = _peak(), time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        peak, cpu, clock = self._started
        self |= {"fit": time.process_time() - cpu, "clock": time.perf_counter() - clock, "memory": _peak() - peak}


def _seconds(apply: Callable[[], object], pictures: int) -> float:
    """Processor seconds a picture."""
    started = time.process_time()
    apply()
    return (time.process_time() - started) / pictures


def fit(pictures: np.ndarray, center: str) -> Statistics:
    """Fit the whitening of uint8 (n, H, W, C) in blocks, as from a set larger than memory, and make its matrix."""
    blocks = (pictures[start : start + 1000] for start in range(0, len(pictures), 1000))
    statistics = normalization.fit(blocks, name="cifar10", zca_epsilon=EPSILON, zca_center=center)
    statistics.zca_matrix(EPSILON)
    return statistics


def _ours(center: str) -> Callable[[np.ndarray, Path], dict]:
    def run(pictures: np.ndarray, folder: Path) -> dict:
        with _Measured() as measured:
            statistics = fit(pictures, center)
        applied = pictures[:APPLIED]
        np.save(folder / f"ours, {center}.npy", statistics.apply(pictures[:COMPARED], "zca").reshape(COMPARED, -1))
        Normalizer.of(statistics, "zca").save(folder / "zca.npz")
        return measured | {"apply": {"blocks": _seconds(lambda: statistics.apply(applied, "zca"), len(applied))}}

    return run


def _layer(pictures: np.ndarray, folder: Path) -> dict:
    import keras
    import tensorflow as tf

    from pipeline.layers import normalize

    inputs = keras.Input(pictures.shape[1:], dtype="uint8")
    model = keras.Model(inputs, normalize(inputs, Normalizer.load(folder / "zca.npz")))
    graph = tf.function(lambda images: model(images, training=False))
    batches = [pictures[start : start + BATCH] for start in range(0, min(APPLIED, len(pictures)), BATCH)]
    graph(batches[0])
    return {"apply": {f"batches of {BATCH}": _seconds(lambda: [graph(each) for each in batches], BATCH * len(batches))}}


def _generator(pictures: np.ndarray, folder: Path) -> dict:
    from benchmarks.peers import zca_generator

    with _Measured() as measured:
        generator = zca_generator.fit(pictures)
    batch = pictures[:APPLIED_SINGLY].astype(np.float32)
    singly, done = [picture.copy() for picture in batch], []
    apply = {
        # Its `flow` standardizes picture after picture.
        "one by one": _seconds(lambda: done.extend(map(generator.standardize, singly)), len(batch)),
        "all at once": _seconds(lambda: generator.standardize(batch), len(batch)),
    }
    np.save(folder / "generator.npy", np.stack(done[:COMPARED]).reshape(COMPARED, -1))
    return measured | {"apply": apply}


def _pca(dtype: str) -> Callable[[np.ndarray, Path], dict]:
    def run(pictures: np.ndarray, folder: Path) -> dict:
        with _Measured() as measured:
            flat = zca_sklearn.rescaled(pictures, dtype)
            pca = zca_sklearn.fit(flat)

        # It divides the covariance by n - 1, ours and the generator by n.
        white = zca_sklearn.apply(pca, flat[:COMPARED]) * np.sqrt(len(flat) / (len(flat) - 1))
        np.save(folder / f"scikit-learn, {dtype}.npy", white)
        applied = flat[:APPLIED]
        return measured | {"apply": {"all at once": _seconds(lambda: zca_sklearn.apply(pca, applied), len(applied))}}

    return run


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEBI


CONTESTANTS = {
    "ours, picture": _ours("picture"),
    "scikit-learn, float64": _pca("float64"),
    "scikit-learn, float32": _pca("float32"),
    "generator": _generator,
    "ours, channel": _ours("channel"),
    "layer": _layer,
}
AGREE = (
    ("ours, channel", "generator"),
    ("ours, picture", "scikit-learn, float64"),
    ("scikit-learn, float32", "scikit-learn, float64"),
)


if __name__ == "__main__":
    main()
