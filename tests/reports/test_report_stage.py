"""The stages `compare`, `explore` and `report` after `evaluate`, over two tasks: what they write, twice the same."""

import csv
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import evaluations
import numpy as np
import pytest
from evaluations import SPLITS
from onnx_models import band_model, draw

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.core.files import digest, read_json
from pipeline.core.images import DIGIT_NAMES, STRIP_SHAPE, ImageSet
from pipeline.records.comparison import Candidate
from pipeline.records.export import ExportRecord, ModelFile
from pipeline.records.timing import TrainingTiming
from pipeline.records.training import TrainedModel, TrainingRecord
from stages import analyze, compare, corrupt, cost, evaluate, explain, explore, report, robustness

ROOT = Path(__file__).parents[2]
DIGIT_SHAPE = (28, 28, 1)
TASK_OF = {"slice": "strips", "ctc": "strips", "textbook": "mnist"}
SUITES = {"slice": ("plain", "blanks"), "ctc": ("plain",), "textbook": ("mnist",)}
HISTORY = ({"loss": 1.5, "exact_match": 0.25, "val_loss": 1.0, "val_exact_match": 0.5}, {"loss": 1.0, "val_loss": 0.5})


def run_evaluate(strategy):
    task = TASK_OF[strategy]
    evaluate.main(
        strategy=strategy,
        export=Path(f"exports/{task}/{strategy}"),
        data=Path(f"data/{task}"),
        features=Path("data/proposals"),
        predictions=Path(f"predictions/{task}/{strategy}"),
        out=Path(f"metrics/evaluation/{task}/{strategy}.json"),
        pictures=Path(f"reports/evaluation/{task}/{strategy}"),
        timings=Path(f"timings/evaluate-{strategy}.json"),
    )


def run_corrupt(task):
    corrupt.main(task=task, data=Path(f"data/{task}"), out=Path(f"data/corrupted/{task}"))


def run_robustness(strategy):
    task = TASK_OF[strategy]
    return robustness.main(
        strategy=strategy,
        export=Path(f"exports/{task}/{strategy}"),
        corrupted=Path(f"data/corrupted/{task}"),
        evaluation=Path(f"metrics/evaluation/{task}/{strategy}.json"),
        out=Path(f"metrics/robustness/{task}/{strategy}.json"),
    )


def run_compare(task):
    compare.main(
        task=task,
        evaluation=Path(f"metrics/evaluation/{task}"),
        cost=Path(f"metrics/cost/{task}.csv"),
        leaderboard=Path(f"metrics/leaderboard/{task}.csv"),
        candidate=Path(f"metrics/candidates/{task}.json"),
        pictures=Path(f"reports/comparison/{task}"),
    )


def run_analyses(task):
    cost.main(
        task=task,
        exports=Path(f"exports/{task}"),
        out=Path(f"metrics/cost/{task}.csv"),
        timings=Path(f"timings/cost-{task}.json"),
    )
    analyze.main(
        task=task,
        evaluation=Path(f"metrics/evaluation/{task}"),
        predictions=Path(f"predictions/{task}"),
        data=Path(f"data/{task}"),
        significance=Path(f"metrics/significance/{task}.csv"),
        slices=Path(f"metrics/slices/{task}.csv"),
        pictures=Path(f"reports/slices/{task}"),
    )
    explain.main(
        task=task,
        exports=Path(f"exports/{task}"),
        predictions=Path(f"predictions/{task}"),
        data=Path(f"data/{task}"),
        out=Path(f"reports/explanations/{task}"),
    )


def run_explore(task):
    return explore.main(
        task=task,
        evaluation=Path(f"metrics/evaluation/{task}"),
        predictions=Path(f"predictions/{task}"),
        data=Path(f"data/{task}"),
        out=Path(f"reports/excerpts/{task}"),
    )


def run_report():
    report.main(
        metrics=Path("metrics"),
        training=Path("models"),
        timings=Path("timings"),
        validation=Path("reports/validation"),
        sheets=Path("reports/evaluation"),
        excerpts=Path("reports/excerpts"),
        slices=Path("reports/slices"),
        explanations=Path("reports/explanations"),
        lock=ROOT / "requirements/pipeline.lock",
        leaderboard=Path("metrics/leaderboard.csv"),
        summary=Path("metrics/summary.json"),
        timings_table=Path("metrics/timings.csv"),
        curves=Path("metrics/curves.csv"),
        confusion=Path("metrics/confusion.csv"),
        corrupted=Path("metrics/corruptions.csv"),
        pictures=Path("reports/curves"),
        docs=Path("reports/data_docs/index.html"),
        report=Path("reports/report.html"),
    )


