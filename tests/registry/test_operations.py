"""The registry: its whole life on a throw-away project, that GTO and DVC agree with it, and every way it refuses."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import gto.api
import pytest
import registry_project as made
from dvc.repo import Repo
from registry_project import ARTIFACT, BETTER, GOOD, WORSE, git, package
from ruamel import yaml

from pipeline.core.files import read_json, write_json
from pipeline.core.images import STRIP_NAMES
from pipeline.registry import operations
from pipeline.registry.cli import main
from pipeline.registry.operations import Registry
from pipeline.registry.storage import Storage, digest
from pipeline.runtime.reader import load_readers


def registry(project, *arguments):
    """Run one command in a project: its exit code, and what it wrote to standard output and standard error."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.chdir(project), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as exit:
            code = exit.code
    return code, out.getvalue(), err.getvalue()


def done(project, *arguments):
    code, out, err = registry(project, *arguments)
    assert code == 0, out + err
    return out


def refused(project, *arguments, code=4):
    got, _, err = registry(project, *arguments)
    assert got == code, err
    assert err.count("\n") == 1, err
    return err


def lift(project, version, last="prod"):
    """Promote a version through the stages that it is not in."""
    for stage in ("dev", "staging", "prod"):
        if in_stage(project, stage) != version:
            done(project, "promote", f"{ARTIFACT}@{version}", stage)
        if stage == last:
            return


def in_stage(project, stage="prod"):
    return Registry.open(project).journal.in_stage(ARTIFACT, stage)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """v0.1.0 is in prod; v0.2.0 is worse and v0.3.0 better, and both are registered and in dev."""
    folder = made.create(tmp_path_factory.mktemp("registry") / "project")
    for bias in (GOOD, WORSE, BETTER):
        package(folder, bias)
        done(folder, "register", ARTIFACT)
    lift(folder, "v0.1.0")
    done(folder, "promote", f"{ARTIFACT}@v0.2.0", "dev")
    done(folder, "promote", f"{ARTIFACT}@v0.3.0", "dev")
    return folder


@pytest.fixture
def project(base, tmp_path):
    return shutil.copytree(base, tmp_path / "project", symlinks=True)


def test_the_whole_life(project):
    before = in_stage(project)
    err = refused(project, "promote", f"{ARTIFACT}@v0.2.0", "staging")
    assert re.search(r"difference: -0\.0\d+ of sequence_accuracy on gate \(95 % interval -0\.\d+ to -0\.\d+", err), err
    assert "expected an interval above -0.02" in err
    assert in_stage(project) == before == "v0.1.0"
    for stage in ("staging", "prod"):
        assert "power: 2000 pictures" in done(project, "promote", f"{ARTIFACT}@v0.3.0", stage)
    assert in_stage(project) == "v0.3.0"
    told = done(project, "rollback", ARTIFACT, "prod")
    assert "strip-reader@v0.1.0 is in prod again" in told
    assert re.search(r"undone: strip-reader#prod#2, by which Ada <ada@example.org> put v0\.3\.0 there", told)
    assert in_stage(project) == "v0.1.0"
    history = json.loads(done(project, "history", ARTIFACT, "--json"))
    assert [event["kind"] for event in history[:4]] == ["rollback", "promotion", "promotion", "refusal"]
    refusal = history[3]["evidence"]
    failed = {check["name"]: check for check in refusal["decision"]["checks"] if not check["passed"]}
    assert failed["difference"]["figures"]["high"] < 0, "the figures that made the decision are kept"
    assert history[1]["evidence"]["decision"]["champion"] == "v0.1.0"
    assert len({event["time"] for event in history}) == len(history), "GTO and DVC disagree on equal times"


def test_gto_and_dvc_agree_with_it(project, tmp_path):
    for stage in ("staging", "prod"):
        done(project, "promote", f"{ARTIFACT}@v0.3.0", stage)
    refused(project, "promote", f"{ARTIFACT}@v0.2.0", "staging")
    listed = json.loads(done(project, "list", "--json"))
    stages = {stage: entry["version"] for entry in listed for stage in entry["stages"]}
    assert stages == {"dev": "v0.3.0", "staging": "v0.3.0", "prod": "v0.3.0"}
    for _ in range(2):
        shown = gto.api.show(str(project))[ARTIFACT]
        assert {**shown["stage"]} == stages, "refusals are no stages"
        assert shown["version"] == "v0.3.0"
        model = tmp_path / f"{stages['prod']}.onnx"
        command = [sys.executable, "-m", "dvc", "artifacts", "get", ".", ARTIFACT, "--stage", "prod", "-o", str(model)]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
        assert made.sha256(model) == next(entry["sha256"] for entry in listed if entry["version"] == stages["prod"])
        done(project, "rollback", ARTIFACT, "prod") if stages["prod"] == "v0.3.0" else None
        stages["prod"] = "v0.1.0"
    events = gto.api.history(str(project), artifact=ARTIFACT)
    ours = [event for event in json.loads(done(project, "history", "--json")) if event["kind"] != "refusal"]
    assert [event["ref"] for event in events] == [event["tag"] for event in ours]
    assert [event["version"] for event in events] == [event["version"] for event in ours]


