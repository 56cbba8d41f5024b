"""The service under five times the load that it can take, beside bulk callers, and under bodies made to starve others.

`python -m benchmarks.overload --write` measures this code in five minutes and writes docs/performance.md's table;
`--source FOLDER --label before --figures FILE` measures another checkout's code first, with the same clients. The load,
the health checks and the reads that are timed each come from a process of their own. `--pinned` gives the clients the
last core and the service the others, so that what a client computes is not taken from the service.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import PAGE
from benchmarks.load import request
from benchmarks.open_loop import Outcome, apart, at_rate, closed
from benchmarks.service import png, serving
from pipeline.project import command
from pipeline.reports import markdown
from pipeline.runtime.reader import Reader

CALLERS = (16, 32, 64)
"""Callers in a closed loop; the peak is the best of them."""
TIMES = 5
"""The offered load, in peaks."""
BULK_CALLERS = 16
BULK = 256
"""Pictures of a bulk request."""
PROBES = 20.0
"""Health checks and timed reads per second."""
JPEG_CALLERS, JSON_CALLERS = 40, 4
HOSTILE_BYTES = 4 * 1024 * 1024
_KIB = 1024
_START_SECONDS = 1.5
"""From the start of a client's process to its load, about."""
_WORKER = "_bentoml_impl.worker.service"
_ROWS = ("peak", "overload", "bulk", "jpeg", "json", "quiet")


def main(
    source: Path = Path(__file__).parents[1],
    artifacts: Path = Path("artifacts"),
    task: str = "strips",
    seconds: float = 15.0,
    label: str = "now",
    only: str = "",
    figures: str = "",
    pinned: bool = False,
    write: bool = False,
) -> None:
    """Print the figures as JSON, and the table.

    Args:
        source: the checkout whose code is served.
        artifacts: the packaged models.
        task: whose model is loaded.
        seconds: of each load.
        label: what the table calls this code; a table keeps the columns of other labels.
        only: a part of the measurements, separated by commas, of peak, overload, bulk, jpeg, json and quiet.
        figures: a JSON file where they are kept, too; those of other labels in it stay.
        pinned: the last core is the clients' alone.
        write: write the table into docs/performance.md.
    """
    reader = Reader.load(artifacts / task)
    pictures = np.random.default_rng(0).integers(0, 256, (64, *reader.manifest.shape), np.uint8)
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = (cores[:-1], cores[-1:]) if pinned and len(cores) > 1 else (cores, cores)
    wanted = only.split(",") if only else _ROWS
    with serving(artifacts, source=source, cores=ours) as (port, _):
        measure = Measurement(port, pictures, seconds, theirs)
        steps: dict[str, Callable[[], dict[str, Any]]] = {
            "peak": measure.peak,
            "quiet": measure.quiet,
            "overload": measure.overload,
            "bulk": measure.bulk,
            "jpeg": measure.jpeg,
            "json": measure.json,
        }
        found = {"cores": len(ours), "task": task, "pinned": pinned, "load average": round(os.getloadavg()[0], 1)}
        for name, step in steps.items():
            if name in wanted or name == "peak":
                found[name] = step()
                print(json.dumps({name: found[name]}), file=sys.stderr)
                time.sleep(2)
    found["load average after"] = round(os.getloadavg()[0], 1)
    kept: dict[str, Any] = {}
    if figures and Path(figures).exists():
        kept = json.loads(Path(figures).read_text())
    kept[label] = found
    if figures:
        Path(figures).write_text(json.dumps(kept, indent=1) + "\n")
    text = table(kept)
    print(text)
    if write:
        markdown.replace_table(PAGE, f"overload {task}", text)


