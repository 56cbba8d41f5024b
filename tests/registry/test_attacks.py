"""The attacks of The Update Framework's specification, on the registry: what holds without a key, what with one.

The attacker can push tags to the shared repository, delete and move them there, and write to the storage of files. The
table in docs/security.md says what these tests say.
"""

import json
import shutil

import pytest
from registry_project import ARTIFACT, MODEL, answer, cached, damage, done, git, in_stage, refused, run, tag

from pipeline.core.errors import RegistryError
from pipeline.core.files import read_json
from pipeline.events import signing, trust
from pipeline.registry.operations import Registry

PROD = f"{ARTIFACT}#prod#2"
"""The promotion by which v0.3.0 came into prod, where v0.1.0 was."""


@pytest.fixture(params=["without a key", "with a key"])
def either(request, tmp_path):
    """A project with v0.3.0 in every stage: once without a key, once with everything signed."""
    base = request.getfixturevalue("signed_base" if request.param == "with a key" else "lifted_base")
    return shutil.copytree(base, tmp_path / "project", symlinks=True)


@pytest.fixture
def shared(either):
    """Two clones that know one shared repository and have fetched from it, and the repository."""
    git(either, "clone", "-q", "--bare", ".", "../shared.git")
    git(either, "remote", "add", "origin", "../shared.git")
    git(either, "config", "registry.remote", "origin")
    done(either, "promote", f"{ARTIFACT}@v0.1.0", "dev")
    other = shutil.copytree(either, either.parent / "other", symlinks=True)
    return either, other, either.parent / "shared.git"


def has_key(project):
    return Registry.open(project).verifying_key is not None


def document(project, name):
    """The document in a tag."""
    return json.loads(git(project, "tag", "-l", "--format=%(contents)", name))


def forge(project, name, content, target):
    """Make a tag with a document of the attacker's, later than all others."""
    tag(project, name, json.dumps(content), target, date="2040-01-01T00:00:00Z")


def follow(project):
    """The event that a new one has to follow."""
    return Registry.open(project).history.last(ARTIFACT).model_dump()


def test_arbitrary_a_version_without_a_decision(either):
    """Who can push a tag puts any version into a stage for GTO and DVC. It is shown, and not deployed."""
    tag(either, f"{ARTIFACT}#prod#3", "by hand", f"{ARTIFACT}@v0.2.0", date="2040-01-01T00:00:00Z")
    assert in_stage(either) == "v0.2.0"
    assert f"{ARTIFACT}#prod#3: its tag carries no evidence" in refused(either, "deploy", "prod")
    (listed,) = [entry for entry in answer(either, "list") if entry["version"] == "v0.2.0"]
    assert set(listed["unchecked"]) == {"prod"}
    assert "prod (unchecked)" in done(either, "list")
    assert "UNCHECKED" in done(either, "history")
    assert answer(either, "history")[0]["unchecked"]
    results = answer(either, "verify", f"{ARTIFACT}@v0.2.0", code=4)[f"{ARTIFACT}@v0.2.0"]
    assert {result["subject"] for result in results if not result["holds"]} == {"in prod"}
    if has_key(either):
        assert signing.VERIFYING_KEY in refused(either, "deploy", "prod", "--unchecked", code=2)
        return
    for _ in range(2):
        code, out, err = run(either, "deploy", "prod", "--unchecked")
        assert (code, err.count("\n")) == (0, 1), out + err
        assert err.startswith(f"warning: {ARTIFACT}@v0.2.0 was deployed unchecked"), "every time"


def test_arbitrary_a_version_with_an_invented_decision(either):
    """Without a key, who can push can also invent a decision that passed. With a key, it is not signed."""
    registry = Registry.open(either)
    worse = registry.history.version(ARTIFACT, "v0.2.0")
    content = document(either, PROD)
    content |= {"version": "v0.2.0", "sha256": worse.evidence.sha256, "evidence_sha256": worse.digest}
    content["decision"] |= {"version": "v0.2.0"}
    content["previous"] = follow(either)
    forge(either, f"{ARTIFACT}#prod#3", content, f"{ARTIFACT}@v0.2.0")
    if has_key(either):
        assert f"{ARTIFACT}#prod#3: the signature is of version 'v0.3.0'" in refused(either, "deploy", "prod")
    else:
        assert answer(either, "deploy", "prod")["versions"] == {ARTIFACT: "v0.2.0"}, "no key, no proof"


