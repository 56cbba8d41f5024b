"""The data of the page's script: readings beside targets, confusions, and nothing that ends its element."""

import json

import evaluations
import numpy as np
import pytest
import report_pages

from pipeline.core.errors import DataError
from pipeline.evaluation import leaderboard
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.training import TrainedModel, TrainingRecord
from pipeline.reports import excerpts, explorer
from pipeline.reports.overview import Overview

HISTORY = ({"loss": 1.5, "exact_match": 0.25, "val_loss": 1.0}, {"loss": 1.0, "val_loss": 0.5})


@pytest.fixture
def overview():
    found = {"good": evaluations.evaluation(0.02), "poor": evaluations.evaluation(0.2)}
    record = evaluations.record()
    training = TrainingRecord(**{name: getattr(record, name) for name in TrainedModel.model_fields}, history=HISTORY)
    return Overview(
        suites_of={"strips": ("plain",)},
        evaluations=found,
        trainings={"good": training},
        candidates={"strips": leaderboard.candidate("strips", found, ("plain",))},
        rows=leaderboard.rows(found, ("plain",)),
        as_good={},
    )


@pytest.fixture
def read():
    pictures = evaluations.strips(100)
    return {
        name: Evaluated.of(evaluations.noisy(pictures, wrong), pictures)
        for name, wrong in (("good", 0.02), ("poor", 0.2))
    }


def test_readings_and_targets_are_those_of_the_pictures(overview, read, tmp_path):
    taken = excerpts.excerpt("strips", "plain", read)
    sources = report_pages.sources(tmp_path, "strips", {"plain": read})
    suite = explorer.content(overview, [taken], sources.evaluation)["suites"][0]
    assert [each["name"] for each in suite["strategies"]] == ["good", "poor"]
    blank = suite["classes"].index("blank")
    for at, index in enumerate(suite["indices"]):
        target = [label for label in read["good"].pictures.labels[index].tolist() if label != blank]
        assert suite["targets"]["classes"][at] == target
        for each in suite["strategies"]:
            whole = read[each["name"]]
            said = [label for label in whole.readings.classes[index].tolist() if label != blank]
            assert each["readings"]["classes"][at] == said
            assert each["readings"]["correct"][at] == int(whole.correct[index])
            assert each["readings"]["confidence"][at] == pytest.approx(whole.readings.confidence[index], abs=2e-6)
    poor = suite["strategies"][1]
    assert sum(count for target, prediction, count in poor["confusion"] if target != prediction) == int(
        (read["poor"].readings.classes != read["poor"].pictures.labels).sum()
    )


def test_a_confidence_reaches_the_threshold_in_the_page_exactly_if_it_does(overview, tmp_path):
    pictures = evaluations.strips(3)
    confidence = np.array([0.9694996, 0.9695, 0.9695004], np.float32)
    whole = Evaluated.of(evaluations.readings(pictures.labels, confidence), pictures)
    taken = excerpts.excerpt("strips", "plain", {"good": whole})
    sources = report_pages.sources(tmp_path, "strips", {"plain": {"good": whole}})
    shown = explorer.content(overview, [taken], sources.evaluation)["suites"][0]["strategies"][0]["readings"]
    threshold = 0.9695
    assert [each >= threshold for each in shown["confidence"]] == (confidence.astype(float) >= threshold).tolist()


def test_boxes_are_those_of_the_digits(tmp_path):
    scenes = evaluations.scenes(20)
    found = explorer._digits(scenes.readings.classes, scenes.readings.boxes, scenes.pictures.class_names)
    assert all(len(classes) == len(boxes) for classes, boxes in zip(found["classes"], found["boxes"], strict=True))
    first = int(np.flatnonzero(scenes.readings.classes[0] != scenes.blank)[0])
    assert found["boxes"][0][0] == np.rint(scenes.readings.boxes[0][first]).astype(int).tolist()


def test_curves_leave_out_what_an_epoch_lacks(overview):
    curves = explorer.content(overview, [], None)["curves"]["good"]
    assert curves["exact_match"] == [{"epoch": 1, "split": "train", "value": 0.25}]
    assert [row["value"] for row in curves["loss"]] == [1.5, 1.0, 1.0, 0.5]


def test_a_missing_confusion_is_an_error_that_names_the_file(overview, read, tmp_path):
    taken = excerpts.excerpt("strips", "plain", read)
    with pytest.raises(DataError, match=r"good.plain-confusion\.csv"):
        explorer.content(overview, [taken], tmp_path)


def test_no_text_ends_the_element_or_begins_a_comment():
    value = {"name": "</script><!-- & '\u2028 é"}
    text = str(explorer.script_json(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value
