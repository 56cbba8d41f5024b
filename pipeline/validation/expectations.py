"""What is expected of a data set, as expectations of Great Expectations over the tables of `table`."""

from collections.abc import Sequence

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.row_conditions import Column, RowConditionType

from pipeline.core.images import DIGIT, DIGIT_NAMES, INK, SCENE_SHAPE, STRIP_NAMES, STRIP_SHAPE
from pipeline.core.lines import LINE_SHAPE
from pipeline.validation.suite_spec import SuiteSpec
from pipeline.validation.table import Split, shape_text

SHAPES = {
    "strips": STRIP_SHAPE,
    "scenes": SCENE_SHAPE,
    "lines": LINE_SHAPE,
    "mnist": (DIGIT, DIGIT, 1),
    "cifar10": (32, 32, 3),
}
"""Height, width and channels of each task's pictures."""
CLEAR_SEAMS = 0.9
"""Share of unjittered strips without ink in the two columns at each seam. MNIST: 0.994 to 1. Digits that are one pixel
off their cells still pass; strips that were cut or joined in the wrong place have ink there nearly always."""
SIDES = (14, 42)
"""The longer side of a digit's box in a scene, in pixels. This bound and the next three are stated here as well as in
the composition: a check that asked the composition would agree with its mistakes."""
APART = 4
"""Pixels along x from the centre of a box in a scene to that of the next, at least."""
IOU = 0.15
"""Largest intersection over union of two boxes of a scene."""
SHARED = 0.3
"""Largest share of the smaller one that two boxes of a scene have in common."""
EMPTY = 0.05
"""Largest share of labelled pictures in which no line is found: with more, these are no pictures of one line each."""


def picture_expectations(splits: Sequence[Split], spec: SuiteSpec, origin: str) -> list[Expectation]:
    """What is expected of the table that `table.join` makes.

    Args:
        splits: of the suite; the shape and the classes of a folder of the user's own are those of the first.
        spec: the suite's specification.
        origin: of the pictures: `mnist`, `cifar10`, `embedded` or `folder:NAME`.
    """
    shape, names = _shape(splits[0], spec, origin), _class_names(splits[0], spec, origin)
    expected = [
        _each_in("shape", [shape], f"every picture is {shape}"),
        _each_in("dtype", ["uint8"], "every picture is uint8"),
        _each_in("classes", [" ".join(names)], f"the classes are {', '.join(names)}"),
        _each_in("origin", [origin], f"the origin of every picture is {origin}"),
        _each_between("minimum", 0, 255, "no pixel is below 0"),
        _each_between("maximum", 0, 255, "no pixel is above 255"),
        gxe.ExpectColumnMaxToBeBetween(
            column="maximum",
            min_value=INK,
            max_value=255,
            description=f"the brightest pixel is at least {INK}: the scale is 0 to 255, not 0 to 1",
        ),
    ]
    for slot, column in enumerate(spec.label_columns):
        allowed = spec.classes_of(slot, names)
        expected.append(_each_in(column, list(allowed), f"{column} is one of {', '.join(allowed)}"))
    expected += [_not_constant(split.name, spec) for split in splits]
    # CIFAR-10 itself may hold a picture twice, and strips with few digits are rarely all different.
    across, within = 0.0 if origin == "cifar10" else 1.0, 1.0 if spec.task == "scenes" else 0.0
    counted = "" if within else " (counted only)"
    expected += [
        _each_null("duplicate_across_splits", "no picture is in two splits", mostly=across),
        _each_null("duplicate_within_split", f"no picture is in its split twice{counted}", mostly=within),
        _each_null("source_fault", "every digit has the id of its source, and a blank has none"),
        _each_null("source_across_splits", "no source id is in two splits"),
    ]
    if spec.task == "strips":
        expected += _strip_expectations(spec, origin)
    if spec.task == "scenes":
        expected += _scene_expectations(spec)
    if spec.task == "lines":
        expected += _line_expectations(spec)
    return expected


def class_expectations(spec: SuiteSpec, origin: str) -> list[Expectation]:
    """What is expected of the table that `table.class_table` makes.

    Args:
        spec: the suite's specification.
        origin: of the pictures. The balance of the stand-in's classes and that of labelled pictures is reported, not
            enforced.
    """
    low, high = spec.class_share
    return [
        _each_between("count", 1, None, "every class is in every split", mostly=0.0 if spec.labelled else 1.0),
        _each_between(
            "share",
            low,
            high,
            "the share of every class in a split, relative to an even one, is within class_share",
            mostly=0.0 if origin == "embedded" or spec.labelled else 1.0,
        ),
    ]


def remedy(column: str, spec: SuiteSpec) -> str:
    """What to do where the expectation of a column fails."""
    if column == "share":
        low, high = spec.class_share
        return f"even out the classes, or widen validate.class_share, now [{low:g}, {high:g}], in params.yaml"
    if column == "deviation":
        return f"replace these pictures, or raise validate.constant_share, now {spec.constant_share:g}, in params.yaml"
    return "fix the source and run again"


