"""The policy at work: what a version must show to get into a stage, check by check, with the figures that decided."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.config.sections import Gates
from pipeline.core.images import ImageSet
from pipeline.evaluation import scoring
from pipeline.registry.comparison import Difference, paired, share
from pipeline.registry.outcomes import Outcomes


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what, as in `suite clutter` or `size`.
        found, expected: what was found, and what the policy asks for, in words.
        passed: whether the first is as the second.
        figures: the numbers behind it.
    """

    name: str
    found: str
    expected: str
    passed: bool
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """Whether a version may go to a stage, and why.

    Attributes:
        artifact, version, stage: what wanted to go where.
        champion: the version it was held against, None where the stage is empty.
        checks: all of them, those it failed too.
        notes: what does not decide and should be known: the gate's power, slices too small to judge.
    """

    artifact: str
    version: str
    stage: str
    champion: str | None
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def complaint(self) -> str:
        """The checks it failed, in one line."""
        failed = "; ".join(
            f"{check.name}: {check.found}, expected {check.expected}" for check in self.checks if not check.passed
        )
        against = f" in place of {self.champion}" if self.champion else ""
        return f"{self.artifact}@{self.version} may not go to {self.stage}{against}: {failed}"

    def as_dict(self) -> dict[str, Any]:
        """For a record."""
        return {**asdict(self), "passed": self.passed}


def requirements(evidence: Mapping[str, Any]) -> list[Check]:
    """What every version must be, whatever it scores: real data, real weights, valid data, one model and not two."""
    origin, pretrained = evidence["origin"], evidence["pretrained"]
    invalid = [dataset for dataset, valid in evidence["validation"].items() if not valid]
    differing = [suite for suite, holds in evidence["parity"].items() if not holds]
    return [
        Check("origin", f"trained on {origin}", "real pictures, not the embedded stand-in", origin != "embedded", {}),
        Check(
            "pretrained",
            f"weights {pretrained.replace('_', ' ')}",
            "real weights where it has any",
            pretrained != "missing",
            {},
        ),
        Check(
            "validation",
            f"failed for {', '.join(invalid)}" if invalid else f"passed by {', '.join(evidence['validation'])}",
            "every data set valid",
            not invalid and bool(evidence["validation"]),
            {},
        ),
        Check(
            "parity",
            f"Keras and ONNX differ on {', '.join(differing)}" if differing else "Keras and ONNX agree",
            "that they agree on every suite",
            not differing and bool(evidence["parity"]),
            {},
        ),
    ]


def budgets(policy: Gates, task: str, evidence: Mapping[str, Any], milliseconds: float) -> list[Check]:
    """How large and how slow it may be."""
    limit, megabytes = policy.tasks[task], evidence["bytes"] / 1e6
    return [
        Check(
            "size",
            f"{megabytes:.2f} MB",
            f"at most {limit.megabytes:g} MB",
            megabytes <= limit.megabytes,
            {"bytes": evidence["bytes"]},
        ),
        Check(
            "latency",
            f"{milliseconds:.2f} ms a picture",
            f"at most {limit.milliseconds:g} ms",
            milliseconds <= limit.milliseconds,
            {"milliseconds": milliseconds},
        ),
    ]


def floors(policy: Gates, task: str, outcomes: Outcomes) -> list[Check]:
    """What must be reached whoever is champion, so that many small allowed losses cannot add up to a large one."""
    limit = policy.tasks[task]
    mean, low, high = share(outcomes.right, confidence=policy.confidence)
    errors = {suite: scoring.ece(outcomes.confidence[suite], right) for suite, right in outcomes.right.items()}
    worst = max(errors, key=errors.__getitem__)
    return [
        Check(
            "sequence_accuracy",
            f"{mean:.4f} on gate ({100 * policy.confidence:g} % interval {low:.4f} to {high:.4f})",
            f"an interval above {limit.floor:g}",
            low > limit.floor,
            {"share": round(mean, 6), "low": round(low, 6), "high": round(high, 6)},
        ),
        Check(
            "ece",
            f"{errors[worst]:.4f} on {worst}",
            f"at most {limit.ece:g}",
            errors[worst] <= limit.ece,
            {suite: round(error, 6) for suite, error in errors.items()},
        ),
    ]


