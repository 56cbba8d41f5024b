"""The leaderboard, the candidates, the figures, the page and the card; and the two stages that make them."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.core.files import read_json, write_json
from pipeline.core.images import BLANK, DIGIT_NAMES, STRIP_NAMES, ImageSet
from pipeline.core.readings import Readings, left_to_right
from pipeline.evaluation import leaderboard
from pipeline.evaluation.scoring import COLUMNS, evaluation, found
from pipeline.plots import figures, galleries
from pipeline.reports import report
from stages import compare, evaluate

ROOT = Path(__file__).parents[2]
SUITES = ("plain", "blanks")
CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def strips(n, origin="mnist", seed=0):
    """Strips whose digits are bars as bright as the digit is high, so that a tiny model can read them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 11, (n, 5), dtype=np.uint8)
    cells = np.where(labels == BLANK, 0, 60 + 20 * labels).astype(np.uint8)
    return ImageSet(np.repeat(np.repeat(cells[:, None, :, None], 28, 1), 28, 2), labels, STRIP_NAMES, origin)


def singles(n, names=CIFAR_NAMES):
    rng = np.random.default_rng(0)
    shape = (n, 32, 32, 3) if names is CIFAR_NAMES else (n, 28, 28, 1)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    return ImageSet(images, rng.integers(0, 10, (n, 1), dtype=np.uint8), names, "cifar10")


def said_of(pictures, wrong=0.2, seed=1):
    """Readings that are wrong in a share of the slots, less sure there."""
    rng = np.random.default_rng(seed)
    slips = rng.random(pictures.labels.shape) < wrong
    classes = np.where(slips, (pictures.labels + 1) % pictures.classes, pictures.labels).astype(np.uint8)
    probabilities = np.full((*classes.shape, pictures.classes), 0.01, np.float32)
    np.put_along_axis(probabilities, classes[..., None].astype(int), 1 - 0.01 * (pictures.classes - 1), axis=2)
    confidence = np.where(slips.any(axis=1), rng.uniform(0.2, 0.9, len(classes)), rng.uniform(0.6, 1, len(classes)))
    return Readings(probabilities, classes, confidence.astype(np.float32))


def evaluated(wrong=0.05, suites=SUITES, task="strips", origin="mnist", **model):
    pictures = {suite: {split: strips(200, origin) for split in ("valid", "gate", "test")} for suite in suites}
    said = {suite: {split: said_of(p, wrong) for split, p in splits.items()} for suite, splits in pictures.items()}
    described = {"parameters": 1000, "deployable": True, "pretrained": "not_applicable", "precision": "float32"} | model
    return {"task": task, "origin": origin, **described, **evaluation(said, pictures)}


@pytest.fixture(scope="module")
def three():
    return {
        "good": evaluated(0.02),
        "poor": evaluated(0.2),
        "partial": evaluated(0.0, suites=("plain",)),
        "outside": evaluated(0.0, deployable=False, pretrained="missing"),
    }


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_leaderboard_stands_by_suite_split_and_falling_accuracy(three):
    table = leaderboard.table(leaderboard.scores(three, SUITES))
    found = [(row["suite"], row["split"], row["strategy"]) for row in rows_of(table)]
    assert found == [
        *(("plain", "valid", name) for name in ("outside", "partial", "good", "poor")),
        *(("plain", "test", name) for name in ("outside", "partial", "good", "poor")),
        *(("blanks", "valid", name) for name in ("outside", "good", "poor")),
        *(("blanks", "test", name) for name in ("outside", "good", "poor")),
    ]


def test_cells_have_four_decimals_or_are_empty(three):
    table = leaderboard.table(leaderboard.scores(three, SUITES))
    assert table.splitlines()[0] == ",".join(COLUMNS)
    first = rows_of(table)[0]
    assert (first["sequence_accuracy"], first["map50"], first["deployable"]) == ("1.0000", "", "false")
    assert (first["n"], first["pretrained"]) == ("200", "missing")


def test_suites_that_params_no_longer_has_leave_the_leaderboard(three):
    assert {row.suite for row in leaderboard.scores(three, ("blanks",))} == {"blanks"}