class Measurement:
    """Loads and probes against one running service."""

    def __init__(self, port: int, pictures: np.ndarray, seconds: float, cores: list[int]) -> None:
        self._port = port
        self._seconds = seconds
        self._cores = cores
        self._pictures = pictures
        self._reads = [request("/read", png(picture), Content_Type="image/png") for picture in pictures]
        self._peak = self._peak_beside_probes = 0.0

    def peak(self) -> dict[str, Any]:
        """The most answers per second that callers in a closed loop get."""
        found: dict[int, Outcome] = {}
        for callers in CALLERS:
            found[callers] = self._load(closed, self._reads, callers).result()
        best = max(found, key=lambda callers: found[callers].goodput)
        self._peak = found[best].goodput
        beside = self._probed(self._load(closed, self._reads, best), reads=False)
        self._peak_beside_probes = beside["load"]["goodput"]
        return {"callers": best, **found[best].summary(), "beside probes": beside}

    def quiet(self) -> dict[str, Any]:
        """Single reads, health checks and metrics while nothing else happens."""
        return self._probed(None)

    def overload(self) -> dict[str, Any]:
        """Five times the peak, whatever comes back."""
        rate = TIMES * self._peak
        load = self._load(at_rate, self._reads, rate)
        found = self._probed(load, reads=False)
        goodput = found["load"]["goodput"]
        return {
            "offered": round(rate),
            "share of the peak": round(goodput / self._peak, 3),
            "share of the peak beside probes": round(goodput / self._peak_beside_probes, 3),
            **found,
        }

    def bulk(self) -> dict[str, Any]:
        """Sixteen callers of /read_many."""
        body = np.concatenate([self._pictures] * (BULK // len(self._pictures)))
        shape = ",".join(map(str, body.shape))
        many = request("/read_many", body.tobytes(), Content_Type="application/octet-stream", X_Shape=shape)
        return self._probed(self._load(closed, [many], BULK_CALLERS, pause=0.1))

    def jpeg(self) -> dict[str, Any]:
        """Bodies that begin like a JPEG and never come to a picture."""
        body = b"\xff\xd8" + b"\xff" * (HOSTILE_BYTES - 64 * _KIB)
        return self._probed(self._load(closed, [request("/read", body, Content_Type="image/jpeg")], JPEG_CALLERS))

    def json(self) -> dict[str, Any]:
        """JSON of a million arrays."""
        body = b"[" + b"[0]," * ((HOSTILE_BYTES - 64 * _KIB) // 4) + b"[0]]"
        hostile = request("/read_many", body, Content_Type="application/json")
        return self._probed(self._load(closed, [hostile], JSON_CALLERS))

    def _cores_used(self) -> float:
        """Processor time that all workers together take per second, in the middle of a load that begins now."""
        time.sleep(_START_SECONDS + 0.2 * self._seconds)
        workers = [child for child in psutil.Process().children(recursive=True) if _WORKER in " ".join(child.cmdline())]
        took, begin = -_processor_seconds(workers), time.perf_counter()
        time.sleep(0.6 * self._seconds)
        return (took + _processor_seconds(workers)) / (time.perf_counter() - begin)

    def _load(self, kind: Callable[..., Outcome], requests: list[bytes], amount: float, **named: Any) -> Any:
        return apart(kind, self._port, requests, amount, self._seconds, cores=self._cores, **named)

    def _probed(self, load: Any, *, reads: bool = True) -> dict[str, Any]:
        """What health checks, single reads and /metrics see during a load."""
        probes = {"livez": ("GET", "/livez"), "readyz": ("GET", "/readyz"), "metrics": ("GET", "/metrics")}
        running = {
            name: self._load(
                at_rate,
                [f"{method} {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n".encode()],
                PROBES / 10 if name == "metrics" else PROBES,
                fresh=True,
            )
            for name, (method, path) in probes.items()
        }
        if reads:
            running["read"] = self._load(at_rate, self._reads, PROBES, connections=64)
        found: dict[str, Any] = {}
        if load is not None:
            cores = self._cores_used()
            found["load"] = load.result().summary()
            found["cores used"] = round(cores, 3)
            found["per core second"] = round(found["load"]["goodput"] / cores, 1)
        for name, probe in running.items():
            outcome = probe.result()
            found[name] = {**outcome.summary(), "p50_ms": _rounded(outcome, 0.5), "p99_ms": _rounded(outcome, 0.99)}
        return found


def table(found: dict[str, Any]) -> str:
    """The figures of every label, side by side."""
    labels = list(found)
    rows = [[name, *(cell(found[label]) for label in labels)] for name, cell in _CELLS]
    return markdown.table(["", *labels], rows)


def _get(found: dict[str, Any], *path: str, form: str = "{:,.0f}") -> str:
    for part in path:
        if part not in found:
            return "none"
        found = found[part]
    return form.format(found)


def _p99(*path: str) -> Callable[[dict[str, Any]], str]:
    return lambda found: _get(found, *path, "p99_ms", form="{:,.0f} ms")


def _unanswered(found: dict[str, Any]) -> str:
    if "overload" not in found:
        return "none"
    statuses = found["overload"]["load"]["statuses"]
    return f"{sum(statuses.get(status, {'count': 0})['count'] for status in ('0', '-1')):,}"


_OF_LOAD = ("overload", "load", "statuses")
_CELLS: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    ("peak, 200s per second", lambda found: _get(found, "peak", "goodput")),
    ("offered, requests per second", lambda found: _get(found, "overload", "offered")),
    ("goodput, share of the peak", lambda found: _get(found, "overload", "share of the peak", form="{:.0%}")),
    (
        "share of the peak beside the same health checks",
        lambda found: _get(found, "overload", "share of the peak beside probes", form="{:.0%}"),
    ),
    (
        "200s per second of processor time, at the peak",
        lambda found: _get(found, "peak", "beside probes", "per core second"),
    ),
    ("the same in overload", lambda found: _get(found, "overload", "per core second")),
    ("p50 of accepted answers", lambda found: _get(found, *_OF_LOAD, "200", "p50_ms", form="{:,.0f} ms")),
    ("p99 of accepted answers", _p99("overload", "load", "statuses", "200")),
    ("p99 of 503", _p99("overload", "load", "statuses", "503")),
    ("p99 of /livez", _p99("overload", "livez")),
    ("p99 of /readyz", _p99("overload", "readyz")),
    ("p99 of /metrics", _p99("overload", "metrics")),
    ("requests without an answer", _unanswered),
    ("beside 16 bulk callers: p50 of a read", lambda found: _get(found, "bulk", "read", "p50_ms", form="{:,.0f} ms")),
    ("beside 16 bulk callers: p99 of a read", _p99("bulk", "read")),
    (
        "beside 16 bulk callers: pictures per second",
        lambda found: f"{BULK * found['bulk']['load']['goodput']:,.0f}" if "bulk" in found else "none",
    ),
    ("beside 40 bodies of FF D8 FF FF …: p99 of a read", _p99("jpeg", "read")),
    ("beside 40 bodies of FF D8 FF FF …: p99 of /metrics", _p99("jpeg", "metrics")),
    ("beside 4 bodies of [[0],[0],…: p50 of a read", lambda found: _get(found, "json", "read", "p50_ms") + " ms"),
    ("beside 4 bodies of [[0],[0],…: p99 of a read", _p99("json", "read")),
    ("beside 4 bodies of [[0],[0],…: p99 of /metrics", _p99("json", "metrics")),
    ("alone: p50 of a read", lambda found: _get(found, "quiet", "read", "p50_ms", form="{:,.1f} ms")),
]


def _processor_seconds(workers: list[psutil.Process]) -> float:
    times = [worker.cpu_times() for worker in workers]
    return sum(each.user + each.system for each in times)


def _rounded(outcome: Outcome, share: float) -> float:
    return round(outcome.percentile(share), 1)


if __name__ == "__main__":
    command.run(main)
