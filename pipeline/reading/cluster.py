"""Shards on Ray Data: actors hold the models, on a cluster or on a local one that ends with the command."""

import itertools
import logging
import os
import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pipeline
from pipeline.core.errors import ConfigurationError, DataError, PipelineError
from pipeline.project.ray_address import ADDRESS_VARIABLE, expect_answer
from pipeline.reading.known import Known
from pipeline.reading.sources import Shard
from pipeline.reading.worker import Done, Work, Worker
from pipeline.records.manifest import MANIFEST, Manifest

TOGETHER = 1000
"""Shards of one execution: each is a block that Ray keeps track of."""


def on_ray(todo: Iterator[Shard], work: Work, index: Path, workers: int) -> Iterator[Done]:
    """Read shards with actors of Ray Data, as `bulk.Run`.

    A worker gets the code and the models through Ray, and reads the pictures and writes the parts itself: with nodes
    other than this one, IMAGES and OUT are addresses, or folders that every node has under the same path. An actor that
    dies is started again, and so is what it was reading.

    Raises:
        ConfigurationError: Ray is not installed, or the cluster does not take this connection.
        ClusterError: the cluster does not answer.
        DataError: as `Worker.read`.
    """
    ray = _ray()
    address = os.environ.get(ADDRESS_VARIABLE)
    if address:
        expect_answer(address)
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="ERROR",
            # One more than the actors have: Ray Data keeps a core for tasks of its own.
            num_cpus=None if address else workers + 1,
            # Nodes of a cluster need not have this clone.
            runtime_env={"py_modules": [pipeline.__path__[0]]} if address else None,
        )
    except Exception as error:  # Ray raises this class itself where a node does not start in time.
        reason = " ".join(str(error).split())[:200]
        if address:
            raise ConfigurationError(f"{ADDRESS_VARIABLE}: {address}: {reason}; expected a running cluster") from None
        raise DataError(f"ON: a local Ray cluster did not start ({reason}); run again, or leave ON out") from None
    try:
        yield from _read(ray, todo, work, index, workers)
    except ray.exceptions.RayError as error:
        raise _explained(error) from None
    finally:
        ray.shutdown()


def _read(ray: ModuleType, todo: Iterator[Shard], work: Work, index: Path, workers: int) -> Iterator[Done]:
    data = import_module("ray.data")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    # It would say of the line above that there are none.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context.execution_options.preserve_order = False
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), False)
    lookup = ray.remote(num_cpus=0, scheduling_strategy=here)(_Lookup).remote(str(index), work.artifacts)
    for shards in _batched(todo, TOGETHER):
        items = [{"shard": pickle.dumps(shard)} for shard in shards]
        parts = data.from_items(items, override_num_blocks=len(items)).map_batches(
            ShardReader,
            batch_size=1,
            compute=data.ActorPoolStrategy(size=min(workers, len(items)), max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            fn_constructor_args=(work, lookup),
        )
        for row in parts.iter_rows():
            yield pickle.loads(row["done"])


class ShardReader:
    """An actor that reads shards; Ray's dashboard shows it under this name."""

    def __init__(self, work: Work, lookup: Any) -> None:
        import ray

        # Gone with the actor.
        self._folder = tempfile.TemporaryDirectory(prefix="reader-models-")
        for name, content in ray.get(lookup.models.remote()).items():
            path = Path(self._folder.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._worker = Worker(
            replace(work, artifacts=self._folder.name), lambda hashes: ray.get(lookup.find.remote(hashes))
        )

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """The part of each shard."""
        return {"done": [pickle.dumps(self._worker.read(pickle.loads(shard))) for shard in batch["shard"]]}


class _Lookup:
    """The index and the models, for actors on any node; it runs where they are."""

    def __init__(self, index: str, artifacts: str) -> None:
        self._known = Known.readable(Path(index))
        self._artifacts = Path(artifacts)

    def models(self) -> dict[str, bytes]:
        """The manifests and models, by their paths in the folder of models."""
        return _packed(self._artifacts)

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, tuple[str, int]]:
        """As `Known.find`."""
        return self._known.find(hashes)


def _packed(artifacts: Path) -> dict[str, bytes]:
    """The manifests and models of a folder, by their paths in it."""
    packed: dict[str, bytes] = {}
    for path in sorted(artifacts.glob(f"*/{MANIFEST}")):
        model = path.with_name(Manifest.read(path).model.file)
        packed |= {file.relative_to(artifacts).as_posix(): file.read_bytes() for file in (path, model)}
    return packed


def _batched(shards: Iterator[Shard], size: int) -> Iterator[tuple[Shard, ...]]:
    # itertools has it from Python 3.12.
    while batch := tuple(itertools.islice(shards, size)):
        yield batch


def _explained(error: Exception) -> PipelineError:
    """The error that a worker raised, or that Ray has."""
    cause: BaseException | None = error
    while cause is not None:
        for found in (cause, getattr(cause, "cause", None)):
            if isinstance(found, PipelineError):
                return type(found)(str(found).strip().splitlines()[-1])
        cause = cause.__cause__
    reason = str(error).strip().splitlines()
    return DataError(f"Ray: {type(error).__name__}: {reason[-1][:200] if reason else ''}; run again to go on")


def _ray() -> ModuleType:
    # Before the import: Ray reads it then.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import_module("ray.data")
        return import_module("ray")
    except ImportError:
        raise ConfigurationError(
            "ON: ray is not installed; `.venv/bin/uv pip install -e '.[cluster]'`, or leave ON out"
        ) from None
