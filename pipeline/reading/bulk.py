"""`make read` into a dataset: any number of pictures, on the cores of this machine or on a Ray cluster.

The pictures are divided into shards; a worker reads a shard and writes its part. What is done is what parts are there:
after a kill, the same command goes on with the shards that have none. A picture whose bytes were read before, under any
name, gets a copy of that reading. Shards are handed out a few at a time, and a worker has one block of pictures in
memory, so memory does not grow with their number.
"""

import collections
import functools
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import printable
from pipeline.project.progress import format_left, format_seconds
from pipeline.reading import sources
from pipeline.reading.dataset import INDEX, Dataset
from pipeline.reading.known import Known, Part
from pipeline.reading.packaged import PackagedModels
from pipeline.reading.sources import Shard
from pipeline.reading.worker import Done, Work, Worker

AHEAD = 2
"""Shards for each worker that are handed out: the one that it reads, and the next."""
EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""

Run = Callable[[Iterator[Shard], Work, Path, int], Iterator[Done]]
"""Reads shards with so many workers. The path is that of the index; parts come in any order."""


@dataclass
class Totals:
    """What a run has made so far.

    Attributes:
        total: pictures of the source.
        read, reused: rows of this run, and those among them that are copies of readings of the same bytes.
        kept: rows of parts that were there.
        processor: seconds of processor time of the workers, without their start.
    """

    total: int
    read: int = 0
    reused: int = 0
    kept: int = 0
    processor: float = 0.0


def read_dataset(
    images: str,
    out: str,
    artifacts: Path,
    *,
    task: str = "",
    invert: bool = False,
    again: bool = False,
    workers: int = 0,
    run: Run | None = None,
) -> str:
    """Read every picture of a source and write a dataset with a row for each.

    Args:
        images: a folder, a Parquet file or a folder of them; a path or an address.
        out: the folder of the dataset, a path or an address.
        artifacts: the packaged models.
        task: whose model reads every picture; "" where the size of a picture decides.
        invert: as `PackagedModels.answer` takes it.
        again: forget what an earlier run has read.
        workers: processes, or actors of a cluster; 0 for one for each core.
        run: where the workers are; None for this machine.

    Returns:
        One line that counts what was read.

    Raises:
        ConfigurationError: a place that cannot be used, another run that writes the same dataset, or one of other
            models or settings.
        DataError: there are no pictures, a source is damaged or cannot be reached, a worker was killed, or the disk is
            full.
    """
    _expect_apart(images, out)
    setup = PackagedModels.of(artifacts, task).setup(invert=invert)
    dataset = Dataset(out)
    work = Work(artifacts=str(artifacts.resolve()), task=task, invert=invert, out=out)
    with dataset.held(setup, again=again) as folder, Known.open(folder / INDEX) as known:
        dataset.synchronize(known)
        started = time.monotonic()
        done = {key for key, part in known.parts().items() if not part.again}
        wanted = _keys(images)
        totals = Totals(total=sum(wanted.values()), kept=sum(wanted[key] for key in wanted if key in done))
        if totals.kept:
            print(f"{printable(out)}: {totals.kept:,} of {totals.total:,} pictures were read before", file=sys.stderr)
        left = wanted.keys() - done
        if left or known.parts().keys() - wanted.keys():
            dataset.unfinish()
        try:
            if left:
                todo = (shard for shard in sources.shards_of(images) if shard.key in left)
                count = max(1, min(workers or _cores(), len(left)))
                _read_all(todo, work, folder / INDEX, known, totals, count, run or on_this_machine)
        except BaseException:
            kept = totals.kept + totals.read
            print(f"{printable(out)}: {kept:,} of {totals.total:,} pictures kept for the next run", file=sys.stderr)
            raise
        parts = _finish(dataset, known, list(wanted), images)
        return _summary(out, parts, totals, time.monotonic() - started)


def _keys(images: str) -> dict[str, int]:
    """By the key of each shard of a source, how many pictures it has."""
    found: dict[str, int] = {}
    for shard in sources.shards_of(images):
        if shard.key in found:
            raise DataError(f"{printable(images)}: two files of one name, size and time found; rename one")
        found[shard.key] = shard.pictures
    return found


