"""Fast R-CNN (Girshick 2015): one pass over the scene, and two small heads on each proposed region of its features.

It is not deployable: `pipeline.preprocessing.proposals` makes the regions, its second input, outside the graph.
"""

import keras
from keras import layers

from pipeline.config.types import Count, Fraction, Mode, NonNegative, Positive, Regions
from pipeline.core.images import SCENE_SHAPE, ImageSet
from pipeline.layers import RegionAlign
from pipeline.networks import detection
from pipeline.preprocessing import proposals
from pipeline.preprocessing.normalization import Statistics
from pipeline.training import loop
from pipeline.training.loop import Examples

SUITES = ("scenes",)
POSITIONAL = False
DEPLOYABLE = False
BINS = 7


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Statistics,
    seed: int,
    budget: float,
    normalization: Mode,
    regions: Regions,
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
        regions: of a scene that are learnt from in a step.
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
        boxes = keras.Input((None, 4), dtype="float32", name="regions")
        maps = detection.features(normalizer, normalization)
        head = detection.dense_head((BINS, BINS, detection.CHANNELS), hidden, dropout, seed)
        return keras.Model([images, boxes], _said(images, boxes, maps, head, context), name="fast_rcnn")

    network = loop.fit(
        build,
        Examples((train.images, proposals.propose(train.images)), detection.truth_of(train)),
        Examples((valid.images, proposals.propose(valid.images)), detection.truth_of(valid)),
        epochs=epochs,
        batch=batch,
        budget=budget,
        seed=seed,
        optimizer=loop.adamw(learning_rate, weight_decay),
        objective=detection.TwoPart(),
        augment=detection.Sampled(k=regions, favour=0.5, jitter=jitter),
    )
    images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
    boxes = keras.Input((proposals.REGIONS, 4), dtype="float32", name="regions")
    said = _said(images, boxes, network.get_layer("features"), network.get_layer("head"), context)
    return keras.Model([images, boxes], detection.reading(said), name="reader")


def _said(images, regions, maps: layers.Layer, head: layers.Layer, context: float) -> dict[str, keras.KerasTensor]:
    cut = RegionAlign(BINS, detection.STRIDE, context, name="cut")([maps(images), regions])
    return detection.said_of(head(cut), regions)
