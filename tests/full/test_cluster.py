"""A study on a real cluster of two nodes, while a node and then the driver are killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray_cluster
import study_project
from ruamel.yaml import YAML
from small_clone import run

# Two runs of a study on two nodes take more than five minutes on two cores.
pytestmark = pytest.mark.full
RUNS = 6
STUDY = study_project.SEEDS.replace("20, 21, 22", "20, 21")
COMMAND = (sys.executable, "-m", "pipeline.commands.study", "--study", "studies/seeds.yaml", "--on", "ray")


def wait_until(reached, process=None) -> None:
    end = time.monotonic() + 300
    while not reached():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, f"ended with {process.returncode}"
        time.sleep(0.2)


def wait_for(log: Path, line: str, process) -> None:
    wait_until(lambda: log.exists() and line in log.read_text().splitlines(), process)


def node_of(stage, folder):
    """The number of the node that runs a stage."""
    for number in (1, 2):
        for log in (folder / str(number) / "tasks").glob("*/log"):
            if f"Stage {stage} " in log.read_text():
                return number
    raise AssertionError(f"no node runs {stage}")


def works_below(folder):
    """Whether a process has its current folder there."""
    places = [process.info["cwd"] for process in psutil.process_iter(["cwd"])]
    return any(place and Path(place).is_relative_to(folder) for place in places)


def pushed(store):
    """The stages of which an outcome is in the remote."""
    return {json.loads(path.read_text())["stage"] for path in store.glob("outcomes/*/*.json")}


def experiments(folder):
    listed = run(folder, "git", "for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", "refs/exps").stdout
    return dict(line.split() for line in listed.splitlines())


def test_each_stage_is_computed_once_whatever_dies(tmp_path):
    log, hold = tmp_path / "ran.log", tmp_path / "hold"
    hold.mkdir()
    project = study_project.make(tmp_path / "project", study_project.CHAINS)
    (project / "studies/seeds.yaml").write_text(STUDY)
    run(project, "dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    run(project, "git", "commit", "-qam", "a remote, two seeds")
    (hold / "hold-lenet5-21").touch()
    (hold / "hold-convnet-21").touch()
    with ray_cluster.started(tmp_path, RAN_LOG=str(log), HOLD=str(hold)) as cluster:
        environment = {**os.environ, **cluster.variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        with (tmp_path / "driver.log").open("w") as output:
            driver = subprocess.Popen(COMMAND, cwd=project, env=environment, stdout=output, stderr=output)
        wait_for(log, "train textbook 21", driver)
        wait_for(log, "begin train lenet5 21", driver)
        wait_for(log, "begin train convnet 21", driver)
        # What ended and is not pushed yet would run again; that is no fault.
        wait_until(lambda: "evaluate@textbook" in pushed(tmp_path / "store"), driver)
        killed = node_of("train@lenet5", tmp_path)
        cluster.kill(killed)
        # What ran there ends with it, and begins again on the other node.
        wait_until(lambda: not works_below(tmp_path / str(killed)), driver)
        wait_until(lambda: log.read_text().splitlines().count("begin train lenet5 21") == 2, driver)
        (hold / "hold-lenet5-21").unlink()
        # The others are pushed when the driver dies; `convnet` is held.
        wait_until(lambda: {"evaluate@textbook", "evaluate@lenet5"} <= pushed(tmp_path / "store"), driver)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        wait_until(lambda: not works_below(tmp_path / str(3 - killed)))
        (hold / "hold-convnet-21").unlink()
        ended = run(project, *COMMAND, **cluster.variables)
    assert f"{RUNS}/{RUNS}" in ended.stdout
    ran = [line for line in log.read_text().splitlines() if not line.startswith("begin")]
    assert sorted(ran) == sorted(
        f"{kind}{strategy} 21" for kind in ("train ", "") for strategy in ("textbook", "lenet5", "convnet")
    )
    with (project / "studies/seeds.csv").open(newline="") as file:
        assert [row["runs"] for row in csv.DictReader(file)] == ["2"] * 3
    expect_what_one_machine_gives(project, tmp_path)


def expect_what_one_machine_gives(project, tmp_path):
    """The experiments have the outputs of `make study` without a cluster, and count as its own."""
    kept = experiments(project)
    assert len(kept) == RUNS
    name = "seeds-lenet5-seed_21"
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(project), str(clone))
    for key, value in (("user.name", "test"), ("user.email", "test@localhost")):
        run(clone, "git", "config", key, value)
    run(clone, "dvc", "repro", "-q")
    run(clone, "dvc", "exp", "run", "--temp", "-q", "--name", name, "-S", "seed=21", "evaluate@lenet5")
    run(clone, "git", "fetch", "-q", str(project), "refs/exps/*:refs/other/*")
    run(clone, "git", "branch", "cluster", kept[name])
    run(clone, "git", "diff", "--exit-code", "cluster", experiments(clone)[name], "--", "metrics", "params.yaml")
    locks = [run(clone, "git", "show", f"{commit}:dvc.lock").stdout for commit in ("cluster", experiments(clone)[name])]
    first, second = (YAML(typ="safe").load(lock)["stages"] for lock in locks)
    for stage in ("train@textbook", "train@lenet5", "evaluate@lenet5"):
        assert first[stage] == second[stage]