def test_the_candidate_is_the_best_that_can_be_deployed_over_all_suites(three):
    chosen = leaderboard.candidates(three, {"strips": SUITES, "cifar10": ("cifar10",)})
    assert set(chosen) == {"strips"}
    strip = chosen["strips"]
    assert (strip["strategy"], strip["runner_up"]) == ("good", "partial")
    assert [other["strategy"] for other in strip["others"]] == ["outside", "partial", "poor"]
    partial = strip["others"][1]
    assert (partial["cannot_read"], partial["suites"]) == (["blanks"], {"plain": 1, "blanks": 0})
    assert partial["valid_sequence_accuracy"] == 0.5
    assert strip["coverage"] == three["good"]["coverage"]


def test_ties_go_to_fewer_parameters_then_to_the_name():
    small, large = evaluated(parameters=10), evaluated(parameters=20)
    assert leaderboard.candidates({"a": large, "b": small}, {"strips": SUITES})["strips"]["strategy"] == "b"
    assert leaderboard.candidates({"b": small, "a": small}, {"strips": SUITES})["strips"]["strategy"] == "a"


def test_the_test_split_has_no_say_in_the_choice():
    lucky, steady = evaluated(0.2), evaluated(0.1)
    for splits in lucky["suites"].values():
        splits["test"]["sequence_accuracy"] = 1.0
    assert (
        leaderboard.candidates({"lucky": lucky, "steady": steady}, {"strips": SUITES})["strips"]["strategy"] == "steady"
    )


def test_a_task_may_have_no_candidate():
    chosen = leaderboard.candidates({"outside": evaluated(deployable=False)}, {"strips": SUITES})
    assert (chosen["strips"]["strategy"], chosen["strips"]["runner_up"]) == (None, None)
    assert leaderboard.summary(chosen, []) == {}


def test_the_summary_has_the_candidate_on_test(three):
    rows = leaderboard.scores(three, SUITES)
    found = leaderboard.summary(leaderboard.candidates(three, {"strips": SUITES}), rows)
    assert found["strips"]["candidate"] == "good"
    assert found["strips"]["origin"] == three["good"]["origin"]
    assert found["strips"]["test"] == {
        suite: three["good"]["suites"][suite]["test"]["sequence_accuracy"] for suite in SUITES
    }


def test_a_strategy_without_evaluation_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(DataError, match=r"slice\.json: no such file; `dvc repro evaluate@slice` makes it"):
        leaderboard.evaluations(tmp_path, ["slice"])


def test_timings_that_are_missing_stay_empty(tmp_path):
    write_json(tmp_path / "train-a.json", {"seconds": 12.34})
    write_json(tmp_path / "evaluate-a.json", {"seconds": 2.0, "ms_per_picture_batch_1": 1.23456})
    assert leaderboard.timings(tmp_path, ["a", "b"]).splitlines()[1:] == ["a,12.3,2.0,1.235,", "b,,,,"]


@pytest.mark.parametrize("names", [STRIP_NAMES, DIGIT_NAMES, CIFAR_NAMES])
def test_figures_are_drawn_and_carry_neither_date_nor_program(tmp_path, names):
    pictures = strips(40) if names is STRIP_NAMES else singles(40, names)
    said = said_of(pictures)
    figures.save(figures.sheet(said, pictures, "sheet"), tmp_path / "sheet.png")
    figures.save(galleries.gallery(said, pictures, "gallery"), tmp_path / "gallery.png")
    figures.save(galleries.sheet(said, pictures, "readings"), tmp_path / "readings.png")
    for kind in ("sheet", "gallery", "readings"):
        with Image.open(tmp_path / f"{kind}.png") as drawn:
            assert drawn.info.keys() <= {"dpi"}
            assert len(np.unique(np.asarray(drawn.convert("L")))) > 20


