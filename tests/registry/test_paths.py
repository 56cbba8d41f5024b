"""Paths are computed from artifact, suite and strategy: whatever a tag says, no command leaves the clone."""

import json

import pytest
import watch
from registry_project import ARTIFACT, refused, run, tag

from pipeline.core.files import read_json, write_json
from pipeline.registry.operations import Registry

OUTSIDE = ("../victim", "/tmp/victim", "..", "a/../../victim", "C:\\victim", "victim\x00", "")
COMMANDS = {
    "verify": (("verify", f"{ARTIFACT}@v0.3.0"),),
    "gate": (("gate", f"{ARTIFACT}@v0.3.0", "staging"),),
    "promote": (("promote", f"{ARTIFACT}@v0.3.0", "staging"),),
    "rollback": (("rollback", ARTIFACT, "dev"),),
    "deploy": (("deploy", "dev"), ("deploy", "dev", "--unchecked")),
    "release": (("release", "dev"), ("release", "dev", "--json")),
    "list": (("list",), ("list", "--json")),
    "show": (("show", f"{ARTIFACT}@v0.3.0"),),
    "history": (("history",), ("history", "--json")),
    "at": (("at", "2099-01-01"),),
    "diff": (("diff", f"{ARTIFACT}@v0.1.0", f"{ARTIFACT}@v0.3.0"),),
    "register": (("register", ARTIFACT),),
    "accept": (("accept", f"{ARTIFACT}@v0.3.0"), ("accept", "../victim")),
}


def hostile(evidence):
    """Documents of v0.3.0, each of which names a path in one place."""
    document = evidence.as_json()
    metrics = document["metrics"]["plain"]
    for path in OUTSIDE:
        yield document | {"strategy": path}
        yield document | {"trained_on": path}
        yield document | {"artifact": path}
        yield document | {"metrics": {path: metrics}}
        yield document | {"files": {**document["files"], path: "0" * 32}, "validation": {path: True}}
        yield document | {"md5": path, "sha256": path, "revision": path}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_a_path_from_a_tag(project, evidence, tmp_path, command):
    watch.canary(tmp_path / "victim")
    event = Registry.open(project).history.version(ARTIFACT, "v0.3.0")
    documents = list(hostile(evidence))
    # All of them for the commands that open files; every seventh for those that only print.
    every = 3 if command in ("verify", "gate", "deploy", "release") else 7
    with watch.only(project, roots=[tmp_path]):
        for document in documents[::every]:
            tag(project, event.tag, json.dumps(document), event.revision)
            for arguments in COMMANDS[command]:
                code, out, err = run(project, *arguments)
                assert code in (0, 4), (arguments, out, err)


@pytest.mark.parametrize("name", ["../x", "a b", "x/y", "x@v1", "x#prod", "", "é"])
def test_the_name_of_an_artifact_becomes_part_of_tags_and_is_checked(project, name):
    entries = {name: {"path": "artifacts/strips/model.onnx"}}
    write_json(project / "dvc.yaml", read_json(project / "dvc.yaml") | {"artifacts": entries})
    assert "expected a name of letters" in refused(project, "list", code=2)


@pytest.mark.parametrize("path", ["../m.onnx", "/etc/m.onnx", "a/../m.onnx", "m.onnx", "a/.git/x", "a b/c"])
def test_the_path_of_an_artifact_is_below_the_project(project, path):
    write_json(project / "dvc.yaml", read_json(project / "dvc.yaml") | {"artifacts": {ARTIFACT: {"path": path}}})
    assert f"artifacts.{ARTIFACT}.path" in refused(project, "list", code=2)
