"""Reading a data set in bulk: `make read` against ONNX Runtime alone, its memory, and a run that is killed and resumed.

    python -m benchmarks.bulk --pictures FOLDER --out FOLDER

`--pictures` is a folder of Parquet files of 28×28 pictures, each different from the others. ONNX Runtime alone means: the
same pictures, decoded before the clock starts, read in runs of 32 with one thread in each of as many processes. It is
measured before and after the run it is compared with. Processor time is compared beside elapsed time, since only the
former means something on a machine that others use.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.dataset

from pipeline.reading import sources
from pipeline.reading.packaged import BATCH
from pipeline.reading.plain import decode_plain
from pipeline.runtime.reader import Reader
from pipeline.runtime.releases import models_folder

ALONE = 40_000
"""Pictures that ONNX Runtime reads alone, before and after a run."""


def alone(place, number, workers, barrier, queue):
    """Time ONNX Runtime in one of several processes."""
    reader = Reader.load(models_folder(Path()) / "mnist")
    images = []
    for shard in sources.shards_of(place):
        images += [decode_plain(item.data, {"": (28, 28, 1)})[1].pixels for block in shard.blocks() for item in block]
        if len(images) >= ALONE:
            break
    share = np.stack(images[:ALONE][number::workers])
    reader.read(share[:BATCH])
    barrier.wait()
    began, used = time.perf_counter(), time.process_time()
    reader.read(share, batch=BATCH)
    queue.put((len(share), time.perf_counter() - began, time.process_time() - used))


def time_alone(place, workers):
    """Pictures a second of all processes together, and microseconds of processor time for each picture."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=alone, args=(place, number, workers, barrier, queue)) for number in range(workers)
    ]
    for process in processes:
        process.start()
    found = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    count = sum(each[0] for each in found)
    return {"pace": count / max(each[1] for each in found), "microseconds": 1e6 * sum(e[2] for e in found) / count}


def command(place, out, workers, *more):
    """The command line of a run."""
    told = ["--images", place, "--out", str(out), "--workers", str(workers), *more]
    return [sys.executable, "-m", "pipeline.commands.read", *told]


def run(place, out, workers, *more):
    """Run to the end: its elapsed and its processor time, and memory by time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, memory = time.perf_counter(), []
    process = subprocess.Popen(command(place, out, workers, *more), stdout=subprocess.PIPE, text=True)
    tree = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in (tree, *tree.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += each.memory_info().rss
            memory.append((round(time.perf_counter() - began, 1), round(total / 1e6, 1)))
        time.sleep(1)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"make read ended with {process.returncode}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"said": process.stdout.read().strip(), "seconds": seconds, "processor": used, "memory": memory}


def killed(place, out, parts):
    """Start with two workers, kill the command (SIGKILL) once so many parts are there; the rows that are kept."""
    process = subprocess.Popen(command(place, out, 2))
    workers = []
    while len(list(out.glob("part-*"))) < parts:
        time.sleep(0.2)
        workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    return {"parts": len(list(out.glob("part-*"))), "rows": len(table(out)), "workers alive after 10 s": len(alive)}


def table(out):
    """All rows, by name."""
    return pyarrow.dataset.dataset(out, format="parquet").to_table().sort_by("picture")


def main():
    """Measure, print, and write `bulk.json` into the folder of the datasets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--on", default="")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = {"load": os.getloadavg(), "cores": os.cpu_count()}
    total = sum(shard.pictures for shard in sources.shards_of(given.pictures))
    shards = sum(1 for _ in sources.shards_of(given.pictures))
    for workers in (1, 2):
        before = time_alone(given.pictures, workers)
        out = given.out / f"workers-{workers}"
        whole = run(given.pictures, out, workers, *(("--on", given.on) if given.on else ()))
        after = time_alone(given.pictures, workers)
        each = 1e6 * whole["processor"] / total
        whole |= {
            "alone": [before, after],
            "pace": total / whole["seconds"],
            "microseconds": each,
            "ratio of elapsed time": total / whole["seconds"] / ((before["pace"] + after["pace"]) / 2),
            "ratio of processor time": (before["microseconds"] + after["microseconds"]) / 2 / each,
            "bytes": sum(file.stat().st_size for file in out.glob("part-*")),
        }
        found[f"{workers} workers"] = whole
        print(json.dumps(whole | {"memory": whole["memory"][:: max(1, len(whole["memory"]) // 12)]}), flush=True)
        (given.out / "bulk.json").write_text(json.dumps(found, indent=1))
    again = given.out / "killed"
    cut = killed(given.pictures, again, shards // 2)
    resumed = run(given.pictures, again, 2)
    expected, rows = table(given.out / "workers-1"), table(again)
    found["killed"] = {
        **cut,
        "said": resumed["said"],
        "rows": len(rows),
        "different names": len(rows.column("picture").unique()),
        "equal to the whole run": rows.equals(expected),
        "two workers equal to one": table(given.out / "workers-2").equals(expected),
    }
    print(json.dumps(found["killed"]))
    (given.out / "bulk.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
