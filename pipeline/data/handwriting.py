"""The digits and signs of one hand, drawn from single digits: of one height, slant, pen and manner.

MNIST does not say who wrote a digit. A hand therefore writes a class after the same example in half of the cases, and
gives all its digits the same shape.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from skimage.morphology import skeletonize

DOT, COMMA, DASH, EQUALS, HASH, DOLLAR = ".", ",", "-", "=", "#", "$"
"""Signs beside the digits, which are not read."""
_SHARP = 9.0
"""Slope of the edge of a stroke: MNIST's grey edges, enlarged, would look like a blurred print."""
_BORDER = 3
"""Pixels around a digit while it is drawn."""
_SPECK = 3
"""Pixels of the smallest part or hole of a digit that counts."""
_MIDDLE = 0.4
"""Level at which strokes have about their own width."""


@dataclass
class Hand:
    """How one person writes; `drawn` makes one.

    Attributes:
        height: of a digit, in pixels.
        aspect: stretches a digit along x.
        slant: pixels to the right for each pixel up.
        wobble: strength of elastic distortion (Simard, Steinkraus, Platt 2003), in pixels.
        level: 0 to 1; the pixels of a digit above it are ink. A low one makes strokes thick.
        thin: strokes are thinned to a fine pen's before.
        zeros, ones: height of zeros and ones as a share of the other digits'.
        crossed: sevens have a stroke through the stem.
        hooked: ones have an upstroke.
        opened: eights are open at the top.
        hanging: nines hang below the line by this share of their height.
        gap, gap_spread: mean and standard deviation of the space between two digits, in pixels; below 0 they touch.
        rise: pixels that the line rises for each pixel to the right.
    """

    height: float
    aspect: float
    slant: float
    wobble: float
    level: float
    thin: bool
    zeros: float
    ones: float
    crossed: bool
    hooked: bool
    opened: bool
    hanging: float
    gap: float
    gap_spread: float
    rise: float
    _examples: dict[int, int] = field(default_factory=dict)

    @classmethod
    def drawn(cls, rng: np.random.Generator, lowest: float, highest: float) -> "Hand":
        """A random hand whose digits are `lowest` to `highest` pixels high."""
        height = rng.uniform(lowest, highest)
        return cls(
            height=height,
            aspect=rng.uniform(0.75, 1.35),
            slant=float(np.clip(rng.normal(0.17, 0.2), -0.3, 0.6)),
            wobble=rng.uniform(0, 0.025) * height if rng.random() < 0.5 else 0.0,
            level=rng.uniform(0.22, 0.62),
            thin=rng.random() < 0.5,
            zeros=rng.uniform(0.5, 0.9) if rng.random() < 0.3 else 1.0,
            ones=rng.uniform(1.0, 1.25),
            crossed=rng.random() < 0.4,
            hooked=rng.random() < 0.5,
            opened=rng.random() < 0.1,
            hanging=rng.uniform(0.1, 0.35) if rng.random() < 0.25 else 0.0,
            gap=rng.normal(0.08, 0.12) * height,
            gap_spread=0.06 * height,
            rise=rng.normal(0, 0.03),
        )

    def example(self, value: int, rows: np.ndarray, rng: np.random.Generator) -> int:
        """Choose one of the `rows` of a class as the example for the next digit; in half of the cases the last one."""
        if value not in self._examples or rng.random() < 0.5:
            self._examples[value] = int(rng.choice(rows))
        return self._examples[value]

    def digit(self, cell: np.ndarray, value: int, rng: np.random.Generator) -> np.ndarray:
        """Write one digit.

        Args:
            cell: uint8 (28, 28), the example, light on dark.
            value: 0 to 9.
            rng: draws what differs from digit to digit.

        Returns:
            float32 (h, w), the share of ink in each pixel, cut around it.
        """
        shape = _trimmed(cell.astype(np.float32) / 255, 0.15)
        own = {0: self.zeros, 1: self.ones}.get(value, 1.0)
        height = self.height * own * rng.uniform(0.86, 1.14)
        width = max(3.0, shape.shape[1] * height / shape.shape[0] * self.aspect * rng.uniform(0.9, 1.1))
        drawn = cv2.resize(shape, (round(width), round(height)), interpolation=cv2.INTER_CUBIC)
        drawn = np.pad(drawn, _BORDER)
        thickness = max(1, round(0.06 * self.height))
        if value == 7 and self.crossed:
            _cross(drawn, thickness, rng)
        if value == 1 and self.hooked:
            drawn = _hook(drawn, thickness, rng)
        if value == 8 and self.opened:
            _open(drawn, rng)
        if self.thin:
            # Of one pen for the whole line, with `level` for its width.
            drawn = _thinned(drawn, self.height * (0.12 - 0.15 * self.level))
        # Strokes so thick that they fill a bow, or so thin that they break, are written with an average pen.
        form = _pieces_and_holes(drawn > _MIDDLE)
        for level in (self.level, _MIDDLE):
            stroke = _inked(self._bent(drawn, rng), level)
            if _pieces_and_holes(stroke > 0.5) == form:
                break
        return _trimmed(stroke, 0.3)

    def sign(self, kind: str, rng: np.random.Generator) -> np.ndarray:
        """Write one of the signs of this module: float32 (h, w), the share of ink in each pixel."""
        pen = max(2, round(0.09 * self.height))
        wide = max(pen + 1, round(self.height * rng.uniform(0.3, 0.65)))
        if kind in (HASH, DOLLAR):
            drawn = _hash(self.height, pen, rng) if kind == HASH else _dollar(self.height, pen, rng)
        else:
            bar = np.ones((pen, wide), np.float32)
            drawn = {
                DOT: np.ones((pen, pen + int(rng.integers(0, 2))), np.float32),
                COMMA: np.ones((2 * pen, pen), np.float32),
                DASH: bar,
                EQUALS: np.concatenate([bar, np.zeros((pen + 1, wide), np.float32), bar]),
            }[kind]
        drawn = np.pad(drawn, _BORDER)
        center = (drawn.shape[1] / 2, drawn.shape[0] / 2)
        turn = cv2.getRotationMatrix2D(center, rng.uniform(-12, 12), 1.0)
        if kind in (HASH, DOLLAR):
            # Written as digits are, these have their slant.
            turn[0] += [0, -self.slant, self.slant * center[1]]
        return cv2.GaussianBlur(cv2.warpAffine(drawn, turn, drawn.shape[::-1]), (0, 0), 0.6)

    def _bent(self, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Slanted about the middle of its height, and distorted elastically."""
        height, width = drawn.shape
        slant = self.slant + rng.normal(0, 0.04)
        room = int(abs(slant) * height / 2) + 1
        y, x = np.mgrid[:height, : width + 2 * room].astype(np.float32)
        x += slant * (y - height / 2) - room
        if self.wobble:
            for coordinate in (x, y):
                noise = rng.normal(size=x.shape).astype(np.float32)
                coordinate += cv2.GaussianBlur(noise, (0, 0), 4) * (self.wobble * 16)
        return cv2.remap(drawn, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _trimmed(drawn: np.ndarray, least: float) -> np.ndarray:
    rows, columns = np.flatnonzero((drawn > least).any(axis=1)), np.flatnonzero((drawn > least).any(axis=0))
    if not len(rows):
        return drawn
    return drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _inked(drawn: np.ndarray, level: float) -> np.ndarray:
    """The share of ink in each pixel, where strokes are what is above a level."""
    stroke = 1 / (1 + np.exp(-np.clip((drawn - level) * _SHARP, -30, 30)))
    # What is far from any stroke is no ink at all.
    return np.clip(stroke - 1 / (1 + np.exp(level * _SHARP)), 0, 1)


def _pieces_and_holes(ink: np.ndarray) -> tuple[int, int]:
    """How many parts bool (h, w) has, and how many holes; specks do not count."""
    padded = np.pad(ink.astype(np.uint8), 1)
    pieces = cv2.connectedComponentsWithStats(padded, connectivity=8)[2][1:, 4]
    holes = cv2.connectedComponentsWithStats(1 - padded, connectivity=4)[2][1:, 4]
    return int((pieces >= _SPECK).sum()), int((holes >= _SPECK).sum()) - 1


def _thinned(drawn: np.ndarray, pen: float) -> np.ndarray:
    """Strokes as a fine pen writes them: their middle lines, `pen` pixels wide."""
    middle = skeletonize(drawn > _MIDDLE)
    away = cv2.distanceTransform((~middle).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip((pen + 1) / 2 + 0.5 - away, 0, 1).astype(np.float32)


def _line(drawn: np.ndarray, start: tuple[float, float], end: tuple[float, float], thickness: int) -> None:
    first, second = ((round(x), round(y)) for x, y in (start, end))
    cv2.line(drawn, first, second, 0.9, thickness, cv2.LINE_AA)


def _cross(seven: np.ndarray, thickness: int, rng: np.random.Generator) -> None:
    height, width = seven.shape
    y, tilt = height * rng.uniform(0.45, 0.6), rng.normal(0.1, 0.15) * width / 2
    _line(seven, (0.1 * width, y + tilt), (0.92 * width, y - tilt), thickness)


def _hook(one: np.ndarray, thickness: int, rng: np.random.Generator) -> np.ndarray:
    """A one with an upstroke before it, in one of three cases nearly as long as the stem."""
    length = int(one.shape[0] * (rng.uniform(0.6, 0.9) if rng.random() < 0.35 else rng.uniform(0.25, 0.6)))
    reach = int(length * rng.uniform(0.3, 0.8))
    one = np.pad(one, ((0, 0), (reach, 1)))
    top = one[_BORDER : _BORDER + 4].sum(axis=0)
    tip = int(top.argmax()) if top.max() > 0 else one.shape[1] // 2
    _line(one, (tip, _BORDER), (max(0, tip - reach), _BORDER + length), thickness)
    return one


def _open(eight: np.ndarray, rng: np.random.Generator) -> None:
    """Take away a part of the upper bow, at its right more often than at its left."""
    height, width = eight.shape
    x = width * (rng.uniform(0.5, 0.75) if rng.random() < 0.75 else rng.uniform(0.25, 0.5))
    gone = np.zeros_like(eight)
    cv2.circle(gone, (round(x), _BORDER + round(0.06 * height)), max(2, round(0.14 * height)), 1.0, -1)
    eight *= 1 - gone


def _hash(height: float, pen: int, rng: np.random.Generator) -> np.ndarray:
    side = round(height * rng.uniform(0.6, 0.95))
    drawn = np.zeros((side, side), np.float32)
    for part in (rng.uniform(0.2, 0.4), rng.uniform(0.6, 0.8)):
        _line(drawn, (part * side, 0), (part * side + rng.normal(0, 1), side), max(1, pen - 1))
        _line(drawn, (0, part * side + rng.normal(0, 1)), (side, part * side), max(1, pen - 1))
    return drawn


def _dollar(height: float, pen: int, rng: np.random.Generator) -> np.ndarray:
    """An S of two bows with one or two strokes through it."""
    tall, wide = round(height * rng.uniform(0.8, 1.1)), round(height * rng.uniform(0.4, 0.6))
    drawn = np.zeros((tall, wide), np.float32)
    axes = (max(2, round(0.42 * wide)), max(2, round(0.2 * tall)))
    for middle, start, end in ((0.3, 60, 330), (0.7, 240, 510)):
        center = (wide // 2, round(middle * tall))
        cv2.ellipse(drawn, center, axes, 0, start, end, 0.9, max(1, pen - 1), cv2.LINE_AA)
    for part in (0.5,) if rng.random() < 0.6 else (0.4, 0.6):
        _line(drawn, (part * wide, 0), (part * wide, tall), max(1, pen - 1))
    return drawn
