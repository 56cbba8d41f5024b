"""Small networks of the strategy `textbook`, shared by the tests of its arithmetic and of its illustrations."""

from pathlib import Path

import pytest

from pipeline import strategies
from pipeline.config import params
from pipeline.preprocessing import normalization

TEXTBOOK = params.load(Path(__file__).parents[2] / "params.yaml").strategies["textbook"]


@pytest.fixture(scope="session")
def trained(embedded):
    """Models trained for a few steps: `channels_last`, `channels_first`, and `avg`, with average pooling."""
    few = embedded["mnist/mnist"]["train"].take(slice(0, 128))
    statistics = normalization.fit(few, name="mnist/mnist", zca_epsilon=1e-6)

    def train(mode="rescale", **settings):
        arguments = TEXTBOOK.arguments | settings
        arguments["recipe"] = arguments["recipe"].model_copy(update={"epochs": 10.0, "batch": 32})
        normalizer = normalization.Normalizer.of(statistics, mode)
        return strategies.load("textbook").train(few, few, normalizer=normalizer, seed=1, budget=1.0, **arguments)

    return {
        "channels_last": train(data_format="channels_last"),
        "channels_first": train(data_format="channels_first"),
        "avg": train("featurewise", pooling="avg", data_format="channels_first"),
    }


@pytest.fixture(scope="session")
def digits(embedded):
    """64 test digits."""
    return embedded["mnist/mnist"]["test"].take(slice(0, 64))
