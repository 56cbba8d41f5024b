"""`make token`: make, list and revoke the API tokens of the service; docs/serving.md."""

import datetime
import re
import sys
from pathlib import Path
from typing import cast

from pipeline.access import tokens
from pipeline.core.errors import ConfigurationError
from pipeline.project import command
from pipeline.records.token import SCOPES, Scope

MOST_DAYS = 36_500
"""Until a token expires: a hundred years. Python's dates end in the year 9999."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def main(
    file: Path = Path("tokens.json"),
    grant: str = "",
    revoke: str = "",
    scopes: str = "read",
    per_minute: int = 600,
    days: int = 0,
) -> None:
    """Add a token to a file of hashes and print its secret once; revoke one; or list them.

    Args:
        file: of the tokens, which `READER_TOKENS` of the service names.
        grant: the name of a token to make.
        revoke: the name of a token to remove.
        scopes: what it is good for, separated by commas.
        per_minute: requests in a minute.
        days: until it expires; 0 for never.

    Raises:
        ConfigurationError: the name, a scope or a number is none, the name is taken, or the file is damaged.
    """
    if grant and revoke:
        raise ConfigurationError("GRANT and REVOKE found, expected one of them")
    if revoke:
        tokens.revoke(file, revoke)
        print(f"{file}: {revoke} is revoked; a running service refuses it within two seconds", file=sys.stderr)
        return
    if not grant:
        _list(file)
        return
    if not _NAME.fullmatch(grant):
        raise ConfigurationError(
            f"GRANT: {grant!r} found, expected small letters, digits, '.', '_' and '-', at most 40"
        )
    chosen = [each.strip() for each in scopes.split(",")]
    if unknown := [each for each in chosen if each not in SCOPES]:
        raise ConfigurationError(f"SCOPES: {unknown[0]!r} found, expected some of {', '.join(SCOPES)}")
    if not 1 <= per_minute <= 1_000_000:
        raise ConfigurationError(f"RATE: {per_minute} found, expected requests in a minute, from 1 to 1,000,000")
    if not 0 <= days <= MOST_DAYS:
        raise ConfigurationError(
            f"DAYS: {days} found, expected days until the token expires, at most {MOST_DAYS:,}, or 0 for never"
        )
    secret = tokens.create(file, grant, cast("list[Scope]", list(dict.fromkeys(chosen))), per_minute, days or None)
    print(f"{file} has the hash of {grant}; this is its secret, which is shown once and kept nowhere:", file=sys.stderr)
    print(secret)


def _list(file: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for token in tokens.read_tokens(file).tokens:
        until = "never expires" if token.expires is None else f"expires {token.expires:%Y-%m-%d}"
        state = "EXPIRED" if token.expired(now) else until
        print(f"{token.name}  {','.join(token.scopes)}  {token.per_minute:,} a minute  {state}")


if __name__ == "__main__":
    command.run(main)
