"""API tokens: a file of hashes, how one is made, and whose a secret is."""

import contextlib
import datetime
import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import read_file, replacing
from pipeline.records.token import Scope, Token, TokenFile

TOKENS_VARIABLE = "READER_TOKENS"
"""Names the file of tokens; without it nobody needs one, and what needs the scope `admin` is not there."""
PREFIX = "reader_"
"""Of every secret, so that scanners for secrets in code and logs find one."""
_BYTES = 32
_LOOK_SECONDS = 1.0
_log = logging.getLogger("bentoml.reader")


def digest(secret: str) -> str:
    """The SHA-256 of a secret, as the file has it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    """A secret of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def read_tokens(path: Path) -> TokenFile:
    """Read a file of tokens.

    Raises:
        ConfigurationError: it is missing or damaged, other users may write it, or two tokens have one name or hash.
    """
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(
                f"{path}: mode {stat.S_IMODE(mode):o} found, expected a file that its owner alone can write: "
                f"`chmod 600 {path}`"
            )
        found = TokenFile.parse(read_file(path).decode("utf-8"), str(path))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; `make token` makes a file of tokens") from None
    except (DataError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{str(error).partition('; run ')[0]}; `make token` writes this file") from None
    for key in ("name", "sha256"):
        values = [getattr(token, key) for token in found.tokens]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise ConfigurationError(f"{path}: {key}: {twice[0]} twice, expected every one once")
    return found


def write_tokens(path: Path, tokens: Sequence[Token]) -> None:
    """Write a file of tokens that its owner alone can read and write; whole or not at all."""
    with replacing(path) as temporary:
        text = TokenFile(tokens=tuple(sorted(tokens, key=lambda token: token.name))).model_dump_json(indent=2)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
        # As the owner set it, for instance so that the group of the service can read it.
        if path.exists():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))


def create(path: Path, name: str, scopes: Sequence[Scope], per_minute: int, days: int | None) -> str:
    """Add a token to a file, which is made where it is not there.

    Args:
        path: of the file.
        name: that no token has.
        scopes: what it is good for.
        per_minute: requests in a minute.
        days: until it expires; None for never.

    Returns:
        The secret, which is kept nowhere.

    Raises:
        ConfigurationError: the file is damaged, or a token has this name.
    """
    secret = new_secret()
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    expires = None if days is None else now + datetime.timedelta(days=days)
    token = Token(
        name=name, scopes=tuple(scopes), sha256=digest(secret), per_minute=per_minute, created=now, expires=expires
    )
    # Read and written under one lock: what another command revokes meanwhile must not come back.
    with _locked(path):
        tokens = read_tokens(path).tokens if path.exists() else ()
        if any(each.name == name for each in tokens):
            raise ConfigurationError(f"{path}: a token {name!r} is there; revoke it first, or choose another name")
        write_tokens(path, [*tokens, token])
    return secret


def revoke(path: Path, name: str) -> None:
    """Remove a token from a file; a running service refuses it within a second or two.

    Raises:
        ConfigurationError: the file is damaged, or there is no such token.
    """
    if not path.exists():
        read_tokens(path)  # Says so, and leaves no lock behind.
    with _locked(path):
        tokens = read_tokens(path).tokens
        left = [token for token in tokens if token.name != name]
        if len(left) == len(tokens):
            there = ", ".join(token.name for token in tokens) or "none"
            raise ConfigurationError(f"{path}: no token {name!r}; there are: {there}")
        write_tokens(path, left)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file of tokens, `NAME.lock` beside it: the file itself is replaced, and its lock with it.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{lock}: {error.strerror}, expected a folder to write") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Tokens:
    """The tokens of a file, as it is now: a change counts within a second."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigurationError: as `read_tokens` does.
        """
        self._path = path
        self._stamp = self._found()
        self._tokens = read_tokens(path).tokens
        self._looked = time.monotonic()

    def of(self, secret: str) -> Token | None:
        """The token whose secret this is, expired or not; None for none.

        The time does not depend on which token it is, nor on how much of a hash agrees.
        """
        self._look()
        given, found = digest(secret), None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, given):
                found = token
        return found

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        stamp = self._found()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tokens = read_tokens(self._path).tokens
        except ConfigurationError as error:
            _log.error("the tokens stay as they were: %s", error)
        else:
            _log.warning("%s was read again: %d tokens", self._path, len(self._tokens))

    def _found(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
