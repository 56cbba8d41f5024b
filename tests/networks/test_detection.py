"""Detectors: box arithmetic, cutting regions out, suppression, targets and sampling, and the reading of a scene."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.types import Recipe
from pipeline.core.errors import DataError
from pipeline.core.files import digest
from pipeline.core.images import BLANK, SCENE_SLOTS
from pipeline.export import onnx, parity
from pipeline.layers import Detections, Proposals, RegionAlign, boxes
from pipeline.networks import detection
from pipeline.preprocessing import normalization, proposals
from pipeline.preprocessing.normalization import Normalizer
from pipeline.strategies import fast_rcnn, faster_rcnn
from pipeline.training import loop, models

ROOT = Path(__file__).parents[2]
LEARNING = {
    "recipe": Recipe(epochs=1, batch=8, learning_rate=0.003),
    "context": 0.2,
    "jitter": 0.1,
    "dropout": 0.0,
}
SETTINGS = {
    fast_rcnn: {**LEARNING, "regions": 8, "hidden": 16},
    faster_rcnn: {**LEARNING, "regions": 8, "hidden": 16},
}


def drawn(*shape, seed=0):
    """Random boxes with sides of 6 to 40 pixels."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 70, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(6, 40, (*shape, 2))], axis=-1).astype(np.float32)


def boxed(*sides):
    return np.array([sides], np.float32)


def pixels(box):
    """The unit squares of a box with whole sides."""
    x0, y0, x1, y1 = box
    return {(x, y) for x in range(int(x0), int(x1)) for y in range(int(y0), int(y1))}


def test_overlaps_count_pixels():
    first, second = np.floor(drawn(6)), np.floor(drawn(5, seed=1))
    found, shared = np.array(boxes.overlaps(first, second)), np.array(boxes.intersections(first, second))
    for i, one in enumerate(map(pixels, first)):
        assert boxes.areas(first)[i] == len(one)
        for j, other in enumerate(map(pixels, second)):
            assert shared[i, j] == len(one & other)
            assert found[i, j] == pytest.approx(len(one & other) / len(one | other))
    empty = np.zeros((1, 4), np.float32)
    assert np.array(boxes.overlaps(empty, empty)) == 0


def test_offsets_lead_from_the_reference_to_the_box():
    references, wanted = drawn(3, 20), drawn(3, 20, seed=1)
    offsets = boxes.encode(wanted, references)
    np.testing.assert_allclose(boxes.decode(offsets, references), wanted, atol=1e-3)
    np.testing.assert_allclose(boxes.encode(wanted, wanted), np.zeros_like(wanted), atol=1e-5)
    # Twice as wide, and one whole width to the right.
    np.testing.assert_allclose(
        boxes.encode(boxed(15, 0, 35, 10), boxed(10, 0, 20, 10))[0], [10, 0, np.log(2) / 0.2, 0], atol=1e-5
    )
    assert np.isfinite(boxes.decode(np.full((1, 4), 1e6, np.float32), references[0, :1])).all()


def test_clipping_and_enlarging():
    np.testing.assert_allclose(boxes.clipped(boxed(-3, 5, 120, 130), 110, 112), [[0, 5, 112, 110]])
    np.testing.assert_allclose(boxes.enlarged(boxed(10, 20, 20, 40), 0.2, False), [[9, 18, 21, 42]])
    np.testing.assert_allclose(boxes.enlarged(boxed(10, 20, 20, 40), 0.2, True), [[3, 18, 27, 42]])


def test_anchors_stand_about_the_middles_of_the_cells():
    found = boxes.anchors(3, 4, (8, 16), (0.5, 1.0))
    assert found.shape == (3 * 3 * 4, 4)
    np.testing.assert_allclose(found[0], [0, -2, 4, 6])
    np.testing.assert_allclose(found[3], [-6, -6, 10, 10])
    # The first of the second cell of the third row.
    np.testing.assert_allclose(found[(2 * 3 + 1) * 4], [4, 6, 8, 14])


def test_suppression_in_rounds_is_greedy_suppression():
    for seed in range(20):
        placed = drawn(40, seed=seed)
        rivals = np.array(boxes.overlaps(placed, placed)) > 0.3
        alive = []
        for index in range(40):
            if not rivals[index, alive].any():
                alive.append(index)
        found = np.flatnonzero(boxes.survivors(rivals, rounds=12))
        np.testing.assert_array_equal(found, alive)


