"""The numbers in the registry's tags: semantic versions in their order, and the next number of each kind.

Semantic Versioning 2.0.0: a pre-release comes before its version (`v1.0.0-rc.1` before `v1.0.0`), its parts are
compared as numbers where they are numbers (`rc.2` before `rc.10`), and build metadata (`+linux`) do not count.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any, Literal, get_args

from gto.versions import SemVer

Bump = Literal["major", "minor", "patch"]
BUMPS: tuple[Bump, ...] = get_args(Bump)
FIRST = "v0.1.0"
_LONGEST = 9
"""Digits of a number that counts for the next one. A tag made by hand may have any number, and leaves room."""


def precedence(version: str) -> Any:
    """What a version such as `v1.2.0-rc.1` is compared by. Versions that differ in build metadata alone are equal."""
    return SemVer.parse(version)


def next_version(versions: Iterable[str], bump: Bump) -> str:
    """The version that follows the highest one.

    Args:
        versions: all that there are, those that were withdrawn included: none of these numbers is free.
        bump: the part to raise. A pre-release is raised to its version where that raises this part: `v2.0.0` follows
            `v2.0.0-rc.1` as the next major, minor or patch version.
    """
    highest = max((precedence(version) for version in versions), default=None)
    return FIRST if highest is None else f"v{highest.next_version(bump)}"


def next_tag(prefix: str, names: Collection[str]) -> str:
    """The name of the next tag that is numbered after a prefix such as `strip-reader#prod#` or `refused/x/prod/`.

    Args:
        prefix: of the name.
        names: of all tags, readable or not. GTO numbers a removal in the same sequence: `strip-reader#prod!#4`. A name
            such as `refused/x/prod/4/more` also takes the number, since git has no file and folder of one name.
    """
    taken = set()
    for name in names:
        rest = name.replace("!#", "#").removeprefix(prefix)
        if rest != name.replace("!#", "#") and (match := re.match(r"([0-9]+)(?:/|$)", rest)) is not None:
            taken.add(match[1])
    number = max((int(digits) for digits in taken if len(digits) <= _LONGEST), default=0) + 1
    while str(number) in taken:
        number += 1
    return f"{prefix}{number}"
