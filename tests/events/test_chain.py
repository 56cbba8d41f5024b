"""The chain of events: what is named when one vanishes, moves or is rewritten; two at once; what is accepted."""

import concurrent.futures
import shutil
import subprocess
import sys

import pytest
from registry_project import ARTIFACT, answer, done, git, in_stage, refused, run, tag

from pipeline.core.errors import RegistryError
from pipeline.core.files import read_json, write_json
from pipeline.events import chain, seen
from pipeline.events.chain import Link
from pipeline.events.repository import Repository
from pipeline.events.tags import Tag
from pipeline.records.registry import Previous
from pipeline.registry import operations
from pipeline.registry.operations import Registry


def links(text):
    """Links such as `b<a c<b`, each named by its letter, with an id of it; `a<` is a first one."""
    return [
        Link(word[0], word[0] * 40, ord(word[0]), Previous(tag=word[2], id=word[2] * 40) if word[2:] else None)
        for word in text.split()
    ]


@pytest.mark.parametrize(
    ("text", "head", "named"),
    [
        ("", None, []),
        ("a<", None, []),
        ("c<b a< b<a", "c", []),
        ("a< b<a", "a", []),
        ("a< c<b", None, ["b: vanished"]),
        ("b<a", None, ["a: vanished"]),
        ("a<", "b", ["b: vanished"]),
        ("", "b", ["b: vanished"]),
        ("a< b<", None, ["a, b: all claim to be the first"]),
        ("a< b<a c<a", None, ["b, c: all follow a"]),
        ("a<b b<", None, ["a: its time is not after that of b"]),
        ("c<b", "b", ["b: vanished"]),
    ],
)
def test_what_is_wrong_with_a_chain_is_named(text, head, named):
    found = chain.problems(links(text), (head * 40, head) if head else None)
    assert [problem.split(";")[0][: len(start)] for problem, start in zip(found, named, strict=True)] == named


def test_what_was_rewritten_or_moved_is_not_called_vanished():
    rewritten = [*links("a< c<b"), Link("b", "9" * 40, ord("b"), Previous(tag="a", id="a" * 40))]
    assert chain.problems(rewritten, None)[0].startswith("b: rewritten: it is 999999999999")
    (moved,) = chain.problems([Link("x", "a" * 40, 1, None), *links("b<a")], None)
    assert moved.startswith("x: moved: b follows it as a")
    assert chain.problems(links("a< c<b"), None, ["b" * 40]) == []


def test_the_next_event_follows_the_last():
    assert chain.last([]) is None
    assert chain.last(links("c<b a< b<a")) == Previous(tag="c", id="c" * 40)


@pytest.mark.parametrize(
    "previous", [1, "x", [], {"tag": 1, "id": "0" * 40}, {"tag": "x", "id": "../x"}, {"tag": "x", "id": "0" * 999}]
)
def test_a_previous_event_that_is_none_is_no_link(previous):
    assert chain.link_of({"previous": previous}, Tag("x@v0.1.0", "a" * 40, "Ada", 1, "", "1" * 40)) is None


def test_a_document_of_a_later_schema_keeps_its_place_in_the_chain():
    content = {"schema": 4, "previous": {"tag": "x@v0.1.0", "id": "0" * 40, "more": 1}}
    link = chain.link_of(content, Tag("x@v0.2.0", "a" * 40, "Ada", 1, "", "1" * 40))
    assert link == Link("x@v0.2.0", "1" * 40, 1, Previous(tag="x@v0.1.0", id="0" * 40))


def test_every_event_follows_the_one_before(lifted):
    refused(lifted, "promote", f"{ARTIFACT}@v0.2.0", "staging")
    done(lifted, "rollback", ARTIFACT, "prod")
    registry = Registry.open(lifted)
    events = registry.history.events
    assert [event.document.previous and event.document.previous.tag for event in events] == [
        None,
        *(event.tag for event in events[:-1]),
    ]
    assert git(lifted, "rev-parse", f"refs/registry/{ARTIFACT}") == git(
        lifted, "rev-parse", f"{events[-1].tag}^{{tag}}"
    )
    assert registry.problems() == []


