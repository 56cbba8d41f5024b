"""Strips composed by a plain loop over strips and their digits, with NumPy on one picture at a time.

It draws what `pipeline.data.strips` draws, with the same limits: the digits side by side and the boxes of their ink; or
scaled, turned and shifted, so that the ink stays inside and neighbours overlap by six columns at most, then patches of
other digits and thin lines. A round composes a set.
"""

import numpy as np

from benchmarks.rounds import Rounds

SIDE, SLOTS, CANVAS = 28, 5, 44
WIDTH = SIDE * SLOTS
INK, SHIFT, SCALE, ROTATION, OVERLAP, PATCHES, LINES, PATCH = 32, 4, 0.3, 10.0, 6, 4, 2, 8


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    with np.load(given["digits"]) as arrays:
        digits, labels = arrays["images"][: 5 * given["strips"], :, :, 0], arrays["labels"][: 5 * given["strips"], 0]

    def work() -> float:
        return len(compose(digits, labels, hard=given["hard"], seed=1)[0])

    rounds.serve(work, numpy=np.__version__)


def compose(digits: np.ndarray, labels: np.ndarray, *, hard: bool, seed: int) -> tuple[np.ndarray, ...]:
    """Compose every digit into one strip.

    Args:
        digits: uint8 (n, 28, 28).
        labels: (n,).
        hard: with jitter and clutter.
        seed: of everything drawn here.

    Returns:
        uint8 (n // 5, 28, 140), labels (n // 5, 5) and float32 boxes (n // 5, 5, 4).
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(digits))
    images, chosen, boxes = [], [], []
    for strip in range(len(digits) // SLOTS):
        picked = order[strip * SLOTS : (strip + 1) * SLOTS]
        if hard:
            image, box = jittered([digits[index] for index in picked], rng)
            add_patches(image, digits, rng)
            add_lines(image, rng)
        else:
            image, box = side_by_side([digits[index] for index in picked])
        images.append(image)
        chosen.append(labels[picked])
        boxes.append(box)
    return np.stack(images), np.stack(chosen), np.array(boxes, np.float32)


def side_by_side(cells: list[np.ndarray]) -> tuple[np.ndarray, list]:
    """Five cells, 28×28 -> a strip and its boxes."""
    boxes = []
    for slot, cell in enumerate(cells):
        x0, y0, x1, y1 = ink_box(cell)
        boxes.append((x0 + slot * SIDE, y0, x1 + slot * SIDE, y1))
    return np.concatenate(cells, axis=1), boxes


def jittered(cells: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, list]:
    """As `side_by_side`, each digit scaled, turned and shifted."""
    drawn, inks, lefts, tops = [], [], [], []
    edge = -OVERLAP
    for slot, cell in enumerate(cells):
        scale, angle = rng.uniform(1 - SCALE, 1 + SCALE), np.deg2rad(rng.uniform(-ROTATION, ROTATION))
        shift_x, shift_y = rng.integers(-SHIFT, SHIFT + 1, 2)
        picture = warp(cell, scale, angle)
        ink = ink_box(picture)
        top = SIDE // 2 - CANVAS // 2 + shift_y
        left = slot * SIDE + SIDE // 2 - CANVAS // 2 + shift_x
        left = max(left + ink[0], edge, 0) - ink[0]
        edge = left + ink[2] - OVERLAP
        drawn.append(picture)
        inks.append(ink)
        lefts.append(left)
        tops.append(min(max(top, -ink[1]), max(SIDE - ink[3], -ink[1])))
    limit = WIDTH
    for slot in reversed(range(SLOTS)):
        lefts[slot] = min(lefts[slot] + inks[slot][2], limit) - inks[slot][2]
        limit = lefts[slot] + inks[slot][0] + OVERLAP
    canvas = np.zeros((SIDE + 2 * CANVAS, WIDTH + 2 * CANVAS), np.uint8)
    boxes = []
    for picture, ink, left, top in zip(drawn, inks, lefts, tops, strict=True):
        part = canvas[top + CANVAS : top + 2 * CANVAS, left + CANVAS : left + 2 * CANVAS]
        np.maximum(part, picture, out=part)
        boxes.append(np.clip(np.add(ink, (left, top, left, top)), 0, (WIDTH, SIDE, WIDTH, SIDE)))
    return canvas[CANVAS : CANVAS + SIDE, CANVAS : CANVAS + WIDTH].copy(), boxes


def warp(cell: np.ndarray, scale: float, angle: float) -> np.ndarray:
    """A 28×28 digit, scaled and turned in the centre of a 44×44 square, by bilinear interpolation."""
    grid = np.arange(CANVAS) - (CANVAS - 1) / 2
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    centre = (SIDE - 1) / 2 + 1
    x = np.clip(cosine * grid + sine * grid[:, None] + centre, 0, SIDE + 0.999)
    y = np.clip(-sine * grid + cosine * grid[:, None] + centre, 0, SIDE + 0.999)
    padded = np.pad(cell, 1).astype(np.float32)
    x0, y0 = x.astype(int), y.astype(int)
    fx, fy = x - x0, y - y0
    upper = padded[y0, x0] * (1 - fx) + padded[y0, x0 + 1] * fx
    lower = padded[y0 + 1, x0] * (1 - fx) + padded[y0 + 1, x0 + 1] * fx
    return np.rint(upper * (1 - fy) + lower * fy).astype(np.uint8)


def add_patches(image: np.ndarray, digits: np.ndarray, rng: np.random.Generator) -> None:
    """Lay up to four 8×8 patches of other digits over a strip, in place."""
    for _ in range(rng.integers(0, PATCHES + 1)):
        donor = digits[rng.integers(len(digits))]
        from_y, from_x = rng.integers(6, SIDE - PATCH - 5, 2)
        y, x = rng.integers(0, SIDE - PATCH + 1), rng.integers(0, WIDTH - PATCH + 1)
        part = image[y : y + PATCH, x : x + PATCH]
        np.maximum(part, donor[from_y : from_y + PATCH, from_x : from_x + PATCH], out=part)


def add_lines(image: np.ndarray, rng: np.random.Generator) -> None:
    """Draw up to two thin lines over a strip, in place."""
    y, x = np.arange(SIDE)[:, None], np.arange(WIDTH)
    for _ in range(rng.integers(0, LINES + 1)):
        dx, dy = x - rng.uniform(0, WIDTH), y - rng.uniform(0, SIDE)
        direction, length, brightness = rng.uniform(0, np.pi), rng.uniform(20, 60), rng.uniform(80, 200)
        along = dx * np.cos(direction) + dy * np.sin(direction)
        across = np.abs(dy * np.cos(direction) - dx * np.sin(direction))
        stroke = np.clip(1.5 - across, 0, 1) * ((along >= 0) & (along <= length)) * brightness
        np.maximum(image, np.rint(stroke).astype(np.uint8), out=image)


def ink_box(cell: np.ndarray) -> tuple[int, int, int, int]:
    """The half-open box x0, y0, x1, y1 around the ink; zeros where there is none."""
    rows, columns = np.nonzero((cell >= INK).any(1))[0], np.nonzero((cell >= INK).any(0))[0]
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


if __name__ == "__main__":
    main()
