"""The one place that runs git. Neither the user's configuration nor the environment changes what a call does.

A call takes from the user's configuration what only the user can know: the identity, how a repository is reached
(addresses, `url.*.insteadOf`, ssh, proxies, credentials, `protocol.*`), which folders are trusted (`safe.directory`),
which files are ignored, and how lines end in this checkout. Everything else that changes a result, an output or a ref
is set for each call. Hooks of the clone do not run.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigurationError
from pipeline.project.terminal import printable

_CONFIGURATION = (
    # Plain output: file names as they are, no colours, no columns, no pager. `color.ui` alone does not decide, since
    # a key of one command comes before it.
    "core.quotePath=false",
    *(f"color.{of}=false" for of in ("ui", "advice", "branch", "diff", "push", "remote", "status", "transport")),
    "column.ui=never",
    # No other program: hooks, a file-system monitor, a list of refs.
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=:",
    # No filters and drivers but those of the project's own .gitattributes.
    f"core.attributesFile={os.devnull}",
    # Which files differ, whatever the user wants to see of it.
    "diff.relative=false",
    "diff.renames=false",
    f"diff.orderFile={os.devnull}",
    "status.branch=false",
    "status.renames=false",
    "status.showStash=false",
    "status.submoduleSummary=false",
    # Nothing besides what was asked for: no housekeeping, no bundles (which bring refs), no options for the server.
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.bundleURI=",
    "transfer.bundleURI=false",
    "fetch.writeCommitGraph=false",
    "fetch.output=full",
    "push.pushOption=",
    "submodule.recurse=false",
)
"""What every call sets, whatever git's own configuration says."""
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "diff": ("--no-color", "--no-ext-diff", "--no-textconv"),
    "fetch": (
        "--no-tags",
        "--no-prune",
        "--no-prune-tags",
        "--no-recurse-submodules",
        "--no-auto-maintenance",
        "--no-write-fetch-head",
        # Without the refs that the remote's own refspecs would update beside those that are asked for.
        "--refmap=",
    ),
    "push": ("--no-follow-tags", "--no-signed", "--recurse-submodules=no", "--no-verify"),
    "status": ("--no-renames", "--ignore-submodules=none"),
}
"""By subcommand, the options that every call gets, since no key of the configuration decides alone."""
_KEPT = re.compile(
    # Who the user is.
    r"GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL)"
    # Where the configuration is, and what is configured without a file, as in a container.
    r"|GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|PARAMETERS|COUNT|KEY_\d+|VALUE_\d+)"
    # How a repository is reached.
    r"|GIT_(SSH|SSH_COMMAND|SSH_VARIANT|ASKPASS|SSL_\w+|HTTP_\w+|PROXY_\w+)"
    r"|GIT_(ALLOW_PROTOCOL|PROTOCOL|PROTOCOL_FROM_USER)"
    # Where git is installed.
    r"|GIT_EXEC_PATH"
)
"""The variables of git that a call inherits. The others point it at another repository, as a hook sets them, or change
dates, output, attributes, paths or objects."""
_SET = {
    "LC_ALL": "C",
    "LANGUAGE": "",
    "GIT_TERMINAL_PROMPT": "0",
    # A call that only reads does not write the index.
    "GIT_OPTIONAL_LOCKS": "0",
    # An object is what its hash says, whatever `refs/replace` puts in its place.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TRACE2": "0",
    "GIT_TRACE2_EVENT": "0",
    "GIT_TRACE2_PERF": "0",
}
_REMOTE_KEYS = ("proxy", "proxyauthmethod", "uploadpack", "receivepack", "vcs", "serveroption")
"""What is taken from the configuration of a remote, beside its address: how it is reached."""
_OWNERSHIP = re.compile(r"detected dubious ownership in repository at '(?P<folder>.*)'")
_CHUNK = 64 * 2**20
"""Bytes of objects that are read at once."""


