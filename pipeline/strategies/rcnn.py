"""R-CNN (Girshick et al. 2014): every proposed region is cut out, warped to one size and read by a digit net.

It is not deployable: `pipeline.preprocessing.proposals` makes the regions, its second input, outside the graph.
"""

from pathlib import Path

import keras
from keras import layers

from pipeline.config.types import Fraction, NonNegative, Recipe, Regions, Switch
from pipeline.core.images import DIGIT, SCENE_SHAPE, ImageSet
from pipeline.layers import RegionAlign, activated, normalize
from pipeline.networks import detection
from pipeline.networks.blocks import block
from pipeline.preprocessing import proposals
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
from pipeline.training.loop import Examples

SUITES = ("scenes",)
POSITIONAL = False
DEPLOYABLE = False
CHOOSING = 400
"""Scenes of valid that choose among the epochs: reading all of them would take as long as the training."""


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    regions: Regions,
    context: NonNegative,
    square: Switch,
    jitter: Fraction,
    recipe: Recipe,
    dropout: Fraction,
) -> keras.Model:
    """Train on scenes (n, 112, 112, 1) with boxes and return a detector of their digits.

    `features` is the folder that `stages.propose` wrote for these scenes; without it, regions are proposed here.

    Args:
        regions: of a scene that a training step samples.
        context: what is added to a region's sides before it is cut out, as a share of them.
        square: cut out the square about a region, so that digits keep their shape, and not the region alone.
        jitter: true boxes among the regions are shifted and stretched by up to this share of their sides.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` scenes.
        dropout: before the heads.
    """

    def build() -> keras.Model:
        images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
        boxes = keras.Input((None, 4), dtype="float32", name="regions")
        scaled = keras.Model(images, normalize(images, normalizer), name="normalized")
        head = _digit_net(dropout, seed)
        return keras.Model([images, boxes], _heads(images, boxes, scaled, head, context, square), name="rcnn")

    valid = valid.take(slice(0, CHOOSING))
    seen, unseen = proposals.of_splits(train, valid, features)
    network = loop.fit(
        build,
        Examples((train.images, seen), detection.targets_of(train)),
        Examples((valid.images, unseen), detection.targets_of(valid)),
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=detection.DetectionLoss(),
        augment=detection.RegionSampler(k=regions, favour=0.5, jitter=jitter),
    )
    images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
    boxes = keras.Input((proposals.REGIONS, 4), dtype="float32", name="regions")
    outputs = _heads(images, boxes, network.get_layer("normalized"), network.get_layer("head"), context, square)
    return keras.Model([images, boxes], detection.reading(outputs), name="reader")


def _digit_net(dropout: float, seed: int) -> keras.Model:
    """Regions (m, 28, 28, 1) -> float32 (m, 15)."""
    cut = keras.Input((DIGIT, DIGIT, 1))
    x = block(cut, 32, 5, strides=2)
    x = block(x, 64, 3, strides=2)
    x = block(x, 128, 3)
    x = layers.Dense(128, use_bias=False)(layers.Flatten()(x))
    x = activated(x)
    return keras.Model(cut, detection.class_and_box(layers.Dropout(dropout, seed=seed)(x)), name="head")


def _heads(
    images, regions, scaled: layers.Layer, head: layers.Layer, context: float, square: bool
) -> dict[str, keras.KerasTensor]:
    cut = RegionAlign(DIGIT, 1, context, square, outside="zero", name="cut")([scaled(images), regions])
    return detection.region_outputs(head(cut), regions)
