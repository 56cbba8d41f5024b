"""Swaps, canaries and kills in the real service under load: requests lost, wrong answers, and times.

    python -m benchmarks.rollouts --artifacts release

Every answer names a model and is compared with what that model reads of that picture, computed before in this process:
an answer that mixes two models, or names the wrong one, is counted as wrong.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks import service
from pipeline.core.images import STRIP_SHAPE
from pipeline.records.manifest import MANIFEST, Manifest
from pipeline.records.rollout import Bounds, Mode, Outcome, Rollout, RolloutState
from pipeline.rollout.store import Store
from pipeline.runtime.answers import readings_as_json
from pipeline.runtime.reader import Reader

TASK = "strips"
EXAMPLES = Path(__file__).parents[1] / "pipeline/serving/page/examples"
WORKERS = 2


@dataclass
class Traffic:
    """What callers sent and got.

    Attributes:
        answers: by phase, for each request its seconds and the model that answered.
        lost: by phase, requests without an answer of 200, and why.
        wrong: answers that are not what the model they name reads.
        phase: of the requests that begin now.
    """

    answers: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    lost: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    phase: str = "before"

    def row(self, phase: str) -> str:
        """A line on one phase: answers, lost, p50 and p99 in milliseconds, and the models."""
        found = self.answers.get(phase, [])
        times = sorted(seconds for seconds, _ in found) or [float("nan")]
        p50, p99 = (1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.99))
        lost = [why for at, why in self.lost if at == phase]
        models: dict[str, int] = {}
        for _, sha256 in found:
            models[sha256[:8]] = models.get(sha256[:8], 0) + 1
        return f"{phase:28} {len(found):7,} {len(lost):5} {p50:7.2f} {p99:7.2f}  {models}" + (
            f"  {sorted(set(lost))}" if lost else ""
        )


def pictures(count: int) -> np.ndarray:
    """Strips, uint8 (n, 28, 140, 1), put together anew from the digits of the page's examples."""
    found = [np.asarray(Image.open(path)) for path in sorted(EXAMPLES.glob("strips-*.png"))]
    cells = [strip[:, left : left + 28] for strip in found for left in range(0, 140, 28)]
    generator = np.random.default_rng(0)
    chosen = generator.integers(0, len(cells), (count, 5))
    return np.stack([np.concatenate([cells[each] for each in row], axis=1) for row in chosen]).reshape(-1, *STRIP_SHAPE)


