"""Pretrained networks: the source of their weights, and the warning when they are not available."""

import hashlib
import http.client
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pipeline.config.types import Weights
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.layers import CaffePreprocessing
from pipeline.remote import downloads
from pipeline.remote import weights as weights_files

Builder = Callable[..., keras.Model]
"""Called as those of `keras.applications`: `include_top=False`, `weights` None or "imagenet", `input_shape`.

What it makes is a chain of layers, the first an input."""

NETWORKS: dict[str, Builder] = {"vgg16": keras.applications.VGG16}
"""By the names that params.yaml gives them; all take `CaffePreprocessing`."""

SOURCES = tuple(Path(file) for file in (__file__, weights_files.__file__, downloads.__file__))
"""The files of this module and of those by which it finds weights."""

TIMEOUT = 10.0
"""Seconds that a server may keep silent before the weights count as out of reach."""


@dataclass(frozen=True)
class Base:
    """A network without its head, and its weights as arrays, from which it is built under any policy.

    Attributes:
        builder: makes the network without weights.
        size: height and width of what it takes, in pixels.
        weights: of all its layers, in Keras's order.
        pretrained: where they came from: `imagenet`, `local:` and twelve digits of the file's SHA-256, `missing`
            (random, though ImageNet's were asked for), or `not_applicable` (random, as asked for).
    """

    builder: Builder
    size: int
    weights: Sequence[np.ndarray]
    pretrained: str

    def network(self) -> keras.Model:
        """The network under the current policy: float (n, size, size, 3), preprocessed -> float (n, h, w, c)."""
        network = _empty(self.builder, self.size)
        network.set_weights(list(self.weights))
        return network

    def prepared(self, pictures: keras.KerasTensor) -> keras.KerasTensor:
        """Raw uint8 (n, H, W, 3) -> what the network takes, float32 (n, size, size, 3).

        Float32 whatever the policy: bfloat16 would round the difference of two pixels to the nearest whole one.
        """
        x = CaffePreprocessing(dtype="float32", name="preprocessing")(pictures)
        if tuple(pictures.shape[1:3]) == (self.size, self.size):
            return x
        return keras.layers.Resizing(self.size, self.size, interpolation="bilinear", dtype="float32", name="resizing")(
            x
        )


def split(network: keras.Model, cut: int) -> tuple[keras.Model, list[keras.Layer]]:
    """Freeze `network.layers[:cut]` of a chain; returns them as a model, and the layers behind, which stay trainable.

    Raises:
        ConfigurationError: the network has fewer layers, or fewer than one is left in front.
    """
    if not 1 <= cut <= len(network.layers):
        raise ConfigurationError(
            f"freeze_until: expected 1 to {len(network.layers)}, the layers of {network.name}, found {cut}"
        )
    for index, layer in enumerate(network.layers):
        layer.trainable = index >= cut
    frozen = keras.Model(network.inputs, network.layers[cut - 1].output, name="frozen")
    frozen.trainable = False
    return frozen, network.layers[cut:]


def base(builder: Builder, weights: Weights, *, size: int, seed: int) -> Base:
    """A network with the weights that were asked for.

    Args:
        builder: makes it.
        weights: `imagenet`: from the mirror that DATASETS_MIRROR names, if it holds them; else as Keras fetches them
            into its cache (`~/.keras`, or KERAS_HOME). Both are verified. Where neither has them, this warns on
            standard error and uses random ones. A file of `save_weights`, or one that Keras distributes, with its
            SHA-256. `none`: random.
        size: height and width of what it takes, in pixels.
        seed: of random weights.

    Raises:
        DataError: the file, or that of the mirror, has another digest or does not fit the network; or it is missing.
        ConfigurationError: the network cannot take pictures of this size, or the mirror is no folder.
    """
    if isinstance(weights, dict):
        network = _empty(builder, size)
        _load(network, Path(weights["file"]).expanduser(), weights["sha256"])
        return Base(builder, size, network.get_weights(), f"local:{weights['sha256'][:12]}")
    if weights == "imagenet":
        reasons = []
        for source in (_mirrored, _imagenet):
            try:
                return Base(builder, size, source(builder, size).get_weights(), "imagenet")
            except Unavailable as error:
                reasons.append(str(error))
        warn_missing("; ".join(reasons))
    network = _empty(builder, size)
    pretrained = "missing" if weights == "imagenet" else "not_applicable"
    return Base(builder, size, _random(network, seed), pretrained)


def warn_missing(reason: str) -> None:
    """Warn on standard error that random weights replace those of ImageNet."""
    print(
        f"PRETRAINED WEIGHTS MISSING: ImageNet weights are not available ({reason}). RANDOM weights are used: every "
        "result says `pretrained: missing`, and the registry rejects such a model. To use a copy of the file: "
        "weights: {file: PATH, sha256: DIGEST}.",
        file=sys.stderr,
    )


class Unavailable(Exception):
    """ImageNet's weights are not available; the message gives the reason."""


def _mirrored(builder: Builder, size: int) -> keras.Model:
    names = [name for name, known in NETWORKS.items() if known is builder and name in weights_files.IMAGENET]
    if not names:
        raise Unavailable("no mirror has them")
    try:
        path = weights_files.mirrored(names[0])
    except downloads.Unreachable as error:
        raise Unavailable(str(error)) from None
    network = _empty(builder, size)
    _load(network, path, weights_files.IMAGENET[names[0]].sha256)
    return network


def _imagenet(builder: Builder, size: int) -> keras.Model:
    before = socket.getdefaulttimeout()
    # Keras opens its connection without a timeout of its own.
    socket.setdefaulttimeout(TIMEOUT)
    try:
        return builder(include_top=False, weights="imagenet", input_shape=(size, size, 3))
    except Exception as error:
        # Keras raises a bare Exception where the address cannot be reached, a ValueError where the digest differs.
        fetching = type(error) is Exception and str(error).startswith("URL fetch failure")
        damaged = isinstance(error, ValueError) and "file detected" in str(error)
        if fetching or damaged or isinstance(error, OSError | http.client.HTTPException):
            raise Unavailable(" ".join(str(error).split()) or type(error).__name__) from None
        raise
    finally:
        socket.setdefaulttimeout(before)


def _load(network: keras.Model, path: Path, sha256: str) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected the weights that `weights` in params.yaml names")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DataError(
            f"{path}: SHA-256 {found} found, expected {sha256}; take the file it was written for, or correct the digest"
        )
    try:
        with warnings.catch_warnings():
            # Where a file lacks a layer, Keras warns and leaves it as it was: random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: does not fit {network.name} without its top ({reason}); expected a file of its `save_weights`"
        ) from None


def _empty(builder: Builder, size: int) -> keras.Model:
    try:
        return builder(include_top=False, weights=None, input_shape=(size, size, 3))
    except ValueError as error:
        raise ConfigurationError(f"input_size: {size}: {' '.join(str(error).split())}") from None


def _random(network: keras.Model, seed: int) -> list[np.ndarray]:
    """He's initialization (He et al. 2015, section 2.2), which keeps the scale of what passes through ReLUs.

    The first kernel is divided by 64, about the deviation of preprocessed pixels: what comes out is of the order of 1.
    """
    rng = np.random.default_rng(seed)
    arrays, scale = [], 1 / 64
    for weight in network.weights:
        if weight.path.endswith("kernel"):
            deviation = scale * np.sqrt(2 / np.prod(weight.shape[:-1]))
            arrays.append(rng.normal(0, deviation, weight.shape).astype(np.float32))
            scale = 1.0
        else:
            arrays.append(weight.numpy())
    return arrays
