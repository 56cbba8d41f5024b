"""What a process keeps of the memory that it has freed."""

import os
import platform
import subprocess
import sys

import pytest

from pipeline.runtime.memory import bound_freed_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of glibc's malloc")
# A large block that is freed raises the size from which blocks go back at once. Then threads that stay hold, and free,
# blocks like the bodies of requests.
THREADS, BODY = 4, 16
FREED_BY_THREADS = f"""
import mmap, threading
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * mmap.PAGESIZE // 2**20
held, measured, freed, end = (threading.Barrier({THREADS} + 1) for _ in range(4))
def work():
    body = b"x" * ({BODY} << 20)
    held.wait()
    measured.wait()
    del body
    freed.wait()
    end.wait()
block = b"x" * (30 << 20)
del block
before = resident()
for _ in range({THREADS}):
    threading.Thread(target=work).start()
held.wait()
most = resident()
measured.wait()
freed.wait()
print(most - before, resident() - before)
end.wait()
"""


def growth(environment):
    """MiB by which a process grows while its threads hold bodies, and once they are freed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    command = [sys.executable, "-c", FREED_BY_THREADS]
    run = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True, timeout=60)
    return tuple(map(int, run.stdout.split()))


def test_what_threads_free_goes_back_to_the_system():
    bounded: dict[str, str] = {}
    bound_freed_memory(bounded)
    most, after = growth(bounded)
    assert most >= THREADS * BODY
    assert after < BODY // 2, f"{after} of {most} MiB are kept"


def test_what_the_environment_sets_already_stays():
    environment = {"MALLOC_ARENA_MAX": "9"}
    bound_freed_memory(environment)
    assert environment["MALLOC_ARENA_MAX"] == "9"
    assert len(environment) > 1