def test_the_gallery_shows_confident_mistakes_first_and_says_what_was_read():
    pictures = strips(300)
    said = said_of(pictures)
    shown = galleries.worst(said, pictures)
    assert len(shown) == galleries.WORST
    assert np.all(np.diff(said.confidence[shown]) <= 0)
    drawn = galleries.gallery(said, pictures, "slice on plain, valid")
    first = shown[0]
    read, was = (galleries.as_text(of[first], STRIP_NAMES) for of in (said.classes, pictures.labels))
    assert drawn.axes[0].get_title("left") == f"read {read}, was {was}, {said.confidence[first]:.2f}"
    assert "slice on plain, valid" in drawn.get_suptitle()


def test_nothing_wrong_makes_a_gallery_that_says_so(tmp_path):
    pictures = strips(10)
    drawn = galleries.gallery(said_of(pictures, wrong=0), pictures, "none")
    assert drawn.axes[0].texts[0].get_text() == "No picture was read wrong."
    figures.save(drawn, tmp_path / "none.png")


def test_a_reading_is_written_as_people_write_it():
    assert galleries.as_text(np.array([1, BLANK, 2]), STRIP_NAMES) == "12"
    assert galleries.as_text(np.array([BLANK]), STRIP_NAMES) == "nothing"
    assert galleries.as_text(np.array([1]), CIFAR_NAMES) == "automobile"
    assert galleries.as_text(np.array([BLANK]), DIGIT_NAMES) == "class 10"


def scenes(n=40, seed=3):
    """Dark scenes with squares for digits, and readings of them by falling confidence: some wrong, some too many."""
    rng = np.random.default_rng(seed)
    corner = np.sort(rng.integers(0, 85, (n, 8, 2)).astype(np.float32), axis=1)
    labels = np.where(np.arange(8) < rng.integers(1, 8, (n, 1)), rng.integers(0, 10, (n, 8)), BLANK).astype(np.uint8)
    boxes = np.where((labels == BLANK)[..., None], 0, np.concatenate([corner, corner + 20], axis=-1))
    images = np.full((n, 112, 112, 1), 30, np.uint8)
    pictures = ImageSet(images, labels, STRIP_NAMES, "mnist", boxes.astype(np.float32))
    right = said_of(pictures, wrong=0.1, seed=seed)
    order = rng.permuted(np.tile(np.arange(8), (n, 1)), axis=1)
    shuffled = Readings(
        np.take_along_axis(right.probabilities, order[..., None], 1),
        np.take_along_axis(right.classes, order, 1),
        right.confidence,
        np.take_along_axis(pictures.boxes, order[..., None], 1) + np.float32(1),
    )
    return pictures, shuffled


def test_a_sheet_of_readings_has_the_first_right_ones_and_the_surest_wrong_ones():
    pictures, shuffled = scenes()
    said = left_to_right(shuffled, BLANK)
    drawn = galleries.sheet(said, pictures, "detector on scenes", positional=False)
    titles = [axis.get_title("left") for axis in drawn.axes]
    right = [title for title in titles if title and ", was " not in title]
    wrong = [title for title in titles if ", was " in title]
    assert (len(right), len(wrong)) == (galleries.EACH, galleries.EACH)
    correct = np.array([galleries.as_text(*pair) for pair in zip(said.classes, [STRIP_NAMES] * len(said), strict=True)])
    was = np.array([galleries.as_text(row, STRIP_NAMES) for row in pictures.labels])
    first = np.flatnonzero(correct == was)[: galleries.EACH]
    assert right == [f"read {was[index]}, {said.confidence[index]:.2f}" for index in first]
    assert wrong == [
        f"read {correct[index]}, was {was[index]}, {said.confidence[index]:.2f}"
        for index in galleries.worst(said, pictures, galleries.EACH)
    ]


