"""Bets against p-values that should be uniform: densities on 0 to 1, each of which grows where one kind of change is.

A bet's expectation is 1 (or less) under uniform p-values, so the product of bets is a test martingale (Shafer and Vovk
2019, Game-Theoretic Foundations, chapter 11). None of them depends on data.
"""

import numpy as np

_EXPONENTS = (0.1, 0.25, 0.5)
_CUTS = (0.1, 0.2, 0.4, 0.6)
_LEFT = 0.1
"""Of the density below a cut, where a bet is on values that are no longer there."""
_TINY = 1e-15
"""A p-value near 1 or 1/2 is known to no more; a bet that is cut off here expects a little less than 1."""
BETS = 4 * len(_EXPONENTS) + 2 * len(_CUTS)
"""How many there are."""


def bets(p: np.ndarray) -> np.ndarray:
    """The value of every bet.

    The power bets kappa p^(kappa - 1) (Vovk, Nouretdinov and Gammerman 2003) are on small and on large p-values, on
    both ends and on the middle; step functions are on the absence of small or large ones.

    Args:
        p: float64, of any shape.

    Returns:
        float64 (*p.shape, BETS).
    """
    ends = np.abs(2 * p - 1)
    values = []
    for u in (p, 1 - p, 1 - ends, ends):
        tight = np.clip(u, _TINY, 1)
        values += [kappa * tight ** (kappa - 1) for kappa in _EXPONENTS]
    for u in (p, 1 - p):
        values += [np.where(u < cut, _LEFT, (1 - _LEFT * cut) / (1 - cut)) for cut in _CUTS]
    return np.stack(values, axis=-1)
