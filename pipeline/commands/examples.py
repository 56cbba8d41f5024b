"""The examples on the page at `/`: a few pictures of each suite as PNG files, with what is in them. Not a DVC stage.

`python -m pipeline.commands.examples --data data --out pipeline/serving/page/examples` makes them again.
"""

import io
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.project import command

MOST_BYTES = 200_000
"""Of all files together: they are in git and in every bento."""
INDEX = "examples.json"
PICKED = {
    "strips/plain": (0,),
    "strips/blanks": (3,),
    "strips/jitter": (913,),
    "strips/clutter": (12, 56, 136),
    "scenes/scenes": (0, 10, 3, 4),
    "mnist/mnist": (0, 1, 8, 18, 61, 115),
    "cifar10/cifar10": (0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000),
}
"""By suite, which pictures of its test split are examples; among them some that strategies read differently."""
LINES = {"one line": ((7, 2, 1, 0, 4),), "two lines": ((9, 5, 9), (0, 6, 9, 0)), "light ink": ((1, 5, 9, 7),)}
"""Pages of digits of MNIST's test split: on each line, which classes follow each other."""
_PAPER, _INK = 246, 40
_CELL = 56
"""Height and width of a digit on a page, in pixels."""


def main(data: Path, out: Path) -> str:
    """Write the examples.

    Args:
        data: the folder of the data sets, with their test splits.
        out: the folder for the PNG files and `examples.json`.

    Raises:
        DataError: a test split is missing or damaged, or the examples have more than `MOST_BYTES`.
    """
    pictures = {}
    for suite, rows in PICKED.items():
        images = ImageSet.load(data / suite / "test.npz")
        for row in rows:
            names = [images.class_names[label] for label in images.labels[row]]
            label = "".join(name for name in names if name != "blank")
            pictures[f"{suite.replace('/', '-')}-{row}.png"] = (images.images[row].squeeze(), suite, label)
    digits = ImageSet.load(data / "mnist" / "mnist" / "test.npz")
    for name, lines in LINES.items():
        page = _page(digits, lines)
        label = " ".join("".join(map(str, line)) for line in lines)
        pictures[f"lines-{name.replace(' ', '-')}.png"] = (255 - page if name == "light ink" else page, "lines", label)
    out.mkdir(parents=True, exist_ok=True)
    index, size = [], 0
    for file, (pixels, suite, label) in pictures.items():
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG", optimize=True)
        _write(out / file, content.getvalue())
        size += len(content.getvalue())
        index.append({"file": file, "task": suite.split("/")[0], "suite": suite.split("/")[-1], "label": label})
    _write(out / INDEX, (json.dumps(index, indent=1) + "\n").encode())
    if size > MOST_BYTES:
        raise DataError(f"{out}: {size:,} bytes of examples found, expected at most {MOST_BYTES:,}")
    return f"{len(index)} examples in {out}, {size:,} bytes"


def _page(digits: ImageSet, lines: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """uint8 (H, W): paper with a digit of each class, dark on light, a line below the other."""
    longest = max(map(len, lines))
    page = np.full((_CELL * (len(lines) + 1), _CELL * (longest + 1)), _PAPER, np.uint8)
    for row, line in enumerate(lines):
        for place, wanted in enumerate(line):
            found = int(np.flatnonzero(digits.labels[:, 0] == wanted)[row + 1])
            ink = cv2.resize(digits.images[found, :, :, 0], (_CELL, _CELL), interpolation=cv2.INTER_CUBIC)
            shade = np.rint(_PAPER - ink.astype(np.float32) * (_PAPER - _INK) / 255).astype(np.uint8)
            top, left = _CELL // 2 + row * _CELL, _CELL // 2 + place * (_CELL - 8)
            part = page[top : top + _CELL, left : left + _CELL]
            np.minimum(part, shade, out=part)
    return page


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


if __name__ == "__main__":
    command.run(main)
