"""Faster R-CNN (Ren et al. 2015): a region proposal network and Fast R-CNN's heads on the same features.

Everything is in the graph, suppression included. Both parts learn jointly from the first step; since the proposals are
poor at first, the heads learn from true boxes, shifted a little, as well.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from pipeline.config.types import Count, Fraction, Mode, NonNegative, Positive
from pipeline.core.images import SCENE_SHAPE, SCENE_SLOTS, ImageSet
from pipeline.layers import Proposals, RegionAlign
from pipeline.layers import boxes as geometry
from pipeline.networks import detection
from pipeline.preprocessing.normalization import Statistics
from pipeline.training import loop
from pipeline.training.loop import Examples

SUITES = ("scenes",)
POSITIONAL = False
BINS = 7
HEIGHTS = (17, 25, 36)
"""Of the anchors, in pixels; digits are 14 to 42 px high or wide."""
ASPECTS = (0.45, 0.75, 1.05)
CANDIDATES = 128
"""Anchors that compete in suppression; RIVALS is the overlap at which they do."""
BEHIND = 1000.0
"""Log odds that an anchor which is not its cell's surest is put back by."""
RIVALS = 0.7
POSITIVE, NEGATIVE = 0.6, 0.4
"""Overlaps with a true box from which an anchor should be taken, and below which it should not; none in between."""
SAMPLE = 3
"""Negative anchors for each positive one: those that look most like digits."""


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Statistics,
    seed: int,
    budget: float,
    normalization: Mode,
    regions: Count,
    context: NonNegative,
    jitter: Fraction,
    hidden: Count,
    epochs: Positive,
    batch: Count,
    learning_rate: Positive,
    weight_decay: NonNegative,
    dropout: Fraction,
) -> keras.Model:
    """Train on scenes (n, 112, 112, 1) with boxes and return a detector of their digits.

    Args:
        normalization: the mode applied to the scene.
        regions: that the network proposes of a scene.
        context: what is added to a region's sides before it is cut out, as a share of them.
        jitter: true boxes among the regions are shifted and stretched by up to this share of their sides.
        hidden: units of the dense layer under the two heads.
        epochs: passes over the scenes at budget 1.
        batch: scenes a step.
        learning_rate: the peak of the one-cycle schedule.
        weight_decay: AdamW's.
        dropout: before the heads.
    """

    def build() -> keras.Model:
        images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
        shown = keras.Input((SCENE_SLOTS, 4), dtype="float32", name="shown")
        maps = detection.features(normalizer, normalization)
        proposing = _proposing(maps.output.shape[1:])
        head = detection.dense_head((BINS, BINS, detection.CHANNELS), hidden, dropout, seed)
        proposed = Proposals(
            detection.SIDE, detection.STRIDE, HEIGHTS, ASPECTS, CANDIDATES, regions, RIVALS, name="proposals"
        )
        seen = maps(images)
        anchors = proposing(seen)
        rows = ops.concatenate([proposed([_one_a_cell(anchors[..., 0]), anchors[..., 1:]]), shown], axis=1)
        said = _said(seen, rows, head, context)
        return keras.Model([images, shown], {**said, "anchors": anchors}, name="faster_rcnn")

    network = loop.fit(
        build,
        Examples((train.images, train.boxes), detection.truth_of(train)),
        Examples((valid.images, np.zeros_like(valid.boxes)), detection.truth_of(valid)),
        epochs=epochs,
        batch=batch,
        budget=budget,
        seed=seed,
        optimizer=loop.adamw(learning_rate, weight_decay),
        objective=Joint(),
        augment=Shown(jitter),
    )
    images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
    seen = network.get_layer("features")(images)
    anchors = network.get_layer("proposing")(seen)
    proposed = network.get_layer("proposals")([_one_a_cell(anchors[..., 0]), anchors[..., 1:]])
    said = _said(seen, proposed, network.get_layer("head"), context)
    return keras.Model(images, detection.reading(said), name="reader")


