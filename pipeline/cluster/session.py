"""A connection to Ray: to the cluster that RAY_ADDRESS names, or to one of this machine, started for one command."""

import contextlib
import logging
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from pipeline.config.names import shown
from pipeline.config.sections import Resources
from pipeline.core.errors import ConfigurationError, PipelineError
from pipeline.project.ray_address import ADDRESS_VARIABLE, ClusterError, expect_answer

OBJECT_STORE = 200 << 20
"""Bytes of memory for the objects of a cluster of this machine: commits and outcomes, a few megabytes each."""
_GIB = 1 << 30


def expect_place(on: str, *, alone: bool) -> None:
    """Check where a command is to run.

    Args:
        on: "" for here, or `ray`.
        alone: whether no other option says how it runs.

    Raises:
        ConfigurationError: it is another place, or the options exclude each other.
    """
    if on not in ("", "ray"):
        raise ConfigurationError(f"--on: expected ray, found {shown(on)}")
    if on and not alone:
        raise ConfigurationError("--on ray: the cluster decides what runs at a time; leave --jobs and --quick out")


@contextlib.contextmanager
def connected(cores: int | None = None) -> Iterator[ModuleType]:
    """Ray, connected until the block ends; within a block that is connected, that connection.

    Args:
        cores: of a cluster that is started here; None for those of this machine.

    Raises:
        ConfigurationError: Ray is not installed, or in another version than on the cluster, or the token is wrong.
        ClusterError: the cluster does not answer.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise ConfigurationError("ray: not installed; make setup (or pip install -e '.[cluster]')") from None
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get(ADDRESS_VARIABLE, "")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        expect_answer(address)
        options |= {"address": address}
    else:
        options |= {"address": "local", "num_cpus": cores, "object_store_memory": OBJECT_STORE}
    try:
        context = ray.init(**options)
    except Exception as error:
        # A plain Exception is how Ray says that a node did not start in time.
        if not isinstance(error, RuntimeError | ValueError | OSError | ray.exceptions.RayError) and (
            type(error) is not Exception
        ):
            raise
        raise _explained(error, f"{ADDRESS_VARIABLE}={address or 'none'}: {_line(error)}") from None
    try:
        if url := getattr(context, "dashboard_url", None):
            print(f"Ray's dashboard: http://{url}", flush=True)
        yield ray
    finally:
        ray.shutdown()


def expect_room(ray: ModuleType, wanted: Resources, stages: str) -> None:
    """Check that a node of the cluster has what a task asks for; without one, Ray would wait for it for ever.

    Raises:
        ConfigurationError: none has.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for name, resource, amount in (
        ("cores", "CPU", wanted.cores),
        ("memory", "memory", wanted.memory * _GIB),
        ("gpus", "GPU", wanted.gpus),
    ):
        largest = max((node.get(resource, 0.0) for node in nodes), default=0.0)
        if amount > largest:
            scale = _GIB if resource == "memory" else 1
            raise ConfigurationError(
                f"params.yaml: cluster.resources: {stages}: {name} {amount / scale:g}, and the largest node has "
                f"{largest / scale:.3g}; ask for less, or add a node"
            )
    if not any(
        node.get("CPU", 0) >= wanted.cores
        and node.get("memory", 0) >= wanted.memory * _GIB
        and node.get("GPU", 0) >= wanted.gpus
        for node in nodes
    ):
        raise ConfigurationError(f"params.yaml: cluster.resources: {stages}: no node has all of {wanted}; ask for less")


def options(wanted: Resources, name: str, retries: int) -> dict[str, Any]:
    """The options of a Ray task.

    Args:
        wanted: of its node.
        name: in Ray's dashboard.
        retries: how often a task is run again whose worker or node died.
    """
    return {
        "name": name,
        "num_cpus": wanted.cores,
        "num_gpus": wanted.gpus,
        "memory": wanted.memory * _GIB,
        "max_retries": retries,
    }


def _explained(error: Exception, line: str) -> PipelineError:
    """A wrong token or another version of Ray has to be corrected; a cluster that does not answer may later."""
    waits = isinstance(error, OSError) or type(error) is Exception or "connect" in line
    return ClusterError(line) if waits and "token" not in line.lower() else ConfigurationError(line)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
