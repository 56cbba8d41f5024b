"""How much memory a model takes, in a process that does nothing else: `python -m pipeline.analysis.memory MODEL`.

`pipeline.analysis.cost.memory` starts it. Linux resets the peak of the resident memory (VmHWM) on request; elsewhere
the peak since the start of the process is taken, so memory that imports freed again is not counted twice, but neither
is what a model takes within it.
"""

import gc
import resource
import sys
from pathlib import Path

import numpy as np
import psutil

from pipeline.core.errors import DataError
from pipeline.records.timing import MemoryUse
from pipeline.runtime.model import OnnxModel

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_PEAK = "5"
"""What resets the peak, written to `_CLEAR`."""
_WARM = 3
"""Runs before the peak is taken: ONNX Runtime's arena grows in the first ones."""


def measure(path: Path) -> MemoryUse:
    """Load a model and read one picture on one thread; both in bytes above what the process took before.

    Raises:
        DataError: the model cannot be loaded.
    """
    gc.collect()
    before = psutil.Process().memory_info().rss
    _reset()
    model = OnnxModel.load(path, threads=1)
    loaded = psutil.Process().memory_info().rss
    picture = np.zeros((1, *model.shape), np.uint8)
    regions = None if model.regions is None else np.zeros((1, model.regions, 4), np.float32)
    for _ in range(_WARM):
        model.read(picture, regions)
    return MemoryUse(loaded_bytes=max(0, loaded - before), peak_bytes=max(0, _peak() - before))


def _reset() -> None:
    if _CLEAR.exists():
        _CLEAR.write_text(_PEAK)


def _peak() -> int:
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes, on macOS


if __name__ == "__main__":
    try:
        sys.stdout.write(measure(Path(sys.argv[1])).model_dump_json())
    except DataError as error:
        sys.exit(str(error))
