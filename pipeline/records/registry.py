"""What the registry writes: the documents in its tags, and what its commands print with `--json`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, JsonValue, computed_field

from pipeline.records.base import Record
from pipeline.records.evaluation import Coverage, SplitScores
from pipeline.records.robustness import Shift
from pipeline.records.rollout import Outcome, Rollout
from pipeline.records.training import Task

Stage = Literal["dev", "staging", "prod"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""In the order in which a version passes them."""
EventKind = Literal["version", "promotion", "rollback", "refusal", "rollout", "withdrawal", "removal", "deprecation"]
SCHEMA = 3
"""Of the documents in tags. A document of another one is a problem of its event."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
"""Of a strategy or a suite: it becomes part of a path."""
Version = Annotated[str, Field(pattern=r"^v\d+\.\d+\.\d+$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Document(Record):
    """What a tag holds as its message. Keys that a later version of the project adds are ignored."""

    model_config = ConfigDict(extra="ignore")


class Previous(Document):
    """The event that another one follows: its `tag`, and the `id` of that tag's object, which is git's hash of it."""

    tag: str
    id: Digest


class DsseSignature(Document):
    """One signature: the key's id, and the signature in base64."""

    keyid: str
    sig: str


class Envelope(Document):
    """A signed statement, as DSSE has it (github.com/secure-systems-lab/dsse).

    Attributes:
        payload: an in-toto statement, JSON in base64.
        payload_type: `payloadType` in the tag.
        signatures: of the payload.
    """

    payload: str
    payload_type: str = Field(alias="payloadType")
    signatures: tuple[DsseSignature, ...] = Field(min_length=1)


class ChainedDocument(Document):
    """What every document in a tag has.

    Attributes:
        schema_version: of this document, `schema` in the tag.
        previous: the artifact's event before; None for its first one.
        nonce: random, so that no two events are one object of git, even where two processes record the same at once;
            None in documents from before it was added.
        signature: a signed statement on this document; None where no key was configured.
    """

    schema_version: Literal[3] = Field(default=3, alias="schema")
    previous: Previous | None
    nonce: Digest | None = None
    signature: Envelope | None = None


class Tensor(Document):
    """An input or an output of a model: `shape` has a name where a side may vary."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Interface(Document):
    """What a caller of a model relies on.

    Attributes:
        inputs, outputs: of the ONNX graph.
        slots: positions of a reading.
        class_names: the name of each class.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    slots: int
    class_names: tuple[str, ...]


class Measures(Document):
    """The scores that a version records, on one split of one suite; `SplitScores` says what each one means."""

    n: int
    sequence_accuracy: float
    ci_low: float
    ci_high: float
    digit_accuracy: float | None
    ece: float
    coverage_995: float | None
    accuracy_at_coverage: float | None

    @classmethod
    def of(cls, scores: SplitScores) -> Self:
        """Those of all scores of a split that a version records."""
        return cls.model_validate(scores.model_dump(include=set(cls.model_fields)))


class SuiteMeasures(Document):
    """The scores that a version records, on the two splits of a suite that nothing trains on or chooses by."""

    gate: Measures
    test: Measures


