"""A thousand hostile tags: every command gives a right answer, or one line with its exit code, and touches nothing."""

import json
import os
import shutil
from collections import Counter

import hostile_tags
import pytest
import watch
from hostile_tags import EACH, FEW, Forge
from registry_project import ARTIFACT, done, git, run, sha256

from pipeline.core.files import read_json
from pipeline.events.repository import Repository
from pipeline.registry.operations import Registry

SEED = 20261126
NOTES = ("skipped: ", "history: ", "as of the last fetch ", "warning: ", "registry: ")
"""How the lines on standard error begin."""
READ = (("list",), ("history", "--json"), ("at", "2027-01-15"), ("list", "--json"), ("history",), ("verify",))
DECIDE = (
    ("deploy", "prod"), ("list",), ("gate", f"{ARTIFACT}@v0.3.0", "prod"), ("history",), ("deploy", "dev", "--json"),
    ("show", ARTIFACT), ("verify", f"{ARTIFACT}@v0.1.0", "--json"), ("diff", ARTIFACT, f"{ARTIFACT}@v0.1.0"),
    ("deploy", "prod"), ("gate", ARTIFACT, "staging"),
)  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder that is a canary, with git's configuration of the test."""
    home = watch.canary(tmp_path / "home")
    shutil.copy(os.environ.get("GIT_CONFIG_GLOBAL", "/dev/null"), home / ".gitconfig")
    (home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    monkeypatch.setenv("HOME", str(home))
    return home


def forge(folder, clone, canary, seed=SEED):
    """A forge that writes into a repository, with the documents and revisions of a clone."""
    events = Registry.open(clone).history.events
    documents = {event.kind: event.message for event in events}
    revisions = list(dict.fromkeys(event.revision for event in events if event.kind == "version"))
    return Forge(folder, seed, ARTIFACT, documents, revisions, (events[-1].tag, events[-1].id), canary)


def check(project, command, codes=(0, 4)):
    """Run a command; check what it prints and how it ends. A traceback would be raised here."""
    code, out, err = run(project, *command)
    told = (command, code, out[-2000:], err[-2000:])
    assert code in codes, told
    assert all(character == "\n" or character.isprintable() for character in out + err), told
    lines = err.splitlines()
    assert all(line.startswith(NOTES) for line in lines), told
    assert sum(line.startswith("registry: ") for line in lines) <= 1, told
    if code and not any(line.startswith(("registry: ", "history: ", "as of ")) for line in lines):
        # A report that names what does not hold, on standard output.
        assert command[0] in ("verify", "gate"), told
    if "--json" in command and out:
        json.loads(out)
    return code, out


def check_deployed(project, good):
    """What is deployed is a genuine version with the manifest that was registered with it."""
    for stage in ("prod", "dev"):
        folder = project / "deploy" / stage / "strips"
        if not folder.exists():
            continue
        manifest = read_json(folder / "manifest.json")
        assert sha256(folder / "model.onnx") == manifest["model"]["sha256"] == good[stage][manifest["version"]]
        assert sorted(path.name for path in (project / "deploy" / stage).iterdir()) == ["strips"]


@pytest.mark.slow
def test_hundreds_of_hostile_tags(lifted, home, tmp_path):
    done(lifted, "rollback", ARTIFACT, "prod")
    run(lifted, "promote", f"{ARTIFACT}@v0.2.0", "staging")
    canary = watch.canary(tmp_path / "outside")
    history = Registry.open(lifted).history
    sha = {name: history.version(ARTIFACT, name).evidence.sha256 for name in ("v0.1.0", "v0.2.0", "v0.3.0")}
    # No gate ever let v0.2.0 into prod.
    good = {"dev": sha, "prod": {name: sha[name] for name in ("v0.1.0", "v0.3.0")}}
    made = forge(lifted / ".git", lifted, canary)
    before = {tag.name: tag for tag in Repository.at(lifted).tags()}
    kinds, outcomes, skipped = Counter(), Counter(), 0
    tags = list(made.hostile(400))
    git_folder = lifted / ".git"
    genuine = git(lifted, "for-each-ref", "refs/tags")
    with watch.only(lifted, roots=watch.roots(lifted, canary)):
        for start in range(0, len(tags), EACH):
            group = tags[start : start + EACH]
            for few in (*(group[at : at + FEW] for at in range(0, EACH, FEW)), group):
                created = hostile_tags.create(git_folder, few)
                read = Repository.at(lifted).read_tags()
                assert [name for name, tag in before.items() if tag not in read.read] == [], "a genuine tag is hidden"
                for command in READ[start // EACH % 2 :: 2] if few is group else DECIDE[start // EACH % 2 :: 2]:
                    outcomes[command[0], check(lifted, command)[0]] += 1
                check_deployed(lifted, good)
                if few is group:
                    kinds.update(tag.kind.split(":")[0] for tag in created)
                    skipped += len(read.skipped)
                assert git(lifted, "status", "--porcelain") == ""
                hostile_tags.remove(git_folder, created)
    assert git(lifted, "for-each-ref", "refs/tags") == genuine, "no command touched a tag"
    for path in canary.rglob("*"):
        assert path.is_dir() or path.read_text().startswith("canary ")
    print(
        f"\n{sum(kinds.values())} of {len(tags)} tags created: {dict(kinds)}; skipped and named: {skipped}; {outcomes}"
    )
    assert sum(kinds.values()) > 380
    assert skipped > 40


@pytest.mark.slow
def test_hostile_tags_in_the_shared_repository(clones, home, tmp_path):
    ours, theirs, shared = clones
    canary = watch.canary(tmp_path / "outside")
    done(ours, "rollback", ARTIFACT, "prod")
    done(ours, "promote", f"{ARTIFACT}@v0.2.0", "dev")
    made = forge(shared, ours, canary, SEED + 1)
    outcomes = Counter()
    work = ours.parent
    with watch.only(work, roots=watch.roots(work, canary)):
        for _ in range(10):
            created = hostile_tags.create(shared, list(made.hostile(25)))
            before = git(shared, "for-each-ref")
            clone = shutil.copytree(theirs, work / "clone", symlinks=True)
            for command in (("list",), ("history", "--json"), ("gate", ARTIFACT, "prod"), ("deploy", "prod")):
                outcomes[command[0], check(clone, command)[0]] += 1
            assert git(shared, "for-each-ref") == before, "no command that reports or decides changes the repository"
            hostile_tags.remove(shared, created)
            shutil.rmtree(clone)
    print(f"\n{dict(outcomes)}")
