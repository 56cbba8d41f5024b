"""The page: which strategies it names, what it warns of, and which pictures it holds."""

import re

import evaluations
import pytest
from evaluations import SUITES, strips

from pipeline.evaluation import leaderboard
from pipeline.evaluation.evaluated import Evaluated
from pipeline.plots import galleries, style
from pipeline.records.evaluation import Accepted
from pipeline.reports.overview import Overview
from pipeline.reports.report import Folders, report


@pytest.fixture(scope="module")
def found():
    """A good and a poor model, and a better one that cannot be deployed."""
    return {
        "good": evaluations.evaluation(0.02),
        "poor": evaluations.evaluation(0.2),
        "outside": evaluations.evaluation(0.0, deployable=False, pretrained="missing"),
    }


@pytest.fixture(scope="module")
def pixel(tmp_path_factory):
    """The bytes of a small PNG."""
    path, pictures = tmp_path_factory.mktemp("pixel") / "pixel.png", strips(1)
    style.save(galleries.errors(Evaluated.of(evaluations.noisy(pictures, 0), pictures), "one"), path)
    return path.read_bytes()


def page(evaluations, folder, pixel):
    """The page of these evaluations."""
    kinds = ("examples", "diagnostics", "errors")
    names = [f"strips/{name}/{suite}-{kind}.png" for name in evaluations for suite in SUITES for kind in kinds]
    for name in ("strips/accuracy.png", "curves.png", *names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(pixel)
    overview = Overview(
        suites_of={"strips": SUITES},
        evaluations=evaluations,
        trainings={},
        candidates={"strips": leaderboard.candidate("strips", evaluations, SUITES)},
        rows=leaderboard.rows(evaluations, SUITES),
    )
    return report(overview, {"seed": 1}, Folders(folder / "validation", folder, folder, folder))


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html.split("</style>")[1])).replace("&nbsp;", " ")


def test_names_are_escaped_and_real_data_has_no_banner(tmp_path, found, pixel):
    html = page({"good": found["good"].model_copy(update={"precision": "<script>alert(1)</script>"})}, tmp_path, pixel)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "stand-in" not in html


def test_a_more_accurate_strategy_that_cannot_be_deployed_is_named(tmp_path, found, pixel):
    text = text_of(page({"good": found["good"], "outside": found["outside"]}, tmp_path, pixel))
    assert "outside is more accurate (100.00 %) but cannot be deployed." in text
    assert "pretrained weights missing" in text


def test_a_task_may_have_no_candidate(tmp_path, found, pixel):
    assert "No candidate" in text_of(page({"outside": found["outside"]}, tmp_path, pixel))


def test_candidates_are_open_and_the_others_behind_their_names(tmp_path, found, pixel):
    html = page({name: found[name] for name in ("good", "poor")}, tmp_path, pixel)
    opened, closed = html.index("<details open>"), html.index("<details>")
    assert "good (candidate for strips)" in html[opened:closed]
    assert "poor" in html[closed:]
    assert html[opened:closed].count("<img") == 3 * len(SUITES)
    assert html[closed:].count("<img") == 2 * len(SUITES)


def test_scores_of_digits_numbers_and_boxes_are_shown(tmp_path, found, pixel):
    splits = {
        split: score.model_copy(update={"ap": 0.7654, "ap50": 0.8765, "ap75": 0.8})
        for split, score in found["good"].suites["plain"].items()
    }
    html = page({"boxed": found["good"].model_copy(update={"suites": {"plain": splits}})}, tmp_path, pixel)
    test = splits["test"]
    shares = (f"{100 * share:.2f}" for share in (test.digit_accuracy, test.accuracy_power_n, test.count_accuracy))
    assert "<td>{}</td><td>{}</td><td>{}</td>".format(*shares) in html
    assert "<td>76.54</td><td>87.65</td><td>80.00</td>" in html


def test_the_accuracy_of_what_is_accepted_is_marked_where_it_is_below_the_target(tmp_path, found, pixel):
    chosen = found["good"].coverage.model_copy(update={"threshold": 0.75, "test": Accepted(share=0.5, accuracy=0.993)})
    figures = {"coverage_995": 0.5, "accuracy_at_coverage": 0.993, "threshold": 0.75}
    splits = {split: score.model_copy(update=figures) for split, score in found["good"].suites["plain"].items()}
    below = found["good"].model_copy(update={"suites": {"plain": splits}, "coverage": chosen})
    html = page({"good": below}, tmp_path, pixel)
    assert '<td>50.0</td><td class="bad">99.30 ▼</td>' in html
    assert "At the confidence threshold 0.7500, at which valid assures 99.5 % accuracy" in text_of(html)


def test_a_candidate_without_a_threshold_accepts_nothing(tmp_path, found, pixel):
    html = page({"good": found["good"]}, tmp_path, pixel)
    assert found["good"].coverage.threshold is None
    assert "It accepts no reading: valid assures 99.5 % accuracy at no confidence threshold." in text_of(html)
    assert "<td>0.0</td><td>none accepted</td>" in html


def test_data_that_was_validated_is_marked(tmp_path, found, pixel):
    evaluations.validated("strips", "plain").write(tmp_path / "validation/strips/plain.json")
    text = text_of(page({"good": found["good"]}, tmp_path, pixel))
    assert text.count("data passed validation") == 1
    assert text.count("data not validated") == 1
