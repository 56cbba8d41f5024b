"""Stages side by side: the same result as one after the other, and an orderly end where one of them fails."""

import os
import signal
import subprocess
import sys

import pytest
import small_clone

from pipeline.commands import repro
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import lanes, reproduction, staleness
from pipeline.project.dvc import Stopped

MEET = 'echo x > meet-$1 & read line < meet-$([ "$1" = slice ] && echo ctc || echo slice)\n'
"""A training that ends only while the other one runs: each writes to a pipe that the other reads."""


@pytest.fixture
def stale(clone):
    (clone / "code.txt").write_text("2")
    return clone


def meeting(clone):
    for name in ("slice", "ctc"):
        os.mkfifo(clone / f"meet-{name}")
    (clone / "train.sh").write_text(MEET + small_clone.TRAIN + 'echo "met on $1" > "$PIPELINE_RESULT_FILE"\n')


def test_stages_that_can_only_follow_each_other_are_one_chain():
    dependencies = {
        "fetch": set(),
        "compose": {"fetch"},
        "train@a": {"compose"},
        "train@b": {"compose"},
        "export@a": {"train@a"},
        "export@b": {"train@b"},
        "compare": {"export@a", "export@b"},
        "report": {"compare"},
        "other": set(),
    }
    data, a, b = ("fetch", "compose"), ("train@a", "export@a"), ("train@b", "export@b")
    assert lanes.chains(dependencies) == {
        data: set(),
        a: {data},
        b: {data},
        ("compare", "report"): {a, b},
        ("other",): set(),
    }


def test_dependencies_are_those_among_the_stages_that_are_asked_for(clone):
    found = staleness.dependencies({"train@ctc", "train@slice", "report"})
    assert found == {"train@ctc": set(), "train@slice": set(), "report": {"train@ctc", "train@slice"}}
    assert list(found)[-1] == "report"


def test_independent_stages_run_side_by_side_and_leave_the_same_lock(stale, capfd):
    meeting(stale)
    repro.main(jobs=2)
    out = capfd.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("[")]
    assert sorted(line.split()[1] for line in lines) == ["report", "train@ctc", "train@slice"]
    assert lines[2].split()[:2] == ["[3/3]", "report"]
    assert "met on slice" in out
    assert "met on ctc" in out
    assert "3 stages ran" in out
    assert staleness.examine().pending == set()
    lock = (stale / "dvc.lock").read_bytes()
    small_clone.run(stale, "dvc", "commit", "-q", "-f")
    assert (stale / "dvc.lock").read_bytes() == lock
    assert (stale / "table").read_text() == "22"
    for name in ("slice", "ctc"):
        assert "Epoch 1/1" in (reproduction.LOGS / f"train@{name}.log").read_text()


def test_after_a_failure_what_runs_is_kept_and_nothing_else_begins(stale):
    meeting(stale)
    script = (stale / "train.sh").read_text()
    failing = 'if [ "$1" = ctc ]; then echo "3 data: x.npz: damaged" > "$PIPELINE_ERROR_FILE"; exit 3; fi\n'
    (stale / "train.sh").write_text(MEET + failing + script.removeprefix(MEET))
    with pytest.raises(Stopped, match=r"x\.npz: damaged") as stopped:
        repro.main(jobs=2)
    assert stopped.value.exit_code == 3
    assert (stale / "models/slice").read_text() == "2"
    assert "train@slice" not in staleness.examine().reasons
    assert {"train@ctc"} <= set(staleness.examine().reasons)
    assert (stale / "table").read_text() == "11", "report did not run"


def test_control_c_ends_all_of_them_and_leaves_no_lock(stale):
    for name in ("slice", "ctc", "never"):
        os.mkfifo(stale / f"started-{name}")
    (stale / "train.sh").write_text("echo > started-$1; read line < started-never\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.commands.repro", "--jobs", "2"],
        cwd=stale,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for name in ("slice", "ctc"):
        (stale / f"started-{name}").read_text()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert {"train@slice", "train@ctc"} <= set(staleness.examine().reasons)
    (stale / "train.sh").write_text(small_clone.TRAIN)
    repro.main()
    assert (stale / "table").read_text() == "22"


@pytest.mark.parametrize("jobs", [0, -1, 17])
def test_a_number_of_jobs_that_makes_no_sense_is_refused(clone, jobs):
    with pytest.raises(ConfigurationError, match="--jobs: expected 1 to 16"):
        repro.main(jobs=jobs)
