"""Pictures with the boxes and the readings of their lines drawn in, for people to look through."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.core.files import replacing

LONGEST = 1600
"""Longest side of a drawn picture, in pixels; a larger picture is scaled down."""
SHORTEST = 320
"""Longest side from which a picture is not enlarged: on less, no reading has room."""
# Okabe and Ito's colours, which can be told apart with every kind of colour vision.
ACCEPTED, DECLINED, PAPER, INK = (0, 114, 178), (213, 94, 0), (255, 255, 255), (27, 31, 36)
_CAPTION = 17
"""Least height of a line of text, in pixels; on a large picture it is a fiftieth of its longest side."""


def draw(pixels: np.ndarray, lines: Sequence[Mapping[str, Any]], caption: str, path: Path) -> None:
    """Write a PNG of a picture: a box around each line and each digit, and the reading and its confidence above them.

    Lines that are accepted are blue, others vermillion. Equal input gives equal bytes.

    Args:
        pixels: uint8 (H, W) or (H, W, 1 or 3).
        lines: `Row.readings`, with boxes in the pixels of the picture.
        caption: written below the picture.
        path: of the PNG; its folder is made.
    """
    height, width = pixels.shape[:2]
    longest = max(height, width)
    scale = LONGEST / longest if longest > LONGEST else max(1, SHORTEST // longest)
    image = Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).convert("RGB")
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
    caption_height = max(_CAPTION, max(size) // 50)
    sheet = Image.new("RGB", (max(size[0], SHORTEST), size[1] + 2 * caption_height + 6), PAPER)
    sheet.paste(image, (0, caption_height + 2))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(0.76 * caption_height)
    for line in lines:
        colour = ACCEPTED if line["accepted"] else DECLINED
        boxes = [slot["box"] for slot in line["slots"] if slot["box"] is not None]
        for box, thick in ((line["box"], 2), *((box, 1) for box in boxes)):
            x0, y0, x1, y1 = (side * scale for side in box)
            # Half-open pixels, below the room for the text of a line at the top.
            corners = (x0, y0 + caption_height + 2, max(x0, x1 - 1), max(y0, y1 - 1) + caption_height + 2)
            pen.rectangle(corners, outline=colour, width=thick)
        text = f"{line.get('digits', line.get('class')) or 'nothing'}  {line['confidence']:.2f}"
        left = min(line["box"][0] * scale, sheet.width - pen.textlength(text, font) - 2)
        at = (max(2.0, left), line["box"][1] * scale + 1)
        pen.rectangle(pen.textbbox(at, text, font), fill=PAPER)
        pen.text(at, text, fill=colour, font=font)
    pen.text((2, sheet.height - caption_height - 2), caption, fill=INK, font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
