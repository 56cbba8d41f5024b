"""The sections of params.yaml, each with the types and bounds of its keys. `consistency` compares them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from pipeline.config.types import (
    MODE_NAMES,
    AugmentationSection,
    Count,
    Fraction,
    Mode,
    Name,
    NonNegative,
    Positive,
    Recipe,
    Section,
    Seed,
    Share,
    Switch,
    Whole,
)

Task = Literal["strips", "scenes", "lines", "mnist", "cifar10"]
TASKS: tuple[Task, ...] = get_args(Task)
PUBLIC = "public"
"""The origin of a source that is fetched from its public addresses; any other is a folder."""
PUBLIC_SIZES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}
"""Pictures in the official train and test files of the public sources of single pictures."""
LINE_SIZES = {"train": 488, "valid": 80, "gate": 80, "test": 160}
"""Pictures of each split of the public source of labelled lines; other sources keep the shares."""
PUBLIC_SOURCES = (*PUBLIC_SIZES, "cheques")
"""The sources that can be fetched; `cheques` and every source under another name are of labelled lines."""
FEATURES_FOLDER = "data/features"
"""Where the stage `features` writes, one folder for each strategy."""
REVIEWS_FOLDER = "reviews"
"""Where lists of pictures with wrong labels are, which the stage `compose` depends on."""
PROPOSALS_FOLDER = "data/proposals"
"""Where the stage `propose` writes, one folder for each suite."""


class Fetch(Section):
    """Where pictures come from when their source cannot be reached."""

    fallback: Literal["embedded", "none"]


class Source(Section):
    """Where the pictures of one source come from: `public`, or a folder."""

    origin: str = Field(alias="from", min_length=1)


class Compose(Section):
    """What fixes splits and suites."""

    seed: Seed


class Suite(Section):
    """What every suite has: the source of its pictures."""

    source: str = Field(alias="from")


class SplitSuite(Suite):
    """A source's own pictures in splits; the numbers are those of the public source, other origins keep the shares.

    Attributes:
        leave_out: a list below `reviews/` of pictures that train and valid leave out; none by default.
        corrections: copies in train of each picture that `make label` wrote for the task, itself and others that are
            changed a little; one in four of these pictures is for the gate. 0, the default, leaves them out.
    """

    task: Literal["mnist", "cifar10"]
    train: Count
    valid: Count
    gate: Count
    test: Count
    leave_out: str = ""
    corrections: Annotated[int, Field(strict=True, ge=0, le=1000)] = 0


class StripSuite(Suite):
    """A data set of strips composed from single digits, each split from its own digits only."""

    task: Literal["strips"]
    rounds: Count
    valid_rounds: Count = 1
    digits: Annotated[list[Annotated[int, Field(strict=True, ge=0, le=5)]], Field(min_length=2, max_length=2)]
    jitter: Switch
    clutter: Switch
    vary: Switch = False

    @model_validator(mode="after")
    def _consistent(self) -> "StripSuite":
        _ordered(self.digits)
        if self.vary and not self.jitter:
            raise ValueError("jitter is true where vary, which gives every strip a strength of its own, is true")
        return self


class SceneSuite(Suite):
    """A data set of scenes composed from single digits, each split from its own digits only."""

    task: Literal["scenes"]
    rounds: Count
    valid_rounds: Count = 1
    digits: Annotated[list[Annotated[int, Field(strict=True, ge=1, le=8)]], Field(min_length=2, max_length=2)]
    clutter: Switch

    @model_validator(mode="after")
    def _consistent(self) -> "SceneSuite":
        _ordered(self.digits)
        return self


def _ordered(digits: list[int]) -> None:
    if digits[0] > digits[1]:
        raise ValueError(f"digits is [fewest, most], expected fewest <= most, found {digits}")


class LineSuite(Suite):
    """A data set of lines composed from single digits, each split from its own digits only."""

    task: Literal["lines"]
    train: Count
    valid: Count
    gate: Count
    test: Count


class LabelledSuite(Suite):
    """A data set of labelled pictures of lines, divided by the digests of their names.

    Attributes:
        labels: as published, or as reviewed by eye.
        recomposed: lines that are put together anew from the digits of the training pictures, and follow these.
        leave_out: a list below `reviews/` of pictures that train and valid leave out; none by default.
        corrections: whether lines that `make label` wrote are trained on; one in four of them is for the gate.
    """

    task: Literal["lines"]
    labels: Literal["published", "reviewed"]
    recomposed: Whole
    leave_out: str = ""
    corrections: Switch = False


class LabelledSceneSuite(Suite):
    """A data set of labelled pictures with boxes as scenes, divided by the digests of their names."""

    task: Literal["scenes"]


def _kind_of_lines(value: Any) -> str:
    """Whether lines are labelled pictures, as those of a raw source are, or composed."""
    return "labelled" if _source(value).startswith("raw/") else "composed"


def _kind_of_scenes(value: Any) -> str:
    """As of lines. A raw source of single pictures was meant to be composed of, and its error says how."""
    singles = [f"raw/{name}" for name in PUBLIC_SIZES]
    return "composed" if _source(value) in singles else _kind_of_lines(value)


def _source(value: Any) -> str:
    return str(value.get("from") if isinstance(value, Mapping) else getattr(value, "source", None))


AnyLineSuite = Annotated[
    Annotated[LineSuite, Tag("composed")] | Annotated[LabelledSuite, Tag("labelled")], Discriminator(_kind_of_lines)
]
AnySceneSuite = Annotated[
    Annotated[SceneSuite, Tag("composed")] | Annotated[LabelledSceneSuite, Tag("labelled")],
    Discriminator(_kind_of_scenes),
]
AnySuite = Annotated[SplitSuite | StripSuite | AnySceneSuite | AnyLineSuite, Discriminator("task")]


class Validation(Section):
    """Bounds of the expectations that a data set must meet."""

    class_share: Annotated[list[NonNegative], Field(min_length=2, max_length=2)]
    constant_share: Fraction

    @model_validator(mode="after")
    def _consistent(self) -> "Validation":
        if not self.class_share[0] <= 1 <= self.class_share[1]:
            raise ValueError(f"class_share is [least, most], least <= 1 <= most, found {self.class_share}")
        return self


class Normalization(Section):
    """How normalizations are fitted, and those that a project adds: a mapping of switches for each name."""

    zca_epsilon: Positive
    zca_center: Literal["picture", "channel"]
    custom: dict[Name, Mode] = Field(default={})

    @model_validator(mode="after")
    def _consistent(self) -> "Normalization":
        for name, mode in self.custom.items():
            if name in MODE_NAMES:
                raise ValueError(f"custom: another name than {name!r}, which exists already")
            if isinstance(mode, str):
                raise ValueError(f"custom.{name}: a mapping of switches, found {mode!r}")
        return self

    @property
    def modes(self) -> dict[str, Any]:
        """Every normalization by name: a built-in name stands for itself."""
        return {**{name: name for name in MODE_NAMES}, **self.custom}


class Calibration(Section):
    """What the confidence of every model is fitted on.

    Attributes:
        pictures: of valid at most, in equal shares of a task's suites.
        per_shift: pictures of every kind of synthetic shift.
        seed: of the choice of pictures, the shifts and the trees.
    """

    pictures: Count
    per_shift: Annotated[int, Field(strict=True, ge=99, le=10_000)]
    seed: Seed


class RobustnessSection(Section):
    """What is corrupted, and by which draws.

    Attributes:
        pictures: of the test split of each reported suite, drawn without repetition.
        seed: of the pictures and of every corruption.
    """

    pictures: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    seed: Seed


class Packaging(Section):
    """A task whose best strategy is packaged; it has no settings yet."""


class Strategy(Section):
    """An entry under `strategies`. The settings of the strategy follow these keys.

    Attributes:
        task: whose suites it is scored on.
        train_on: its data set, as task/suite.
        normalization: the one that becomes part of its model.
        code: the shared file or folder that it builds on, a dependency of its training.
        features: what its training needs beside its data set: a folder below `data/features`, `data/proposals`, or a
            second data set of lines; the data set itself where there is nothing.
    """

    task: Task
    train_on: str
    normalization: str
    code: str
    features: str

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the strategy by name, defaults included, as params.yaml has them: flat."""
        own = set(Strategy.model_fields)
        return {name: getattr(self, name) for name in type(self).model_fields if name not in own}

    @property
    def arguments(self) -> dict[str, Any]:
        """The settings as `train` takes them: those of the recipe in one `Recipe`."""
        settings = self.settings
        recipe = Recipe(**{name: settings.pop(name) for name in Recipe.model_fields})
        return {"recipe": recipe, **settings}

    @property
    def takes_features(self) -> bool:
        """Whether its training reads what the stage `features` computed, or a second data set."""
        return self.features not in (PROPOSALS_FOLDER, f"data/{self.train_on}")

    @property
    def takes_proposals(self) -> bool:
        """Whether its model takes the regions that the stage `propose` computed."""
        return self.features == PROPOSALS_FOLDER


