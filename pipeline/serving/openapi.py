"""The OpenAPI document: every path, every status and the one form of error, with this process's limits and models.

The schemas are those of `pipeline.records.answer`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from pipeline.records import answer
from pipeline.records.answer import ErrorCode
from pipeline.records.base import Record
from pipeline.records.manifest import Manifest
from pipeline.records.token import Scope
from pipeline.runtime.answers import select
from pipeline.runtime.pages import LINES, known_shapes
from pipeline.scheduling.errors import KINDS
from pipeline.scheduling.limits import Limits

Document = dict[str, Any]
_JSON = "application/json"
_REFERENCE = "#/components/schemas/{model}"
_ANY_POST: tuple[ErrorCode, ...] = (
    "bad_request",
    "body_too_large",
    "too_slow",
    "unsupported_content_type",
    "unsupported_encoding",
    "bad_host",
    "bad_http",
    "head_too_large",
    "internal",
    "overloaded",
    "stopping",
)
_PICTURE: tuple[ErrorCode, ...] = ("empty", "not_a_picture", "damaged", "too_many_pixels", "unsupported_format")
_ONE: tuple[ErrorCode, ...] = (*_PICTURE, "wrong_size", "wrong_array")
_MANY: tuple[ErrorCode, ...] = ("empty", "damaged", "bad_json", "too_many_pictures", "wrong_array", "bad_query")
_ACCESS: tuple[ErrorCode, ...] = ("unauthorized", "forbidden", "too_many_requests")
_MODELS: tuple[type[Record], ...] = (
    answer.PictureAnswer,
    answer.Answer,
    answer.Answers,
    answer.Comparison,
    answer.Features,
    answer.Info,
    answer.Error,
)
_FILE: Document = {"type": "string", "format": "binary"}
_PIXEL: Document = {"type": "integer", "minimum": 0, "maximum": 255}


def document(
    manifests: Mapping[str, Manifest],
    limits: Limits,
    scopes: Mapping[str, Scope] | None = None,
    *,
    feedback: bool = False,
) -> Document:
    """Describe what is served.

    Args:
        manifests: of the models, by task.
        limits: of this process.
        scopes: by path, the scope that a token needs for it; None where nobody needs one.
        feedback: whether it takes what people say of answers.
    """
    described = _document(manifests, limits)
    if feedback:
        described["paths"]["/feedback"] = {"post": _feedback(limits)}
        described["components"]["schemas"] |= _schemas(answer.FeedbackRequest, answer.Feedback)
    if scopes is None:
        return described
    errors = [_error([code]) for code in _ACCESS]
    for path in scopes.keys() & described["paths"].keys():
        for operation in described["paths"][path].values():
            operation["security"] = [{"token": []}]
            operation["responses"] |= dict(zip((str(KINDS[code].status) for code in _ACCESS), errors, strict=True))
    described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return described


def _document(manifests: Mapping[str, Manifest], limits: Limits) -> Document:
    known = [manifests[task] for task in known_shapes(manifests)]
    digits, classes = (select(known, digits=wanted) for wanted in (True, False))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "reader",
            "version": "1",
            "description": (
                "Reads handwritten numbers in pictures of any size, and digits that are isolated, in strips or in "
                "scenes; classifies CIFAR-10."
            ),
        },
        "paths": {
            "/read": {"post": _read(manifests, limits)},
            "/read_many": {"post": _many("The digits of many pictures, in their order", digits, limits)},
            "/classify": {"post": _classify(classes)},
            "/classify_many": {"post": _many("The classes of many CIFAR-10 pictures, in their order", classes, limits)},
            "/compare": {"post": _compare(manifests, limits)},
            "/features": {"post": _features(limits)},
            "/info": {"get": _operation("Every model that is served", _success("Info"), ())},
            "/livez": {"get": _operation("Whether the process lives", _text("it lives"), ())},
            "/healthz": {"get": _operation("The same as /livez", _text("it lives"), ())},
            "/readyz": {"get": _operation("Whether it takes requests", _text("it does"), ("stopping",))},
            "/metrics": {"get": _operation("Prometheus counters and histograms", _text("of all workers together"), ())},
            "/openapi.json": {"get": _operation("This document", _success(None), ())},
            "/docs": {"get": _operation("This document as a page (Swagger UI)", _text("the page", "text/html"), ())},
            "/schema.json": {"get": _operation("What BentoML's clients look up", _success(None), ())},
            "/": {
                "get": _operation(
                    "The page to draw on, for clients that accept text/html; others are redirected to /info",
                    {
                        **_text("the page", "text/html"),
                        "307": {"description": "see /info", "headers": _location()},
                    },
                    (),
                )
            },
        },
        "components": {"schemas": _schemas(*_MODELS)},
    }


def bentoml_schema() -> Document:
    """What `bentoml.SyncHTTPClient` has to know to call the four endpoints, in BentoML's own form."""
    file: Document = {"type": "file", "format": "binary"}
    inputs: dict[str, Document] = {"picture": file, "pictures": {"type": "array", "items": file}}
    routes = {"read": "picture", "read_many": "pictures", "classify": "picture", "classify_many": "pictures"}
    return {
        "name": "reader",
        "type": "service",
        "routes": [
            {
                "name": name,
                "route": f"/{name}",
                "batchable": False,
                "input": {"type": "object", "properties": {field: inputs[field]}, "required": [field]},
                "output": {"type": "object", "additionalProperties": True},
                "is_task": False,
            }
            for name, field in routes.items()
        ],
    }


