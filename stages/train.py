"""Train one strategy."""

import time
from pathlib import Path

from dvclive.keras import DVCLiveCallback
from dvclive.live import Live

from pipeline import strategies
from pipeline.config import params
from pipeline.core.files import replacing, write_json
from pipeline.core.images import ImageSet
from pipeline.preprocessing.normalization import Normalizer
from pipeline.project import command
from pipeline.records.training import TrainingRecord
from pipeline.training import loop
from pipeline.training.models import save


def main(strategy: str, data: Path, normalizer: Path, features: Path, out: Path, curves: Path, timings: Path) -> str:
    """Write the folder `out` with the model and the record of its training, the curves, and the seconds it took.

    Returns the exact match of the last epoch on valid.
    """
    settings = params.load(Path("params.yaml"))
    entry, module = settings.strategies[strategy], strategies.load(strategy)
    train, valid = ImageSet.load(data / "train.npz"), ImageSet.load(data / "valid.npz")
    own = features / data.name if entry.takes_proposals else features
    computed = {"features": own} if entry.takes_features or entry.takes_proposals else {}
    start = time.perf_counter()
    with (
        replacing(curves) as drawn,
        Live(str(drawn), dvcyaml=None, report=None, save_dvc_exp=False) as live,
        loop.running(settings.precision, [DVCLiveCallback(live=live)], deterministic=settings.deterministic) as run,
    ):
        model = module.train(
            train,
            valid,
            normalizer=Normalizer.load(normalizer),
            seed=settings.seed,
            budget=settings.budget,
            **computed,
            **entry.arguments,
        )
    seconds = time.perf_counter() - start
    record = TrainingRecord(
        strategy=strategy,
        task=entry.task,
        **vars(strategies.traits(module)),
        trained_on=entry.train_on,
        normalization=entry.normalization,
        origin=train.origin,
        pretrained=run.pretrained,
        parameters=loop.parameters(model),
        precision=run.precision,
        seed=settings.seed,
        budget=settings.budget,
        settings=entry.settings,
        history=tuple(run.history),
    )
    with replacing(out) as folder:
        folder.mkdir()
        save(model, folder / "model.keras")
        record.write(folder / "training.json")
    write_json(timings, {"strategy": strategy, "seconds": round(seconds, 1)})
    return f"exact match {100 * record.history[-1]['val_exact_match']:.2f} % on valid"


if __name__ == "__main__":
    command.run(main)