def _shape(first: Split, spec: SuiteSpec, origin: str) -> str:
    # A folder of the user's own has its own size where nothing is composed of it.
    if origin.startswith("folder:") and spec.task == "cifar10" and len(first.pictures):
        return str(first.pictures["shape"].iloc[0])
    return shape_text(SHAPES[spec.task])


def _class_names(first: Split, spec: SuiteSpec, origin: str) -> tuple[str, ...]:
    if spec.digits:
        return STRIP_NAMES
    # A folder of the user's own has its own classes.
    if spec.task == "mnist" and not origin.startswith("folder:"):
        return DIGIT_NAMES
    return first.class_names


def _strip_expectations(spec: SuiteSpec, origin: str) -> list[Expectation]:
    expected = [
        _digit_count(spec, "strip"),
        _each_null(
            "box_fault", "every digit has a box in the picture, in the order of the slots, and a blank has none"
        ),
        _each_between("min_box_ink", 1, None, "there is ink in every box"),
    ]
    if not spec.clutter:
        expected.append(_each_between("stray_ink", 0, 0, "there is no ink outside the boxes"))
    if not spec.jitter:
        expected.append(_each_null("cell_fault", f"every box is in the {DIGIT} columns of its slot"))
    if not spec.jitter and not spec.clutter:
        # The digits of other origins may reach the edge of their cells.
        clear = CLEAR_SEAMS if origin == "mnist" else 0.0
        expected += [
            _each_between("blank_ink", 0, 0, "there is no ink in the columns of a blank slot"),
            _each_between("seam_ink", 0, 0, f"at least {clear:g} of the strips have no ink at the seams", mostly=clear),
        ]
    return expected


def _scene_expectations(spec: SuiteSpec) -> list[Expectation]:
    smallest, largest = SIDES
    # These hold for what is composed. People draw boxes loosely, around digits of any size that touch.
    composed = 0.0 if spec.labelled else 1.0
    counted = " (counted only)" if spec.labelled else ""
    return [
        _digit_count(spec, "scene"),
        _each_null("box_fault", "every digit has a box in the picture, unused slots come last and have none"),
        _each_between("min_box_ink", 1, None, "there is ink in every box"),
        _each_between("bare_sides", 0, 0, f"there is ink along every side of every box{counted}", mostly=composed),
        _each_between(
            "min_side",
            smallest,
            None,
            f"the longer side of every box is at least {smallest} px{counted}",
            mostly=composed,
        ),
        _each_between(
            "max_side",
            None,
            largest,
            f"the longer side of every box is at most {largest} px{counted}",
            mostly=composed,
        ),
        _each_between(
            "min_x_distance", APART, None, f"the centre of every box is at least {APART} px right of the previous one"
        ),
        _each_between("max_iou", 0, IOU, f"two boxes have an IoU of at most {IOU:g}{counted}", mostly=composed),
        _each_between(
            "max_overlap",
            0,
            SHARED,
            f"two boxes have at most {SHARED:g} of the smaller one in common{counted}",
            mostly=composed,
        ),
    ]


def _line_expectations(spec: SuiteSpec) -> list[Expectation]:
    # What ingestion does not find in a labelled picture, no box shows.
    all_boxes = 0.0 if spec.labelled else 1.0
    counted = " (counted only)" if spec.labelled else ""
    return [
        _digit_count(spec, "line"),
        _each_null("box_fault", "boxes are in the picture and in reading order, unused slots come last and have none"),
        _each_null("missing_box", f"every digit has a box{counted}", mostly=all_boxes),
        _each_between("min_box_ink", 1, None, f"there is ink in every box{counted}", mostly=all_boxes),
    ]


def _digit_count(spec: SuiteSpec, noun: str) -> Expectation:
    assert spec.digits is not None, "strips, scenes and lines hold digits"
    fewest, most = spec.digits
    return _each_between("digits", fewest, most, f"a {noun} holds {fewest} to {most} digits")


def _not_constant(split: str, spec: SuiteSpec) -> Expectation:
    of_split = Column("split") == split
    # A strip without digits is constant, and allowed where `digits` includes 0.
    condition: RowConditionType = of_split & (Column("digits") > 0) if spec.digits else of_split
    if spec.labelled and spec.task == "lines":
        description = f"a line was found in at least {1 - EMPTY:.0%} of the {split} pictures"
        share = max(EMPTY, spec.constant_share)
    else:
        description, share = f"at most constant_share of the {split} pictures are constant", spec.constant_share
    return gxe.ExpectColumnValuesToBeBetween(
        column="deviation",
        min_value=0,
        strict_min=True,
        mostly=1 - share,
        row_condition=condition,
        description=description,
    )


def _each_in(column: str, values: list[str], description: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values, description=description)


def _each_between(
    column: str, low: float | None, high: float | None, description: str, mostly: float = 1.0
) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, mostly=mostly, description=description
    )


def _each_null(column: str, description: str, mostly: float = 1.0) -> Expectation:
    return gxe.ExpectColumnValuesToBeNull(column=column, mostly=mostly, description=description)
