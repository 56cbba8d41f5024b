"""R-CNN (Girshick et al. 2014): every proposed region is cut out, warped to one size and read by a digit net.

It is not deployable: `pipeline.preprocessing.proposals` makes the regions, its second input, outside the graph.
"""

import keras
from keras import layers

from pipeline.config.types import Count, Fraction, Mode, NonNegative, Positive, Regions, Switch
from pipeline.core.images import DIGIT, SCENE_SHAPE, ImageSet
from pipeline.layers import RegionAlign, activated, normalize
from pipeline.networks import detection
from pipeline.preprocessing import proposals
from pipeline.preprocessing.normalization import Statistics
from pipeline.training import loop
from pipeline.training.loop import Examples

SUITES = ("scenes",)
POSITIONAL = False
DEPLOYABLE = False
CHOOSING = 400
"""Scenes of valid that choose among the epochs: reading all of them would take as long as learning."""


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
    square: Switch,
    jitter: Fraction,
    epochs: Positive,
    batch: Count,
    learning_rate: Positive,
    weight_decay: NonNegative,
    dropout: Fraction,
) -> keras.Model:
    """Train on scenes (n, 112, 112, 1) with boxes and return a detector of their digits.

    Args:
        normalization: the mode applied to the scene, before regions are cut out.
        regions: of a scene that are learnt from in a step.
        context: what is added to a region's sides before it is cut out, as a share of them.
        square: cut out the square about a region, so that digits keep their shape, and not the region alone.
        jitter: true boxes among the regions are shifted and stretched by up to this share of their sides.
        epochs: passes over the scenes at budget 1.
        batch: scenes a step.
        learning_rate: the peak of the one-cycle schedule.
        weight_decay: AdamW's.
        dropout: before the heads.
    """

    def build() -> keras.Model:
        images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
        boxes = keras.Input((None, 4), dtype="float32", name="regions")
        scaled = keras.Model(images, normalize(images, normalizer, normalization), name="normalized")
        head = _digit_net(dropout, seed)
        return keras.Model([images, boxes], _said(images, boxes, scaled, head, context, square), name="rcnn")

    valid = valid.take(slice(0, CHOOSING))
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
    said = _said(images, boxes, network.get_layer("normalized"), network.get_layer("head"), context, square)
    return keras.Model([images, boxes], detection.reading(said), name="reader")


def _digit_net(dropout: float, seed: int) -> keras.Model:
    """Regions (m, 28, 28, 1) -> float32 (m, 15)."""
    cut = keras.Input((DIGIT, DIGIT, 1))
    x = detection.block(cut, 32, 5, strides=2)
    x = detection.block(x, 64, 3, strides=2)
    x = detection.block(x, 128, 3)
    x = layers.Dense(128, use_bias=False)(layers.Flatten()(x))
    x = activated(x)
    return keras.Model(cut, detection.two_outputs(layers.Dropout(dropout, seed=seed)(x)), name="head")


def _said(
    images, regions, scaled: layers.Layer, head: layers.Layer, context: float, square: bool
) -> dict[str, keras.KerasTensor]:
    cut = RegionAlign(DIGIT, 1, context, square, outside="zero", name="cut")([scaled(images), regions])
    return detection.said_of(head(cut), regions)
