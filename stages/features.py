"""Pass the pictures once through the part of a network that a strategy keeps frozen."""

from pathlib import Path

from pipeline import command, features, params, training
from pipeline.images import ImageSet


def main(strategy: str, network: str, data: Path, out: Path) -> None:
    """Write the features of the training and the valid split, or why there are none, and the network's weights."""
    settings = params.load(Path("params.yaml"))
    made = features.make(
        network,
        ImageSet.load(data / "train.npz"),
        ImageSet.load(data / "valid.npz"),
        settings=settings.strategies[strategy].settings,
        seed=settings.seed,
        policy=training.resolve(settings.precision),
    )
    if made.train is None:
        print(f"{strategy}: no features are kept: {made.record['missing']}")
    made.save(out)


if __name__ == "__main__":
    command.run(main)
