"""The old generator's `flow`: passes, orders, repetition by seed, and files that hold what was yielded."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.preprocessing.augmentation import Augmentation
from pipeline.preprocessing.flow import flow

IMAGES = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 6, 6, 3), np.uint8) * 20
LABELS = np.arange(10)[:, None]
NOTHING = Augmentation()


def taken(count, **options):
    return list(itertools.islice(flow(IMAGES, LABELS, **{"augmentation": NOTHING, **options}), count))


def test_a_pass_ends_with_what_is_left_and_the_next_one_begins():
    batches = taken(6, batch_size=4, shuffle=False)
    assert [len(images) for images, _ in batches] == [4, 4, 2] * 2
    np.testing.assert_array_equal(np.concatenate([images for images, _ in batches[:3]]), IMAGES)
    assert np.concatenate([labels for _, labels in batches])[:, 0].tolist() == [*range(10)] * 2
    assert all(images.dtype == np.uint8 for images, _ in batches)


def test_every_pass_has_an_order_of_its_own_and_labels_stay_with_their_pictures():
    batches = taken(4, batch_size=5)
    labels = np.concatenate([labels[:, 0] for _, labels in batches])
    assert sorted(labels[:10]) == sorted(labels[10:]) == list(range(10))
    assert labels[:10].tolist() != labels[10:].tolist()
    for images, own in batches:
        np.testing.assert_array_equal(images[:, 0, 0, 0] // 20, own[:, 0])


def test_the_same_seed_gives_the_same_batches_and_every_batch_other_variants():
    options = {"augmentation": Augmentation(rotation_range=40, brightness_range=[0.5, 1.0]), "batch_size": 10}
    first, again, other = (taken(2, seed=seed, shuffle=False, **options) for seed in (1, 1, 2))
    for (one, _), (two, _) in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0][0] != first[1][0]).any()
    assert (first[0][0] != other[0][0]).any()


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_what_is_yielded_is_saved_under_the_old_names(tmp_path, format):
    augmentation = Augmentation(horizontal_flip=True, brightness_range=[0.5, 1.0])
    folder = tmp_path / "seen"
    batches = taken(4, augmentation=augmentation, batch_size=4, save_to_dir=folder, save_prefix="a", save_format=format)
    files = sorted(folder.iterdir(), key=lambda path: int(path.name.split("_")[1]))
    yielded = np.concatenate([images for images, _ in batches])
    assert [path.name.split("_")[:2] for path in files] == [["a", str(index)] for index in range(len(yielded))]
    assert {path.suffix for path in files} == {f".{format}"}
    saved = np.stack([np.asarray(Image.open(path)) for path in files]).astype(int)
    assert np.abs(saved - yielded).max() <= (0 if format == "png" else 2)


def test_a_model_fits_on_it():
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(
        flow(IMAGES, LABELS, NOTHING, batch_size=5), steps_per_epoch=20, epochs=5, shuffle=False, verbose=0
    )
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_pictures_without_labels_are_refused():
    for images, labels in ((IMAGES, LABELS[:9]), (IMAGES[:0], LABELS[:0])):
        with pytest.raises(DataError, match="flow: "):
            next(flow(images, labels, NOTHING))
