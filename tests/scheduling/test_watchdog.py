"""Models that hang, fail or yield what is not a number on some pictures: what the caller and the operator see."""

import asyncio
import threading

import apps
import numpy as np
import onnx_models
import pytest
import trap_models
from apps import until
from servers import CLASSES, encoded, expect_error, wait_for

from pipeline.runtime.reader import Reader
from pipeline.scheduling.batching import DynamicBatcher
from pipeline.scheduling.errors import ApiError
from pipeline.scheduling.shutdown import Shutdown
from pipeline.scheduling.watchdog import EXIT_CODE, Watchdog, watched_readers

STRIP = onnx_models.draw(CLASSES)
TRAP = trap_models.trapped(STRIP)
PNG, TRAP_PNG = encoded(STRIP), encoded(TRAP)


@pytest.mark.parametrize(("trap", "said"), [("nan", "not finite"), ("fails", "ONNX Runtime failed")])
@pytest.mark.parametrize("inline", [1e-9, 1000.0], ids=["in a thread", "on the event loop"])
def test_what_is_not_a_reading_is_an_error_and_a_line_in_the_log(tmp_path, caplog, trap, said, inline):
    trap_models.package(tmp_path, trap)
    with apps.client_of(tmp_path, inline_seconds=inline) as client:
        message = expect_error(client.post("/read", content=TRAP_PNG), 500, "internal")
        assert message == "the model of strips failed on this picture; the log of the service says why"
        lines = [record for record in caplog.records if record.name == "bentoml.reader"]
        assert len(lines) == 1
        assert said in lines[0].message
        assert lines[0].exc_info is None
        assert client.post("/read", content=PNG).json()["digits"] == "9754"
        expect_error(client.post("/read_many", files=[("p", PNG), ("p", TRAP_PNG)]), 500, "internal")
        assert client.get("/readyz").status_code == 200


def test_a_picture_that_a_model_fails_on_does_not_fail_those_that_share_its_run(tmp_path):
    reader = Reader.load(trap_models.package(tmp_path, "nan"))
    held = apps.HeldReader(reader)
    shutdown = Shutdown(1, 1)
    watchdog = Watchdog(shutdown, seconds=30, grace_seconds=30, end=pytest.fail)
    batcher = DynamicBatcher(watched_readers({"strips": held}, watchdog), threads=1, batch=8, waiting=64)

    async def ask():
        first = asyncio.create_task(batcher.read("strips", STRIP[None]))
        await until(lambda: held.runs == [1])
        others = [asyncio.create_task(batcher.read("strips", each[None])) for each in (STRIP, TRAP, STRIP)]
        await asyncio.sleep(0)
        held.go_on.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    first, second, failed, last = asyncio.run(ask())
    batcher.close()
    assert held.runs == [1, 3, 1, 1, 1]
    assert isinstance(failed, ApiError)
    assert failed.code == "internal"
    assert [readings.classes.tolist() for readings in (first, second, last)] == [[CLASSES]] * 3


@pytest.mark.parametrize("inline", [1e-9, 1000.0], ids=["in a thread", "on the event loop"])
def test_a_run_that_hangs_is_ended_and_the_next_picture_is_read(tmp_path, caplog, inline):
    trap_models.package(tmp_path, "loop")
    with apps.client_of(tmp_path, inline_seconds=inline, answer_seconds=0.3, threads=1) as client:
        expect_error(client.post("/read", content=TRAP_PNG), 503, "timed_out")
        # The only thread is free again.
        wait_for(lambda: client.post("/read", content=PNG).status_code == 200, "the run goes on")
        assert client.post("/read", content=PNG).json()["digits"] == "9754"
        assert any("was told to end" in record.message for record in caplog.records)
        assert client.get("/readyz").status_code == 200


def test_a_run_that_does_not_end_makes_the_process_not_ready_and_then_ends_it(caplog):
    ended, let_go = [], threading.Event()
    over = threading.Event()
    shutdown = Shutdown(1, 1)

    def end(code):
        ended.append((code, shutdown.requested))
        over.set()

    watchdog = Watchdog(shutdown, seconds=0.1, grace_seconds=0.3, end=end)
    watchdog.start()

    def stuck():
        with watchdog.watching("strips", 1) as run:
            let_go.wait(60)
        assert run.cancelled

    thread = threading.Thread(target=stuck)
    thread.start()
    with watchdog.watching("mnist", 1):
        pass
    assert over.wait(60)
    let_go.set()
    thread.join()
    assert ended == [(EXIT_CODE, True)]
    assert "a run of strips does not end" in shutdown.reason
    messages = [record.message for record in caplog.records]
    assert [line for line in messages if "mnist" in line] == []
    assert len(messages) == 3, "told to end, not ready, ends"


def test_stopping_tells_what_still_runs_to_end(tmp_path):
    reader = Reader.load(trap_models.package(tmp_path, "loop"))
    watchdog = Watchdog(Shutdown(1, 1), seconds=1000, grace_seconds=1000, end=pytest.fail)
    watchdog.start()
    watched = watched_readers({"strips": reader}, watchdog)["strips"]
    failures = []

    def read():
        try:
            watched.read(np.stack([TRAP]))
        except ApiError as error:
            failures.append(error.code)

    thread = threading.Thread(target=read)
    thread.start()
    while not watchdog._watched:
        threading.Event().wait(0.01)
    watchdog.stop()
    thread.join(60)
    assert failures == ["timed_out"]