def test_a_region_is_cut_out_at_the_middles_of_its_bins():
    y, x = np.mgrid[0:12, 0:10].astype(np.float32)
    maps = np.stack([x, y, x * y], axis=-1)[None]
    regions = np.array([[[8, 4, 24, 20], [4, 8, 12, 40]]], np.float32)
    cut = np.array(RegionAlign(4, stride=4)([maps, regions]))
    # A slope is interpolated exactly: the middle of cell c lies at 4 c + 2 pixels.
    for index, (x0, y0, x1, y1) in enumerate(regions[0]):
        across = (x0 + (np.arange(4) + 0.5) / 4 * (x1 - x0)) / 4 - 0.5
        down = (y0 + (np.arange(4) + 0.5) / 4 * (y1 - y0)) / 4 - 0.5
        np.testing.assert_allclose(cut[index, :, :, 0], np.tile(across, (4, 1)), atol=1e-4)
        np.testing.assert_allclose(cut[index, :, :, 1], np.tile(down[:, None], (1, 4)), atol=1e-4)
        np.testing.assert_allclose(cut[index, :, :, 2], down[:, None] * across, atol=1e-3)


def test_a_region_that_is_the_picture_is_the_picture_and_beyond_it_lies_zero_or_the_edge():
    image = np.random.default_rng(0).uniform(1, 2, (2, 8, 8, 1)).astype(np.float32)
    whole = np.array([[[0, 0, 8, 8]]] * 2, np.float32)
    np.testing.assert_allclose(RegionAlign(8, stride=1)([image, whole]), image, atol=1e-6)
    outside = np.array([[[-8, 0, 0, 8]]] * 2, np.float32)
    assert not np.array(RegionAlign(8, stride=1, outside="zero")([image, outside])).any()
    edge = np.array(RegionAlign(8, stride=1, outside="edge")([image, outside]))
    np.testing.assert_allclose(edge, np.repeat(image[:, :, :1], 8, axis=2), atol=1e-6)
    tall = np.array([[[2, 0, 4, 8]]] * 2, np.float32)
    square = np.array([[[-1, 0, 7, 8]]] * 2, np.float32)
    np.testing.assert_allclose(
        RegionAlign(8, stride=1, square=True, outside="zero")([image, tall]),
        RegionAlign(8, stride=1, outside="zero")([image, square]),
        atol=1e-6,
    )


def test_proposals_are_the_surest_anchors_that_are_no_rivals():
    layer = Proposals(side=32, stride=8, heights=(8, 12), aspects=(1.0,), candidates=16, k=4, overlap=0.5)
    anchors = layer.anchors()
    objectness = np.full((1, len(anchors)), -9, np.float32)
    # Two about one cell that overlap by 64 / 144, one that is moved onto the first of them, and two in a corner that
    # overlap by 64 / 100 inside the picture. So one place is left for those of which the net is least sure.
    objectness[0, [10, 11, 13, 30, 31]] = [5, 4, 3, 2, 1]
    offsets = np.zeros((1, len(anchors), 4), np.float32)
    offsets[0, 13] = boxes.encode(anchors[10:11] + 0.5, anchors[13:14])[0]
    found = np.array(layer([objectness, offsets]))[0]
    np.testing.assert_allclose(found, np.clip(anchors[[10, 11, 30, 0]], 0, 32), atol=1e-4)


def head_outputs(*regions):
    """Box, class and log odds of regions that are exactly right, as the heads give them."""
    places = np.array([[box for box, _, _ in regions]], np.float32)
    logits = np.zeros((1, len(regions), BLANK + 1), np.float32)
    for index, (_, name, odds) in enumerate(regions):
        logits[0, index, name] = odds
    return [places, logits, np.zeros((1, len(regions), 4), np.float32)]


def filled(*regions):
    """With empty regions up to eight, the fewest there must be."""
    return head_outputs(*regions, *[((100, 100, 101, 101), BLANK, 30.0)] * (SCENE_SLOTS - len(regions)))


