"""A bound on the memory that a block may ask for, where the operating system has one."""

import contextlib
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path

_STATM = Path("/proc/self/statm")
"""On Linux, its first number is the pages of the process's address space."""


@contextlib.contextmanager
def bounded_memory(more: int) -> Iterator[None]:
    """Let the process have so much more address space inside than before; what asks for more gets an error.

    It holds for all threads. Outside Linux nothing is bounded.

    Args:
        more: bytes.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(_STATM.read_text().split()[0]) * mmap.PAGESIZE + more
    for bound in (soft, hard):
        if bound != resource.RLIM_INFINITY:
            limit = min(limit, bound)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