def test_boxes_are_drawn_where_the_pixels_are_and_coloured_by_whether_the_digit_is_there():
    pictures, shuffled = scenes()
    said = left_to_right(shuffled, BLANK)
    drawn = galleries.gallery(said, pictures, "detector on scenes", positional=False)
    index = galleries.worst(said, pictures)[0]
    true, read = pictures.labels[index] != BLANK, said.classes[index] != BLANK
    patches = drawn.axes[0].patches
    dashed, solid = ([p for p in patches if (p.get_linestyle() == "solid") is kind] for kind in (False, True))
    assert [patch.get_xy() for patch in dashed] == [tuple(box[:2] - 0.5) for box in pictures.boxes[index][true]]
    assert [(patch.get_width(), patch.get_height()) for patch in dashed] == [(20, 20)] * true.sum()
    assert [patch.get_xy() for patch in solid] == [tuple(box[:2] - 0.5) for box in said.boxes[index][read]]
    assert [text.get_text() for text in drawn.axes[0].texts] == [str(name) for name in said.classes[index][read]]
    shown = galleries.worst(said, pictures)
    there = found(said, pictures)
    colours = [text.get_color() for axis in drawn.axes for text in axis.texts]
    hits = [hit for i in shown for hit in there[i][said.classes[i] != BLANK]]
    assert colours == [galleries.FOUND if hit else galleries.ASTRAY for hit in hits]
    assert len(set(colours)) == 2


def test_only_a_reading_that_knows_positions_has_slots_underlined():
    pictures = strips(60)
    said = said_of(pictures)
    lines = [
        sum(len(axis.lines) for axis in galleries.gallery(said, pictures, "", positional=positional).axes)
        for positional in (True, False)
    ]
    shown = galleries.worst(said, pictures)
    assert lines == [np.sum(said.classes[shown] != pictures.labels[shown]), 0]


def test_without_positions_digits_are_compared_where_as_many_were_read():
    labels = np.array([[1, 2, BLANK], [3, BLANK, BLANK], [4, 5, BLANK]], np.uint8)
    classes = np.array([[BLANK, 1, 7], [3, 3, BLANK], [4, 5, BLANK]], np.uint8)
    pictures = ImageSet(np.zeros((3, 28, 84, 1), np.uint8), labels, STRIP_NAMES, "mnist")
    said = Readings(np.eye(11, dtype=np.float32)[classes], classes, np.full(3, 0.5, np.float32))
    confusion, _, lengths = figures.sheet(said, pictures, "free", positional=False).axes
    cells = {text.get_position(): text.get_text() for text in confusion.texts}
    assert cells == {(1, 1): "1", (7, 2): "1", (4, 4): "1", (5, 5): "1"}
    assert confusion.get_xlabel() == "read, in 2 of 3 pictures: those with as many digits read"
    assert [tick.get_text() for tick in lengths.get_xticklabels()] == ["1", "2"]
    assert lengths.lines[0].get_ydata().tolist() == [0, 50]


def test_curves_are_what_dvclive_wrote(tmp_path):
    dvclive = pytest.importorskip("dvclive")
    live = dvclive.Live(str(tmp_path / "slice"), dvcyaml=None, report=None, save_dvc_exp=False)
    for epoch in range(3):
        live.log_metric("train/loss", 1 / (epoch + 1))
        live.log_metric("eval/exact_match", epoch / 3)
        live.next_step()
    live.end()
    found = figures.read_curves(tmp_path / "slice")
    assert found["train/loss"] == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    drawn = figures.curves({"slice": found, "untrained": figures.read_curves(tmp_path / "none")}, "Training")
    drawn_lines = [len(line.get_xdata()) for axis in drawn.axes for line in axis.lines]
    assert sorted(drawn_lines) == [0, 0, 0, 0, 0, 0, 3, 3]


class Page(HTMLParser):
    """Collects what a page links to, its visible text, and whether every element it opens is closed."""

    def __init__(self, text):
        super().__init__()
        self.links, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.texts))


