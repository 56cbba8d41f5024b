"""The Keras layers that are ours. Importing this package is all that loading a saved model needs."""

from pipeline.layers.fused import FusedBatchNormalization, activated
from pipeline.layers.lengths import LengthAndDigits
from pipeline.layers.normalization import Samplewise, ZCAWhitening, normalize
from pipeline.layers.paths import BestPath, Peaks, StringPath
from pipeline.layers.preprocessing import CaffePreprocessing
from pipeline.layers.readout import Confidence, MostProbable
from pipeline.layers.regions import ByPicture, Detections, Proposals, RegionAlign

__all__ = [
    "BestPath",
    "ByPicture",
    "CaffePreprocessing",
    "Confidence",
    "Detections",
    "FusedBatchNormalization",
    "LengthAndDigits",
    "MostProbable",
    "Peaks",
    "Proposals",
    "RegionAlign",
    "Samplewise",
    "StringPath",
    "ZCAWhitening",
    "activated",
    "normalize",
]
