"""Runs the stages of one job through DVC, in a clone of the commit on a node of the cluster.

Each stage is pushed before the next begins: outputs, the entry of the run cache, and last the outcome, which says that
all of it is there. Whatever kills the worker, the stages before are not computed again.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.stage.cache import _can_hash, _get_stage_hash

from pipeline.cluster import checkout, outcomes, plan
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.experiments import keeping
from pipeline.project import dvc
from pipeline.project.command import ERROR_FILE_VARIABLE
from pipeline.project.remote import Remote, explained
from pipeline.records.outcome import Outcome


def main(place: Path) -> None:
    """Run the job in `job.json` of a folder, and write `result.json` there: outcomes by key, and perhaps an error."""
    _end_with_the_task()
    job = json.loads((place / "job.json").read_text(encoding="utf-8"))
    result: dict[str, Any] = {"outcomes": {}}
    try:
        work(job, result["outcomes"], place / "error")
    except PipelineError as error:
        result["error"] = {"exit_code": error.exit_code, "kind": error.kind, "line": str(error)}
    except (DvcException, OSError) as error:
        result["error"] = {"exit_code": 3, "kind": "data", "line": " ".join(str(error).split())}
    write_json(place / "result.json", result)


def work(job: Mapping[str, Any], done: dict[str, Any], error: Path) -> None:
    """Run what of a job has no outcome yet.

    Args:
        job: `changes` of params.yaml; `stages`, each with `name` and `key`, in an order in which they can run;
            `upstream`, by stage the outcome of what these depend on; and the `machine`.
        done: gets the outcomes by key.
        error: the file in which a stage leaves its error.

    Raises:
        PipelineError: a stage failed, or the remote cannot be used.
    """
    here = Path()
    checkout.set_params(job["changes"], here)
    checkout.record([Outcome.model_validate(each) for each in job["upstream"].values()], here)
    os.environ[ERROR_FILE_VARIABLE] = str(error)
    for stage in job["stages"]:
        with dvc.opened() as repo:
            remote = Remote.of(repo)
            outcome = outcomes.read(remote, stage["key"])
            if outcome is None:
                print(f"Stage {stage['name']} on {job['machine']}", flush=True)
                outcome = _run(repo, remote, stage["name"], job["machine"], error)
                outcomes.write(remote, stage["key"], outcome)
        checkout.record([outcome], here)
        done[stage["key"]] = outcome.as_json()


def _run(repo: Repo, remote: Remote, name: str, machine: str, error: Path) -> Outcome:
    """Pull what a stage needs, run it unless the run cache has it, and push what it wrote."""
    began = time.monotonic()
    lap = _laps()
    with explained(remote.name, remote.address):
        if needed := _inputs(repo, name):
            repo.pull(targets=needed)
    lap("pulled")
    # Unlike `repo.lock`, it lets the stage pull what it wrote before.
    with lock_repo(repo):
        (stage,) = repo.stage.collect(name)
        cached = _pull_run_cache(repo, remote, stage)
        try:
            # None: nothing that decides it changed, and the remote has what it wrote.
            cached = stage.reproduce(interactive=False, pull=True) is None or cached
            stage.dump(update_pipeline=False)
        except DvcException as failure:
            raise _failed(error, failure) from None
    seconds = time.monotonic() - began
    lap("ran")
    with explained(remote.name, remote.address):
        repo.push(targets=[name])
    _push_run_cache(repo, remote, stage)
    lap("pushed")
    entry = keeping.recorded()["stages"][name]
    files = plan.texts(out.def_path for out in stage.outs if not out.use_cache)
    return Outcome(stage=name, lock=entry, files=files, seconds=round(seconds, 2), machine=machine, cached=cached)


def _laps() -> Callable[[str], None]:
    """Prints how long each step took."""
    last = time.monotonic()

    def lap(step: str) -> None:
        nonlocal last
        now = time.monotonic()
        print(f"{step} in {now - last:.1f} s", flush=True)
        last = now

    return lap


def _inputs(repo: Repo, name: str) -> list[str]:
    """What to pull for a stage: dependencies inside outputs of other stages, and outputs inside dependencies."""
    (stage,) = repo.stage.collect(name)
    outs = [PurePosixPath(out.def_path) for each in repo.index.stages for out in each.outs if out.use_cache]
    found = set()
    for dep in stage.deps:
        path = PurePosixPath(dep.def_path)
        if any(path.is_relative_to(out) for out in outs):
            found.add(str(path))
        found |= {str(out) for out in outs if out.is_relative_to(path)}
    recorded = keeping.recorded()["stages"].values()
    written = [PurePosixPath(out["path"]) for entry in recorded for out in entry.get("outs", [])]
    # A stage before it that has not run is none of its plan.
    return sorted(path for path in found if any(PurePosixPath(path).is_relative_to(out) for out in written))


def _pull_run_cache(repo: Repo, remote: Remote, stage: Any) -> bool:
    """Get what the run cache of the remote has for a stage with these inputs; DVC would get all of the run cache."""
    stage.save_deps()
    if not _can_hash(stage) or not all(out.use_cache for out in stage.outs):
        return False
    key = _get_stage_hash(stage)
    folder = Path(repo.stage_cache.cache_dir) / key[:2] / key
    folder.mkdir(parents=True, exist_ok=True)
    remote.copy_to(f"runs/{key[:2]}/{key}", lambda name: str(folder / name))
    return any(folder.iterdir())


def _push_run_cache(repo: Repo, remote: Remote, stage: Any) -> None:
    if not _can_hash(stage) or not all(out.use_cache for out in stage.outs):
        return
    key = _get_stage_hash(stage)
    folder = Path(repo.stage_cache.cache_dir) / key[:2] / key
    for file in folder.iterdir() if folder.is_dir() else ():
        remote.write(f"runs/{key[:2]}/{key}/{file.name}", file.read_bytes())


def _failed(error: Path, failure: DvcException) -> PipelineError:
    """The error that a stage left in its file, or DVC's."""
    text = error.read_text(encoding="utf-8").strip() if error.exists() else ""
    code, _, line = text.partition(" ")
    kind, _, reason = line.partition(": ")
    found = PipelineError(reason or " ".join(str(failure).split()))
    found.exit_code, found.kind = int(code or 1), kind or "stage"
    return found


def _end_with_the_task() -> None:
    """Have this process and its stage ended when the Ray task ends: the other end of standard input is closed then.

    A separate process in another group does this: when a node dies, Ray kills this process but not its stage.
    """
    subprocess.Popen(
        ["/bin/sh", "-c", 'cat > /dev/null; kill -s KILL -- "-$0"', str(os.getpgrp())],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
