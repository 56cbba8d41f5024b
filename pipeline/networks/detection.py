"""Parts that the detectors share: features of a scene, the heads on a region, the loss, sampling, the reading."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from pipeline.core.images import BLANK, SCENE_SHAPE, STRIP_NAMES, ImageSet
from pipeline.layers import ByPicture, Detections, activated, normalize
from pipeline.layers import boxes as geometry
from pipeline.networks.blocks import trunk
from pipeline.preprocessing.normalization import Normalizer

OVERLAP = 0.5
"""Intersection over union from which a region is of the class of a true box."""
SIDE = SCENE_SHAPE[0]


def features(normalizer: Normalizer) -> keras.Model:
    """uint8 (n, 112, 112, 1) -> float (n, 28, 28, 128), each cell seeing 25 pixels."""
    images = keras.Input(SCENE_SHAPE, dtype="uint8")
    return keras.Model(images, trunk(normalize(images, normalizer)), name="features")


def dense_head(shape: tuple[int, ...], units: int, dropout: float, seed: int) -> keras.Model:
    """Aligned features (m, *shape) -> float32 (m, 15): 11 logits, then 4 offsets (Girshick 2015, section 2)."""
    cut = keras.Input(shape)
    x = layers.Dense(units, use_bias=False)(layers.Flatten()(cut))
    x = activated(x)
    return keras.Model(cut, class_and_box(layers.Dropout(dropout, seed=seed)(x)), name="head")


def class_and_box(x: keras.KerasTensor) -> keras.KerasTensor:
    """(m, f) -> float32 (m, 15): 11 class logits and 4 box offsets per region; one box serves all classes."""
    return layers.Dense(len(STRIP_NAMES) + 4, dtype="float32", name="class_and_box")(x)


def region_outputs(rows: keras.KerasTensor, regions: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
    """(n * k, 15) and regions (n, k, 4) as `regions`, `logits` (n, k, 11) and `offsets` (n, k, 4), all float32."""
    rows = ByPicture(dtype="float32")([rows, regions])
    return {"regions": regions, "logits": rows[..., : BLANK + 1], "offsets": rows[..., BLANK + 1 :]}


def targets_of(pictures: ImageSet) -> np.ndarray:
    """Class and box of each slot: float32 (n, slots, 5)."""
    return np.concatenate([pictures.labels[..., None], pictures.boxes], axis=-1, dtype=np.float32)


def reading(outputs: dict[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """The outputs that the contract of strategies asks for, from the outputs of the heads."""
    return Detections(SIDE, dtype="float32", name="detections")(
        [outputs[name] for name in ("regions", "logits", "offsets")]
    )


class DetectionLoss:
    """Cross-entropy of the regions' classes, and Huber loss of the offsets of those that hold a digit.

    As in Girshick 2015, section 2.3, where Huber's loss is called smooth L1. A region that overlaps a true box by half
    is of its class, every other is blank. A scene is correct if its digits, ordered from left to right, all match.
    """

    def __init__(self) -> None:
        self.readout = Detections(SIDE, dtype="float32")

    def loss(self, targets, outputs):
        """Targets float32 (n, 8, 5) against the dict of `region_outputs`: float (n,)."""
        classes, wanted, positive = assign(targets, outputs["regions"])
        named = ops.take_along_axis(ops.log_softmax(outputs["logits"]), classes[..., None], axis=-1)[..., 0]
        return -ops.mean(named, axis=-1) + ops.mean(huber(wanted, outputs["offsets"]) * positive, axis=-1)

    def correct(self, targets, outputs):
        out = self.readout([outputs[name] for name in ("regions", "logits", "offsets")])
        centre = out["boxes"][..., 0] + out["boxes"][..., 2]
        order = ops.argsort(ops.where(out["classes"] == BLANK, 1e6, centre), axis=-1)
        read = ops.take_along_axis(out["classes"], order, axis=-1)
        return ops.all(read == ops.cast(targets[..., 0], read.dtype), axis=-1)


def assign(targets, regions):
    """Targets of the heads for regions (n, k, 4): classes int32 (n, k), offsets (n, k, 4), digit or not (n, k)."""
    overlap, slot = geometry.matched(regions, targets[..., 1:])
    mine = tf.gather(targets, slot, batch_dims=1)
    positive = overlap >= OVERLAP
    classes = ops.where(positive, ops.cast(mine[..., 0], "int32"), BLANK)
    return classes, geometry.encode(mine[..., 1:], regions), ops.cast(positive, "float32")


def huber(targets, outputs):
    """(..., 4) and (..., 4) -> (...), the sum over the four, where Keras's is the mean."""
    return 4 * keras.losses.huber(targets, outputs)


@dataclass(frozen=True)
class RegionSampler:
    """Samples regions of each scene, digits with preference, and adds the ground-truth boxes.

    Attributes:
        k: regions of a scene that are kept.
        favour: by how much a region that holds a digit is preferred, 0 not at all, 1 always.
        jitter: true boxes are shifted and stretched by up to this share of their sides.
    """

    k: int
    favour: float
    jitter: float

    def __call__(self, inputs: tuple[tf.Tensor, tf.Tensor], targets: tf.Tensor, seed: tf.Tensor):
        """Images, regions (n, m, 4) and targets (n, 8, 5) -> the same with regions (n, k, 4)."""
        images, regions = inputs
        regions = tf.concat([regions, jittered(targets[..., 1:], self.jitter, seed)], axis=1)
        overlap, _ = geometry.matched(regions, targets[..., 1:])
        draw = tf.random.stateless_uniform(tf.shape(overlap), seed + 1)
        draw += self.favour * tf.cast(overlap >= OVERLAP, tf.float32)
        # Unused slots and missing proposals are boxes of zeros.
        draw -= 2.0 * tf.cast(geometry.areas(regions) <= 0, tf.float32)
        _, chosen = tf.math.top_k(draw, self.k)
        return (images, tf.gather(regions, chosen, batch_dims=1)), targets


def jittered(boxes: tf.Tensor, extent: float, seed: tf.Tensor) -> tf.Tensor:
    """Boxes (n, slots, 4) of which every side is moved by up to `extent` of the box; boxes of zeros stay so."""
    sides = tf.tile(boxes[..., 2:] - boxes[..., :2], (1, 1, 2))
    moved = boxes + sides * tf.random.stateless_uniform(tf.shape(boxes), seed, -extent, extent)
    return tf.clip_by_value(moved, 0.0, float(SIDE))
