"""The commands: what they print, their exit codes, and when they ask the shared repository."""

import json
import shutil
import subprocess
import sys

import pytest
from registry_project import ARTIFACT, answer, done, git, refused, run, tag

from pipeline.core.files import write_json
from pipeline.records.registry import EventReport, ListedVersion, StagesReport, VersionReport
from pipeline.registry import text
from pipeline.registry.operations import Registry


def test_it_runs_as_a_module(base):
    command = [sys.executable, "-m", "pipeline.registry", "list", "--json"]
    result = subprocess.run(command, cwd=base, check=True, capture_output=True, text=True)
    assert json.loads(result.stdout) == answer(base, "list")


def test_json_is_what_the_records_say(base):
    listed = [ListedVersion.model_validate(entry) for entry in answer(base, "list")]
    assert [(each.version, each.stages) for each in listed] == [
        ("v0.3.0", ("dev",)),
        ("v0.2.0", ()),
        ("v0.1.0", ("staging", "prod")),
    ]
    assert listed[0].gate_accuracy > listed[2].gate_accuracy > listed[1].gate_accuracy
    shown = VersionReport.model_validate(answer(base, "show", f"{ARTIFACT}#prod"))
    assert (shown.version, shown.stages) == ("v0.1.0", ("staging", "prod"))
    assert shown.evidence.sha256 == listed[2].sha256
    events = [EventReport.model_validate(event) for event in answer(base, "history")]
    assert len(events) == 3 + 3 + 2
    assert [event.time for event in events] == sorted((event.time for event in events), reverse=True)
    assert events[-1].time.endswith("Z")


def test_tables_have_a_line_for_each_row(base):
    assert len(done(base, "list").splitlines()) == 1 + 3
    assert len(done(base, "history").splitlines()) == 1 + 8
    assert len(done(base, "history", ARTIFACT).splitlines()) == 1 + 8
    decision = run(base, "gate", f"{ARTIFACT}@v0.2.0", "staging")[1]
    failed = [line for line in decision.splitlines() if line.startswith("FAILED")]
    assert any("difference" in line for line in failed)
    for version in ("v0.1.0", "v0.2.0"):
        assert version in done(base, "diff", f"{ARTIFACT}@v0.1.0", f"{ARTIFACT}@v0.2.0")
    assert "uint8 (n, 28, 140, 1)" in done(base, "show", ARTIFACT)
    assert text.table(("a", "b"), [("ccc", "d")]) == "a    b\nccc  d"
    assert text.table(("a",), [("b\nc",)]) == "a\nb\\nc"


def test_what_was_in_prod_on_a_day(project):
    days = {"v0.2.0": "2031-05-01T10:00", "v0.3.0": "2031-05-03T10:00"}
    for number, (version, day) in enumerate(days.items(), 2):
        target = f"{ARTIFACT}@{version}"
        tag(project, f"{ARTIFACT}#prod#{number}", json.dumps({"kind": "promotion"}), target, date=f"{day}:00Z")
    for date, version in (
        ("2020-04-30", None),
        ("2031-04-30", "v0.1.0"),
        ("2031-05-01", "v0.2.0"),
        ("2031-W18-4", "v0.2.0"),
        ("2031-05-02", "v0.2.0"),
        ("2031-05-03", "v0.3.0"),
        ("2031-05-03T09:59", "v0.2.0"),
        ("2031-05-03T12:30+02:00", "v0.3.0"),
        ("2031-05-03T11:30+02:00", "v0.2.0"),
    ):
        assert answer(project, "at", date)["stages"][ARTIFACT]["prod"] == version, date
    report = StagesReport.model_validate(answer(project, "at", "2031-05-03"))
    assert [event.version for event in report.events] == ["v0.3.0"]
    assert report.at == "2031-05-03 23:59:59"
    assert "v0.3.0" in done(project, "at", "2031-05-03")
    assert "yesterday" in refused(project, "at", "yesterday", code=2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "COMMAND"),
        (("\x1b[31mlist",), "COMMAND"),
        (("list", "\x1b[31mmore"), "unrecognized arguments: \\x1b[31mmore"),
        (("register", ARTIFACT, "--bump", "all"), "--bump"),
        (("rollout", "--comparisons", "many"), "--comparisons"),
    ],
)
def test_a_wrong_argument_is_one_line_as_every_other_error(base, arguments, named):
    line = refused(base, *arguments, code=2)
    assert line.startswith("configuration: ")
    assert named in line
    assert "\x1b" not in line


@pytest.mark.parametrize("command", [("list",), ("show", f"{ARTIFACT}#prod"), ("at", "2099-01-01"), ("history",)])
def test_a_command_that_only_reports_asks_the_shared_repository_or_says_that_it_did_not(clones, command):
    ours, theirs, shared = clones
    done(theirs, "rollback", ARTIFACT, "prod")
    code, before, err = run(ours, *command, "--offline")
    assert (code, err) == (0, "as of the last fetch from origin (--offline)\n")
    code, after, err = run(ours, *command)
    assert (code, err) == (0, "")
    assert before != after, "the rollback is known here now"
    shutil.rmtree(shared)
    code, out, err = run(ours, *command)
    assert (code, out) == (0, after)
    assert err.startswith("as of the last fetch from origin (git fetch origin: ")
    assert err.count("\n") == 1


def test_a_command_that_decides_does_not_use_old_tags_unless_that_is_asked_for(clones):
    ours, _, shared = clones
    shutil.rmtree(shared)
    for command in (("deploy", "prod"), ("gate", f"{ARTIFACT}@v0.1.0", "prod")):
        assert "--offline" in refused(ours, *command)
    assert not (ours / "deploy").exists()
    done(ours, "deploy", "prod", "--offline")
    git(ours, "config", "--unset", "registry.remote")
    assert run(ours, "deploy", "prod", "--offline")[2] == "", "there is nothing that could be newer"


@pytest.mark.parametrize(
    "command", [("register", ARTIFACT), ("promote", f"{ARTIFACT}@v0.1.0", "dev"), ("rollback", ARTIFACT, "dev")]
)
def test_a_command_that_changes_something_cannot_be_offline(clones, command, capsys):
    ours, _, shared = clones
    assert run(ours, *command, "--offline")[0] == 2
    shutil.rmtree(shared)
    assert "--offline" not in refused(ours, *command)


def test_the_output_says_where_a_tag_was_created(project, clones):
    assert "registry.remote" in done(project, "promote", f"{ARTIFACT}@v0.1.0", "dev")
    assert "origin" in done(clones[0], "promote", f"{ARTIFACT}@v0.1.0", "dev")


def test_a_project_without_artifacts_is_a_configuration_error(project, tmp_path):
    assert str(tmp_path) in refused(tmp_path, "list", code=2)
    write_json(project / "dvc.yaml", {"stages": {}})
    assert "artifacts" in refused(project, "list", code=2)
    write_json(project / "dvc.yaml", {"artifacts": {"x": {}}})
    assert "artifacts.x.path" in refused(project, "list", code=2)


def test_a_broken_dvc_yaml_is_a_configuration_error(project):
    (project / "dvc.yaml").write_text("artifacts: [")
    assert "dvc.yaml" in refused(project, "list", code=2)


def test_artifacts_and_their_tasks_are_those_that_are_packaged(request):
    root = request.config.rootpath
    artifacts = Registry.open(root).artifacts
    packaged = {path.parent.name for path in root.glob("artifacts/*/manifest.json")}
    assert {artifact.task for artifact in artifacts.values()} == packaged
    assert set(artifacts) == {"strip-reader", "scene-reader", "line-reader", "digit-reader", "cifar10-classifier"}
