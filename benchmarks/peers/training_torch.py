"""The same network in PyTorch, at the fastest of its settings for a CPU; a round is an epoch, with its evaluation.

Before the rounds, each of `VARIANTS` makes the same few steps, and the fastest trains. The pictures are one tensor from
which batches are taken by index: a `DataLoader` is slower for pictures in memory.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers import digits
from benchmarks.rounds import Rounds, Stopwatch

BATCH = 128
VARIANTS = {
    "float32": (torch.contiguous_format, False, False),
    "float32, channels_last": (torch.channels_last, False, False),
    "bf16, channels_last": (torch.channels_last, True, False),
    "float32, channels_last, compiled": (torch.channels_last, False, True),
    "bf16, channels_last, compiled": (torch.channels_last, True, True),
}
"""The order in memory, whether to compute under bf16 autocast, and whether to call `torch.compile`."""
Step = Callable[[torch.Tensor, torch.Tensor], None]


class Network(nn.Module):
    """float (n, 1, 28, 28) -> logits (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.dense, self.logits = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = functional.dropout(functional.max_pool2d(x, 2), 0.25, self.training)
        x = functional.relu(self.dense(torch.flatten(x, 1)))
        return self.logits(functional.dropout(x, 0.5, self.training))


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    x, y, x_test, y_test = digits.load(Path(given["digits"]), given["pictures"], given["tested"])
    x, x_test = (torch.from_numpy(each).permute(0, 3, 1, 2).float() / 255 for each in (x, x_test))
    y, y_test = (torch.from_numpy(each[:, 0]).long() for each in (y, y_test))
    paces = {name: pace for name in VARIANTS if (pace := _pace(name, x, y, given["tried"]))}
    chosen = min(paces, key=paces.get)
    train, evaluate = _prepared(chosen)

    def epoch() -> float:
        order = torch.randperm(len(x))
        # The last, smaller batch is left out: compiled code would be made for it anew. Its pictures are not counted.
        for start in range(0, len(x) - BATCH + 1, BATCH):
            index = order[start : start + BATCH]
            train(x[index], y[index])
        return evaluate(x_test, y_test)

    epoch()
    tried = ", ".join(f"{name} {1000 * pace:.1f} ms" for name, pace in paces.items())
    rounds.ready(torch=torch.__version__, settings=chosen, steps=tried, threads=torch.get_num_threads())
    while rounds.asked():
        stopwatch = Stopwatch()
        accuracy = epoch()
        rounds.answer(stopwatch.read(), len(x) // BATCH * BATCH, val_accuracy=accuracy)


def _pace(name: str, x: torch.Tensor, y: torch.Tensor, steps: int) -> float | None:
    """Seconds of a step, after five that are not counted; None where it does not run here."""
    try:
        train, _ = _prepared(name)
        for step in range(5 + steps):
            if step == 5:
                started = time.perf_counter()
            train(x[:BATCH], y[:BATCH])
        return (time.perf_counter() - started) / steps
    except Exception as error:  # Of a compiler that is missing, for one; the log says which variant was left out.
        print(f"{name}: {error}")
        return None


def _prepared(name: str) -> tuple[Step, Callable[[torch.Tensor, torch.Tensor], float]]:
    """A new network: what trains it by a batch, and what evaluates it."""
    layout, bf16, compiled = VARIANTS[name]
    torch.manual_seed(1)
    network = Network().to(memory_format=layout)
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0, rho=0.95, eps=1e-7)
    apply = torch.compile(network, dynamic=False) if compiled else network

    def train(pictures: torch.Tensor, labels: torch.Tensor) -> None:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = apply(pictures.contiguous(memory_format=layout))
        functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    @torch.no_grad()
    def evaluate(pictures: torch.Tensor, labels: torch.Tensor) -> float:
        network.eval()
        correct = 0
        for start in range(0, len(pictures), 250):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = apply(pictures[start : start + 250].contiguous(memory_format=layout))
            correct += int((logits.argmax(1) == labels[start : start + 250]).sum())
        return correct / len(pictures)

    return train, evaluate


if __name__ == "__main__":
    main()
