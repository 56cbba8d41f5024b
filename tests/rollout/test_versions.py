"""The choice of the model that reads a request, while models come and go."""

import asyncio

import onnx_models
import pytest
import rollouts
from apps import HeldReader, until

from pipeline.rollout.store import Store
from pipeline.rollout.versions import Versions
from pipeline.runtime.reader import Reader
from pipeline.scheduling.batching import DynamicBatcher
from pipeline.scheduling.errors import ApiError


class _FailsLate(HeldReader):
    """Fails once it is let go."""

    def read(self, images, run=None):
        super().read(images, run)
        raise ApiError("internal", "the model failed")


@pytest.fixture
def rollout(tmp_path):
    store = Store(tmp_path / "rollout")
    store.make()
    return rollouts.begin(store, rollouts.package(tmp_path / "new"), "canary")


def test_a_request_whose_candidate_fails_after_a_swap_is_read_by_the_model_it_began_with(tmp_path, rollout):
    reader = Reader.load(onnx_models.package(tmp_path / "artifacts", boxes=True))
    batcher = DynamicBatcher({"strips": reader}, threads=2, batch=8, waiting=8)
    versions = Versions({"strips": reader}, batcher)
    compared = []
    versions.compare = compared.append
    failing = _FailsLate(reader)

    async def swap_meanwhile():
        first = versions.served("strips")
        versions.begin_trial(rollout, versions.prepare("strips", failing))
        request = asyncio.create_task(versions.read("strips", onnx_models.draw([1, 2, 3, 4, 5])[None]))
        await until(lambda: failing.runs != [])
        versions.end_trial()
        versions.replace(versions.prepare("strips", reader))
        failing.go_on.set()
        version, readings = await request
        assert version is first
        assert len(readings) == 1
        assert first.requests == 0
        # Nothing reads with it any more: it is dropped now.
        with pytest.raises(KeyError):
            await batcher.read(first.name, onnx_models.draw([1])[None])

    try:
        asyncio.run(swap_meanwhile())
    finally:
        batcher.close()
    assert [each.failed for each in compared] == [True]
