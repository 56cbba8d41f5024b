"""Pictures of any size over HTTP: one line in a photo 1,000 pixels wide, and 20 on a page of 2,000×3,000 pixels.

`python -m benchmarks.pages` times `/read` of what `make repro` packaged, with one caller and with eight, and what its
steps take in this process. `--write` writes the table into docs/performance.md.
"""

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks import PAGE, load
from benchmarks.service import serving
from pipeline.core.decoding import decode_grey
from pipeline.core.errors import DataError
from pipeline.core.ingestion import ingest
from pipeline.data import stand_in
from pipeline.project import command
from pipeline.reports import markdown
from pipeline.runtime.pages import LINES, page_of
from pipeline.runtime.reader import Reader

CALLERS = (1, 8)
_DIGIT = 20
"""Side of the ink in a picture of the stand-in, in pixels."""
_QUALITY = 90


def main(artifacts: Path = Path("artifacts"), seconds: float = 10.0, write: bool = False) -> None:
    """Print the table.

    Args:
        artifacts: the packaged models, one of lines among them.
        seconds: of each load.
        write: write the table into docs/performance.md.
    """
    if not (artifacts / LINES).is_dir():
        raise DataError(f"{artifacts / LINES}: no such folder, expected a packaged model of lines; run `make repro`")
    reader = Reader.load(artifacts / LINES)
    pictures = {"photo, one line": photo(), "page, 20 lines": page()}
    rows = []
    with serving(artifacts) as (port, _):
        for name, data in pictures.items():
            found = [load.run(port, [load.request("/read", data)], callers, seconds) for callers in CALLERS]
            failed = sum(each.errors for each in found)
            if failed:
                print(f"{name}: {failed} answers other than 200")
            rows.append(
                [
                    *(name, f"{len(data) // 1000:,} kB", f"{len(page_of(decode_grey(data)).lines)}"),
                    *(f"{each.rate:,.1f}/s, {each.p50:.1f} and {each.p99:.1f} ms" for each in found),
                    *(f"{1000 * taken:.1f} ms" for taken in _steps(reader, data)),
                ]
            )
    header = ["picture", "JPEG", "lines found", *(f"{n} caller{'s' * (n > 1)}" for n in CALLERS)]
    table = markdown.table([*header, "decode", "find lines", "read"], rows)
    print(table)
    if write:
        markdown.replace_table(PAGE, "pages", table)


def photo() -> bytes:
    """A JPEG of 1000×400 pixels with one number of five digits."""
    return _jpeg(_written(np.random.default_rng(1), 1000, 400, [5], left=230, top=140, height=110))


def page() -> bytes:
    """A JPEG of 2000×3000 pixels with twenty numbers of one to eight digits below each other."""
    random = np.random.default_rng(2)
    lengths = [int(length) for length in random.integers(1, 9, 20)]
    return _jpeg(_written(random, 2000, 3000, lengths, left=200, top=80, height=80))


def _written(
    random: np.random.Generator,
    width: int,
    height_of_page: int,
    lengths: list[int],
    *,
    left: int,
    top: int,
    height: int,
) -> np.ndarray:
    """uint8 (H, W): paper with a shadow and noise, and numbers of the stand-in's digits as dark ink on it."""
    x, y = np.meshgrid(np.linspace(0, 1, width, dtype=np.float32), np.linspace(0, 1, height_of_page, dtype=np.float32))
    paper = 225 - 50 * x * y + random.normal(0, 3, x.shape).astype(np.float32)
    digits = stand_in.digits()["pool"].images[..., 0]
    step = (height_of_page - 2 * top) // len(lengths)
    side = height * digits.shape[1] // _DIGIT
    for row, length in enumerate(lengths):
        for place in range(length):
            drawn = cv2.resize(digits[random.integers(len(digits))], (side, side), interpolation=cv2.INTER_CUBIC)
            at = (top + row * step, left + place * int(0.75 * height))
            part = paper[at[0] : at[0] + side, at[1] : at[1] + side]
            part -= 0.7 * drawn[: part.shape[0], : part.shape[1]]
    return np.clip(paper, 0, 255).astype(np.uint8)


def _jpeg(pixels: np.ndarray) -> bytes:
    colours = cv2.merge([pixels, pixels, pixels])
    return cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _steps(reader: Reader, data: bytes) -> list[float]:
    """Seconds to decode, to find the lines and to read them, in this process; medians of twenty."""
    pixels = decode_grey(data).pixels
    lines = ingest(pixels).lines
    images = np.stack([line.pixels for line in lines]) if lines else np.zeros((1, *reader.manifest.shape), np.uint8)
    return [_median(lambda: decode_grey(data)), _median(lambda: ingest(pixels)), _median(lambda: reader.read(images))]


def _median(call: Callable[[], object]) -> float:
    times = []
    for _ in range(20):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


if __name__ == "__main__":
    command.run(main)
