"""Which experiments there are, and which of them still hold."""

import pytest
import small_clone

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.experiments import runs
from pipeline.experiments.runs import Run

FETCH = {"deps": [{"path": "stages/fetch.py", "md5": "c"}], "outs": [{"path": "data/raw/mnist", "md5": "a.dir"}]}
OTHER_OUTS = {"outs": [{"path": "data/raw/mnist", "md5": "b.dir"}]}


def test_a_stage_that_depends_on_code_alone_must_have_the_same_outs():
    assert runs.has_same_sources(FETCH, FETCH)
    assert not runs.has_same_sources(FETCH, FETCH | OTHER_OUTS)


def test_a_stage_that_depends_on_data_may_have_other_outs():
    """Whether the data is the same, the stage that made it says."""
    composed = FETCH | {"deps": [{"path": "data/raw/mnist", "md5": "a.dir"}]}
    assert runs.has_same_sources(composed, composed | OTHER_OUTS)


def test_an_experiment_runs_beside_the_workspace_and_holds_until_something_it_depends_on_changes(clone, capfd):
    run = Run("two", ("strategies.slice.epochs=3", "strategies.slice.dropout=0.25"), "train@slice")
    before = (clone / "dvc.lock").read_text()
    runs.start("make exp", run.changes, target=run.target, name=run.name)
    assert runs.names() == ["two"]
    assert (clone / "dvc.lock").read_text() == before
    assert "[2/2] train@slice" in capfd.readouterr().out
    assert "Epoch 1/1" in (runs.LOGS / "two/train@slice.log").read_text()
    assert runs.finished(run) == runs.revision("two")
    assert runs.finished(Run("two", ("strategies.slice.epochs=4",), "train@slice")) is None
    assert runs.finished(Run("three", run.changes, "train@slice")) is None

    (clone / "stages/other.py").write_text("")
    small_clone.run(clone, "git", "add", "stages/other.py")
    small_clone.run(clone, "git", "commit", "-qm", "something else")
    assert runs.names() == []
    assert runs.finished(run), "a commit that changes nothing it depends on"

    dvc_yaml = clone / "dvc.yaml"
    before = dvc_yaml.read_text()
    dvc_yaml.write_text(before.replace("sh train.sh", "sh -e train.sh"))
    assert runs.finished(run) is None, "another command"
    dvc_yaml.write_text(before)

    params = clone / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("epochs: 2", "epochs: 9", 1))
    assert runs.finished(run), "the run itself changes this number"


def test_a_change_of_a_param_that_the_command_contains_holds(clone):
    """As the normalization of a strategy, which names the file that a training reads."""
    dvc_yaml = clone / "dvc.yaml"
    dvc_yaml.write_text(
        dvc_yaml.read_text().replace("${item}\n      deps: [train.sh", "${item} ${budget}\n      deps: [train.sh")
    )
    small_clone.run(clone, "git", "commit", "-qam", "a param in a command")
    run = Run("half", ("budget=0.5",), "train@slice")
    runs.start("make exp", run.changes, target=run.target, name=run.name)
    assert runs.finished(run) == runs.revision("half")


def test_a_damaged_file_of_the_last_commit_is_named(clone):
    """`make study REPORT=1` looks at what has finished before anything else is checked."""
    run = Run("half", ("strategies.slice.epochs=3",), "train@slice")
    runs.start("make exp", run.changes, target=run.target, name=run.name)
    lock = (clone / "dvc.lock").read_text()
    for damaged in (f"<<<<<<< HEAD\n{lock}=======\n>>>>>>> other\n", "- a list\n"):
        (clone / "dvc.lock").write_text(damaged)
        small_clone.run(clone, "git", "commit", "-qam", "a conflict")
        with pytest.raises(DataError, match=r"^dvc\.lock at HEAD: not a YAML file"):
            runs.finished(run)
    (clone / "dvc.lock").write_text(lock)
    (clone / "dvc.yaml").write_text("stages: [\n")
    small_clone.run(clone, "git", "commit", "-qam", "no stages")
    with pytest.raises(ConfigurationError, match=r"unable to read: 'dvc\.yaml'"):
        runs.finished(run)
