"""Paper without writing: plain, patterned, ruled or shaded, with edges of forms; and what cameras and scanners add."""

import cv2
import numpy as np


def drawn(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A piece of paper, float32 (height, width), values about 60 to 250."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    paper = np.full((height, width), rng.uniform(120, 245), np.float32)
    if rng.random() < 0.7:
        for _ in range(rng.integers(1, 4)):
            paper += _waves(x, y, rng)
    if rng.random() < 0.4:
        paper += rng.uniform(-25, 25) * x / width + rng.uniform(-20, 20) * y / height
    if rng.random() < 0.15:
        edge = (x + y * rng.normal(0, 0.5) - rng.uniform(0, width)) / rng.uniform(0.5, 6)
        paper -= rng.uniform(10, 60) / (1 + np.exp(-np.clip(edge, -30, 30)))
    if rng.random() < 0.3:
        _rule(paper, int(rng.integers(int(0.6 * height), height - 1)), rng)
    if rng.random() < 0.12:
        _rule(paper, int(rng.integers(0, int(0.25 * height))), rng)
    if rng.random() < 0.1:
        paper[: rng.integers(2, 7)] = rng.uniform(60, 250)
    return paper + rng.normal(0, rng.uniform(1, 7), paper.shape).astype(np.float32)


def pattern(paper: np.ndarray) -> float:
    """Standard deviation of what is printed on float32 (H, W), in grey levels; shadows do not count."""
    return float((paper - cv2.GaussianBlur(paper, (0, 0), 8)).std())


def photographed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a lens and a JPEG encoder leave of float (H, W), as uint8 (H, W)."""
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9))
    pixels = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_GRAYSCALE)
    return pixels


def _waves(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lines of a security print: parallel waves, fine or sharp."""
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else np.pi / 2 + rng.normal(0, 0.1)
    bend = rng.uniform(0, 2) * np.sin(2 * np.pi * x / rng.uniform(10, 50) + rng.uniform(0, 6))
    along = (x * np.cos(angle) + y * np.sin(angle) + bend) / rng.uniform(2.2, 9)
    wave = np.sin(2 * np.pi * along + rng.uniform(0, 6))
    if rng.random() < 0.5:
        wave = (wave > rng.uniform(0.3, 0.85)) * -1.5
    return (rng.uniform(1.5, 14) * wave).astype(np.float32)


def _rule(paper: np.ndarray, row: int, rng: np.random.Generator) -> None:
    paper[row : row + rng.integers(1, 3)] -= rng.uniform(15, 80)
