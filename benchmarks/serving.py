"""This service compared with other ways to serve the same model: same pictures, same cores, one run.

`python -m benchmarks.serving --write` times what `make repro` packaged, for twenty minutes, and writes the table into
docs/performance.md, which has a place for it by task; `--seconds 1 --rounds 1` gives rough figures. `--rivals` names
the interpreter of the contenders that need packages of requirements/benchmarks.txt, `--mlserver` that of MLServer,
which needs an older Starlette. Contenders that are not installed are left out.
"""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import PAGE, load
from benchmarks.service import free_port, is_ready, png, started
from pipeline.project import command
from pipeline.reports import markdown
from pipeline.runtime.reader import Reader

ROOT = Path(__file__).parents[1]
CALLERS = (1, 8, 32)
MANY = 256
"""Pictures in one request of /read_many."""
KINDS = {"png": "image/png", "raw": "application/octet-stream"}


@dataclass(frozen=True)
class Contender:
    """One way to serve.

    Attributes:
        name: in the table.
        command: starts it; `PORT` is replaced by the port.
        ready: the path that answers once it is ready.
        requests: makes the request of a picture, `png` or `raw`; None where it does not take that form.
        environment: variables added to this process's.
        needs: the module that must be installed.
    """

    name: str
    command: tuple[str, ...]
    ready: str
    requests: Callable[[np.ndarray, str], bytes | None]
    environment: tuple[tuple[str, str], ...] = ()
    needs: str = "bentoml"


def main(
    artifacts: Path = Path("artifacts"),
    models: Path = Path("models"),
    task: str = "strips",
    rivals: str = sys.executable,
    mlserver: str = sys.executable,
    seconds: float = 6.0,
    rounds: int = 3,
    only: str = "",
    write: bool = False,
) -> None:
    """Print the table.

    Args:
        artifacts: the packaged models.
        models: the trained ones; the stock recipe serves the Keras model that `artifacts` was exported from.
        task: whose model is served.
        rivals: an interpreter with requirements/benchmarks.txt.
        mlserver: one with requirements/benchmarks-mlserver.txt.
        seconds: of each load.
        rounds: how often everything is measured; the table has the median of each figure.
        only: a part of the contenders' names, several separated by commas; the others are left out.
        write: write the table into docs/performance.md.
    """
    reader = Reader.load(artifacts / task)
    pictures = np.random.default_rng(0).integers(0, 256, (64, *reader.manifest.shape), np.uint8)
    keras = models / task / reader.manifest.strategy / "model.keras"
    wanted = only.split(",")
    found = [
        one for one in contenders(artifacts, task, keras, rivals, mlserver) if any(part in one.name for part in wanted)
    ]
    measured: dict[tuple[str, str, int], list[load.Load]] = {}
    many: dict[str, list[float]] = {}
    for _ in range(rounds):
        for one in found:
            with serving(one) as port:
                if port is None:
                    print(f"{one.name}: not installed or it does not start, left out", file=sys.stderr)
                    continue
                for kind in KINDS:
                    requests = [one.requests(picture, kind) for picture in pictures]
                    if requests[0] is None:
                        continue
                    for callers in CALLERS:
                        try:
                            got = load.run(port, requests, callers, seconds)
                        except (OSError, EOFError) as error:
                            print(f"{one.name}, {kind}, {callers} callers: {error!r}, left out", file=sys.stderr)
                            continue
                        print(f"{one.name}, {kind}, {callers} callers: {got.rate:,.0f}/s", file=sys.stderr)
                        measured.setdefault((one.name, kind, callers), []).append(got)
                if one.name.startswith("this service"):
                    many.setdefault(f"{one.name}, /read_many", []).append(_many(port, pictures, seconds))
        many.setdefault("the runtime alone, in this process", []).append(alone(artifacts / task, pictures, seconds))
    table = _table(measured, many)
    print(table)
    if write:
        markdown.replace_table(PAGE, f"serving {task}", table)


def contenders(artifacts: Path, task: str, keras: Path, rivals: str, mlserver: str) -> list[Contender]:
    """All of them; those that can run several processes run two, as this was written on a machine with two cores."""
    bento = (sys.executable, "-m", "bentoml", "serve")
    at = ("--host", "127.0.0.1", "--port", "PORT")
    here = ("READER_ARTIFACTS", str(artifacts.resolve()))
    model = ("BENCHMARK_MODEL", str((artifacts / task).resolve()))
    one = ("BENTOML_CONFIG_OPTIONS", "services.reader.workers=1")
    thread, single = ("READER_THREADS", "1"), ("READER_BATCH", "1")
    uvicorn = ("-m", "uvicorn", "benchmarks.rivals.fastapi_app:app", *at, "--workers", "2", "--log-level", "warning")
    stock = ("BENCHMARK_KERAS", str(keras.resolve()))
    recipe = "benchmarks.rivals.stock:Stock"
    lit = (rivals, "-m", "benchmarks.rivals.litserve_app", "PORT")
    server = (mlserver, "-c", "from mlserver.cli import main; main()", "start", "SETTINGS")
    return [
        Contender("this service, as it is", (*bento, *at), "/readyz", _ours, (here,)),
        Contender("this service, 1 thread", (*bento, *at), "/readyz", _ours, (here, thread)),
        Contender("this service, 1 worker", (*bento, *at), "/readyz", _ours, (here, one)),
        Contender("this service, no batches", (*bento, *at), "/readyz", _ours, (here, single)),
        Contender("FastAPI, ONNX Runtime", (rivals, *uvicorn), "/docs", _ours, (model,), "fastapi"),
        Contender("BentoML's stock recipe, Keras", (*bento, recipe, *at), "/readyz", _stock, (stock,)),
        Contender("LitServe, ONNX Runtime", lit, "/health", _lit, (model,), "litserve"),
        Contender("MLServer, ONNX Runtime", server, "/v2/health/ready", _v2, (model,), "mlserver"),
    ]


