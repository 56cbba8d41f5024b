"""Reading a data set in bulk: `make read` against ONNX Runtime alone, its memory, and a run that is killed and resumed.

    python -m benchmarks.bulk --pace FOLDER --pictures FOLDER --out FOLDER

Both are folders of Parquet files of 28×28 pictures, each different from the others. With the first, one worker and two
are compared with ONNX Runtime alone: the same pictures, decoded before the clock starts, read in runs of 32 with one
thread in each of as many processes, before and after the run that they are compared with. Processor time is compared
beside elapsed time, since only the former means something on a machine that others use. With the second, two workers
read, are killed half-way, and go on.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import re
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

ALONE = 20_000
"""Pictures that ONNX Runtime reads alone, before and after a run."""


def alone(place, number, workers, barrier, queue):
    """Time ONNX Runtime in one of several processes."""
    reader = Reader.load(models_folder(Path()) / "mnist")
    images = []
    for shard in sources.shards_of(place):
        images += [decode_plain(item.data, {"": (28, 28, 1)})[1] for block in shard.blocks() for item in block]
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
    """Start with two workers, and kill the command (SIGKILL) once so many parts are there."""
    process = subprocess.Popen(command(place, out, 2))
    workers = []
    while len(list(out.glob("part-*"))) < parts:
        time.sleep(0.2)
        workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    return {"parts at the kill": len(list(out.glob("part-*"))), "workers alive after 10 s": len(alive)}


def table(out):
    """All rows of a dataset."""
    return pyarrow.dataset.dataset(out, format="parquet").to_table()


def lost_or_doubled(place, out):
    """How many pictures have no row, another row than one, or one of other bytes."""
    found, wrong, rows = {}, 0, table(out)
    for name, sha256 in zip(rows.column("picture").to_pylist(), rows.column("sha256").to_pylist(), strict=True):
        wrong += name in found
        found[name] = sha256
    for shard in sources.shards_of(place):
        for block in shard.blocks():
            wrong += sum(found.pop(item.name, "") != hashlib.sha256(item.data).hexdigest() for item in block)
    return wrong + len(found)


def main():
    """Measure, print, and write `bulk.json` into the folder of the datasets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pace", required=True)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = {"load": os.getloadavg(), "cores": os.cpu_count()}
    total = sum(shard.pictures for shard in sources.shards_of(given.pace))
    for workers in (1, 2):
        before = time_alone(given.pace, workers)
        out = given.out / f"workers-{workers}"
        whole = run(given.pace, out, workers)
        after = time_alone(given.pace, workers)
        # Without the start of the processes, as ONNX Runtime alone.
        each = 1e3 * float(re.search(r"([\d.]+) ms of a core", whole["said"])[1])
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
    out = given.out / "killed"
    shards = sum(1 for _ in sources.shards_of(given.pictures))
    cut = killed(given.pictures, out, shards // 2)
    resumed = run(given.pictures, out, 2)
    ends = [table(given.out / f"workers-{workers}").sort_by("picture") for workers in (1, 2)]
    found["killed"] = {
        **cut,
        **resumed,
        "rows": len(table(out)),
        "lost or doubled": lost_or_doubled(given.pictures, out),
        "two workers equal to one": ends[0].equals(ends[1]),
        "bytes": sum(file.stat().st_size for file in out.glob("part-*")),
    }
    print(json.dumps(found["killed"] | {"memory": resumed["memory"][:: max(1, len(resumed["memory"]) // 12)]}))
    (given.out / "bulk.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