def signature(evidence: Mapping[str, Any], champion: Mapping[str, Any]) -> Check:
    """Whether whoever calls the champion can call the challenger: the same pictures in, the same classes out."""
    ours, theirs = (_called(each["signature"]) for each in (evidence, champion))
    differing = [key for key in theirs if ours.get(key) != theirs[key]]
    found = "; ".join(f"{key} {ours.get(key)}" for key in differing) or "the champion's inputs and classes"
    expected = "; ".join(f"{key} {theirs[key]}" for key in differing) or "the same as the champion's"
    return Check("signature", found, expected, not differing, {})


def contest(
    policy: Gates, stage: str, challenger: Outcomes, champion: Mapping[str, np.ndarray], lost_suites: list[str]
) -> tuple[list[Check], list[str]]:
    """Challenger against champion on the same gate pictures: on the whole, suite by suite, slice by slice.

    Args:
        champion: by suite, bool (n,): which of the challenger's pictures the champion read whole.
        lost_suites: what the champion reads and the challenger cannot.
    """
    limit = getattr(policy, stage)
    how = {"confidence": policy.confidence, "resamples": policy.resamples, "seed": policy.seed}
    both = {suite: challenger.right[suite] for suite in champion}
    whole = paired(both, champion, **how)
    checks = [
        _not_worse("difference", policy, whole, limit.allowed_loss),
        *(Check(f"suite {suite}", "not read", "read, as the champion does", False, {}) for suite in lost_suites),
    ]
    notes = [_power(whole, limit.allowed_loss)]
    small = 0
    for suite, right in both.items():
        if len(both) > 1:
            one = paired({suite: right}, {suite: champion[suite]}, **how)
            checks.append(_not_worse(f"suite {suite}", policy, one, limit.suite_loss))
        for name, chosen in slices(challenger.pictures[suite]).items():
            if (n := int(chosen.sum())) < policy.slice_pictures:
                small += n > 0
                continue
            part = paired({suite: right[chosen]}, {suite: champion[suite][chosen]}, **how)
            checks.append(
                Check(
                    f"slice {suite}, {name}",
                    f"{part.difference:+.4f} ({_interval(policy, part.low, part.high)}, {n} pictures)",
                    f"not surely worse by more than {limit.slice_loss:g}",
                    not (part.high < 0 and part.difference < -limit.slice_loss),
                    part.as_dict(),
                )
            )
    if small:
        notes.append(f"{small} slices have fewer than {policy.slice_pictures} pictures and were not judged")
    return checks, notes


def slices(pictures: ImageSet) -> dict[str, np.ndarray]:
    """Bool (n,) by name: parts of a suite in which a model can be bad without its mean saying so.

    Pictures of several digits by how many there are; others by their class.
    """
    blank = scoring.blank_of(pictures.class_names)
    if pictures.slots == 1:
        return {f"class {name}": pictures.labels[:, 0] == index for index, name in enumerate(pictures.class_names)}
    digits = np.sum(pictures.labels != blank, axis=1)
    counts = np.unique(digits)
    return {f"{n} digits": digits == n for n in counts} if len(counts) > 1 else {}


def _not_worse(name: str, policy: Gates, result: Difference, allowed: float) -> Check:
    return Check(
        name,
        f"{result.difference:+.4f} of sequence_accuracy on gate ({_interval(policy, result.low, result.high)}; "
        f"{result.challenger:.4f} against {result.champion:.4f})",
        f"an interval above {-allowed:g}",
        result.low > -allowed,
        result.as_dict(),
    )


def _power(result: Difference, allowed: float) -> str:
    said = (
        f"power: {result.pictures} pictures, of which {100 * result.discordant:.1f} % are read whole by only one, "
        f"show a difference of {result.detectable:.4f} with a chance of 80 %"
    )
    return said + (f"; the allowed loss, {allowed:g}, is smaller" if result.detectable > allowed else "")


def _interval(policy: Gates, low: float, high: float) -> str:
    return f"{100 * policy.confidence:g} % interval {low:+.4f} to {high:+.4f}"


def _called(said: Mapping[str, Any]) -> dict[str, Any]:
    inputs = [(value["name"], value["type"], value["shape"][1:]) for value in said["inputs"]]
    return {"inputs": inputs, "slots": said["slots"], "classes": said["class_names"]}
