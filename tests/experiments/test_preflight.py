"""What would fail in the queue is a problem before anything is queued, and nothing is queued then."""

import subprocess

import psutil
import pytest
import small_clone
from ruamel.yaml import YAML

from pipeline.commands import experiment
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import preflight, runs
from pipeline.experiments.studies import Study
from pipeline.project import git


def problems(*changes, **more):
    found = preflight.checks(changes, **more)
    return {check.subject: check.message for check in found if check.verdict == "problem"}


def test_a_sound_clone_has_no_problem(clone):
    assert problems("seed=1,2", target="train@slice", name="free", queue=True) == {}


def test_every_problem_is_found_at_once(clone, tmp_path, monkeypatch):
    (clone / "pipeline/new.py").write_text("")
    monkeypatch.setenv("DATASETS_MIRROR", str(tmp_path / "none"))
    found = problems("seed=1,2", "strategies.slice.epohcs=2", target="train@slcie")
    assert set(found) == {"params", "code", "mirror", "target"}
    assert "git add pipeline/new.py" in found["code"]
    assert "did you mean train@slice?" in found["target"]


def test_several_values_need_the_queue(clone):
    assert "QUEUE=1" in problems("seed=1,2")["params"]


def test_the_command_queues_nothing_where_it_would_fail(clone):
    with pytest.raises(ConfigurationError, match="target"):
        experiment.main(set_param="seed=1,2", target="train@slcie", queue=True)
    assert runs.queued() == []
    with pytest.raises(ConfigurationError, match="--jobs"):
        experiment.main(jobs=0)


def test_a_name_is_taken_once_by_an_experiment_or_in_the_queue(clone, capfd):
    experiment.main(set_param="strategies.slice.epochs=2", target="train@slice", name="two")
    assert "taken on this commit" in problems(name="two")["name"]
    runs.start("make exp", ["seed=3"], target="train@slice", name="later", queue=True)
    assert "in the queue" in problems(name="later")["name"]
    # DVC numbers the experiments of a sweep.
    runs.start("make exp", ["seed=4"], target="train@slice", name="sweep-1", queue=True)
    assert "name" not in problems(name="sweep")
    assert "in the queue" in problems(name="sweep", queue=True)["name"]


def test_an_experiment_is_applied_to_a_clean_tree_only(clone):
    (clone / "code.txt").write_text("an afternoon's work")
    with pytest.raises(ConfigurationError, match=r"code\.txt is not committed"):
        experiment.main(apply="two")
    assert (clone / "code.txt").read_text() == "an afternoon's work"


def test_what_an_experiment_does_not_package_is_not_left_for_the_service(clone, capfd):
    for task in ("strips", "lines"):
        (clone / "artifacts" / task).mkdir(parents=True)
        (clone / "artifacts" / task / "manifest.json").write_text("{}")
    small_clone.run(clone, "git", "add", "-A", "--force", "artifacts")
    small_clone.run(clone, "git", "commit", "-qm", "packaged")
    experiment.main(set_param="strategies.slice.epochs=2", target="train@slice", name="all")
    experiment.main(apply="all")
    assert (clone / "artifacts/lines/manifest.json").exists()
    small_clone.run(clone, "git", "reset", "-q", "--hard")
    document = YAML(typ="safe").load(clone / "params.yaml")
    document["package"] = {"strips": {}}
    YAML().dump(document, clone / "params.yaml")
    small_clone.run(clone, "git", "commit", "-qam", "strips alone")
    experiment.main(set_param="strategies.slice.epochs=3", target="train@slice", name="strips")
    experiment.main(apply="strips")
    assert [path.name for path in (clone / "artifacts").iterdir()] == ["strips"]
    assert "removed artifacts/lines" in capfd.readouterr().err


def test_a_relative_mirror_is_noted(clone, tmp_path, monkeypatch):
    monkeypatch.setenv("DATASETS_MIRROR", "..")
    (note,) = [check for check in preflight.checks() if check.subject == "mirror"]
    assert note.verdict == "note"
    assert str(tmp_path) in note.message


def test_the_stand_in_is_noted(clone):
    source = clone / "data/raw/mnist/source.json"
    source.write_text(source.read_text().replace('"mnist"', '"embedded"'))
    (note,) = [check for check in preflight.checks() if check.subject == "pictures"]
    assert note.verdict == "note"
    assert note.message.startswith("mnist ")


def test_a_clone_without_an_identity_has_a_problem(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    people = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    for name in ("GIT_CONFIG_GLOBAL", *people):
        monkeypatch.delenv(name, raising=False)
    check = preflight.identity()
    assert check.verdict == "problem"
    assert "user.name and user.email" in check.message
    git.output("config", "user.name", "test")
    assert "no user.email" in preflight.identity().message
    git.output("config", "user.email", "test@localhost")
    assert preflight.identity().verdict == "ok"


def test_a_study_is_of_a_commit(clone):
    path = clone / "studies/seeds.yaml"
    path.parent.mkdir()
    path.write_text("targets: [evaluate@slice]\ngrid: {seed: [1, 2]}\n")
    study = [run.changes for _, run in Study.load(path).points()]
    preflight.expect_study(study)
    (clone / "stages/__init__.py").write_text("# changed\n")
    with pytest.raises(ConfigurationError, match=r"^commit: stages/__init__\.py is changed"):
        preflight.expect_study(study)


def test_a_worker_that_ends_while_it_is_looked_at_is_none(tmp_path, monkeypatch):
    class Ending:
        """Gone after its environment was read once."""

        pid = 7

        def __init__(self):
            self.alive = True

        def cmdline(self):
            return ["dvc", "exp", "queue-worker", "dvc-exp-1"]

        def cwd(self):
            return str(tmp_path)

        def environ(self):
            if not self.alive:
                raise psutil.NoSuchProcess(self.pid)
            self.alive = False
            return {}

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATASETS_MIRROR", raising=False)
    monkeypatch.setattr(psutil, "process_iter", lambda: [Ending()])
    assert [check.verdict for check in preflight._workers()] == ["ok"]
