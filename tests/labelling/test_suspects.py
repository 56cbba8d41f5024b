"""Suspects: the table is that of the stage, and a row that does not fit its picture says what to do."""

import dataclasses

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.lines import Picture, PictureSet
from pipeline.data.exclusions import pixel_digest
from pipeline.labelling import suspects
from pipeline.labelling.suspects import Gallery, Suspect
from stages import suspects as stage


def test_the_columns_are_those_that_the_stage_writes():
    assert suspects.COLUMNS == stage.COLUMNS


def test_a_digit_or_a_picture_that_is_not_there_is_one_line(tmp_path):
    pixels = np.zeros((32, 64), np.uint8)
    boxes = np.array([[1, 2, 11, 22]], np.float32)
    PictureSet((Picture("a", pixels, np.array([3], np.uint8), boxes),), "folder:mine").save(tmp_path / "train.npz")
    first = Suspect("mine", tmp_path, "test", 0, 1, "3", "5", 0.9, pixel_digest(pixels), "3")
    assert Gallery().show(first).box == (1, 2, 11, 22)
    for changes in ({"place": 0}, {"place": 2}, {"index": -1}, {"index": 1}):
        with pytest.raises(DataError, match=r"`dvc repro suspects@mine` looks at the pictures"):
            Gallery().show(dataclasses.replace(first, **changes))
