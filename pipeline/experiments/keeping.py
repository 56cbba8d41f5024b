"""Whether the result of a run will be kept, looked at before it starts, and whether it was, after it ended.

`make repro` keeps results in dvc.lock and in DVC's cache. An experiment is also a commit below `refs/exps`, which DVC
makes of the files that git knows.
"""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.scm import NoSCM
from ruamel.yaml import YAML

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.project import dvc, git, workspace
from pipeline.project.checks import Check

LOCK = "dvc.lock"
DECIDING = (*workspace.CODE, "params.yaml", "dvc.yaml", LOCK)
"""What the result of a run depends on."""
PROBE_BYTES = 1 << 20
"""What every folder must take before a run starts."""
_MARKERS = re.compile(rb"^(<{7} |={7}\r?$|>{7} )", re.MULTILINE)
_OPERATIONS = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or `git am`",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}
"""Files in git's folder while an operation is in progress: DVC puts changes aside and back, which would end it."""
_LOCKS = ("index.lock", "HEAD.lock", "packed-refs.lock", "shallow.lock")


def files() -> list[Check]:
    """Whether params.yaml, dvc.yaml and dvc.lock are whole.

    A merge may have left its markers in them. DVC writes dvc.lock in place: a process that is killed at that moment, or
    a full disk, leaves a part of it.
    """
    found = []
    for name in ("params.yaml", "dvc.yaml", LOCK):
        path = Path(name)
        if path.exists() and _MARKERS.search(path.read_bytes()):
            remedy = f"git checkout --theirs {name}, or --ours" if name == LOCK else "choose one side"
            found.append(Check("files", "problem", f"{name}: markers of a merge conflict; {remedy}"))
        elif name == LOCK and path.exists() and not dvc.is_lock(path):
            remedy = "`git checkout dvc.lock` brings back the committed one, and the run cache what was computed since"
            found.append(Check("files", "problem", f"{name}: damaged, only a part was written; {remedy}"))
    return found


def storage() -> list[Check]:
    """Whether DVC can write its cache, its temporary files and dvc.lock, and no other DVC holds its lock."""
    with dvc.opened() as repo:
        folders = {
            "the project": Path(repo.root_dir),
            "DVC's cache": Path(repo.cache.local.path),
            "DVC's temporary files": Path(repo.tmp_dir),
            "temporary files": Path(tempfile.gettempdir()),
        }
        problems = [*_unwritable(folders), *_unwritable_file(Path(LOCK)), *_held(repo)]
    return [Check("storage", "problem", problem) for problem in problems]


def repository() -> list[Check]:
    """Whether git and DVC can keep an experiment in this clone, and would give it the files that are here."""
    inside = git.run("rev-parse", "--is-inside-work-tree")
    if inside.untrusted is not None or inside.code or inside.output.strip() != "true":
        reason = inside.reason if inside.code else "the repository is bare; expected a working tree: core.bare false"
        return [Check("git", "problem", f"no experiment can be kept: {reason}")]
    if git.run("rev-parse", "--verify", "--quiet", "HEAD^{tree}").code:
        return [Check("git", "problem", "no commit yet, or a broken one; an experiment is on top of one: commit first")]
    problems = [*_in_progress(), *_hidden(), *_unknown()]
    with dvc.opened() as repo:
        if isinstance(repo.scm, NoSCM):
            problems.append("DVC works without git here: dvc config --unset core.no_scm")
        elif not problems:
            problems += _unwritable_refs(repo)
    return [Check("git", "problem", problem) for problem in problems]


def recorded() -> dict[str, Any]:
    """The content of dvc.lock in the workspace; empty where there is none."""
    path = Path(LOCK)
    return (YAML(typ="safe").load(path) or {}) if path.exists() else {}


def missing(lock: Mapping[str, Any], stages: Collection[str]) -> list[str]:
    """The outputs of stages that dvc.lock does not record, or that DVC's cache does not have whole.

    Args:
        lock: the content of dvc.lock.
        stages: the names of the stages that should be in it.
    """
    known = lock.get("stages", {})
    found = [f"{name} is not in {LOCK}" for name in stages if name not in known]
    with dvc.opened() as repo:
        cached = {
            out.def_path
            for stage in repo.index.stages
            if stage.addressing in stages
            for out in stage.outs
            if out.use_cache
        }
        written = [out for name in stages for out in known.get(name, {}).get("outs", []) if out["path"] in cached]
        return found + [
            f"{out['path']} is not in the cache" for out in written if not _is_cached(repo, out.get("md5", ""))
        ]


def expect_kept(command: str, lock: Mapping[str, Any], stages: Collection[str]) -> None:
    """Check after a run that its result is kept.

    Args:
        command: what the user called, for the message.
        lock: the content of dvc.lock after the run.
        stages: that should be in it.

    Raises:
        DataError: something is missing; the message names the first of it.
    """
    if gone := missing(lock, stages):
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise DataError(f"{command} ended, but its result is not kept: {gone[0]}{more}; run it again")


def _unwritable(folders: Mapping[str, Path]) -> Iterator[str]:
    for what, folder in folders.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(bytes(PROBE_BYTES))
                probe.flush()
        except OSError as error:
            yield f"{folder}: {what} cannot be written: {error.strerror or error}"


