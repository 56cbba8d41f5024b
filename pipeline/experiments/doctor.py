"""Everything that a run needs, checked without training, fetching or changing anything. Imports no TensorFlow."""

from collections.abc import Callable
from pathlib import Path

from dvc.exceptions import DvcException
from dvc_objects.fs.generic import test_links as working_links

from pipeline.config import params
from pipeline.core.errors import PipelineError
from pipeline.experiments import keeping, machine, pictures, preflight, staleness
from pipeline.experiments.machine import GIB
from pipeline.experiments.staleness import abbreviated
from pipeline.project import dvc, git, integrity, workspace
from pipeline.project.checks import Check


def examine(fsck: bool = False) -> list[Check]:
    """Make every check, in the order in which one would fix problems. A check that fails is a problem itself.

    Args:
        fsck: also hash every file that dvc.lock records, in the workspace and in the cache.
    """
    checks: dict[str, Callable[[], list[Check]]] = {
        "python": machine.python,
        "packages": machine.packages,
        "params": _params,
        "git": _git,
        "cache": _cache,
        "storage": lambda: keeping.checks(experiment=False),
        "mirror": pictures.mirror,
        "pictures": pictures.fetched,
        "processor": machine.processor,
        "cards": machine.cards,
        "disk": machine.disk,
        "memory": machine.memory,
        "stale": staleness.checks,
    }
    if fsck:
        checks["files"] = _files
    found = []
    for subject, check in checks.items():
        try:
            found += check()
        except (PipelineError, DvcException, OSError) as error:
            found.append(Check(subject, "problem", " ".join(str(error).split())))
    return found


def _params() -> list[Check]:
    settings = params.load(Path("params.yaml"))
    return [Check("params", "ok", f"{len(settings.strategies)} strategies at budget {settings.budget:g}")]


def _git() -> list[Check]:
    revision = git.output("rev-parse", "--short", "HEAD")
    commit = Check("git", "ok", f"at {revision}, branch {git.output('branch', '--show-current') or 'none'}")
    identity = preflight.identity()
    # `make repro` commits nothing; only experiments and the registry do.
    known = identity if identity.verdict == "ok" else Check("identity", "note", identity.message)
    unkept = [Check("experiments", "note", check.message) for check in keeping.repository()]
    return [commit, known, *_code(), *preflight.line_ends(), *unkept]


def _code() -> list[Check]:
    new, changed = workspace.untracked(), workspace.modified()
    if not new and not changed:
        return [Check("code", "ok", "all of it is committed")]
    parts = [f"tracked and changed: {abbreviated(changed)}"] if changed else []
    parts += [f"unknown to git, so no experiment gets it: {abbreviated(new)}"] if new else []
    return [Check("code", "note", "; ".join(parts))]


def _cache() -> list[Check]:
    workspace.expect_clone()
    with dvc.opened() as repo:
        local = repo.cache.local
        folder = Path(local.path)
        folder.mkdir(parents=True, exist_ok=True)
        works = working_links(list(local.cache_types), local.fs, local.path, repo.fs, repo.root_dir)
        remotes = list(repo.config["remote"])
    size = sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()) / GIB
    link = works[0] if works else "none"
    message = f"{machine.shown(folder)}, {size:.1f} GiB, files reach the workspace by {link}"
    found = [Check("cache", "ok" if works else "problem", message)]
    if remotes:
        found.append(Check("remote", "ok", ", ".join(remotes)))
    else:
        message = "none: this cache has the only copy of the results; dvc remote add -d NAME ADDRESS"
        found.append(Check("remote", "note", message))
    return found


def _files() -> list[Check]:
    workspace.expect_clone()
    found = integrity.examine()
    if not found.damaged:
        message = f"all {found.files:,} files that dvc.lock records are intact, {found.size / GIB:.1f} GiB"
        return [Check("files", "ok", message)]
    return [Check("files", "problem", str(damage)) for damage in found.damaged]