def test_a_reading_holds_one_digit_a_place_by_falling_probability():
    inputs = filled(
        ((10, 10, 30, 40), 3, 6.0),
        ((11, 10, 30, 38), 8, 7.0),  # another class in the same place, and surer
        ((12, 24, 28, 38), 0, 5.0),  # a part of that digit
        ((29, 10, 50, 40), 1, 8.0),  # a neighbour that touches
        ((60, 60, 80, 90), BLANK, 4.0),
    )
    out = {name: value.numpy()[0] for name, value in Detections(112)(inputs).items()}
    assert out["classes"].tolist() == [1, 8] + [BLANK] * 6
    np.testing.assert_allclose(out["boxes"][:2], [[29, 10, 50, 40], [11, 10, 30, 38]], atol=1e-3)
    assert not out["boxes"][2:].any()
    np.testing.assert_allclose(out["probabilities"].sum(axis=-1), 1, atol=1e-6)
    assert (out["probabilities"][2:, BLANK] == 1).all()
    sure = [np.exp(8) / (np.exp(8) + 10), np.exp(7) / (np.exp(7) + 10), np.exp(4) / (np.exp(4) + 10)]
    assert out["confidence"] == pytest.approx(np.prod(sure), abs=1e-4)


def test_a_scene_without_digits_is_blank_and_of_more_than_eight_it_is_not_sure():
    empty = {name: value.numpy()[0] for name, value in Detections(112)(filled()).items()}
    assert (empty["classes"] == BLANK).all()
    assert empty["confidence"] == pytest.approx(1, abs=1e-4)
    digits = [((12 * i, 0, 12 * i + 10, 20), i, 7.0 + i) for i in range(9)]
    eight = Detections(112)(filled(*digits[1:]))
    nine = Detections(112)(head_outputs(*digits))
    for read in (eight, nine):
        assert read["classes"].numpy()[0].tolist() == [8, 7, 6, 5, 4, 3, 2, 1]
    assert eight["confidence"].numpy()[0] > 0.98
    # As probable as that there is nothing where the ninth seems to be.
    assert nine["confidence"].numpy()[0] == pytest.approx(1 / (10 + np.exp(7)), rel=0.02)


def test_targets_are_the_true_box_that_a_region_overlaps_most():
    targets = np.zeros((1, SCENE_SLOTS, 5), np.float32)
    targets[0, :, 0] = BLANK
    targets[0, 0] = [7, 10, 10, 30, 40]
    targets[0, 1] = [2, 28, 10, 50, 40]
    regions = np.array([[[10, 10, 30, 38], [30, 10, 50, 40], [70, 70, 90, 90], [0, 0, 0, 0]]], np.float32)
    classes, offsets, positive = (np.array(part) for part in detection.assign(tf.constant(targets), regions))
    assert classes.tolist() == [[7, 2, BLANK, BLANK]]
    assert positive.tolist() == [[1, 1, 0, 0]]
    refined = np.array(boxes.decode(offsets, regions))
    np.testing.assert_allclose(refined[0, :2], targets[0, :2, 1:], atol=1e-3)


def test_the_loss_is_least_for_the_targets_and_correct_includes_the_order():
    targets = np.zeros((1, SCENE_SLOTS, 5), np.float32)
    targets[0, :, 0] = BLANK
    targets[0, 0], targets[0, 1] = [7, 10, 10, 30, 40], [2, 40, 10, 60, 40]
    objective = detection.DetectionLoss()

    def outcome(first, second):
        inputs = filled(((40, 10, 60, 40), first, 9.0), ((10, 10, 30, 40), second, 8.0))
        parts = dict(zip(("regions", "logits", "offsets"), map(tf.constant, inputs), strict=True))
        return float(objective.loss(tf.constant(targets), parts)[0]), bool(
            objective.correct(tf.constant(targets), parts)[0]
        )

    good, correct = outcome(2, 7)
    bad, swapped = outcome(7, 2)
    assert correct
    assert not swapped
    assert good < 0.1 < bad


