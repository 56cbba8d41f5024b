"""A clone of the project, asked through git: files of a revision, tags, and the repository that clones share."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.project import git

REMOTE_KEY = "registry.remote"
"""The key of git's configuration that names the remote repository in which tags are created first; unset: none."""
_FIELDS = ("refname:short", "*objectname", "taggername", "taggeremail", "taggerdate:unix", "contents")


class TagExists(RegistryError):
    """The tag that was to be created exists: somebody else was faster."""


@dataclass(frozen=True)
class Tag:
    """An annotated tag on a commit.

    Attributes:
        name: without `refs/tags/`.
        revision: the commit, 40 hexadecimal digits.
        who: name and address of its tagger.
        time: seconds since 1970.
        message: the text after the header.
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
            ConfigurationError: git is not installed, or the folder is not a clone, or not its top folder.
        """
        repository = cls(root.resolve())
        result = repository._run("rev-parse", "--show-toplevel")
        if result.code:
            raise ConfigurationError(f"{root.resolve()}: no git repository; run in a clone of the project")
        top = Path(result.output.rstrip("\n"))
        if top.resolve() != repository.root:
            raise ConfigurationError(f"{root.resolve()}: not the top folder of the clone; run in {top}")
        return repository

    def revision(self, name: str = "HEAD") -> str:
        """The commit that a name stands for."""
        return self._output("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")

    def text(self, revision: str, path: str) -> str:
        """A file at a revision.

        Raises:
            RegistryError: the revision has no such file, or is not in this clone.
        """
        result = self._run("show", f"{revision}:{path}")
        if result.code:
            raise RegistryError(
                f"{path}: not in git at {revision[:12]}; commit what `make repro` wrote, or `git fetch` the revision"
            )
        return result.output

    def changed(self, *paths: str) -> list[str]:
        """The files below these paths that differ from HEAD, new ones included."""
        status = self._output("status", "--porcelain", "--untracked-files=all", "--", *paths, strip=False)
        return [line[3:] for line in status.splitlines()]

    def setting(self, key: str) -> str | None:
        """A value of git's configuration; None where there is none."""
        return git.setting(key, self.root)

    def remote(self) -> str | None:
        """The remote repository in which tags are created first, as git's configuration names it; None: none.

        Raises:
            ConfigurationError: it names a remote that does not exist.
        """
        name = self.setting(REMOTE_KEY)
        if name and name not in self._output("remote").split():
            raise ConfigurationError(f"{REMOTE_KEY}: git has no remote {name!r}; `git remote -v` lists those there are")
        return name

    def identity(self) -> str:
        """The name and address of the person who creates tags here.

        Raises:
            ConfigurationError: git has none.
        """
        result = self._run("var", "GIT_COMMITTER_IDENT")
        if result.code:
            raise ConfigurationError(
                "git has no identity, and every version and promotion records who made it; set it with "
                "`git config user.name NAME` and `git config user.email ADDRESS`"
            )
        return result.output.rsplit(" ", 2)[0]

    def tags(self) -> list[Tag]:
        """Every annotated tag on a commit, in the order of their times."""
        pattern = "%00".join(f"%({field})" for field in _FIELDS) + "%01"
        text = self._output("for-each-ref", "refs/tags", f"--format={pattern}", strip=False)
        tags = []
        for entry in text.split("\x01")[:-1]:
            name, revision, who, address, seconds, message = entry.lstrip("\n").split("\0", 5)
            # A lightweight tag has no tagger. For GTO, too, it is not a version.
            if revision and seconds:
                tags.append(Tag(name, revision, f"{who} {address}", int(seconds), message))
        return sorted(tags, key=lambda tag: (tag.time, tag.name))

    def fetch_tags(self, patterns: Iterable[str]) -> None:
        """Fetch tags of the shared repository; does nothing where none is configured.

        Args:
            patterns: which tags, for instance `strip-reader@*`. Other tags may be moved there freely.

        Raises:
            RegistryError: it cannot be reached, or one of these tags differs from this clone's.
        """
        if (remote := self.remote()) is None:
            return
        refs = [f"refs/tags/{pattern}:refs/tags/{pattern}" for pattern in patterns]
        # Not --quiet, which hides that a tag was moved; and without the tags that a fetch brings along.
        result = self._run("fetch", "--no-tags", "--no-write-fetch-head", remote, *refs)
        if result.code:
            raise RegistryError(f"git fetch {remote}: {result.reason}; nothing was changed")

    def create_tag(self, name: str, revision: str, message: str, *, after: int = 0) -> None:
        """Create an annotated tag where there is none of its name: first in the shared repository, then here.

        Both steps are compare-and-swap operations of git: of two processes that create the same tag at once, one
        succeeds. A process that is killed between the steps has created it: the next `fetch_tags` fetches it.

        Args:
            name: without `refs/tags/`.
            revision: the commit.
            message: UTF-8 text.
            after: the tag's time is later than this. GTO and DVC sort by whole seconds and disagree on equal ones.

        Raises:
            TagExists: there is one of this name.
            RegistryError: the shared repository cannot be reached, or rejects the tag for another reason.
        """
        when = max(int(time.time()), after + 1)
        content = f"object {revision}\ntype commit\ntag {name}\ntagger {self.identity()} {when} +0000\n\n{message}"
        created = self._output("mktag", stdin=content)
        ref = f"refs/tags/{name}"
        if (remote := self.remote()) is not None:
            result = self._run("push", "--porcelain", remote, f"{created}:{ref}")
            if result.code:
                if "already exists" in result.output + result.error or "[rejected]" in result.output:
                    raise TagExists(f"{name}: somebody else created it meanwhile in {remote}")
                raise RegistryError(f"git push {remote} {name}: {result.reason}; nothing was changed")
        if self._run("update-ref", ref, created, "0" * len(created)).code:
            raise TagExists(f"{name}: somebody else created it meanwhile")

    def _output(self, *arguments: str, stdin: str | None = None, strip: bool = True) -> str:
        result = self._run(*arguments, stdin=stdin)
        if result.code:
            raise RegistryError(f"git {arguments[0]}: {result.reason}")
        return result.output.strip() if strip else result.output

    def _run(self, *arguments: str, stdin: str | None = None) -> git.Result:
        return git.run(*arguments, folder=self.root, stdin=stdin)
