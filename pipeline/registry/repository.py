"""A clone, asked through git itself: its files at a revision, its tags, and the repository it shares them with."""

import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigurationError, RegistryError

REMOTE_KEY = "registry.remote"
"""The key of git's configuration that names the remote repository in which tags are made first; unset: in none."""
_FIELDS = ("refname:short", "*objectname", "taggername", "taggeremail", "taggerdate:unix", "contents")


class TagExists(RegistryError):
    """The tag that was to be made is there: somebody else was faster."""


@dataclass(frozen=True)
class Tag:
    """An annotated tag on a commit.

    Attributes:
        name: without `refs/tags/`.
        revision: the commit, 40 hex digits.
        who: name and address of whoever made it.
        time: seconds since 1970.
        message: as it was written.
    """

    name: str
    revision: str
    who: str
    time: int
    message: str


@dataclass(frozen=True)
class Repository:
    """A clone of the project.

    Attributes:
        root: its top folder.
    """

    root: Path

    @classmethod
    def at(cls, root: Path) -> "Repository":
        """The clone whose top folder is `root`.

        Raises:
            ConfigurationError: git is not there, or the folder is no clone, or not its top.
        """
        repository = cls(root.resolve())
        try:
            top = repository._git("rev-parse", "--show-toplevel")
        except FileNotFoundError:
            raise ConfigurationError("git: no such command; the registry keeps its records in git") from None
        except RegistryError:
            raise ConfigurationError(f"{root.resolve()}: no git repository; run in a clone of the project") from None
        if Path(top).resolve() != repository.root:
            raise ConfigurationError(f"{root.resolve()}: not the clone's top folder; run in {top}")
        return repository

    def revision(self, name: str = "HEAD") -> str:
        """The commit that a name stands for."""
        return self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")

    def text(self, revision: str, path: str) -> str:
        """A file as a revision holds it.

        Raises:
            RegistryError: the revision has no such file, or is not in this clone.
        """
        try:
            return self._git("show", f"{revision}:{path}", strip=False)
        except RegistryError:
            raise RegistryError(
                f"{path}: not in git at {revision[:12]}; commit what `make repro` wrote, or `git fetch` the revision"
            ) from None

    def changed(self, *paths: str) -> list[str]:
        """Those of the files that differ from HEAD, new ones included."""
        lines = self._git("status", "--porcelain", "--untracked-files=all", "--", *paths, strip=False).splitlines()
        return [line[3:] for line in lines]

    def setting(self, key: str) -> str | None:
        """A value of git's configuration, None where there is none."""
        result = self._run("config", "--get", key)
        return result.stdout.strip() or None

    def remote(self) -> str | None:
        """The remote repository that tags are made in first, as git's configuration names it; None: in none.

        Raises:
            ConfigurationError: it names one that does not exist.
        """
        name = self.setting(REMOTE_KEY)
        if name and name not in self._git("remote").split():
            raise ConfigurationError(
                f"{REMOTE_KEY}: git knows no remote {name!r}; `git remote -v` lists those there are"
            )
        return name

    def identity(self) -> str:
        """Who makes tags here.

        Raises:
            ConfigurationError: git does not know.
        """
        result = self._run("var", "GIT_COMMITTER_IDENT")
        if result.returncode:
            raise ConfigurationError(
                "git has no identity, and every version and promotion says who made it; set it with "
                "`git config user.name NAME` and `git config user.email ADDRESS`"
            )
        return result.stdout.rsplit(" ", 2)[0]

    def tags(self) -> list[Tag]:
        """Every annotated tag on a commit, in the order of their times."""
        pattern = "%00".join(f"%({field})" for field in _FIELDS) + "%01"
        text = self._git("for-each-ref", "refs/tags", f"--format={pattern}", strip=False)
        tags = []
        for entry in text.split("\x01")[:-1]:
            name, revision, who, address, seconds, message = entry.lstrip("\n").split("\0", 5)
            # A lightweight tag has no tagger, and GTO does not take it for a version either.
            if revision and seconds:
                tags.append(Tag(name, revision, f"{who} {address}", int(seconds), message))
        return sorted(tags, key=lambda tag: (tag.time, tag.name))

    def fetch_tags(self, patterns: Iterable[str]) -> None:
        """Bring tags of the shared repository here; nothing where none is named.

        Args:
            patterns: which tags, as `strip-reader@*`. Others may be moved there as anybody likes.

        Raises:
            RegistryError: it cannot be reached, or one of these tags differs from this clone's.
        """
        if (remote := self.remote()) is None:
            return
        refs = [f"refs/tags/{pattern}:refs/tags/{pattern}" for pattern in patterns]
        # Not --quiet, which keeps silent about a tag that was moved; and no tags that come along with others.
        result = self._run("fetch", "--no-tags", "--no-write-fetch-head", remote, *refs)
        if result.returncode:
            raise RegistryError(f"git fetch {remote}: {_reason(result)}; nothing was changed")

    def make_tag(self, name: str, revision: str, message: str, *, after: int = 0) -> None:
        """Make an annotated tag where there is none of its name: first in the shared repository, then here.

        Both steps are git's own compare-and-swap, so that of two who make the same tag at once one gets it. A process
        killed between them has made it: the next `fetch_tags` brings it here.

        Args:
            after: the tag's time is later than this. GTO and DVC sort by whole seconds and disagree on equal ones.

        Raises:
            TagExists: there is one of this name.
            RegistryError: the shared repository cannot be reached, or refuses for another reason.
        """
        when = max(int(time.time()), after + 1)
        content = f"object {revision}\ntype commit\ntag {name}\ntagger {self.identity()} {when} +0000\n\n{message}"
        made = self._git("mktag", given=content)
        ref = f"refs/tags/{name}"
        if (remote := self.remote()) is not None:
            result = self._run("push", "--porcelain", remote, f"{made}:{ref}")
            if result.returncode:
                if "already exists" in result.stdout + result.stderr or "[rejected]" in result.stdout:
                    raise TagExists(f"{name}: made meanwhile by somebody else in {remote}")
                raise RegistryError(f"git push {remote} {name}: {_reason(result)}; nothing was changed")
        result = self._run("update-ref", ref, made, "0" * len(made))
        if result.returncode:
            raise TagExists(f"{name}: made meanwhile by somebody else")

    def _git(self, *arguments: str, given: str | None = None, strip: bool = True) -> str:
        result = self._run(*arguments, given=given)
        if result.returncode:
            raise RegistryError(f"git {arguments[0]}: {_reason(result)}")
        return result.stdout.strip() if strip else result.stdout

    def _run(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        # Its messages are read, so they must not be translated; and nobody is there to be asked for a password.
        environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        return subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )


def _reason(result: subprocess.CompletedProcess[str]) -> str:
    lines = (result.stderr.strip() or result.stdout.strip()).splitlines()
    # A fetch first says whence, and then ref by ref what came of it.
    lines = [line for line in lines if "[rejected]" in line] or [line for line in lines if not line.startswith("From ")]
    return lines[0].strip().removeprefix("fatal: ").removeprefix("error: ") if lines else f"exit {result.returncode}"
