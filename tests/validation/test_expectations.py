"""Every expectation, met and broken, on tiny sets; a broken one must name its rows."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import DIGIT_NAMES, SPLITS, ImageSet
from pipeline.data import scenes
from pipeline.data import strips as strip_data
from pipeline.validation import expectations, table
from stages import validate

ROOT = Path(__file__).parents[2]
PER_SPLIT = 60
STRIPS = {
    "plain": {"digits": (5, 5)},
    "blanks": {"digits": (0, 5)},
    "jitter": {"digits": (5, 5), "jitter": True},
    "clutter": {"digits": (5, 5), "jitter": True, "clutter": True},
}


def singles(shape: tuple[int, int, int] = (28, 28, 1), origin: str = "mnist") -> dict[str, ImageSet]:
    """Four splits of noise in a frame of black, the classes evenly spread, every id used once."""
    rng = np.random.default_rng(3)
    splits = {}
    for number, split in enumerate(SPLITS):
        images = np.zeros((PER_SPLIT, *shape), np.uint8)
        images[:, 5:-5, 5:-5] = rng.integers(1, 256, images[:, 5:-5, 5:-5].shape)
        splits[split] = ImageSet(
            images=images,
            labels=(np.arange(PER_SPLIT, dtype=np.uint8) % 10)[:, None],
            class_names=DIGIT_NAMES,
            origin=origin,
            sources=np.arange(PER_SPLIT, dtype=np.int32)[:, None] + 1000 * number,
        )
    return splits


def strips(suite: str, origin: str = "mnist") -> dict[str, ImageSet]:
    settings = {"jitter": False, "clutter": False} | STRIPS[suite]
    fewest, most = settings.pop("digits")
    return {
        split: strip_data.compose(pictures, rounds=4, fewest=fewest, most=most, seed=number, **settings)
        for number, (split, pictures) in enumerate(singles(origin=origin).items())
    }


def pictures_of_scenes() -> dict[str, ImageSet]:
    return {
        split: scenes.compose(pictures, rounds=4, fewest=1, most=8, clutter=True, seed=number)
        for number, (split, pictures) in enumerate(singles().items())
    }


def promise(suite: str, **changes) -> expectations.Promise:
    task = "strips" if suite in STRIPS else suite
    digits = {"digits": (1, 8), "clutter": True} if suite == "scenes" else {}
    settings = {"class_share": (0.4, 2.0), "constant_share": 0.0} | digits | STRIPS.get(suite, {}) | changes
    return expectations.Promise(suite=suite, task=task, **settings)


def checked(splits: dict[str, ImageSet], promised: expectations.Promise, docs: Path) -> expectations.Report:
    tables = [table.tabulate(split, pictures, promised.task) for split, pictures in splits.items()]
    return expectations.check(tables, promised, docs)


def broken(report: expectations.Report) -> dict[str, list[tuple[str, str]]]:
    """The failed findings as `{column: rows and values}`."""
    return {finding.column: list(finding.first) for finding in report.findings if not finding.success}


@pytest.mark.parametrize("suite", ["mnist", "cifar10", "scenes", *STRIPS])
def test_sound_data_meets_every_expectation(suite, tmp_path):
    if suite in STRIPS:
        splits = strips(suite)
    elif suite == "scenes":
        splits = pictures_of_scenes()
    else:
        splits = singles((32, 32, 3) if suite == "cifar10" else (28, 28, 1))
    report = checked(splits, promise(suite), tmp_path / "docs")
    assert broken(report) == {}
    assert report.success
    assert report.splits["gate"]["pictures"] == len(splits["gate"])


def test_each_broken_rule_names_its_rows(tmp_path):
    splits = singles()
    splits["train"].images[[3, 8]] = 77
    splits["valid"].images[2] = splits["train"].images[5]
    splits["test"].images[4] = splits["test"].images[6]
    splits["gate"].sources[1] = splits["train"].sources[0]
    splits["test"].sources[9] = -1
    splits["valid"].labels[splits["valid"].labels == 7] = 1
    report = checked(splits, promise("mnist", class_share=(0.5, 1.9)), tmp_path / "docs")

    assert broken(report) == {
        "deviation": [("train row 3", "0"), ("train row 8", "0")],
        "twin_elsewhere": [("train row 5", "valid row 2"), ("valid row 2", "train row 5")],
        "source_fault": [("test row 9", "slot 1: a picture without an id")],
        "source_elsewhere": [
            ("train row 0", "id 0, also in gate row 1"),
            ("gate row 1", "id 0, also in train row 0"),
        ],
        "count": [("valid class 7", "0")],
        "share": [("valid class 1", "2"), ("valid class 7", "0")],
    }
    # The two constant pictures are copies of each other; copies inside a split are counted, not refused.
    assert report.duplicates == {"between_splits": 2, "inside_a_split": 2}
    assert not report.success
    line = report.complaint()
    assert line.startswith(
        'mnist: "no more of the train pictures than constant_share are of one value": not so for 2 of 60 pictures: '
        "train row 3 (0), train row 8 (0); replace these pictures, or raise validate.constant_share, now 0, "
        "in params.yaml"
    )
    assert '"every class is in every split"' in line
    assert "\n" not in line


def test_each_broken_rule_of_strips_names_its_rows(tmp_path):
    splits = strips("blanks")
    train = splits["train"]
    blank_at = {
        row: int(np.flatnonzero(train.labels[row] == 10)[0]) for row in range(len(train)) if 10 in train.labels[row]
    }
    digit_at = {
        row: int(np.flatnonzero(train.labels[row] < 10)[0]) for row in range(len(train)) if train.labels[row].min() < 10
    }
    mixed = [row for row in blank_at if row in digit_at]
    pairs = [row for row in digit_at if (train.labels[row] < 10).sum() == 5]
    inked, unboxed, ghost, outside, reversed_ = *mixed[:4], pairs[0]
    assert len({inked, unboxed, ghost, outside, reversed_}) == 5
    train.images[inked, 3:5, 28 * blank_at[inked] + 6] = 200
    train.boxes[unboxed, digit_at[unboxed]] = 0
    train.boxes[ghost, blank_at[ghost]] = (28 * blank_at[ghost], 0, 28 * blank_at[ghost] + 3, 3)
    train.boxes[outside, digit_at[outside], 3] = 29
    train.boxes[reversed_, [0, 1]] = train.boxes[reversed_, [1, 0]]
    found = broken(checked(splits, promise("blanks"), tmp_path / "docs"))

    assert dict(found["box_fault"]) == {
        f"train row {unboxed}": f"slot {digit_at[unboxed] + 1}: a digit without a box",
        f"train row {ghost}": f"slot {blank_at[ghost] + 1}: a blank with a box",
        f"train row {outside}": f"slot {digit_at[outside] + 1}: a box that leaves the picture",
        f"train row {reversed_}": "slot 2: a box left of the one before",
    }
    assert found["cell_fault"] == [(f"train row {reversed_}", "slot 1: a box outside its cell")]
    assert found["blank_ink"] == [(f"train row {inked}", "2")]
    assert {row for row, _ in found["stray_ink"]} == {f"train row {inked}", f"train row {unboxed}"}
    assert [row for row, _ in found["least_box_ink"]] == [f"train row {unboxed}"]
    assert set(found) == {"box_fault", "cell_fault", "blank_ink", "stray_ink", "least_box_ink"}


def laid(pictures: ImageSet, row: int, boxes: list[tuple[int, int, int, int]]) -> None:
    """Replace a scene by one of filled boxes, in this order, whose ids are of the same split."""
    pictures.images[row] = 0
    for x0, y0, x1, y1 in boxes:
        pictures.images[row, y0:y1, x0:x1] = 200
    pictures.boxes[row] = 0
    pictures.boxes[row, : len(boxes)] = boxes
    pictures.labels[row] = 10
    pictures.labels[row, : len(boxes)] = row % 10
    some = pictures.sources[pictures.sources >= 0][0]
    pictures.sources[row] = -1
    pictures.sources[row, : len(boxes)] = some


def resized(*box: int):
    def change(pictures: ImageSet, row: int) -> None:
        pictures.boxes[row, 0] = box

    return change


def moved_to_the_third_slot(pictures: ImageSet, row: int) -> None:
    for array in (pictures.labels, pictures.boxes, pictures.sources):
        array[row, [1, 2]] = array[row, [2, 1]]


def boxed_blank(pictures: ImageSet, row: int) -> None:
    pictures.boxes[row, 7] = (0, 0, 20, 20)


def first_removed(pictures: ImageSet, row: int) -> None:
    pictures.labels[row, 0], pictures.boxes[row, 0], pictures.sources[row, 0] = 10, 0, -1


ONE = [(40, 40, 60, 70)]
TWO = [(10, 10, 30, 40), (60, 10, 80, 40)]
"""Sound scenes of one digit and of two."""
BROKEN_SCENES = [
    (ONE, None, {}),
    (TWO, None, {}),
    ([(10, 10, 20, 23)], None, {"least_side": "13"}),
    ([(10, 10, 20, 24)], None, {}),
    ([(10, 10, 30, 53)], None, {"greatest_side": "43"}),
    ([(10, 10, 30, 52)], None, {}),
    ([(10, 10, 30, 40), (13, 60, 33, 90)], None, {"least_apart": "3"}),
    ([(10, 10, 30, 40), (14, 60, 34, 90)], None, {}),
    (TWO[::-1], None, {"least_apart": "-50"}),
    # 7 of 25 columns: 0.28 of each box, and 210 of 1290 pixels of both.
    ([(10, 10, 35, 40), (28, 10, 53, 40)], None, {"greatest_iou": "0.1628"}),
    ([(10, 10, 35, 40), (29, 10, 54, 40)], None, {}),
    # 5 of 14 columns of the small one, little of both.
    ([(10, 10, 50, 50), (45, 20, 59, 34)], None, {"greatest_shared": "0.3571"}),
    ([(10, 10, 50, 50), (46, 20, 60, 34)], None, {}),
    (ONE, resized(39, 40, 60, 70), {"bare_sides": "1"}),
    (ONE, resized(39, 39, 61, 71), {"bare_sides": "4"}),
    (ONE, resized(5, 5, 25, 25), {"bare_sides": "4", "least_box_ink": "0"}),
    ([(100, 10, 112, 40)], resized(100, 10, 113, 40), {"box_fault": "slot 1: a box that leaves the picture"}),
    (TWO, boxed_blank, {"box_fault": "slot 8: a blank with a box"}),
    (TWO, moved_to_the_third_slot, {"box_fault": "slot 3: a digit after a blank"}),
    (TWO, first_removed, {"box_fault": "slot 2: a digit after a blank", "slot_1": "blank"}),
]
"""Per scene its boxes, what is then done to it, and what must be found, by column; at most five of a column."""


def test_each_broken_rule_of_scenes_names_its_row(tmp_path):
    splits = pictures_of_scenes()
    expected: dict[str, list[tuple[str, str]]] = {}
    for row, (boxes, change, faults) in enumerate(BROKEN_SCENES):
        # A pixel of its own at the edge keeps the scene from being a copy of another.
        laid(splits["gate"], row, boxes)
        splits["gate"].images[row, 111, row] = 9
        if change:
            change(splits["gate"], row)
        for column, value in faults.items():
            expected.setdefault(column, []).append((f"gate row {row}", value))
    assert broken(checked(splits, promise("scenes"), tmp_path / "docs")) == expected


def test_scenes_of_too_many_digits_or_one_value_or_twice_are_refused(tmp_path):
    splits = pictures_of_scenes()
    gate = splits["gate"]
    laid(gate, 3, ONE)
    gate.images[3] = 200
    laid(gate, 4, TWO)
    laid(gate, 5, TWO)
    found = broken(checked(splits, promise("scenes", digits=(1, 7)), tmp_path / "docs"))
    assert set(found) == {"digits", "deviation", "copy_of"}
    assert {value for _, value in found["digits"]} == {"8"}
    assert found["deviation"] == [("gate row 3", "0")]
    assert found["copy_of"] == [("gate row 5", "gate row 4")]


def test_scenes_without_boxes_or_of_another_size_are_refused(tmp_path):
    splits = pictures_of_scenes()
    splits["gate"] = replace(splits["gate"], boxes=None)
    splits["test"] = replace(splits["test"], images=splits["test"].images[:, :100])
    found = broken(checked(splits, promise("scenes"), tmp_path / "docs"))
    assert set(found) == {"shape", "box_fault"}
    assert found["box_fault"][0] == ("gate row 0", "no boxes")
    assert found["shape"][0] == ("test row 0", "100×112×1")


def test_a_digit_of_a_scene_that_stands_in_two_splits_is_refused(tmp_path):
    splits = pictures_of_scenes()
    splits["gate"].sources[2, 0] = splits["train"].sources[4, 0]
    found = broken(checked(splits, promise("scenes"), tmp_path / "docs"))
    assert set(found) == {"source_elsewhere"}
    assert "gate row 2" in {row for row, _ in found["source_elsewhere"]}


def test_strips_cut_in_the_wrong_place_have_ink_at_the_seams(tmp_path):
    splits = strips("plain")
    splits = {
        split: replace(pictures, images=np.roll(pictures.images, 14, axis=2)) for split, pictures in splits.items()
    }
    report = checked(splits, promise("plain"), tmp_path / "docs")
    assert {"stray_ink", "seam_ink"} <= set(broken(report))
    seams = next(finding for finding in report.findings if finding.column == "seam_ink")
    assert seams.unexpected == sum(len(pictures) for pictures in splits.values())
    assert f"(+{seams.unexpected - 5} more)" in str(seams)


def test_digits_of_another_origin_may_reach_the_seams(tmp_path):
    splits = strips("plain", origin="embedded")
    for pictures in splits.values():
        pictures.images[:, 10, 28] = 255
        pictures.boxes[:, 1, 0] = 28
    report = checked(splits, promise("plain"), tmp_path / "docs")
    assert broken(report) == {}
    assert any("no ink at the seams" in note for note in report.notes)


def test_neighbours_overlap_by_six_columns_at_most(tmp_path):
    splits = strips("jitter")
    boxes = splits["gate"].boxes
    boxes[7, 2, 0] = boxes[7, 1, 2] - 7
    found = broken(checked(splits, promise("jitter"), tmp_path / "docs"))
    assert found == {"box_fault": [("gate row 7", "slot 3: a box more than 6 columns over the one before")]}


def test_a_strip_without_digits_is_refused_only_where_digits_are_promised(tmp_path):
    splits = strips("blanks")
    empty = [row for row in range(len(splits["test"])) if (splits["test"].labels[row] == 10).all()]
    assert len(empty) > 1, "the suite must hold empty strips for this test to say anything"
    assert broken(checked(splits, promise("blanks"), tmp_path / "docs")) == {}
    found = broken(checked(splits, promise("blanks", digits=(1, 5)), tmp_path / "docs"))
    assert set(found) == {"digits"}
    assert {value for _, value in found["digits"]} == {"0"}


def test_what_cifar10_holds_twice_is_counted_but_one_id_in_two_splits_is_refused(tmp_path):
    splits = singles((32, 32, 3), origin="cifar10")
    splits["gate"].images[4] = splits["train"].images[6]
    report = checked(splits, promise("cifar10"), tmp_path / "docs")
    assert report.success
    assert report.duplicates == {"between_splits": 2, "inside_a_split": 0}
    assert any("train row 6 (gate row 4)" in note for note in report.notes)

    splits["gate"].sources[4] = splits["train"].sources[6]
    found = broken(checked(splits, promise("cifar10"), tmp_path / "docs"))
    assert set(found) == {"source_elsewhere"}


@pytest.mark.parametrize(("origin", "refused"), [("mnist", True), ("folder:mine", True), ("embedded", False)])
def test_imbalance_is_refused_except_of_the_stand_in(origin, refused, tmp_path):
    splits = singles(origin=origin)
    splits["valid"].labels[0:40:10] = 9
    report = checked(splits, promise("mnist"), tmp_path / "docs")
    assert report.success is not refused
    share = next(finding for finding in report.findings if finding.column == "share")
    assert share.first == (("valid class 0", "0.3333"),)
    assert refused or any("valid class 0 (0.3333)" in note for note in report.notes)


def test_moving_a_bound_that_the_data_meet_changes_no_report(tmp_path):
    one, other = (
        checked(singles(), promise("mnist", class_share=bounds, constant_share=share), tmp_path / "docs").as_json()
        for bounds, share in (((0.5, 2.0), 0.0), ((0.9, 1.1), 0.1))
    )
    assert one == other


def test_constant_pictures_are_allowed_up_to_the_share_of_each_split(tmp_path):
    splits = singles()
    for value, row in enumerate((1, 20, 30)):
        splits["valid"].images[row] = 100 + value
    assert checked(splits, promise("mnist", constant_share=0.05), tmp_path / "docs").success
    splits["valid"].images[40] = 200
    # 4 of 60 are too many of valid, though few of all 240.
    found = broken(checked(splits, promise("mnist", constant_share=0.05), tmp_path / "docs"))
    assert [row for row, _ in found["deviation"]] == [f"valid row {row}" for row in (1, 20, 30, 40)]


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("shape", lambda pictures: replace(pictures, images=pictures.images[:, :26])),
        ("classes", lambda pictures: replace(pictures, class_names=DIGIT_NAMES[::-1])),
        ("origin", lambda pictures: replace(pictures, origin="embedded")),
    ],
)
def test_one_split_that_is_of_another_kind_is_named(column, change, tmp_path):
    splits = singles()
    splits["gate"] = change(splits["gate"])
    report = checked(splits, promise("mnist"), tmp_path / "docs")
    assert [row for row, _ in broken(report)[column]] == [f"gate row {row}" for row in range(5)]
    assert "(+55 more)" in report.complaint()


def test_pictures_on_the_scale_0_to_1_are_refused(tmp_path):
    splits = {split: replace(pictures, images=pictures.images // 255) for split, pictures in singles().items()}
    report = checked(splits, promise("mnist"), tmp_path / "docs")
    assert "maximum" in broken(report)
    assert "the scale is 0 to 255, not 0 to 1" in report.complaint()


def test_an_empty_split_lacks_every_class(tmp_path):
    splits = singles()
    splits["gate"] = splits["gate"].take(slice(0, 0))
    found = broken(checked(splits, promise("mnist"), tmp_path / "docs"))
    assert found["count"] == [(f"gate class {digit}", "0") for digit in range(5)]


def test_a_folder_brings_its_own_classes_and_size(tmp_path):
    splits = {
        split: replace(pictures, class_names=tuple("abcdefghij"), origin="folder:letters")
        for split, pictures in singles((48, 40, 3)).items()
    }
    assert broken(checked(splits, promise("cifar10"), tmp_path / "docs")) == {}


def test_strips_without_boxes_or_ids_are_refused(tmp_path):
    splits = {split: replace(pictures, boxes=None, sources=None) for split, pictures in strips("plain").items()}
    found = broken(checked(splits, promise("plain"), tmp_path / "docs"))
    assert {"box_fault", "source_fault"} <= set(found)
    assert found["box_fault"][0] == ("train row 0", "no boxes")


def test_singles_where_strips_were_promised_are_refused():
    with pytest.raises(DataError, match="train: 1 labels a picture found, expected 5"):
        table.tabulate("train", singles()["train"], "strips")


def test_statistics_are_those_of_the_pixels():
    pictures = singles((32, 32, 3))["train"]
    rows = table.tabulate("train", pictures, "cifar10").pictures
    flat = pictures.images.reshape(PER_SPLIT, -1).astype(float)
    np.testing.assert_allclose(rows["mean"], flat.mean(axis=1))
    np.testing.assert_allclose(rows["deviation"], flat.std(axis=1))
    np.testing.assert_allclose(rows["ink_share"], (flat >= 32).mean(axis=1))
    assert rows["digest"].nunique() == PER_SPLIT


def written(folder: Path, splits: dict[str, ImageSet]) -> Path:
    for split, pictures in splits.items():
        pictures.save(folder / f"{split}.npz")
    return folder


def test_the_stage_writes_the_same_bytes_twice_and_docs_that_need_no_network(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    data, docs = written(tmp_path / "data", strips("clutter")), tmp_path / "docs"
    for out in ("first.json", "second.json"):
        validate.main("clutter", data, docs, tmp_path / out)
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert not (ROOT / "gx").exists()
    index = (docs / "index.html").read_text()
    results = sorted(page.relative_to(docs).as_posix() for page in docs.glob("validations/**/*.html"))
    assert len(results) == 2, "the docs of an earlier run were not replaced"
    assert all(f'href="{page}"' in index for page in results)
    pages = [page.read_text() for page in docs.rglob("*.html")]
    assert not any("logo-long.png?" in page for page in pages)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_failure_is_one_line_exit_3_and_docs_without_a_report(tmp_path):
    splits = singles()
    splits["valid"].images[2] = splits["train"].images[17]
    data, docs, out = written(tmp_path / "data", splits), tmp_path / "docs", tmp_path / "report.json"
    paths = ["--data", str(data), "--docs", str(docs), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "stages.validate", "--suite", "mnist", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert done.stderr == (
        'data: mnist: "no picture stands in two splits": not so for 2 of 240 pictures: train row 17 (valid row 2), '
        f"valid row 2 (train row 17); mend the source and run again; all results: {docs / 'index.html'}\n"
    )
    assert (docs / "index.html").exists()
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"images": np.full((4, 28, 28, 1), np.nan, np.float32)}, "train.npz: images are float32, expected uint8"),
        ({"images": np.zeros((4, 1, 28, 28), np.uint8)}, "expected (n, height, width, 1 or 3)"),
        ({"labels": np.full((4, 1), 10, np.uint8)}, "label 10 found, expected 0 to 9"),
        ({"boxes": np.full((4, 1, 4), np.nan, np.float32)}, "boxes hold NaN or infinity"),
    ],
    ids=["pixels that are no numbers", "channels first", "a label outside the set", "boxes that are no numbers"],
)
def test_arrays_of_the_wrong_kind_stop_the_stage(change, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    pictures = singles()["train"].take(slice(0, 4))
    arrays = {"images": pictures.images, "labels": pictures.labels}
    arrays |= {"class_names": np.array(DIGIT_NAMES), "origin": np.array("mnist")}
    np.savez(tmp_path / "train.npz", **(arrays | change))
    with pytest.raises(DataError) as error:
        validate.main("mnist", tmp_path, tmp_path / "docs", tmp_path / "report.json")
    assert complaint in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.npz"]


def test_an_unknown_suite_lists_those_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigurationError, match="plian: no such suite; there are mnist, cifar10, plain"):
        validate.main("plian", tmp_path, tmp_path / "docs", tmp_path / "report.json")
