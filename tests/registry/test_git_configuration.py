"""Nothing in git's configuration or environment changes what the registry does with git, and no other ref moves.

Each hostile setting meets the same calls of two clones of one shared repository. What they answer and every ref of all
three must be what they are without the setting.
"""

import shutil

import pytest
from registry_project import git

from pipeline.core.errors import ConfigurationError
from pipeline.events.repository import REMOTE_KEY, Repository
from pipeline.project import git as runner

HOOKS = (
    "pre-push", "reference-transaction", "post-checkout", "post-index-change", "pre-commit", "post-commit",
    "pre-auto-gc", "fsmonitor-watchman", "update", "pre-receive", "post-receive", "post-update", "push-to-checkout",
)  # fmt: skip
PROGRAM, MISSING = "{place}/program", "{place}/missing"
ALL = "+refs/*:refs/*"
SETTINGS = [
    # What a fetch deletes, moves and brings along.
    ["fetch.prune=true"],
    ["fetch.prune=true", "fetch.pruneTags=true"],
    ["remote.origin.prune=true", "remote.origin.pruneTags=true"],
    ["remote.origin.fetch=+refs/tags/*:refs/tags/*", "fetch.prune=true"],
    [f"remote.origin.fetch={ALL}", "remote.origin.prune=true"],
    ["remote.origin.fetch=+refs/tags/*:refs/remotes/origin/tags/*"],
    ["remote.origin.fetch=+refs/heads/*:refs/tags/*"],
    ["remote.origin.fetch=^refs/tags/reader@*"],
    ["remote.origin.tagOpt=--tags"],
    ["remote.origin.tagOpt=--no-tags"],
    ["remote.origin.skipFetchAll=true", "remote.origin.skipDefaultUpdate=true"],
    ["remote.origin.followRemoteHEAD=always"],
    ["remote.origin.partialclonefilter=blob:none"],
    ["fetch.all=true"],
    ["fetch.recurseSubmodules=true"],
    ["fetch.output=compact"],
    ["fetch.parallel=3"],
    ["fetch.writeCommitGraph=true"],
    ["fetch.showForcedUpdates=false"],
    ["fetch.unpackLimit=1"],
    ["fetch.bundleURI={place}/missing.bundle"],
    ["transfer.bundleURI=true"],
    ["remotes.default=elsewhere"],
    # What a push deletes, moves and publishes.
    ["remote.origin.mirror=true"],
    [f"remote.origin.push={ALL}"],
    ["remote.origin.push=:refs/heads/theirs"],
    ["remote.pushDefault=elsewhere"],
    ["push.default=matching"],
    ["push.default=nothing"],
    ["push.followTags=true"],
    ["push.gpgSign=true"],
    ["push.gpgSign=if-asked"],
    ["push.pushOption=ci.skip"],
    ["push.recurseSubmodules=only"],
    ["push.recurseSubmodules=check"],
    ["push.useForceIfIncludes=true"],
    ["push.negotiate=true"],
    ["push.autoSetupRemote=true"],
    # Programs that would run.
    ["core.hooksPath={place}/hooks"],
    [f"core.fsmonitor={PROGRAM}"],
    [f"core.pager={PROGRAM}", f"pager.status={PROGRAM}", "pager.for-each-ref=true"],
    [f"core.editor={PROGRAM}", f"sequence.editor={PROGRAM}"],
    [f"core.alternateRefsCommand={PROGRAM}"],
    [f"diff.external={PROGRAM}"],
    [f"diff.text.textconv={PROGRAM}", "core.attributesFile={place}/attributes"],
    [f"filter.own.clean={PROGRAM}", "filter.own.required=true", "core.attributesFile={place}/attributes"],
    [f"gpg.program={PROGRAM}", "log.showSignature=true", "tag.gpgSign=true", "commit.gpgSign=true"],
    ["gpg.format=ssh", "user.signingKey=none", "tag.forceSignAnnotated=true"],
    [f"interactive.diffFilter={PROGRAM}"],
    *(
        [f"alias.{name}=!{PROGRAM}"]
        for name in ("fetch", "push", "mktag", "update-ref", "cat-file", "status", "rev-parse")
    ),
    # What is printed, and how.
    *([f"color.{name}=always"] for name in ("ui", "push", "status", "branch", "diff", "remote", "transport", "advice")),
    ["column.ui=always", "column.status=always", "column.branch=always"],
    ["core.quotePath=true"],
    ["core.abbrev=4"],
    ["core.abbrev=no"],
    ["core.commentChar=r"],
    ["core.notesRef=refs/tags/reader@v0.1.0"],
    ["log.date=relative", "log.decorate=full", "format.pretty=oneline", "log.mailmap=true"],
    ["tag.sort=-creatordate", "branch.sort=-committerdate", "versionsort.suffix=-rc"],
    ["i18n.logOutputEncoding=UTF-16", "i18n.commitEncoding=latin1"],
    ["advice.pushUpdateRejected=true", "advice.fetchShowForcedUpdates=true"],
    ["help.autocorrect=immediate"],
    # Which files differ.
    ["diff.relative=true", "diff.noprefix=true", "diff.mnemonicPrefix=true", "diff.ignoreSubmodules=all"],
    ["diff.renames=copies", "status.renames=copies"],
    [f"diff.orderFile={MISSING}"],
    ["status.short=true", "status.branch=true", "status.showStash=true", "status.aheadBehind=true"],
    ["status.showUntrackedFiles=no", "status.relativePaths=false"],
    ["status.submoduleSummary=true", "submodule.recurse=true"],
    ["core.untrackedCache=true", "feature.manyFiles=true", "index.threads=true"],
    # What happens besides.
    ["gc.auto=1", "gc.autoDetach=false", "gc.pruneExpire=now", "gc.reflogExpire=now"],
    ["maintenance.auto=true", "maintenance.strategy=incremental"],
    ["core.logAllRefUpdates=always"],
    ["core.compression=9", "pack.threads=1", "core.bigFileThreshold=1"],
    ["fsck.badTagName=ignore", "fsck.missingTaggerEntry=ignore"],
    ["rerere.enabled=true", "merge.ff=only", "pull.rebase=true", "init.defaultBranch=x"],
    ["protocol.version=1"],
    ["feature.experimental=true"],
]
VARIABLES = [
    {name: "{place}/elsewhere"}
    for name in (
        "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_GRAFT_FILE",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_QUARANTINE_PATH", "GIT_TEMPLATE_DIR", "GIT_CONFIG",
        "GIT_CEILING_DIRECTORIES", "GIT_TRACE", "GIT_TRACE2_EVENT", "GIT_TRACE_PACKET", "GIT_NAMESPACE", "GIT_PREFIX",
    )
] + [
    {name: PROGRAM}
    for name in ("GIT_PAGER", "PAGER", "GIT_EDITOR", "EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_EXTERNAL_DIFF")
] + [
    {name: "1"}
    for name in (
        "GIT_TRACE", "GIT_TRACE2", "GIT_TRACE2_PERF", "GIT_TRACE_SETUP", "GIT_TRACE_REFS", "GIT_CURL_VERBOSE",
        "GIT_FLUSH", "GIT_LITERAL_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_REF_PARANOIA",
        "GIT_OPTIONAL_LOCKS",
        "GIT_IMPLICIT_WORK_TREE", "GIT_MERGE_VERBOSITY", "GIT_TEST_ASSUME_DIFFERENT_OWNER", "GIT_PRINT_SHA1_ELLIPSIS",
    )
] + [
    {"GIT_COMMITTER_DATE": "not a date", "GIT_AUTHOR_DATE": "not a date"},
    {"GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z"},
    {"GIT_REPLACE_REF_BASE": "refs/heads/"},
    {"GIT_ATTR_SOURCE": "no-such-tree"},
    {"GIT_DEFAULT_HASH": "sha256", "GIT_DEFAULT_REF_FORMAT": "reftable"},
    {"GIT_DIFF_OPTS": "--unified=0", "GIT_REFLOG_ACTION": "x"},
    {"GIT_PUSH_OPTION_COUNT": "1", "GIT_PUSH_OPTION_0": "x"},
    {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "fetch.prune", "GIT_CONFIG_VALUE_0": "true"},
    {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "push.followTags", "GIT_CONFIG_VALUE_0": "true"},
    {"GIT_CONFIG_PARAMETERS": "'color.ui=always' 'fetch.prune=true' 'push.followTags=true'"},
    {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de", "TERM": "xterm-256color", "CLICOLOR_FORCE": "1"},
]  # fmt: skip
OWN = ["reader@*", "reader#*", "refused/*"]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """`ours` and `theirs`, two clones of `shared.git`, and refs in each that nobody asks the registry to touch."""
    place = tmp_path_factory.mktemp("configuration")
    ours = place / "ours"
    git(place, "init", "-q", "-b", "main", "ours")
    git(ours, "config", "user.name", "Ada")
    git(ours, "config", "user.email", "ada@example.org")
    for name in ("params.yaml", "dvc.lock", "zwölf.txt"):
        (ours / name).write_text(f"{name}\r\nÄ\n")
    git(ours, "add", "-A")
    git(ours, "commit", "-qm", "first")
    message(ours, "reader@v0.1.0")
    git(place, "clone", "-q", "--bare", "ours", "shared.git")
    git(ours, "remote", "add", "origin", "../shared.git")
    git(ours, "config", REMOTE_KEY, "origin")
    git(ours, "fetch", "-q", "origin")
    shutil.copytree(ours, place / "theirs")
    theirs = place / "theirs"
    for name in ("reader#dev#1", "nightly", "refused/reader/prod/1"):
        message(theirs, name)
        git(theirs, "push", "-q", "origin", name)
    git(theirs, "push", "-q", "origin", "main:theirs", "main:refs/notes/theirs", "main:refs/pull/1/head")
    (ours / "params.yaml").write_text("second\n")
    git(ours, "commit", "-qam", "second")
    git(ours, "branch", "private")
    # A branch of the shared repository that is gone there, tags that are only here, and one of another content.
    git(ours, "update-ref", "refs/remotes/origin/gone", "HEAD")
    message(ours, "reader#prod#1")
    message(ours, "nightly")
    message(ours, "annotated")
    git(ours, "tag", "light")
    git(ours, "mv", "zwölf.txt", "thirteen.txt")
    (ours / "new ü.txt").write_text("new\n")
    (place / "attributes").write_text("* diff=text filter=own working-tree-encoding=UTF-16\n")
    return place


def message(folder, name):
    git(folder, "tag", "-a", "-m", f"{folder.name} {name} ü", name, GIT_COMMITTER_DATE="2026-01-01T00:00:00Z")


def hostile(place):
    """Programs that leave a mark and fail: as hooks of the clones, in a folder of hooks, and one by its name."""
    hooks = [folder / name for folder in (*place.glob("*/.git/hooks"), place / "hooks") for name in HOOKS]
    for path in (*hooks, place / "program"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {path.name} >> '{place}/mark'\nexit 1\n")
        path.chmod(0o755)
    return place


@pytest.fixture
def place(template, tmp_path):
    """A copy of the template, with hostile programs."""
    return hostile(shutil.copytree(template, tmp_path / "place", symlinks=True))


def refs(place):
    """Every ref of the three repositories. The hash of what is created now holds the time, so it does not count."""
    found = {}
    for name in ("ours", "theirs", "shared.git"):
        for line in git(place / name, "for-each-ref", "--format=%(refname) %(objectname)").splitlines():
            ref, _, value = line.partition(" ")
            found[name, ref] = "created" if ref.endswith("#dev#2") else value
    return found


def walk(place):
    """Everything that the registry does with git, and what it answers."""
    ours, theirs = Repository.at(place / "ours"), Repository.at(place / "theirs")
    ours.fetch_tags(OWN)
    head = ours.revision()
    answers = [
        ours.remote(),
        ours.identity(),
        head,
        ours.changed("params.yaml", "thirteen.txt", "zwölf.txt", "new ü.txt"),
    ]
    answers += [ours.text("HEAD", "params.yaml"), ours.text("HEAD", "zwölf.txt"), ours.heads()]
    answers += [sorted(ours.shared_refs(["reader"], OWN).items())]
    ours.create_tag("reader#dev#2", head, "a message: ü\n", after=2_000_000_000)
    theirs.fetch_tags(OWN)
    tags = theirs.read_tags()
    answers += [[(tag.name, tag.message, tag.who, tag.time) for tag in tags.read], tags.skipped]
    answers += [runner.output("diff", "--name-only", "HEAD", folder=ours.root)]
    answers += [runner.output("ls-files", "--others", "--exclude-standard", folder=ours.root)]
    answers += [runner.output("branch", "--show-current", folder=ours.root)]
    return answers


@pytest.fixture(scope="module")
def expected(template, tmp_path_factory):
    """What the walk answers, and the refs after it, without any setting."""
    copy = shutil.copytree(template, tmp_path_factory.mktemp("expected") / "place", symlinks=True)
    before, answers = refs(copy), walk(copy)
    after = refs(copy)
    created = after.keys() - before.keys()
    assert {ref for name, ref in created if name == "shared.git"} == {"refs/tags/reader#dev#2"}
    assert {ref for name, ref in created if name == "ours"} == {
        "refs/tags/reader#dev#1", "refs/tags/reader#dev#2", "refs/tags/refused/reader/prod/1",
    }  # fmt: skip
    assert all(after[ref] == value for ref, value in before.items())
    return answers, after


def check(place, expected, monkeypatch, variables=()):
    answers = walk(place)
    for name in variables:
        monkeypatch.delenv(name)
    assert answers == expected[0]
    assert refs(place) == expected[1]
    assert not (place / "mark").exists(), (place / "mark").read_text()
    assert not (place / "elsewhere").exists()


def test_without_a_setting_no_hook_runs(place, expected, monkeypatch):
    check(place, expected, monkeypatch)


SERVER_SIDE = ("core.hooksPath", "core.alternateRefsCommand")
"""Read by git's side of the shared repository as well, which is not the registry's: here both are on one machine."""
PLACES = [
    pytest.param(settings, where, id=f"{settings[0]}-{where}")
    for settings in SETTINGS
    for where in ("local", "global")
    if where == "local" or not settings[0].startswith(SERVER_SIDE)
]


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "where"), PLACES)
def test_no_setting_changes_anything(place, expected, settings, where, monkeypatch):
    configure(place, settings, where, monkeypatch)
    check(place, expected, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("variables", VARIABLES, ids=lambda variables: next(iter(variables.items()))[0])
def test_no_variable_changes_anything(place, expected, variables, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(place=place))
    check(place, expected, monkeypatch, variables)


def configure(place, settings, where, monkeypatch):
    if where == "global":
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(place / "configuration"))
        (place / "configuration").touch()
    for setting in settings:
        key, _, value = setting.format(place=place).partition("=")
        for clone in ("ours", "theirs"):
            git(place / clone, "config", f"--{where}", "--add", key, value)


