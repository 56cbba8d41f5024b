import numpy as np

from pipeline.monitoring.betting import BETS, bets


def test_no_bet_gains_on_uniform_p_values():
    """The integral over 0 to 1; of the power bets with p = e^-t, since most of their mass is near 0."""
    t = (np.arange(20_000) + 0.5) * 50 / 20_000
    near = (bets(np.exp(-t)) * np.exp(-t)[:, None]).sum(axis=0) * 50 / 20_000
    whole = bets((np.arange(10_000) + 0.5) / 10_000).mean(axis=0)
    assert near.shape == (BETS,)
    # The other power bets are mirrored or folded copies of the first three.
    assert (near[:3] <= 1.001).all()
    assert (near[:3] > 0.95).all()
    assert (whole[:12] <= 1.001).all()
    np.testing.assert_allclose(whole[12:], 1, atol=0.001)


def test_each_change_has_a_bet_that_gains():
    rng = np.random.default_rng(0)
    uniform = rng.random(1000)
    changes = {
        "smaller": uniform**2,
        "larger": 1 - uniform**2,
        "no small ones": 0.3 + 0.7 * uniform,
        "no large ones": 0.7 * uniform,
        "wider": np.where(uniform < 0.5, uniform**2, 1 - (1 - uniform) ** 2),
        "narrower": 0.25 + uniform / 2,
    }
    for name, p in changes.items():
        assert np.log(bets(p)).mean(axis=0).max() > 0.05, name
    assert np.log(bets(uniform)).mean(axis=0).max() < 0
