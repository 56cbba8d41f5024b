"""API tokens, as a file of hashes has them."""

import datetime
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, Field

from pipeline.records.base import Record

Scope = Literal["read", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
TokenName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
"""Of a token: it is in the audit log, and no secret."""


class Token(Record):
    """One token. Its secret is nowhere: only whoever it was given to has it.

    Attributes:
        name: who it was given to.
        scopes: what it is good for; none includes another.
        sha256: of the secret, which has 256 random bits: no slower hash is needed.
        per_minute: requests in a minute, of all workers together; as many may come at once.
        created: when.
        expires: from then on it is refused; None for never.
    """

    name: TokenName
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    per_minute: Annotated[int, Field(ge=1, le=1_000_000)]
    created: AwareDatetime
    expires: AwareDatetime | None = None

    def expired(self, now: datetime.datetime) -> bool:
        """Whether it is refused at a time."""
        return self.expires is not None and now >= self.expires


class TokenFile(Record):
    """The file that `READER_TOKENS` names."""

    tokens: Annotated[tuple[Token, ...], Field(max_length=1000)] = ()
