"""OverFeat (Sermanet et al. 2014): one digit net, made fully convolutional, slid over the scene at several scales.

What `sliding` does along a strip, in two dimensions and for digits of any size: every window says which digit it holds
and where that digit's sides are. All windows of a scale share one pass, and all scales lie on one sheet.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from pipeline import boxes as geometry
from pipeline import detection, training
from pipeline.images import BLANK, SCENE_SHAPE, ImageSet
from pipeline.layers import RegionAlign, normalize
from pipeline.normalization import Statistics
from pipeline.settings import Count, Fraction, Mode, NonNegative, Positive
from pipeline.training import Examples

SUITES = ("scenes",)
POSITIONAL = False
SHEET = (120, 276)
"""Height and width of the sheet that holds the scene at every scale."""
PLACES = ((112, 0, 0), (84, 0, 120), (64, 0, 212), (48, 72, 212))
"""The scene's side at each scale, and the top and left of its place: at least 8 pixels lie between two of them."""
SEEN = 16
"""Pixels of the longer side of a digit, once it is scaled, that the net is for."""
NEAR, FAR = 0.16, 0.4
"""How far a window's middle is from a digit's, as a share of the digit's longer side, to be told to see it: at most
NEAR. One at least FAR from every digit is told to see none; between the two, nothing is told."""
LIKE, UNLIKE = 0.28, 0.6
"""The same of sizes, in octaves: of the digit's longer side and of the one that the window's scale is for."""
PRIOR = (0.0,) * BLANK + (5.0,) + (0.0,) * 4
"""Added to what the windows say: untrained, they are told that they hold nothing (Lin et al. 2017, section 4.1)."""


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Statistics,
    seed: int,
    budget: float,
    normalization: Mode,
    width: Count,
    candidates: Count,
    epochs: Positive,
    batch: Count,
    learning_rate: Positive,
    weight_decay: NonNegative,
    dropout: Fraction,
) -> keras.Model:
    """Train on scenes (n, 112, 112, 1) with boxes and return a detector of their digits.

    Args:
        normalization: the mode applied to the scene, before it is scaled.
        width: channels of the last layers.
        candidates: windows that compete to be read, the surest of all.
        epochs: passes over the scenes at budget 1.
        batch: scenes a step.
        learning_rate: the peak of the one-cycle schedule.
        weight_decay: AdamW's.
        dropout: before the scores.
    """

    def build() -> keras.Model:
        images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
        rows = _slid(_sheet(normalize(images, normalizer, normalization)), width, dropout, seed)
        return keras.Model(images, {**_surest(rows, candidates), "windows": rows}, name="overfeat")

    network = training.fit(
        build,
        Examples((train.images,), detection.truth_of(train)),
        Examples((valid.images,), detection.truth_of(valid)),
        epochs=epochs,
        batch=batch,
        budget=budget,
        seed=seed,
        optimizer=training.adamw(learning_rate, weight_decay),
        objective=Windows(),
    )
    images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
    said = network(images)
    return keras.Model(images, detection.reading(said), name="reader")


