"""Regions of a picture: cutting them out of pictures and features, proposing them, and reading digits in them."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from pipeline.core.images import BLANK, SCENE_SLOTS
from pipeline.layers import boxes as geometry
from pipeline.layers.normalization import PACKAGE

ROUNDS = 12
"""Rounds of non-maximum suppression; chains of suppression among scenes' boxes are shorter."""


@keras.saving.register_keras_serializable(PACKAGE)
class RegionAlign(keras.layers.Layer):
    """Every region at one size, by bilinear interpolation at the middles of its bins.

    RoIAlign (He et al. 2017, section 3) with one sample a bin, which they found to be nearly as good as four; with
    stride 1 it warps regions of a picture (Girshick et al. 2014, appendix A).

    [maps (n, H, W, C), regions float32 (n, k, 4) in pixels] -> (n * k, size, size, C), in the layer's dtype.

    Args:
        size: bins along each side.
        stride: pixels per cell of the maps.
        context: what is added to a region's sides, as a share of them.
        square: cut out the square about the region, so that shapes stay what they are.
        outside: `zero`, or `edge`: what lies beyond the maps.
    """

    def __init__(
        self, size: int, stride: int, context: float = 0.0, square: bool = False, outside: str = "edge", **kwargs
    ):
        super().__init__(autocast=False, **kwargs)
        self.size = size
        self.stride = stride
        self.context = context
        self.square = square
        self.outside = outside

    def call(self, inputs):
        maps, regions = inputs
        n, (height, width, channels) = tf.shape(maps)[0], maps.shape[1:]
        boxes = geometry.enlarged(regions, self.context, self.square)
        # Interpolation is linear in each direction, so two products of matrices do it: unlike crop_and_resize they
        # export as they are, and their gradient is as fast as they are.
        down = ops.reshape(self._weights(boxes[..., 1], boxes[..., 3], height), (n, -1, height))
        along = self._weights(boxes[..., 0], boxes[..., 2], width)
        rows = ops.matmul(down, ops.reshape(ops.cast(maps, self.compute_dtype), (n, height, width * channels)))
        rows = ops.reshape(rows, (-1, self.size, width, channels))
        along = ops.reshape(along, (-1, 1, self.size, width))
        return ops.matmul(along, rows)

    def _weights(self, low, high, cells):
        """What each cell adds to each bin: (n, k) ends in pixels -> (n, k, size, cells)."""
        share = ops.convert_to_tensor((np.arange(self.size) + 0.5) / self.size, "float32")
        # Counted in cells from the middle of the first one.
        middle = (low[..., None] + (high - low)[..., None] * share) / self.stride - 0.5
        if self.outside == "edge":
            middle = ops.clip(middle, 0.0, cells - 1.0)
        distance = ops.abs(middle[..., None] - ops.arange(cells, dtype="float32"))
        return ops.cast(ops.maximum(1 - distance, 0.0), self.compute_dtype)

    def compute_output_spec(self, inputs):
        channels = inputs[0].shape[-1]
        return keras.KerasTensor((None, self.size, self.size, channels), dtype=self.compute_dtype)

    def get_config(self):
        own = ("size", "stride", "context", "square", "outside")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(PACKAGE)