@pytest.mark.parametrize("changes", [{"decision": None}, {"sha256": "0" * 64}, {"stage": "staging"}])
def test_arbitrary_a_decision_of_something_else_is_none(either, changes):
    content = document(either, PROD) | {"previous": follow(either)} | changes
    forge(either, f"{ARTIFACT}#prod#3", content, f"{ARTIFACT}@v0.3.0")
    assert f"{ARTIFACT}#prod#3" in refused(either, "deploy", "prod")


def test_arbitrary_a_decision_that_did_not_pass_is_none(either):
    content = document(either, PROD) | {"previous": follow(either)}
    for criteria in ([], [content["decision"]["criteria"][0] | {"passed": False}]):
        content["decision"]["criteria"] = criteria
        forge(either, f"{ARTIFACT}#prod#3", content, f"{ARTIFACT}@v0.3.0")
        assert "did not pass" in refused(either, "deploy", "prod")


def test_arbitrary_bytes_in_place_of_a_model(either):
    damage(cached(either, MODEL.model))
    assert MODEL.model in refused(either, "deploy", "prod")


@pytest.mark.parametrize("changes", [{"class_names": None}, {"threshold": 0.0}])
def test_mix_and_match_a_model_with_another_manifest(either, changes):
    """The evidence of one commit is moved to another one, whose manifest has its classes reversed or threshold 0."""
    manifest = read_json(either / MODEL.manifest)
    if "threshold" in changes:
        manifest["coverage"]["threshold"] = 0.0
    else:
        manifest["class_names"] = manifest["class_names"][::-1]
    (either / MODEL.manifest).write_text(json.dumps(manifest))
    git(either, "commit", "-qam", "another manifest")
    evidence = document(either, f"{ARTIFACT}@v0.3.0")
    for name in (f"{ARTIFACT}@v0.3.0", PROD):
        tag(either, name, git(either, "tag", "-l", "--format=%(contents)", name), "HEAD", date="2040-01-01T00:00:00Z")
    assert "rewritten" in refused(either, "deploy", "prod"), "the events after them follow the former ones"
    # A clone that fetches for the first time may get a history that was rewritten as a whole.
    registry = Registry.open(either)
    with registry.opened(registry.history.version(ARTIFACT, "v0.3.0")) as version:
        for check in (version.fetch_model, version.read_manifest):
            with pytest.raises(RegistryError, match=evidence["manifest_sha256"]):
                check()
    (result,) = [
        each
        for each in answer(either, "verify", f"{ARTIFACT}@v0.3.0", code=4)[f"{ARTIFACT}@v0.3.0"]
        if each["subject"] == MODEL.manifest
    ]
    assert not result["holds"]


def test_mix_and_match_evidence_that_was_rewritten_with_its_manifest(either):
    """Without a key, evidence that is rewritten with everything it names is as good as any. With one, it is not."""
    registry = Registry.open(either)
    event = registry.history.version(ARTIFACT, "v0.3.0")
    forge(either, event.tag, event.evidence.as_json() | {"manifest_sha256": "0" * 64}, event.tag)
    moved = Registry.open(either).history.version(ARTIFACT, "v0.3.0")
    if has_key(either):
        with pytest.raises(RegistryError, match=r"manifest\.json"):
            trust.check_signature(moved, Registry.open(either).verifying_key)
    else:
        trust.check_signature(moved, None)
    assert "rewritten" in refused(either, "deploy", "prod"), "the chain names it to who has the later events"


@pytest.mark.parametrize("stage", ["dev", "staging"])
def test_mix_and_match_a_decision_of_another_stage_or_version(either, stage):
    last = follow(either)
    content = document(either, f"{ARTIFACT}#{stage}#1") | {"previous": last}
    forge(either, f"{ARTIFACT}#prod#3", content, f"{ARTIFACT}@v0.1.0")
    assert f"{ARTIFACT}#prod#3: its evidence is of {ARTIFACT}@v0.1.0 for {stage}" in refused(either, "deploy", "prod")
    content = document(either, PROD) | {"previous": last}
    forge(either, f"{ARTIFACT}#prod#3", content, f"{ARTIFACT}@v0.2.0")
    assert f"its evidence is of {ARTIFACT}@v0.3.0 for prod" in refused(either, "deploy", "prod")


