"""What reads a shard of pictures into a part of a dataset: in a process of this machine, or an actor of a cluster."""

import collections
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from pipeline.core.decoding import PictureError
from pipeline.reading import storage
from pipeline.reading.dataset import Dataset, shortened
from pipeline.reading.folder import FAILED
from pipeline.reading.known import Part
from pipeline.reading.packaged import PackagedModels
from pipeline.reading.sources import ROWS, Item, Shard
from pipeline.reading.table import Row

Find = Callable[[Sequence[bytes]], Mapping[bytes, tuple[str, int]]]
"""`Known.find`, here or in another process."""
REMEMBERED = 2 * ROWS
"""Rows of a shard in which equal pictures are found before the part is written."""


@dataclass(frozen=True)
class Work:
    """What every worker is told.

    Attributes:
        artifacts: the folder of the packaged models.
        task: whose model reads every picture; "" where the size of a picture decides.
        invert: as `PackagedModels.answer` takes it.
        out: the dataset, a path or an address.
    """

    artifacts: str
    task: str
    invert: bool
    out: str


@dataclass(frozen=True)
class Done:
    """A part that is written.

    Attributes:
        part: what it has.
        hashes: of the pictures whose readings may be used again, with their rows.
        reused: rows that are copies of readings of the same bytes.
        processor: seconds of processor time of the worker, from the first byte that was read to the part in its place.
    """

    part: Part
    hashes: list[tuple[bytes, int]]
    reused: int
    processor: float


class Worker:
    """Reads shards, one after the other, on one core."""

    def __init__(self, work: Work, find: Find) -> None:
        """Load the models.

        Raises:
            DataError, ConfigurationError: as `PackagedModels` does.
        """
        # Workers share the cores.
        cv2.setNumThreads(1)
        self._models = PackagedModels.of(Path(work.artifacts), work.task)
        for task in self._models.manifests:
            self._models.reader(task)
        self._invert = work.invert
        self._setup = self._models.setup(invert=work.invert)
        self._dataset = Dataset(work.out)
        self._find = find
        self._reused = 0

    def read(self, shard: Shard) -> Done:
        """Read the pictures of a shard and write its part.

        Raises:
            DataError: the source is damaged or cannot be reached, or the disk is full.
        """
        self._reused = 0
        started = time.process_time()
        with storage.answering("IMAGES", shard.place):
            part, hashes = self._dataset.write(shard.key, self._rows(shard))
        return Done(part, hashes, self._reused, time.process_time() - started)

    def _rows(self, shard: Shard) -> Iterator[tuple[Row, str]]:
        of_shard: dict[bytes, Row] = {}
        for block in shard.blocks():
            if len(of_shard) > REMEMBERED:
                of_shard.clear()
            yield from self._rows_of_block(block, of_shard)

    def _rows_of_block(self, block: Sequence[Item], of_shard: dict[bytes, Row]) -> Iterator[tuple[Row, str]]:
        digests = [("", b"") if item.error[0] else shortened(item.data) for item in block]
        rows = self._reuse({short for _, short in digests if short and short not in of_shard}) | of_shard
        new = {short: item for item, (_, short) in zip(block, digests, strict=True) if short and short not in rows}
        answers = self._models.answer_many([item.data for item in new.values()], invert=self._invert)
        for (short, item), answer in zip(new.items(), answers, strict=True):
            if isinstance(answer, PictureError):
                of_shard[short] = Row.of_error(item.name, answer.code, str(answer), item.status, self._setup)
            elif isinstance(answer, Exception):
                of_shard[short] = Row.of_error(item.name, FAILED, str(answer), item.status, self._setup)
            else:
                of_shard[short] = Row.of_answer(item.name, answer, item.status, self._setup)
        rows |= of_shard
        for item, (sha256, short) in zip(block, digests, strict=True):
            if item.error[0]:
                yield Row.of_error(item.name, *item.error, item.status, self._setup), sha256
                continue
            row = rows[short]
            if new.get(short) is not item:
                self._reused += 1
                size, modified = item.status
                row = Row(**{**vars(row), "picture": item.name, "bytes": size, "modified": modified})
            yield row, sha256

    def _reuse(self, hashes: set[bytes]) -> dict[bytes, Row]:
        """The rows of those pictures that other parts have."""
        places = self._find(sorted(hashes)) if hashes else {}
        wanted: collections.defaultdict[str, list[int]] = collections.defaultdict(list)
        for key, number in places.values():
            wanted[key].append(number)
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for key, numbers in wanted.items():
            found |= {(key, number): values for number, values in self._dataset.rows(key, numbers).items()}
        return {short: Row.parse(found[place]) for short, place in places.items()}
