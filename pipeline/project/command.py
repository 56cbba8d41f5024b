"""Turns a function with typed keyword arguments into a command with exit codes and one-line errors."""

import argparse
import contextlib
import errno
import inspect
import os
import re
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipeline.core.errors import ConfigurationError, DataError, PipelineError
from pipeline.project.terminal import printable

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

ERROR_FILE_VARIABLE = "PIPELINE_ERROR_FILE"
"""Names the file to which a failing command also writes its exit code and its error line; `make repro` reads it."""
RESULT_FILE_VARIABLE = "PIPELINE_RESULT_FILE"
"""Names the file to which a command also writes what its function returned; `make repro` reads it."""

_READERS = ("load", "read", "read_arrays", "read_json")
"""The functions and methods that read a file; they call its path `path`."""
_PLUGIN = re.compile(r"is supported, but requires .* to be installed")
"""DVC's error where a remote's kind needs a package that is not installed."""
_DATABASE = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and run again",
    sqlite3.SQLITE_IOERR: "cannot be read or written; expected some free space and a sound disk",
    sqlite3.SQLITE_READONLY: "read-only; make it writable and run again",
    sqlite3.SQLITE_PERM: "no permission; make it writable and run again",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; make its folder writable and run again",
}
"""The errors of SQLite that the machine causes; SQLite names no file. All others are bugs, or a damaged file."""
_LONGEST_REASON = 200
"""Characters of a library's message."""


class Parser(argparse.ArgumentParser):
    """A parser whose messages are safe for a terminal: an argument may come from a file or from another program."""

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        super()._print_message(printable(message, lines=True), file)

    def error(self, message: str) -> NoReturn:
        """Report a wrong argument as every other error: in one line, with the code of a wrong configuration."""
        _fail(ConfigurationError(message.removeprefix("argument ")))


def run(main: Callable[..., str | None]) -> None:
    """Parse `--name value` for every parameter of `main`, call it, and exit.

    The annotation of a parameter converts its text, and a default makes it optional; a `bool` is a switch without a
    value. A text that `main` returns, such as an accuracy, is printed. `PipelineError`, the errors of the operating
    system and those of a reader of files become one line on standard error. Any other exception is a bug and keeps its
    traceback.
    """
    parser = Parser(description=inspect.getdoc(main), allow_abbrev=False)
    for name, parameter in inspect.signature(main).parameters.items():
        option = "--" + name.replace("_", "-")
        if parameter.annotation is bool:
            parser.add_argument(option, action="store_true")
            continue
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        parser.add_argument(option, type=parameter.annotation, required=required, default=default)
    arguments = vars(parser.parse_args())
    with one_line_errors(arguments.get("out")):
        if result := main(**arguments):
            print(result)
            _write_if_named(RESULT_FILE_VARIABLE, result)


@contextlib.contextmanager
def one_line_errors(out: Path | None = None) -> Iterator[None]:
    """End the process with one line and an exit code when the block raises an error that a user can cause.

    Args:
        out: what the command writes; named in the message where the operating system does not name a file.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has ended, as `head` does.
        _drop_output()
        sys.exit(128 + signal.SIGPIPE)
    except PipelineError as error:
        _fail(error)
    except OSError as error:
        _fail(_explained(error, out))
    except sqlite3.Error as error:
        if (reason := _DATABASE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)) is None:
            raise
        _fail(DataError(f"a database of DVC or Optuna, in the temporary folder, .dvc or /var/tmp/dvc: {reason}"))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if isinstance(error, ImportError) and _PLUGIN.search(str(error)):
            _fail(ConfigurationError(f"the remote storage: {error}; make extras, or another remote"))
        if (path := _unreadable(error)) is None:
            raise
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        _fail(
            DataError(
                f"{path}: damaged, or not what is expected there ({type(error).__name__}: {reason}); remove it and run "
                "`make repro`"
            )
        )


def _unreadable(error: Exception) -> Path | str | None:
    """The file that a reader of this project was reading when a library raised an error; None outside of readers.

    NumPy, zipfile, h5py and Keras raise errors of some twenty classes for a damaged file, some of them for one byte.
    """
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name in _READERS and str(frame.f_globals.get("__name__")).startswith("pipeline."):
            path = frame.f_locals.get("path")
            found = path if isinstance(path, Path | str) else found
    return found


def _drop_output() -> None:
    """Throw away what standard output still holds: at its end, Python would try again to write it."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explained(error: OSError, out: Path | None) -> PipelineError:
    # An error while writing, unlike one while opening, does not name the file.
    where = error.filename or out or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(f"{where}: the disk is full; free some space and run again, no partial file was kept")
    if error.errno == errno.EFBIG:
        return DataError(f"{where}: larger than `ulimit -f` or the disk allows; raise it, no partial file was kept")
    return DataError(f"{where}: {error.strerror or error}")


def _fail(error: PipelineError) -> NoReturn:
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    line = printable(f"{error.kind}: {' '.join(str(error).split())}")
    print(line, file=sys.stderr)
    _write_if_named(ERROR_FILE_VARIABLE, f"{error.exit_code} {line}\n")
    sys.exit(error.exit_code)


def _write_if_named(variable: str, text: str) -> None:
    """Write `text` to the file that an environment variable names, if it is set and there is room."""
    if target := os.environ.get(variable):
        # It only tells `make repro` what standard error and standard output say.
        with contextlib.suppress(OSError):
            Path(target).write_text(text, encoding="utf-8")
