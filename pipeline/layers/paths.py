"""From scores along a strip to the digits on it: best paths, peaks, and how probable the reading is.

All layers take a row of scores for each of T positions from left to right and return, for up to `slots` digits,
`probabilities` (n, slots, classes), `classes` (n, slots) and `confidence` (n,); the last class is blank, and unused
slots are blank with probability 1.
"""

import keras
import numpy as np
from keras import ops

from pipeline.layers.normalization import PACKAGE
from pipeline.layers.readout import best

LEAST = -1e9
"""The logarithm of zero, finite so that differences and gradients remain numbers."""
FALL = 2.0
"""Distance in log odds below a peak at which a window's weight is zero; on valid, 1 to 4 gave the same readings."""


@keras.saving.register_keras_serializable(PACKAGE)
class BestPath(keras.layers.Layer):
    """Reads the most probable path of a connectionist temporal classifier (Graves et al. 2006, section 3.2).

    float (n, T, classes) logits -> the outputs above. The class of each position is taken, repetitions are merged, and
    blanks removed. The confidence is that of the reading, not of the path: the sum over all paths that collapse to it,
    by the forward algorithm (section 4.1).
    """

    def __init__(self, slots: int, **kwargs):
        super().__init__(**kwargs)
        self.slots = slots

    def call(self, logits):
        blank = logits.shape[-1] - 1
        rows = ops.softmax(logits)
        path = best(rows)
        before = ops.pad(path[:, :-1], ((0, 0), (1, 0)), constant_values=blank)
        starts = ops.logical_and(ops.not_equal(path, blank), ops.not_equal(path, before))
        picked = in_slots(ops.cast(starts, rows.dtype), self.slots)
        probabilities, classes = picked_rows(picked, rows)
        return {
            "probabilities": probabilities,
            "classes": classes,
            "confidence": self._probability(rows, classes, picked),
        }

    def _probability(self, rows, classes, picked):
        """Float (n,): the sum over all paths that read `classes`."""
        size = rows.shape[-1]
        # The labels with blanks around: blank, first, blank, second, …, blank.
        wanted = ops.one_hot(classes, size, dtype=rows.dtype)
        emitted = ops.matmul(rows, ops.transpose(wanted, (0, 2, 1)))
        blanks = rows[..., -1:]
        pairs = ops.stack([ops.repeat(blanks, self.slots, -1), emitted], -1)
        steps = ops.concatenate([ops.reshape(pairs, (-1, rows.shape[1], 2 * self.slots)), blanks], -1)
        # From one label straight to the next, without the blank between: allowed unless they are equal.
        differs = ops.cast(ops.not_equal(classes[:, 1:], classes[:, :-1]), rows.dtype)
        zero = ops.zeros_like(differs[:, :1])
        skip = ops.concatenate([zero, zero], 1)
        for slot in range(self.slots - 1):
            skip = ops.concatenate([skip, zero, differs[:, slot : slot + 1]], 1)
        skip = ops.concatenate([skip, zero], 1)
        alpha = ops.concatenate([steps[:, 0, :2], ops.zeros_like(steps[:, 0, 2:])], 1)
        for step in range(1, rows.shape[1]):
            one, two = ops.pad(alpha[:, :-1], ((0, 0), (1, 0))), ops.pad(alpha[:, :-2], ((0, 0), (2, 0)))
            alpha = (alpha + one + skip * two) * steps[:, step]
        # A reading of m digits ends at its last label, 2 m - 1, or at the blank behind it, 2 m.
        count = ops.cast(ops.sum(picked, axis=(1, 2)), "int32")
        last = ops.one_hot(2 * count, 2 * self.slots + 1, dtype=rows.dtype)
        label = ops.pad(last[:, 1:], ((0, 0), (0, 1)))
        return ops.clip(ops.sum(alpha * (last + label), -1), 0, 1)

    def get_config(self):
        return {**super().get_config(), "slots": self.slots}


