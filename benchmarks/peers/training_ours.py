"""The strategy `textbook` with the settings of params.yaml, trained by the project's own loop; a round is an epoch."""

from pathlib import Path

from benchmarks.peers import digits
from benchmarks.peers.epochs import EpochRounds
from benchmarks.rounds import Rounds
from pipeline.config import params
from pipeline.core.images import DIGIT_NAMES, ImageSet
from pipeline.preprocessing import normalization
from pipeline.preprocessing.normalization import Normalizer
from pipeline.strategies import textbook
from pipeline.training import loop, precision


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given, settings = rounds.settings, params.load(Path("params.yaml"))
    entry = settings.strategies["textbook"]
    x, y, x_test, y_test = digits.load(Path(given["digits"]), given["pictures"], given["tested"])
    train, test = ImageSet(x, y, DIGIT_NAMES, "mnist"), ImageSet(x_test, y_test, DIGIT_NAMES, "mnist")
    statistics = normalization.fit(train, name="mnist", zca_epsilon=settings.normalize.zca_epsilon)
    arguments = entry.arguments
    recipe = arguments["recipe"].model_copy(update={"epochs": float(given["rounds"] + 1)})
    facts = {
        "settings": f"{precision.resolve(settings.precision)}, batch {recipe.batch}, Adadelta {recipe.learning_rate:g}"
    }
    with loop.running(settings.precision, [EpochRounds(rounds, len(x), **facts)]):
        textbook.train(
            train,
            test,
            normalizer=Normalizer.of(statistics, entry.normalization),
            seed=settings.seed,
            budget=1.0,
            **{**arguments, "recipe": recipe},
        )


if __name__ == "__main__":
    main()