STRIP_SUITES = params.load(ROOT / "params.yaml").suites_of("strips")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project whose one strategy, a net that matches brightness, has been trained."""
    root = tmp_path_factory.mktemp("project")
    for suite in SUITES:
        for place, split in enumerate(("valid", "gate", "test")):
            strips(60, "embedded", seed=place).save(root / "data/strips" / suite / f"{split}.npz")
    images = keras.Input((28, 140, 1), dtype="uint8")
    grey = keras.ops.cast(images, "float32")
    cells = keras.ops.mean(keras.ops.reshape(grey, (-1, 28, 5, 28)), axis=(1, 3))
    levels = np.array([*(60 + 20 * digit for digit in range(10)), 0], np.float32)
    # The net has to make mistakes: it expects a 4 where no 4 is, and so reads each as its neighbour.
    levels[4] = 161
    probabilities = keras.ops.softmax(-keras.ops.square(keras.ops.expand_dims(cells, -1) - levels) / 50)
    outputs = {
        "probabilities": probabilities,
        "classes": keras.ops.argmax(probabilities, axis=-1),
        "confidence": keras.ops.prod(keras.ops.max(probabilities, axis=-1), axis=-1),
    }
    model = root / "models/brightness"
    model.mkdir(parents=True)
    keras.Model(images, outputs).save(model / "model.keras")
    described = {
        "strategy": "brightness",
        "task": "strips",
        "suites": ["plain", "blanks", "clutter"],
        "deployable": True,
        "pretrained": "not_applicable",
        "parameters": 0,
        "origin": "embedded",
        "precision": "float32",
        "positional": True,
    }
    write_json(model / "training.json", described)
    brightness = {"task": "strips", "train_on": "strips/plain", "uses": "pipeline"}
    changed = {
        "seed": 20,
        "budget": 0.1,
        "strategies": {"brightness": brightness},
        "features": {},
        "package": {"strips": {}},
    }
    # JSON is YAML too; `write_json` would sort the suites, whose order counts.
    (root / "params.yaml").write_text(json.dumps(params.read(ROOT / "params.yaml") | changed))
    (root / "pipeline").mkdir()
    (root / "strategies").mkdir()
    (root / "strategies/brightness.py").write_text(
        'SUITES = ("plain", "blanks", "jitter", "clutter")\n\n'
        "def train(train, valid, *, normalizer, seed, budget): ...\n"
    )
    write_json(root / "reports/validation/strips/plain.json", {"success": True})
    return root


@pytest.fixture
def inside(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setattr(params, "STRATEGIES_FOLDER", project / "strategies")


def run_evaluate(out=Path("metrics/evaluation/brightness.json"), **changed):
    paths = {
        "model": Path("models/brightness"),
        "data": Path("data/strips"),
        "predictions": Path("predictions/brightness"),
        "pictures": Path("reports/evaluation/brightness"),
        "timings": Path("metrics/timings/evaluate-brightness.json"),
    }
    evaluate.main(strategy="brightness", out=out, **paths | changed)


def run_compare():
    compare.main(
        evaluation=Path("metrics/evaluation"),
        training=Path("metrics/training"),
        timings=Path("metrics/timings"),
        validation=Path("reports/validation"),
        sheets=Path("reports/evaluation"),
        leaderboard=Path("metrics/leaderboard.csv"),
        candidates=Path("metrics/candidates.json"),
        summary=Path("metrics/summary.json"),
        timings_table=Path("metrics/timings.csv"),
        pictures=Path("reports/comparison"),
        report=Path("reports/report.html"),
    )


def contents(*folders):
    """Every file below `folders` but the wall clock's."""
    files = (path for folder in folders for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if "timings" not in str(path)}


@pytest.fixture
def compared(inside):
    if not Path("reports/report.html").exists():
        run_evaluate()
        run_compare()


def test_evaluate_reads_every_split_of_the_suites_that_there_are(compared):
    names = {f"{suite}-{split}.npz" for suite in SUITES for split in ("valid", "gate", "test")}
    assert {path.name for path in Path("predictions/brightness").iterdir()} == names
    truth, said = (
        ImageSet.load(Path("data/strips/plain/test.npz")),
        Readings.load(Path("predictions/brightness/plain-test.npz")),
    )
    fours = np.any(truth.labels == 4, axis=1)
    assert np.array_equal(np.any(said.classes != truth.labels, axis=1), fours)
    scores = read_json(Path("metrics/evaluation/brightness.json"))
    assert scores["suites"]["plain"]["test"]["sequence_accuracy"] == pytest.approx(1 - fours.mean(), abs=1e-6)
    assert scores["suites"]["plain"]["test"]["origin"] == "embedded"
    assert {path.name for path in Path("reports/evaluation/brightness").iterdir()} == {
        f"{suite}-{kind}.png" for suite in SUITES for kind in ("readings", "sheet", "worst")
    }


