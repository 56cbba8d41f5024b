"""The space displacement network at LeNet-5's published width: 6, 16, 120 and 84 channels."""

from pipeline.strategies.sdnn import POSITIONAL, SUITES, train

__all__ = ["POSITIONAL", "SUITES", "train"]