@dataclass(frozen=True)
class Result:
    """How a call of git ended.

    Attributes:
        code: the exit code.
        output, error: standard output and standard error; bytes that are not UTF-8 are replaced.
    """

    code: int
    output: str
    error: str

    @property
    def reason(self) -> str:
        """The line that says why the call failed, safe for a terminal, with git's remedy for an untrusted folder."""
        if (folder := self.untrusted) is not None:
            return printable(
                f"git does not trust {folder}, which belongs to another user (dubious ownership); "
                f"`git config --global --add safe.directory {folder}` trusts it"
            )
        lines = [line.strip() for line in (*self.error.splitlines(), *self.output.splitlines()) if line.strip()]
        # A fetch first prints its source, then one line for each ref; what a server says comes before git's reason.
        for wanted in ("rejected]", "fatal: ", "error: "):
            if found := [line for line in lines if wanted in line]:
                return printable(found[0].removeprefix("fatal: ").removeprefix("error: "))
        lines = [line for line in lines if not line.startswith(("From ", "To "))]
        return printable(lines[0]) if lines else f"exit {self.code}"

    @property
    def untrusted(self) -> str | None:
        """The folder that git refuses since it belongs to another user; None where that was not the reason."""
        found = _OWNERSHIP.search(self.error)
        return found["folder"] if found else None


@dataclass(frozen=True)
class GitObject:
    """An object of a repository.

    Attributes:
        kind: `blob`, `tree`, `commit` or `tag`.
        size: in bytes.
        content: its bytes; None where it is larger than what was asked for, or only its size was.
    """

    kind: str
    size: int
    content: bytes | None = None


def run(*arguments: str, folder: Path | None = None, stdin: str | None = None, settings: Sequence[str] = ()) -> Result:
    """Run git, whatever its exit code will be.

    Args:
        arguments: the subcommand and its arguments.
        folder: where it runs; None for the current folder.
        stdin: its standard input; None for an empty one.
        settings: of its configuration, for this call: `key=value`.

    Raises:
        ConfigurationError: git is not installed.
    """
    ended = _run(arguments, folder, (stdin or "").encode(), (*_CONFIGURATION, *settings))
    return Result(ended.returncode, *(text.decode("utf-8", "replace") for text in (ended.stdout, ended.stderr)))


def output(*arguments: str, folder: Path | None = None) -> str:
    """The standard output of git, without leading and trailing white space.

    Raises:
        ConfigurationError: git failed, or is not installed; the message has git's reason.
    """
    result = run(*arguments, folder=folder)
    if result.untrusted is not None:
        raise ConfigurationError(result.reason)
    if result.code:
        raise ConfigurationError(
            f"git {' '.join(arguments)}: {result.reason}; expected a clone with at least one commit"
        )
    return result.output.strip()


def setting(key: str, folder: Path | None = None) -> str | None:
    """A value of git's configuration as the user has it; None where it is not set or empty."""
    ended = _run(("config", "--get", key), folder, b"", ())
    return ended.stdout.decode("utf-8", "replace").strip() or None


def reach(remote: str, *arguments: str, refs: Sequence[str] = (), folder: Path | None = None) -> Result:
    """Run a subcommand with a remote repository: `fetch`, `push` or `ls-remote`.

    Of the remote's configuration, the address counts and how it is reached. `remote.NAME.fetch`, `push`, `mirror`,
    `prune`, `tagOpt` and the like, which move, delete or publish refs that nobody asked for, do not. Where a remote has
    several addresses, the first one counts.

    Args:
        remote: its name in the user's configuration.
        arguments: the subcommand and its options.
        refs: the refs or refspecs, which follow the remote's name.
        folder: of the clone; None for the current folder.

    Raises:
        ConfigurationError: git is not installed, or the remote has no address.
    """
    # A name that no configuration knows. It has no `=`, which would end the key on git's command line.
    alias = f"one-call-{os.getpid()}"
    settings = [f"remote.{alias}.{key}={value}" for key, value in _remote(remote, folder)]
    return run(*arguments, alias, *refs, folder=folder, settings=settings)


def sizes(names: Sequence[str], folder: Path | None = None) -> list[GitObject | None]:
    """Kind and size of objects by their hashes, in one process; None for an object that is not there."""
    ended = _run(("cat-file", "--batch-check"), folder, _lines(names), _CONFIGURATION)
    found = [_header(line) for line in ended.stdout.splitlines()]
    return [*found, *[None] * (len(names) - len(found))]


