"""What a data set must be before anything trains on it: a row a picture, checked by Great Expectations.

The checks themselves are Great Expectations' own; `pipeline.validation.table` computes the columns they need.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.row_conditions import Column

from pipeline.core.files import replacing, write_text
from pipeline.core.images import BLANK, DIGIT, DIGIT_NAMES, INK, SCENE_SHAPE, STRIP_NAMES, STRIP_SHAPE
from pipeline.validation.table import SLOTS_OF, Split, joined, shape_text

SHAPES = {"strips": STRIP_SHAPE, "scenes": SCENE_SHAPE, "mnist": (DIGIT, DIGIT, 1), "cifar10": (32, 32, 3)}
CLEAR_SEAMS = 0.9
"""Share of unjittered strips without ink in the two columns at each seam. MNIST: 0.994 to 1. Digits that were put one
pixel off their cells still pass; strips that were cut or joined in the wrong place have ink there nearly always."""
SIDES = (14, 42)
"""The longer side of a digit's box in a scene, in pixels. This bound and the next three are stated here as well as in
the composition: a check that asked the composition would agree with its mistakes."""
APART = 4
"""Pixels along x from the middle of a box in a scene to that of the next, at least."""
IOU = 0.15
"""What two boxes of a scene have in common is at most this share of their union,"""
SHARED = 0.3
"""and at most this share of the smaller one."""
_NAMED = 5
"""Failing rows that a report names; Data Docs name more."""
_REMEDY = "mend the source and run again"


@dataclass(frozen=True)
class Promise:
    """What params.yaml says of a suite.

    Attributes:
        suite: its name.
        task: `strips`, `scenes`, `mnist` or `cifar10`.
        class_share: lowest and highest share of a class in a split, as a multiple of its even share.
        constant_share: how many pictures of one value a split may hold, as a share.
        digits: fewest and most digits of a strip or scene; None for single pictures.
        jitter: the digits of a strip may leave their cells.
        clutter: there may be ink that belongs to no digit.
    """

    suite: str
    task: str
    class_share: tuple[float, float]
    constant_share: float
    digits: tuple[int, int] | None = None
    jitter: bool = False
    clutter: bool = False


@dataclass(frozen=True)
class Finding:
    """The outcome of one expectation.

    Attributes:
        table: `pictures` (a row a picture) or `classes` (a row a split and class).
        expectation: Great Expectations' name of its kind.
        column: the column it looks at.
        description: what was expected, as a statement.
        success: whether it holds.
        checked: rows it looked at.
        unexpected: rows that are not as expected; more than 0 with success where some are allowed.
        first: the first such rows, as `(row, value found)`.
        lowest: the column's lowest number in the table, or None.
        highest: its highest.
        remedy: what to do about a failure.
    """

    table: str
    expectation: str
    column: str
    description: str
    success: bool
    checked: int
    unexpected: int
    first: tuple[tuple[str, str], ...]
    lowest: float | None
    highest: float | None
    remedy: str

    def __str__(self) -> str:
        if not self.first:
            return f'"{self.description}": found {self.lowest:g} to {self.highest:g}'
        rows = ", ".join(f"{row} ({value})" for row, value in self.first)
        more = f" (+{self.unexpected - len(self.first)} more)" if self.unexpected > len(self.first) else ""
        unit = {"pictures": "pictures", "classes": "classes of a split"}[self.table]
        return f'"{self.description}": not so for {self.unexpected} of {self.checked} {unit}: {rows}{more}'


@dataclass(frozen=True)
class Report:
    """What a validation found, without times: equal data give equal reports.

    The bounds of params.yaml are not in it either, only in what a failure says: training depends on the report, and
    should not run again because a bound was moved that the data meet before and after.
    """

    promise: Promise
    origin: str
    splits: dict[str, Any]
    findings: tuple[Finding, ...]
    duplicates: dict[str, int]
    notes: tuple[str, ...]

    @property
    def success(self) -> bool:
        """Whether every expectation holds."""
        return all(finding.success for finding in self.findings)

    def complaint(self) -> str:
        """One line on what failed: the first failure with its rows, the others by name."""
        first, *others = [finding for finding in self.findings if not finding.success]
        also = "; also failed: " + ", ".join(f'"{other.description}"' for other in others) if others else ""
        return f"{self.promise.suite}: {first}; {first.remedy}{also}"

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "suite": self.promise.suite,
            "task": self.promise.task,
            "origin": self.origin,
            "success": self.success,
            "splits": self.splits,
            "expectations": [
                {key: value for key, value in asdict(finding).items() if key != "remedy"} for finding in self.findings
            ],
            "duplicates": self.duplicates,
            "notes": list(self.notes),
        }


def check(splits: Sequence[Split], promise: Promise, docs: Path) -> Report:
    """Hold the splits of a suite against its promise, and write Data Docs to the folder `docs`.

    Failures are in the report, not raised: the caller decides. Data Docs carry the time of the run.
    """
    pictures = joined(splits)
    origin = str(splits[0].pictures["origin"].iloc[0]) if len(splits[0].pictures) else "unknown"
    classes = _class_table(splits, promise)
    tables = {
        "pictures": (pictures, _picture_expectations(splits, promise, origin)),
        "classes": (classes, _class_expectations(promise, origin)),
    }
    findings = tuple(_run(tables, promise.suite, docs))
    duplicates = {
        "between_splits": int(pictures["twin_elsewhere"].notna().sum()),
        "inside_a_split": int(pictures["copy_of"].notna().sum()),
    }
    notes = [f"{finding}; allowed" for finding in findings if finding.success and finding.unexpected]
    if origin == "embedded":
        notes.append("the origin is the embedded stand-in: class balance is reported, not enforced")
    if origin == "cifar10":
        notes.append(
            "a picture that CIFAR-10 itself holds twice, under two ids, is reported, not refused: "
            f"{duplicates['between_splits']} found in two splits"
        )
    summary = {
        split.name: {
            "pictures": len(split.pictures),
            "sha256": split.sha256,
            "classes": classes.loc[classes["split"] == split.name].set_index("class")["count"].to_dict(),
        }
        for split in splits
    }
    return Report(promise, origin, summary, findings, duplicates, tuple(notes))


def _picture_expectations(splits: Sequence[Split], promise: Promise, origin: str) -> list[Expectation]:
    first = splits[0]
    of_folder = origin.startswith("folder:")
    # A folder of the user's own brings its own classes, and where nothing is composed of it, its own size.
    shape = shape_text(SHAPES[promise.task])
    if of_folder and promise.task == "cifar10" and len(first.pictures):
        shape = first.pictures["shape"].iloc[0]
    names = {**dict.fromkeys(SLOTS_OF, STRIP_NAMES), "mnist": DIGIT_NAMES}.get(promise.task, first.class_names)
    if of_folder and promise.task == "mnist":
        names = first.class_names
    expected = [
        _each_in("shape", [shape], f"every picture is {shape}"),
        _each_in("dtype", ["uint8"], "every picture is uint8"),
        _each_in("classes", [" ".join(names)], f"the classes are {', '.join(names)}"),
        _each_in("origin", [origin], f"every picture is of the origin {origin}"),
        _each_between("minimum", 0, 255, "no pixel is below 0"),
        _each_between("maximum", 0, 255, "no pixel is above 255"),
        gxe.ExpectColumnMaxToBeBetween(
            column="maximum",
            min_value=INK,
            max_value=255,
            description=f"the brightest pixel is at least {INK}: the scale is 0 to 255, not 0 to 1",
        ),
    ]
    for slot, column in enumerate(_label_columns(promise)):
        lawful = _lawful_classes(promise, names)
        # A scene's unused slots are its last.
        if promise.task == "scenes" and slot < promise.digits[0]:
            lawful = DIGIT_NAMES
        expected.append(_each_in(column, list(lawful), f"{column} is one of {', '.join(lawful)}"))
    for split in splits:
        expected.append(_not_constant(split.name, promise))
    expected += [
        _each_null("twin_elsewhere", "no picture stands in two splits", mostly=0.0 if origin == "cifar10" else 1.0),
        _each_null("copy_of", "no picture stands in its split twice")
        if promise.task == "scenes"
        else _each_null("copy_of", "no picture stands in its split twice (counted only)", mostly=0.0),
        _each_null("source_fault", "every digit has the id of its source, and a blank has none"),
        _each_null("source_elsewhere", "no source id stands in two splits"),
    ]
    if promise.task == "strips":
        expected += _strip_expectations(promise, origin)
    if promise.task == "scenes":
        expected += _scene_expectations(promise)
    return expected


def _strip_expectations(promise: Promise, origin: str) -> list[Expectation]:
    fewest, most = promise.digits
    expected = [
        _each_between("digits", fewest, most, f"a strip holds {fewest} to {most} digits"),
        _each_null(
            "box_fault", "every digit has a box in the picture, in the order of the slots, and a blank has none"
        ),
        _each_between("least_box_ink", 1, None, "there is ink in every box"),
    ]
    if not promise.clutter:
        expected.append(_each_between("stray_ink", 0, 0, "there is no ink outside the boxes"))
    if not promise.jitter:
        expected.append(_each_null("cell_fault", f"every box lies in its slot's own {DIGIT} columns"))
    if not promise.jitter and not promise.clutter:
        # The digits of other origins may reach the edge of their cells.
        clear = CLEAR_SEAMS if origin == "mnist" else 0.0
        expected += [
            _each_between("blank_ink", 0, 0, "there is no ink in the columns of a blank slot"),
            _each_between("seam_ink", 0, 0, f"at least {clear:g} of the strips have no ink at the seams", mostly=clear),
        ]
    return expected


def _scene_expectations(promise: Promise) -> list[Expectation]:
    fewest, most = promise.digits
    smallest, largest = SIDES
    return [
        _each_between("digits", fewest, most, f"a scene holds {fewest} to {most} digits"),
        _each_null("box_fault", "every digit has a box in the picture, unused slots come last and have none"),
        _each_between("least_box_ink", 1, None, "there is ink in every box"),
        _each_between("bare_sides", 0, 0, "there is ink along every side of every box"),
        _each_between("least_side", smallest, None, f"the longer side of every box is at least {smallest} px"),
        _each_between("greatest_side", None, largest, f"the longer side of every box is at most {largest} px"),
        _each_between(
            "least_apart", APART, None, f"the middle of every box is at least {APART} px right of the one before"
        ),
        _each_between("greatest_iou", 0, IOU, f"two boxes have an IoU of at most {IOU:g}"),
        _each_between("greatest_shared", 0, SHARED, f"two boxes share at most {SHARED:g} of the smaller one"),
    ]


def _class_expectations(promise: Promise, origin: str) -> list[Expectation]:
    low, high = promise.class_share
    return [
        _each_between("count", 1, None, "every class is in every split"),
        _each_between(
            "share",
            low,
            high,
            "every class has its even share of a split, within class_share",
            mostly=0.0 if origin == "embedded" else 1.0,
            remedy=f"even out the classes, or widen validate.class_share, now [{low:g}, {high:g}], in params.yaml",
        ),
    ]


def _not_constant(split: str, promise: Promise) -> Expectation:
    condition = Column("split") == split
    # A strip without digits is one value, and lawful where `digits` says so.
    if promise.digits:
        condition = condition & (Column("digits") > 0)
    return gxe.ExpectColumnValuesToBeBetween(
        column="deviation",
        min_value=0,
        strict_min=True,
        mostly=1 - promise.constant_share,
        row_condition=condition,
        description=f"no more of the {split} pictures than constant_share are of one value",
        meta={
            "remedy": f"replace these pictures, or raise validate.constant_share, now {promise.constant_share:g}, "
            "in params.yaml"
        },
    )


def _each_in(column: str, values: list[str], description: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values, description=description)


def _each_between(
    column: str, low: float | None, high: float | None, description: str, mostly: float = 1.0, remedy: str = _REMEDY
) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, mostly=mostly, description=description, meta={"remedy": remedy}
    )


def _each_null(column: str, description: str, mostly: float = 1.0) -> Expectation:
    return gxe.ExpectColumnValuesToBeNull(column=column, mostly=mostly, description=description)


def _run(tables: dict[str, tuple[pd.DataFrame, list[Expectation]]], suite: str, docs: Path) -> list[Finding]:
    findings = []
    with replacing(docs) as folder:
        context = _context(folder)
        source = context.data_sources.add_pandas(suite)
        for table, (frame, expected) in tables.items():
            batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
            checks = context.suites.add(gx.ExpectationSuite(f"{suite}-{table}", expectations=expected))
            validation = context.validation_definitions.add(
                gx.ValidationDefinition(name=f"{suite}-{table}", data=batch, suite=checks)
            )
            # Without index columns the result names rows by the frame's own labels, which is 20 times faster.
            outcome = validation.run(
                batch_parameters={"dataframe": frame},
                result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
                run_id=RunIdentifier(run_name=suite),
            )
            findings += [_finding(table, frame, result) for result in outcome.results]
        context.build_data_docs(site_names=["pages"])
        _make_readable_offline(folder)
    return findings


def _context(folder: Path) -> gx.data_context.EphemeralDataContext:
    """A context in memory: it leaves no `gx/` behind, reports to nobody, and writes its pages to `folder`."""
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={"pages": site},
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _finding(table: str, frame: pd.DataFrame, outcome: Any) -> Finding:
    if outcome.exception_info.get("raised_exception"):
        raise RuntimeError(f"{outcome.expectation_config.type}: {outcome.exception_info['exception_message']}")
    wanted, result = outcome.expectation_config, outcome.result
    column = wanted.kwargs["column"]
    found = frame[column]
    numbers = found.dropna() if pd.api.types.is_numeric_dtype(found) else found.iloc[:0]
    rows = list(result.get("unexpected_index_list") or [])
    return Finding(
        table=table,
        expectation=wanted.type,
        column=column,
        description=wanted.description,
        success=bool(outcome.success),
        checked=int(result.get("element_count", len(frame))),
        unexpected=int(result.get("unexpected_count", 0)),
        first=tuple((str(row), _text(found.at[row])) for row in rows[:_NAMED]),
        lowest=float(numbers.min()) if len(numbers) else None,
        highest=float(numbers.max()) if len(numbers) else None,
        remedy=(wanted.meta or {}).get("remedy", _REMEDY),
    )


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _label_columns(promise: Promise) -> list[str]:
    if promise.task not in SLOTS_OF:
        return ["label"]
    return [f"slot_{slot + 1}" for slot in range(SLOTS_OF[promise.task])]


def _lawful_classes(promise: Promise, names: tuple[str, ...]) -> tuple[str, ...]:
    if promise.task not in SLOTS_OF:
        return names
    return STRIP_NAMES if promise.digits[0] < SLOTS_OF[promise.task] else DIGIT_NAMES


def _class_table(splits: Sequence[Split], promise: Promise) -> pd.DataFrame:
    """A row a split and class: `split, class, count, share`; `share` is a multiple of the even one, NaN for blanks."""
    parts = []
    for split in splits:
        labels = split.pictures.reindex(columns=_label_columns(promise)).to_numpy(object).ravel()
        names = _lawful_classes(promise, split.class_names)
        count = pd.Series(labels).value_counts().reindex(names, fill_value=0).astype(int)
        balanced = [name for name in names if not (promise.digits and name == STRIP_NAMES[BLANK])]
        total = max(int(count[balanced].sum()), 1)
        share = (count[balanced] / total * len(balanced)).reindex(names)
        parts.append(
            pd.DataFrame({"split": split.name, "class": names, "count": count.to_numpy(), "share": share.to_numpy()})
        )
    table = pd.concat(parts, ignore_index=True)
    return table.set_axis(table["split"] + " class " + table["class"], axis=0)


# Data Docs take their looks, their icons and the table of the first page from the net. This much makes them readable
# without, and what the net brings later in the page overrides it.
_LOOKS = r"""<style>
body { font-family: sans-serif; padding: 0 1rem; }
td, th { border: 1px solid #ccc; padding: .25rem .6rem; text-align: left; vertical-align: top; }
table { border-collapse: collapse; }
.fa-check-circle::before { content: "\2713"; color: #1a7f37; }
.fa-times::before { content: "\2717"; color: #c0392b; }
</style>"""
_LOGO = re.compile(r'https://[^"\']*/logo-long\.png[^"\']*')


def _make_readable_offline(folder: Path) -> None:
    results = sorted(page.relative_to(folder).as_posix() for page in folder.glob("validations/**/*.html"))
    links = "".join(f'<li><a href="{page}">{page.split("/")[1]}</a></li>' for page in results)
    for page in folder.rglob("*.html"):
        # The logo would be asked for, with the time, whenever someone opens the page; a copy lies in the folder.
        logo = os.path.relpath(folder / "static/images/logo-long.png", page.parent)
        text = _LOGO.sub(logo, page.read_text(encoding="utf-8")).replace("</title>", f"</title>{_LOOKS}", 1)
        if page == folder / "index.html":
            text = text.replace("<body>", f"<body><p>Results, as plain links:</p><ul>{links}</ul>", 1)
        write_text(page, text)
