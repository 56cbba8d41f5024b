"""This project beside its peers: training, whitening, augmentation, composing, reading, and the marks of MNIST.

`make bench` runs every comparison and writes the tables into docs/performance.md. `python -m benchmarks.bench --only
NAME` runs one of them: training, zca-fit, zca-apply, augmentation, strips, reading or marks; `--smoke` runs all of
them with tiny sizes, which shows that they run and measures nothing.

The peers have environments of their own below .bench/. Each contender has a process of its own, prepared once, and
rounds alternate, so that other load on the machine meets all alike. A ratio is the median of those of the rounds. The
machine's limits are measured by a contender of each comparison.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import PAGE, environments
from benchmarks.augmentation_options import OPTIONS
from benchmarks.rounds import Contestant, Taken, alternate, closing
from pipeline.config import params
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import DIGIT, SLOTS, ImageSet
from pipeline.project import command
from pipeline.reports import markdown
from pipeline.runtime.reader import load_manifests

OURS = "this project"
MARKS = {0.995: 90.0, 0.997: 300.0}
"""Shares of MNIST's test set read right, and the seconds in which a training is to reach them."""
SHORTER = {"convnet": 0.5}
"""Strategies that are also trained at a part of the budget: a shorter training passes the lower mark sooner."""
LIMITS = {"side": 3072, "values": 1 << 26}
"""The matrices and arrays by which the machine's limits are measured."""


@dataclass(frozen=True)
class Sizes:
    """How much a round of each comparison does; the defaults are those of the documented tables."""

    digits: int = 60_000
    tested: int = 10_000
    tried: int = 30
    pictures: int = 40_000
    side: int = 32
    fitted: int = 4_000
    applied: int = 10_000
    applied_singly: int = 1_000
    batches: int = 60
    strips: int = 10_000
    looped: int = 2_000
    read: int = 1 << 30
    budget: float = 1.0
    limits: dict[str, int] = field(default_factory=lambda: LIMITS)


SMOKE = Sizes(
    digits=1_280,
    tested=500,
    tried=2,
    pictures=600,
    side=16,
    fitted=300,
    applied=300,
    applied_singly=100,
    batches=2,
    strips=200,
    looped=100,
    read=512,
    budget=0.02,
    limits={"side": 1024, "values": 1 << 22},
)


@dataclass(frozen=True)
class Contender:
    """One row of a table.

    Attributes:
        name: in the table.
        module: in `benchmarks.peers`.
        environment: requirements/bench-NAME.txt, "" for the project's own.
        settings: what the module prepares.
        goal: how many times its time this project's is to fit into; None where there is no goal.
    """

    name: str
    module: str
    environment: str
    settings: dict[str, Any]
    goal: float | None = None


@dataclass(frozen=True)
class Comparison:
    """One table.

    Attributes:
        unit: of its times, for instance `ms per picture`.
        scale: times of that unit in a second, per unit of work that contenders count.
        contenders: this project first.
        flops: floating-point operations that a unit of work needs at least; 0 where they are not what takes time.
        bytes: that it reads and writes at least.
        precisions: in which this project computes, for the limits.
    """

    unit: str
    scale: float
    contenders: tuple[Contender, ...]
    flops: float = 0
    bytes: float = 0
    precisions: tuple[str, ...] = ("float32",)


@dataclass(frozen=True)
class Plan:
    """Where the comparisons find what they need, and how much they do."""

    results: Path
    scratch: Path
    sizes: Sizes
    rounds: int

    def file(self, *parts: str) -> str:
        """The absolute path of a file that `make repro` made.

        Raises:
            DataError: there is no such file.
        """
        path = self.results.joinpath(*parts).absolute()
        if not path.exists():
            raise DataError(f"{path}: no such file; expected what `make repro` leaves behind, here or below --results")
        return str(path)


def main(
    only: str = "",
    results: Path = Path(),
    rounds: int = 5,
    trainings: int = 3,
    smoke: bool = False,
    write: bool = False,
) -> None:
    """Print a table for each comparison.

    Args:
        only: the comparison to run; all of them by default.
        results: the folder in which `make repro` left data/, models/ and exports/.
        rounds: of each contender.
        trainings: to the marks of MNIST, each from another seed.
        smoke: one round of each, with tiny sizes, to see that they run.
        write: write the tables into docs/performance.md.
    """
    if smoke and write:
        raise ConfigurationError("--write: the times of --smoke mean nothing; expected one of the two")
    if only not in ("", "marks", *COMPARISONS):
        raise ConfigurationError(f"--only: expected one of marks, {', '.join(COMPARISONS)}, found {only!r}")
    if rounds < 1 or trainings < 1:
        raise ConfigurationError("--rounds and --trainings: expected 1 or more")
    with tempfile.TemporaryDirectory() as scratch:
        plan = Plan(results, Path(scratch), SMOKE if smoke else Sizes(), 1 if smoke else rounds)
        for name, comparison in COMPARISONS.items():
            if only in ("", name):
                _publish(name, [compare(each, plan, f"{name}-{i}") for i, each in enumerate(comparison(plan))], write)
        if only in ("", "marks"):
            _publish("marks", marks(plan, 1 if smoke else trainings), write)