class Frozen(Section):
    """The data set that passes once through the frozen part of a strategy's network."""

    source: str = Field(alias="from")
    network: Literal["vgg16"]


class StageGate(Section):
    """How much a version may lose against the champion of a stage.

    Attributes:
        allowed_loss, suite_loss, slice_loss: of sequence accuracy on the gate split.
        shift_loss: of mean accuracy on corrupted pictures; the mean share accepted and wrong may rise by as much.
    """

    allowed_loss: Fraction
    suite_loss: Fraction
    slice_loss: Fraction
    shift_loss: Fraction


class TaskGate(Section):
    """Bounds that every version of a task must meet, whichever version is champion.

    Attributes:
        allowed_loss: against the champion, at every stage that allows more. Two points are many times the error of a
            task that is solved at 99.5 %.
    """

    floor: Fraction
    ece: Fraction
    accepted_wrong: Share
    milliseconds: Positive
    megabytes: Positive
    allowed_loss: Fraction | None = None


class Gates(Section):
    """The registry's policy: what a version must show before it reaches `staging` or `prod`."""

    confidence: Annotated[float, Field(strict=True, gt=0.5, lt=1, allow_inf_nan=False)]
    resamples: Annotated[int, Field(strict=True, ge=1000, le=10_000_000)]
    seed: Seed
    slice_pictures: Count
    staging: StageGate
    prod: StageGate
    tasks: dict[Task, TaskGate]


