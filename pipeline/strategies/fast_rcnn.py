"""Fast R-CNN (Girshick 2015): one pass over the scene, and two small heads on each proposed region of its features.

It is not deployable: `pipeline.preprocessing.proposals` makes the regions, its second input, outside the graph.
"""

from pathlib import Path

import keras
from keras import layers

from pipeline.config.types import Count, Fraction, NonNegative, Recipe, Regions
from pipeline.core.images import SCENE_SHAPE, ImageSet
from pipeline.layers import RegionAlign
from pipeline.networks import blocks, detection
from pipeline.preprocessing import proposals
from pipeline.preprocessing.normalization import Normalizer
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
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    regions: Regions,
    context: NonNegative,
    jitter: Fraction,
    hidden: Count,
    recipe: Recipe,
    dropout: Fraction,
) -> keras.Model:
    """Train on scenes (n, 112, 112, 1) with boxes and return a detector of their digits.

    `features` is the folder that `stages.propose` wrote for these scenes; without it, regions are proposed here.

    Args:
        regions: of a scene that a training step samples.
        context: what is added to a region's sides before it is cut out, as a share of them.
        jitter: true boxes among the regions are shifted and stretched by up to this share of their sides.
        hidden: units of the dense layer under the two heads.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` scenes.
        dropout: before the heads.
    """

    def build() -> keras.Model:
        images = keras.Input(SCENE_SHAPE, dtype="uint8", name="images")
        boxes = keras.Input((None, 4), dtype="float32", name="regions")
        maps = detection.features(normalizer)
        head = detection.dense_head((BINS, BINS, blocks.CHANNELS), hidden, dropout, seed)
        return keras.Model([images, boxes], _heads(images, boxes, maps, head, context), name="fast_rcnn")

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
    outputs = _heads(images, boxes, network.get_layer("features"), network.get_layer("head"), context)
    return keras.Model([images, boxes], detection.reading(outputs), name="reader")


def _heads(images, regions, maps: layers.Layer, head: layers.Layer, context: float) -> dict[str, keras.KerasTensor]:
    cut = RegionAlign(BINS, blocks.STRIDE, context, name="cut")([maps(images), regions])
    return detection.region_outputs(head(cut), regions)