def _one_a_cell(objectness: keras.KerasTensor) -> keras.KerasTensor:
    """Objectness (n, a) with every anchor but the surest of its cell put far behind.

    Else the anchors about the plainest digits leave no place for the others among those that compete.
    """
    shapes = len(HEIGHTS) * len(ASPECTS)
    cells = ops.reshape(objectness, (-1, objectness.shape[1] // shapes, shapes))
    surest = ops.max(cells, axis=-1, keepdims=True)
    return ops.reshape(ops.where(cells >= surest, cells, cells - BEHIND), (-1, objectness.shape[1]))


class Joint(detection.TwoPart):
    """The heads' two-part loss plus that of the proposals, each counted once (Ren et al. 2015, section 3.1.2).

    An anchor should be taken if it overlaps a true box by 0.6, or more than every other anchor overlaps that box. Of
    the others, the three for each positive that look most like digits are learnt from, and not a random sample.
    """

    def __init__(self) -> None:
        super().__init__()
        self.anchors = geometry.anchors(detection.SIDE // detection.STRIDE, detection.STRIDE, HEIGHTS, ASPECTS)

    def loss(self, truth, said):
        objectness, offsets = said["anchors"][..., 0], said["anchors"][..., 1:]
        there = truth[..., 1:]
        overlap = geometry.overlaps(ops.convert_to_tensor(self.anchors), there)
        best, slot = ops.max(overlap, axis=-1), ops.argmax(overlap, axis=-1)
        # Anchors that fit equally well, but for rounding, are all the best.
        closest = (overlap >= ops.max(overlap, axis=1, keepdims=True) - 1e-4) & (overlap > 0.2)
        positive = ops.cast((best >= POSITIVE) | ops.any(closest, axis=-1), "float32")
        negative = ops.cast(best < NEGATIVE, "float32") * (1 - positive)
        count = ops.maximum(ops.sum(positive, axis=-1), 1.0)

        wrong = ops.softplus(-objectness) * positive
        alarm = ops.softplus(objectness) * negative
        hardest, _ = ops.top_k(alarm, HARDEST)
        rank = ops.arange(1, HARDEST + 1, dtype="float32")
        alarms = ops.sum(hardest * ops.cast(rank <= SAMPLE * count[:, None], "float32"), axis=-1)
        mine = tf.gather(there, slot, batch_dims=1)
        wanted = geometry.encode(mine, ops.convert_to_tensor(self.anchors))
        shape = ops.sum(detection.huber(wanted, offsets) * positive, axis=-1)
        return super().loss(truth, said) + (ops.sum(wrong, axis=-1) + alarms + shape) / count


HARDEST = 384
"""Negative anchors of a scene that are learnt from, at most."""


class Shown:
    """Puts true boxes, shifted and stretched by up to a share of their sides, among the regions."""

    def __init__(self, extent: float) -> None:
        self.extent = extent

    def __call__(self, inputs: tuple[tf.Tensor, tf.Tensor], truth: tf.Tensor, seed: tf.Tensor):
        """Images, true boxes (n, 8, 4) and truth (n, 8, 5) -> the same with other boxes."""
        images, boxes = inputs
        return (images, detection.jittered(boxes, self.extent, seed)), truth


def _proposing(shape: tuple[int, int, int]) -> keras.Model:
    """Features (n, 28, 28, 96) -> float32 (n, anchors, 5): how much each anchor looks like a digit, and its offsets.

    The 3×3 convolution works on maps of half the side, where it sees most of the largest digit; each of its cells
    speaks for the anchors of the four cells below it.
    """
    maps = keras.Input(shape)
    each = len(HEIGHTS) * len(ASPECTS)
    x = detection.block(layers.MaxPooling2D(2)(maps), 128, 3)
    x = layers.Conv2D(4 * each * 5, 1, dtype="float32", name="anchors")(x)
    side = x.shape[1]
    x = ops.transpose(ops.reshape(x, (-1, side, side, 2, 2, each * 5)), (0, 1, 3, 2, 4, 5))
    return keras.Model(maps, ops.reshape(x, (-1, 4 * side * side * each, 5)), name="proposing")


def _said(seen, regions, head: layers.Layer, context: float) -> dict[str, keras.KerasTensor]:
    cut = RegionAlign(BINS, detection.STRIDE, context)([seen, regions])
    return detection.said_of(head(cut), regions)
