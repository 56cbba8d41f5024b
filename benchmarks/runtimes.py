"""ONNX Runtime and OpenVINO on the packaged models: 1 and 2 threads, 1 and 2 processes, float32 and bfloat16.

`python -m benchmarks.runtimes --write` times every packaged model and writes the table into docs/performance.md.
OpenVINO is not part of the project's environment: an interpreter with requirements/benchmarks.txt measures both, the
project's own ONNX Runtime alone.
"""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import PAGE
from pipeline.project import command
from pipeline.reports import markdown
from pipeline.runtime.reader import Reader, load_manifests

BATCHES = (1, 8, 32)
RUNTIMES = ("onnxruntime float32", "openvino float32", "openvino bf16")


def main(artifacts: Path = Path("artifacts"), seconds: float = 5.0, write: bool = False, child: str = "") -> None:
    """Print pictures per second, and the milliseconds of one picture.

    Args:
        artifacts: the packaged models.
        seconds: of each measurement.
        write: write the table into docs/performance.md.
        child: what one of several processes measures, as `RUNTIME,TASK,THREADS,BATCH`; it prints one number.
    """
    if child:
        runtime, task, threads, batch = child.split(",")
        print(_rate(_reading(runtime, artifacts / task, int(threads)), artifacts / task, int(batch), seconds))
        return
    header = ["model", "runtime", "threads", "processes", "alone", *(f"{n} at once" for n in BATCHES)]
    rows = []
    installed = [name for name in RUNTIMES if importlib.util.find_spec(name.split()[0])]
    for task, manifest in load_manifests(artifacts).items():
        for runtime in installed:
            for threads, processes in ((1, 1), (2, 1), (1, 2)):
                rates = [_together(runtime, task, threads, processes, batch, artifacts, seconds) for batch in BATCHES]
                alone = 1000 * processes / rates[0]
                name = f"{manifest.strategy} ({task})"
                row = [name, runtime, str(threads), str(processes), f"{alone:.2f} ms"]
                rows.append([*row, *(f"{rate:,.0f}/s" for rate in rates)])
                print(", ".join(rows[-1]), file=sys.stderr)
    table = markdown.table(header, rows)
    print(table)
    if write:
        markdown.replace_table(PAGE, "runtimes", table)


def _together(
    runtime: str, task: str, threads: int, processes: int, batch: int, artifacts: Path, seconds: float
) -> float:
    """Pictures per second of all processes together."""
    options = (
        "--artifacts",
        str(artifacts),
        "--seconds",
        str(seconds),
        "--child",
        f"{runtime},{task},{threads},{batch}",
    )
    arguments = [sys.executable, "-m", "benchmarks.runtimes", *options]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(float(process.communicate()[0]) for process in running)


def _reading(runtime: str, folder: Path, threads: int) -> Callable[[np.ndarray], object]:
    if runtime.startswith("onnxruntime"):
        return Reader.load(folder, threads=threads).read
    import openvino

    precision = {"float32": "f32", "bf16": "bf16"}[runtime.split()[1]]
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": 1,
        # Otherwise two processes stay on the same core.
        "ENABLE_CPU_PINNING": False,
    }
    compiled = openvino.Core().compile_model(str(folder / "model.onnx"), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda pictures: request.infer({0: pictures})


def _rate(read: Callable[[np.ndarray], object], folder: Path, batch: int, seconds: float) -> float:
    shape = load_manifests(folder.parent)[folder.name].shape
    pictures = np.random.default_rng(0).integers(0, 256, (batch, *shape), np.uint8)
    for _ in range(3):
        read(pictures)
    count, begun = 0, time.perf_counter()
    while (taken := time.perf_counter() - begun) < seconds:
        read(pictures)
        count += batch
    return count / taken


if __name__ == "__main__":
    command.run(main)
