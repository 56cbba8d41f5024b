"""The Keras layers that are ours. Importing this package is all that loading a saved model needs."""

from pipeline.layers.normalization import Samplewise, ZCAWhitening, normalize
from pipeline.layers.readout import Confidence, MostProbable

__all__ = ["Confidence", "MostProbable", "Samplewise", "ZCAWhitening", "normalize"]