def _publish(name: str, tables: Sequence[str], write: bool) -> None:
    text = "\n".join(tables)
    print(f"\n{name}\n\n{text}", flush=True)
    if write:
        markdown.replace_table(PAGE, f"bench {name}", text)


def compare(comparison: Comparison, plan: Plan, name: str) -> str:
    """Run a comparison and render its table; every round is kept in .bench/rounds/NAME.json."""
    limits = Contender("limits", "limits", "torch", plan.sizes.limits)
    contenders = (*comparison.contenders, limits)
    with closing([]) as running:
        for each in contenders:
            running.append(_started(each, name))
        taken = alternate(running, plan.rounds)
        facts = [each.facts for each in running]
    kept = [
        {"contender": each.name, "facts": fact, "rounds": [asdict(one) for one in own]}
        for each, fact, own in zip(contenders, facts, taken, strict=True)
    ]
    _keep(name, kept)
    counted = max((float(fact.get("flops", 0)) for fact in facts), default=0.0)
    comparison = replace(comparison, flops=comparison.flops or counted)
    return f"{_table(comparison, taken)}\n{_notes(contenders, facts, taken)}"


def _started(each: Contender, name: str) -> Contestant:
    print(f"{name}: preparing {each.name}", file=sys.stderr, flush=True)
    log = environments.FOLDER / "logs" / f"{name}-{each.name.replace('/', ' ')}.log"
    module = f"benchmarks.peers.{each.module}"
    return Contestant(environments.python(each.environment), module, each.settings, log)


def _keep(name: str, document: Any) -> None:
    path = environments.FOLDER / "rounds" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))


def _table(comparison: Comparison, taken: Sequence[Sequence[Taken]]) -> str:
    *measured, limits = taken
    ours = [comparison.scale * one.seconds / one.units for one in measured[0]]
    header = ["", comparison.unit, "least and most", "of the processor", "ratio", "goal"]
    rows = []
    for each, own in zip(comparison.contenders, measured, strict=True):
        times = [comparison.scale * one.seconds / one.units for one in own]
        processor = statistics.median(comparison.scale * one.processor / one.units for one in own)
        ratio = statistics.median(theirs / mine for theirs, mine in zip(times, ours, strict=True))
        row = [each.name, _figure(statistics.median(times)), f"{_figure(min(times))} to {_figure(max(times))}"]
        goal = "" if each.goal is None else f"{each.goal:g}, {'met' if ratio >= each.goal else 'missed'}"
        rows.append([*row, _figure(processor), f"{ratio:.2f}", goal])
        if comparison.flops:
            rows[-1].append(_figure(comparison.flops * comparison.scale / statistics.median(times) / 1e9))
    if comparison.flops:
        header.append("GFLOP/s")
    for name, seconds, rate in _least(comparison, limits):
        time = comparison.scale * seconds
        row = [f"*limit: {name}*", _figure(time), "", "", f"{time / statistics.median(ours):.2f}", ""]
        rows.append([*row, f"{rate:,.0f}" if rate else ""] if comparison.flops else row)
    return markdown.table(header, rows)


def _least(comparison: Comparison, limits: Sequence[Taken]) -> list[tuple[str, float, float]]:
    """What limits a unit of work, its seconds at the measured limit, and the GFLOP/s of that limit, or 0."""
    found = {key: statistics.median(one.found[key] for one in limits) for key in limits[0].found}
    rows = []
    if comparison.flops:
        for precision in comparison.precisions:
            rate = found[f"{precision} GFLOP/s"]
            rows.append((f"{precision} matrix products", comparison.flops / rate / 1e9, rate))
    if comparison.bytes:
        bandwidth = found["memory GB/s"]
        rows.append((f"memory, {bandwidth:.0f} GB/s", comparison.bytes / bandwidth / 1e9, 0.0))
    return rows