def test_all_of_them_at_once_change_nothing(place, expected, monkeypatch):
    for settings in SETTINGS:
        configure(place, settings, "local", monkeypatch)
    variables = {name: value.format(place=place) for each in VARIABLES for name, value in each.items()}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    check(place, expected, monkeypatch, variables)


def test_an_object_is_never_replaced(place, expected):
    ours = place / "ours"
    for name, other in (("HEAD", "HEAD~1"), ("reader@v0.1.0", "annotated")):
        git(ours, "-c", "core.hooksPath=/dev/null", "replace", name, other)
    assert walk(place) == expected[0]


def test_how_a_repository_is_reached_stays_the_users(place, expected, monkeypatch):
    """Addresses, ssh, and a configuration by variables alone."""
    ours, log = place / "ours", place / "log"
    ssh = place / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\nwhile [ $# -gt 1 ]; do shift; done\neval "exec $1"\n')
    ssh.chmod(0o755)
    git(ours, "remote", "set-url", "origin", "shared:models")
    git(ours, "config", f"url.ssh://somewhere{place}/shared.git.insteadOf", "shared:models")
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{ssh} -v")
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    answers = walk(place)
    assert answers[1:] == expected[0][1:]
    assert "somewhere git-upload-pack" in log.read_text()
    assert "somewhere git-receive-pack" in log.read_text()
    monkeypatch.delenv("GIT_SSH_COMMAND")
    git(ours, "config", "core.sshCommand", str(ssh))
    log.unlink()
    Repository.at(ours).fetch_tags(OWN)
    assert "somewhere" in log.read_text()


def test_who_the_user_is_and_whom_git_trusts_stays_the_users(place, monkeypatch):
    ours = place / "ours"
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Grace")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", REMOTE_KEY)
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "elsewhere")
    assert Repository.at(ours).identity() == "Grace <ada@example.org>"
    with pytest.raises(ConfigurationError, match="elsewhere"):
        Repository.at(ours).remote()


def test_a_push_of_several_addresses_goes_to_the_first(place):
    ours = place / "ours"
    git(place, "init", "-q", "--bare", "mirror.git")
    git(ours, "config", "--add", "remote.origin.url", "../mirror.git")
    Repository.at(ours).fetch_tags(OWN)
    Repository.at(ours).create_tag("reader#dev#2", Repository.at(ours).revision(), "ü\n")
    assert git(place / "mirror.git", "for-each-ref") == ""
    assert "reader#dev#2" in git(place / "shared.git", "tag")


def test_a_remote_without_an_address_is_named(place):
    ours = place / "ours"
    git(ours, "config", "--unset-all", "remote.origin.url")
    with pytest.raises(ConfigurationError, match=r"remote\.origin\.url"):
        Repository.at(ours).fetch_tags(OWN)