class Analysis(Section):
    """How the readings of test are compared: between strategies, and between slices of a suite.

    Attributes:
        confidence: of intervals, and one minus the level of corrected tests.
        resamples, seed: of the paired bootstrap.
        slice_pictures: smaller slices are shown and not judged.
    """

    confidence: Annotated[float, Field(strict=True, gt=0.5, lt=1, allow_inf_nan=False)]
    resamples: Annotated[int, Field(strict=True, ge=1000, le=10_000_000)]
    seed: Seed
    slice_pictures: Count


class Suspects(Section):
    """A source whose labels are compared with predictions out of fold.

    Attributes:
        source: what `fetch` wrote, as raw/NAME.
        folds: parts of the pictures; each is predicted by a model of the others.
    """

    source: str = Field(alias="from")
    folds: Annotated[int, Field(strict=True, ge=2, le=20)] = 5


class Previews(Section):
    """Which data sets the stage `preview` augments, how, and the names of the pictures that it saves."""

    suites: Annotated[dict[Name, Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    pictures: Annotated[int, Field(strict=True, ge=1, le=1000)]
    save_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$")]
    save_format: Literal["png", "jpeg"]
    options: AugmentationSection


class Quick(Section):
    """What `make quick` leaves out and changes.

    Attributes:
        strategies: those that it trains; tasks, suites and sources that none of them needs are left out.
        changes: values by the dotted name of their key, as `make exp SET=…` takes them.
    """

    strategies: list[Name] = Field(default=[])
    changes: dict[str, Any] = Field(alias="set", default={})


class Resources(Section):
    """What a stage asks of a node of a Ray cluster.

    Attributes:
        cores: that Ray counts for it; a part of one is possible.
        memory: GiB that Ray counts for it.
        gpus: that it sees; a part of one is possible.
    """

    cores: Positive = 1.0
    memory: NonNegative = 2.0
    gpus: NonNegative = 0.0


class Cluster(Section):
    """How stages run on a Ray cluster.

    Attributes:
        resources: by stage (`train`, or `train@slice` alone); `default` for all others.
        retries: how often a stage is run again, elsewhere, whose worker or node died.
    """

    resources: dict[str, Resources] = Field(default={})
    retries: Whole = 3

    def of(self, stage: str) -> Resources:
        """What a stage of dvc.yaml asks for: its own entry, or that of its kind, or `default`."""
        for name in (stage, stage.partition("@")[0], "default"):
            if name in self.resources:
                return self.resources[name]
        return Resources()
