"""The verdict on a candidate: one sequential test a criterion, on the pictures that both models read."""

from pipeline.records.rollout import Bounds, Observation, Tally
from pipeline.rollout.betting import TwoSided

DISAGREEMENT, ACCEPTED_LOSS, SLOW, WRONG = CRITERIA = ("disagreement", "accepted_loss", "slow", "wrong")
_SLOW_SHARE = 0.5
"""More than half of the pictures slow means that the median slowdown is beyond its tolerance."""


class Trial:
    """What was observed of a candidate so far."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._pictures: set[str] = set()
        self._judged: set[str] = set()
        self._tests = {
            DISAGREEMENT: TwoSided(bounds.disagreement),
            ACCEPTED_LOSS: TwoSided(bounds.accepted_loss, -1.0, 1.0),
            SLOW: TwoSided(_SLOW_SHARE),
            WRONG: TwoSided(bounds.wrong),
        }
        self._tolerances = dict(
            zip(CRITERIA, (bounds.disagreement, bounds.accepted_loss, _SLOW_SHARE, bounds.wrong), strict=True)
        )

    def observe(self, seen: Observation) -> None:
        """Take an observation. A picture on which the candidate failed counts as read differently and not accepted.

        A picture counts once: a client that sends one again and again does not decide for everybody.
        """
        if seen.wrong is not None:
            # Lines of earlier versions do not say which picture it was.
            if seen.picture and seen.picture in self._judged:
                return
            self._judged.add(seen.picture)
            self._tests[WRONG].observe(float(seen.wrong))
            return
        # Where the model that is served failed there is nothing to compare with.
        if seen.served is None or seen.picture in self._pictures:
            return
        self._pictures.add(seen.picture)
        self._tests[DISAGREEMENT].observe(float(seen.served != seen.candidate))
        before, after = seen.accepted
        self._tests[ACCEPTED_LOSS].observe(float(before) - float(after))
        if seen.milliseconds is not None:
            served, candidate = seen.milliseconds
            self._tests[SLOW].observe(float(candidate > self._bounds.slowdown * served))

    @property
    def compared(self) -> int:
        """Pictures that were compared."""
        return self._tests[DISAGREEMENT].n

    @property
    def disagreements(self) -> int:
        """Pictures that were read differently."""
        test = self._tests[DISAGREEMENT]
        return round(test.mean * test.n)

    def tallies(self) -> tuple[Tally, ...]:
        """Every criterion of which there are observations."""
        return tuple(
            Tally(
                name=name,
                n=test.n,
                mean=round(test.mean, 6),
                tolerance=self._tolerances[name],
                against=_rounded(test.against),
                within=_rounded(test.within),
            )
            for name, test in self._tests.items()
            if test.n
        )

    def reason_to_take_back(self) -> str | None:
        """Which criterion the candidate does not meet, in words; None where none is known."""
        # All criteria share the error rate, those without observations as well: feedback may come later.
        needed = len(CRITERIA) / self._bounds.error_rate
        for each in self.tallies():
            if each.against >= needed:
                return (
                    f"{each.name} {each.mean:.4f} of {each.n:,} observations, tolerated {each.tolerance:g} "
                    f"(e-value {each.against:.3g}, {needed:g} needed)"
                )
        return None

    def passed(self) -> bool:
        """Whether every criterion is known to be met; one without any observation is left out, but for feedback."""
        needed = 1 / self._bounds.error_rate
        tallies = {each.name: each for each in self.tallies()}
        return all(
            name in tallies and tallies[name].within >= needed for name in (DISAGREEMENT, ACCEPTED_LOSS, SLOW)
        ) and (WRONG not in tallies or tallies[WRONG].mean <= tallies[WRONG].tolerance)

    def exhausted(self) -> bool:
        """Whether as many pictures were compared as may."""
        return self.compared >= self._bounds.comparisons


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