def windows() -> np.ndarray:
    """The square about the middle of each window that a digit just fills: float32 (w, 4), pixels of the scene."""
    scaled = [(side, side / detection.SIDE) for side, _, _ in PLACES]
    stride = detection.STRIDE
    return np.concatenate(
        [geometry.anchors(side // stride, stride / scale, (SEEN / scale,), (1.0,)) for side, scale in scaled]
    )


class Windows(detection.TwoPart):
    """Cross-entropy of every window's class, and Huber's loss of the boxes of those that see a digit, a digit's worth.

    Both are summed over a scene's windows and divided by the number of those that see a digit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.windows = ops.convert_to_tensor(windows())

    def loss(self, truth, said):
        logits, offsets = said["windows"][..., : BLANK + 1], said["windows"][..., BLANK + 1 :]
        there = truth[..., 1:]
        away, unlike = self._distances(there)
        slot = ops.argmin(away + unlike, axis=-1)
        sees = ops.any((away <= NEAR) & (unlike <= LIKE), axis=-1)
        told = ops.cast(sees | ops.all((away >= FAR) | (unlike >= UNLIKE), axis=-1), "float32")
        mine = tf.gather(truth, slot, batch_dims=1)
        classes = ops.where(sees, ops.cast(mine[..., 0], "int32"), BLANK)
        sees = ops.cast(sees, "float32")
        named = ops.take_along_axis(ops.log_softmax(logits), classes[..., None], axis=-1)[..., 0]
        off = detection.huber(geometry.encode(mine[..., 1:], self.windows), offsets)
        return ops.sum(off * sees - named * told, axis=-1) / ops.maximum(ops.sum(sees, axis=-1), 1.0)

    def _distances(self, boxes):
        """How far windows are from digits (n, 8, 4): their middles, in the digit's sides, and their sizes, in octaves.

        Both float (n, w, 8), and a thousand from unused slots.
        """
        sides, middle = boxes[..., 2:] - boxes[..., :2], (boxes[..., 2:] + boxes[..., :2]) / 2
        longer = ops.max(sides, axis=-1)[:, None, :]
        unused = ops.cast(longer <= 0, "float32") * 1000.0
        longer = ops.maximum(longer, 1.0)
        own = (self.windows[:, 2:] + self.windows[:, :2]) / 2
        away = ops.max(ops.abs(middle[:, None] - own[None, :, None]), axis=-1) / longer
        size = (self.windows[:, 2] - self.windows[:, 0])[None, :, None]
        return away + unused, ops.abs(ops.log2(longer / size)) + unused


def _sheet(scene: keras.KerasTensor) -> keras.KerasTensor:
    """Normalized float (n, 112, 112, 1) -> (n, 120, 276, 1): the scene at every scale, each in its place."""
    zero = ops.cast(ops.zeros_like(scene[:, :1, 0]), "float32")
    whole = ops.concatenate([zero, zero, zero + detection.SIDE, zero + detection.SIDE], axis=-1)
    height, width = SHEET
    placed = []
    for side, top, left in PLACES:
        scaled = RegionAlign(side, 1, name=f"scaled_{side}")([scene, whole])
        around = ((0, 0), (top, height - top - side), (left, width - left - side), (0, 0))
        placed.append(ops.pad(scaled, around))
    return layers.Add()(placed)


def _slid(sheet: keras.KerasTensor, width: int, dropout: float, seed: int) -> keras.KerasTensor:
    """The sheet -> float32 (n, w, 15): eleven scores and four offsets of every window, 4 pixels of the sheet apart.

    A window sees 25 pixels. Its last two layers are dense ones, as convolutions of size 1.
    """
    x = detection.block(sheet, 32, 5, strides=2)
    x = detection.block(x, 64, 3, strides=2)
    x = detection.block(detection.block(x, width, 3), width, 3)
    x = layers.Dropout(dropout, seed=seed)(detection.block(x, width, 1))
    x = detection.two_outputs(x) + np.array(PRIOR, np.float32)
    of_each = [
        ops.reshape(x[:, top : top + side, left : left + side], (-1, side * side, x.shape[-1]))
        for side, top, left in (tuple(number // detection.STRIDE for number in place) for place in PLACES)
    ]
    return ops.concatenate(of_each, axis=1)


def _surest(rows: keras.KerasTensor, candidates: int) -> dict[str, keras.KerasTensor]:
    """The windows that are surest to hold a digit: `regions` (n, k, 4), `logits` (n, k, 11), `offsets` (n, k, 4)."""
    odds = ops.logsumexp(rows[..., :BLANK], axis=-1) - rows[..., BLANK]
    _, chosen = ops.top_k(odds, candidates)
    # As a product of matrices, the constant one from NumPy: a tensor would be exported as an input.
    chosen = ops.one_hot(chosen, rows.shape[1], dtype="float32")
    said = ops.matmul(chosen, rows)
    return {
        "regions": ops.matmul(chosen, windows()),
        "logits": said[..., : BLANK + 1],
        "offsets": said[..., BLANK + 1 :],
    }
