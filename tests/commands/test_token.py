"""`make token`: makes, lists and revokes tokens, and shows a secret once."""

import json

import pytest

from pipeline.access import tokens
from pipeline.commands.token import main
from pipeline.core.errors import ConfigurationError


def test_a_secret_is_printed_once_and_its_hash_is_kept(tmp_path, capsys):
    file = tmp_path / "tokens.json"
    main(file, "ci", scopes="read, feedback", per_minute=60, days=30)
    secret, note = capsys.readouterr()
    (token,) = json.loads(file.read_text())["tokens"]
    assert token["sha256"] == tokens.digest(secret.strip())
    assert (token["scopes"], token["per_minute"]) == (["read", "feedback"], 60)
    assert secret.strip() not in note
    main(file)
    assert capsys.readouterr().out.startswith("ci  read,feedback  60 a minute  expires 20")
    main(file, revoke="ci")
    assert json.loads(file.read_text())["tokens"] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grant": "A b"}, "GRANT: 'A b' found"),
        ({"grant": "ci", "scopes": "write"}, "SCOPES: 'write' found, expected some of read, feedback, admin"),
        ({"grant": "ci", "scopes": ""}, "SCOPES: '' found"),
        ({"grant": "ci", "per_minute": 0}, "RATE: 0 found"),
        ({"grant": "ci", "days": -1}, "DAYS: -1 found"),
        ({"grant": "ci", "days": 3_000_000}, "DAYS: 3000000 found, expected .* at most 36,500"),
        ({"grant": "ci", "days": 10**12}, "DAYS: 1000000000000 found"),
        ({"grant": "ci", "revoke": "ci"}, "GRANT and REVOKE found"),
        ({"revoke": "ci"}, "No such file"),
        ({}, "No such file"),
    ],
)
def test_what_is_not_possible_is_one_line(tmp_path, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        main(tmp_path / "tokens.json", **settings)
    assert not (tmp_path / "tokens.json").exists()
