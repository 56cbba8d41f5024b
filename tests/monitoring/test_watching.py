"""From the log and a manifest to an alarm."""

import evaluations
import numpy as np
import predictions
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.monitoring import watching
from pipeline.monitoring.exposition import DriftCollector
from pipeline.monitoring.reference import count, reference_of
from pipeline.monitoring.statistics import bins_of, names
from pipeline.packaging.manifest import manifest
from pipeline.records.manifest import Manifest


@pytest.fixture(scope="module")
def packaged() -> Manifest:
    """A manifest whose reference is traffic as `predictions` makes it."""
    made = manifest(evaluations.record(), evaluations.evaluation())
    reference = reference_of(
        made,
        {
            suite: (each["valid"].pictures.images, each["valid"].readings)
            for suite, each in evaluations.results().items()
        },
    )
    lines = [bins_of(line, names(made)) for line in predictions.traffic(1000, 0)]
    counts = dict(zip(names(made), (" ".join(map(str, row)) for row in count(np.array(lines))), strict=True))
    suites = {suite: each.model_copy(update={"counts": counts}) for suite, each in reference.suites.items()}
    return made.model_copy(update={"reference": reference.model_copy(update={"suites": suites})})


def test_a_reference_travels_in_the_manifest(packaged, tmp_path):
    packaged.write(tmp_path / "manifest.json")
    assert Manifest.read(tmp_path / "manifest.json").reference == packaged.reference
    made = manifest(evaluations.record(), evaluations.evaluation())
    valid = evaluations.results()["plain"]["valid"]
    reference = reference_of(made, {"plain": (valid.pictures.images, valid.readings)})
    counts = {name: list(map(int, text.split())) for name, text in reference.suites["plain"].counts.items()}
    assert {sum(each) for each in counts.values()} == {200}
    assert counts["area"][int(2 * np.log2(28 * 140))] == 200


def test_traffic_like_the_reference_raises_no_alarm_and_a_change_does(packaged, tmp_path):
    predictions.write(tmp_path, predictions.traffic(1500, 1))
    state = watching.follow(watching.begin(packaged), tmp_path)
    assert (state.pictures, state.alarms, state.reference) == (1500, (), "all suites")
    assert 1 < (state.latest - state.started) / predictions.WEEK < 2
    assert watching.follow(state, tmp_path).pictures == 1500, "nothing is new"
    predictions.write(tmp_path, predictions.traffic(300, 2, first=1500, start=state.latest, brightness=60.0))
    changed = watching.follow(state, tmp_path)
    assert changed.alarms[0].statistic == "brightness"
    assert changed.alarms[0].pictures - 1500 < 40
    again = watching.follow(changed, tmp_path)
    assert again.alarms == changed.alarms


def test_repeated_pictures_and_those_of_other_models_are_left_out(packaged, tmp_path):
    lines = predictions.traffic(50, 1)
    predictions.write(tmp_path, [*lines, *lines[:20]])
    predictions.write(tmp_path, predictions.traffic(30, 2, first=100, model="cd" * 32))
    state = watching.follow(watching.begin(packaged), tmp_path)
    predictions.write(tmp_path, lines[20:30])
    state = watching.follow(state, tmp_path)
    assert (state.pictures, state.repeated) == (50, 30)


def test_accepted_traffic_becomes_the_reference(packaged, tmp_path):
    predictions.write(tmp_path, predictions.traffic(400, 1, brightness=60.0))
    with pytest.raises(DataError, match="400 pictures of strips found, expected at least 500"):
        watching.accept(packaged, tmp_path)
    predictions.write(tmp_path, predictions.traffic(400, 2, first=400, start=1.001e9, brightness=60.0))
    state = watching.accept(packaged, tmp_path)
    assert watching.follow(state, tmp_path).pictures == 0
    predictions.write(tmp_path, predictions.traffic(300, 3, first=800, start=state.latest, brightness=60.0))
    state = watching.follow(state, tmp_path)
    assert (state.pictures, state.alarms, state.reference) == (300, (), "accepted traffic")


def test_a_suite_or_a_reference_that_is_not_there_is_named(packaged):
    assert watching.begin(packaged, "plain").reference == "plain"
    with pytest.raises(ConfigurationError, match="SUITE: 'fancy' found, expected one of plain, blanks"):
        watching.begin(packaged, "fancy")
    with pytest.raises(DataError, match="no reference statistics"):
        watching.begin(packaged.model_copy(update={"reference": None}))


def test_the_service_shows_what_was_found(packaged, tmp_path):
    predictions.write(tmp_path, predictions.traffic(300, 2, brightness=60.0))
    watching.follow(watching.begin(packaged), tmp_path).write(tmp_path / "drift/strips.json")
    (tmp_path / "drift/lines.json").write_text("{")
    registry = CollectorRegistry()
    registry.register(DriftCollector(tmp_path))
    text = generate_latest(registry).decode()
    assert 'reader_drift_alarm{statistic="brightness",task="strips"} 1.0' in text
    assert 'reader_drift_alarm{statistic="class 7",task="strips"} 0.0' in text
    assert 'reader_drift_pictures{task="strips"} 300.0' in text
    assert "lines" not in text
