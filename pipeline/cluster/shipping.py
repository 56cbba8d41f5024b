"""What a Ray task does: put the commit into a folder of its own, and run the worker there.

Ray ships this module by value, so it imports the standard library and Ray alone: a node needs the packages of the
locks, git, and no clone of the project. The worker is code of the commit.
"""

import contextlib
import fcntl
import getpass
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "PIPELINE_CLUSTER_FOLDER"
"""Names the folder of a node for the commits, DVC's cache and the tasks; without it, one below the temporary folder."""
MOST_LOG = 1 << 20
"""Bytes of the end of a log that return to the driver."""


def run(bundle: bytes, job: Mapping[str, Any]) -> dict[str, Any]:
    """Run the stages of a job in a new clone of the commit.

    Args:
        bundle: of git, with the commit.
        job: `commit`, `prefix` (of the project in the repository), `remote` (its `name` and `settings` for DVC), and
            what the worker takes.

    Returns:
        What the worker wrote: `outcomes` by key and perhaps `error`, and the `log`.

    Raises:
        RuntimeError: git failed, or the worker ended without a result.
    """
    node = _node_folder()
    for folder in (node / "tasks", node / "cache"):
        folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(node / "tasks")
    place = Path(tempfile.mkdtemp(dir=node / "tasks", prefix=f"{os.getpid()}-"))
    try:
        clone = _clone(_repository(node, bundle, job["commit"]), job["commit"], place) / job["prefix"]
        _configure(clone, node, place, job["remote"])
        machine = _machine()
        (place / "job.json").write_text(json.dumps({**job, "machine": machine}), encoding="utf-8")
        code = _work(clone, place)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        log = f"{_end(place / 'log')}Processor time since this worker began: {used.ru_utime + used.ru_stime:.1f} s\n"
        result = place / "result.json"
        if not result.exists():
            raise RuntimeError(f"the worker on {machine} ended with {code} and no result: {log[-2000:]}")
        return {**json.loads(result.read_text(encoding="utf-8")), "log": log}
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _node_folder() -> Path:
    """The folder of this node, which only its owner can enter.

    Raises:
        RuntimeError: it belongs to another user, who could put code there that this one runs.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    node = Path(named or Path(tempfile.gettempdir()) / f"pipeline-{getpass.getuser()}")
    node.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not named and (node.is_symlink() or node.stat().st_uid != os.getuid()):
        raise RuntimeError(f"{node} belongs to another user; {FOLDER_VARIABLE} names another folder")
    return node


def _machine() -> str:
    """The name of this node: several may be on one host."""
    import ray

    return f"{os.uname().nodename}/{ray.get_runtime_context().get_node_id()[:6]}"


def _repository(node: Path, bundle: bytes, commit: str) -> Path:
    """The repository of a node, with the commit."""
    repository = node / "repository.git"
    with _locked(node / "repository.lock"):
        if not repository.exists():
            _git("init", "--quiet", "--bare", str(repository))
        known = subprocess.run(["git", "-C", str(repository), "cat-file", "-e", f"{commit}^{{commit}}"], check=False,
                               capture_output=True)  # fmt: skip
        if known.returncode:
            with tempfile.NamedTemporaryFile(dir=node, suffix=".bundle") as file:
                file.write(bundle)
                file.flush()
                _git("-C", str(repository), "fetch", "--quiet", file.name, f"HEAD:refs/commits/{commit}")
    return repository


def _clone(repository: Path, commit: str, place: Path) -> Path:
    clone = place / "clone"
    _git("clone", "--quiet", "--shared", "--no-checkout", str(repository), str(clone))
    _git("-C", str(clone), "-c", "advice.detachedHead=false", "checkout", "--quiet", commit)
    return clone


def _configure(clone: Path, node: Path, place: Path, remote: Mapping[str, Any]) -> None:
    """Give DVC the remote, the cache of the node and, of its own for each task, the index of files."""
    settings = "".join(f"    {key} = {value}\n" for key, value in remote["settings"].items())
    # Links, where the disk has them: the folder of the task goes, and the cache stays.
    text = (
        f"[core]\n    remote = {remote['name']}\n    site_cache_dir = {place / 'index'}\n"
        f"['remote \"{remote['name']}\"']\n{settings}"
        f'[cache]\n    dir = {node / "cache"}\n    type = "reflink,hardlink,copy"\n'
    )
    target = clone / ".dvc" / "config.local"
    target.write_text(text, encoding="utf-8")
    target.chmod(0o600)


def _work(clone: Path, place: Path) -> int:
    """Run the worker until it ends. When this process ends, so does its standard input, and it ends itself."""
    # Ray's own number of threads, and its modules, are not those of a stage.
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "PYTHONPATH")}
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "DVC_NO_ANALYTICS": "1",
        "SHELL": "/bin/sh",
    }
    command = [sys.executable, "-m", "pipeline.cluster.worker", str(place)]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=clone, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        )
        try:
            return process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _remove_leftovers(tasks: Path) -> None:
    """Remove the folders of tasks whose process was killed."""
    for folder in tasks.iterdir():
        process = folder.name.partition("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _end(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - MOST_LOG))
        return file.read().decode("utf-8", "replace")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _git(*arguments: str) -> None:
    ended = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"git {arguments[0]}: {ended.stderr.strip()[:500]}")
