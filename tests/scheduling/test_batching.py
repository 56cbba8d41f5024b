"""Pictures that wait for a model: read together, shared by the threads, and a lone one at once."""

import asyncio
import threading

import numpy as np
import onnx_models
import pytest
from apps import HeldReader, until

from pipeline.runtime.reader import Reader
from pipeline.scheduling.batching import DynamicBatcher
from pipeline.scheduling.errors import ApiError

STRIP = onnx_models.draw([1, 2, 3, 4, 5])[None]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader.load(onnx_models.package(tmp_path_factory.mktemp("artifacts")))


def test_threads_share_what_waits(reader):
    runs: list[int] = []
    batcher = DynamicBatcher(
        {"strips": reader}, threads=2, batch=64, waiting=64, observe=lambda task, count: runs.append(count)
    )
    classes = [index % 10 for index in range(64)]

    async def ask():
        return await asyncio.gather(*(batcher.read("strips", onnx_models.draw([each] * 5)[None]) for each in classes))

    readings = asyncio.run(ask())
    batcher.close()
    assert [reading.classes[0].tolist() for reading in readings] == [[each] * 5 for each in classes]
    assert sum(runs) == 64
    assert max(runs) <= 32


def test_what_arrives_during_a_run_shares_the_next(reader):
    held = HeldReader(reader)
    batcher = DynamicBatcher({"strips": held}, threads=1, batch=8, waiting=64)

    async def ask():
        first = asyncio.create_task(batcher.read("strips", STRIP))
        await until(lambda: held.runs == [1])
        others = [asyncio.create_task(batcher.read("strips", STRIP)) for _ in range(11)]
        await asyncio.sleep(0)
        held.go_on.set()
        return await asyncio.gather(first, *others)

    readings = asyncio.run(ask())
    batcher.close()
    assert held.runs == [1, 8, 3]
    assert all(reading.classes.tolist() == [[1, 2, 3, 4, 5]] for reading in readings)


def test_pictures_of_requests_for_many_leave_the_places_of_single_ones(reader):
    held = HeldReader(reader)
    batcher = DynamicBatcher({"strips": held}, threads=1, batch=32, waiting=3)

    async def ask():
        many = [asyncio.create_task(batcher.read("strips", np.repeat(STRIP, 32, 0), many=True)) for _ in range(4)]
        await until(lambda: held.runs == [32])
        gone = asyncio.create_task(batcher.read("strips", STRIP))
        singles = [asyncio.create_task(batcher.read("strips", STRIP)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError, match="3 single pictures are waiting, expected at most 3") as error:
            await batcher.read("strips", STRIP)
        assert error.value.code == "overloaded"
        gone.cancel()
        held.go_on.set()
        readings = await asyncio.gather(*many, *singles)
        # All places are free again.
        await asyncio.gather(*(batcher.read("strips", STRIP) for _ in range(3)))
        return readings

    readings = asyncio.run(ask())
    batcher.close()
    assert [len(reading.classes) for reading in readings] == [32, 32, 32, 32, 1, 1]


def test_a_quick_model_reads_a_lone_picture_on_the_event_loop(reader):
    threads: list[str] = []

    class Noting:
        manifest = reader.manifest

        def read(self, images):
            threads.append(threading.current_thread().name)
            return reader.read(images)

    batcher = DynamicBatcher({"strips": Noting()}, threads=1, batch=8, waiting=64, inline_seconds=60.0)

    async def ask():
        threads.clear()
        await batcher.read("strips", STRIP)
        assert threads == [threading.current_thread().name]
        threads.clear()
        await asyncio.gather(*(batcher.read("strips", STRIP) for _ in range(4)))
        assert set(threads) == {"reader-0"}, "pictures that arrive together share runs"
        threads.clear()
        await batcher.read("strips", np.repeat(STRIP, 2, 0))
        assert threads == ["reader-0"]

    asyncio.run(ask())
    batcher.close()


def test_a_slow_model_never_reads_on_the_event_loop(reader):
    held = HeldReader(reader)
    held.go_on.set()
    batcher = DynamicBatcher({"strips": held}, threads=1, batch=8, waiting=64, inline_seconds=1e-9)
    held.go_on.clear()
    held.runs.clear()

    async def ask():
        task = asyncio.create_task(batcher.read("strips", STRIP))
        # The event loop goes on while the run waits.
        await until(lambda: held.runs == [1])
        assert not task.done()
        held.go_on.set()
        await task

    asyncio.run(ask())
    batcher.close()


def test_a_failed_run_fails_its_pictures_and_no_others(reader):
    held = HeldReader(reader, error=RuntimeError("broken"))
    held.go_on.set()
    batcher = DynamicBatcher({"strips": held}, threads=1, batch=8, waiting=64)

    async def ask():
        with pytest.raises(RuntimeError, match="broken"):
            await batcher.read("strips", STRIP)
        held.error = None
        return await batcher.read("strips", STRIP)

    assert asyncio.run(ask()).classes.tolist() == [[1, 2, 3, 4, 5]]
    batcher.close()
