import collections
import hashlib
import logging
import shutil
import time

import bentoml
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer

from pipeline.monitoring.forgetting import forget
from pipeline.monitoring.log import PredictionLog
from pipeline.monitoring.quarantine import pictures
from pipeline.monitoring.segments import content, segments
from pipeline.monitoring.settings import LogSettings
from pipeline.records.monitoring import Prediction


def lines_of(settings):
    data = b"".join(content(path) for path in segments(settings.folder / "predictions"))
    return [Prediction.parse(line.decode(), "log") for line in data.splitlines() if line.strip()]


@pytest.fixture
def started():
    """Starts logs, and closes them in the end."""
    logs = []

    def start(settings):
        counts = collections.Counter()
        log = PredictionLog(settings, count=lambda outcome, number: counts.update({outcome: number}))
        log.start()
        logs.append(log)
        return log, counts

    yield start
    for log in logs:
        log.close()


def test_every_answer_is_a_line_once_the_log_is_closed(settings, answered, started):
    log, counts = started(settings)
    for number in range(600):
        log.add(answered(number))
    log.close()
    lines = lines_of(settings)
    assert [line.digest for line in lines] == [
        hashlib.sha256(answered(number).content).hexdigest() for number in range(600)
    ]
    assert (lines[0].reading, lines[0].confidence, lines[0].shift, lines[0].accepted) == ("97541", 0.99, 0.01, True)
    assert (lines[0].height, lines[0].width, lines[0].lines) == (28, 140, 1)
    assert counts == {"written": 600}


def test_the_schema_of_the_columns_is_beside_the_log(settings, answered, started):
    log, _ = started(settings)
    log.add(answered(0))
    log.close()
    columns = (settings.folder / "schema.json").read_text()
    assert all(f'"{name}"' in columns for name in Prediction.model_fields)


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(tmp_path, answered):
    counts = collections.Counter()
    settings = LogSettings(tmp_path, log_queue=5, log_queue_bytes=10**6)
    log = PredictionLog(settings, count=lambda outcome, number: counts.update({outcome: number}))
    for number in range(8):
        log.add(answered(number))
    log.start()
    log.close()
    assert counts == {"written": 5, "queue": 3}
    large = PredictionLog(settings, count=lambda outcome, number: counts.update({outcome: number}))
    large.add(answered(9, bytes_more=10**6))
    large.start()
    large.close()
    assert counts["queue"] == 4


def test_only_pictures_of_declined_readings_are_kept(settings, answered, started):
    log, counts = started(settings)
    log.add(answered(0))
    log.add(answered(1, accepted=False))
    log.add(answered(2, accepted=None))
    log.close()
    kept = {path.stem for path in pictures(settings.folder / "quarantine")}
    assert kept == {hashlib.sha256(answered(number).content).hexdigest() for number in (1, 2)}
    assert counts["quarantined"] == 2


def test_a_folder_that_cannot_be_written_is_one_warning_until_it_can(settings, answered, started, caplog):
    settings.folder.write_text("a file")
    log, counts = started(settings)
    with caplog.at_level(logging.WARNING, "bentoml.reader"):
        for number in range(3):
            log.add(answered(number, accepted=False))
            wait(lambda: counts["disk"] == number + 1)  # noqa: B023
        settings.folder.unlink()
        log.add(answered(3))
        wait(lambda: counts["written"] == 1)
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(":")[0] for message in messages] == [
        "the prediction log",
        "the quarantine",
        "the prediction log is written again",
    ]


def test_a_monitor_of_bentoml_takes_the_place_of_the_files(settings, answered, started):
    rows = []

    class Recording(bentoml.monitoring.MonitorBase):
        def export_schema(self, columns_schema):
            pass

        def export_data(self, datas):
            rows.extend(zip(*datas.values(), strict=True))
            if len(rows) == 1:
                raise ValueError("a monitor that fails once")

    BentoMLContainer.config.monitoring.type.set(Recording)
    try:
        log, _ = started(settings)
    finally:
        BentoMLContainer.config.monitoring.type.set("default")
    log.add(answered(0))
    wait(lambda: len(rows) == 1)
    log.add(answered(1))
    wait(lambda: len(rows) == 2)
    assert not (settings.folder / "predictions").exists()


def test_a_forgotten_picture_leaves_no_trace_while_the_log_goes_on(settings, answered, started):
    log, counts = started(settings)
    small = LogSettings(settings.folder, log_bytes=2**20)
    earlier, _ = started(small)
    for number in range(400):
        earlier.add(answered(number % 40, accepted=number % 2 == 0))
    earlier.close()
    log.add(answered(3, accepted=False))
    log.add(answered(4, accepted=False))
    wait(lambda: counts["written"] == 2)
    digest = hashlib.sha256(answered(3).content).hexdigest()
    log.add(answered(3, accepted=False))
    found = forget(settings.folder, digest)
    assert (found.lines, found.pictures >= 1) == (12, True)
    log.close()
    everything = b"".join(
        content(path) if path.parent.name == "predictions" and path.suffix != ".lock" else path.read_bytes()
        for path in settings.folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    assert digest.encode() not in everything
    assert not [path for path in settings.folder.rglob("*") if digest in path.name]
    assert len(lines_of(settings)) == 403 - 12
    assert forget(settings.folder, digest).lines == 0


def test_an_orphaned_folder_is_made_again(settings, answered, started):
    log, counts = started(settings)
    log.add(answered(0))
    wait(lambda: counts["written"] == 1)
    shutil.rmtree(settings.folder)
    log.close()


def wait(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