def test_what_was_in_prod_on_a_day(project):
    days = {"v0.1.0": "2031-05-01T10:00", "v0.3.0": "2031-05-03T10:00"}
    tags = {tag.name: tag for tag in Registry.open(project).repository.tags()}
    first = tags[f"{ARTIFACT}#prod#1"]
    git(project, "tag", "-d", first.name)
    for name, (version, day) in zip((f"{ARTIFACT}#prod#1", f"{ARTIFACT}#prod#2"), days.items(), strict=True):
        revision = tags[f"{ARTIFACT}@{version}"].revision
        subprocess.run(
            ["git", "tag", "-a", "-m", json.dumps({"kind": "promotion"}), name, revision],
            cwd=project,
            check=True,
            env={**os.environ, "GIT_COMMITTER_DATE": f"{day}:00 +0000"},
        )
    for date, version in (
        ("2031-04-30", "-"),
        ("2031-05-01", "v0.1.0"),
        ("2031-05-02", "v0.1.0"),
        ("2031-05-03", "v0.3.0"),
        ("2031-05-03T09:59", "v0.1.0"),
        ("2031-05-03T12:30+02:00", "v0.3.0"),
        ("2031-05-03T11:30+02:00", "v0.1.0"),
    ):
        assert done(project, "at", date).splitlines()[2].split()[3] == version, date
    assert "promotion  v0.3.0   prod" in done(project, "at", "2031-05-03")
    assert "expected a day or a time" in refused(project, "at", "yesterday", code=2)


def test_rolling_back_twice_goes_two_back_and_no_further(project):
    # 60
    lift(project, "v0.3.0")
    package(project, 6.9)
    done(project, "register", ARTIFACT, "--bump", "patch")
    lift(project, "v0.3.1")
    assert in_stage(project) == "v0.3.1"
    done(project, "rollback", ARTIFACT, "prod")
    assert in_stage(project) == "v0.3.0"
    done(project, "rollback", ARTIFACT, "prod")
    assert in_stage(project) == "v0.1.0"
    assert "nothing to go back to: v0.1.0 is the only one" in refused(project, "rollback", ARTIFACT, "prod")
    done(project, "promote", f"{ARTIFACT}@v0.3.1", "prod")
    done(project, "rollback", ARTIFACT, "prod")
    assert in_stage(project) == "v0.1.0", "what was rolled back from does not come back by itself"
    assert "v0.3.1" not in json.dumps(gto.api.show(str(project))[ARTIFACT]["stage"]["prod"])


def test_an_unknown_name_is_told_which_there_are(project):
    # 54
    assert "strip-reader@v0.9.0: no such version; registered: v0.1.0, v0.2.0, v0.3.0" in refused(
        project, "show", f"{ARTIFACT}@v0.9.0"
    )
    assert "no such artifact; dvc.yaml names strip-reader" in refused(project, "show", "strip-raeder")
    assert "production: no such stage; expected one of dev, staging, prod" in refused(
        project, "promote", f"{ARTIFACT}@v0.3.0", "production"
    )