def objects(names: Sequence[str], largest: int, folder: Path | None = None) -> Iterator[GitObject | None]:
    """Objects by their hashes, in as few processes as memory allows.

    Args:
        names: their hashes.
        largest: bytes of an object that is read; of a larger one, kind and size are returned.
        folder: of the clone.

    Returns:
        In the order of the names; None for an object that is not there or is damaged.
    """
    checked = sizes(names, folder)
    start = 0
    while start < len(names):
        end, held = start, 0
        while end < len(names) and (end == start or held < _CHUNK):
            each = checked[end]
            held += each.size if each is not None and each.size <= largest else 0
            end += 1
        wanted = [
            (name, each)
            for name, each in zip(names[start:end], checked[start:end], strict=True)
            if each is not None and each.size <= largest
        ]
        contents = _contents([name for name, _ in wanted], folder)
        for name, each in zip(names[start:end], checked[start:end], strict=True):
            if each is None or each.size > largest:
                yield each
            else:
                content = contents.get(name)
                yield None if content is None else GitObject(each.kind, each.size, content)
        start = end


def without_password(address: str) -> str:
    """The address of a remote repository, or of a DVC remote, without a password that is in it."""
    scheme, separator, rest = address.partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{place}" if separator else address


def environment() -> dict[str, str]:
    """The environment of every call: messages in English, no question for a password, the folder's own repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or _KEPT.fullmatch(name)}
    return kept | _SET


def _run(
    arguments: Sequence[str], folder: Path | None, stdin: bytes, settings: Sequence[str]
) -> subprocess.CompletedProcess[bytes]:
    options = _OPTIONS.get(arguments[0], ())
    command = ["git", "--no-pager", *(part for setting in settings for part in ("-c", setting))]
    try:
        return subprocess.run(
            [*command, arguments[0], *options, *arguments[1:]],
            cwd=folder,
            env=environment(),
            input=stdin,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        if folder is not None and not folder.is_dir():
            raise ConfigurationError(f"{folder}: no such folder; expected a clone of the project") from None
        raise ConfigurationError("git: no such command; install git, which keeps the project's history") from None


def _remote(name: str, folder: Path | None) -> Iterator[tuple[str, str]]:
    """What counts of a remote's configuration."""
    listed = _run(("config", "--list", "-z"), folder, b"", ()).stdout.decode("utf-8", "surrogateescape")
    found: dict[str, list[str]] = {}
    for entry in listed.split("\0"):
        key, _, value = entry.partition("\n")
        if key.startswith(f"remote.{name}."):
            found.setdefault(key.removeprefix(f"remote.{name}."), []).append(value)
    if not found.get("url"):
        raise ConfigurationError(f"remote.{name}.url: not set; `git remote set-url {name} URL` sets it")
    for key in ("url", "pushurl"):
        yield from ((key, value) for value in found.get(key, [])[:1])
    for key in _REMOTE_KEYS:
        yield from ((key, value) for value in found.get(key, []))


def _lines(names: Sequence[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _header(line: bytes) -> GitObject | None:
    parts = line.split(b" ")
    return GitObject(parts[1].decode(), int(parts[2])) if len(parts) == 3 and parts[2].isdigit() else None


def _contents(names: Sequence[str], folder: Path | None) -> dict[str, bytes]:
    """The contents of objects that are there. One that is damaged ends git; then each is read on its own."""
    if not names:
        return {}
    ended = _run(("cat-file", "--batch"), folder, _lines(names), _CONFIGURATION)
    found: dict[str, bytes] = {}
    rest, position = ended.stdout, 0
    for name in names:
        end = rest.find(b"\n", position)
        header = None if end < 0 else _header(rest[position:end])
        if header is None or end + header.size + 1 >= len(rest) + 1:
            break
        found[name] = rest[end + 1 : end + 1 + header.size]
        position = end + header.size + 2
    if ended.returncode and len(names) > 1:
        for name in names:
            if name not in found:
                found |= _contents([name], folder)
    elif ended.returncode:
        return {}
    return found