def test_sampled_regions_favour_digits_and_skip_empty_boxes(embedded):
    scenes = embedded["scenes/scenes"]["train"].take(slice(0, 8))
    targets = tf.constant(detection.targets_of(scenes))
    regions = tf.constant(proposals.propose(scenes.images))
    inputs = (tf.constant(scenes.images), regions)
    shares = []
    for favour in (0.0, 1.0):
        sample = detection.RegionSampler(k=16, favour=favour, jitter=0.1)
        (_, chosen), _ = sample(inputs, targets, tf.constant([1, 2]))
        (_, again), _ = sample(inputs, targets, tf.constant([1, 2]))
        np.testing.assert_array_equal(chosen, again)
        assert chosen.shape == (8, 16, 4)
        assert (np.array(boxes.areas(chosen)) > 0).all()
        shares.append(np.mean(detection.assign(targets, chosen)[2]))
    assert shares[1] > shares[0]


def trained(strategy, scenes):
    normalizer = Normalizer.of(normalization.fit(scenes, name="scenes/scenes", zca_epsilon=1e-6), "rescale")
    with loop.running("float32"):
        return strategy.train(scenes, scenes, normalizer=normalizer, seed=1, budget=1.0, **SETTINGS[strategy])


@pytest.fixture(scope="module")
def scenes(embedded):
    return embedded["scenes/scenes"]["train"].take(slice(0, 16))


@pytest.fixture(scope="module")
def detectors(scenes):
    return {strategy: trained(strategy, scenes) for strategy in SETTINGS}


def test_a_model_with_proposals_reads_as_its_graph_does(detectors, scenes):
    model = detectors[fast_rcnn]
    assert [given.name for given in model.inputs] == ["images", "regions"]
    regions = proposals.propose(scenes.images)
    by_hand = model([scenes.images, regions], training=False)
    read = models.read(model, scenes.images, regions, batch=7)
    np.testing.assert_allclose(read.probabilities, by_hand["probabilities"], atol=1e-4)


def test_proposals_of_a_stage_are_those_computed_during_training(scenes, tmp_path):
    for split in ("train", "valid"):
        proposals.save(tmp_path / f"{split}.npz", proposals.propose(scenes.images))
    few = scenes.take(slice(0, 5))
    for folder in (None, tmp_path):
        seen, unseen = proposals.of_splits(scenes, few, folder)
        np.testing.assert_array_equal(seen, proposals.propose(scenes.images))
        np.testing.assert_array_equal(unseen, seen[:5])
    with pytest.raises(DataError, match=r"regions of 16 pictures, expected 5"):
        proposals.of_splits(few, few, tmp_path)
    with pytest.raises(DataError, match="no such file"):
        proposals.of_splits(scenes, few, tmp_path / "elsewhere")


def test_detectors_load_where_only_the_layers_were_imported(detectors, scenes, tmp_path):
    here = {}
    for strategy, model in detectors.items():
        name = strategy.__name__.rpartition(".")[2]
        models.save(model, tmp_path / f"{name}.keras")
        regions = [proposals.propose(scenes.images)] * (len(model.inputs) - 1)
        np.savez(tmp_path / f"{name}.npz", *[scenes.images, *regions])
        here[name] = model([scenes.images, *regions] if regions else scenes.images, training=False)
    code = (
        "import sys, keras, numpy as np; from pathlib import Path; import pipeline.layers\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.keras')):\n"
        "    given = list(np.load(path.with_suffix('.npz')).values())\n"
        "    read = keras.saving.load_model(path)(given if len(given) > 1 else given[0], training=False)\n"
        "    np.save(path.with_suffix('.npy'), read['probabilities'])\n"
        "assert not [name for name in sys.modules if name.startswith('pipeline.strategies')]\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=True, capture_output=True)
    for name, ours in here.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), ours["probabilities"], atol=1e-5, err_msg=name)


def test_faster_rcnn_exports_whole_to_the_same_bytes_twice(detectors, scenes, tmp_path):
    model = detectors[faster_rcnn]
    assert isinstance(model, keras.Model)
    assert len(model.inputs) == 1
    for name in "ab":
        onnx.to_onnx(model, tmp_path / f"{name}.onnx")
    assert digest(tmp_path / "a.onnx") == digest(tmp_path / "b.onnx")
    for few in (scenes.take(slice(0, 1)), scenes):
        proof = parity.of_export(model, tmp_path / "a.onnx", few)
        assert proof.holds, proof
