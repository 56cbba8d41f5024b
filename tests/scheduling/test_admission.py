"""Who is let in, who waits, and who is rejected at once."""

import asyncio
import time

import numpy as np
import onnx_models
import pytest
from apps import HeldReader, until

from pipeline.runtime.reader import Reader
from pipeline.scheduling.admission import SHORT, Gate
from pipeline.scheduling.batching import DynamicBatcher
from pipeline.scheduling.errors import ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.shutdown import Shutdown

STRIP = onnx_models.draw([1, 2, 3, 4, 5])[None]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader.load(onnx_models.package(tmp_path_factory.mktemp("artifacts")))


class SlowReader:
    """A reader that takes a known time for each picture."""

    def __init__(self, reader, seconds):
        self.manifest = reader.manifest
        self.runs = []
        self._reader = reader
        self._seconds = seconds

    def read(self, images):
        self.runs.append(len(images))
        time.sleep(self._seconds * len(images))
        return self._reader.read(images)


def test_a_picture_that_would_wait_longer_than_it_may_is_rejected_and_others_are_read(reader):
    slow = SlowReader(reader, 0.02)
    batcher = DynamicBatcher(
        {"strips": slow}, threads=1, batch=4, waiting=1000, waiting_seconds=0.3, inline_seconds=1e-9
    )

    async def ask():
        return await asyncio.gather(*(batcher.read("strips", STRIP) for _ in range(100)), return_exceptions=True)

    answers = asyncio.run(ask())
    batcher.close()
    rejected = [answer for answer in answers if isinstance(answer, ApiError)]
    assert {error.code for error in rejected} == {"overloaded"}
    assert "a picture would wait" in rejected[0].message
    # 0.3 seconds of work, each picture 0.02 seconds or, on a busy machine, more.
    assert 1 <= len(answers) - len(rejected) <= 17
    assert batcher.expected_seconds() == 0


def test_a_single_picture_goes_before_what_is_left_of_many(reader):
    held = HeldReader(reader)
    batcher = DynamicBatcher({"strips": held}, threads=1, batch=4, waiting=8)
    finished = []

    async def ask():
        many = asyncio.create_task(batcher.read("strips", np.repeat(STRIP, 40, 0), many=True))
        many.add_done_callback(lambda _: finished.append("many"))
        await until(lambda: held.runs == [4])
        one = asyncio.create_task(batcher.read("strips", STRIP))
        one.add_done_callback(lambda _: finished.append("one"))
        await asyncio.sleep(0)
        held.go_on.set()
        return await asyncio.gather(many, one)

    many, one = asyncio.run(ask())
    batcher.close()
    assert held.runs[:2] == [4, 1], "the single picture waits for one slice"
    assert finished == ["one", "many"]
    assert many.classes.tolist() == [[1, 2, 3, 4, 5]] * 40
    assert one.classes.tolist() == [[1, 2, 3, 4, 5]]


def test_slices_take_some_milliseconds_whatever_the_model_takes(reader):
    slow = SlowReader(reader, 0.003)
    batcher = DynamicBatcher({"strips": slow}, threads=1, batch=32, waiting=8, inline_seconds=1e-9)
    slow.runs.clear()
    asyncio.run(batcher.read("strips", np.repeat(STRIP, 10, 0), many=True))
    batcher.close()
    assert sum(slow.runs) == 10
    assert max(slow.runs) <= 2


def test_many_pictures_are_read_while_single_ones_never_end(reader):
    batcher = DynamicBatcher({"strips": SlowReader(reader, 0.001)}, threads=1, batch=4, waiting=64)

    async def ask():
        many = asyncio.create_task(batcher.read("strips", np.repeat(STRIP, 16, 0), many=True))

        async def singles():
            while not many.done():
                await asyncio.gather(*(batcher.read("strips", STRIP) for _ in range(8)))

        async with asyncio.timeout(60):
            await asyncio.gather(singles(), singles())
            return await many

    assert len(asyncio.run(ask())) == 16
    batcher.close()


def gate_of(reader, **limits):
    counted = []
    batcher = DynamicBatcher({"strips": reader}, threads=1, batch=4, waiting=2)
    shutdown = Shutdown(1, 1)
    gate = Gate(batcher, Limits(**limits), shutdown, ["/read"], lambda path, code: counted.append((path, code)))
    return gate, batcher, shutdown, counted


def test_the_gate_rejects_single_pictures_alone_and_only_where_they_would_wait(reader):
    held = HeldReader(reader)
    gate, batcher, shutdown, counted = gate_of(held, requests=5)
    short = [(b"host", b"x"), (b"content-length", b"1000")]

    assert gate.covers("POST", "/read", short)
    # These are the application's.
    assert not gate.covers("GET", "/read", short)
    assert not gate.covers("POST", "/read_many", short)
    assert not gate.covers("POST", "/read", [(b"transfer-encoding", b"chunked")])
    assert not gate.covers("POST", "/read", [(b"content-length", b"%d" % (SHORT + 1))])

    async def ask():
        assert not gate.why_closed()
        reads = [asyncio.create_task(batcher.read("strips", STRIP))]
        await until(lambda: held.runs == [1])
        reads += [asyncio.create_task(batcher.read("strips", STRIP)) for _ in range(2)]
        await asyncio.sleep(0)
        reason = gate.why_closed()
        assert reason
        head, _, content = gate.refusal("/read", reason).partition(b"\r\n\r\n")
        assert b"retry-after: 1" in head
        assert f"content-length: {len(content)}".encode() in head
        assert b'"overloaded"' in content
        assert counted == [("/read", "overloaded")]
        shutdown.requested = True
        assert not gate.why_closed()
        held.go_on.set()
        await asyncio.gather(*reads)
        shutdown.requested = False
        assert not gate.why_closed()
        shutdown.in_progress = 5
        assert "5 requests are in progress" in gate.why_closed()

    asyncio.run(ask())
    batcher.close()


def test_what_arrives_together_is_not_all_let_in_before_the_first_of_it_begins(reader):
    batcher = DynamicBatcher({"strips": reader}, threads=1, batch=4, waiting=10)
    gate = Gate(batcher, Limits(), Shutdown(1, 1), ["/read"], lambda path, code: None)

    async def arrive():
        let_in = 0
        loop = asyncio.get_running_loop()
        while not gate.why_closed():
            gate.begin(loop)
            let_in += 1
        # What was let in is not rejected when it begins.
        batcher.expect_room()
        await asyncio.sleep(0)
        assert not gate.why_closed(), "the others have begun, and wait for nothing here"
        return let_in

    assert asyncio.run(arrive()) == 8
    batcher.close()
