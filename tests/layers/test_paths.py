"""Layers that read sequences, each against an enumeration of everything they claim to sum over or choose from."""

import itertools

import numpy as np
import pytest
from keras import ops

from pipeline.core.images import BLANK
from pipeline.layers import BestPath, LengthAndDigits, Peaks, StringPath
from pipeline.layers.paths import string_scores
from pipeline.strategies import goodfellow
from pipeline.training import objectives

RNG = np.random.default_rng(5)


def softmax(values):
    exponents = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def numbers(outputs):
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}


def collapsed(path, blank):
    merged = [label for label, _ in itertools.groupby(path)]
    return tuple(label for label in merged if label != blank)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_best_path_is_collapsed_and_its_reading_summed_over_all_paths(scale):
    length, classes, slots = 6, 4, 3
    logits = (scale * RNG.normal(size=(20, length, classes))).astype(np.float32)
    outputs = numbers(BestPath(slots)(logits))
    rows = softmax(logits.astype(float))
    compared = 0
    for n in range(len(logits)):
        total = {}
        for path in itertools.product(range(classes), repeat=length):
            read = collapsed(path, classes - 1)
            total[read] = total.get(read, 0.0) + np.prod(rows[n, range(length), path])
        read = collapsed(rows[n].argmax(axis=-1), classes - 1)
        if len(read) > slots:
            continue
        compared += 1
        assert outputs["classes"][n].tolist() == list(read) + [classes - 1] * (slots - len(read))
        assert outputs["confidence"][n] == pytest.approx(total[read], rel=1e-4)
    assert compared >= 8
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=-1), 1, atol=1e-5)


def test_repetitions_are_one_digit_unless_a_blank_stands_between():
    path = np.array([[1, 1, 2, 1, 2, 2, 1, 1]])
    logits = 20 * np.eye(3, dtype=np.float32)[path]
    assert numbers(BestPath(5)(logits))["classes"].tolist() == [[1, 1, 1, 2, 2]]
    none = 20 * np.eye(3, dtype=np.float32)[np.full((1, 8), 2)]
    outputs = numbers(BestPath(5)(none))
    assert outputs["classes"].tolist() == [[2] * 5]
    assert outputs["confidence"][0] == pytest.approx(1)


def all_paths(scores, slots, gap):
    """Every path of one picture: its digits and its score over that of blanks alone."""
    length, classes = scores.shape
    for count in range(slots + 1):
        for places in itertools.combinations(range(length), count):
            if any(later - sooner < gap for sooner, later in itertools.pairwise(places)):
                continue
            for digits in itertools.product(range(classes - 1), repeat=count):
                gain = sum(scores[t, d] - scores[t, -1] for t, d in zip(places, digits, strict=True))
                yield digits, places, gain


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_the_best_string_path_is_the_best_of_all(gap):
    slots, classes = 3, 4
    scores = RNG.normal(size=(12, 7, classes)).astype(np.float32)
    outputs = numbers(StringPath(slots, gap)(scores))
    for n in range(len(scores)):
        paths = list(all_paths(scores[n].astype(float), slots, gap))
        digits, places, _ = max(paths, key=lambda path: path[2])
        padding = [classes - 1] * (slots - len(digits))
        assert outputs["classes"][n].tolist() == [*digits, *padding]
        rows = softmax(scores[n].astype(float))
        np.testing.assert_allclose(outputs["probabilities"][n, : len(places)], rows[list(places)], atol=1e-5)
        weights = {}
        for read, _, gain in paths:
            weights[read] = weights.get(read, 0.0) + np.exp(gain)
        assert outputs["confidence"][n] == pytest.approx(weights[digits] / sum(weights.values()), rel=1e-4)


def test_string_scores_are_sums_over_paths():
    slots, gap, classes = 3, 2, 4
    scores = RNG.normal(size=(5, 6, classes)).astype(np.float32)
    strings = np.array([[0, 1, 2], [2, 2, 3], [3, 3, 3], [1, 3, 3], [1, 1, 1]])
    string, everything = string_scores(scores[..., :-1] - scores[..., -1:], strings, slots, gap)
    for n in range(len(scores)):
        paths = list(all_paths(scores[n].astype(float), slots, gap))
        count = int((strings[n] != classes - 1).sum())
        wanted = sum(np.exp(gain) for digits, _, gain in paths if digits == tuple(strings[n][:count]))
        assert np.exp(ops.convert_to_numpy(string)[n, count]) == pytest.approx(wanted, rel=1e-4)
        assert np.exp(ops.convert_to_numpy(everything)[n]).sum() == pytest.approx(
            sum(np.exp(gain) for *_, gain in paths), rel=1e-4
        )


def windows(length, found):
    """Logits of windows that are sure of a digit at each position in `found`, and of none elsewhere."""
    logits = np.zeros((1, length, 11), np.float32)
    logits[..., 10] = 8
    for position, digit in found.items():
        logits[0, position, digit] = 16
    return logits


def test_peaks_read_from_left_to_right_with_their_boxes():
    length = 35
    offsets = np.tile(np.array([-5, -9, 6, 9], np.float32), (1, length, 1))
    outputs = numbers(Peaks(5, reach=2, stride=4, height=28)(windows(length, {3: 7, 20: 1, 10: 4}), offsets))
    assert outputs["classes"].tolist() == [[7, 4, 1, 10, 10]]
    np.testing.assert_allclose(outputs["boxes"][0, 0], [14 - 5, 14 - 9, 14 + 6, 14 + 9])
    assert not outputs["boxes"][0, 3:].any()
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=-1), 1, atol=1e-5)