def test_evaluate_keeps_the_wall_clock_apart(compared):
    timings = read_json(Path("metrics/timings/evaluate-brightness.json"))
    assert timings["ms_per_picture_batch_1"] > 0 < timings["seconds"]
    assert "seconds" not in Path("metrics/evaluation/brightness.json").read_text()


def test_a_second_run_gives_the_same_bytes(compared):
    folders = ("predictions", "metrics", "reports")
    before = contents(*folders)
    run_evaluate()
    run_compare()
    after = contents(*folders)
    assert [name for name in before if before[name] != after.get(name)] == []
    assert set(before) == set(after)


def test_compare_writes_rows_candidate_and_summary(compared):
    table = rows_of(Path("metrics/leaderboard.csv").read_text())
    assert [(row["suite"], row["split"]) for row in table] == [
        ("plain", "valid"),
        ("plain", "test"),
        ("blanks", "valid"),
        ("blanks", "test"),
    ]
    candidate = read_json(Path("metrics/candidates.json"))["strips"]
    assert candidate["strategy"] == "brightness"
    assert candidate["cannot_read"] == [suite for suite in STRIP_SUITES if suite not in SUITES]
    assert all(candidate["suites"][suite] == 0 for suite in candidate["cannot_read"])
    assert read_json(Path("metrics/summary.json"))["strips"]["test"].keys() == {"plain", "blanks"}


