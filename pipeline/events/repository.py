"""A clone of the project, asked through git: files of a revision, tags, and the repository that clones share."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.events import tags
from pipeline.events.tags import Tag, Tags
from pipeline.project import git

HEADS = "refs/registry/"
"""The prefix of the refs that name the last event of each artifact."""
LARGEST_TEXT = 2**24
"""Bytes of a file that is read from a revision. dvc.lock and the lock of the packages have some 300,000."""
REMOTE_KEY = "registry.remote"
"""The key of git's configuration that names the remote repository in which tags are created first; unset: none."""


class TagExists(RegistryError):
    """The tag that was to be created exists: somebody else was faster."""


class HeadMoved(RegistryError):
    """Another event of the artifact was recorded since the history was read: the new one must follow that one."""


@dataclass(frozen=True)
class Head:
    """Where the chain of an artifact's events ended when its history was read; a change is made only if it still does.

    Attributes:
        artifact: whose chain it is.
        here: the last event's tag object that this clone's head names; None where it has no head.
        there: the same of the shared repository.
    """

    artifact: str
    here: str | None
    there: str | None

    @property
    def ref(self) -> str:
        """The ref that names the last event. It is not a tag, so neither GTO nor `git push --tags` knows it."""
        return f"{HEADS}{self.artifact}"


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
            # No repository at all is one reason of several: an owner that git does not trust, a damaged configuration.
            none = result.untrusted is None and "not a git repository" in result.error
            reason = "no git repository" if none else result.reason
            raise ConfigurationError(f"{root.resolve()}: {reason}; run in a clone of the project that git can read")
        top = Path(result.output.rstrip("\n"))
        if top.resolve() != repository.root:
            raise ConfigurationError(f"{root.resolve()}: not the top folder of the clone; run in {top}")
        return repository

    def revision(self, name: str = "HEAD") -> str:
        """The commit that a name stands for.

        Raises:
            RegistryError: there is none.
        """
        result = self._run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if result.code:
            raise RegistryError(f"{name}: no commit of this name here; `git commit` makes the first one")
        return result.output.strip()

    def text(self, revision: str, path: str) -> str:
        """A file at a revision.

        Raises:
            RegistryError: the revision has no such file, or one of more than `LARGEST_TEXT` bytes, or is not in this
                clone.
        """
        # Whatever a tag points at: a file that is too large is not read.
        size = self._run("cat-file", "-s", f"{revision}:{path}").output.strip()
        if size.isdecimal() and int(size) > LARGEST_TEXT:
            raise RegistryError(
                f"{path}: {int(size):,} bytes at {revision[:12]}, expected at most {LARGEST_TEXT:,}; another commit "
                "than one that `make repro` wrote"
            )
        # Not `git show`, which runs the converters that the user's configuration names.
        result = self._run("cat-file", "blob", f"{revision}:{path}")
        if result.code:
            raise RegistryError(
                f"{path}: not in git at {revision[:12]}; commit what `make repro` wrote, or `git fetch` the revision"
            )
        return result.output

    def changed(self, *paths: str) -> list[str]:
        """The files below these paths that differ from HEAD, new ones included."""
        status = self._output("status", "--porcelain", "-z", "--untracked-files=all", "--", *paths, strip=False)
        return [entry[3:] for entry in status.split("\0") if entry]

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

    def remote_address(self) -> str:
        """The address of that remote repository, without a password that is in it; empty where there is none."""
        name = self.remote()
        return git.without_password(self.setting(f"remote.{name}.url") or "") if name else ""

    def git_folder(self) -> Path:
        """The folder of git's own files, which all work trees of the clone share."""
        return self.root / self._output("rev-parse", "--git-common-dir")

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
        """The registry's tags that can be read, in the order of their times."""
        return list(self.read_tags().read)

    def read_tags(self) -> Tags:
        """The registry's tags, and which of them cannot be read. Others' tags are not opened."""
        return tags.read(self.root, self._output("for-each-ref", tags.PREFIX, "--format=%(objectname) %(refname)"))

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
        # Not --quiet, which hides that a tag was moved.
        result = self._reach(remote, "fetch", refs=refs)
        if result.code:
            raise RegistryError(f"git fetch {remote}: {result.reason}; nothing was changed")

    def heads(self) -> dict[str, tuple[str, str]]:
        """By artifact, the last event that this clone knows: its tag object's id and the tag's name in that object."""
        text = self._output("for-each-ref", HEADS, "--format=%(refname)%00%(objectname)%00%(tag)")
        entries = [line.split("\0") for line in text.splitlines()]
        return {ref.removeprefix(HEADS): (tag_id, name) for ref, tag_id, name in entries}

    def tag_ids(self) -> dict[str, str]:
        """By tag that this clone has, regardless of who made it, the id of what it names."""
        text = self._output("for-each-ref", "refs/tags", "--format=%(objectname) %(refname:strip=2)")
        return {name: tag_id for tag_id, name in (line.split(" ", 1) for line in text.splitlines())}

    def take_tag(self, name: str, before: str | None, after: str | None) -> None:
        """Make one tag what it is in the shared repository: remove it, or fetch it in place of the present one.

        Args:
            name: of the tag.
            before: the id of what it names here; None where it is not here.
            after: the same in the shared repository.

        Raises:
            RegistryError: the shared repository cannot be reached, or the tag changed meanwhile.
        """
        ref = f"refs/tags/{name}"
        if after is None:
            if before is not None:
                self._output("update-ref", "-d", ref, before)
            return
        if (remote := self.remote()) is None:
            return
        result = self._reach(remote, "fetch", refs=[f"+{ref}:{ref}"])
        if result.code:
            raise RegistryError(f"git fetch {remote} {name}: {result.reason}")

    def move_head(self, artifact: str, tag_id: str | None, before: str | None) -> bool:
        """Let the head of an artifact name another event, or none, if it names `before` now; whether that was done."""
        if tag_id is not None:
            arguments = [f"{HEADS}{artifact}", tag_id, before or _no_object(tag_id)]
        elif before is not None:
            arguments = ["-d", f"{HEADS}{artifact}", before]
        else:
            return True
        return self._run("update-ref", *arguments).code == 0

    def shared_refs(self, artifacts: Iterable[str], patterns: Iterable[str]) -> dict[str, str]:
        """The shared repository's tags of these patterns and heads of these artifacts: by whole name, the object's id.

        Raises:
            RegistryError: it cannot be reached.
        """
        remote = self.remote()
        if remote is None:
            return {}
        wanted = [*(f"refs/tags/{pattern}" for pattern in patterns), *(f"{HEADS}{name}" for name in artifacts)]
        result = self._reach(remote, "ls-remote", "--refs", refs=wanted)
        if result.code:
            raise RegistryError(f"git fetch {remote}: {result.reason}; nothing was changed")
        entries = (line.split("\t", 1) for line in result.output.splitlines())
        return {ref: tag_id for tag_id, ref in entries}

    def create_tag(self, name: str, revision: str, message: str, *, after: int = 0, head: Head | None = None) -> str:
        """Create an annotated tag where there is none of its name: first in the shared repository, then here.

        Both steps are transactions of git: of two processes that create the same tag at once, or that continue one
        chain at once, one succeeds. A process that is killed between the steps has created the tag: the next
        `fetch_tags` fetches it.

        Args:
            name: without `refs/tags/`.
            revision: the commit.
            message: UTF-8 text.
            after: the tag's time is later than this. GTO and DVC sort by whole seconds and disagree on equal ones.
            head: that shall name the tag from now on; None for a tag outside every chain.

        Returns:
            The id of the tag object.

        Raises:
            TagExists: there is one of this name.
            HeadMoved: the head names another event than it did.
            RegistryError: the shared repository cannot be reached, or rejects the tag for another reason.
        """
        when = max(int(time.time()), after + 1)
        if when >= tags.LATEST:
            raise RegistryError(
                f"{name}: it would be of {when} seconds since 1970, later than 2106, as the last tag is"
            )
        content = f"object {revision}\ntype commit\ntag {name}\ntagger {self.identity()} {when} +0000\n\n{message}"
        created = self._output("mktag", stdin=content)
        ref, remote = f"refs/tags/{name}", self.remote()
        if remote is not None:
            self._push(remote, name, created, head)
        commands = [f"create {ref} {created}"]
        if head is not None:
            commands.append(f"update {head.ref} {created} {head.here or _no_object(created)}")
        result = self._run("update-ref", "--stdin", stdin="".join(f"{command}\n" for command in commands))
        if result.code and remote is not None:
            # The shared repository has decided: a head that another process of this clone moved changes nothing.
            result = self._run("update-ref", ref, created, _no_object(created))
        if result.code:
            found = self._run("rev-parse", "--verify", "--quiet", ref)
            if found.code:
                raise HeadMoved(f"{name}: {result.reason}")
            if found.output.strip() != created:
                raise TagExists(f"{name}: somebody else created it meanwhile")
        return created

    def _push(self, remote: str, name: str, created: str, head: Head | None) -> None:
        ref = f"refs/tags/{name}"
        arguments, refs = ["push", "--porcelain", "--atomic"], [f"{created}:{ref}"]
        if head is not None:
            arguments.append(f"--force-with-lease={head.ref}:{head.there or ''}")
            refs.append(f"{created}:{head.ref}")
        result = self._reach(remote, *arguments, refs=refs)
        if not result.code:
            return
        # What the shared repository has now says why; git words it differently for each transport.
        found = self.shared_refs([head.artifact] if head else [], [name])
        if found.get(ref) == created:
            return
        if ref in found:
            raise TagExists(f"{name}: somebody else created it meanwhile in {remote}")
        if head is not None and found.get(head.ref) != head.there:
            raise HeadMoved(f"{name}: {head.ref} moved meanwhile in {remote}")
        raise RegistryError(f"git push {remote} {name}: {result.reason}; nothing was changed")

    def _output(self, *arguments: str, stdin: str | None = None, strip: bool = True) -> str:
        result = self._run(*arguments, stdin=stdin)
        if result.code:
            raise RegistryError(f"git {arguments[0]}: {result.reason}")
        return result.output.strip() if strip else result.output

    def _reach(self, remote: str, *arguments: str, refs: Iterable[str]) -> git.Result:
        return git.reach(remote, *arguments, refs=list(refs), folder=self.root)

    def _run(self, *arguments: str, stdin: str | None = None) -> git.Result:
        return git.run(*arguments, folder=self.root, stdin=stdin)


def _no_object(like: str) -> str:
    """How git writes that there is no object, in as many digits as another id has."""
    return "0" * len(like)