def test_two_peaks_within_reach_are_one_digit_and_equal_neighbours_too():
    offsets = np.zeros((1, 35, 4), np.float32)
    logits = windows(35, {10: 3, 11: 3, 12: 3, 15: 6})
    assert numbers(Peaks(5, reach=2, stride=4, height=28)(logits, offsets))["classes"].tolist() == [[3, 6, 10, 10, 10]]


def test_which_of_two_equally_high_windows_is_the_peak_is_no_matter():
    offsets = np.zeros((1, 35, 4), np.float32)
    offsets[0, 10], offsets[0, 11] = 3, -2
    logits = windows(35, {10: 3, 11: 3})
    logits[0, 11, 5] = logits[0, 11, 3] - 1
    first, second = logits.copy(), logits.copy()
    first[0, 10, -1] -= 2e-4
    second[0, 11, -1] -= 2e-4
    layer = Peaks(5, reach=2, stride=4, height=28)
    one, other = (numbers(layer(each, offsets)) for each in (first, second))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-3, err_msg=name)
    assert 0.6 < one["probabilities"][0, 0, 3] < 0.95, "both windows count"


def test_a_stray_peak_that_is_not_read_lowers_the_confidence():
    offsets = np.zeros((1, 35, 4), np.float32)
    sure = windows(35, {10: 3})
    doubtful = sure.copy()
    doubtful[0, 30, 5] = 7.5
    layer = Peaks(5, reach=2, stride=4, height=28)
    first, second = (numbers(layer(logits, offsets)) for logits in (sure, doubtful))
    assert first["classes"].tolist() == second["classes"].tolist()
    assert second["confidence"][0] < 0.7 < first["confidence"][0]


def test_length_and_digits_choose_the_best_joint_probability():
    length, digits = RNG.normal(size=(30, 4)).astype(np.float32), RNG.normal(size=(30, 3, 5)).astype(np.float32)
    outputs = numbers(LengthAndDigits()(length, digits))
    lengths, rows = softmax(length.astype(float)), softmax(digits.astype(float))
    for n in range(30):
        joint = {
            read: lengths[n, len(read)] * np.prod([rows[n, i, d] for i, d in enumerate(read)])
            for count in range(4)
            for read in itertools.product(range(5), repeat=count)
        }
        read = max(joint, key=joint.get)
        assert outputs["classes"][n].tolist() == [*read, *[5] * (3 - len(read))]
        assert outputs["confidence"][n] == pytest.approx(joint[read], rel=1e-4)
        assert outputs["probabilities"][n, 1, 5] == pytest.approx(lengths[n, :2].sum(), abs=1e-5)
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=-1), 1, atol=1e-5)


def test_more_digits_than_slots_are_read_in_part_and_never_with_confidence():
    rows = np.zeros((2, 3, 5), np.float32)
    rows[:, [0, 1, 2], [4, 1, 2]] = 9
    length = np.array([[0, 0, 0, 5, 9], [0, 0, 0, 9, 5]], np.float32)
    outputs = numbers(LengthAndDigits()(length, rows))
    assert outputs["classes"].tolist() == [[4, 1, 2], [4, 1, 2]]
    assert outputs["confidence"][0] == 0
    assert outputs["confidence"][1] == pytest.approx(softmax(length)[1, 3] * softmax(rows)[1].max(-1).prod(), rel=1e-4)
    assert outputs["probabilities"][0, 2, 5] == pytest.approx(softmax(length)[0, :3].sum(), abs=1e-5)


def test_goodfellow_counts_as_correct_what_it_reads():
    # Two digits are more probable than one, but one with its digit more than two with theirs.
    length = np.log(np.array([[0.001, 0.48, 0.515, 0.002, 0.001, 0.001]], np.float32))
    digits = np.zeros((1, 5, 10), np.float32)
    digits[0, 0, 7] = 9
    digits[0, 1, 3] = np.log(9 * 0.6 / 0.4)
    outputs = {"length": length, "digits": digits}
    one, two = np.array([[BLANK, 7, BLANK, BLANK, BLANK]]), np.array([[7, 3, BLANK, BLANK, BLANK]])
    objective = goodfellow._LengthAndDigits()
    assert [bool(objective.correct(targets, outputs)[0]) for targets in (one, two)] == [True, False]
    expected = -np.log(0.515 * np.exp(9) / (np.exp(9) + 9) * 0.6)
    assert float(objective.loss(two, outputs)[0]) == pytest.approx(expected, abs=1e-3)


def test_left_aligned_moves_blanks_behind_the_digits_and_keeps_their_order():
    labels = np.array([[10, 3, 10, 3, 1], [10] * 5, [1, 2, 3, 4, 5]], np.uint8)
    expected = [[3, 3, 1, 10, 10], [10] * 5, [1, 2, 3, 4, 5]]
    assert ops.convert_to_numpy(objectives.left_aligned(labels, 10)).tolist() == expected


def test_all_zeros_are_no_reading_though_most_of_their_outputs_are_right():
    """91 % of 55 sigmoids are right when none is on: accuracy is counted by whole groups."""
    objective = objectives.BinaryCrossEntropy()
    targets = np.array([[1, 2, 3, 4, 5]], np.uint8)
    off = np.full((1, 5, 11), -9, np.float32)
    assert np.mean((off[0] > 0) == np.eye(11)[targets[0]].astype(bool)) > 0.9
    assert not ops.convert_to_numpy(objective.correct(targets, off))[0]
    assert ops.convert_to_numpy(objective.correct(targets, 9 * np.eye(11, dtype=np.float32)[targets]))[0]