def _finish(dataset: Dataset, known: Known, wanted: Sequence[str], images: str) -> list[Part]:
    """Leave the parts with these keys, no others, and say that all pictures have a row."""
    parts = known.parts()
    if missing := set(wanted) - parts.keys():
        raise DataError(f"{printable(images)}: changed while it was read, {len(missing)} parts missing; run again")
    for key in parts.keys() - set(wanted):
        # Pictures that are gone or have changed: what is the same in them was used again before.
        dataset.remove(key)
        known.remove(key)
    left = [parts[key] for key in wanted]
    dataset.finish(left)
    return left


def on_this_machine(todo: Iterator[Shard], work: Work, index: Path, workers: int) -> Iterator[Done]:
    """Read shards in processes of this machine; with one worker, in this process."""
    if workers == 1:
        with Known.readable(index) as known:
            worker = Worker(work, known.find)
            yield from map(worker.read, todo)
        return
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(work, str(index))
    )
    waiting: set[Future[Done]] = set()
    try:
        for shard in todo:
            waiting.add(pool.submit(_read, shard))
            if len(waiting) >= AHEAD * workers:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BrokenProcessPool:
        raise DataError(
            "a worker was killed, perhaps because memory ran out; what was read is kept: run again, with fewer WORKERS"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_worker: Worker | None = None
"""Of a process of the pool."""


def _begin(work: Work, index: str) -> None:
    global _worker  # noqa: PLW0603 - a pool's initializer has no other place to leave what its tasks use
    # A killed run takes its workers along: nothing else would end them.
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a process of the pool alone"
    threading.Thread(target=functools.partial(_end_with, parent), daemon=True).start()
    _worker = Worker(work, Known.readable(Path(index)).find)


def _end_with(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(1)


def _read(shard: Shard) -> Done:
    assert _worker is not None, "made by the initializer"
    return _worker.read(shard)


def _read_all(
    todo: Iterator[Shard], work: Work, index: Path, known: Known, totals: Totals, workers: int, run: Run
) -> None:
    with _Progress(printable(work.out), totals.total, totals.kept) as progress:
        for done in run(todo, work, index, workers):
            known.add(done.part, done.hashes)
            totals.read += done.part.pictures
            totals.reused += done.reused
            totals.processor += done.processor
            progress.advance(done.part.pictures)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _expect_apart(images: str, out: str) -> None:
    if "://" in images or "://" in out:
        inside = out.rstrip("/").startswith(images.rstrip("/") + "/") or out.rstrip("/") == images.rstrip("/")
    else:
        inside = Path(out).resolve().is_relative_to(Path(images).resolve())
    if inside:
        raise ConfigurationError(
            f"OUT: {printable(out)} is in {printable(images)}, so that the next run would read what this one writes; "
            "expected another folder"
        )


class _Progress:
    """A bar on a terminal; elsewhere a line every `EVERY` seconds."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self._bar = tqdm(total=total, initial=done, desc=name, unit="picture", disable=None)
        self._total, self._done = total, done
        self._recent: collections.deque[tuple[float, int]] = collections.deque([(time.monotonic(), done)], maxlen=32)
        self._said = time.monotonic()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, pictures: int) -> None:
        """Count the pictures of a part."""
        now = time.monotonic()
        self._done += pictures
        self._bar.update(pictures)
        self._recent.append((now, self._done))
        if not self._bar.disable or now - self._said < EVERY:
            return
        self._said = now
        then, before = self._recent[0]
        pace = (self._done - before) / max(now - then, 1e-3)
        left = format_left((self._total - self._done) / pace)
        print(f"{self._done:,} of {self._total:,} pictures, {pace:.0f} a second, {left}", file=sys.stderr, flush=True)


def _summary(out: str, parts: Sequence[Part], totals: Totals, seconds: float) -> str:
    pictures, lines, accepted, empty, errors = (
        sum(getattr(part, name) for part in parts) for name in ("pictures", "lines", "accepted", "empty", "errors")
    )
    found = [f"{pictures:,} pictures, {lines:,} lines", f"{accepted:,} accepted"]
    found += [f"{empty:,} without writing"] if empty else []
    found += [f"{errors:,} errors"] if errors else []
    found += [f"{totals.kept:,} read before"] if totals.kept else []
    found += [f"{totals.reused:,} copies of pictures that were read"] if totals.reused else []
    pace = ""
    if totals.read:
        each = 1e3 * totals.processor / totals.read
        pace = f"; {totals.read / seconds:.0f} pictures a second, {each:.3f} ms of a core each"
    return f"{printable(out)}: {', '.join(found)}; {format_seconds(seconds)}{pace}"
