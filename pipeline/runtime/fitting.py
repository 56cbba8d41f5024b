"""Answers to pictures of any size by a model of one size; `pipeline.core.fitting` brings the one to the other."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import JsonValue

from pipeline.core.decoding import GREY_FORMATS, Picture, Shape, decode_any, decode_for, decode_grey
from pipeline.core.fitting import Fitted, fit_colour, fit_grey
from pipeline.core.readings import Readings
from pipeline.records.manifest import Manifest
from pipeline.runtime.pages import answer_picture, declared_size, task_of


def fit(found: bytes | np.ndarray, task: str, shape: Shape) -> Fitted:
    """Bring a picture to a model.

    Args:
        found: a PNG, JPEG or WebP; or grey pixels, uint8 (H, W).
        task: of the model: `strips`, `scenes`, `mnist` or `cifar10`.
        shape: height, width and channels of the pictures that it reads.

    Raises:
        PictureError: the picture cannot be decoded.
    """
    if isinstance(found, np.ndarray):
        return fit_grey(Picture(found), task, shape)
    size = declared_size(found)
    if size is not None and task_of(size, {task: shape}) is not None:
        picture = decode_for(found, {task: shape})[1]
        return Fitted(picture, shape[:2])
    if shape[2] == 1:
        return fit_grey(decode_grey(found), task, shape)
    return fit_colour(decode_any(found, shape[2], GREY_FORMATS), shape)


def answer_fitted(
    manifest: Manifest, fitted: Fitted, readings: Readings, identity: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """The answer to a fitted picture, in the form of `PictureAnswer`, not validated.

    Boxes are in pixels of the picture that was sent.

    Args:
        manifest: of the model that read it.
        fitted: what the model read.
        readings: of that one picture.
        identity: of the model, a `ModelIdentity` as JSON.
    """
    if readings.boxes is not None:
        readings = replace(readings, boxes=fitted.in_picture(readings.boxes))
    answer: dict[str, Any] = answer_picture(manifest, fitted.picture, readings, identity)
    height, width = fitted.size
    answer["lines"][0]["box"] = [0.0, 0.0, float(width), float(height)]
    return answer
