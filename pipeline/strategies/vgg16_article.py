"""VGG16 under the head of the article on transfer, literally: 256 units, dropout 0.5, momentum 0.9, a rate of 1e-4."""

from pipeline.strategies.vgg16 import SUITES, train

__all__ = ["SUITES", "train"]
