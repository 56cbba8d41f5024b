"""ONNX Runtime sessions of which another thread can end a run, and which write nothing to stderr by themselves."""

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import onnxruntime

from pipeline.core.errors import DataError

_FATAL = 4
"""The level from which ONNX Runtime writes to stderr. What it writes below comes as an exception, too."""
_NUMBERS = re.compile(r"tensor\((float|u?int(8|16|32|64))\)")
"""The types of inputs and outputs that NumPy has."""


class Run:
    """A run that another thread can end: between two operators, not within one.

    Attributes:
        cancelled: whether it was told to end.
        options: ONNX Runtime's.
    """

    def __init__(self) -> None:
        self.cancelled = False
        self.options = onnxruntime.RunOptions()
        self.options.log_severity_level = _FATAL

    def cancel(self) -> None:
        """Tell the run to end."""
        self.cancelled = True
        self.options.terminate = True


class ModelError(DataError):
    """A model failed on pictures of the right kind, or its readings are not what the contract says."""


class Session:
    """An ONNX Runtime session on the CPU, as far as `OnnxModel` calls it. Several threads may run it at once."""

    def __init__(self, session: onnxruntime.InferenceSession, source: str) -> None:
        self._session = session
        self._source = source
        self._of_thread = threading.local()
        # What it says of inputs and outputs.
        self.get_inputs = session.get_inputs
        self.get_outputs = session.get_outputs

    @classmethod
    def load(cls, content: bytes, source: str, *, threads: int = 1) -> Self:
        """Load the bytes of an ONNX file.

        Args:
            content: the bytes.
            source: what messages call the model.
            threads: that share the work of one run.

        Raises:
            DataError: ONNX Runtime cannot load it, an input is not a tensor, or an output not one of numbers.
        """
        # Its allocators write to the logger of the process.
        onnxruntime.set_default_logger_severity(_FATAL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base class but this.
            raise DataError(
                f"{source}: ONNX Runtime cannot load it ({_reason(error)}); run `make repro` to export it"
            ) from None
        for value in (*session.get_inputs(), *session.get_outputs()):
            if not _NUMBERS.fullmatch(value.type):
                raise DataError(f"{source}: {value.name[:80]!r} is {value.type}, expected a tensor of numbers")
        return cls(session, source)

    @contextlib.contextmanager
    def with_run(self, run: Run | None) -> Iterator[None]:
        """Let `run` end what this thread runs inside."""
        self._of_thread.run = run
        try:
            yield
        finally:
            self._of_thread.run = None

    def run(self, names: Sequence[str] | None, given: Mapping[str, np.ndarray]) -> Any:
        """The outputs of these names, or all, for inputs by name.

        Raises:
            ModelError: ONNX Runtime failed, or the run was told to end.
        """
        run = getattr(self._of_thread, "run", None) or Run()
        try:
            return self._session.run(names, given, run.options)
        except Exception as error:
            reason = "it was told to end" if run.cancelled else _reason(error)
            raise ModelError(f"{self._source}: ONNX Runtime failed while it read pictures ({reason})") from None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text)[:300]
