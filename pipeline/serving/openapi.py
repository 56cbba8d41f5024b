"""The OpenAPI document: every path, every status and the one form of error, with this process's limits and models."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.records.manifest import Manifest
from pipeline.runtime.answers import asked
from pipeline.serving.errors import KINDS
from pipeline.serving.limits import Limits

_JSON = "application/json"
_ANY_POST = (
    "bad_request",
    "body_too_large",
    "too_slow",
    "unsupported_content_type",
    "internal",
    "overloaded",
    "stopping",
)
_ONE = ("empty", "not_a_picture", "damaged", "too_many_pixels", "unsupported_format", "wrong_size", "wrong_array")
_MANY = ("empty", "damaged", "bad_json", "too_many_pictures", "wrong_array", "bad_query")
_FILE = {"type": "string", "format": "binary"}
_PIXEL = {"type": "integer", "minimum": 0, "maximum": 255}


def document(manifests: Mapping[str, Manifest], limits: Limits) -> dict[str, Any]:
    """Describe what is served.

    Args:
        manifests: of the models, by task.
        limits: of this process.
    """
    digits, classes = (asked(manifests.values(), digits=wanted) for wanted in (True, False))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "reader",
            "version": "1",
            "description": "Reads handwritten digits in strips, in scenes or single, and classifies CIFAR-10 pictures.",
        },
        "paths": {
            "/": {
                "get": _operation("Leads to /info", {"307": {"description": "see /info", "headers": _location()}}, ())
            },
            "/info": {"get": _operation("Every model that is served", _found("Info"), ())},
            "/livez": {"get": _operation("Whether the process lives", _text("it does"), ())},
            "/readyz": {"get": _operation("Whether it takes requests", _text("it does"), ("stopping",))},
            "/metrics": {"get": _operation("Prometheus counters and histograms", _text("all workers together"), ())},
            "/openapi.json": {"get": _operation("This document", _found(None), ())},
            "/schema.json": {"get": _operation("What BentoML's clients ask for", _found(None), ())},
            "/read": {"post": _one("The digits of one picture; its size says which model reads it", digits)},
            "/read_many": {"post": _many("The digits of many pictures, in their order", digits, limits)},
            "/classify": {"post": _one("The class of one CIFAR-10 picture", classes)},
            "/classify_many": {"post": _many("The classes of many CIFAR-10 pictures", classes, limits)},
        },
        "components": {"schemas": _schemas()},
    }


def _one(summary: str, manifests: Sequence[Manifest]) -> dict[str, Any]:
    sizes = "; ".join(_size(manifest) for manifest in manifests) or "no size: no model is packaged"
    content = {
        "image/png": {"schema": _FILE},
        "image/jpeg": {"schema": _FILE},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"picture": _FILE},
                "required": ["picture"],
            },
        },
    }
    description = (
        f"A PNG or JPEG of {sizes}, told by its content, as the body or as the one file of a form, whatever its field "
        "is called. With the header X-Shape, a body of type application/octet-stream is raw uint8 pixels."
    )
    body = {"description": description, "required": True, "content": content}
    return {
        **_operation(summary, _found("Answer"), (*_ANY_POST, *_ONE, *_missing(manifests), "timed_out")),
        "requestBody": body,
    }


def _many(summary: str, manifests: Sequence[Manifest], limits: Limits) -> dict[str, Any]:
    shapes = [manifest.shape for manifest in manifests]
    content = {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "pictures": {
                        "type": "array",
                        "items": _FILE,
                        "minItems": 1,
                        "maxItems": limits.pictures,
                    }
                },
                "required": ["pictures"],
            },
        },
        "application/octet-stream": {"schema": _FILE},
        "application/x-npy": {"schema": _FILE},
        _JSON: {"schema": {"anyOf": [_pictures(shape, limits.json_pictures) for shape in shapes] or [False]}},
    }
    description = (
        f"At most {limits.pictures:,} pictures in {limits.many_body_bytes:,} bytes (JSON: {limits.json_pictures} in "
        f"{limits.body_bytes:,}): PNG and JPEG files of a form; raw uint8 pixels whose shape, (n, height, width) or "
        "(n, height, width, channels), X-Shape says; a .npy of uint8; or a JSON array. A file that cannot be read "
        "fails alone."
    )
    operation = _operation(summary, _found("Answers"), (*_ANY_POST, *_MANY, *_missing(manifests), "timed_out"))
    shape = {
        "name": "X-Shape",
        "in": "header",
        "description": "of raw pixels, for application/octet-stream alone, as in 64,28,140",
        "schema": {"type": "string", "pattern": "^[0-9]{1,9}(,[0-9]{1,9}){0,3}$"},
    }
    probabilities = {
        "name": "probabilities",
        "in": "query",
        "description": "whether each slot has the probabilities of all classes",
        "schema": {"type": "boolean", "default": False},
    }
    body = {"description": description, "required": True, "content": content}
    return {**operation, "parameters": [shape, probabilities], "requestBody": body}


def _missing(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    return () if manifests else ("not_packaged",)


def _size(manifest: Manifest) -> str:
    height, width, _ = manifest.shape
    return f"{width}×{height} pixels (width×height)" + (f" or {height}×{width}" if height != width else "")


def _pictures(shape: tuple[int, int, int], most: int) -> dict[str, Any]:
    """A JSON array (n, height, width, channels); where there is one channel, (n, height, width) does, too.

    The sides stand in the description alone: as `minItems` they would make a validator's work of every picture.
    """
    height, width, channels = shape
    pixel: dict[str, Any] = _PIXEL if channels == 1 else {"type": "array", "items": _PIXEL}
    rows = {"type": "array", "items": {"type": "array", "items": pixel}}
    sides = f"{height} rows of {width} pixels" + (f" of {channels} values" if channels > 1 else "")
    return {"type": "array", "minItems": 1, "maxItems": most, "items": rows, "description": f"pictures of {sides}"}


def _operation(summary: str, found: Mapping[str, Any], codes: Iterable[str]) -> dict[str, Any]:
    refused: dict[str, list[str]] = {}
    for code in codes:
        refused.setdefault(str(KINDS[code].status), []).append(code)
    return {
        "summary": summary,
        "responses": {**found, **{status: _refused(kinds) for status, kinds in sorted(refused.items())}},
    }


def _refused(codes: Sequence[str]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {KINDS[code].when}" for code in codes),
        "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if any(KINDS[code].retry for code in codes):
        said["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "required": True}}
    return said


def _found(name: str | None) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"} if name else {"type": "object"}
    return {"200": {"description": "done", "content": {_JSON: {"schema": schema}}}}


def _text(description: str) -> dict[str, Any]:
    return {"200": {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}}


def _location() -> dict[str, Any]:
    return {"Location": {"schema": {"type": "string"}, "required": True}}


def _object(properties: Mapping[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _schemas() -> dict[str, Any]:
    text, flag = {"type": "string"}, {"type": "boolean"}
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    nullable = {"anyOf": [flag, {"type": "null"}]}
    box = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
    identity = {
        "task": text,
        "strategy": text,
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "version": {"type": ["string", "null"]},
        "origin": text,
    }
    slot = {
        "class": text,
        "probability": probability,
        "probabilities": {"type": "object", "additionalProperties": probability},
        "box": {"anyOf": [box, {"type": "null"}]},
    }
    reading = {
        "digits": {"type": "string", "pattern": "^[0-9]*$"},
        "class": text,
        "slots": {"type": "array", "items": {"$ref": "#/components/schemas/Slot"}},
        "confidence": probability,
        "accepted": nullable,
        "notes": {"type": "array", "items": text},
    }
    model = {
        **identity,
        "bytes": {"type": "integer"},
        "inputs": _object({**{side: {"type": "integer"} for side in ("height", "width", "channels")}, "dtype": text}),
        "slots": {"type": "integer"},
        "class_names": {"type": "array", "items": text},
        "threshold": {"type": ["number", "null"]},
        "metrics": {"type": "object"},
    }
    by_task = {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Model"}}
    either = {"anyOf": [{"$ref": "#/components/schemas/Reading"}, {"$ref": "#/components/schemas/Error"}]}
    said = ("digits", "class")
    return {
        "Error": _object({"error": _object({"code": {"type": "string", "enum": list(KINDS)}, "message": text})}),
        "Slot": _object(slot, optional=("probabilities",)),
        "Reading": _object({"task": text, **reading}, optional=said),
        "Answer": _object({**reading, "model": {"$ref": "#/components/schemas/Model"}}, optional=said),
        "Answers": _object({"answers": {"type": "array", "items": either}, "models": by_task}),
        "Model": _object(identity),
        "Info": _object({"models": {"type": "object", "additionalProperties": _object(model)}}),
    }