@pytest.mark.parametrize("name", [f"{ARTIFACT}@v0.2.0", f"{ARTIFACT}#dev#1", f"{ARTIFACT}#prod#2"])
def test_a_tag_that_vanished_here_is_named_by_every_command(lifted, name):
    """The last one is named by the clone's head, all others by the event that follows them."""
    tag_id = git(lifted, "rev-parse", name)
    git(lifted, "tag", "-d", name)
    for command in (
        ("promote", f"{ARTIFACT}@v0.1.0", "dev"),
        ("rollback", ARTIFACT, "dev"),
        ("deploy", "dev"),
        ("register", ARTIFACT),
    ):
        assert f"{name}: vanished" in refused(lifted, *command)
    for command in (
        ("list",),
        ("history",),
        ("at", "2099-01-01"),
        ("show", ARTIFACT),
        ("verify", f"{ARTIFACT}@v0.1.0"),
    ):
        code, out, err = run(lifted, *command)
        assert (code, bool(out)) == (4, True)
        assert f"history: {name}: vanished" in err
    done(lifted, "accept", name)
    assert run(lifted, "list")[0] == 0
    git(lifted, "update-ref", f"refs/tags/{name}", tag_id)
    assert run(lifted, "history")[0] == 0, "it may be restored"


def test_accepting_takes_the_shared_repositorys_side(clones):
    ours, theirs, shared = clones
    done(theirs, "rollback", ARTIFACT, "prod")
    done(ours, "list")
    name = f"{ARTIFACT}#prod#3"
    before = git(ours, "rev-parse", name)
    git(shared, "update-ref", "-d", f"refs/tags/{name}")
    assert f"{name}: vanished from origin" in refused(ours, "deploy", "prod")
    accepted = answer(ours, "accept", name)
    assert (accepted[0]["before"], accepted[0]["after"]) == (before, None)
    assert in_stage(ours) == "v0.3.0"
    assert answer(ours, "deploy", "prod")["versions"] == {ARTIFACT: "v0.3.0"}
    assert "nothing to accept" in refused(ours, "accept", name)
    assert "not a tag of the registry" in refused(ours, "accept", "nightly")
    assert "no event of the registry" in refused(ours, "accept", "0" * 40)
    done(ours, "promote", f"{ARTIFACT}@v0.1.0", "dev")
    assert f"{name}: vanished from origin" in refused(theirs, "deploy", "prod"), "each clone accepts for itself"
    done(theirs, "accept", name)
    assert git(theirs, "rev-parse", f"{ARTIFACT}#prod#2") == git(ours, "rev-parse", f"{ARTIFACT}#prod#2")
    done(theirs, "deploy", "prod")


def test_a_moved_tag_is_accepted_too(clones):
    ours, _, shared = clones
    done(ours, "list")
    tag(ours, f"{ARTIFACT}@v0.1.0!", "by hand")
    git(ours, "push", "-q", "origin", f"{ARTIFACT}@v0.1.0!")
    done(ours, "list")
    git(shared, "update-ref", f"refs/tags/{ARTIFACT}@v0.1.0!", f"refs/tags/{ARTIFACT}@v0.2.0")
    assert f"[rejected] {ARTIFACT}@v0.1.0!" in refused(ours, "deploy", "prod")
    done(ours, "accept", f"{ARTIFACT}@v0.1.0!")
    assert run(ours, "list")[0] == 0


def test_another_event_in_between_is_followed_and_not_forked(project):
    first, second, third = (Registry.open(project) for _ in range(3))
    operations.promote(first, f"{ARTIFACT}@v0.3.0", "staging")
    operations.promote(second, f"{ARTIFACT}@v0.1.0", "dev")
    with pytest.raises(RegistryError, match=f"refused/{ARTIFACT}/staging/1"):
        operations.promote(third, f"{ARTIFACT}@v0.2.0", "staging")
    now = Registry.open(project)
    assert now.problems() == []
    assert [event.tag for event in now.history.events[-3:]] == [
        f"{ARTIFACT}#staging#2",
        f"{ARTIFACT}#dev#4",
        f"refused/{ARTIFACT}/staging/1",
    ]