def _figure(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _notes(contenders: Sequence[Contender], facts: Sequence[dict], taken: Sequence[Sequence[Taken]]) -> str:
    """A line for each contender: versions, settings, and what it found beside its time in the last round."""
    lines = []
    for each, fact, own in zip(contenders, facts, taken, strict=True):
        said = {**fact, **own[-1].found}
        text = "; ".join(f"{key}: {_shown(value)}" for key, value in said.items())
        lines.append(f"- {each.name} – {text}\n")
    return "".join(lines)


def _shown(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def marks(plan: Plan, trainings: int) -> list[str]:
    """Train every strategy for single digits and find when it passes `MARKS` on MNIST's test set.

    Returns:
        A table of all trainings, and one with the epochs of each strategy's first training.
    """
    settings = params.load(Path("params.yaml"))
    chosen = [(name, 1.0) for name, entry in settings.strategies.items() if entry.train_on == "mnist/mnist"]
    rows, tables, kept = [], [], {}
    for strategy, part in (*chosen, *SHORTER.items()):
        name = strategy if part == 1 else f"{strategy}, budget {part:g}"
        given = {
            "strategy": strategy,
            "data": plan.file("data"),
            "pictures": plan.sizes.digits,
            "budget": part * plan.sizes.budget,
        }
        with closing([]) as running:
            running.append(_started(Contender(name, "marks_ours", "", given), "marks"))
            done = []
            for number in range(trainings):
                print(f"marks: {name}, training {number + 1} of {trainings}", file=sys.stderr, flush=True)
                done.append(running[0].round())
        kept[name] = [asdict(one) for one in done]
        best = settings.strategies[strategy].arguments["recipe"].keep == "best"
        rows += [_training_row(name, one, best=best) for one in done]
        cells = [
            [str(number), f"{epoch['seconds']:.1f}", f"{100 * epoch['test']:.2f} %", f"{100 * epoch['valid']:.2f} %"]
            for number, epoch in enumerate(done[0].found["epochs"], 1)
        ]
        head = [f"epoch of {name}, seed {done[0].found['seed']}", "seconds", "test", "valid"]
        tables.append(markdown.table(head, cells))
    _keep("marks", kept)
    goals = [f"seconds to {100 * mark:.1f} %, goal {goal:.0f}" for mark, goal in MARKS.items()]
    header = ["strategy", "seed", *goals, "whole training", "kept epoch on test", "precision"]
    return [markdown.table(header, rows), *tables]


def _training_row(name: str, one: Taken, *, best: bool) -> list[str]:
    epochs = one.found["epochs"]
    passed = [next((epoch["seconds"] for epoch in epochs if epoch["test"] >= mark), None) for mark in MARKS]
    # As the loop chooses it: the first of the best on valid, or the last.
    kept = max(epochs, key=lambda epoch: epoch["valid"]) if best else epochs[-1]
    return [
        name,
        str(one.found["seed"]),
        *("not passed" if seconds is None else f"{seconds:.0f}" for seconds in passed),
        f"{epochs[-1]['seconds']:.0f} s",
        f"{100 * kept['test']:.2f} %",
        one.found["precision"],
    ]


def _training(plan: Plan) -> list[Comparison]:
    sizes = plan.sizes
    given = {
        "digits": plan.file("data", "mnist", "mnist"),
        "pictures": sizes.digits,
        "tested": sizes.tested,
        "rounds": plan.rounds,
        "tried": sizes.tried,
    }
    # A pass back takes twice one forward, except that nothing needs the gradient by the pixels.
    first, others = 2 * 26 * 26 * 32 * 9, 2 * (24 * 24 * 64 * 32 * 9 + 9216 * 128 + 128 * 10)
    evaluated = (first + others) * sizes.tested / sizes.digits
    return [
        Comparison(
            f"s per epoch of {sizes.digits:,}, and {sizes.tested:,} to evaluate",
            sizes.digits,
            (
                Contender(OURS, "training_ours", "", given),
                Contender("Keras as published", "training_keras", "keras", given, goal=2.0),
                Contender("PyTorch", "training_torch", "torch", given, goal=1.5),
            ),
            flops=2 * first + 3 * others + evaluated,
            precisions=("float32", "bfloat16"),
        )
    ]


def _cifar10(plan: Plan) -> tuple[str, int]:
    """A file of the pictures to whiten, and the values of each."""
    images = ImageSet.load(Path(plan.file("data", "cifar10", "cifar10", "train.npz"))).images
    edge, side = (32 - plan.sizes.side) // 2, plan.sizes.side
    path = plan.scratch / "cifar10.npy"
    np.save(path, images[: plan.sizes.pictures, edge : edge + side, edge : edge + side])
    return str(path), side * side * 3


def _zca_fit(plan: Plan) -> list[Comparison]:
    path, values = _cifar10(plan)
    given = {"pictures": path, "part": "fit"}
    # Half of the products of all pairs, by symmetry; reduction to tridiagonal form, and the vectors turned back
    # (4/3 and 2 D³, Golub and Van Loan, section 8.3); half of the matrix, which is symmetric, too.
    flops = plan.sizes.pictures * values**2 + (4 / 3 + 2 + 1) * values**3
    return [
        Comparison(
            f"s per fit of {plan.sizes.pictures:,} pictures of {values:,} values",
            1,
            (
                Contender(OURS, "zca_ours", "", given),
                Contender("Keras's old generator", "zca_generator", "keras", given, goal=15),
                Contender("scikit-learn, float64", "zca_sklearn", "sklearn", {**given, "dtype": "float64"}),
                Contender("scikit-learn, float32", "zca_sklearn", "sklearn", {**given, "dtype": "float32"}),
            ),
            flops=flops,
        )
    ]


def _zca_apply(plan: Plan) -> list[Comparison]:
    path, values = _cifar10(plan)
    sizes = plan.sizes
    all_of_them = {"pictures": path, "part": "apply", "fitted": sizes.fitted, "applied": sizes.applied}
    singly = {**all_of_them, "part": "singly", "applied": sizes.applied_singly}
    return [
        Comparison(
            f"ms per picture of {values:,} values",
            1000,
            (
                Contender(OURS, "zca_ours", "", all_of_them),
                Contender("Keras's old generator, as its `flow` does", "zca_generator", "keras", singly, goal=15),
                Contender(
                    "Keras's old generator, all at once", "zca_generator", "keras", {**all_of_them, "part": "at once"}
                ),
                Contender("scikit-learn, float64", "zca_sklearn", "sklearn", {**all_of_them, "dtype": "float64"}),
                Contender("scikit-learn, float32", "zca_sklearn", "sklearn", {**all_of_them, "dtype": "float32"}),
            ),
            flops=2 * values**2,
            # uint8 in, float32 out.
            bytes=5 * values,
        )
    ]


def _augmentation(plan: Plan) -> list[Comparison]:
    path = plan.file("data", "cifar10", "cifar10", "train.npz")
    comparisons = []
    for name, options in OPTIONS.items():
        given = {"pictures": path, "batch": 64, "options": options}
        ours, theirs = {**given, "batches": 10 * plan.sizes.batches}, {**given, "batches": plan.sizes.batches}
        comparisons.append(
            Comparison(
                f"µs per picture: {name}",
                1e6,
                (
                    Contender(OURS, "augmentation_ours", "", ours),
                    Contender("Keras's old generator", "augmentation_generator", "keras", theirs, goal=10),
                ),
                # uint8 in and out.
                bytes=2 * 32 * 32 * 3,
            )
        )
    return comparisons


def _strips(plan: Plan) -> list[Comparison]:
    path = plan.file("data", "mnist", "mnist", "train.npz")
    comparisons = []
    for name, hard in (("side by side", False), ("jitter and clutter", True)):
        ours, theirs = (
            {"digits": path, "strips": strips, "hard": hard} for strips in (plan.sizes.strips, plan.sizes.looped)
        )
        comparisons.append(
            Comparison(
                f"µs per strip: {name}",
                1e6,
                (
                    Contender(OURS, "strips_ours", "", ours),
                    Contender("a plain NumPy loop", "strips_loop", "", theirs),
                ),
                bytes=2 * SLOTS * DIGIT * DIGIT,
            )
        )
    return comparisons


def _reading(plan: Plan) -> list[Comparison]:
    manifests, settings = load_manifests(Path(plan.file("artifacts"))), params.load(Path("params.yaml"))
    comparisons = []
    for task in ("mnist", "strips"):
        strategy, suite = manifests[task].strategy, settings.suites_of(task)[0]
        split = {"split": plan.file("data", task, suite, "test.npz"), "pictures": plan.sizes.read}
        ours = {**split, "model": plan.file("exports", task, strategy, "model.onnx")}
        theirs = {**split, "model": plan.file("models", task, strategy, "model.keras")}
        comparisons.append(
            Comparison(
                f"µs per picture: `{strategy}` reads {suite}",
                1e6,
                (
                    Contender(OURS, "reading_ours", "", ours),
                    Contender("Keras, batches of 256", "reading_keras", "keras", {**theirs, "batch": 256}),
                    Contender("Keras, its batches of 32", "reading_keras", "keras", {**theirs, "batch": 32}),
                ),
            )
        )
    return comparisons


COMPARISONS: dict[str, Callable[[Plan], list[Comparison]]] = {
    "training": _training,
    "zca-fit": _zca_fit,
    "zca-apply": _zca_apply,
    "augmentation": _augmentation,
    "strips": _strips,
    "reading": _reading,
}


if __name__ == "__main__":
    command.run(main)
