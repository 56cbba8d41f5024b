"""Pictures that wait for a model: read together, and shared by the threads that read."""

import asyncio
import threading

import numpy as np
import onnx_models
import pytest

from pipeline.runtime.reader import Reader
from pipeline.serving.batching import Desk
from pipeline.serving.errors import Refusal


def test_a_thread_takes_its_share_of_what_waits(tmp_path):
    reader = Reader.load(onnx_models.package(tmp_path))
    runs: list[int] = []
    desk = Desk({"strips": reader}, threads=2, batch=64, waiting=64, observe=lambda task, count: runs.append(count))
    classes = [index % 10 for index in range(64)]

    async def ask():
        return await asyncio.gather(*(desk.read("strips", onnx_models.draw([each] * 5)[None]) for each in classes))

    readings = asyncio.run(ask())
    desk.close()
    assert [reading.classes[0].tolist() for reading in readings] == [[each] * 5 for each in classes]
    assert sum(runs) == 64
    assert max(runs) <= 32


def test_pictures_of_requests_for_many_leave_the_places_of_single_ones(tmp_path):
    reader = Reader.load(onnx_models.package(tmp_path))
    go_on = threading.Event()

    class Held:
        def read(self, images):
            assert go_on.wait(30)
            return reader.read(images)

    desk = Desk({"strips": Held()}, threads=1, batch=32, waiting=3)
    strip = onnx_models.draw([1, 2, 3, 4, 5])[None]

    async def ask():
        many = [asyncio.create_task(desk.read("strips", np.repeat(strip, 32, 0), admitted=True)) for _ in range(4)]
        await asyncio.sleep(0.1)
        gone = asyncio.create_task(desk.read("strips", strip))
        singles = [asyncio.create_task(desk.read("strips", strip)) for _ in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(Refusal, match="3 single pictures wait, expected at most 3") as refused:
            await desk.read("strips", strip)
        assert refused.value.code == "overloaded"
        gone.cancel()
        go_on.set()
        readings = await asyncio.gather(*many, *singles)
        # All places are free again.
        await asyncio.gather(*(desk.read("strips", strip) for _ in range(3)))
        return readings

    readings = asyncio.run(ask())
    desk.close()
    assert [len(reading.classes) for reading in readings] == [32, 32, 32, 32, 1, 1]