def test_the_report_is_one_whole_page_that_needs_nothing_else(compared):
    text = Path("reports/report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "url(" not in text
    assert "http" not in text
    assert "@media print" in text
    assert "prefers-color-scheme: dark" in text


def test_the_report_says_what_was_run_and_that_it_was_the_stand_in(compared):
    page = Page(Path("reports/report.html").read_text())
    assert "Measured on the embedded stand-in" in page.text
    assert re.search(r"seed\s*20\s*budget\s*0\.1", page.text)
    assert "Candidate: brightness" in page.text
    missing = ", ".join(suite for suite in STRIP_SUITES if suite not in SUITES)
    assert f"It cannot read {missing}, which counts as 0." in page.text
    assert "data passed validation" in page.text
    assert "data not validated" in page.text


def report_of(evaluations, folder):
    rows = leaderboard.scores(evaluations, SUITES)
    pixel = galleries.gallery(said_of(strips(1)), strips(1), "one")
    kinds = ("readings", "sheet", "worst")
    names = [f"sheets/{name}/{suite}-{kind}.png" for name in evaluations for suite in SUITES for kind in kinds]
    for name in ("pictures/accuracy-strips.png", "pictures/curves.png", *names):
        figures.save(pixel, folder / name)
    return report.report(
        rows=rows,
        candidates=leaderboard.candidates(evaluations, {"strips": SUITES}),
        evaluations=evaluations,
        suites_of={"strips": SUITES},
        settings={"seed": 1},
        validation=folder,
        pictures=folder / "pictures",
        sheets=folder / "sheets",
    )


def test_names_are_escaped_and_real_data_has_no_banner(tmp_path, three):
    text = report_of({"good": three["good"] | {"precision": "<script>alert(1)</script>"}}, tmp_path)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "stand-in" not in text


def test_the_report_names_what_reads_better_and_cannot_be_deployed(tmp_path, three):
    page = Page(report_of({"good": three["good"], "outside": three["outside"]}, tmp_path))
    assert "outside reads better (100.00 %) but cannot be deployed." in page.text.replace("\xa0", " ")
    assert "pretrained weights missing" in page.text
    page = Page(report_of({"outside": three["outside"]}, tmp_path))
    assert "No candidate: none of this task's strategies can be deployed." in page.text


def test_candidates_are_open_and_the_others_behind_their_names(tmp_path, three):
    text = report_of({name: three[name] for name in ("good", "poor")}, tmp_path)
    opened, closed = text.index("<details open>"), text.index("<details>")
    assert "good (candidate for strips)" in text[opened:closed]
    assert "poor" in text[closed:]
    assert text[opened:closed].count("<img") == 3 * len(SUITES)
    assert text[closed:].count("<img") == 2 * len(SUITES)


def test_the_report_shows_what_localisation_costs_and_the_boxes(tmp_path, three):
    splits = three["good"]["suites"]["plain"]
    boxed = three["good"] | {"suites": {"plain": {split: score | {"map50": 0.8765} for split, score in splits.items()}}}
    page = report_of({"boxed": boxed}, tmp_path)
    test = splits["test"]
    shares = (f"{100 * test[name]:.2f}" for name in ("digit_accuracy", "sequence_if_independent", "count_accuracy"))
    assert "<td>{}</td><td>{}</td><td>{}</td>".format(*shares) in page
    assert "<td>87.65</td>" in page
    lines = leaderboard.markdown(leaderboard.scores({"boxed": boxed}, SUITES)).splitlines()
    cells = [cell.strip() for cell in lines[2].split("|")]
    assert cells[6:9] == [
        *(f"{100 * test[name]:.2f}" for name in ("sequence_if_independent", "count_accuracy")),
        "87.65",
    ]


@pytest.fixture
def manifest(three):
    return {
        "strategy": "good",
        "task": "strips",
        "model": {"file": "model.onnx", "sha256": "ab" * 32, "bytes": 1_300_000},
        "origin": "mnist",
        "parameters": 1234567,
        "pretrained": "not_applicable",
        "class_names": list(STRIP_NAMES),
        "coverage": three["good"]["coverage"],
        "trained_on": "strips/plain",
        "seed": 20,
        "budget": 1.0,
        "precision": "float32",
        "boxes": False,
        "positional": True,
    }


def test_the_card_has_the_hash_the_numbers_and_the_threshold(three, manifest):
    rows = leaderboard.scores({"good": three["good"]}, SUITES)
    card = report.model_card(manifest, rows)
    test = next(row for row in rows if (row.suite, row.split) == ("plain", "test"))
    assert "ab" * 32 in card
    assert "1,234,567 parameters, 1.3 MB." in card
    assert f"| plain | 200 | {100 * test.sequence_accuracy:.2f} | {100 * test.ci_low:.2f} to" in card
    assert f"**{manifest['coverage']['threshold']:.6f}**" in card
    assert "- Seed: 20.\n" in card
    assert "- Budget: 1.0.\n" in card
    assert "stand-in" not in card
    assert "{" not in card
    assert not re.search(r"\n\n\n|[ \t]\n", card)


def test_the_card_says_what_slots_stand_for(three, manifest):
    rows = leaderboard.scores({"good": three["good"]}, SUITES)
    assert "no place in the picture" not in report.model_card(manifest, rows)
    assert "no place in the picture" in report.model_card(manifest | {"positional": False}, rows)
    assert "`boxes` (n, slots, 4)" in report.model_card(manifest | {"positional": False, "boxes": True}, rows)


def test_the_card_warns_of_the_stand_in_and_of_missing_weights(three, manifest):
    lacking = manifest | {"origin": "embedded", "pretrained": "missing", "coverage": {"threshold": None}}
    card = report.model_card(lacking, leaderboard.scores({"good": three["good"]}, SUITES))
    assert "Measured on the embedded stand-in" in card
    assert "Trained without the pretrained weights" in card
    assert "No threshold on the confidence" in card
    assert "datasets:" not in card


def test_a_damaged_model_is_an_error_of_one_line_and_leaves_nothing(inside, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.keras").write_bytes(b"PK no archive")
    (model / "training.json").write_text(json.dumps(read_json(Path("models/brightness/training.json"))))
    out = tmp_path / "scores.json"
    with pytest.raises(DataError, match=r"model\.keras: cannot be loaded as a Keras model"):
        run_evaluate(out, model=model, predictions=tmp_path / "p", pictures=tmp_path / "q", timings=tmp_path / "t.json")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_strategy_without_a_suite_to_read_is_an_error(inside, tmp_path):
    with pytest.raises(DataError, match="none of the suites that brightness can read: plain, blanks, clutter"):
        run_evaluate(data=tmp_path)


def test_the_markdown_table_holds_the_test_rows(three):
    rows = leaderboard.scores({"good": three["good"]}, SUITES)
    lines = leaderboard.markdown(rows).splitlines()
    test = [row for row in rows if row.split == "test"]
    assert len(lines) == 2 + len(test)
    assert {line.count("|") for line in lines} == {12}
    assert lines[2].startswith(f"| {test[0].suite} | good | {100 * test[0].sequence_accuracy:.2f} | ")


def test_the_markdown_table_names_a_suite_once_and_leaves_blank_what_is_not_there(three):
    lines = leaderboard.markdown(leaderboard.scores(three, SUITES)).splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == ["plain", "", "", "", "blanks", "", ""]
    assert {line.split("|")[8].strip() for line in lines} == {""}


def test_what_is_read_from_right_to_left_is_scored_from_left_to_right(inside, tmp_path):
    brightness = keras.models.load_model("models/brightness/model.keras")
    said = brightness.output
    cells = np.stack([[28 * slot, 0, 28 * slot + 28, 28] for slot in reversed(range(5))]).astype(np.float32)
    # Blanks come with boxes, too: they have no place in the order.
    backwards = {name: said[name][:, ::-1] for name in ("probabilities", "classes")}
    boxes = keras.ops.zeros_like(backwards["probabilities"][..., :4]) + cells
    model = keras.Model(brightness.input, {**backwards, "confidence": said["confidence"], "boxes": boxes})
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model/model.keras")
    training = read_json(Path("models/brightness/training.json")) | {"positional": False, "suites": ["plain"]}
    write_json(tmp_path / "model/training.json", training)
    for split in ("valid", "gate", "test"):
        pictures = ImageSet.load(Path(f"data/strips/plain/{split}.npz"))
        boxes = np.where((pictures.labels == BLANK)[..., None], 0, cells[::-1]).astype(np.float32)
        replace(pictures, boxes=boxes).save(tmp_path / f"data/plain/{split}.npz")
    run_evaluate(
        tmp_path / "scores.json",
        model=tmp_path / "model",
        data=tmp_path / "data",
        predictions=tmp_path / "predictions",
        pictures=tmp_path / "pictures",
        timings=tmp_path / "timings.json",
    )
    truth = ImageSet.load(tmp_path / "data/plain/test.npz")
    whole = 1 - np.any(truth.labels == 4, axis=1).mean()
    scores = read_json(tmp_path / "scores.json")["suites"]["plain"]["test"]
    assert scores["sequence_accuracy"] == pytest.approx(whole, abs=1e-6)
    assert scores["slot_accuracy"] is None
    # Eight classes are found wherever they are; a 4 is read as a 5 throughout, which costs the fives precision.
    fours, fives = (int(np.sum(truth.labels == name)) for name in (4, 5))
    assert (8 + fives / (fours + fives)) / 10 - 1e-6 <= scores["map50"] <= (8 + 1) / 10
    stored = Readings.load(tmp_path / "predictions/plain-test.npz")
    left = np.where(stored.classes == BLANK, 1000, stored.boxes[..., 0])
    assert np.all(np.diff(left, axis=1) >= 0)


def test_a_suite_that_is_only_trained_on_is_not_evaluated(inside, tmp_path):
    strips(60, "embedded", seed=5).save(tmp_path / "data/mixed/valid.npz")
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.keras").write_bytes(Path("models/brightness/model.keras").read_bytes())
    training = read_json(Path("models/brightness/training.json")) | {"suites": ["mixed"]}
    write_json(model / "training.json", training)
    with pytest.raises(DataError, match="none of the suites that brightness can read: mixed"):
        run_evaluate(tmp_path / "scores.json", model=model, data=tmp_path / "data")
