"""Text of others on a terminal: no control sequence arrives, and JSON stays JSON."""

import json
import sys

import pytest

from pipeline.core.errors import RegistryError
from pipeline.project import command
from pipeline.project.terminal import printable, printable_json

HOSTILE = "\x1b[2J\x07\x9b31m\u202e\u2066\u200b\x7f\ud800\r\t\x00\n"


def test_what_is_not_printable_is_escaped():
    escaped = r"\x1b[2J\x07\x9b31m\u202e\u2066\u200b\x7f\ud800\r\t\x00"
    assert printable(HOSTILE) == escaped + r"\n"
    assert printable(HOSTILE, lines=True) == escaped + "\n"
    plain = "zwölf 数字 → ½ \\"
    assert printable(plain) == plain


def test_a_json_document_keeps_its_meaning():
    value = {HOSTILE: ["zwölf", HOSTILE, "\U000e0001"]}
    written = printable_json(json.dumps(value, indent=2, ensure_ascii=False))
    assert json.loads(written) == value
    assert all(character == "\n" or character.isprintable() for character in written)
    assert "zwölf" in written


def test_an_error_line_is_escaped(capsys):
    with pytest.raises(SystemExit), command.one_line_errors():
        raise RegistryError(f"a tag of {HOSTILE}")
    assert "\x1b" not in capsys.readouterr().err


def test_a_message_about_an_argument_is_escaped(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage", "--\x1b[2J", "x"])

    def main(*, out: str) -> None:
        """Nothing."""

    with pytest.raises(SystemExit):
        command.run(main)
    monkeypatch.setattr(sys, "argv", ["stage", "--out=x", "\x1b[2J"])
    with pytest.raises(SystemExit):
        command.run(main)
    assert "\x1b" not in capsys.readouterr().err
