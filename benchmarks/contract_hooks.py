"""What Schemathesis sends where the document speaks of pictures: sound ones, of the size that the path reads.

A document can say that a body is binary, not that it is a PNG of 140×28 pixels, nor that a header names its shape.
What Schemathesis makes wrong on purpose stays as it is.
"""

import io
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

FILES = ("image/png", "image/jpeg", "application/octet-stream", "application/x-npy")
_random = np.random.default_rng(0)


def _pictures(path: str, count: int) -> np.ndarray:
    shape = (32, 32, 3) if path.startswith("/classify") else (28, 140, 1)
    return _random.integers(0, 256, (count, *shape), np.uint8)


def _file(picture: np.ndarray, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(file, form)
    return file.getvalue()


def _npy(pictures: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, pictures)
    return file.getvalue()


def _sound(path: str, kind: str) -> dict[str, Any]:
    """A body of a type that the path takes, and the headers that belong to it, as arguments of `requests`."""
    pictures = _pictures(path, int(_random.integers(1, 4)))
    if kind == "multipart/form-data":
        field, sent = ("pictures", pictures) if path.endswith("_many") else ("picture", pictures[:1])
        return {"files": [(field, ("picture", _file(picture))) for picture in sent]}
    if kind in ("image/png", "image/jpeg"):
        return {"data": _file(pictures[0], kind.partition("/")[2].upper())}
    if kind == "application/x-npy":
        return {"data": _npy(pictures)}
    if kind == "application/json":
        return {"json": (pictures[..., 0] if pictures.shape[-1] == 1 else pictures).tolist()}
    return {"data": pictures.tobytes(), "headers": {"X-Shape": ",".join(map(str, pictures.shape))}}


for _kind in FILES:
    schemathesis.openapi.media_type(_kind, st.just(b"no picture"))


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Replace what stands for a picture by one, where the case is meant to be sound."""
    if case.meta is None or case.media_type is None or case.meta.generation.mode.is_negative:
        return
    sound = _sound(case.path, case.media_type)
    case.headers.update(sound.pop("headers", {}))
    kwargs.update(sound)