def digits(seed):
    """Single digits, as bars; every tenth has another label."""
    labels = np.random.default_rng(seed).integers(0, 10, (40, 1), dtype=np.uint8)
    images = np.stack([draw(row, DIGIT_SHAPE) for row in labels])
    labels[::10] = (labels[::10] + 1) % 10
    return ImageSet(images, labels, DIGIT_NAMES, "embedded")


def export(strategy, **changes):
    task, shape = TASK_OF[strategy], DIGIT_SHAPE if TASK_OF[strategy] == "mnist" else STRIP_SHAPE
    path = Path(f"exports/{task}/{strategy}/model.onnx")
    path.parent.mkdir(parents=True)
    slots, classes = (1, 10) if task == "mnist" else (5, 11)
    path.write_bytes(band_model(shape, slots, classes))
    file = ModelFile(file=path.name, sha256=digest(path), bytes=path.stat().st_size)
    described = {"strategy": strategy, "task": task, "suites": SUITES[strategy], "origin": "embedded", "model": file}
    record = evaluations.record(**described | changes)
    record.write(path.with_name("export.json"))
    trained = {name: getattr(record, name) for name in TrainedModel.model_fields}
    TrainingRecord(**trained, history=HISTORY).write(Path(f"models/{task}/{strategy}/training.json"))
    TrainingTiming(strategy=strategy, seconds=12.34).write(Path(f"timings/train-{strategy}.json"))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of three strategies of two tasks whose stages have run, up to and with `report`."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "pipeline").symlink_to(ROOT / "pipeline")
        document = params.read(ROOT / "params.yaml")
        document |= {
            "budget": 0.1,
            "features": {},
            "proposals": [],
            "suspects": {},
            "robustness": {"pictures": 8, "seed": 5},
            "package": {"strips": {}, "mnist": {}},
        }
        document["strategies"] = {name: document["strategies"][name] for name in TASK_OF}
        # JSON is YAML too; `write_json` would sort the suites, whose order counts.
        (root / "params.yaml").write_text(json.dumps(document))
        for number, split in enumerate(SPLITS):
            evaluations.strips(60, "embedded", number).save(root / f"data/strips/plain/{split}.npz")
            evaluations.strips(60, "embedded", number + 3).save(root / f"data/strips/blanks/{split}.npz")
            digits(number).save(root / f"data/mnist/mnist/{split}.npz")
        evaluations.validated("strips", "plain").write(root / "reports/validation/strips/plain.json")
        for task in ("strips", "mnist"):
            run_corrupt(task)
        for strategy in TASK_OF:
            export(strategy)
            run_evaluate(strategy)
            run_robustness(strategy)
        for task in ("strips", "mnist"):
            run_analyses(task)
            run_compare(task)
            run_explore(task)
        run_report()
    return root


@pytest.fixture
def inside(project, monkeypatch):
    monkeypatch.chdir(project)


def rows_of(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """Collects what a page links to, its visible text, and whether every element it opens is closed."""

    def __init__(self, text):
        super().__init__()
        self.links, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.texts))


def test_compare_ranks_the_strategies_of_one_task(inside):
    table = rows_of("metrics/leaderboard/strips.csv")
    assert [(row["suite"], row["split"], row["strategy"]) for row in table] == [
        ("plain", "valid", "ctc"),
        ("plain", "valid", "slice"),
        ("plain", "test", "ctc"),
        ("plain", "test", "slice"),
        ("blanks", "valid", "slice"),
        ("blanks", "test", "slice"),
    ]
    candidate = Candidate.read(Path("metrics/candidates/strips.json"))
    assert (candidate.best.strategy, candidate.runner_up) == ("slice", "ctc")
    assert candidate.best.cannot_read == ("jitter", "clutter")
    assert candidate.best.valid_sequence_accuracy == 0.5
    assert {path.name for path in Path("reports/comparison/strips").iterdir()} == {"accuracy.png", "cost.png"}


def test_report_merges_the_tasks(inside):
    merged = Path("metrics/leaderboard.csv").read_text()
    assert merged.count("strategy,suite") == 1
    assert [row["suite"] for row in rows_of("metrics/leaderboard.csv")][-2:] == ["mnist", "mnist"]
    assert Path("metrics/leaderboard.md").read_text().count("\n") == 2 + 4
    assert read_json(Path("metrics/summary.json")) == {"strips": 0.5, "mnist": 0.9}


