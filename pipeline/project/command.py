"""Turns a function with typed keyword arguments into a command with exit codes and one-line errors."""

import argparse
import contextlib
import errno
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.core.errors import DataError, PipelineError

ERROR_FILE_VARIABLE = "PIPELINE_ERROR_FILE"
"""Names the file to which a failing command also writes its error line; `make repro` reads it after DVC."""


def run(main: Callable[..., None]) -> None:
    """Parse `--name value` for every parameter of `main`, call it, and exit.

    A parameter's annotation converts its text and its default makes it optional; a `bool` becomes a switch that takes
    no value. `PipelineError` and the operating system's errors become one line on standard error; anything else is a
    bug and keeps its traceback.
    """
    parser = argparse.ArgumentParser(description=inspect.getdoc(main), allow_abbrev=False)
    for name, parameter in inspect.signature(main).parameters.items():
        if parameter.annotation is bool:
            parser.add_argument("--" + name.replace("_", "-"), action="store_true")
            continue
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        parser.add_argument(
            "--" + name.replace("_", "-"), type=parameter.annotation, required=required, default=default
        )
    arguments = vars(parser.parse_args())
    with one_line_errors(arguments.get("out")):
        main(**arguments)


@contextlib.contextmanager
def one_line_errors(out: Path | None = None) -> Iterator[None]:
    """End the process with one line and the error's exit code where the block raises what a user can cause.

    Args:
        out: what the command was to make; named where the operating system does not say which file it was.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads the output has enough, as `head` has. Python would try once more to write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except PipelineError as error:
        _fail(error)
    except OSError as error:
        _fail(_explained(error, out))
    except KeyboardInterrupt:
        sys.exit(130)


def _explained(error: OSError, out: Path | None) -> PipelineError:
    # Writing, unlike opening, does not say which file it was; then it is what the command was to make.
    where = error.filename or out or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(f"{where}: the disk is full; free some space and run again, nothing half-written was kept")
    if error.errno == errno.EFBIG:
        return DataError(
            f"{where}: larger than `ulimit -f` or the disk allows; raise it, nothing half-written was kept"
        )
    return DataError(f"{where}: {error.strerror or error}")


def _fail(error: PipelineError) -> None:
    line = f"{error.kind}: {' '.join(str(error).split())}"
    print(line, file=sys.stderr)
    if target := os.environ.get(ERROR_FILE_VARIABLE):
        Path(target).write_text(f"{error.exit_code} {line}\n")
    sys.exit(error.exit_code)