def test_wrong_target_the_tags_of_another_artifact(either):
    other = document(either, f"{ARTIFACT}@v0.3.0") | {"previous": follow(either)}
    git(either, "commit", "-q", "--allow-empty", "-m", "more")
    forge(either, f"{ARTIFACT}@v0.9.0", other | {"artifact": "digit-reader", "version": "v0.9.0"}, "HEAD")
    assert "its evidence is of digit-reader@v0.9.0" in refused(either, "gate", f"{ARTIFACT}@v0.9.0", "staging")
    forge(either, f"{ARTIFACT}@v0.9.0", other | {"version": "v0.9.0"}, "HEAD")
    results = answer(either, "verify", f"{ARTIFACT}@v0.9.0", code=4)[f"{ARTIFACT}@v0.9.0"]
    failed = {result["subject"] for result in results if not result["holds"]}
    assert "revision" in failed
    assert ("signature" in failed) == has_key(either)


def test_rollback_of_the_shared_repository_is_named_to_who_has_seen_more(shared):
    project, other, repository = shared
    done(project, "rollback", ARTIFACT, "prod")
    done(other, "list")
    assert in_stage(other) == "v0.1.0"
    git(repository, "update-ref", "-d", f"refs/tags/{ARTIFACT}#prod#3")
    git(repository, "update-ref", f"refs/registry/{ARTIFACT}", f"refs/tags/{ARTIFACT}#dev#4")
    for clone in (project, other):
        for command in (("deploy", "prod"), ("promote", f"{ARTIFACT}@v0.3.0", "prod"), ("rollback", ARTIFACT, "dev")):
            assert f"{ARTIFACT}#prod#3: vanished from origin" in refused(clone, *command)
        code, out, err = run(clone, "list")
        assert code == 4
        assert f"{ARTIFACT}#prod#3: vanished from origin" in err
        assert "v0.1.0" in out
    git(project, "push", "-q", "origin", f"refs/tags/{ARTIFACT}#prod#3")
    assert answer(other, "deploy", "prod")["versions"] == {ARTIFACT: "v0.1.0"}, "restored"


def test_rollback_to_who_has_seen_nothing(shared):
    """A new clone sees a gap, and an end that is not the head's. It cannot see an end that was cut off with it."""
    project, other, repository = shared
    for file in ("registry-seen.json", f"refs/registry/{ARTIFACT}"):
        (other / ".git" / file).unlink()
    for name in git(other, "tag").split():
        git(other, "tag", "-d", name)
    head = git(repository, "rev-parse", f"refs/registry/{ARTIFACT}")
    git(repository, "update-ref", "-d", f"refs/tags/{ARTIFACT}#dev#4")
    assert f"its last event in origin is {head[:12]}" in refused(other, "deploy", "prod")
    git(repository, "update-ref", "-d", f"refs/registry/{ARTIFACT}")
    done(other, "deploy", "prod")
    git(repository, "update-ref", "-d", f"refs/tags/{ARTIFACT}#staging#1")
    for name in (*git(other, "tag").split(),):
        git(other, "tag", "-d", name)
    (other / ".git/registry-seen.json").unlink()
    git(other, "update-ref", "-d", f"refs/registry/{ARTIFACT}")
    assert f"{ARTIFACT}#staging#1: vanished" in refused(other, "deploy", "prod")
    assert f"{ARTIFACT}#dev#4: vanished from origin" in refused(project, "deploy", "prod")


def test_rollback_by_a_decision_that_is_played_again(either):
    last, content = follow(either), document(either, f"{ARTIFACT}#prod#1")
    forge(either, f"{ARTIFACT}#prod#3", content, f"{ARTIFACT}@v0.1.0")
    assert "the history is forked" in refused(either, "deploy", "prod")
    forge(either, f"{ARTIFACT}#prod#3", content | {"previous": last}, f"{ARTIFACT}@v0.1.0")
    if not has_key(either):
        assert answer(either, "deploy", "prod")["versions"] == {ARTIFACT: "v0.1.0"}, "no key, no proof"
    else:
        assert "tag 'strip-reader#prod#1', found 'strip-reader#prod#3'" in refused(either, "deploy", "prod")


