"""Pictures that no one writes on: made so that a search for lines, components or strokes has much to do."""

import numpy as np


def patterns(random: np.random.Generator, height: int, width: int) -> dict[str, np.ndarray]:
    """uint8 (height, width) by name: noise, specks, stripes, grids and fields of strokes."""
    rows, columns = np.mgrid[:height, :width]
    noise = random.integers(0, 256, (height, width), np.uint8)
    found = {
        "noise": noise,
        "bits": (noise & 1) * np.uint8(255),
        "specks": np.where(random.random((height, width)) < 0.02, 0, 255),
        "stripes": np.where(rows % 8 < 2, 0, 255),
        "bars": np.where(columns % 6 < 2, 0, 255),
        "grid": np.where((rows % 11 == 0) | (columns % 11 == 0), 0, 255),
        "strokes": np.where((columns % 5 < 2) & (rows % 13 < 9), 0, 255),
        "dashes": np.where((rows % 5 < 2) & (columns % 40 < 36), 0, 255),
        "checks": np.where((rows // 3 + columns // 3) % 2, 0, 255),
        "wedge": (columns * 255 // width),
        "black": np.zeros((height, width)),
        "half": np.where(columns < width // 2, 0, 255),
        "rings": np.where(np.hypot(rows - height / 2, columns - width / 2) % 12 < 4, 0, 255),
    }
    return {name: np.asarray(pixels).astype(np.uint8) for name, pixels in found.items()}


SHAPES = ((2, 2), (2, 3), (7, 5000), (5000, 9), (40, 4000), (33, 225), (300, 300), (900, 700))
"""Heights and widths of hostile pictures."""
