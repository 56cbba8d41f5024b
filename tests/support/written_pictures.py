"""Pictures as people make them: pens of every width, papers, scans, photographs and drawings of handwritten numbers.

`draw` draws them with one seed, so they are the same pixels everywhere, and says of each what is written where. The
hand is made of splines, because pens of any width and size can follow them.
"""

import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from picture_files import png
from PIL import Image

SEED = 20_261
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, half-open."""

_HAND = {
    "0": [[(32, 2), (10, 20), (4, 55), (18, 94), (40, 96), (57, 60), (52, 22), (34, 2), (27, 4)]],
    "1": [[(30, 0), (28, 30), (26, 65), (24, 100)]],
    "2": [[(6, 24), (16, 6), (36, 2), (52, 16), (48, 40), (28, 70), (5, 96)], [(5, 96), (30, 93), (58, 96)]],
    "3": [
        [(8, 12), (26, 1), (48, 10), (46, 32), (24, 47)],
        [(24, 47), (48, 55), (55, 76), (38, 97), (16, 98), (3, 86)],
    ],
    "4": [[(28, 2), (16, 33), (4, 62)], [(4, 62), (30, 60), (58, 58)], [(45, 30), (42, 65), (40, 100)]],
    "5": [
        [(52, 2), (32, 3), (14, 4)],
        [(14, 4), (12, 24), (10, 44)],
        [(10, 44), (30, 38), (50, 50), (53, 74), (36, 96), (14, 97), (2, 86)],
    ],
    "6": [[(46, 2), (22, 22), (7, 55), (8, 82), (24, 98), (44, 92), (52, 74), (42, 58), (24, 58), (9, 74)]],
    "7": [[(4, 8), (30, 5), (55, 5)], [(55, 5), (40, 40), (27, 70), (20, 100)]],
    "8": [
        [
            *[(50, 14), (34, 1), (14, 8), (12, 28), (30, 46), (50, 64), (50, 88)],
            *[(30, 99), (10, 90), (10, 68), (30, 47), (48, 30), (50, 14)],
        ]
    ],
    "9": [
        [(50, 20), (36, 3), (14, 10), (8, 30), (20, 46), (38, 42), (50, 20)],
        [(50, 20), (50, 50), (46, 75), (40, 100)],
    ],
    "h": [[(10, 0), (10, 50), (9, 100)], [(9, 74), (26, 52), (42, 64), (44, 100)]],
    "a": [[(46, 56), (26, 46), (8, 66), (16, 96), (36, 90), (46, 56)], [(46, 50), (46, 80), (54, 98)]],
    "n": [[(10, 50), (11, 76), (10, 100)], [(10, 76), (26, 52), (44, 62), (46, 100)]],
    "d": [[(46, 60), (26, 48), (8, 70), (18, 97), (36, 92), (46, 66)], [(48, 0), (47, 50), (50, 100)]],
    "w": [[(4, 50), (14, 98), (28, 62), (42, 98), (56, 50)]],
    "r": [[(12, 50), (13, 76), (12, 100)], [(12, 74), (24, 54), (42, 54)]],
    "k": [[(10, 0), (10, 50), (10, 100)], [(44, 48), (12, 72)], [(12, 72), (30, 86), (48, 100)]],
}
"""Strokes through points, x and y in hundredths of a digit's height."""