@keras.saving.register_keras_serializable(PACKAGE)
class StringPath(keras.layers.Layer):
    """Reads the best-scoring path through a space displacement network's outputs by dynamic programming.

    float (n, T, classes) scores -> the outputs above. A path puts digits at positions at least `gap` apart and blanks
    everywhere else; its score is the sum over positions (LeCun, Bottou, Bengio, Haffner 1998, sections VI and VII). The
    confidence is the probability of the digits read: the sum of exp(score) over the paths with those digits, over that
    of all paths.

    Args:
        slots: digits a path holds at most.
        gap: positions from one digit to the next, at least.
    """

    def __init__(self, slots: int, gap: int, **kwargs):
        super().__init__(**kwargs)
        self.slots = slots
        self.gap = gap

    def call(self, scores):
        rows = ops.softmax(scores)
        gains = scores[..., :-1] - scores[..., -1:]
        single = ops.max(gains, axis=-1)
        reached = self._best_ends(single)
        # The best number of digits: its total is the best of its last digit over all positions; none at all scores 0.
        totals = ops.stack([ops.zeros_like(single[:, 0])] + [ops.max(ends, axis=-1) for ends in reached], -1)
        count = best(totals)
        picked = self._backtrace(reached, count)
        probabilities, _ = picked_rows(picked, rows)
        digit = best(ops.matmul(picked, gains))
        used = ops.sum(picked, -1) > 0.5
        classes = ops.where(used, digit, ops.full_like(digit, scores.shape[-1] - 1))
        string, everything = string_scores(gains, classes, self.slots, self.gap)
        wanted = ops.one_hot(count, self.slots + 1, dtype=scores.dtype)
        chosen = ops.sum(string * wanted, -1)
        confidence = ops.exp(ops.minimum(chosen - log_sum_exp(everything), 0.0))
        return {"probabilities": probabilities, "classes": classes, "confidence": confidence}

    def _best_ends(self, single):
        """For 1, 2, … digits: (n, T), the score of the best path whose last digit is at that position."""
        reached, before = [], ops.zeros_like(single)
        for _ in range(self.slots):
            ends = single + before
            reached.append(ends)
            # The best over all positions up to gap before this one.
            allowed = earlier(single.shape[1], self.gap)
            before = ops.max(ends[:, None, :] + allowed, axis=-1)
        return reached

    def _backtrace(self, reached, count):
        """One-hot (n, slots, T): where each digit of the best path is; zeros for slots beyond the count."""
        length = reached[0].shape[1]
        index = ops.arange(length, dtype="float32")
        limit = ops.full_like(reached[0][:, :1], length - 1)
        picked = []
        for slot in reversed(range(self.slots)):
            active = ops.cast(ops.expand_dims(count, -1) > slot, "float32")
            ends = ops.where(index <= limit, reached[slot], ops.full_like(reached[slot], 2 * LEAST))
            at = ops.one_hot(best(ends), length, dtype="float32") * active
            picked.append(at)
            position = ops.sum(at * index, -1, keepdims=True)
            limit = ops.where(active > 0.5, position - self.gap, limit)
        return ops.stack(picked[::-1], 1)

    def get_config(self):
        return {**super().get_config(), "slots": self.slots, "gap": self.gap}


@keras.saving.register_keras_serializable(PACKAGE)
class Peaks(keras.layers.Layer):
    """Reads a sliding window's scores: a digit where they peak, its box from the windows' own estimates.

    A position is a peak where the probability of any digit is above one half and nowhere higher within `reach`
    positions. A digit's distribution and its box are means over the windows within reach of the peak, weighted by how
    near their log odds of a digit come to the peak's: 1 at the peak, 0 from `FALL` below it on. So where two neighbours
    are equally high, and rounding decides which is the peak, either is read the same. The confidence is the probability
    that every peak is read correctly and that the most digit-like position out of reach of all peaks is not a digit.

    float (n, T, classes) logits and (n, T, 4) boxes as offsets in pixels from the window's middle -> the outputs above
    and `boxes` (n, slots, 4) in pixels.

    Args:
        slots: digits a strip holds at most.
        reach: positions.
        stride: pixels from one position to the next; the first window's middle is at half of it.
        height: of the strip, in pixels.
    """

    def __init__(self, slots: int, reach: int, stride: int, height: int, **kwargs):
        super().__init__(**kwargs)
        self.slots, self.reach, self.stride, self.height = slots, reach, stride, height

    def call(self, logits, offsets):
        rows = ops.softmax(logits)
        digit = 1 - rows[..., -1]
        length = digit.shape[1]
        # The log odds of a digit: near 1, neighbouring probabilities are equal in float32. Of equals the first wins.
        odds = log_sum_exp(logits[..., :-1]) - logits[..., -1] - 1e-4 * ops.arange(length, dtype=digit.dtype)
        highest = self._highest_within_reach(odds)
        peak = ops.cast(ops.logical_and(odds >= highest, digit > 0.5), rows.dtype)
        picked = in_slots(peak, self.slots)
        near = ops.matmul(picked, within(length, self.reach))
        below = ops.sum(picked * odds[:, None], -1, keepdims=True) - odds[:, None]
        weights = near * ops.maximum(1 - below / FALL, 0.0)
        weights = weights / ops.maximum(ops.sum(weights, -1, keepdims=True), 1.0)
        probabilities, classes = picked_rows(weights, rows, digits_only=True)
        stray = ops.max(digit * (1 - ops.max(near, axis=1)), axis=-1)
        shown = ops.sum(probabilities * ops.one_hot(classes, rows.shape[-1], dtype=rows.dtype), -1)
        boxes = ops.matmul(weights, offsets + self._middles(length))
        return {
            "probabilities": probabilities,
            "classes": classes,
            "confidence": ops.prod(shown, -1) * (1 - stray),
            "boxes": self._inside(boxes, length) * ops.cast(ops.sum(picked, -1, keepdims=True) > 0.5, boxes.dtype),
        }

    def _highest_within_reach(self, values):
        pooled = ops.max_pool(values[..., None], 2 * self.reach + 1, strides=1, padding="same")
        return ops.squeeze(pooled, -1)

    def _middles(self, length):
        x = self.stride * (np.arange(length) + 0.5)
        y = np.full(length, self.height / 2)
        return ops.convert_to_tensor(np.stack([x, y, x, y], -1).astype("float32"))

    def _inside(self, boxes, length):
        limit = np.array([length * self.stride, self.height] * 2, "float32")
        return ops.minimum(ops.maximum(boxes, 0.0), limit)

    def get_config(self):
        config = {"slots": self.slots, "reach": self.reach, "stride": self.stride, "height": self.height}
        return {**super().get_config(), **config}


