"""The gates: what a version must show to enter a stage, criterion by criterion, with the figures that decided."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.config.sections import Gates, TaskGate
from pipeline.core.images import ImageSet
from pipeline.data import splits
from pipeline.evaluation import calibration
from pipeline.evaluation.accuracy import blank_of
from pipeline.evaluation.bootstrap import Difference, paired, share
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.registry import Criterion, Evidence
from pipeline.records.training import Task

CORRECTED = "corrected"
"""The slice of pictures that people corrected."""


def requirements(evidence: Evidence) -> list[Criterion]:
    """What every version must meet whatever its scores: real data and weights, valid data sets, parity."""
    invalid = [dataset for dataset, valid in evidence.validation.items() if not valid]
    differing = [suite for suite, holds in evidence.parity.items() if not holds]
    return [
        Criterion(
            name="origin",
            found=f"trained on {evidence.origin}",
            expected="real pictures",
            passed=evidence.origin != "embedded",
        ),
        Criterion(
            name="pretrained",
            found=f"pretrained weights: {evidence.pretrained.replace('_', ' ')}",
            expected="real weights, or none",
            passed=evidence.pretrained != "missing",
        ),
        Criterion(
            name="validation",
            found=f"failed for {', '.join(invalid)}" if invalid else f"passed for {', '.join(evidence.validation)}",
            expected="every data set valid",
            passed=not invalid and bool(evidence.validation),
        ),
        Criterion(
            name="parity",
            found=f"Keras and ONNX differ on {', '.join(differing)}" if differing else "Keras and ONNX agree",
            expected="agreement on every suite",
            passed=not differing and bool(evidence.parity),
        ),
    ]


def budgets(policy: Gates, evidence: Evidence, milliseconds: float) -> list[Criterion]:
    """How large the model may be, and how slow.

    Args:
        policy: the gates of params.yaml.
        evidence: of the version.
        milliseconds: that it takes to read one picture.
    """
    limit, megabytes = policy.tasks[evidence.task], evidence.bytes / 1e6
    return [
        Criterion(
            name="size",
            found=f"{megabytes:.2f} MB",
            expected=f"at most {limit.megabytes:g} MB",
            passed=megabytes <= limit.megabytes,
            figures={"bytes": evidence.bytes},
        ),
        Criterion(
            name="latency",
            found=f"{milliseconds:.2f} ms a picture",
            expected=f"at most {limit.milliseconds:g} ms",
            passed=milliseconds <= limit.milliseconds,
            figures={"milliseconds": milliseconds},
        ),
    ]


def floors(policy: Gates, task: Task, outcomes: Mapping[str, Evaluated]) -> list[Criterion]:
    """What a version must reach whichever version is champion, so that small allowed losses cannot add up.

    Args:
        policy: the gates of params.yaml.
        task: the version's.
        outcomes: its readings of the gate pictures, by suite.
    """
    limit = policy.tasks[task]
    mean, low, high = share(
        {suite: evaluated.correct for suite, evaluated in outcomes.items()}, confidence=policy.confidence
    )
    errors = {
        suite: calibration.ece(evaluated.readings.confidence, evaluated.correct)
        for suite, evaluated in outcomes.items()
    }
    worst = max(errors, key=errors.__getitem__)
    return [
        Criterion(
            name="sequence_accuracy",
            found=f"{mean:.4f} on gate ({100 * policy.confidence:g} % interval {low:.4f} to {high:.4f})",
            expected=f"an interval above {limit.floor:g}",
            passed=low > limit.floor,
            figures={"share": round(mean, 6), "low": round(low, 6), "high": round(high, 6)},
        ),
        Criterion(
            name="ece",
            found=f"{errors[worst]:.4f} on {worst}",
            expected=f"at most {limit.ece:g}",
            passed=errors[worst] <= limit.ece,
            figures={suite: round(error, 6) for suite, error in errors.items()},
        ),
    ]


def accepted_wrong(policy: Gates, evidence: Evidence) -> Criterion:
    """What a version may accept and read wrongly of any corruption, at any severity, and of any other collection."""
    limit, shift = policy.tasks[evidence.task].accepted_wrong, evidence.shift
    expected = f"at most {limit:g} of every corruption and collection"
    if shift is None:
        found = "not measured: registered before corrupted pictures were read"
        return Criterion(name="accepted_wrong", found=found, expected=expected, passed=False)
    return Criterion(
        name="accepted_wrong",
        found=f"{shift.worst:.4f} of {shift.worst_on} are accepted and wrong (mean {shift.accepted_wrong:.4f})",
        expected=expected,
        passed=shift.worst <= limit,
        figures={"worst": shift.worst, "mean": shift.accepted_wrong},
    )


def interface(evidence: Evidence, champion: Evidence) -> Criterion:
    """Whether a caller of the champion can call the challenger: the same inputs, slots and classes."""
    ours, theirs = _contract(evidence), _contract(champion)
    differing = [key for key in theirs if ours[key] != theirs[key]]
    return Criterion(
        name="interface",
        found="; ".join(f"{key} {ours[key]}" for key in differing) or "inputs and classes of the champion",
        expected="; ".join(f"{key} {theirs[key]}" for key in differing) or "the same as the champion's",
        passed=not differing,
    )


def contest(
    policy: Gates,
    stage: str,
    challenger: Mapping[str, Evaluated],
    champion: Mapping[str, np.ndarray],
    lost_suites: list[str],
    task: TaskGate | None = None,
) -> tuple[list[Criterion], list[str]]:
    """Challenger against champion on the same gate pictures: over all suites, suite by suite, slice by slice.

    Args:
        policy: the gates of params.yaml.
        stage: `staging` or `prod`.
        challenger: its readings of its gate pictures, by suite.
        champion: by suite, bool (n,): which of the challenger's pictures the champion reads correctly.
        lost_suites: the suites that the champion reads and the challenger does not.
        task: the bounds of their task; of its `allowed_loss` and that of the stage, the smaller applies.

    Returns:
        The criteria, and notes that do not decide.
    """
    limit = getattr(policy, stage)
    allowed = limit.allowed_loss
    if task is not None and task.allowed_loss is not None:
        allowed = min(allowed, task.allowed_loss)
    both = {suite: challenger[suite].correct for suite in champion}
    overall = _paired(policy, both, champion)
    criteria = [
        _not_worse("difference", policy, overall, allowed),
        *(
            Criterion(name=f"suite {suite}", found="not read", expected="read, as the champion does", passed=False)
            for suite in lost_suites
        ),
    ]
    notes = [_power(overall, allowed)]
    small = 0
    for suite, correct in both.items():
        if len(both) > 1:
            one = _paired(policy, {suite: correct}, {suite: champion[suite]})
            criteria.append(_not_worse(f"suite {suite}", policy, one, limit.suite_loss))
        for name, chosen in slices(challenger[suite].pictures).items():
            # Of what people corrected, a few count as well: only a loss that is significant refuses.
            if (n := int(chosen.sum())) < policy.slice_pictures and (name != CORRECTED or n == 0):
                small += n > 0
                continue
            part = _paired(policy, {suite: correct[chosen]}, {suite: champion[suite][chosen]})
            criteria.append(
                Criterion(
                    name=f"slice {suite}, {name}",
                    found=f"{part.difference:+.4f} ({_interval(policy, part.low, part.high)}, {n} pictures)",
                    expected=f"no significant loss above {limit.slice_loss:g}",
                    passed=not (part.high < 0 and part.difference < -limit.slice_loss),
                    figures=part.as_dict(),
                )
            )
    if small:
        notes.append(f"{small} slices have fewer than {policy.slice_pictures} pictures and were not judged")
    return criteria, notes


def shift_contest(
    policy: Gates, stage: str, challenger: Evidence, champion: Evidence
) -> tuple[list[Criterion], list[str]]:
    """Challenger against champion on corrupted pictures: mean accuracy, and mean share accepted and wrong.

    Both read the same pictures, but a version records no single readings of them, so there is no paired interval: the
    difference itself is judged, and the allowed loss has to be above what another seed changes.

    Args:
        policy: the gates of params.yaml.
        stage: `staging` or `prod`.
        challenger: with figures under shift; without, `accepted_wrong` has refused it already.
        champion: of the stage.

    Returns:
        The criteria, and a note where there is nothing to compare.
    """
    ours, theirs, allowed = challenger.shift, champion.shift, getattr(policy, stage).shift_loss
    if ours is None or theirs is None:
        whose = "challenger" if ours is None else "champion"
        return [], [f"the {whose} has no figures on corrupted pictures, so they were not compared"]
    gained, accepted = ours.accuracy - theirs.accuracy, ours.accepted_wrong - theirs.accepted_wrong
    figures = {"challenger": ours.accuracy, "champion": theirs.accuracy, "difference": round(gained, 6)}
    wrong = {"challenger": ours.accepted_wrong, "champion": theirs.accepted_wrong, "difference": round(accepted, 6)}
    return [
        Criterion(
            name="shift accuracy",
            found=f"{gained:+.4f} on corrupted pictures ({ours.accuracy:.4f} against {theirs.accuracy:.4f})",
            expected=f"at least {-allowed:g}",
            passed=round(gained, 6) >= -allowed,
            figures=figures,
        ),
        Criterion(
            name="shift accepted_wrong",
            found=f"{accepted:+.4f} of corrupted pictures "
            f"({ours.accepted_wrong:.4f} against {theirs.accepted_wrong:.4f})",
            expected=f"at most {allowed:+g}",
            passed=round(accepted, 6) <= allowed,
            figures=wrong,
        ),
    ], []


def slices(pictures: ImageSet) -> dict[str, np.ndarray]:
    """The parts of a suite in which a model can be bad although its mean is good: bool (n,) by name.

    Pictures of several digits are divided by the number of digits, others by their class. What people corrected
    (`pipeline.data.corrections`) is a part of its own, beside these.
    """
    if pictures.slots == 1:
        parts = {f"class {name}": pictures.labels[:, 0] == index for index, name in enumerate(pictures.class_names)}
    else:
        digits = np.sum(pictures.labels != blank_of(pictures.class_names), axis=1)
        counts = np.unique(digits)
        parts = {f"{n} digits": digits == n for n in counts} if len(counts) > 1 else {}
    if pictures.sources is not None and (corrected := (pictures.sources >= splits.CORRECTED).any(axis=1)).any():
        parts[CORRECTED] = corrected
    return parts


def _paired(policy: Gates, challenger: Mapping[str, np.ndarray], champion: Mapping[str, np.ndarray]) -> Difference:
    return paired(challenger, champion, confidence=policy.confidence, resamples=policy.resamples, seed=policy.seed)


def _not_worse(name: str, policy: Gates, result: Difference, allowed: float) -> Criterion:
    return Criterion(
        name=name,
        found=f"{result.difference:+.4f} ({_interval(policy, result.low, result.high)}; "
        f"{result.challenger:.4f} against {result.champion:.4f})",
        expected=f"an interval above {-allowed:g}",
        passed=result.low > -allowed,
        figures=result.as_dict(),
    )


def _power(result: Difference, allowed: float) -> str:
    power = (
        f"power: {result.pictures} pictures, of which {100 * result.discordant:.1f} % are read correctly by only one "
        f"of the two, show a difference of {result.detectable:.4f} with a probability of 80 %"
    )
    return power + (f"; the allowed loss, {allowed:g}, is smaller" if result.detectable > allowed else "")


def _interval(policy: Gates, low: float, high: float) -> str:
    return f"{100 * policy.confidence:g} % interval {low:+.4f} to {high:+.4f}"


def _contract(evidence: Evidence) -> dict[str, Any]:
    interface = evidence.interface
    inputs = [(tensor.name, tensor.type, list(tensor.shape[1:])) for tensor in interface.inputs]
    return {"inputs": inputs, "slots": interface.slots, "classes": list(interface.class_names)}