def _read(manifests: Mapping[str, Manifest], limits: Limits) -> Document:
    known = [manifest for task, manifest in manifests.items() if task != LINES]
    sizes = f"A picture of {_sizes(known)} is read by the model of its size, as it is. " if known else ""
    any_size = (
        f"A picture of any size, in at most {limits.picture_bytes:,} bytes: its lines of writing are found, and the "
        "model of lines reads each of them. Ink may be dark or light. "
        if LINES in manifests
        else "Pictures of other sizes are rejected: no model of lines is packaged. "
    )
    task = {
        "name": "task",
        "in": "query",
        "description": "whose model reads the picture; without it the size of the picture says so",
        "schema": {"type": "string", "enum": sorted(manifests)},
    }
    fit = {
        "name": "fit",
        "in": "query",
        "description": (
            "whether a picture of any size is brought to the model of `task`, instead of being rejected; without a "
            "task it has no effect"
        ),
        "schema": {"type": "boolean", "default": False},
    }
    codes = (*_ANY_POST, *_ONE, "bad_query", "not_packaged", "timed_out")
    return {
        **_operation("The numbers in one picture, line by line", _success("PictureAnswer"), codes),
        "parameters": [task, fit],
        "requestBody": _picture(any_size + sizes),
    }


def _compare(manifests: Mapping[str, Manifest], limits: Limits) -> Document:
    task = {
        "name": "task",
        "in": "query",
        "required": True,
        "description": "whose strategies read the picture",
        "schema": {"type": "string", "enum": sorted(manifests)},
    }
    codes = (*_ANY_POST, *_ONE, "bad_query", "not_packaged", "timed_out")
    return {
        **_operation("One picture as every strategy of a task reads it", _success("Comparison"), codes),
        "parameters": [task],
        "requestBody": _picture(_any_size(limits)),
    }


def _features(limits: Limits) -> Document:
    codes = (*_ANY_POST, *_ONE, "not_packaged", "timed_out")
    return {
        **_operation("What the textbook net makes of one digit, layer by layer", _success("Features"), codes),
        "requestBody": _picture(_any_size(limits)),
    }


def _feedback(limits: Limits) -> Document:
    codes = (
        *_ANY_POST,
        *_PICTURE,
        "bad_json",
        "bad_feedback",
        "not_packaged",
        "timed_out",
        "feedback_full",
    )
    content = {_JSON: {"schema": {"$ref": "#/components/schemas/FeedbackRequest"}}}
    description = f"One answer, and what is right; with its picture, of at most {limits.picture_bytes:,} bytes."
    return {
        **_operation("What a person says of one answer", _success("Feedback"), codes),
        "requestBody": {"description": description, "required": True, "content": content},
    }


def _any_size(limits: Limits) -> str:
    return f"A picture of any size, in at most {limits.picture_bytes:,} bytes, is brought to the models. "


def _classify(manifests: Sequence[Manifest]) -> Document:
    codes = (*_ANY_POST, *_ONE, *_missing(manifests), "timed_out")
    return {
        **_operation("The class of one CIFAR-10 picture", _success("Answer"), codes),
        "requestBody": _picture(f"A picture of {_sizes(manifests)}. "),
    }


