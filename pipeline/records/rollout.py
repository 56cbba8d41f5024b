"""What a running service and those who change its models agree on: the files of a rollout folder."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from pipeline.records.base import Record

Mode = Literal["swap", "shadow", "canary"]
Result = Literal["swapped", "passed", "rolled_back", "undecided", "ended", "aborted", "failed"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Identifier = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Placed(Record):
    """A model in a rollout folder, below `models/FOLDER`.

    Attributes:
        task: whose model it is.
        artifact, version: of the registry; None for a model that is in none.
        sha256: of the model file.
        folder: the SHA-256 of its manifest.json, which is the name of its folder.
    """

    task: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    artifact: str | None
    version: str | None
    sha256: Sha256
    folder: Sha256


class Replacement(Record):
    """A model that is served instead of a packaged one.

    Attributes:
        model: the model.
        base: a hash of the manifest of the packaged model. A service that finds another packaged model serves that one:
            it was deployed after the rollout.
    """

    model: Placed
    base: Sha256


class Bounds(Record):
    """When a canary ends.

    Attributes:
        error_rate: the probability, at most, that a candidate within every tolerance is taken back, whenever the test
            stops; and that one beyond a tolerance is passed.
        disagreement: the tolerated share of pictures that the two models read differently.
        accepted_loss: the tolerated loss in the share of pictures that are accepted.
        slowdown: a picture is slow where the candidate takes more than so many times the time of the other model; half
            of the pictures may be slow.
        wrong: the tolerated share of wrong answers among those of the candidate that people judged.
        comparisons: pictures that are compared at most.
    """

    error_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    disagreement: Annotated[float, Field(gt=0, lt=1)] = 0.05
    accepted_loss: Annotated[float, Field(gt=0, lt=1)] = 0.02
    slowdown: Annotated[float, Field(ge=1)] = 1.5
    wrong: Annotated[float, Field(gt=0, lt=1)] = 0.05
    comparisons: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000


class Rollout(Record):
    """A rollout in progress.

    Attributes:
        id: random.
        mode: `swap` replaces the model; `shadow` only compares; `canary` answers a share of the requests.
        share: of the requests that the candidate answers (canary) or that are compared (shadow).
        stage: of the registry, that the service serves.
        candidate: the new model.
        takes_over: whether a canary that passes replaces the model; else it ends, and a person decides.
        running: False while the workers load the candidate, True once all of them have it.
        began: seconds since 1970.
        who: began it.
        bounds: of the comparison.
    """

    id: Identifier
    mode: Mode
    share: Share
    stage: str | None
    candidate: Placed
    takes_over: bool
    running: bool
    began: float
    who: str
    bounds: Bounds


class RolloutState(Record):
    """`state.json`: what the workers of a service serve, beside what is packaged.

    Attributes:
        revision: counts the changes.
        models: by task, what is served instead of the packaged model.
        rollout: what is in progress; one at a time.
    """

    revision: int = 0
    models: Mapping[str, Replacement] = {}
    rollout: Rollout | None = None


class WorkerState(Record):
    """`workers/ID.json`: what one worker serves.

    Attributes:
        pid: of the process.
        revision: of the state that it has put into effect.
        models: by task, the SHA-256 of the model that answers.
        loading: the rollout whose candidate it loads or has; None without one.
        loaded: the same once the candidate is loaded and proved.
        problem: why it cannot load the candidate; None where it can.
    """

    pid: int
    revision: int
    models: Mapping[str, Sha256]
    loading: Identifier | None = None
    loaded: Identifier | None
    problem: str | None


class Observation(Record):
    """One line of `trials/ID.jsonl`: a picture that both models read.

    Attributes:
        picture: the SHA-256 of the pixels that the models read.
        served, candidate: what each reads, lines joined by a newline; None where the model failed.
        accepted: whether each reading is accepted.
        milliseconds: that each model took, alone and in one thread.
        wrong: whether a person judged an answer of the candidate as wrong; such a line names only the picture besides.
    """

    picture: str = ""
    served: str | None = None
    candidate: str | None = None
    accepted: tuple[bool, bool] = (False, False)
    milliseconds: tuple[float, float] | None = None
    wrong: bool | None = None


class Tally(Record):
    """One criterion of a comparison.

    Attributes:
        name: `disagreement`, `accepted_loss`, `slow` or `wrong`.
        n: observations.
        mean: of them.
        tolerance: that the mean may have.
        against: the evidence, an e-value, that it has more; a canary is taken back where it reaches the number of
            criteria divided by the error rate.
        within: the evidence that it has less; a canary passes where that of every criterion reaches 1 divided by the
            error rate.
    """

    name: str
    n: int
    mean: float
    tolerance: float
    against: float
    within: float


class Outcome(Record):
    """`outcomes/ID.json`: how a rollout ended.

    Attributes:
        rollout: what it was.
        result: what became of the candidate.
        reason: in words.
        replaced: the SHA-256 of the model that answered before.
        ended: seconds since 1970.
        compared: pictures that both models read.
        tallies: of the comparison; none of a swap.
    """

    rollout: Rollout
    result: Result
    reason: str
    replaced: Sha256 | None
    ended: float
    compared: int
    tallies: tuple[Tally, ...]


class RolloutReport(Record):
    """What `registry rollout --status` prints, and `GET /rollout` answers.

    Attributes:
        state: of the folder.
        workers: those that are alive.
        compared, tallies: of the rollout in progress.
        outcomes: of former rollouts, the latest first.
    """

    state: RolloutState
    workers: tuple[WorkerState, ...]
    compared: int
    tallies: tuple[Tally, ...]
    outcomes: tuple[Outcome, ...]
