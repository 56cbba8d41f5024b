"""What this machine computes and copies at most: large matrix products, and sums of arrays that no cache holds.

A round reports GFLOP/s in float32 (the better of NumPy and PyTorch) and in bfloat16, and GB/s read and written.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.rounds import Rounds, Stopwatch


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    side, values = rounds.settings["side"], rounds.settings["values"]
    a = torch.randn(side, side)
    b, half, array = a.numpy(), a.bfloat16(), torch.zeros(values)
    product, half_product, total = torch.empty_like(a), torch.empty_like(half), torch.empty_like(array)
    flops = 2 * side**3 / 1e9

    def measure() -> dict[str, float]:
        torch_seconds, numpy_seconds = _least(lambda: torch.mm(a, a, out=product)), _least(lambda: b @ b)
        return {
            "float32 GFLOP/s": flops / min(torch_seconds, numpy_seconds),
            "bfloat16 GFLOP/s": flops / _least(lambda: torch.mm(half, half, out=half_product)),
            "memory GB/s": 3 * 4 * values / 1e9 / _least(lambda: torch.add(array, array, out=total)),
        }

    measure()
    rounds.ready(torch=torch.__version__, numpy=np.__version__, threads=torch.get_num_threads())
    while rounds.asked():
        stopwatch = Stopwatch()
        found = measure()
        rounds.answer(stopwatch.read(), 1, **found)


def _least(work: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


if __name__ == "__main__":
    main()