def _picture(description: str) -> Document:
    """One picture as a body or in a form."""
    form = {"type": "object", "properties": {"picture": _FILE}, "required": ["picture"]}
    return {
        "description": (
            f"{description}PNG or JPEG, recognised by its content, as the body or as the one file of a form, whatever "
            "its field is called. With the header X-Shape, a body of type application/octet-stream is raw uint8 pixels."
        ),
        "required": True,
        "content": {
            "image/png": {"schema": _FILE},
            "image/jpeg": {"schema": _FILE},
            "multipart/form-data": {"schema": form},
        },
    }


def _many(summary: str, manifests: Sequence[Manifest], limits: Limits) -> Document:
    arrays: list[Any] = [_pictures(manifest.shape, limits.json_pictures) for manifest in manifests]
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
        _JSON: {"schema": {"anyOf": arrays or [False]}},
    }
    description = (
        f"At most {limits.pictures:,} pictures in {limits.many_body_bytes:,} bytes (JSON: {limits.json_pictures} in "
        f"{limits.json_bytes:,}): PNG and JPEG files of a form; raw uint8 pixels whose shape, (n, height, width) or "
        "(n, height, width, channels), X-Shape gives; a .npy of uint8; or a JSON array. A file that cannot be read "
        "is an error in its place."
    )
    operation = _operation(summary, _success("Answers"), (*_ANY_POST, *_MANY, *_missing(manifests), "timed_out"))
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


def _missing(manifests: Sequence[Manifest]) -> tuple[ErrorCode, ...]:
    return () if manifests else ("not_packaged",)


def _sizes(manifests: Iterable[Manifest]) -> str:
    return "; ".join(_size(manifest) for manifest in manifests) or "no size: no model is packaged"


def _size(manifest: Manifest) -> str:
    height, width, _ = manifest.shape
    return f"{width}×{height} pixels (width×height)" + (f" or {height}×{width}" if height != width else "")


def _pictures(shape: tuple[int, int, int], most: int) -> Document:
    """A JSON array (n, height, width, channels); with one channel, (n, height, width) is valid, too.

    The sides are in the description alone: as `minItems` they would have validators count every row.
    """
    height, width, channels = shape
    pixel: Document = _PIXEL if channels == 1 else {"type": "array", "items": _PIXEL}
    rows = {"type": "array", "items": {"type": "array", "items": pixel}}
    sides = f"{height} rows of {width} pixels" + (f" of {channels} values" if channels > 1 else "")
    return {"type": "array", "minItems": 1, "maxItems": most, "items": rows, "description": f"pictures of {sides}"}


def _operation(summary: str, success: Document, codes: Iterable[ErrorCode]) -> Document:
    errors: dict[str, list[ErrorCode]] = {}
    for code in codes:
        errors.setdefault(str(KINDS[code].status), []).append(code)
    return {
        "summary": summary,
        "responses": {**success, **{status: _error(kinds) for status, kinds in sorted(errors.items())}},
    }


def _error(codes: Sequence[ErrorCode]) -> Document:
    response: Document = {
        "description": "; ".join(f"`{code}`: {KINDS[code].when}" for code in codes),
        "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if any(KINDS[code].retry for code in codes):
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "required": True}}
    return response


def _success(name: str | None) -> Document:
    schema = {"$ref": f"#/components/schemas/{name}"} if name else {"type": "object"}
    return {"200": {"description": "success", "content": {_JSON: {"schema": schema}}}}


def _text(description: str, kind: str = "text/plain") -> Document:
    return {"200": {"description": description, "content": {kind: {"schema": {"type": "string"}}}}}


def _location() -> Document:
    return {"Location": {"schema": {"type": "string"}, "required": True}}


def _schemas(*models: type[Record]) -> Document:
    _, document = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    return {name: _concise(schema) for name, schema in document["$defs"].items()}


def _concise(schema: Document) -> Document:
    """A schema without what Python says of it: generated titles, and the attributes below a docstring's first line."""
    kept = {key: value for key, value in schema.items() if key != "title"}
    kept["description"] = str(schema["description"]).partition("\n\n")[0]
    kept["properties"] = {
        name: {key: value for key, value in described.items() if key != "title"}
        for name, described in schema["properties"].items()
    }
    return kept
