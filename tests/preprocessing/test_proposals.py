"""Proposals: what a window is drawn in to, what scores, what is suppressed, and how many digits are covered."""

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, INK
from pipeline.preprocessing import proposals


def blob(height, width):
    """A thick zero of the given size."""
    y, x = np.mgrid[0:height, 0:width]
    ring = np.hypot((y - (height - 1) / 2) / (height / 2), (x - (width - 1) / 2) / (width / 2))
    return np.where((ring > 0.72) & (ring <= 1), 220, 0).astype(np.uint8)


def picture(*at, size=112):
    """Zeros of 26×18 at the given corners."""
    image = np.zeros((size, size), np.uint8)
    for top, left in at:
        place = image[top : top + 26, left : left + 18]
        np.maximum(place, blob(26, 18), out=place)
    return image


def test_windows_are_drawn_in_to_the_tight_ink_inside_them():
    rng = np.random.default_rng(0)
    image = picture((10, 12), (60, 70), (60, 84))
    image[rng.integers(0, 112, 40), rng.integers(0, 112, 40)] = 255
    windows = proposals._windows(112, 112)[0]
    expected = set()
    for x0, y0, x1, y1 in windows.T:
        box = tight(image[y0:y1, x0:x1]) + np.array([x0, y0, x0, y0])
        wide, high = box[2] - box[0], box[3] - box[1]
        if high >= 6 and wide >= 3 and max(wide, high) >= 11:
            expected.add(tuple(box.tolist()))
    found = [tuple(box) for box in proposals.candidates(image).tolist()]
    assert len(found) == len(set(found)), "each box once"
    assert set(found) <= expected
    # The hash table drops a box when another one takes its place.
    assert len(found) > 0.95 * len(expected)


def tight(cut):
    rows, columns = np.flatnonzero((cut >= INK).any(axis=1)), np.flatnonzero((cut >= INK).any(axis=0))
    if not len(rows):
        return np.zeros(4, int)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def test_whole_digits_score_above_their_parts_and_above_two_at_once(embedded):
    scenes = embedded["scenes/scenes"]["valid"].take(slice(0, 50))
    wins = []
    for image, label, boxes in zip(scenes.images[..., 0], scenes.labels, scenes.boxes.astype(int), strict=True):
        whole = boxes[label != BLANK]
        half = whole.copy()
        half[:, 3] = (half[:, 1] + half[:, 3]) // 2
        both = np.concatenate([np.minimum(whole, whole[::-1])[:, :2], np.maximum(whole, whole[::-1])[:, 2:]], axis=1)
        distinct = (both != whole).any(axis=1)
        score = [proposals.scores(image, some) for some in (whole, half, both)]
        wins.append([score[0] > score[1], (score[0] > score[2]) | ~distinct])
    assert (np.concatenate(wins, axis=1).mean(axis=1) > 0.9).all()


def test_digits_that_touch_are_proposed_one_by_one():
    image = picture((40, 30), (40, 47), (42, 64))
    regions = proposals.propose(image[None, :, :, None], 16)
    boxes = np.array([[[30, 40, 48, 66], [47, 40, 65, 66], [64, 42, 82, 68]]], np.float32)
    assert proposals.recall(regions, boxes, 0.7)[-1] == 1


def test_suppression_keeps_the_best_first_and_no_two_alike():
    image = picture((10, 12), (60, 70))
    image[30:50, 20] = 255
    boxes = proposals.candidates(image)
    score = proposals.scores(image, boxes)
    kept = proposals.suppressed(boxes, score, 16)
    assert score[(boxes == kept[0]).all(axis=1)] == score.max()
    rank = {tuple(box): value for box, value in zip(boxes.tolist(), score, strict=True)}
    values = [rank[tuple(box)] for box in kept.astype(int).tolist()]
    assert values == sorted(values, reverse=True)
    low, high = np.maximum(kept[:, None, :2], kept[None, :, :2]), np.minimum(kept[:, None, 2:], kept[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    area = (kept[:, 2:] - kept[:, :2]).prod(axis=-1)
    overlap = shared / (area[:, None] + area - shared) - np.eye(len(kept))
    assert overlap.max() <= proposals.OVERLAP


def test_scenes_are_covered(embedded):
    scenes = embedded["scenes/scenes"]["valid"]
    scenes = scenes.take(slice(0, 100))
    regions = proposals.propose(scenes.images)
    assert regions.shape == (len(scenes), proposals.REGIONS, 4)
    assert regions.dtype == np.float32
    half, more = (proposals.recall(regions, scenes.boxes, overlap) for overlap in (0.5, 0.7))
    assert half[-1] >= 0.95
    assert more[-1] >= 0.75
    assert (np.diff(half) >= 0).all()
    assert (half >= more).all()


def test_recall_counts_true_boxes_by_hand():
    regions = np.array([[[0, 0, 10, 10], [20, 0, 30, 10]], [[0, 0, 0, 0], [0, 0, 10, 20]]], np.float32)
    boxes = np.array([[[20, 0, 30, 10], [0, 0, 10, 20]], [[0, 0, 10, 20], [0, 0, 0, 0]]], np.float32)
    # The first region covers half of the union of its box.
    np.testing.assert_allclose(proposals.recall(regions, boxes, 0.5), [1 / 3, 1])
    np.testing.assert_allclose(proposals.recall(regions, boxes, 0.6), [0, 2 / 3])


def test_a_picture_says_the_same_alone_and_among_others_and_an_empty_one_proposes_nothing():
    images = np.stack([picture(), picture((10, 12)), picture((60, 70))])[..., None]
    together = proposals.propose(images, 8)
    assert not together[0].any()
    for index in range(3):
        np.testing.assert_array_equal(proposals.propose(images[index : index + 1], 8)[0], together[index])
    assert proposals.propose(images[:0], 8).shape == (0, 8, 4)


@pytest.mark.parametrize("images", [np.zeros((2, 112, 112), np.uint8), np.zeros((2, 112, 112, 1), np.float32)])
def test_other_pictures_are_a_clear_error(images):
    with pytest.raises(DataError, match=r"expected uint8 \(n, height, width, 1\)"):
        proposals.propose(images)


def test_pictures_smaller_than_any_window_are_a_clear_error():
    with pytest.raises(DataError, match="pictures of 8×8 found, expected at least"):
        proposals.propose(np.zeros((1, 8, 8, 1), np.uint8))
