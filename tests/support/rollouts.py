"""Models for rollouts, which differ in what they read, and the rollout folder of a service."""

import itertools
import time
from pathlib import Path

import numpy as np
import onnx
import onnx_models
from onnx import numpy_helper

from pipeline.records.rollout import Bounds, Mode, Rollout, RolloutState
from pipeline.rollout.store import Store

_NUMBERS = itertools.count(1)


def package(folder: Path, kind: str = "good", task: str = "strips", **changes: object) -> Path:
    """Package a model of bars below a folder.

    `good` reads what `onnx_models.package` reads and is another file; `bad` reads every digit as another one; `unsure`
    reads as `good` does, and accepts nothing.
    """
    made = onnx_models.package(folder, task, boxes=task == "strips")
    model = onnx.load_model(made / "model.onnx")
    model.doc_string = f"{kind} {next(_NUMBERS)}"
    for value in model.graph.initializer:
        if kind == "bad" and value.name == "weights":
            turned = numpy_helper.to_array(value).copy()
            turned[:, :10] = np.roll(turned[:, :10], 1, axis=1)
            value.CopyFrom(numpy_helper.from_array(turned, "weights"))
    content = model.SerializeToString()
    (made / "model.onnx").write_bytes(content)
    document = onnx_models.manifest(content, task, boxes=task == "strips")
    if kind == "unsure":
        document["coverage"]["threshold"] = 1.0
    (made / "manifest.json").write_text(onnx_models.json.dumps(document | changes))
    return made


def begin(
    store: Store, model: Path, mode: Mode = "swap", *, share: float = 1.0, takes_over: bool = True, **bounds: float
) -> Rollout:
    """Begin a rollout, as `registry rollout` does."""
    made: list[Rollout] = []

    def start(state: RolloutState) -> RolloutState:
        rollout = Rollout(
            id=f"{next(_NUMBERS):016x}",
            mode=mode,
            share=share,
            stage="prod",
            candidate=store.add_model(model, "strip-reader"),
            takes_over=takes_over,
            running=False,
            began=time.time(),
            who="Ada",
            bounds=Bounds(**bounds),
        )
        made.append(rollout)
        return state.model_copy(update={"rollout": rollout})

    store.change(start)
    return made[0]


def ended(store: Store, rollout: Rollout) -> str | None:
    """The result of a rollout; None while it is in progress."""
    return next((outcome.result for outcome in store.outcomes() if outcome.rollout.id == rollout.id), None)


def in_effect(store: Store) -> bool:
    """Whether every worker has put a rollout that is running, or its end, into effect."""
    state = store.read()
    running = state.rollout is None or state.rollout.running
    return running and all(worker.revision == state.revision for worker in store.workers())