@dataclass(frozen=True)
class Written:
    """A picture's file and what is written on it.

    Attributes:
        data: the file's bytes.
        lines: the numbers from top to bottom; None where no number is written, so that no reading is right.
        boxes: of the ink of each line, in pixels of the picture as it is shown; those of letters included.
        notes: of decoding and ingestion, all of them in order.
    """

    data: bytes
    lines: tuple[str, ...] | None
    boxes: tuple[Box, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Sheet:
    """Paper float32 (height, width), 0 to 255, and the boxes of the lines written on it."""

    paper: np.ndarray
    boxes: tuple[Box, ...] = ()

    def write(
        self,
        rng: np.random.Generator,
        text: str,
        at: tuple[float, float],
        height: float,
        pen: float,
        tone: float = 35,
        turned: float = 0,
        gap: float = 0.12,
    ) -> "_Sheet":
        """The sheet with one more line.

        Args:
            rng: draws how the hand varies.
            text: digits, or letters of `_HAND`.
            at: left and top.
            height: of a digit, in pixels.
            pen: width of a stroke, in pixels.
            tone: of the ink, 0 to 255.
            turned: angle of the line in degrees; positive rises.
            gap: least distance of two digits, as a share of their height.
        """
        ink = _ink(rng, text, self.paper.shape, at, height, pen, turned, gap)
        rows, columns = np.flatnonzero(ink.max(axis=1) > 0.5), np.flatnonzero(ink.max(axis=0) > 0.5)
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        return _Sheet(self.paper * (1 - ink) + tone * ink, (*self.boxes, box))

    def pixels(self) -> np.ndarray:
        """uint8 (height, width)."""
        return np.rint(np.clip(self.paper, 0, 255)).astype(np.uint8)


@functools.cache
def draw(name: str) -> Written:
    """Draw the picture of a name."""
    return _DRAWN[name](np.random.default_rng((SEED, NAMES.index(name))))


def readings() -> Iterator[tuple[str, bytes, tuple[str, ...] | None]]:
    """The name of each picture, its file, and the right reading of its lines; None where no reading is right."""
    for name in NAMES:
        picture = draw(name)
        yield name, picture.data, picture.lines


def _thin_pen(rng: np.random.Generator) -> Written:
    sheet = _plain(600, 240).write(rng, "4072", (120, 70), 90, 2.5)
    return Written(_png(sheet), ("4072",), sheet.boxes)


def _thick_marker(rng: np.random.Generator) -> Written:
    sheet = _plain(700, 300).write(rng, "8135", (140, 90), 120, 17, tone=15)
    return Written(_png(sheet), ("8135",), sheet.boxes, ("scaled_down",))


def _small_writing(rng: np.random.Generator) -> Written:
    sheet = _plain(200, 60).write(rng, "29460", (30, 22), 18, 1.8)
    return Written(_png(sheet), ("29460",), sheet.boxes)


def _large_writing(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 3000, 1400).write(rng, "517", (500, 300), 720, 42)
    return Written(_jpeg(sheet), ("517",), sheet.boxes, ("scaled_down",))


def _black_on_transparent(rng: np.random.Generator) -> Written:
    sheet = _plain(420, 180, 0).write(rng, "3906", (60, 40), 90, 7, tone=255)
    notes = ("alpha_on_white", "grey")
    return Written(_transparent(sheet, 0), ("3906",), sheet.boxes, notes)


def _white_on_transparent(rng: np.random.Generator) -> Written:
    sheet = _plain(420, 180, 0).write(rng, "6821", (60, 40), 90, 7, tone=255)
    notes = ("alpha_on_black", "grey", "light_on_dark")
    return Written(_transparent(sheet, 255), ("6821",), sheet.boxes, notes)


def _white_on_black(rng: np.random.Generator) -> Written:
    sheet = _plain(360, 140, 0).write(rng, "70354", (40, 30), 70, 6, tone=255)
    return Written(_png(sheet), ("70354",), sheet.boxes, ("light_on_dark",))


def _grey_paper(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 1000, 420, light=140, noise=7).write(rng, "15928", (260, 150), 110, 7, tone=50)
    return Written(_jpeg(sheet), ("15928",), sheet.boxes, ("scaled_down",))


def _shadow(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 1000, 500).write(rng, "64307", (240, 190), 120, 8)
    x, y = np.meshgrid(np.arange(1000), np.arange(500))
    shade = 0.45 + 0.55 / (1 + np.exp((x + 0.5 * y - 620) / 25))
    shaded = _Sheet((sheet.paper * shade).astype(np.float32))
    return Written(_jpeg(shaded), ("64307",), sheet.boxes, ("scaled_down",))


def _ruled_paper(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 900, 500)
    sheet.paper[60::80] -= 70
    sheet.paper[61::80] -= 70
    sheet = sheet.write(rng, "28509", (200, 196), 96, 6)
    return Written(_jpeg(sheet), ("28509",), sheet.boxes, ("scaled_down",))


def _squared_paper(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 900, 500)
    sheet.paper[20::40] -= 45
    sheet.paper[:, 15::40] -= 45
    sheet = sheet.write(rng, "7316", (240, 180), 104, 7)
    return Written(_jpeg(sheet), ("7316",), sheet.boxes, ("scaled_down",))


def _twelve_bits(rng: np.random.Generator) -> Written:
    sheet = _plain(500, 220).write(rng, "5048", (110, 60), 100, 7)
    data = png(np.rint(sheet.paper / 255 * 4095).astype(int), 16, 0)
    return Written(data, ("5048",), sheet.boxes, ("sixteen_bit_range",))


def _turned_by_exif(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 800, 400).write(rng, "19637", (160, 130), 110, 7)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _encoded(np.ascontiguousarray(np.rot90(sheet.pixels())), "JPEG", quality=90, exif=exif)
    return Written(data, ("19637",), sheet.boxes, ("exif_orientation", "scaled_down"))


def _thumbnail(rng: np.random.Generator) -> Written:
    sheet = _plain(72, 24).write(rng, "8402", (8, 4), 15, 1.8)
    return Written(_png(sheet), ("8402",), sheet.boxes)


def _page(rng: np.random.Generator) -> Written:
    numbers = ("310", "48926", "7", "105", "66832", "2094")
    sheet = _paper(rng, 1000, 1400)
    for row, number in enumerate(numbers):
        left, top = 120 + rng.uniform(0, 200), 120 + 200 * row
        sheet = sheet.write(rng, number, (left, top), rng.uniform(70, 100), 6)
    return Written(_jpeg(sheet), numbers, sheet.boxes, ("scaled_down",))


def _faint_pencil(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 800, 320, light=215, noise=4).write(rng, "93170", (150, 100), 100, 4, tone=160)
    return Written(_jpeg(sheet), ("93170",), sheet.boxes, ("scaled_down",))


def _tilted(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 900, 440).write(rng, "20648", (180, 190), 100, 6, turned=5)
    return Written(_jpeg(sheet), ("20648",), sheet.boxes, ("scaled_down",))


def _blue_on_yellow(rng: np.random.Generator) -> Written:
    sheet = _plain(500, 200, 0).write(rng, "45139", (80, 50), 90, 6, tone=1)
    ink = np.clip(sheet.paper, 0, 1)[..., None]
    colours = np.rint(np.array([250, 235, 140]) * (1 - ink) + np.array([30, 50, 160]) * ink).astype(np.uint8)
    palette = Image.fromarray(colours).quantize(16)
    return Written(_encoded(palette, "PNG"), ("45139",), sheet.boxes, ("grey",))


def _print_colours(rng: np.random.Generator) -> Written:
    sheet = _plain(500, 200, 245).write(rng, "8267", (110, 50), 96, 8, tone=30)
    data = _encoded(Image.fromarray(sheet.pixels()).convert("CMYK"), "JPEG", quality=92)
    return Written(data, ("8267",), sheet.boxes, ("grey",))


def _long_number(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 1200, 260).write(rng, "3141592653", (60, 80), 90, 6, gap=0.5)
    return Written(_jpeg(sheet), ("3141592653",), sheet.boxes, ("scaled_down", "squeezed"))


def _letters(rng: np.random.Generator) -> Written:
    sheet = _paper(rng, 800, 320).write(rng, "drank", (80, 100), 100, 6)
    return Written(_jpeg(sheet), None, sheet.boxes, ("scaled_down",))


def _empty_sheet(rng: np.random.Generator) -> Written:
    return Written(_jpeg(_paper(rng, 1000, 700, noise=5)), None, (), ("scaled_down", "no_contrast"))


def _empty_sheet_of_one_value(rng: np.random.Generator) -> Written:
    return Written(_png(_plain(300, 100)), None, (), ("no_contrast",))


_DRAWN: dict[str, Callable[[np.random.Generator], Written]] = {
    "thin pen": _thin_pen,
    "thick marker": _thick_marker,
    "small writing": _small_writing,
    "large writing": _large_writing,
    "black on transparent": _black_on_transparent,
    "white on transparent": _white_on_transparent,
    "white on black": _white_on_black,
    "grey paper": _grey_paper,
    "shadow": _shadow,
    "ruled paper": _ruled_paper,
    "squared paper": _squared_paper,
    "twelve bits in sixteen": _twelve_bits,
    "turned by EXIF": _turned_by_exif,
    "thumbnail": _thumbnail,
    "page of numbers": _page,
    "faint pencil": _faint_pencil,
    "tilted": _tilted,
    "blue on yellow": _blue_on_yellow,
    "CMYK": _print_colours,
    "long number": _long_number,
    "letters": _letters,
    "empty sheet": _empty_sheet,
    "nothing at all": _empty_sheet_of_one_value,
}
NAMES = tuple(_DRAWN)
"""Of the pictures: what is special about each."""


def _plain(width: int, height: int, tone: float = 255) -> _Sheet:
    return _Sheet(np.full((height, width), tone, np.float32))


def _paper(rng: np.random.Generator, width: int, height: int, light: float = 225, noise: float = 3) -> _Sheet:
    """Paper as a camera sees it: brighter on one side, with noise."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    slope = rng.uniform(-12, 12, 2)
    paper = light + slope[0] * x + slope[1] * y + rng.normal(0, noise, (height, width))
    return _Sheet(paper.astype(np.float32))


def _ink(
    rng: np.random.Generator,
    text: str,
    shape: tuple[int, ...],
    at: tuple[float, float],
    height: float,
    pen: float,
    turned: float,
    gap: float,
) -> np.ndarray:
    """float32 (height, width): the share of each pixel that a pen covers."""
    fine = 4 if height < 200 else 2
    drawn = np.zeros((shape[0] * fine, shape[1] * fine), np.uint8)
    slant, x = rng.uniform(0.0, 0.18), 0.0
    angle = np.deg2rad(-turned)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for character in text:
        size = height * rng.uniform(0.93, 1.03)
        width = max(x for stroke in _HAND[character] for x, _ in stroke) / 100
        for stroke in _HAND[character]:
            points = np.array(stroke, float) / 100
            points[1:-1] += rng.normal(0, 0.012, points[1:-1].shape)
            points[:, 0] += slant * (1 - points[:, 1])
            path = (_spline(points) * size + (x, height - size)) @ turn.T + at
            line = np.rint(path * fine * 16).astype(np.int32)
            thickness = max(1, round(pen * fine))
            cv2.polylines(drawn, [line[:, None]], False, 255, thickness, cv2.LINE_8, shift=4)
        x += size * (width + gap + rng.uniform(0, 0.14))
    return cv2.resize(drawn, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _spline(points: np.ndarray) -> np.ndarray:
    """A Catmull-Rom spline (Catmull and Rom 1974) through float (n, 2), as float (m, 2)."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, 16)[:, None]
    parts = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(parts)


def _transparent(sheet: _Sheet, tone: int) -> bytes:
    colour = np.full((*sheet.paper.shape, 3), tone, np.uint8)
    return _encoded(np.dstack([colour, sheet.pixels()]), "PNG")


def _png(sheet: _Sheet) -> bytes:
    return _encoded(sheet.pixels(), "PNG")


def _jpeg(sheet: _Sheet) -> bytes:
    return _encoded(sheet.pixels(), "JPEG", quality=85)


def _encoded(picture: np.ndarray | Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, form, **options)
    return file.getvalue()
