"""The registry's tags as git keeps them, read one by one: what is wrong with one of them hides no other."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.project import git
from pipeline.project.terminal import printable

PREFIX = "refs/tags/"
LARGEST = 2**18
"""Bytes of a tag's object. The evidence of a version with its signature has some 20,000."""
LATEST = 2**32
"""Seconds since 1970, in the year 2106. Tags of the registry are made later than the last one, and need room."""
_OWN = re.compile(r"(?:[A-Za-z0-9_-]+[@#]|refused/|rollouts/)[!-~]{1,180}")
"""How the name of each of the registry's tags begins; `pipeline.events.history` reads the rest."""
_HEADER = re.compile(
    rb"object (?P<target>[0-9a-f]{40}|[0-9a-f]{64})\ntype (?P<kind>[a-z]+)\ntag (?P<name>[^\n]+)\n"
    rb"(?:tagger (?P<who>[^\n<>]*)<(?P<address>[^\n<>]*)> (?P<time>-?[0-9]{1,20})(?: [+-][0-9]{4})?\n)?"
    rb"(?P<more>(?:[^\n]+\n)*)\n"
)
_WIDEST = 200
"""Characters of the name of the person who made a tag."""


@dataclass(frozen=True)
class Tag:
    """An annotated tag on a commit.

    Attributes:
        name: without `refs/tags/`.
        revision: the commit, 40 hexadecimal digits.
        who: name and address of its tagger, safe for a terminal.
        time: seconds since 1970, at least 0 and less than `LATEST`.
        message: the text after the header; bytes that are not UTF-8 are replaced.
        id: of the tag object, in hexadecimal digits: a hash of all of the above.
    """

    name: str
    revision: str
    who: str
    time: int
    message: str
    id: str


@dataclass(frozen=True)
class Skipped:
    """A tag with a name of the registry that cannot be read: its `name`, and the `reason`."""

    name: str
    reason: str


@dataclass(frozen=True)
class Tags:
    """The registry's tags.

    Attributes:
        read: those that could be read, in the order of their times.
        skipped: the others, by name.
        names: of all of them, and of those that only begin like one: none of these can be created again.
    """

    read: Sequence[Tag] = ()
    skipped: Sequence[Skipped] = ()
    names: frozenset[str] = frozenset()


class _Bad(Exception):
    """Why a tag is skipped."""


def read(folder: Path, listed: str, own: Callable[[str], bool] = lambda name: True) -> Tags:
    """Read the registry's tags in four processes, however many there are.

    Args:
        folder: of the clone.
        listed: the tags: lines of an object's id, a space and the name of a ref.
        own: whether a name that begins like one of the registry is one.
    """
    ids = {}
    for line in listed.splitlines():
        tag_id, _, ref = line.partition(" ")
        name = ref.removeprefix(PREFIX)
        if _OWN.fullmatch(name):
            ids[name] = tag_id
    names = [name for name in ids if own(name)]
    found, skipped = [], []
    for name, item in zip(names, git.objects([ids[name] for name in names], LARGEST, folder), strict=True):
        try:
            found.append(_tag(name, ids[name], item))
        except _Bad as error:
            skipped.append(Skipped(name, str(error)))
    revisions = sorted({tag.revision for tag in found})
    targets = dict(zip(revisions, git.sizes(revisions, folder), strict=True))
    skipped += [
        Skipped(tag.name, reason) for tag in found if (reason := _target_problem(targets[tag.revision])) is not None
    ]
    bad = {each.name for each in skipped}
    return Tags(
        sorted((tag for tag in found if tag.name not in bad), key=lambda tag: (tag.time, tag.name)),
        sorted(skipped, key=lambda each: each.name),
        frozenset(ids),
    )


def _tag(name: str, tag_id: str, item: git.GitObject | None) -> Tag:
    if item is None:
        raise _Bad("its object is missing or damaged")
    if item.kind != "tag":
        raise _Bad(f"not an annotated tag, but a name for a {item.kind}")
    if item.content is None:
        raise _Bad(f"{item.size:,} bytes, expected at most {LARGEST:,}")
    match = _HEADER.match(item.content)
    if match is None:
        raise _Bad("its header is not that of a tag")
    if match["kind"] != b"commit":
        raise _Bad(f"a tag of a {match['kind'].decode()}, expected a commit")
    if match["time"] is None:
        raise _Bad("no tagger, or one without a valid time")
    if match["name"] != name.encode():
        raise _Bad(f"its object is that of the tag {_text(match['name'])}")
    time = int(match["time"])
    if not 0 <= time < LATEST:
        raise _Bad(f"its time {time} is not between 1970 and 2106")
    who = f"{_text(match['who']).strip()} <{_text(match['address'])}>"
    message = item.content[match.end() :].decode("utf-8", "replace")
    return Tag(name, match["target"].decode(), who, time, message, tag_id)


def _target_problem(target: git.GitObject | None) -> str | None:
    if target is None:
        return "its commit is not in this clone"
    return None if target.kind == "commit" else f"a tag of a {target.kind}, expected a commit"


def _text(content: bytes) -> str:
    return printable(content.decode("utf-8", "replace"))[:_WIDEST]
