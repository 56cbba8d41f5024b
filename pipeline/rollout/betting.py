"""Sequential tests of bounded means by betting: they may be looked at after every observation.

A bettor against the hypothesis "the mean, given the past, is at most m" starts with 1 and stakes a part of the capital
on every observation. If the hypothesis holds, the capital is a non-negative supermartingale, and the probability that
it ever reaches 1/a is at most a (Ville 1939). So a test that stops when the capital reaches 1/a is wrong with a
probability of at most a, however often anybody looks and whatever else stops it: it is an e-process (Ramdas, Grünwald,
Vovk, Shafer 2023). The observations need be neither independent nor of one distribution.

The stakes are a mixture: the capital is shared out over a grid of constant stakes and added up again, as in the method
of mixtures (Howard, Ramdas, McAuliffe, Sekhon 2021; Waudby-Smith and Ramdas 2024, section 5, for bounded means).
"""

import numpy as np

_STAKES = 24
"""Constant stakes that share the capital. The mixture is never worse than the best of them divided by this."""
_SMALLEST, _LARGEST = 1e-3, 0.99
"""Of the largest stake with which the capital stays positive."""


class Bettor:
    """Bets that the mean of numbers from 0 to 1 is above a bound.

    Attributes:
        bound: the mean of the hypothesis, above 0 and below 1.
        n: observations.
        total: their sum.
    """

    def __init__(self, bound: float) -> None:
        """Begin with a capital of 1.

        Args:
            bound: `m` of the hypothesis.

        Raises:
            ValueError: it is not above 0 and below 1.
        """
        if not 0 < bound < 1:
            raise ValueError(f"a bound of {bound:g} found, expected a number above 0 and below 1")
        self.bound = bound
        self.n = 0
        self.total = 0.0
        self._stakes = np.geomspace(_SMALLEST, _LARGEST, _STAKES) / bound
        self._logs = np.zeros(_STAKES)

    def observe(self, value: float) -> None:
        """Take an observation.

        Args:
            value: from 0 to 1.

        Raises:
            ValueError: it is outside.
        """
        if not 0 <= value <= 1:
            raise ValueError(f"an observation of {value:g} found, expected a number from 0 to 1")
        self.n += 1
        self.total += value
        self._logs += np.log1p(self._stakes * (value - self.bound))

    @property
    def mean(self) -> float:
        """Of the observations; 0 without any."""
        return self.total / self.n if self.n else 0.0

    @property
    def capital(self) -> float:
        """The evidence against the hypothesis, an e-value; at most 1e300."""
        top = float(self._logs.max())
        log = top + float(np.log(np.exp(self._logs - top).mean()))
        return float(np.exp(min(log, 690.0)))


class TwoSided:
    """Bets for and against a tolerance: whether the mean of numbers in a range is above it, and whether it is below."""

    def __init__(self, tolerance: float, low: float = 0.0, high: float = 1.0) -> None:
        """Begin.

        Args:
            tolerance: between `low` and `high`.
            low: the least that an observation can be.
            high: the most.
        """
        self._low, self._width = low, high - low
        bound = (tolerance - low) / self._width
        self._above, self._below = Bettor(bound), Bettor(1 - bound)

    def observe(self, value: float) -> None:
        """Take an observation in the range."""
        scaled = (value - self._low) / self._width
        self._above.observe(scaled)
        self._below.observe(1 - scaled)

    @property
    def n(self) -> int:
        """Observations."""
        return self._above.n

    @property
    def mean(self) -> float:
        """Of the observations; 0 without any."""
        return self._low + self._width * self._above.mean if self.n else 0.0

    @property
    def against(self) -> float:
        """The evidence that the mean is above the tolerance."""
        return self._above.capital

    @property
    def within(self) -> float:
        """The evidence that the mean is below the tolerance."""
        return self._below.capital