def cached(project, path, version="v0.3.0"):
    """Where DVC's cache keeps a file of a version."""
    md5 = Registry.open(project).journal.version(ARTIFACT, version).document["files"][path]
    return project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def damage(path):
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_one_changed_byte_of_a_model_is_named_and_stops_it(project):
    # 55
    path = cached(project, "artifacts/strips/model.onnx")
    damage(path)
    code, out, _ = registry(project, "verify")
    assert code == 4
    failed = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert failed, out
    assert all("artifacts/strips/model.onnx" in line for line in failed), out
    assert "FAILED" not in done(project, "verify", f"{ARTIFACT}@v0.1.0")
    err = refused(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")
    assert "artifacts/strips/model.onnx: MD5" in err
    assert "expected" in err
    path.unlink()
    assert "artifacts/strips/model.onnx: gone" in refused(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")


def test_readings_that_were_changed_do_not_pass_for_those_that_were_scored(project):
    damage(cached(project, f"predictions/{made.STRATEGY}/plain-gate.npz"))
    code, out, _ = registry(project, "verify", f"{ARTIFACT}@v0.3.0")
    assert code == 4
    assert re.search(r"FAILED\s+predictions/slice/plain-gate.npz\s+MD5 \w+ found", out)
    assert re.search(r"FAILED\s+metrics\s+cannot be computed anew: predictions/slice/plain-gate.npz", out)
    assert "predictions/slice/plain-gate.npz: MD5" in refused(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")


def test_metrics_that_a_tag_claims_are_computed_anew(project):
    tag = next(tag for tag in Registry.open(project).repository.tags() if tag.name == f"{ARTIFACT}@v0.2.0")
    said = json.loads(tag.message)
    said["metrics"]["plain"]["gate"]["sequence_accuracy"] = 0.999
    git(project, "tag", "-d", tag.name)
    git(project, "tag", "-a", "-m", json.dumps(said), tag.name, tag.revision)
    code, out, _ = registry(project, "verify", f"{ARTIFACT}@v0.2.0")
    assert code == 4
    assert re.search(r"FAILED\s+metrics, plain gate\s+sequence_accuracy 0\.\d+ found, 0\.999 expected", out)


@pytest.mark.parametrize("message", ["made by hand", '{"kind": "version", "sha2', '{"sha256": "00"}'])
def test_a_half_written_version_is_none(project, message):
    # 56
    git(project, "commit", "-q", "--allow-empty", "-m", "more")
    git(project, "tag", "-a", "-m", message, f"{ARTIFACT}@v0.4.0")
    assert "v0.4.0" in done(project, "list")
    assert re.search(r"version\s+v0\.4\.0\s.*no evidence", done(project, "history"))
    assert "evidence    none" in done(project, "show", f"{ARTIFACT}@v0.4.0")
    for command in (("promote", f"{ARTIFACT}@v0.4.0", "dev"), ("gate", f"{ARTIFACT}@v0.4.0", "staging")):
        err = refused(project, *command)
        assert "half-written, or made by another command" in err or "SHA-256" in err
    assert registry(project, "verify", f"{ARTIFACT}@v0.4.0")[0] == 4
    assert in_stage(project) == "v0.1.0"


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(project):
    # 57: both have judged before either makes its tag.
    first, second = Registry.open(project), Registry.open(project)
    event, _ = operations.promote(first, f"{ARTIFACT}@v0.3.0", "staging")
    assert event.tag == f"{ARTIFACT}#staging#2"
    with pytest.raises(operations.RegistryError) as told:
        operations.promote(second, f"{ARTIFACT}@v0.3.0", "staging")
    assert "Ada <ada@example.org> was faster and made strip-reader#staging#2: v0.3.0 is in staging now" in str(
        told.value
    )


def test_of_many_processes_at_once_exactly_one_wins(project):
    command = [sys.executable, "-m", "pipeline.registry", "promote", f"{ARTIFACT}@v0.3.0", "staging"]
    results = []

    def one():
        results.append(subprocess.run(command, cwd=project, capture_output=True, text=True, check=False))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.returncode for result in results) == [0, 4], [result.stderr for result in results]
    for result in results:
        if result.returncode:
            assert "was faster" in result.stderr or "is in staging already" in result.stderr, result.stderr
    assert [tag for tag in git(project, "tag").split() if "#staging#" in tag] == [
        f"{ARTIFACT}#staging#1",
        f"{ARTIFACT}#staging#2",
    ]


def test_between_machines_the_shared_repository_decides(project, tmp_path):
    git(project, "init", "-q", "--bare", str(tmp_path / "shared.git"))
    git(project, "remote", "add", "origin", str(tmp_path / "shared.git"))
    git(project, "push", "-q", "origin", "main", "--tags")
    other = shutil.copytree(project, tmp_path / "other", symlinks=True)
    for clone in (project, other):
        git(clone, "config", "registry.remote", "origin")
    git(other, "config", "user.name", "Grace")
    ours = Registry.open(project, fetch=True)
    assert "made in origin first" in done(other, "promote", f"{ARTIFACT}@v0.3.0", "staging")
    with pytest.raises(operations.RegistryError) as told:
        operations.promote(ours, f"{ARTIFACT}@v0.3.0", "staging")
    assert "Grace" in str(told.value)
    assert in_stage(project, "staging") == "v0.3.0", "what was decided there is known here now"
    assert git(project, "rev-parse", f"{ARTIFACT}#staging#2") == git(other, "rev-parse", f"{ARTIFACT}#staging#2")
    shutil.rmtree(tmp_path / "shared.git")
    err = refused(project, "promote", f"{ARTIFACT}@v0.3.0", "prod")
    assert "git fetch origin" in err
    assert in_stage(project) == "v0.1.0", "nobody can be told, so nothing is done"
    git(project, "config", "registry.remote", "elsewhere")
    assert "git knows no remote 'elsewhere'" in refused(project, "promote", f"{ARTIFACT}@v0.3.0", "prod", code=2)


@pytest.fixture(scope="module")
def shared_base(base, tmp_path_factory):
    """Two clones whose tags are made in one shared repository first; v0.3.0 is in prod, and v0.1.0 was before it."""
    folder = tmp_path_factory.mktemp("shared")
    ours = shutil.copytree(base, folder / "ours", symlinks=True)
    lift(ours, "v0.3.0")
    git(ours, "clone", "-q", "--bare", ".", "../shared.git")
    git(ours, "remote", "add", "origin", "../shared.git")
    git(ours, "config", "registry.remote", "origin")
    shutil.copytree(ours, folder / "theirs", symlinks=True)
    return folder


@pytest.fixture
def clones(shared_base, tmp_path):
    folder = shutil.copytree(shared_base, tmp_path / "shared", symlinks=True)
    return folder / "ours", folder / "theirs", folder / "shared.git"


def test_what_was_rolled_back_on_one_machine_is_not_deployed_on_another(clones):
    ours, theirs, _ = clones
    assert "v0.1.0 is in prod again" in done(theirs, "rollback", ARTIFACT, "prod")
    code, out, err = registry(ours, "deploy", "prod", "--offline")
    assert (code, out) == (0, "deploy/prod/strips: strip-reader@v0.3.0\n")
    assert err == "as of the last fetch from origin (--offline)\n"
    assert done(ours, "deploy", "prod") == "deploy/prod/strips: strip-reader@v0.1.0\n"
    assert load_readers(ours / "deploy/prod")["strips"].manifest.version == "v0.1.0"


def test_a_gate_holds_a_version_against_what_is_in_the_stage_everywhere(clones):
    ours, theirs, _ = clones
    done(theirs, "rollback", ARTIFACT, "prod")
    assert "against v0.3.0" in registry(ours, "gate", f"{ARTIFACT}@v0.2.0", "prod", "--offline")[1]
    assert "against v0.1.0" in registry(ours, "gate", f"{ARTIFACT}@v0.2.0", "prod")[1]


@pytest.mark.parametrize("command", [("list",), ("show", f"{ARTIFACT}#prod"), ("at", "2099-01-01"), ("history",)])
def test_what_only_tells_asks_the_shared_repository_or_says_that_it_did_not(clones, command):
    ours, theirs, shared = clones
    done(theirs, "rollback", ARTIFACT, "prod")
    before = registry(ours, *command, "--offline")
    after = registry(ours, *command)
    assert (before[0], before[2]) == (0, "as of the last fetch from origin (--offline)\n")
    assert (after[0], after[2]) == (0, "")
    assert before[1] != after[1], "the rollback is known here now"
    shutil.rmtree(shared)
    code, out, err = registry(ours, *command)
    assert (code, out) == (0, after[1])
    assert err.startswith("as of the last fetch from origin (git fetch origin: ")
    assert err.count("\n") == 1


def test_nothing_is_deployed_or_judged_by_what_may_be_old_unless_that_is_asked_for(clones):
    ours, _, shared = clones
    shutil.rmtree(shared)
    for command in (("deploy", "prod"), ("gate", f"{ARTIFACT}@v0.1.0", "prod")):
        err = refused(ours, *command)
        assert "git fetch origin: " in err
        assert "`--offline` goes on with what is known here" in err
    assert not (ours / "deploy").exists()
    assert done(ours, "deploy", "prod", "--offline") == "deploy/prod/strips: strip-reader@v0.3.0\n"
    git(ours, "config", "--unset", "registry.remote")
    assert registry(ours, "deploy", "prod", "--offline")[2] == "", "there is nothing that could be newer"


def test_a_tag_of_others_may_be_moved_in_the_shared_repository(clones):
    ours, theirs, _ = clones
    for clone in clones[:2]:
        git(clone, "tag", "-f", "nightly", f"{ARTIFACT}@v0.{1 + clones.index(clone)}.0^{{commit}}")
        git(clone, "push", "-q", "-f", "origin", "nightly")
    moved = git(ours, "rev-parse", "nightly")
    done(theirs, "rollback", ARTIFACT, "prod")
    assert "nothing to go back to: v0.1.0 is the only one" in refused(ours, "rollback", ARTIFACT, "prod")
    done(ours, "promote", f"{ARTIFACT}@v0.1.0", "dev")
    assert git(ours, "rev-parse", "nightly") == moved, "it is none of the registry's"


@pytest.mark.parametrize("name", [f"{ARTIFACT}@v0.3.0", f"{ARTIFACT}#prod#2", f"refused/{ARTIFACT}/prod/1"])
def test_a_tag_of_the_registry_that_was_moved_in_the_shared_repository_is_refused_and_named(clones, name):
    ours, theirs, _ = clones
    for clone in (theirs, ours):
        git(clone, "tag", "-f", "-a", "-m", clone.name, name, f"{ARTIFACT}@v0.2.0^{{commit}}")
    git(theirs, "push", "-q", "-f", "origin", name)
    for command in (("promote", f"{ARTIFACT}@v0.1.0", "dev"), ("deploy", "prod")):
        err = refused(ours, *command)
        assert f"git fetch origin: ! [rejected] {name} -> {name} (would clobber existing tag)" in err
    assert "would clobber existing tag" in registry(ours, "list")[2]


def test_a_killed_promotion_leaves_the_old_champion(project):
    done(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")
    code = f"""
import os, signal
from pathlib import Path
from pipeline.registry import operations
operations._write = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
operations.promote(operations.Registry.open(Path()), "{ARTIFACT}@v0.3.0", "prod")
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=project, check=False)
    assert result.returncode == -9
    assert in_stage(project) == "v0.1.0"
    done(project, "promote", f"{ARTIFACT}@v0.3.0", "prod")
    assert in_stage(project) == "v0.3.0"


def test_a_stage_is_not_skipped(project):
    err = refused(project, "promote", f"{ARTIFACT}@v0.3.0", "prod")
    assert "was never in staging; stages go dev → staging → prod and none is skipped" in err
    assert "v0.1.0 is in prod already" in refused(project, "promote", f"{ARTIFACT}@v0.1.0", "prod")


def test_what_a_rollback_took_out_of_a_stage_passes_it_again_before_it_goes_further(project):
    version = f"{ARTIFACT}@v0.3.0"
    lift(project, "v0.3.0", "staging")
    done(project, "rollback", ARTIFACT, "staging")
    done(project, "rollback", ARTIFACT, "dev")
    err = refused(project, "promote", version, "prod")
    assert f"{version} was taken out of dev by the rollback {ARTIFACT}#dev#4" in err
    assert f"`registry promote {version} dev` first" in err
    assert "was taken out of dev" in refused(project, "promote", version, "staging")
    done(project, "promote", version, "dev")
    err = refused(project, "promote", version, "prod")
    assert f"{version} was taken out of staging by the rollback {ARTIFACT}#staging#3" in err
    assert in_stage(project) == "v0.1.0"
    lift(project, "v0.3.0")
    done(project, "rollback", ARTIFACT, "prod")
    done(project, "promote", version, "prod")
    assert in_stage(project) == "v0.3.0", "out of prod it has only the gate of prod to pass again"


def test_the_gate_alone_changes_nothing(project):
    tags = git(project, "tag")
    code, out, err = registry(project, "gate", f"{ARTIFACT}@v0.2.0", "staging")
    assert code == 4
    assert not err
    assert "does NOT pass the gate of staging" in out
    assert registry(project, "gate", f"{ARTIFACT}@v0.3.0", "prod")[0] == 0
    said = json.loads(registry(project, "gate", f"{ARTIFACT}@v0.2.0", "staging", "--json")[1])
    assert said["passed"] is False
    assert git(project, "tag") == tags
    assert "dev has no gate" in refused(project, "gate", f"{ARTIFACT}@v0.2.0", "dev")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pretrained": "missing"}, "pretrained: weights missing, expected real weights"),
        ({"parity": {"plain": {"holds": False}}}, "parity: Keras and ONNX differ on plain"),
        ({"pad": 21_000_000}, "size: 21.00 MB, expected at most 20 MB"),
    ],
    ids=["pretrained", "parity", "size"],
)
def test_what_fails_its_gate_is_told_what_and_by_how_much(project, changes, expected):
    # 58, 62
    package(project, 6.9, **changes)
    done(project, "register", ARTIFACT)
    done(project, "promote", f"{ARTIFACT}@v0.4.0", "dev")
    err = refused(project, "promote", f"{ARTIFACT}@v0.4.0", "staging")
    assert expected in err
    assert "recorded as refused/strip-reader/staging/1" in err
    assert in_stage(project, "staging") == "v0.1.0"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("strips: {floor: 0.85", "strips: {floor: 0.99", "sequence_accuracy: 0.9"),
        ("ece: 0.15, milliseconds: 50.0", "ece: 0.001, milliseconds: 50.0", "ece: 0.0"),
        ("milliseconds: 50.0, megabytes: 20.0", "milliseconds: 0.0001, megabytes: 20.0", "latency: "),
    ],
    ids=["floor", "ece", "latency"],
)
def test_the_policy_is_that_of_params(project, old, new, expected):
    params = project / "params.yaml"
    text = params.read_text()
    assert text.count(old) == 1
    params.write_text(text.replace(old, new))
    code, out, _ = registry(project, "gate", f"{ARTIFACT}@v0.3.0", "staging")
    assert code == 4
    (failed,) = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert expected.split(":")[0] in failed
    assert expected.split(": ")[1] in failed


def test_the_stand_in_goes_no_further_than_dev(tmp_path):
    # 62
    folder = made.create(tmp_path / "project", origin="embedded")
    package(folder, GOOD)
    done(folder, "register", ARTIFACT)
    done(folder, "promote", ARTIFACT, "dev")
    err = refused(folder, "promote", ARTIFACT, "staging")
    assert "origin: trained on embedded, expected real pictures, not the embedded stand-in" in err
    assert refused(folder, "promote", ARTIFACT, "prod")
    assert in_stage(folder, "staging") is None


def test_a_rollback_to_files_that_are_gone_is_refused(project):
    # 59
    lift(project, "v0.3.0")
    cached(project, "artifacts/strips/model.onnx", "v0.1.0").unlink()
    err = refused(project, "rollback", ARTIFACT, "prod")
    assert "strip-reader#prod stays at v0.3.0: v0.1.0 cannot return: artifacts/strips/model.onnx: gone" in err
    assert in_stage(project) == "v0.3.0"


def test_a_champion_whose_readings_are_gone_can_not_be_judged_against(project):
    cached(project, f"predictions/{made.STRATEGY}/plain-gate.npz", "v0.1.0").unlink()
    err = refused(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")
    assert f"predictions/{made.STRATEGY}/plain-gate.npz: gone" in err
    assert git(project, "rev-parse", f"{ARTIFACT}@v0.1.0^{{commit}}")[:12] in err


def test_a_model_with_other_classes_is_refused(project):
    # 61
    package(project, 6.9, class_names=[*STRIP_NAMES[:9], "nine", "blank"])
    done(project, "register", ARTIFACT)
    done(project, "promote", f"{ARTIFACT}@v0.4.0", "dev")
    err = refused(project, "promote", f"{ARTIFACT}@v0.4.0", "staging")
    assert re.search(r"signature: classes \[.*'nine'.*\], expected classes", err)


def test_a_model_that_is_not_what_its_manifest_says_is_no_version(project):
    package(project, 6.9, slots=4)
    assert "expected (1, 4, 11) as manifest.json says" in refused(project, "register", ARTIFACT)
    package(project, 6.8, model={"file": "model.onnx", "sha256": "0" * 64, "bytes": 1995})
    assert f"expected {'0' * 64} as its manifest says" in refused(project, "register", ARTIFACT)
    assert git(project, "tag", "-l", f"{ARTIFACT}@v0.4.0") == ""


def test_suites_composed_anew_are_read_by_the_champions_model(project):
    made.compose(project, seed=2)
    package(project, 6.9)
    done(project, "register", ARTIFACT)
    done(project, "promote", f"{ARTIFACT}@v0.4.0", "dev")
    told = done(project, "promote", f"{ARTIFACT}@v0.4.0", "staging")
    assert re.search(r"passed\s+difference\s+\+0\.0\d+ of sequence_accuracy", told)


@pytest.mark.parametrize("path", ["params.yaml", "artifacts/strips/manifest.json"])
def test_only_what_is_committed_becomes_a_version(project, path):
    (project / path).write_text((project / path).read_text() + "\n")
    assert f"{path}: not committed" in refused(project, "register", ARTIFACT)


def test_one_model_and_one_commit_are_one_version(project):
    assert "is v0.3.0 already; GTO and DVC know one version a commit" in refused(project, "register", ARTIFACT)
    git(project, "commit", "-q", "--allow-empty", "-m", "more")
    assert "is v0.3.0 already; nothing is new" in refused(project, "register", ARTIFACT)


def test_whoever_has_no_name_changes_nothing(project, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    git(project, "config", "--unset", "user.name")
    git(project, "config", "--unset", "user.email")
    git(project, "config", "user.useConfigOnly", "true")
    assert "git has no identity" in refused(project, "promote", f"{ARTIFACT}@v0.3.0", "staging", code=2)
    assert "git has no identity" in refused(project, "rollback", ARTIFACT, "prod", code=2)


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's use of pygtrie.
def test_a_version_outlives_the_cache_where_there_is_remote_storage(tmp_path):
    folder = made.create(tmp_path / "project")
    package(folder, GOOD)
    with Repo(str(folder)) as repo, repo.config.edit() as config:
        config["remote"]["store"] = {"url": str(tmp_path / "store")}
        config["core"]["remote"] = "store"
    assert "its files are in the remote storage store" in done(folder, "register", ARTIFACT)
    lift(folder, "v0.1.0", "staging")
    package(folder, BETTER)
    done(folder, "register", ARTIFACT)
    shutil.rmtree(folder / ".dvc/cache")
    # The first version's commit knows of no remote storage: what counts is what the workspace says.
    lift(folder, "v0.2.0", "staging")
    assert "everything holds" in done(folder, "verify", f"{ARTIFACT}@v0.1.0")
    shutil.rmtree(tmp_path / "store")
    assert "gone: neither the cache nor" in refused(folder, "promote", f"{ARTIFACT}@v0.2.0", "prod")


def test_where_the_cache_is_linked_a_file_is_not_taken_for_the_one_before(project, tmp_path):
    """DVC leaves a file that is there where it links: every fetch to one name gave the first file."""
    with (project / ".dvc/config.local").open("a") as file:
        file.write('[cache]\n    type = "hardlink,copy"\n')
    with Storage.at(project, Registry.open(project).repository.revision()) as storage:
        for suite in ("plain", "blanks"):
            path = f"data/strips/{suite}/gate.npz"
            assert digest(storage.fetch(path, tmp_path / "one.npz"), "md5") == storage.md5(path)


def test_what_is_deployed_is_what_is_in_the_stage_with_its_version(project):
    out = done(project, "deploy", "prod")
    assert out == "deploy/prod/strips: strip-reader@v0.1.0\n"
    reader = load_readers(project / "deploy/prod")["strips"]
    assert reader.manifest.version == "v0.1.0"
    version = Registry.open(project).journal.version(ARTIFACT, "v0.1.0")
    assert reader.manifest.model.sha256 == version.document["sha256"]
    assert read_json(project / "artifacts/strips/manifest.json")["model"]["sha256"] != reader.manifest.model.sha256
    assert "staging: no version" not in done(project, "deploy", "staging")
    assert git(project, "status", "--porcelain") == ""


def test_a_bento_of_a_stage_names_hash_and_version(project, tmp_path):
    for name in ("bentofile.yaml", "requirements/serve.lock", "docs/serving.md"):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copy(made.ROOT / name, project / name)
    told = json.loads(done(project, "deploy", "prod", "--bento", str(tmp_path / "prod.bento"), "--json"))
    assert re.fullmatch(r"reader:[0-9a-f]{8}-strips-0\.1\.0", told["bento"]), "this is what `bentoml list` shows"
    with tarfile.open(tmp_path / "prod.bento") as archive:
        labels = yaml.YAML(typ="safe").load(archive.extractfile("./bento.yaml"))["labels"]
    assert labels["strips.version"] == "v0.1.0"
    assert labels["strips.sha256"] == made.sha256(project / "deploy/prod/strips/model.onnx")


def test_nothing_is_deployed_where_a_model_was_changed(project):
    done(project, "deploy", "prod")
    before = (project / "deploy/prod/strips/model.onnx").read_bytes()
    damage(cached(project, "artifacts/strips/model.onnx", "v0.1.0"))
    assert "MD5" in refused(project, "deploy", "prod")
    assert (project / "deploy/prod/strips/model.onnx").read_bytes() == before


@pytest.mark.parametrize(
    ("out", "kept", "told"),
    [
        ("../srv", "../srv/index.html", "srv: index.html would be lost"),
        ("deploy", "deploy/staging/strips/model.onnx", "deploy: staging would be lost"),
        ("deploy/prod", "deploy/prod/strips/notes.txt", "prod: strips/notes.txt would be lost"),
        ("linked", "../srv/index.html", "srv: index.html would be lost"),
        (".", "params.yaml", "project: .dvc would be lost"),
        ("params.yaml", "params.yaml", "params.yaml: a file"),
    ],
)
def test_nothing_foreign_is_lost_to_a_deployment(project, out, kept, told):
    (project / "../srv").mkdir()
    (project / "linked").symlink_to("../srv")
    (project / kept).parent.mkdir(parents=True, exist_ok=True)
    with (project / kept).open("a") as file:
        file.write("\n")
    before = (project / kept).read_bytes()
    assert told in refused(project, "deploy", "prod", "--out", out, code=2)
    assert (project / kept).read_bytes() == before


def test_a_deployment_replaces_its_own_and_takes_an_empty_folder(project, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").symlink_to("empty")
    for _ in range(2):
        done(project, "deploy", "prod", "--out", str(tmp_path / "linked"))
        assert load_readers(tmp_path / "empty")["strips"].manifest.version == "v0.1.0"
    assert "a folder; expected the name of a file" in refused(
        project, "deploy", "prod", "--bento", str(tmp_path / "empty"), code=2
    )
    assert (tmp_path / "empty/strips/model.onnx").is_file()


def wait_for_another_second(project):
    """GTO's own commands take the clock's time, which the registry's tags may be ahead of."""
    time.sleep(max(0.0, Registry.open(project).journal.last_time(ARTIFACT) + 1 - time.time()))


def listed(project):
    """By stage its version, as `registry list` and as `gto show` tell."""
    entries = json.loads(done(project, "list", "--json"))
    ours = {stage: entry["version"] for entry in entries for stage in entry["stages"]}
    return ours, {**gto.api.show(str(project)).get(ARTIFACT, {"stage": {}})["stage"]}


def test_a_deprecated_artifact_is_in_no_list_and_not_deployed(project):
    wait_for_another_second(project)
    gto.api.deprecate(str(project), ARTIFACT, simple=True)
    assert listed(project) == ({}, {})
    assert f"{ARTIFACT}: deprecated by {ARTIFACT}@deprecated, left out" in done(project, "list")
    assert re.search(r"deprecation  -        -  ", done(project, "history"))
    assert "but of what is deprecated, strip-reader" in refused(project, "deploy", "prod")
    for command in (("promote", f"{ARTIFACT}@v0.3.0", "staging"), ("rollback", ARTIFACT, "dev")):
        assert f"{ARTIFACT}: deprecated by {ARTIFACT}@deprecated, which Ada" in refused(project, *command)
    package(project, 6.9)
    done(project, "register", ARTIFACT)
    ours, gtos = listed(project)
    assert ours == gtos == {"dev": "v0.3.0", "staging": "v0.1.0", "prod": "v0.1.0"}
    done(project, "deploy", "prod")


def test_of_two_artifacts_the_deprecated_one_is_left_out_of_a_deployment(project):
    write_json(project / "dvc.yaml", read_json(project / "dvc.yaml") | {"artifacts": {
        ARTIFACT: {"path": "artifacts/strips/model.onnx"}, "other-reader": {"path": "artifacts/other/model.onnx"},
    }})  # fmt: skip
    git(project, "tag", "-a", "-m", "by hand", "other-reader@v0.1.0", f"{ARTIFACT}@v0.1.0^{{commit}}")
    git(project, "tag", "-a", "-m", "by hand", "other-reader#prod#1", f"{ARTIFACT}@v0.1.0^{{commit}}")
    assert "other-reader@v0.1.0: its tag carries no evidence" in refused(project, "deploy", "prod")
    time.sleep(1)
    gto.api.deprecate(str(project), "other-reader", simple=True)
    told = done(project, "deploy", "prod").splitlines()
    assert told == [
        "deploy/prod/strips: strip-reader@v0.1.0",
        "other-reader: left out, since it is deprecated by other-reader@deprecated",
    ]


def test_a_version_that_was_withdrawn_is_not_deployed_until_a_rollback_settles_what_is_there(project):
    lift(project, "v0.3.0")
    wait_for_another_second(project)
    gto.api.deregister(str(project), ARTIFACT, version="v0.3.0", simple=True)
    tag = f"{ARTIFACT}@v0.3.0!"
    assert re.search(r"v0\.3\.0   dev, staging, prod \(withdrawn\)", done(project, "list"))
    assert f"{ARTIFACT}#prod: v0.3.0 is there and was withdrawn by {tag}" in refused(project, "deploy", "prod")
    assert f"{ARTIFACT}@v0.3.0: withdrawn by {tag}" in refused(project, "promote", f"{ARTIFACT}@v0.3.0", "prod")
    assert "against v0.3.0" in registry(project, "gate", f"{ARTIFACT}@v0.2.0", "prod")[1]
    for stage in ("prod", "staging", "dev"):
        done(project, "rollback", ARTIFACT, stage)
    ours, gtos = listed(project)
    assert ours == gtos == {"dev": "v0.2.0", "staging": "v0.1.0", "prod": "v0.1.0"}
    assert done(project, "deploy", "prod") == "deploy/prod/strips: strip-reader@v0.1.0\n"


def test_no_rollback_returns_to_a_version_that_was_withdrawn(project):
    wait_for_another_second(project)
    gto.api.deregister(str(project), ARTIFACT, version="v0.2.0", simple=True)
    done(project, "rollback", ARTIFACT, "dev")
    assert in_stage(project, "dev") == "v0.1.0", "and not v0.2.0, which was there before v0.3.0"
    done(project, "promote", f"{ARTIFACT}@v0.3.0", "dev")
    wait_for_another_second(project)
    gto.api.deregister(str(project), ARTIFACT, version="v0.1.0")
    assert "v0.3.0 is the only one that was promoted and not undone or withdrawn" in refused(
        project, "rollback", ARTIFACT, "dev"
    )


def test_the_differences_of_two_versions(project):
    told = json.loads(done(project, "diff", f"{ARTIFACT}@v0.2.0", f"{ARTIFACT}@v0.3.0", "--json"))
    assert told["metrics"]["plain gate"]["difference"] > 0.02
    assert {"sha256", "revision", "dvc_lock_sha256"} <= set(told["rest"])
    assert not [key for key in told["rest"] if key.startswith("params.")]
    assert "plain gate" in done(project, "diff", f"{ARTIFACT}@v0.2.0", f"{ARTIFACT}#prod")


def test_what_a_version_records(project):
    said = json.loads(done(project, "show", f"{ARTIFACT}#prod", "--json"))
    evidence = said["evidence"]
    assert said["stages"] == ["staging", "prod"]
    assert evidence["revision"] == git(project, "rev-parse", f"{ARTIFACT}@v0.1.0^{{commit}}")
    assert evidence["signature"]["inputs"] == [{"name": "images", "type": "tensor(uint8)", "shape": ["n", 28, 140, 1]}]
    assert evidence["params"]["strategy"]["epochs"] == 8
    assert set(evidence["metrics"]["plain"]["gate"]) >= {"sequence_accuracy", "ci_low", "ci_high", "ece", "n"}
    assert evidence["environment"]["lock_sha256"]
    assert "uint8 (n, 28, 140, 1)" in done(project, "show", f"{ARTIFACT}#prod")


def test_it_runs_in_the_top_folder_of_a_clone_only(tmp_path, project):
    assert "no git repository" in refused(tmp_path, "list", code=2)
    assert "not the clone's top folder" in refused(project / "artifacts", "list", code=2)
    write_json(project / "dvc.yaml", {"stages": {}})
    assert "artifacts: expected a mapping" in refused(project, "list", code=2)


def test_only_what_is_signed_is_promoted_where_there_is_a_key(project, tmp_path):
    for name in ("ours", "theirs"):
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private], check=True)
        subprocess.run(["openssl", "ec", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    git(project, "config", "registry.verifyingKey", str(tmp_path / "ours.pub"))
    assert "v0.3.0: not signed" in refused(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")
    git(project, "config", "registry.signingKey", str(tmp_path / "ours.pem"))
    package(project, 6.9)
    done(project, "register", ARTIFACT)
    lift(project, "v0.4.0")
    assert re.search(r"holds\s+signature\s+holds for ours.pub", done(project, "verify", ARTIFACT))
    done(project, "deploy", "prod")
    assert (project / "deploy/prod/strips/model.sig").is_file()
    git(project, "config", "registry.verifyingKey", str(tmp_path / "theirs.pub"))
    assert "the signature does not hold for theirs.pub" in refused(project, "deploy", "prod")
    assert registry(project, "verify", ARTIFACT)[0] == 4
    git(project, "config", "registry.verifyingKey", str(tmp_path / "gone.pub"))
    assert "gone.pub: no such file" in refused(project, "deploy", "prod", code=2)


def test_a_key_without_the_library_is_one_line(project, tmp_path, monkeypatch):
    (tmp_path / "key.pub").write_text("a key")
    git(project, "config", "registry.verifyingKey", str(tmp_path / "key.pub"))
    assert "v0.3.0: not signed, but registry.verifyingKey is set" in refused(
        project, "promote", f"{ARTIFACT}@v0.3.0", "staging"
    )
    git(project, "config", "--unset", "registry.verifyingKey")
    git(project, "config", "registry.signingKey", str(tmp_path / "key.pub"))
    monkeypatch.setitem(sys.modules, "model_signing", None)
    package(project, 6.9)
    assert "model-signing cannot be imported" in refused(project, "register", ARTIFACT, code=2)
    assert git(project, "tag", "-l", f"{ARTIFACT}@v0.4.0") == ""


def test_artifacts_and_their_tasks_are_those_that_are_packaged():
    root = Path(__file__).parents[2]
    loaded = Registry.open(root).artifacts
    packaged = {path.parent.name for path in root.glob("artifacts/*/manifest.json")}
    assert {artifact.task for artifact in loaded.values()} == packaged
    assert set(loaded) == {"strip-reader", "scene-reader", "digit-reader", "cifar10-classifier"}
