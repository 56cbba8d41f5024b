"""Contact sheets, rows of pictures with a label each: to see what a step does to them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.core.files import replacing

_MARGIN = 8
_SCALE = 2
_PAPER, _INK = 250, 40
_TEXT = 15


def contact_sheet(rows: Mapping[str, np.ndarray], path: Path) -> None:
    """Draw a row of pictures for every label and write the sheet as a PNG.

    Args:
        rows: uint8 (n, H, W, C) as it is, or float (n, H, W, C), stretched so that the row's 1st percentile is black
            and its 99th is white.
        path: where the PNG goes.
    """
    drawn = {label: _shown(images) for label, images in rows.items()}
    count, height, width = next(iter(drawn.values())).shape[:3]
    cell_width, cell_height = width * _SCALE + _MARGIN, height * _SCALE + _MARGIN
    sheet_size = (_MARGIN + count * cell_width, _MARGIN + len(drawn) * (cell_height + _TEXT + _MARGIN))
    sheet = Image.new("RGB", sheet_size, (_PAPER,) * 3)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT - 3)
    for row, (label, images) in enumerate(drawn.items()):
        top = _MARGIN + row * (cell_height + _TEXT + _MARGIN)
        pen.text((_MARGIN, top - 3), label, fill=(_INK,) * 3, font=font)
        for column, image in enumerate(images):
            enlarged = Image.fromarray(image).resize((width * _SCALE, height * _SCALE), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (_MARGIN + column * cell_width, top + _TEXT))
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _shown(images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8:
        low, high = np.percentile(images, [1, 99])
        images = np.rint(np.clip((images - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
