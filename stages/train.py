"""Train one strategy."""

import time
from pathlib import Path

from dvclive import Live
from dvclive.keras import DVCLiveCallback

from pipeline import strategies
from pipeline.config import params
from pipeline.core.files import replacing, write_json
from pipeline.core.images import ImageSet
from pipeline.preprocessing.normalization import Statistics
from pipeline.project import command
from pipeline.training import loop
from pipeline.training.models import save


def main(
    strategy: str, data: Path, statistics: Path, out: Path, curves: Path, timings: Path, uses: Path = Path()
) -> None:
    """Write models/<strategy>: the model and the record of its training."""
    settings = params.load(Path("params.yaml"))
    entry = settings.strategies[strategy]
    module = strategies.load(strategy)
    train, valid = ImageSet.load(data / "train.npz"), ImageSet.load(data / "valid.npz")
    features = {"features": uses} if entry.on_features else {}
    start = time.perf_counter()
    with Live(str(curves), dvcyaml=None, report=None, save_dvc_exp=False) as live:
        with loop.running(settings.precision, [DVCLiveCallback(live=live)]) as run:
            model = module.train(
                train,
                valid,
                normalizer=Statistics.load(statistics),
                seed=settings.seed,
                budget=settings.budget,
                **features,
                **entry.settings,
            )
    seconds = time.perf_counter() - start
    record = {
        "strategy": strategy,
        "task": entry.task,
        "suites": list(module.SUITES),
        "trained_on": entry.train_on,
        "origin": train.origin,
        "positional": getattr(module, "POSITIONAL", True),
        "deployable": getattr(module, "DEPLOYABLE", True),
        "pretrained": run.pretrained,
        "parameters": loop.parameters(model),
        "precision": run.precision,
        "seed": settings.seed,
        "budget": settings.budget,
        "settings": dict(entry.settings),
        "history": run.history,
    }
    with replacing(out) as folder:
        folder.mkdir()
        save(model, folder / "model.keras")
        write_json(folder / "training.json", record)
    write_json(timings, {"strategy": strategy, "seconds": round(seconds, 1)})


if __name__ == "__main__":
    command.run(main)
