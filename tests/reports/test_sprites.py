"""Sprites: where each picture is, and that none is changed."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.reports import sprites


@pytest.mark.parametrize("shape", [(7, 28, 140, 1), (1, 32, 32, 3), (10, 5, 3, 3)])
def test_every_picture_is_where_its_number_says(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    n, height, width, channels = shape
    with Image.open(io.BytesIO(sprites.png(images))) as opened:
        assert opened.info == {}
        sheet = np.asarray(opened).reshape(opened.height, opened.width, channels)
    columns = sprites.columns_of(images)
    assert sheet.shape == (-(-n // columns) * height, columns * width, channels)
    for index in range(n):
        top, left = index // columns * height, index % columns * width
        assert np.array_equal(sheet[top : top + height, left : left + width], images[index])


def test_a_sprite_is_about_square_so_that_a_browser_takes_it():
    images = np.zeros((1000, 28, 140, 1), np.uint8)
    columns = sprites.columns_of(images)
    assert 0.8 < (columns * 140) / (1000 / columns * 28) < 1.25