def in_slots(marks, slots: int):
    """Float (n, T) of ones and zeros -> one-hot (n, slots, T): the first mark to the first slot, and so on."""
    order = ops.cumsum(marks, axis=1) * marks
    wanted = ops.reshape(ops.arange(1, slots + 1, dtype=marks.dtype), (1, slots, 1))
    return ops.cast(ops.abs(order[:, None, :] - wanted) < 0.5, marks.dtype)


def picked_rows(picked, rows, digits_only: bool = False):
    """The row of each slot's position, and its most probable class; blank where a slot has no position.

    Args:
        picked: one-hot (n, slots, T), or weights of several positions that sum to 1.
        rows: (n, T, classes), rows sum to 1.
        digits_only: the class is that of the most probable digit even where blank is more probable.

    Returns:
        (n, slots, classes) and int32 (n, slots).
    """
    size = rows.shape[-1]
    used = ops.sum(picked, -1, keepdims=True)
    nothing = ops.convert_to_tensor(np.eye(size, dtype="float32")[-1])
    probabilities = ops.matmul(picked, rows) + (1 - used) * nothing
    if not digits_only:
        return probabilities, best(probabilities)
    digit = best(probabilities[..., :-1])
    return probabilities, ops.where(used[..., 0] > 0.5, digit, ops.full_like(digit, size - 1))


def string_scores(gains, classes, slots: int, gap: int):
    """The log of the sum of exp(score) over all paths, for each number of digits.

    Args:
        gains: (n, T, digits), what a digit at a position adds over a blank there.
        classes: int (n, slots), a string of digits from the left.
        slots: digits of a path at most.
        gap: positions from one digit to the next, at least.

    Returns:
        Two (n, slots + 1), by the number of digits 0, 1, …: over the paths that read the beginning of `classes`, and
        over all paths of so many digits.
    """
    length = gains.shape[1]
    allowed = earlier(length, gap)
    wanted = ops.one_hot(ops.minimum(classes, gains.shape[-1] - 1), gains.shape[-1], dtype=gains.dtype)
    read = ops.transpose(ops.matmul(gains, ops.transpose(wanted, (0, 2, 1))), (2, 0, 1))
    anything = log_sum_exp(gains)
    nothing = ops.zeros_like(anything)
    string, everything = [nothing[:, 0]], [nothing[:, 0]]
    before_string = before_everything = nothing
    for slot in range(slots):
        ends_string, ends_everything = read[slot] + before_string, anything + before_everything
        string.append(log_sum_exp(ends_string))
        everything.append(log_sum_exp(ends_everything))
        before_string = log_sum_exp(ends_string[:, None, :] + allowed)
        before_everything = log_sum_exp(ends_everything[:, None, :] + allowed)
    return ops.stack(string, -1), ops.stack(everything, -1)


def earlier(length: int, gap: int):
    """(length, length): 0 where column u lies at least `gap` before row t, else so low that it cannot count."""
    t, u = np.arange(length)[:, None], np.arange(length)
    return ops.convert_to_tensor(np.where(u <= t - gap, 0.0, LEAST).astype("float32"))


def within(length: int, reach: int):
    """(length, length): 1 where row and column are at most `reach` apart, else 0."""
    t = np.arange(length)
    return ops.convert_to_tensor((np.abs(t[:, None] - t) <= reach).astype("float32"))


def log_sum_exp(values):
    """Over the last axis. Not `ops.logsumexp`: its check for infinities has no ONNX form on TensorFlow."""
    highest = ops.max(values, -1, keepdims=True)
    return ops.squeeze(highest, -1) + ops.log(ops.sum(ops.exp(values - highest), -1))