def test_report_has_the_wall_clock_of_every_strategy(inside):
    table = rows_of("metrics/timings.csv")
    assert [(row["strategy"], row["train_seconds"]) for row in table] == [(name, "12.3") for name in TASK_OF]
    assert all(float(row["ms_per_picture_batch_1"]) > 0 for row in table)


def test_report_has_every_epoch_of_every_strategy(inside):
    table = rows_of("metrics/curves.csv")
    assert [(row["strategy"], row["task"], row["epoch"]) for row in table] == [
        (name, task, epoch) for name, task in TASK_OF.items() for epoch in ("1", "2")
    ]
    assert (table[0]["exact_match"], table[1]["exact_match"]) == ("0.250000", "")
    assert {path.name for path in Path("reports/curves").iterdir()} == {"curves.png"}


def test_report_has_the_confusions_of_the_candidates_on_test(inside):
    table = rows_of("metrics/confusion.csv")
    totals = Counter()
    for row in table:
        totals[row["task"], row["strategy"], row["target"] == row["prediction"]] += int(row["count"])
    # Two suites of 60 strips of 5 slots, read without error; of 40 digits, every tenth has another label.
    assert totals == {
        ("strips", "slice", True): 600,
        ("mnist", "textbook", True): 36,
        ("mnist", "textbook", False): 4,
    }
    cells = [(row["strategy"], row["target"], row["prediction"]) for row in table]
    assert len(cells) == len(set(cells)), "the counts of the suites are added up"


def test_a_second_run_gives_the_same_bytes(inside):
    def contents():
        files = (path for folder in ("metrics", "reports") for path in Path(folder).rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}

    before = contents()
    for task in ("strips", "mnist"):
        run_analyses(task)
        run_compare(task)
        run_explore(task)
    run_report()
    # What differs from run to run is in timings/, and in the table of it.
    before.pop("metrics/timings.csv")
    after = contents()
    after.pop("metrics/timings.csv")
    assert after == before


def test_the_page_is_whole_and_needs_nothing_else(inside):
    text = Path("reports/report.html").read_text()
    page = Page(text)
    assert page.open == []
    beside = {link for link in page.links if not link.startswith(("data:", "#"))}
    assert beside == {"data_docs/index.html", "data_docs/plain/index.html"}
    assert {link.partition("?")[0] for link in page.links if link.startswith("#")} <= {
        f"#{name}" for name in re.findall(r'<(?:section|dialog) id="([a-z]+)"', text)
    }
    # Vega has addresses of namespaces and of schemas; the page itself has none.
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "url(" not in own
    assert set(re.findall(r"https?://[^\"]*", own)) == {"https://vega.github.io/schema/vega-lite/v6.4.1.json"}
    assert "@media print" in text
    assert "prefers-color-scheme: dark" in text


def test_explore_says_how_many_pictures_it_took(inside):
    assert run_explore("mnist") == "mnist 20 of 40 pictures"


def test_the_page_says_what_was_run_and_that_it_was_the_stand_in(inside):
    page = Page(Path("reports/report.html").read_text())
    assert "Measured on the embedded stand-in" in page.text
    assert re.search(r"seed\s*20\s*budget\s*0\.1", page.text)
    assert "Candidate: slice" in page.text
    assert "Candidate: textbook" in page.text
    assert "It cannot read jitter, clutter, which counts as 0." in page.text
    assert "data passed validation" in page.text
    assert "data not validated" in page.text


def test_a_task_that_was_not_compared_is_an_error_that_names_the_file(inside, tmp_path):
    metrics = shutil.copytree("metrics", tmp_path / "metrics", ignore=shutil.ignore_patterns("candidates"))
    with pytest.raises(DataError, match=r"candidates/strips\.json"):
        report.main(
            **{name: Path("nothing") for name in report.main.__annotations__ if name != "return"}
            | {"metrics": metrics, "training": Path("models")}
        )


def test_a_strategy_that_was_not_evaluated_is_named_with_the_command(inside, tmp_path):
    with pytest.raises(DataError, match=r"slice\.json: .*dvc repro evaluate@slice"):
        compare.main(
            "strips", tmp_path, tmp_path / "cost.csv", tmp_path / "a.csv", tmp_path / "a.json", tmp_path / "pictures"
        )
    assert list(tmp_path.iterdir()) == []


def test_the_exported_record_is_what_evaluation_carries(inside):
    record = ExportRecord.read(Path("exports/mnist/textbook/export.json"))
    assert read_json(Path("metrics/evaluation/mnist/textbook.json"))["sha256"] == record.model.sha256