def candidate(artifacts: Path, out: Path, kind: str) -> Path:
    """A version of the packaged model: `same` reads alike, `bad` reads every digit as the next one."""
    shutil.copytree(artifacts / TASK, out, ignore=shutil.ignore_patterns("strategies"))
    model = onnx.load(out / "model.onnx")
    model.doc_string = f"{kind} {secrets.token_hex(4)}"
    graph = model.graph
    if kind == "bad":
        for node in graph.node:
            node.output[:] = ["classes_before" if name == "classes" else name for name in node.output]
        kind_of = next(value for value in graph.output if value.name == "classes").type.tensor_type.elem_type
        order = np.array([*((np.arange(10) + 1) % 10), 10])
        graph.initializer.append(
            numpy_helper.from_array(order.astype(helper.tensor_dtype_to_np_dtype(kind_of)), "order")
        )
        graph.node.append(helper.make_node("Cast", ["classes_before"], ["index_before"], to=TensorProto.INT64))
        graph.node.append(helper.make_node("Gather", ["order", "index_before"], ["classes"]))
    content = model.SerializeToString()
    (out / "model.onnx").write_bytes(content)
    manifest = Manifest.read(out / MANIFEST)
    file = manifest.model.model_copy(update={"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)})
    manifest.model_copy(update={"model": file, "version": "v9.0.0"}).write(out / MANIFEST)
    return out


def begin(store: Store, model: Path, mode: Mode, share: float = 1.0) -> Rollout:
    """Begin a rollout, as `registry rollout` does once it has checked a version."""
    made: list[Rollout] = []

    def start(state: RolloutState) -> RolloutState:
        made.append(
            Rollout(
                id=secrets.token_hex(8),
                mode=mode,
                share=share,
                stage="prod",
                takes_over=True,
                running=False,
                candidate=store.add_model(model, None),
                began=time.time(),
                who="benchmark",
                bounds=Bounds(),
            )
        )
        return state.model_copy(update={"rollout": made[0]})

    store.change(start)
    return made[0]


def end_of(store: Store, rollout: Rollout, seconds: float = 300) -> Outcome:
    """Wait until a rollout has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for outcome in store.outcomes():
            if outcome.rollout.id == rollout.id:
                return outcome
        time.sleep(0.02)
    raise TimeoutError(f"rollout {rollout.id} did not end within {seconds:g} seconds")


@contextlib.contextmanager
def load(port: int, bodies: list[bytes], expected: dict[str, list[str]], callers: int) -> Iterator[Traffic]:
    """Callers that send pictures, each the next one once it has its answer, until the block is left."""
    traffic, stop = Traffic(), threading.Event()

    def call(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        index = number
        while not stop.is_set():
            phase, index = traffic.phase, (index + callers) % len(bodies)
            started = time.perf_counter()
            try:
                connection.request("POST", "/read", bodies[index])
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                # In the phase in which it was lost: a worker that is killed holds requests of the phase before.
                traffic.lost.append((traffic.phase, type(error).__name__))
                connection.close()
                stop.wait(0.02)
                continue
            seconds = time.perf_counter() - started
            if response.status != 200:
                traffic.lost.append((phase, json.loads(content)["error"]["code"]))
                continue
            answer = json.loads(content)
            sha256 = answer["model"]["sha256"]
            if expected.get(sha256, [""] * len(bodies))[index] != answer["digits"]:
                traffic.wrong.append(f"picture {index}, {sha256[:8]}: {answer['digits']}")
            traffic.answers.setdefault(phase, []).append((seconds, sha256))

    threads = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def memory(process: int) -> str:
    """Resident MiB of each worker."""
    return " ".join(f"{each.memory_info().rss / 2**20:.0f}" for each in workers(process))


def workers(process: int) -> list[psutil.Process]:
    """The workers of a service."""
    children = psutil.Process(process).children(recursive=True)
    return [each for each in children if "_bentoml_impl.worker.service" in " ".join(each.cmdline())]


def served(store: Store) -> set[str]:
    """The models that the workers serve."""
    return {worker.models[TASK][:8] for worker in store.workers()}


def main() -> None:
    """Run every scenario and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifacts", type=Path, default=Path("release"))
    parser.add_argument("--callers", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each phase")
    parser.add_argument("--swaps", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images = pictures(4000)
        bodies = [service.png(image) for image in images]
        models = {kind: candidate(chosen.artifacts, folder / kind, kind) for kind in ("same", "bad")}
        expected = {}
        for model in (chosen.artifacts / TASK, *models.values()):
            reader = Reader.load(model)
            expected[reader.manifest.model.sha256] = digits(reader, images)
        store = Store(folder / "rollout")
        store.make()
        variables = {
            "READER_ROLLOUT": str(store.folder),
            "BENTOML_CONFIG_OPTIONS": f"services.reader.workers={WORKERS}",
            # On a machine that does other work, requests that are rejected because they would wait hide those lost.
            "READER_WAITING_SECONDS": "20",
        }
        print(f"{'phase':28} answers  lost p50 ms  p99 ms  model: answers")
        live(chosen, store, models, bodies, expected, variables)
        killed_service(chosen, store, models, bodies, expected, variables)


def live(
    chosen: argparse.Namespace,
    store: Store,
    models: dict[str, Path],
    bodies: list[bytes],
    expected: dict[str, list[str]],
    variables: dict[str, str],
) -> None:
    """Swaps, a shadow, canaries, and a worker that is killed, in one service."""
    with service.serving(chosen.artifacts, **variables) as (port, process):
        time.sleep(3)
        print("MiB of the workers:", memory(process.pid))
        with load(port, bodies, expected, chosen.callers) as traffic:
            time.sleep(chosen.seconds)
            took = []
            for number in range(chosen.swaps):
                traffic.phase = "during a swap"
                model = models["bad"] if number % 2 == 0 else chosen.artifacts / TASK
                began = time.perf_counter()
                end_of(store, begin(store, model, "swap"))
                wanted = {Manifest.read(model / MANIFEST).model.sha256[:8]}
                while served(store) != wanted:
                    time.sleep(0.02)
                took.append(time.perf_counter() - began)
                traffic.phase = "between swaps"
                time.sleep(chosen.seconds / 4)
            print("MiB of the workers:", memory(process.pid))
            end_of(store, begin(store, chosen.artifacts / TASK, "swap"))
            time.sleep(1)
            traffic.phase = "bad canary of 10 %"
            outcome = end_of(store, begin(store, models["bad"], "canary", 0.1))
            time.sleep(1)
            traffic.phase = "after the bad canary"
            time.sleep(chosen.seconds / 2)
            traffic.phase = "good canary of 10 %"
            passed = end_of(store, begin(store, models["same"], "canary", 0.1))
            traffic.phase = "after the good canary"
            time.sleep(chosen.seconds / 2)
            traffic.phase = "worker killed in a swap"
            rollout = begin(store, models["bad"], "swap")
            workers(process.pid)[0].send_signal(signal.SIGKILL)
            end_of(store, rollout)
            end = time.monotonic() + 60
            while (len(store.workers()) < WORKERS or len(served(store)) > 1) and time.monotonic() < end:
                time.sleep(0.05)
            traffic.phase = "after the kill"
            time.sleep(chosen.seconds / 2)
        for phase in traffic.answers:
            print(traffic.row(phase))
        print(
            f"seconds of a swap, from its beginning until every worker serves it: {[round(each, 2) for each in took]}"
        )
        bad = Manifest.read(models["bad"] / MANIFEST).model.sha256
        given = sum(sha256 == bad for _, sha256 in traffic.answers["bad canary of 10 %"])
        print(f"bad canary: {outcome.result}: {outcome.reason}; compared {outcome.compared}; it gave {given} answers")
        print(f"good canary: {passed.result}: compared {passed.compared}; {[each.name for each in passed.tallies]}")
        print(f"wrong answers: {len(traffic.wrong)} {traffic.wrong[:3]}; served at the end: {served(store)}")


def killed_service(
    chosen: argparse.Namespace,
    store: Store,
    models: dict[str, Path],
    bodies: list[bytes],
    expected: dict[str, list[str]],
    variables: dict[str, str],
) -> None:
    """The whole service is killed at moments of a swap, and started again."""
    totals = Traffic()
    for number, delay in enumerate((0.0, 0.1, 0.2, 0.3, 0.4, 0.6)):
        with service.serving(chosen.artifacts, **variables) as (port, process):
            with load(port, bodies, expected, chosen.callers) as traffic:
                time.sleep(0.5)
                model = models["bad"] if number % 2 else chosen.artifacts / TASK
                rollout = begin(store, model, "swap")
                time.sleep(delay)
                os.killpg(process.pid, signal.SIGKILL)
                time.sleep(0.2)
        totals.wrong += traffic.wrong
        before = {sha256[:8] for each in traffic.answers.values() for _, sha256 in each}
        with service.serving(chosen.artifacts, **variables) as (port, _):
            outcome = end_of(store, rollout)
            time.sleep(1)
            with load(port, bodies, expected, chosen.callers) as traffic:
                time.sleep(1)
        totals.wrong += traffic.wrong
        after = {sha256[:8] for each in traffic.answers.values() for _, sha256 in each}
        wanted = Manifest.read(model / MANIFEST).model.sha256[:8]
        print(
            f"service killed {delay:.1f} s into a swap to {wanted}: answered before {sorted(before)}, after the "
            f"restart {sorted(after)}, {outcome.result}"
        )
    print(f"wrong answers around the kills: {len(totals.wrong)}")


def digits(reader: Reader, images: np.ndarray) -> list[str]:
    """What a model reads of each picture."""
    found = []
    for start in range(0, len(images), 100):
        readings = reader.read(images[start : start + 100])
        answers = readings_as_json(reader.manifest, readings, [()] * len(readings), every_class=False)
        found += [str(answer["digits"]) for answer in answers]
    return found


if __name__ == "__main__":
    main()