class ByPicture(keras.layers.Layer):
    """Rows of all regions, one after another, as those of each picture: (n * k, f), regions (n, k, 4) -> (n, k, f)."""

    def call(self, inputs):
        rows, regions = inputs
        return tf.reshape(rows, (-1, tf.shape(regions)[1], rows.shape[-1]))

    def compute_output_spec(self, inputs):
        rows, regions = inputs
        return keras.KerasTensor((*regions.shape[:2], rows.shape[-1]), dtype=self.compute_dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class Proposals(keras.layers.Layer):
    """The most probable regions of a region proposal network (Ren et al. 2015, section 3.1).

    [objectness float32 (n, a), offsets float32 (n, a, 4)] -> float32 (n, k, 4), inside the picture, best first. No
    gradient flows back through them. Places for which too few survive are filled with those suppressed, best first.

    Args:
        side: pixels along each side of the picture.
        stride: pixels from one cell of anchors to the next.
        heights: of the anchors, in pixels.
        aspects: width over height of the anchors.
        candidates: how many of the most probable anchors compete.
        k: regions of a picture.
        overlap: intersection over union from which two regions are rivals.
    """

    def __init__(
        self,
        side: int,
        stride: int,
        heights: tuple[float, ...],
        aspects: tuple[float, ...],
        candidates: int,
        k: int,
        overlap: float,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.side = side
        self.stride = stride
        self.heights = tuple(heights)
        self.aspects = tuple(aspects)
        self.candidates = candidates
        self.k = k
        self.overlap = overlap

    def anchors(self):
        """float32 (a, 4)."""
        return geometry.anchors(self.side // self.stride, self.stride, self.heights, self.aspects)

    def call(self, inputs):
        objectness, offsets = inputs
        # In steps, ties by index: without ink all anchors are equally probable up to rounding, which differs between
        # runtimes.
        steps = ops.round(ops.stop_gradient(objectness) * 64)
        _, best = ops.top_k(steps, self.candidates)
        anchors = ops.take(ops.convert_to_tensor(self.anchors()), best, axis=0)
        offsets = tf.gather(ops.stop_gradient(offsets), best, batch_dims=1)
        regions = geometry.clipped(geometry.decode(offsets, anchors), self.side, self.side)
        alive = geometry.survivors(geometry.overlaps(regions, regions) > self.overlap, ROUNDS)
        rank = ops.cast(ops.arange(self.candidates, 0, -1), "float32")
        _, chosen = ops.top_k(rank + ops.cast(alive, "float32") * self.candidates, self.k)
        return tf.gather(regions, chosen, batch_dims=1)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((None, self.k, 4), dtype="float32")

    def get_config(self):
        own = ("side", "stride", "heights", "aspects", "candidates", "k", "overlap")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(PACKAGE)
class Detections(keras.layers.Layer):
    """The reading of a scene: at most eight digits, each with its box, by falling probability.

    [regions float32 (n, k, 4), logits float32 (n, k, 11), offsets float32 (n, k, 4)] -> a dict of `probabilities`
    (n, 8, 11), `classes` int32 (n, 8), `confidence` (n,) and `boxes` (n, 8, 4). Unused slots are blank, with the
    probability 1 and a box of zeros.

    Regions are refined by their offsets. A place holds one digit, whatever its class: of two boxes that have more than
    a share of the smaller one in common, the one more probable to hold any digit stays. The confidence is the
    probability that every digit read has its class, times the probability that the boxes which stayed and are
    not read hold nothing: those below the threshold, and of more than eight others all but the eight most probable.

    Args:
        side: pixels along each side of the picture.
        threshold: probability of being a digit from which a box is read.
        shared: share of the smaller box from which two boxes are rivals.
    """

    def __init__(self, side: int, threshold: float = 0.5, shared: float = 0.5, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.side = side
        self.threshold = threshold
        self.shared = shared

    def call(self, inputs):
        regions, logits, offsets = inputs
        rows = ops.softmax(logits, axis=-1)
        boxes = geometry.clipped(geometry.decode(offsets, regions), self.side, self.side)
        # By log odds: probabilities near 1 differ by rounding only, and rounding would choose the box.
        odds = ops.logsumexp(logits[..., :BLANK], axis=-1) - logits[..., BLANK]
        _, order = ops.top_k(odds, regions.shape[1] or tf.shape(regions)[1])
        rows, boxes = tf.gather(rows, order, batch_dims=1), tf.gather(boxes, order, batch_dims=1)

        area = ops.maximum(geometry.areas(boxes), 1.0)
        smaller = ops.minimum(ops.expand_dims(area, -1), ops.expand_dims(area, -2))
        rivals = geometry.intersections(boxes, boxes) > self.shared * smaller
        alive = geometry.survivors(rivals, ROUNDS)
        digit = 1 - rows[..., BLANK]
        read = ops.logical_and(alive, digit >= self.threshold)
        # The most probable come first.
        read = ops.logical_and(read, ops.cumsum(ops.cast(read, "int32"), axis=-1) <= SCENE_SLOTS)
        unread = ops.logical_and(alive, ops.logical_not(read))
        nothing = ops.prod(ops.where(unread, rows[..., BLANK], 1.0), axis=-1)

        best = ops.where(read, ops.max(rows[..., :BLANK], axis=-1), 0.0)
        top, place = ops.top_k(best, SCENE_SLOTS)
        used = ops.expand_dims(ops.cast(top > 0, "float32"), -1)
        blank = ops.one_hot(BLANK, BLANK + 1, dtype="float32")
        rows = tf.gather(rows, place, batch_dims=1) * used + blank * (1 - used)
        boxes = tf.gather(boxes, place, batch_dims=1) * used
        classes = ops.squeeze(ops.top_k(rows[..., :BLANK], 1)[1], axis=-1)
        classes = ops.where(top > 0, classes, BLANK)
        return {
            "probabilities": rows,
            "classes": ops.cast(classes, "int32"),
            "confidence": ops.prod(ops.where(top > 0, top, 1.0), axis=-1) * nothing,
            "boxes": boxes,
        }

    def compute_output_spec(self, inputs):
        return {
            "probabilities": keras.KerasTensor((None, SCENE_SLOTS, BLANK + 1), dtype="float32"),
            "classes": keras.KerasTensor((None, SCENE_SLOTS), dtype="int32"),
            "confidence": keras.KerasTensor((None,), dtype="float32"),
            "boxes": keras.KerasTensor((None, SCENE_SLOTS, 4), dtype="float32"),
        }

    def get_config(self):
        own = ("side", "threshold", "shared")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