def test_rollback_by_a_removal_that_nobody_signed(either):
    """`gto deprecate NAME VERSION STAGE` takes a version out: the one before is back, with a decision of its own."""
    tag(either, f"{ARTIFACT}#prod!#3", "by hand", f"{ARTIFACT}@v0.3.0", date="2040-01-01T00:00:00Z")
    assert in_stage(either) == "v0.1.0"
    if not has_key(either):
        assert answer(either, "deploy", "prod")["versions"] == {ARTIFACT: "v0.1.0"}
        return
    assert f"{ARTIFACT}#prod!#3, which nobody signed" in refused(either, "deploy", "prod")
    assert f"{ARTIFACT}#prod!#3" in answer(either, "show", f"{ARTIFACT}@v0.1.0")["unchecked"]
    done(either, "promote", f"{ARTIFACT}@v0.3.0", "prod")
    assert answer(either, "deploy", "prod")["versions"] == {ARTIFACT: "v0.3.0"}


def test_freeze_is_named_where_newer_events_were_seen_and_not_elsewhere(shared):
    """A repository that goes on serving an old state. Nothing in the registry expires: `deploy` says since when."""
    project, other, repository = shared
    frozen = shutil.copytree(repository, repository.with_name("frozen.git"))
    done(project, "rollback", ARTIFACT, "prod")
    shutil.rmtree(repository)
    assert "--offline" in refused(project, "deploy", "prod"), "a repository that is silent is no excuse"
    frozen.rename(repository)
    assert f"{ARTIFACT}#prod#3: vanished from origin" in refused(project, "deploy", "prod")
    assert answer(other, "deploy", "prod")["versions"] == {ARTIFACT: "v0.3.0"}, "who never saw more cannot know"
    assert f"{PROD} of " in done(other, "deploy", "prod"), "the age of the decision is printed"


def test_endless_data_in_a_tag_hides_no_other(either):
    (either / "message").write_text("x" * 300_000)
    git(either, "tag", "-a", "-F", "message", f"{ARTIFACT}@v9.9.9", f"{ARTIFACT}@v0.2.0^{{commit}}")
    code, out, err = run(either, "list")
    assert code == 0
    assert "v0.3.0" in out
    assert err.startswith(f"skipped: {ARTIFACT}@v9.9.9: 300,")
    done(either, "deploy", "prod")


def test_endless_data_in_place_of_a_model_is_read_no_further_than_its_size(either):
    path = cached(either, MODEL.model)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(2**40)
    assert f"{MODEL.model}: more than the" in refused(either, "deploy", "prod")


def test_endless_data_in_place_of_a_manifest_is_not_read(project):
    with (project / MODEL.manifest).open("r+b") as file:
        file.truncate(2**24 + 1)
    git(project, "commit", "-qam", "a large manifest")
    assert f"{MODEL.manifest}: 16,777,217 bytes" in refused(project, "register", ARTIFACT)


def test_fast_forward_does_not_stop_later_promotions(either):
    """Numbers and times that leave no room for later ones."""
    tag(either, f"{ARTIFACT}#prod#999999999", "by hand", f"{ARTIFACT}@v0.2.0", date="2099-12-31T00:00:00Z")
    assert f"{ARTIFACT}#prod#999999999" in refused(either, "deploy", "prod")
    promotion = answer(either, "promote", f"{ARTIFACT}@v0.3.0", "prod")
    assert promotion["tag"] == f"{ARTIFACT}#prod#1000000000"
    assert promotion["evidence"]["decision"]["champion"] == "v0.3.0", "not what was assigned by hand"
    assert answer(either, "deploy", "prod")["versions"] == {ARTIFACT: "v0.3.0"}


def test_extraneous_artifacts_are_not_deployed(either):
    for name in ("other-reader@v1.0.0", "other-reader#prod#1", "strip-reader2#prod#1"):
        tag(either, name, "by hand", f"{ARTIFACT}@v0.3.0")
    assert answer(either, "deploy", "prod")["versions"] == {ARTIFACT: "v0.3.0"}
    written = sorted(str(path.relative_to(either / "deploy")) for path in (either / "deploy").rglob("*.*"))
    expected = ["prod/strips/manifest.json", "prod/strips/model.onnx"]
    assert written == expected + (["prod/strips/model.sig"] if has_key(either) else [])


def test_a_stolen_key_is_replaced_and_what_it_signed_counts_no_more(signed, keys):
    git(signed, "config", signing.VERIFYING_KEY, str(keys / "theirs.pub"))
    assert "does not hold for theirs.pub" in refused(signed, "deploy", "prod")
