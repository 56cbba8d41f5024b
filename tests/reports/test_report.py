"""The page: which strategies it names, what it warns of, what its scores link to, and what it says of the run."""

import json
import re

import evaluations
import pytest
from report_pages import page

from pipeline.core.errors import DataError
from pipeline.records.evaluation import Accepted
from pipeline.reports import report


@pytest.fixture(scope="module")
def found():
    """A good and a poor model, and a better one that cannot be deployed."""
    return {
        "good": evaluations.evaluation(0.02),
        "poor": evaluations.evaluation(0.2),
        "outside": evaluations.evaluation(0.0, deployable=False, pretrained="missing"),
    }


def text_of(html):
    body = html.split("</style>")[1].split("<script")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", body)).replace("&nbsp;", " ")


def test_names_are_escaped_and_real_data_has_no_banner(tmp_path, found):
    html = page({"good": found["good"].model_copy(update={"precision": "<script>alert(1)</script>"})}, tmp_path)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert "stand-in" not in text_of(html)


def test_a_more_accurate_strategy_that_cannot_be_deployed_is_named(tmp_path, found):
    text = text_of(page({"good": found["good"], "outside": found["outside"]}, tmp_path))
    assert "outside is more accurate (100.00 %) but cannot be deployed." in text
    assert "pretrained weights missing" in text


def test_a_task_may_have_no_candidate(tmp_path, found):
    assert "No candidate" in text_of(page({"outside": found["outside"]}, tmp_path))


def test_a_name_of_a_strategy_is_text_and_part_of_an_address(tmp_path, found):
    name = "a&b <i>"
    html = page({name: found["good"].model_copy(update={"strategy": name})}, tmp_path)
    assert name not in html
    assert "a&amp;b &lt;i&gt;" in html
    assert "strategy=a%26b%20%3Ci%3E" in html


def test_every_score_of_test_links_to_its_pictures_or_its_diagnostics(tmp_path, found):
    html = page({"good": found["good"], "poor": found["poor"]}, tmp_path)
    for suite in evaluations.SUITES:
        for strategy in ("good", "poor"):
            # The accuracy and the number of errors; digits, accuracy^n, count, slots and ECE.
            assert html.count(f'href="#pictures?suite={suite}&amp;strategy={strategy}&amp;outcome=wrong"') == 2
            assert html.count(f'href="#diagnostics?suite={suite}&amp;strategy={strategy}"') == 5


def test_the_script_has_the_readings_of_every_strategy(tmp_path, found):
    html = page({"good": found["good"], "poor": found["poor"]}, tmp_path)
    data = json.loads(re.search(r'<script type="application/json" id="report-data">(.*?)</script>', html)[1])
    assert [suite["name"] for suite in data["suites"]] == list(evaluations.SUITES)
    assert all({each["name"] for each in suite["strategies"]} == {"good", "poor"} for suite in data["suites"])
    assert len(re.findall(r'<img id="sprite-\d+"', html)) == len(evaluations.SUITES)


def test_versions_are_those_of_the_lock(tmp_path, found):
    text = text_of(page({"good": found["good"]}, tmp_path))
    assert "numpy2.4.6 (python_full_version &lt; &#39;3.12&#39;), 2.5.5" in text
    assert "keras3.15.1" in text
    assert "unknown" not in text


def test_a_missing_lock_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no-lock"):
        report._versions(tmp_path / "no-lock")


def test_scores_of_digits_numbers_and_boxes_are_shown(tmp_path, found):
    splits = {
        split: score.model_copy(update={"ap": 0.7654, "ap50": 0.8765, "ap75": 0.8})
        for split, score in found["good"].suites["plain"].items()
    }
    html = page({"boxed": found["good"].model_copy(update={"suites": {"plain": splits}})}, tmp_path)
    test = splits["test"]
    for share in (test.digit_accuracy, test.accuracy_power_n, test.count_accuracy, 0.7654, 0.8765, 0.8):
        assert re.search(rf'<td class="more" data-value="{share}"><a [^>]*>{100 * share:.2f}</a></td>', html)


def test_the_accuracy_of_what_is_accepted_is_marked_where_it_is_below_the_target(tmp_path, found):
    chosen = found["good"].coverage.model_copy(update={"threshold": 0.75, "test": Accepted(share=0.5, accuracy=0.993)})
    figures = {"coverage_995": 0.5, "accuracy_at_coverage": 0.993, "threshold": 0.75}
    splits = {split: score.model_copy(update=figures) for split, score in found["good"].suites["plain"].items()}
    below = found["good"].model_copy(update={"suites": {"plain": splits}, "coverage": chosen})
    html = page({"good": below}, tmp_path)
    assert '<td data-value="0.5">50.0</td>' in html
    accepted = "#pictures?suite=plain&amp;strategy=good&amp;outcome=wrong&amp;from=0.75"
    assert f'class="bad"><a href="{accepted}" title="its accepted errors">99.30 ▼</a></td>' in html
    assert "At the confidence threshold 0.7500, at which valid assures 99.5 % accuracy" in text_of(html)


def test_a_candidate_without_a_threshold_accepts_nothing(tmp_path, found):
    html = page({"good": found["good"]}, tmp_path)
    assert found["good"].coverage.threshold is None
    assert "It accepts no reading: valid assures 99.5 % accuracy at no confidence threshold." in text_of(html)
    assert ">none accepted</td>" in html


def test_data_that_was_validated_is_marked(tmp_path, found):
    evaluations.validated("strips", "plain").write(tmp_path / "validation/strips/plain.json")
    text = text_of(page({"good": found["good"]}, tmp_path))
    assert text.count("data passed validation") == 1
    assert text.count("data not validated") == 1
