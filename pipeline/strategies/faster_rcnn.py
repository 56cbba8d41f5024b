"""Faster R-CNN (Ren et al. 2015): a region proposal network and Fast R-CNN's heads on the same features.

Everything is in the graph, suppression included. Both parts learn jointly from the first step; since the proposals are
poor at first, the heads learn from true boxes, shifted a little, as well.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from pipeline.config.types import Count, Fraction, NonNegative, Recipe
from pipeline.core.images import SCENE_SHAPE, SCENE_SLOTS, ImageSet
from pipeline.layers import Proposals, RegionAlign
from pipeline.layers import boxes as geometry
from pipeline.networks import blocks, detection
from pipeline.networks.blocks import block
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import initial, loop
from pipeline.training.loop import Examples

SUITES = ("scenes",)
POSITIONAL = False
BINS = 7
HEIGHTS = (17, 25, 36)
"""Of the anchors, in pixels; digits are 14 to 42 px high or wide."""
ASPECTS = (0.22, 0.45, 0.75, 1.05)
CANDIDATES = 128
"""Anchors that compete in suppression; RIVALS is the overlap at which they do."""
BEHIND = 1000.0
"""Subtracted from the log odds of every anchor that is not the most probable of its cell."""
RIVALS = 0.7
POSITIVE, NEGATIVE = 0.6, 0.4
"""Overlap with a true box from which an anchor is positive, and below which it is negative; neither in between."""
SAMPLE = 3
"""Negative anchors for each positive one: those that look most like digits."""


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    regions: Count,
    context: NonNegative,
    jitter: Fraction,
    hidden: Count,
    recipe: Recipe,
    dropout: Fraction,
) -> keras.Model:
    """Train on scenes (n, 112, 112, 1) with boxes and return a detector of their digits.

    Args:
        features: folder of the trained strategy whose convolutions this one begins with.
        regions: that the network proposes of a scene.
        context: what is added to a region's sides before it is cut out, as a share of them.
        jitter: true boxes among the regions are shifted and stretched by up to this share of their sides.
        hidden: units of the dense layer under the two heads.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` scenes.
        dropout: before the heads.
    """

    def build() -> keras.Model:
        images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
        shown = keras.Input((SCENE_SLOTS, 4), dtype="float32", name="shown")
        maps = detection.features(normalizer)
        proposing = _proposing(maps.output.shape[1:])
        head = detection.dense_head((BINS, BINS, blocks.CHANNELS), hidden, dropout, seed)
        proposed = Proposals(
            detection.SIDE, blocks.STRIDE, HEIGHTS, ASPECTS, CANDIDATES, regions, RIVALS, name="proposals"
        )
        seen = maps(images)
        anchors = proposing(seen)
        rows = ops.concatenate([proposed([_one_a_cell(anchors[..., 0]), anchors[..., 1:]]), shown], axis=1)
        outputs = _heads(seen, rows, head, context)
        return keras.Model([images, shown], {**outputs, "anchors": anchors}, name="faster_rcnn")

    network = loop.fit(
        initial.trained(build, features, blocks.TRUNK),
        Examples((train.images, train.boxes), detection.targets_of(train)),
        Examples((valid.images, np.zeros_like(valid.boxes)), detection.targets_of(valid)),
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=Joint(),
        augment=GroundTruthJitter(jitter),
    )
    images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
    seen = network.get_layer("features")(images)
    anchors = network.get_layer("proposing")(seen)
    proposed = network.get_layer("proposals")([_one_a_cell(anchors[..., 0]), anchors[..., 1:]])
    outputs = _heads(seen, proposed, network.get_layer("head"), context)
    return keras.Model(images, detection.reading(outputs), name="reader")


def _one_a_cell(objectness: keras.KerasTensor) -> keras.KerasTensor:
    """Objectness (n, a) with every anchor but the most probable of its cell ranked last.

    Else the anchors about the plainest digits leave no place for the others among those that compete.
    """
    shapes = len(HEIGHTS) * len(ASPECTS)
    cells = ops.reshape(objectness, (-1, objectness.shape[1] // shapes, shapes))
    surest = ops.max(cells, axis=-1, keepdims=True)
    return ops.reshape(ops.where(cells >= surest, cells, cells - BEHIND), (-1, objectness.shape[1]))


class Joint(detection.DetectionLoss):
    """The heads' two-part loss plus that of the proposals, each counted once (Ren et al. 2015, section 3.1.2).

    An anchor should be taken if it overlaps a true box by 0.6, or more than every other anchor overlaps that box. Of
    the others, the loss takes the three for each positive that look most like digits, and not a random sample.
    """

    def __init__(self) -> None:
        super().__init__()
        self.anchors = geometry.anchors(detection.SIDE // blocks.STRIDE, blocks.STRIDE, HEIGHTS, ASPECTS)

    def loss(self, targets, outputs):
        objectness, offsets = outputs["anchors"][..., 0], outputs["anchors"][..., 1:]
        there = targets[..., 1:]
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
        return super().loss(targets, outputs) + (ops.sum(wrong, axis=-1) + alarms + shape) / count


HARDEST = 384
"""Upper bound of the negative anchors of a scene in the loss."""


class GroundTruthJitter:
    """Puts true boxes, shifted and stretched by up to a share of their sides, among the regions."""

    def __init__(self, extent: float) -> None:
        self.extent = extent

    def __call__(self, inputs: tuple[tf.Tensor, tf.Tensor], targets: tf.Tensor, seed: tf.Tensor):
        """Images, true boxes (n, 8, 4) and targets (n, 8, 5) -> the same with other boxes."""
        images, boxes = inputs
        return (images, detection.jittered(boxes, self.extent, seed)), targets


def _proposing(shape: tuple[int, int, int]) -> keras.Model:
    """Features (n, 28, 28, 96) -> float32 (n, anchors, 5): how much each anchor looks like a digit, and its offsets.

    The 3×3 convolution works on maps of half the side, where it sees most of the largest digit; each of its cells
    speaks for the anchors of the four cells below it.
    """
    maps = keras.Input(shape)
    each = len(HEIGHTS) * len(ASPECTS)
    x = block(layers.MaxPooling2D(2)(maps), 128, 3)
    x = layers.Conv2D(4 * each * 5, 1, dtype="float32", name="anchors")(x)
    side = x.shape[1]
    x = ops.transpose(ops.reshape(x, (-1, side, side, 2, 2, each * 5)), (0, 1, 3, 2, 4, 5))
    return keras.Model(maps, ops.reshape(x, (-1, 4 * side * side * each, 5)), name="proposing")


def _heads(seen, regions, head: layers.Layer, context: float) -> dict[str, keras.KerasTensor]:
    cut = RegionAlign(BINS, blocks.STRIDE, context)([seen, regions])
    return detection.region_outputs(head(cut), regions)
