"""Pictures that wait for a model: read together, and shared by the threads that read."""

import asyncio

import onnx_models

from pipeline.runtime import Reader
from pipeline.serving.desk import Desk


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
