"""The chain of an artifact's events: each names the one before by git's hash of its tag, so that none can vanish."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.events.tags import Tag
from pipeline.records.registry import Previous

_ID = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True)
class Link:
    """An event in the chain.

    Attributes:
        tag, id: its tag, and the id of the tag's object.
        time: seconds since 1970.
        previous: the event that it follows; None where it says that it is the first.
    """

    tag: str
    id: str
    time: int
    previous: Previous | None


def link_of(content: Mapping[str, Any], tag: Tag) -> Link | None:
    """The link in a tag's document; None where it has none. A document of a later schema has one, too."""
    if "previous" not in content:
        return None
    previous = content["previous"]
    if previous is None:
        return Link(tag.name, tag.id, tag.time, None)
    if not isinstance(previous, dict):
        return None
    name, tag_id = previous.get("tag"), previous.get("id")
    if not isinstance(name, str) or not isinstance(tag_id, str) or not _ID.fullmatch(tag_id):
        return None
    return Link(tag.name, tag.id, tag.time, Previous(tag=name, id=tag_id))


def last(links: Sequence[Link]) -> Previous | None:
    """The event that no other follows, the latest of them where the chain is broken; None where there is none."""
    followed = {link.previous.id for link in links if link.previous is not None}
    ends = [link for link in links if link.id not in followed]
    if not ends:
        return None
    end = max(ends, key=lambda link: (link.time, link.tag))
    return Previous(tag=end.tag, id=end.id)


def absent(links: Sequence[Link], head: tuple[str, str] | None) -> dict[str, str]:
    """By id of an event that is followed, or was the last, and is not among the links, its tag."""
    here = {link.id for link in links}
    named = [(link.previous.id, link.previous.tag) for link in links if link.previous is not None]
    named += [head] if head is not None else []
    return {tag_id: tag for tag_id, tag in named if tag_id not in here}


def problems(
    links: Sequence[Link],
    head: tuple[str, str] | None,
    accepted: Collection[str] = (),
    others: Mapping[str, str] | None = None,
) -> list[str]:
    """What is wrong with a chain.

    Args:
        links: of one artifact, in any order.
        head: the event that was last when this clone looked before: its tag object's id and the tag's name.
        accepted: the ids of events whose absence was accepted.
        others: by tag without a link, the id of its object.

    Returns:
        One line for each problem, which names the event.
    """
    by_id = {link.id: link for link in links}
    ids = {**(others or {}), **{link.tag: link.id for link in links}}
    found: list[str] = []
    following: dict[str | None, list[Link]] = {}
    for link in links:
        previous = link.previous
        following.setdefault(None if previous is None else previous.id, []).append(link)
        if previous is None:
            continue
        before = by_id.get(previous.id)
        if before is None:
            if previous.id not in accepted:
                found.append(_absent(previous.tag, previous.id, ids, f"{link.tag} follows it"))
        elif before.tag != previous.tag:
            found.append(f"{before.tag}: moved: {link.tag} follows it as {previous.tag}; {_remedy(previous.id)}")
        elif before.time >= link.time:
            found.append(f"{link.tag}: its time is not after that of {before.tag}, which it follows")
    if head is not None and head[0] not in by_id and head[0] not in accepted:
        line = _absent(head[1], head[0], ids, "this clone has seen it")
        if not any(problem.startswith(f"{head[1]}: ") for problem in found):
            found.append(line)
    for before_id, after in following.items():
        if len(after) > 1:
            names = ", ".join(sorted(link.tag for link in after))
            known = by_id.get(before_id or "")
            what = "all claim to be the first event" if before_id is None else f"all follow {_name(known, before_id)}"
            found.append(f"{names}: {what}: the history is forked; remove those that do not belong to it")
    return found


def _absent(tag: str, tag_id: str, ids: Mapping[str, str], evidence: str) -> str:
    if (other := ids.get(tag)) == tag_id:
        return f"{tag}: its document cannot be read, and {evidence}; {_remedy(tag_id)}"
    if other is not None:
        return f"{tag}: rewritten: it is {other[:12]}, and {evidence} as {tag_id[:12]}; {_remedy(tag_id)}"
    return f"{tag}: vanished: {evidence} as {tag_id[:12]}, and there is no such tag; {_remedy(tag_id)}"


def _remedy(tag_id: str) -> str:
    return f"restore it from another clone, or `registry accept {tag_id}` if that was intended"


def _name(link: Link | None, tag_id: str | None) -> str:
    return link.tag if link is not None else str(tag_id)[:12]