def test_a_promotion_whose_reason_is_gone_is_not_made(project):
    """Another event in between may take the version out of the stage before."""
    done(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")
    registry = Registry.open(project)
    done(project, "rollback", ARTIFACT, "staging")
    with pytest.raises(RegistryError, match=r"taken out of staging"):
        operations.promote(registry, f"{ARTIFACT}@v0.3.0", "prod")
    assert in_stage(project) == "v0.1.0"


@pytest.mark.slow
def test_clones_that_change_different_stages_at_once_do_not_fork(clones):
    ours, theirs, shared = clones
    commands = [
        (ours, "promote", f"{ARTIFACT}@v0.1.0", "dev"),
        (theirs, "rollback", ARTIFACT, "staging"),
        (ours, "promote", f"{ARTIFACT}@v0.2.0", "staging"),
        (theirs, "rollback", ARTIFACT, "prod"),
    ]

    def start(command):
        folder, *arguments = command
        call = [sys.executable, "-m", "pipeline.registry", *arguments]
        return subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(start, commands))
    assert [end.returncode for end in ends] == [0, 0, 4, 0], [end.stderr for end in ends]
    assert f"recorded as refused/{ARTIFACT}/staging/1" in ends[2].stderr
    for clone in (ours, theirs):
        assert run(clone, "list")[0] == 0
        registry = Registry.open(clone)
        assert registry.problems() == []
        end = registry.history.last(ARTIFACT)
        assert git(clone, "rev-parse", f"refs/registry/{ARTIFACT}") == end.id
        assert git(shared, "rev-parse", f"refs/registry/{ARTIFACT}") == end.id


def test_what_was_seen_of_an_artifact_that_is_not_listed_any_more_has_not_vanished(clones):
    ours, _, _ = clones
    done(ours, "list")
    entries = {"other-reader": {"path": "artifacts/other/model.onnx"}}
    write_json(ours / "dvc.yaml", read_json(ours / "dvc.yaml") | {"artifacts": entries})
    code, _, err = run(ours, "list")
    assert (code, err) == (0, "")


def test_of_two_processes_of_one_clone_none_loses_what_the_other_has_accepted(project):
    """As two work trees of one clone, or a command beside a job that fetches."""
    script = (
        "import sys, pathlib; from pipeline.events import seen; from pipeline.events.repository import Repository\n"
        "for each in sys.argv[1:]: seen.accept(Repository.at(pathlib.Path()), [each], {})"
    )
    ids = [f"{number:040x}" for number in range(45)]
    running = [
        subprocess.Popen([sys.executable, "-c", script, *ids[start::3]], cwd=project, stderr=subprocess.PIPE)
        for start in range(3)
    ]
    assert [process.communicate()[1] for process in running] == [b""] * 3
    assert set(seen.load(Repository.at(project)).accepted) == set(ids)


def test_what_a_clone_has_seen_is_kept_by_address_and_a_damaged_file_is_named(clones):
    ours, _, shared = clones
    done(ours, "list")
    git(shared, "update-ref", "-d", f"refs/tags/{ARTIFACT}#prod#2")
    assert "vanished" in refused(ours, "deploy", "prod")
    shutil.copytree(shared, shared.with_name("new.git"))
    git(ours, "remote", "set-url", "origin", "../new.git")
    done(ours, "deploy", "prod")
    for content in (b"{", b"\xff", b'{"remotes": []}', b'{"remotes": {"x": {"y": "../z"}}}'):
        (ours / ".git/registry-seen.json").write_bytes(content)
        assert "registry-seen.json" in refused(ours, "list", code=2)
