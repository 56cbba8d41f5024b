"""Bounds on memory: on what a block may ask for, and on what a process keeps after it has freed it."""

import contextlib
import mmap
import sys
import threading
from collections.abc import Iterator, MutableMapping
from pathlib import Path

_STATM = Path("/proc/self/statm")
"""On Linux, its first number is the pages of the process's address space."""
_ONE = threading.Lock()
"""Of two blocks at once, the one that ends first would leave the other's bound to the process."""
_MALLOC = {
    "MALLOC_ARENA_MAX": 2,
    "MALLOC_MMAP_THRESHOLD_": 4 * 2**20,
    "MALLOC_TRIM_THRESHOLD_": 16 * 2**20,
}
"""Settings of glibc's malloc, in bytes but for the first. Other C libraries ignore them."""


@contextlib.contextmanager
def bounded_memory(more: int) -> Iterator[None]:
    """Let the process have so much more address space inside than before; what asks for more gets an error.

    It holds for all threads; another thread that enters waits. Outside Linux nothing is bounded.

    Args:
        more: bytes.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    with _ONE:
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


def bound_freed_memory(environment: MutableMapping[str, str]) -> None:
    """Bound the memory that processes which start with this environment keep after they have freed it.

    By default, glibc gives up to eight arenas per core to the threads of a process. The size from which a block goes
    back to the system at once rises with the blocks that are freed, up to 32 MiB, and each arena keeps up to twice that
    at its end. Large bodies then fill one arena after another.

    Args:
        environment: of the processes; what it sets already stays.
    """
    for name, value in _MALLOC.items():
        environment.setdefault(name, str(value))
