"""`make read` on a thousand pictures, and on as many small ones again: pace, memory, and a run that is killed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import barred_lines
import numpy as np
import onnx_models
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
MANY = 1000
LARGE = (1200, 1600)
"""Height and width of a picture, in pixels: as a phone sends one that it has made smaller."""


def pages(folder, count, shape):
    """Grey pictures with two numbers on paper that is not quite even, and the numbers of each."""
    folder.mkdir()
    rng = np.random.default_rng(16)
    uneven = np.linspace(0, 30, shape[1])[None] + rng.normal(0, 2, shape)
    uneven = (uneven - uneven.min()).astype(np.uint8)
    numbers = {}
    for index in range(count):
        numbers[f"{index:06}.jpg"] = written = [str(rng.integers(10, 10**7)) for _ in range(2)]
        drawn = barred_lines.write(*written, paper=235, ink=40)
        picture = np.full(shape, 235, np.uint8)
        picture[: drawn.shape[0], : drawn.shape[1]] = drawn
        picture -= np.minimum(picture, np.roll(uneven, 7 * index, axis=0))
        Image.fromarray(picture).save(folder / f"{index:06}.jpg", quality=90)
    return numbers


def started(folder, out, artifacts):
    command = [sys.executable, "-m", "pipeline.commands.read", "--images", str(folder), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*command, "--artifacts", str(artifacts)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def ended(process):
    """What it printed, its largest resident memory in MiB, and the seconds of processors that it took."""
    memory = 0
    while not (done := os.wait4(process.pid, os.WNOHANG))[0]:
        # Not `ru_maxrss`, which begins with that of the process that started it.
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        memory = max(memory, int(found[1]) if found else 0)
        time.sleep(0.02)
    _, status, usage = done
    text = process.stdout.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert process.returncode == 0
    return text, memory // 1024, usage.ru_utime + usage.ru_stime


@pytest.mark.slow
def test_a_thousand_pictures_with_a_kill_in_between(tmp_path):
    artifacts = tmp_path / "artifacts"
    onnx_models.package(artifacts, "lines", boxes=True)
    numbers = pages(tmp_path / "large", MANY, LARGE)
    text, memory, seconds = ended(started(tmp_path / "large", tmp_path / "whole.csv", artifacts))
    print(f"\nwhole run: {text.strip()}; {seconds:.1f} s of processors, {memory} MiB at most")

    out = tmp_path / "readings.csv"
    part = out.with_name("readings.csv.part")
    process = started(tmp_path / "large", out, artifacts)
    while not part.exists() or part.read_bytes().count(b"\n") < MANY // 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    kept = part.read_bytes().count(b"\n")
    assert not out.exists()
    text, memory_again, seconds = ended(started(tmp_path / "large", out, artifacts))
    print(f"killed after {kept} rows, then: {text.strip()}; {seconds:.1f} s of processors, {memory_again} MiB at most")
    assert f" {kept} read before" in text
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()

    rows = out.read_text().splitlines()[1:]
    correct = sum(
        row.startswith(f"{name},{' '.join(numbers[name])},2,") for row, name in zip(rows, numbers, strict=True)
    )
    print(f"{correct} of {MANY} pictures read without an error")
    assert correct >= 0.99 * MANY

    # Memory does not grow with the number of pictures, but for their names.
    sizes = {}
    for count in (MANY, 10 * MANY):
        folder = tmp_path / f"small-{count}"
        folder.mkdir()
        data = (tmp_path / "large/000000.jpg").read_bytes()[:400]
        for index in range(count):
            (folder / f"{index:06}.jpg").write_bytes(data)
        text, sizes[count], seconds = ended(started(folder, tmp_path / f"small-{count}.csv", artifacts))
        print(f"damaged pictures: {text.strip()}; {sizes[count]} MiB at most")
    assert sizes[10 * MANY] - sizes[MANY] < 40