def _unwritable_file(path: Path) -> Iterator[str]:
    try:
        with contextlib.suppress(FileNotFoundError), path.open("r+b"):
            pass
    except OSError as error:
        yield f"{path}: cannot be written: {error.strerror or error}"


def _held(repo: Repo) -> Iterator[str]:
    """What another process of DVC has locked."""
    try:
        with repo.lock:
            pass
    except (LockError, DvcException):
        yield "another DVC is at work in this project (.dvc/tmp/lock); wait until it ends"
    rwlock = Path(repo.tmp_dir or "") / "rwlock"
    try:
        held = json.loads(rwlock.read_text(encoding="utf-8"))
        # A reader is a list of processes, a writer one.
        processes = {
            (int(each["pid"]), str(each["cmd"]))
            for kinds in held.values()
            for holders in kinds.values()
            for each in (holders if isinstance(holders, list) else [holders])
        }
    except FileNotFoundError:
        return
    except (ValueError, AttributeError, TypeError, KeyError):
        yield f"{rwlock}: damaged, which stops DVC in the middle of a run; remove it when no DVC runs"
        return
    for pid, name in sorted(processes):
        if psutil.pid_exists(pid):
            yield f"process {pid} ({name}) works on outputs of this project; wait until it ends"


def _in_progress() -> Iterator[str]:
    """What git is in the middle of, and files by which git locks itself."""
    folders = {Path(git.output("rev-parse", option)) for option in ("--git-dir", "--git-common-dir")}
    for folder in sorted(folders):
        for name, operation in _OPERATIONS.items():
            if (folder / name).exists():
                yield f"{operation} is in progress: end it or abort it first (git status)"
        for name in _LOCKS:
            if (folder / name).exists():
                yield f"{folder / name} exists: another git is at work, or one was killed and left it; then remove it"
    if conflicts := workspace.paths("diff", "--name-only", "--diff-filter=U"):
        yield f"{workspace.are(conflicts)} in conflict; resolve and commit first"


def _hidden() -> Iterator[str]:
    """Changes that git was told not to look at: no experiment gets them."""
    flagged = {}
    for line in workspace.paths("ls-files", "-v", "--", *DECIDING):
        tag, _, path = line.partition(" ")
        if (tag.islower() or tag == "S") and Path(path).is_file():
            flagged[path] = tag
    staged = {}
    for line in workspace.paths("ls-files", "--stage", "--", *flagged) if flagged else []:
        entry, _, path = line.partition("\t")
        staged[path] = entry.split()[1]
    changed = [path for path in flagged if git.output("hash-object", "--", path) != staged.get(path)]
    if changed:
        flag = "no-skip-worktree" if flagged[changed[0]] == "S" else "no-assume-unchanged"
        yield (
            f"{workspace.are(changed)} changed, and git was told not to look, so no experiment gets it: "
            f"git update-index --{flag} {changed[0]}"
        )


def _unknown() -> Iterator[str]:
    """What git does not know though every run needs it."""
    known = workspace.paths("ls-files", "--", "params.yaml", "dvc.yaml", ".dvc/config")
    if unknown := [path for path in ("params.yaml", "dvc.yaml", ".dvc/config") if path not in known]:
        yield f"{workspace.are(unknown)} unknown to git, so no experiment gets it: git add -f {unknown[0]}"


def _unwritable_refs(repo: Repo) -> Iterator[str]:
    """Make a ref as an experiment is one, by DVC's own code, and an object; both are removed at once."""
    head = repo.scm.get_rev()
    name = f"refs/exps/{head[:2]}/{head[2:]}/probe-{os.getpid()}"
    try:
        with tempfile.TemporaryFile(dir=git.output("rev-parse", "--git-path", "objects")) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
        repo.scm.set_ref(name, head)
        try:
            if repo.scm.get_ref(name) != head:
                yield f"git does not keep refs here: {name} was written and cannot be read"
        finally:
            repo.scm.remove_ref(name)
    except OSError as error:
        yield f"git's folder cannot be written: {error.strerror or error}"
    except Exception as error:
        # DVC's two libraries for git have errors of their own, which share no base class.
        yield f"git cannot keep an experiment: {next(iter(str(error).splitlines()), type(error).__name__)}"


def _is_cached(repo: Repo, md5: str) -> bool:
    """Whether the cache has a file, or a folder with all its files."""
    cache = repo.cache.local
    if not md5 or not cache.exists(md5):
        return False
    if not md5.endswith(".dir"):
        return True
    try:
        entries = json.loads(Path(cache.oid_to_path(md5)).read_text(encoding="utf-8"))
        return all(cache.exists(entry["md5"]) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def checks(*, experiment: bool) -> list[Check]:
    """All problems that would lose a result.

    Args:
        experiment: whether the result is an experiment, which git keeps as well.

    Returns:
        One `ok` where there is no problem.
    """
    found = files()
    try:
        if not found:
            found = storage()
            # Git is asked last: without a cache there is nothing to keep.
            found += repository() if experiment else []
    except ConfigurationError as error:
        found.append(Check("storage", "problem", str(error)))
    return found or [Check("storage", "ok", "the result will be kept")]