class Evidence(ChainedDocument):
    """The message of `NAME@VERSION`: everything that is needed to judge, check and reproduce a version.

    Attributes:
        artifact, version, task, strategy: what was registered.
        sha256, md5, bytes: of the model file; SHA-256 is its identity, MD5 is its name in DVC's cache.
        manifest_sha256: of the manifest at that commit.
        revision: the commit.
        dvc_lock_sha256, params_sha256: of dvc.lock and params.yaml at that commit.
        params: the parameters that produced the model.
        origin, pretrained, parameters, trained_on: as the manifest has them.
        metrics: by suite and split.
        coverage: the threshold to serve with, and what it accepts.
        shift: figures on corrupted pictures; None in a version from before they were recorded.
        files: MD5 of every file that the metrics depend on, by path.
        validation: by data set, whether its validation passed.
        parity: by suite, whether Keras and ONNX Runtime agreed.
        interface: inputs, outputs and classes.
        environment: versions of Python and packages, and the SHA-256 of the lock.
        remote: the remote storage that the files were pushed to; None where there was none.
    """

    kind: Literal["version"] = "version"
    artifact: str
    version: Version
    task: Task
    strategy: Name
    sha256: Sha256
    md5: Digest
    bytes: int
    manifest_sha256: Sha256
    revision: Digest
    dvc_lock_sha256: Sha256
    params_sha256: Sha256
    params: Mapping[str, JsonValue]
    origin: str
    pretrained: str
    parameters: int
    trained_on: str = Field(pattern=r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$")
    metrics: Mapping[Name, SuiteMeasures] = Field(min_length=1)
    coverage: Coverage
    shift: Shift | None = None
    files: Mapping[str, Digest]
    validation: Mapping[str, bool]
    parity: Mapping[str, bool]
    interface: Interface
    environment: Mapping[str, str]
    remote: str | None = None

    @property
    def gate_accuracy(self) -> float:
        """The mean sequence accuracy over the suites, on the gate split."""
        shares = [measures.gate.sequence_accuracy for measures in self.metrics.values()]
        return sum(shares) / len(shares)


class Criterion(Document):
    """One criterion of a gate.

    Attributes:
        name: for instance `suite clutter` or `size`.
        found, expected: what the version has and what the policy asks for, in words.
        passed: whether the version meets it.
        figures: the numbers behind it.
    """

    name: str
    found: str
    expected: str
    passed: bool
    figures: Mapping[str, float | int] = {}


class Decision(Document):
    """Whether a version may enter a stage, and why.

    Attributes:
        artifact, version, stage: the version and the stage.
        champion: the version that it was compared with; None where the stage is empty.
        criteria: all of them, failed or not.
        notes: what does not decide: the power of the gate, the slices that are too small to judge.
    """

    artifact: str
    version: Version
    stage: Stage
    champion: str | None
    criteria: tuple[Criterion, ...]
    notes: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether the version meets every criterion, and there is one."""
        return bool(self.criteria) and all(criterion.passed for criterion in self.criteria)

    @property
    def failed(self) -> tuple[Criterion, ...]:
        """The criteria that the version does not meet."""
        return tuple(criterion for criterion in self.criteria if not criterion.passed)

    def failure_message(self) -> str:
        """The failed criteria in one line."""
        failed = "; ".join(
            f"{criterion.name}: {criterion.found}, expected {criterion.expected}" for criterion in self.failed
        )
        against = f" in place of {self.champion}" if self.champion else ""
        return f"{self.artifact}@{self.version} may not enter {self.stage}{against}: {failed}"


class StageChange(ChainedDocument):
    """What every document about a stage has.

    Attributes:
        artifact, version, stage: the version and the stage.
        sha256: of the version's model file.
        evidence_sha256: of the version's evidence, without its signature, as canonical JSON.
    """

    artifact: str
    version: Version
    stage: Stage
    sha256: Sha256
    evidence_sha256: Sha256


class Promotion(StageChange):
    """The message of `NAME#STAGE#N`.

    Attributes:
        replaces: the champion before; None where the stage was empty.
        decision: why it was allowed; None for `dev`, which has no gate.
    """

    kind: Literal["promotion"] = "promotion"
    replaces: str | None
    decision: Decision | None


class Undone(Document):
    """A promotion that was taken back: its `tag`, its `time` in seconds since 1970, and `who` made it."""

    tag: str
    time: int
    who: str


class Rollback(StageChange):
    """The message of the `NAME#STAGE#N` that restores a former champion.

    Attributes:
        replaces: the champion that was in the stage.
        undone: the promotion by which that champion had entered it.
    """

    kind: Literal["rollback"] = "rollback"
    replaces: str
    undone: Undone


class Refusal(StageChange):
    """The message of `refused/NAME/STAGE/N`: the gate's `decision` against a version."""

    kind: Literal["refusal"] = "refusal"
    decision: Decision


class RolloutRecord(StageChange):
    """The message of `rollouts/NAME/STAGE/N`: how a rollout of a version ended in the service of a stage.

    Attributes:
        outcome: what the service has recorded: the result, and the evidence for it.
    """

    kind: Literal["rollout"] = "rollout"
    outcome: Outcome


AnyDocument = Evidence | Promotion | Rollback | Refusal | RolloutRecord


class EventSummary(Record):
    """One event of the registry, as `--json` prints it.

    Attributes:
        kind, artifact, version, stage, who, revision, tag: as `pipeline.events.history.Event` has them.
        time: UTC, ISO 8601.
    """

    kind: EventKind
    artifact: str
    version: str
    stage: str | None
    time: str
    who: str
    revision: str
    tag: str


class EventReport(EventSummary):
    """An event with its document (`registry history`, `register`, `promote`, `rollback`).

    Attributes:
        evidence: the document in its tag; None where the tag has none that can be read.
        problem: why there is none; None where none is expected.
        unchecked: why this promotion or rollback does not count as one that a gate allowed; None for one that does, and
            for every other event.
    """

    evidence: AnyDocument | None
    problem: str | None
    unchecked: str | None


class VersionReport(EventReport):
    """A version and the stages that point at it (`registry show`); `unchecked` names those without a decision."""

    stages: tuple[str, ...]


class ListedVersion(EventSummary):
    """A line of `registry list`.

    Attributes:
        stages: those that point at it.
        unchecked: those of them that it entered without a decision that holds, and why.
        withdrawn: whether GTO withdrew it.
        strategy, sha256, origin, gate_accuracy: of its evidence; None without one.
    """

    stages: tuple[str, ...]
    unchecked: Mapping[str, str]
    withdrawn: bool
    strategy: str | None
    sha256: str | None
    origin: str | None
    gate_accuracy: float | None


class StagesReport(Record):
    """What was in every stage at a moment (`registry at`).

    Attributes:
        at: the moment, UTC.
        stages: by artifact and stage, the version; None where the stage was empty.
        events: what changed a stage on the day that was asked for.
    """

    at: str
    stages: Mapping[str, Mapping[str, str | None]]
    events: tuple[EventReport, ...]


class VerificationResult(Record):
    """One thing that `registry verify` compared.

    Attributes:
        subject: a file, or what was computed.
        holds: whether it is what the version's evidence says.
        detail: what was found, and where it does not hold what was expected.
    """

    subject: str
    holds: bool
    detail: str


class MetricDifference(Record):
    """The sequence accuracy of two versions on one split, and second minus first; None where one does not read it."""

    first: float | None
    second: float | None
    difference: float | None


class VersionDifference(Record):
    """How the evidence of two versions differs (`registry diff`).

    Attributes:
        first, second: the versions.
        metrics: by suite and split.
        other: every other value that differs, by its path in the evidence, as a pair.
    """

    first: str
    second: str
    metrics: Mapping[str, MetricDifference]
    other: Mapping[str, tuple[JsonValue, JsonValue]]


class AcceptedRef(Record):
    """What `registry accept` did about one tag or object.

    Attributes:
        name: the tag, or the object's id.
        before, after: the id of the tag's object here; None where there is none.
        detail: what was done.
    """

    name: str
    before: str | None
    after: str | None
    detail: str


class SeenState(Record):
    """What a clone has seen of the registry, in a file of its git folder.

    Attributes:
        remotes: by address of a shared repository, its tags and heads by whole name, each with its object's id.
        accepted: ids of the objects whose absence `registry accept` accepted.
    """

    remotes: Mapping[str, Mapping[str, Digest]] = {}
    accepted: tuple[Digest, ...] = ()


class DeploymentReport(Record):
    """What `registry deploy` wrote.

    Attributes:
        out: the folder.
        versions: by artifact.
        unchecked: by artifact that was deployed without a decision that holds (`--unchecked`), why there is none.
        deprecated: the artifacts that were left out, and the tag that deprecated each.
        bento: the tag of the bento; None where none was asked for.
    """

    out: str
    versions: Mapping[str, str]
    unchecked: Mapping[str, str]
    deprecated: Mapping[str, str]
    bento: str | None


class RolloutBegun(Record):
    """What `registry rollout VERSION` prints.

    Attributes:
        folder: of the service.
        rollout: what was begun.
        outcome: how it ended; None while it goes on.
        recorded: the tags that were made for it.
    """

    folder: str
    rollout: Rollout
    outcome: Outcome | None
    recorded: tuple[str, ...]


Printed = Record | Sequence[Record] | Mapping[str, Sequence[Record]]
"""What a command prints with `--json`."""
