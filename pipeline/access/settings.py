"""What the environment says of access: the file of tokens, the audit log, and where the workers count together."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipeline.access.audit import AUDIT_VARIABLE, Audit
from pipeline.access.rates import Rates
from pipeline.access.tokens import TOKENS_VARIABLE, Tokens
from pipeline.core.errors import ConfigurationError, DataError

_FOLDER = "READER_RATES_FOLDER"
"""Tells the workers where they count together. The process that starts them sets it, not the person who runs it."""


@dataclass(frozen=True)
class AccessSettings:
    """Who may call the service.

    Attributes:
        tokens: that are known.
        rates: of all workers.
        audit: the log; None for none.
    """

    tokens: Tokens
    rates: Rates
    audit: Audit | None

    @classmethod
    def of(cls, environment: Mapping[str, str], audit_bytes: int) -> Self | None:
        """The settings of an environment; None where no token is needed.

        Args:
            environment: of this process.
            audit_bytes: of the audit log, from which on a new file is begun.

        Raises:
            ConfigurationError: a file is missing, damaged, or not what it should be.
        """
        named, log = environment.get(TOKENS_VARIABLE), environment.get(AUDIT_VARIABLE)
        if not named:
            if log:
                raise ConfigurationError(f"{AUDIT_VARIABLE}: {log} found without {TOKENS_VARIABLE}, expected both")
            return None
        folder = environment.get(_FOLDER)
        return cls(
            Tokens(Path(named)),
            Rates(Path(folder) if folder else None),
            Audit(Path(log), audit_bytes) if log else None,
        )

    def close(self) -> None:
        """Close the files."""
        self.rates.close()
        if self.audit is not None:
            self.audit.close()


def make_folder(environment: MutableMapping[str, str]) -> None:
    """Make the folder where workers that start with this environment count together; it goes when this process ends.

    Raises:
        DataError: it cannot be made, for instance because the disk is full.
    """
    if not environment.get(TOKENS_VARIABLE):
        return
    try:
        environment[_FOLDER] = tempfile.mkdtemp(prefix="reader-rates-")
    except OSError as error:
        raise DataError(f"{tempfile.gettempdir()}: no room for the rates ({error.strerror}); free some") from None
    atexit.register(shutil.rmtree, environment[_FOLDER], ignore_errors=True)


def remove_folder() -> None:
    """Remove it where the process that made it cannot."""
    if _FOLDER in os.environ:
        shutil.rmtree(os.environ[_FOLDER], ignore_errors=True)
