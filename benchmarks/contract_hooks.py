"""What Schemathesis sends where the document has binary bodies: valid pictures of the size that the path takes.

An OpenAPI document can say that a body is binary, but not that it is a PNG of 140×28 pixels or that a header gives its
shape. What Schemathesis makes invalid on purpose stays as it is.
"""

import io
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

FILES = ("image/png", "image/jpeg", "application/octet-stream", "application/x-npy")
_random = np.random.default_rng(0)


SHAPES = {"strips": (28, 140, 1), "scenes": (112, 112, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


def _pictures(path: str, task: str, count: int) -> np.ndarray:
    """Pictures for a path; the query of /read may force a task, of which lines takes any size."""
    shape = SHAPES.get(task, SHAPES["cifar10" if path.startswith("/classify") else "strips"])
    return _random.integers(0, 256, (count, *shape), np.uint8)


def _file(picture: np.ndarray, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(file, form)
    return file.getvalue()


def _npy(pictures: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, pictures)
    return file.getvalue()


def _valid(path: str, task: str, kind: str) -> dict[str, Any]:
    """A valid body of a type that the path takes, with its headers, as arguments of `requests`."""
    pictures = _pictures(path, task, int(_random.integers(1, 4)))
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
    """Replace the body of a valid case by one with pictures."""
    if case.meta is None or case.media_type is None or case.meta.generation.mode.is_negative:
        return
    valid = _valid(case.path, str((case.query or {}).get("task", "")), case.media_type)
    case.headers.update(valid.pop("headers", {}))
    kwargs.update(valid)
