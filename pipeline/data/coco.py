"""Digits with boxes in COCO's format: its document is checked, and the digits of each picture are put in order.

The format is that of Lin et al., "Microsoft COCO: Common Objects in Context" (2014), for the detection of objects: of
a document only `images`, `annotations` and `categories` are read, and of these only the keys named below.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.core.files import printable
from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT_NAMES
from pipeline.core.lines import LINE_SLOTS

MAX_BYTES = 1 << 25
"""Most bytes of a document: that of 10,000 pictures of five digits has half of it."""
MAX_FAULTS = 10
"""Faults that one message names."""
_OVERHANG = 1.0
"""Pixels by which a box may leave its picture, since tools round; it is cut there."""


@dataclass(frozen=True)
class Labelled:
    """What a document says of a picture.

    Attributes:
        file: its name, as given.
        size: height and width in pixels.
        digits: uint8 (n,), 0 to 9, in the order of the centres of their boxes along x.
        boxes: float32 (n, 4) in pixels x0, y0, x1, y1.
    """

    file: str
    size: tuple[int, int]
    digits: np.ndarray
    boxes: np.ndarray


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


class _Image(_Entry):
    id: int
    file_name: Annotated[str, Field(min_length=1)]
    width: Annotated[int, Field(ge=1, le=1 << 16)]
    height: Annotated[int, Field(ge=1, le=1 << 16)]


class _Category(_Entry):
    id: int
    name: str


class _Annotation(_Entry):
    image_id: int
    category_id: int
    bbox: Annotated[list[float], Field(min_length=4, max_length=4)]
    iscrowd: int = 0


class _Document(_Entry):
    images: Annotated[list[_Image], Field(min_length=1)]
    annotations: list[_Annotation]
    categories: list[_Category]


def parse(data: bytes, name: str) -> list[Labelled]:
    """Check a document and put the digits of each picture in order.

    Args:
        data: the file's bytes, JSON in UTF-8.
        name: what messages call the file.

    Returns:
        The pictures in the order of `images`; each has 1 to 10 digits.

    Raises:
        DataError: the bytes are not such a document; an id or a file is there twice; an annotation is of an unknown
            picture, of a category that is not one of 0 to 9, of a crowd, twice the same, or its box is empty or leaves
            the picture; a picture has no digits or more than 10. One message names up to `MAX_FAULTS`.
    """
    document = _document(data, name)
    faults = [
        *_repeated("images", "id", [image.id for image in document.images]),
        *_repeated("images", "file_name", [image.file_name for image in document.images]),
        *_repeated("categories", "id", [category.id for category in document.categories]),
    ]
    expect_none(faults, name)
    images = {image.id: image for image in document.images}
    categories = {category.id: category.name.strip() for category in document.categories}
    found: dict[int, list[_Annotation]] = defaultdict(list)
    seen: set[tuple[object, ...]] = set()
    faulty: set[int] = set()
    for index, annotation in enumerate(document.annotations):
        image = images.get(annotation.image_id)
        key = (annotation.image_id, annotation.category_id, *annotation.bbox)
        fault = _fault(annotation, image, categories)
        if not fault and key in seen:
            fault = "the same box and category twice, expected every digit once"
        seen.add(key)
        if fault:
            of = f" of {printable(image.file_name)}" if image else ""
            faults.append(f"annotations[{index}]{of}: {fault}")
            faulty.add(annotation.image_id)
        else:
            found[annotation.image_id].append(annotation)
    for index, image in enumerate(document.images):
        if not 1 <= len(found[image.id]) <= LINE_SLOTS and image.id not in faulty:
            faults.append(
                f"images[{index}] {printable(image.file_name)}: {len(found[image.id])} digits found, "
                f"expected 1 to {LINE_SLOTS}"
            )
    expect_none(faults, name)
    return [_labelled(image, found[image.id], categories) for image in document.images]


def expect_none(faults: Sequence[str], name: str) -> None:
    """Raise one error of one line for all faults of a file or a folder.

    Args:
        faults: each says where it is, what was found and what was expected.
        name: what messages call the file or the folder.

    Raises:
        DataError: there are faults; it names the first `MAX_FAULTS` and how many more there are.
    """
    if not faults:
        return
    more = [f"and {len(faults) - MAX_FAULTS:,} more"] if len(faults) > MAX_FAULTS else []
    counted = f"{len(faults):,} to correct: " if len(faults) > 1 else ""
    raise DataError(f"{name}: {counted}{'; '.join([*faults[:MAX_FAULTS], *more])}")


def _document(data: bytes, name: str) -> _Document:
    if len(data) > MAX_BYTES:
        raise DataError(f"{name}: {len(data):,} bytes found, expected at most {MAX_BYTES:,}")
    try:
        return _Document.model_validate_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        if errors[0]["type"] == "json_invalid":
            raise DataError(f"{name}: not a valid document ({errors[0]['msg']}); expected COCO's JSON") from None
        expect_none([f"{_path(each['loc'])}: {each['msg']}" for each in errors], name)
        raise


def _path(location: tuple[int | str, ...]) -> str:
    """Where in a document, as `annotations[3].bbox`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".") or "the document"


def _repeated(key: str, field: str, values: Sequence[int | str]) -> list[str]:
    return [
        f"{key}: {field} {printable(value)} {count} times, expected once"
        for value, count in Counter(values).items()
        if count > 1
    ]


def _fault(annotation: _Annotation, image: _Image | None, categories: Mapping[int, str]) -> str:
    """What is wrong with an annotation; "" if nothing is."""
    if image is None:
        return f"image_id {annotation.image_id} is not in images"
    if annotation.category_id not in categories:
        return f"category_id {annotation.category_id} is not in categories"
    if (category := categories[annotation.category_id]) not in DIGIT_NAMES:
        return f"category {category!r} found, expected 0 to 9"
    if annotation.iscrowd:
        return "iscrowd is set, expected a box for every digit"
    x, y, width, height = annotation.bbox
    if width <= 0 or height <= 0:
        return f"a box of {width:g}×{height:g} pixels found, expected both above 0"
    if min(x, y) < -_OVERHANG or x + width > image.width + _OVERHANG or y + height > image.height + _OVERHANG:
        corners = ", ".join(f"{value:g}" for value in (x, y, x + width, y + height))
        return f"the box {corners} leaves the picture of {image.width}×{image.height} pixels, expected it inside"
    x0, y0, x1, y1 = _corners(annotation, image)
    return "" if x0 < x1 and y0 < y1 else "nothing of the box is inside the picture, expected all of it"


def _corners(annotation: _Annotation, image: _Image) -> tuple[float, float, float, float]:
    x, y, width, height = annotation.bbox
    return max(x, 0.0), max(y, 0.0), min(x + width, float(image.width)), min(y + height, float(image.height))


def _labelled(image: _Image, annotations: Sequence[_Annotation], categories: Mapping[int, str]) -> Labelled:
    ordered = sorted(annotations, key=lambda each: (each.bbox[0] + each.bbox[2] / 2, each.bbox))
    return Labelled(
        image.file_name,
        (image.height, image.width),
        np.array([DIGIT_NAMES.index(categories[each.category_id]) for each in ordered], np.uint8),
        np.array([_corners(each, image) for each in ordered], np.float32).reshape(-1, 4),
    )
