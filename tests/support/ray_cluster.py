"""A Ray cluster of two nodes on this machine, each with a folder of its own, in a process that a test controls."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CORES = 2
"""Of each node: when one is gone, the other takes its tasks beside its own."""
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Only processes of this machine reach it.
    "RAY_AUTH_MODE": "disabled",
    "RAY_worker_niceness": "0",
}


class Cluster:
    """The control of a cluster.

    Attributes:
        variables: what the environment of a driver needs.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the cluster did not start: {process.wait()}"
        self.variables = {**_ENVIRONMENT, "RAY_ADDRESS": json.loads(line)}

    def kill(self, node: int) -> None:
        """Kill a node with all its processes, as a power failure does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(node, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline().strip() == "killed"


@contextlib.contextmanager
def started(folder: Path, **variables: str) -> Iterator[Cluster]:
    """Start a head without cores and two nodes, whose folders are `folder/1` and `folder/2`.

    Args:
        folder: for the commits, the caches and the tasks of the nodes.
        variables: of the environment of every stage.
    """
    with (folder / "cluster.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env={**os.environ, **_ENVIRONMENT, **variables},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        yield Cluster(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _serve(folder: Path) -> None:
    from ray.cluster_utils import Cluster as Simulated

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    options = {"object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Simulated(initialize_head=True, head_node_args={**options, "num_cpus": 0})
    nodes = []
    for number in (1, 2):
        own = {"PIPELINE_CLUSTER_FOLDER": str(folder / str(number))}
        nodes.append(cluster.add_node(num_cpus=CORES, memory=4 << 30, env_vars=own, **options))
    print(json.dumps(cluster.address), file=answers, flush=True)
    for line in sys.stdin:
        cluster.remove_node(nodes[int(line) - 1], allow_graceful=False)
        print("killed", file=answers, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
