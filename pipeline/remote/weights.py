"""Weights of published networks, as a mirror holds them."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.remote.downloads import RemoteFile, Unreachable, find_in_mirror


@dataclass(frozen=True)
class WeightsFile:
    """A file of a network's weights, without its top.

    Attributes:
        remote: where it is below a mirror.
        sha256: of the file, 64 hexadecimal digits.
    """

    remote: RemoteFile
    sha256: str


IMAGENET = {
    "vgg16": WeightsFile(
        RemoteFile("vgg16/vgg16_imagenet_notop.weights.h5", (), 128 << 20),
        "a2f51117308129c3de9a523c91d35160eb75a6a9e5db1e2afb4f48e48dfb733a",
    )
}
"""By the names that params.yaml gives the networks. VGG16: Simonyan and Zisserman 2014, CC BY 4.0."""


def mirrored(network: str) -> Path:
    """The file of a network's ImageNet weights in the mirror that DATASETS_MIRROR names; its content is not verified.

    From an http(s) mirror it is downloaded into DATASETS_CACHE, or `.cache/downloads`.

    Raises:
        Unreachable: there is no mirror, or it has no such file; the text says which.
        ConfigurationError: the mirror is a folder that does not exist.
    """
    mirror = os.environ.get("DATASETS_MIRROR", "")
    if not mirror:
        raise Unreachable("DATASETS_MIRROR is not set")
    try:
        cache = Path(os.environ.get("DATASETS_CACHE") or ".cache/downloads")
        return find_in_mirror(IMAGENET[network].remote, mirror, cache)
    except DataError as error:
        raise Unreachable(str(error)) from None
