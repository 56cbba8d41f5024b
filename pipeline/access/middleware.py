"""ASGI middleware that lets a request through if its token is good for it, and says why where it is not."""

import datetime
import math
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.access.audit import Audit
from pipeline.access.rates import Rates
from pipeline.access.tokens import PREFIX, Tokens
from pipeline.records.token import Scope as TokenScope
from pipeline.records.token import Token
from pipeline.scheduling.errors import CLOSE, ApiError

NAME_KEY = "reader.token"
"""The key of an ASGI scope that has the name of the token, for endpoints that record who sent feedback."""
OTHER = "other"
_LONGEST = 512
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="reader"'}


class Access:
    """Rejects a request without a token, with a wrong one, one of another scope, or one that is used too much.

    What is rejected is answered before its body is received. A path that is not listed needs a token like any other, so
    that nobody without one learns which paths there are.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        rates: Rates,
        audit: Audit | None,
        scopes: Mapping[str, TokenScope | None],
        count: Callable[[str], object],
    ) -> None:
        """Define.

        Args:
            app: what answers.
            tokens: that are known.
            rates: of all workers.
            audit: the log; None for none.
            scopes: by path, the scope that it needs; None for no token. Other paths need a token of any scope.
            count: called with the error's code of each request that is rejected.
        """
        self._app = app
        self._tokens = tokens
        self._rates = rates
        self._audit = audit
        self._scopes = scopes
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path in self._scopes and self._scopes[path] is None:
            await self._app(scope, receive, send)
            return
        status = 500
        who: str | None = None

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            try:
                token = self._token(scope)
                who = token.name
                self._expect_allowed(token, path)
            except ApiError as error:
                self._count(error.code)
                await error.response()(scope, receive, noted)
                return
            scope[NAME_KEY] = who
            await self._app(scope, receive, noted)
        finally:
            if self._audit is not None:
                label = path if path in self._scopes else OTHER
                self._audit.note(who, scope["method"][:10], label, status, _address(scope))

    def _token(self, scope: Scope) -> Token:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            raise _unauthorized(f"no token found, expected the header Authorization: Bearer {PREFIX}…")
        scheme, _, secret = given[0].decode("latin-1").partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer" or not secret.strip() or len(secret) > _LONGEST:
            raise _unauthorized(f"expected one header Authorization: Bearer {PREFIX}…")
        token = self._tokens.of(secret.strip())
        # Only someone who has the secret of a token may learn that it has expired.
        if token is None:
            raise _unauthorized("this token is not known here; it may have been revoked")
        if token.expired(datetime.datetime.now(datetime.UTC)):
            raise _unauthorized(f"the token {token.name} has expired")
        return token

    def _expect_allowed(self, token: Token, path: str) -> None:
        wait = self._rates.take(token.sha256[:32], token.per_minute)
        if wait:
            raise ApiError(
                "too_many_requests",
                f"the token {token.name} has {token.per_minute:,} requests a minute; try again later",
                {**CLOSE, "Retry-After": str(math.ceil(wait))},
            )
        needed = self._scopes.get(path)
        if needed is not None and needed not in token.scopes:
            raise ApiError(
                "forbidden",
                f"the token {token.name} has the scopes {', '.join(token.scopes)}, and {path} needs {needed}",
                CLOSE,
            )


def _unauthorized(message: str) -> ApiError:
    return ApiError("unauthorized", message, {**CLOSE, **_CHALLENGE})


def _address(scope: Mapping[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "-"
