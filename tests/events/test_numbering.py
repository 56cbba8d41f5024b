"""Versions in the order of Semantic Versioning, and the numbers that come next."""

import itertools

import pytest

from pipeline.events.numbering import BUMPS, next_tag, next_version, precedence

ORDER = [
    "v0.9.10", "v1.0.0-0", "v1.0.0-2", "v1.0.0-10", "v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-alpha.beta",
    "v1.0.0-beta", "v1.0.0-beta.2", "v1.0.0-beta.11", "v1.0.0-rc.1", "v1.0.0-rc.2", "v1.0.0-rc.10", "v1.0.0",
    "v1.0.1-rc.1", "v1.0.1", "v1.2.0", "v1.10.0", "v10.0.0",
]  # fmt: skip
"""Of semver.org's section 11, and more."""


def test_versions_are_ordered_by_precedence():
    for lower, higher in itertools.combinations(ORDER, 2):
        assert precedence(lower) < precedence(higher), (lower, higher)
    assert precedence("v1.0.0+linux.2") == precedence("v1.0.0+1") == precedence("v1.0.0")
    assert precedence("v1.0.0-rc.1+z") < precedence("v1.0.0-rc.2+a")


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], ("v0.1.0", "v0.1.0", "v0.1.0")),
        (["v1.2.3"], ("v2.0.0", "v1.3.0", "v1.2.4")),
        (["v0.9.0", "v0.10.0", "v0.2.0"], ("v1.0.0", "v0.11.0", "v0.10.1")),
        (["v1.0.0-rc.1", "v0.4.0"], ("v1.0.0", "v1.0.0", "v1.0.0")),
        (["v1.0.0-rc.1", "v1.0.0"], ("v2.0.0", "v1.1.0", "v1.0.1")),
        (["v1.2.0-rc.10", "v1.1.9"], ("v2.0.0", "v1.2.0", "v1.2.0")),
        (["v1.2.3-rc.1"], ("v2.0.0", "v1.3.0", "v1.2.3")),
        (["v1.2.3+linux"], ("v2.0.0", "v1.3.0", "v1.2.4")),
    ],
)
def test_the_next_version_is_higher_than_all(versions, expected):
    assert tuple(next_version(versions, bump) for bump in BUMPS) == expected
    for version in versions:
        assert all(precedence(version) < precedence(following) for following in expected)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "x#prod#1"),
        (["x#prod#1", "x#prod#9", "x#prod#10"], "x#prod#11"),
        (["x#prod!#4"], "x#prod#5"),
        (["y#prod#7", "x#dev#7", "x#prod", "x#prod#x"], "x#prod#1"),
        (["x#prod#4/more"], "x#prod#5"),
        (["x#prod#2", f"x#prod#{'9' * 150}"], "x#prod#3"),
        (["x#prod#999999999", "x#prod#1000000000"], "x#prod#1000000001"),
        (["x#prod#٣"], "x#prod#1"),
    ],
)
def test_the_next_tag_has_no_taken_number(names, expected):
    assert next_tag("x#prod#", names) == expected
