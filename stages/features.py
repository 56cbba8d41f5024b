"""Pass the pictures once through the part of a network that a strategy keeps frozen."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.images import ImageSet
from pipeline.networks import features
from pipeline.project import command
from pipeline.training import precision


def main(strategy: str, network: str, data: Path, out: Path) -> str | None:
    """Write the features of the training and the valid split, or the reason why there are none, and the weights.

    Returns that reason.
    """
    settings = params.load(Path("params.yaml"))
    made = features.make(
        network,
        ImageSet.load(data / "train.npz"),
        ImageSet.load(data / "valid.npz"),
        settings=settings.strategies[strategy].settings,
        seed=settings.seed,
        policy=precision.resolve(settings.precision),
    )
    made.save(out)
    return f"no features are kept: {made.record.missing}" if made.train is None else None


if __name__ == "__main__":
    command.run(main)
