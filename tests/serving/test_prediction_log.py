"""What the service writes into the prediction log, and what answers are like while it cannot."""

import concurrent.futures
import hashlib
import io
import time

import numpy as np
import onnx_models
import pytest
from apps import TestClient
from servers import CLASSES, ROOT, encoded, environment, started

from pipeline.monitoring.forgetting import forget
from pipeline.monitoring.quarantine import pictures
from pipeline.monitoring.segments import content, segments
from pipeline.monitoring.settings import LogSettings
from pipeline.records.monitoring import Prediction
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

STRIP = onnx_models.draw(CLASSES)
PNG = encoded(STRIP)
NOISE = encoded(np.random.default_rng(0).integers(0, 255, (90, 300), np.uint8))
RAW = {"Content-Type": "application/octet-stream", "X-Shape": "28,140"}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def lines_of(folder):
    data = b"".join(content(path) for path in segments(folder / "predictions"))
    return [Prediction.parse(line.decode(), "log") for line in data.splitlines() if line.strip()]


def logged(artifacts, settings, *requests):
    """The answers to requests, and the lines of the log afterwards."""
    with TestClient(create_app(load_readers(artifacts), Limits(), log_settings=settings)) as client:
        answers = [client.post(path, **arguments) for path, arguments in requests]
        metrics = client.get("/metrics").text
    return answers, lines_of(settings.folder), metrics


def test_every_answered_picture_is_a_line(with_lines, tmp_path):
    settings = LogSettings(tmp_path / "log", quarantine_bytes=2**20)
    picture = encoded(onnx_models.draw([3], onnx_models.CIFAR_SHAPE))
    pair = np.stack([STRIP[..., 0], np.zeros_like(STRIP[..., 0])])
    array = io.BytesIO()
    np.save(array, pair)
    answers, lines, _ = logged(
        with_lines, settings,
        ("/read", {"content": PNG}),
        ("/read", {"files": {"file": ("a", PNG)}}),
        ("/read", {"content": STRIP.tobytes(), "headers": RAW}),
        ("/read", {"content": NOISE}),
        ("/read?task=strips&fit=true", {"content": NOISE}),
        ("/classify", {"content": picture}),
        ("/read_many", {"files": [("p", ("a", PNG)), ("p", ("b", b"no picture")), ("p", ("c", PNG))]}),
        ("/read_many", {"content": array.getvalue(), "headers": {"Content-Type": "application/x-npy"}}),
        ("/read", {"content": b"no picture"}),
        ("/compare?task=strips", {"content": PNG}),
    )  # fmt: skip
    assert [answer.status_code for answer in answers] == [200] * 8 + [400, 200]
    of_raw = digest(STRIP.tobytes())
    expected = [
        (digest(PNG), "strips", "9754", (28, 140)),
        (digest(PNG), "strips", "9754", (28, 140)),
        (of_raw, "strips", "9754", (28, 140)),
        (digest(NOISE), "lines", answers[3].json()["digits"], (90, 300)),
        (digest(NOISE), "strips", answers[4].json()["digits"], (90, 300)),
        (digest(picture), "cifar10", "cat", (32, 32)),
        (digest(PNG), "strips", "9754", (28, 140)),
        (digest(PNG), "strips", "9754", (28, 140)),
        (of_raw, "strips", "9754", (28, 140)),
        (digest(pair[1].tobytes()), "strips", "", (28, 140)),
    ]
    assert [(line.digest, line.task, line.reading, (line.height, line.width)) for line in lines] == expected
    for line, answer in zip(lines[:6], answers[:6], strict=True):
        given = answer.json()
        assert (line.confidence, line.accepted) == (given["confidence"], given["accepted"])
        assert (line.model, line.version) == (given["model"]["sha256"], given["model"]["version"])
    assert lines[0].ink == pytest.approx(np.mean(STRIP >= 32), abs=1e-6)
    assert lines[0].brightness == pytest.approx(STRIP.mean(), abs=1e-6)
    assert lines[9].notes == ("nothing_to_see",)
    declined = {line.digest for line in lines if line.accepted is not True}
    assert {path.stem for path in pictures(settings.folder / "quarantine")} == declined


def test_answers_go_on_where_the_log_cannot_be_written(artifacts, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    settings = LogSettings(tmp_path / "file" / "log", quarantine_bytes=2**20)
    with TestClient(create_app(load_readers(artifacts), Limits(), log_settings=settings)) as client:
        assert [client.post("/read", content=PNG).json()["digits"] for _ in range(3)] == ["9754"] * 3
        end = time.monotonic() + 20
        while 'reader_log_dropped_total{reason="disk"} 3.0' not in client.get("/metrics").text:
            assert time.monotonic() < end


@pytest.mark.slow
def test_workers_share_a_log_and_lose_nothing(artifacts, tmp_path):
    """A few thousand requests to a service of two workers, which is stopped in the end."""
    log = tmp_path / "log"
    env = environment(tmp_path / "bentoml", READER_ARTIFACTS=str(artifacts), READER_LOG=str(log))
    env |= {"BENTOML_CONFIG_OPTIONS": "services.reader.workers=2", "READER_LOG_BYTES": "4000000"}
    sent = [STRIP.copy() for _ in range(3000)]
    for number, strip in enumerate(sent):
        strip.reshape(-1)[:4] = np.frombuffer(np.int32(number).tobytes(), np.uint8)
    with started(cwd=ROOT, env=env, log=tmp_path / "log.txt") as server:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda strip: server.client.post("/read", content=strip.tobytes(), headers=RAW), sent)
            )
        assert {answer.status_code for answer in answers} == {200}
        forgotten = forget(log, digest(sent[7].tobytes()))
        assert (forgotten.lines, forgotten.pictures) == (1, 0)
    lines = lines_of(log)
    assert {line.digest for line in lines} == {digest(strip.tobytes()) for strip in sent} - {digest(sent[7].tobytes())}
    assert len(lines) == 2999
    assert not list(log.rglob("*.jsonl")), "every worker has closed its segment"
    print(f"3,000 requests, {len(segments(log / 'predictions'))} segments, 1 line forgotten while the service ran")
