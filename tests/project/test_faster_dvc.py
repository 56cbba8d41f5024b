"""dvc.lock is written stage by stage, and is what DVC itself would have written."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc import dvcfile
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.serialize import YAMLFileCorruptedError, modify_yaml, parse_yaml

from pipeline.project import faster_dvc

ROOT = Path(__file__).parents[2]
ENTRY = {
    "cmd": "python -m stages.compose --suite mnist --source data/raw/mnist --out data/mnist/mnist --more than a line",
    "deps": [{"path": "a: b", "hash": "md5", "md5": "0" * 32, "size": 3}],
    "params": {"params.yaml": {"x": [1, 2.5, None, "true", "1e-6", "é"], "y": {"z": {}}, "seed": 1e-06}},
}


@pytest.fixture
def project(tmp_path):
    """A project of DVC."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    return tmp_path


def written(way, path, changes):
    shutil.copy(ROOT / "dvc.lock", path)
    with way(str(path)) as content:
        content["stages"] = content.get("stages", {})
        content["stages"].update(changes)
    return path.read_bytes()


def test_every_stage_of_the_committed_lock_is_written_as_it_is():
    texts = faster_dvc.split((ROOT / "dvc.lock").read_text())
    stages = faster_dvc.Stages(dict(texts))
    whole = parse_yaml((ROOT / "dvc.lock").read_text(), "dvc.lock")["stages"]
    assert dict(stages) == whole
    for name in texts:
        stages[name] = whole[name]
    assert stages.texts == texts


def test_changed_and_new_stages_are_written_as_dvc_writes_them(tmp_path):
    changes = {"train@slice": ENTRY, "new@stage": {"cmd": "x", "outs": [{"path": "é ü", "md5": "1"}]}}
    by_dvc = written(modify_yaml, tmp_path / "dvc.lock", changes)
    assert written(faster_dvc.modify, tmp_path / "dvc.lock", changes) == by_dvc
    assert by_dvc != (ROOT / "dvc.lock").read_bytes()


def test_what_a_lock_says_is_what_dvc_reads(project):
    lock = project / "dvc.lock"
    for text in ((ROOT / "dvc.lock").read_text(), "schema: '2.0'\nstages:\n  a:\n    cmd: b\n  b:\n    cmd: c\n"):
        lock.write_text(text)
        with Repo(project) as repo:
            file = dvcfile.Lockfile(repo, str(lock))
            first = faster_dvc.load(file)
            assert first == file._load_yaml()
            first[0]["stages"].clear()
            assert faster_dvc.load(file) == file._load_yaml()


@pytest.mark.parametrize(
    "stage", ["  a:\n    cmd: [b]\n    none: 1\n", "  a:\n    cmd: 'b\n", "  a:\n    cmd: b\n    cmd: c\n"]
)
def test_dvc_says_why_a_stage_of_a_lock_is_not_valid(project, stage):
    (project / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n{stage}")
    with Repo(project) as repo:
        file = dvcfile.Lockfile(repo, str(project / "dvc.lock"))
        with pytest.raises(DvcException) as expected:
            file._load_yaml()
        with pytest.raises(type(expected.value)) as found:
            faster_dvc.load(file)
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "schema: '2.0'\n",
        "schema: '2.0'\nstages:\n  a:\n    cmd: b\n# written by hand\n",
        "schema: '2.0'\nstages:\n  a: {cmd: b}\n",
        "schema: '2.0'\nstages:\n  a:\n    cmd: b\ndatasets: []\n",
        "schema: '2.0'\nstages:\n  'a: b':\n    cmd: b\n",
        "schema: '2.0'\nstages:\n  a:\n    cmd: b\n  a:\n    cmd: c\n",
        "schema: '2.0'\nstages:\n  a:\n    cmd: 'b\n\n      c'\n",
        "schema: '2.0'\nstages:\n    cmd: b\n",
    ],
)
def test_what_does_not_look_as_dvc_writes_it_is_left_to_dvc(tmp_path, text):
    assert faster_dvc.split(text) is None


def test_a_lock_that_dvc_cannot_read_stays_as_it_is(tmp_path):
    path = tmp_path / "dvc.lock"
    path.write_text("schema: '2.0'\nstages:\n<<<<<<< ours\n")
    with pytest.raises(YAMLFileCorruptedError), faster_dvc.modify(str(path)):
        pass
    assert path.read_text().endswith("<<<<<<< ours\n")


def test_repro_by_either_way_leaves_the_same_lock(tmp_path):
    found = []
    for module in ("dvc", "pipeline.project.faster_dvc"):
        folder = tmp_path / module
        folder.mkdir()
        (folder / "dvc.yaml").write_text(
            "stages:\n  each:\n    foreach: [1, 2]\n    do:\n      cmd: echo ${item} > ${item}.txt\n"
            "      outs: ['${item}.txt']\n  last:\n    cmd: cat 1.txt > last\n    deps: [1.txt]\n    outs: [last]\n"
        )
        for arguments in (["init", "-q", "--no-scm"], ["repro", "-q"], ["repro", "-q", "--force", "last"]):
            subprocess.run([sys.executable, "-m", module, *arguments], cwd=folder, check=True)
        found.append((folder / "dvc.lock").read_text())
    assert found[0] == found[1]
    assert "each@2" in found[0]