@contextlib.contextmanager
def serving(one: Contender) -> Iterator[int | None]:
    """Start a contender; its port, or None where it does not start."""
    if not _installed(one):
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        settings = Path(home) / "settings"
        _mlserver(settings, port)
        arguments = [part.replace("PORT", str(port)).replace("SETTINGS", str(settings)) for part in one.command]
        environment = {**os.environ, "BENTOML_HOME": home, "BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": str(ROOT)}
        with started(arguments, ROOT, environment | dict(one.environment), stop_seconds=15) as process:
            yield port if is_ready(process, port, one.ready) else None


def alone(folder: Path, pictures: np.ndarray, seconds: float) -> float:
    """Pictures per second of the runtime without a service: two threads, the best batch size of 1, 8 and 32."""
    readers = [Reader.load(folder) for _ in range(2)]

    def rate(batch: int) -> float:
        counts = [0, 0]
        end = time.perf_counter() + seconds / 3

        def read(index: int) -> None:
            while time.perf_counter() < end:
                readers[index].read(pictures[:batch])
                counts[index] += batch

        threads = [threading.Thread(target=read, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (seconds / 3)

    return max(rate(batch) for batch in (1, 8, 32))


def _many(port: int, pictures: np.ndarray, seconds: float) -> float:
    body = np.concatenate([pictures] * (MANY // len(pictures)))
    shape = ",".join(map(str, body.shape))
    request = load.request("/read_many", body.tobytes(), Content_Type=KINDS["raw"], X_Shape=shape)
    return load.run(port, [request], 4, seconds).rate * len(body)


def _ours(picture: np.ndarray, kind: str) -> bytes:
    if kind == "png":
        return load.request("/read", png(picture), Content_Type=KINDS[kind])
    shape = ",".join(map(str, picture.shape))
    return load.request("/read", picture.tobytes(), Content_Type=KINDS[kind], X_Shape=shape)


def _stock(picture: np.ndarray, kind: str) -> bytes | None:
    # BentoML's clients send an ndarray as JSON.
    body = json.dumps({"images": picture[None].tolist()}).encode()
    return load.request("/predict", body, Content_Type="application/json") if kind == "raw" else None


def _lit(picture: np.ndarray, kind: str) -> bytes:
    content = png(picture) if kind == "png" else picture.tobytes()
    body = json.dumps({"picture": b64encode(content).decode(), "raw": kind == "raw"}).encode()
    return load.request("/predict", body, Content_Type="application/json")


def _v2(picture: np.ndarray, kind: str) -> bytes | None:
    tensor = {"name": "images", "shape": [1, *picture.shape], "datatype": "UINT8", "data": picture.ravel().tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    return load.request("/v2/models/strips/infer", body, Content_Type="application/json") if kind == "raw" else None


def _installed(one: Contender) -> bool:
    if one.command[0] == sys.executable:
        return importlib.util.find_spec(one.needs) is not None
    return (
        subprocess.run([one.command[0], "-c", f"import {one.needs}"], capture_output=True, check=False).returncode == 0
    )


def _mlserver(folder: Path, port: int) -> None:
    folder.mkdir()
    settings = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2, "parallel_workers": 2}
    model = {"name": "strips", "implementation": "benchmarks.rivals.mlserver_model.Strips"}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))


def _table(measured: dict[tuple[str, str, int], list[load.Load]], many: dict[str, list[float]]) -> str:
    header = ["served by", "picture", *(f"{n} caller{'s' * (n > 1)}" for n in CALLERS)]
    rows = [
        [name, kind, *(_cell(measured.get((name, kind, callers), [])) for callers in CALLERS)]
        for name, kind in dict.fromkeys((name, kind) for name, kind, _ in measured)
    ]
    at_once = [[name, f"{_median(rates):,.0f}"] for name, rates in sorted(many.items(), key=lambda item: item[0])]
    return markdown.table(header, rows) + "\n" + markdown.table(["many at once", "pictures per second"], at_once)


def _cell(loads: Sequence[load.Load]) -> str:
    if not loads:
        return "does not answer"
    rate, p50, p99 = (_median([getattr(one, name) for one in loads]) for name in ("rate", "p50", "p99"))
    failed = sum(one.errors for one in loads)
    return f"{rate:,.0f}/s, {p50:.1f} and {p99:.1f} ms" + (f", {failed} errors" if failed else "")


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


if __name__ == "__main__":
    command.run(main)
