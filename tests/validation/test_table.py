"""The tables hold what the pixels and the labels say."""

import numpy as np
from noise_suites import PER_SPLIT, composed_strips, singles, spec
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.validation import table


def test_statistics_are_those_of_the_pixels():
    pictures = singles((32, 32, 3))["train"]
    rows = table.tabulate("train", pictures, "cifar10").pictures
    flat = pictures.images.reshape(PER_SPLIT, -1).astype(float)
    np.testing.assert_allclose(rows["mean"], flat.mean(axis=1))
    np.testing.assert_allclose(rows["deviation"], flat.std(axis=1))
    np.testing.assert_allclose(rows["ink_share"], (flat >= 32).mean(axis=1))
    assert rows["digest"].nunique() == PER_SPLIT


def test_pictures_with_another_number_of_labels_are_refused():
    with refuses(DataError, "train", "1 labels", "expected 5"):
        table.tabulate("train", singles()["train"], "strips")


def test_shares_are_multiples_of_the_even_one_and_blanks_have_none():
    splits = [table.tabulate(split, pictures, "strips") for split, pictures in composed_strips("blanks").items()]
    classes = table.class_table(splits, spec("blanks"))
    assert len(classes) == 4 * 11
    blanks = classes[classes["class"] == "blank"]
    assert blanks["share"].isna().all()
    assert (blanks["count"] > 0).all()
    shares = classes[classes["class"] != "blank"].groupby("split")["share"].mean()
    np.testing.assert_allclose(shares, 1.0)


def test_a_shape_as_text():
    assert table.shape_text((28, 140, 1)) == "28×140×1"
