"""Text that others wrote, made safe for a terminal: names, messages and errors may hold its control sequences."""

import json
import re

_UNSAFE = re.compile(r"[^ -~]")


def printable(text: str, *, lines: bool = False) -> str:
    r"""The text with every character that is not printable written as an escape, for instance `\x1b`.

    Not printable are control characters, among them line breaks, and characters that reorder or hide others.

    Args:
        text: of any origin.
        lines: whether line breaks stay.
    """
    return _UNSAFE.sub(lambda match: _escaped(match[0], lines), text)


def printable_json(document: str) -> str:
    r"""A JSON document, indented or not, in which every character that is not printable is written as `\u001b`."""
    return _UNSAFE.sub(lambda match: _kept(match[0]) or json.dumps(match[0])[1:-1], document)


def _escaped(character: str, lines: bool) -> str:
    if lines and character == "\n":
        return character
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def _kept(character: str) -> str:
    return character if character == "\n" or character.isprintable() else ""
