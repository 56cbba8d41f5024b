import numpy as np

from pipeline.monitoring.detector import WEEK, Detector, format_counts, parse_counts
from pipeline.monitoring.reference import count

WEIGHTS = np.array([0.5, 0.3, 0.2])


def draw(rng, pictures, mean=10.0):
    return rng.poisson(mean, (pictures, 3)).clip(0, 63)


def detector(rng, *, rate=0.01, reference=300, seed=1):
    return Detector(count(draw(rng, reference)), WEIGHTS, rate=rate, seed=seed)


def test_p_values_are_uniform_and_independent_for_a_reference_of_any_size():
    found = []
    for seed in range(4000):
        rng = np.random.default_rng(seed)
        found.append(detector(rng, reference=3, seed=seed)._p_values(draw(rng, 2))[:, 0])
    first, second = np.array(found).T
    for p in (first, second):
        np.testing.assert_allclose(np.histogram(p, 10, (0, 1))[0] / 4000, 0.1, atol=0.02)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_the_evidence_is_the_time_on_average_where_nothing_changed():
    """That bounds false alarms: evidence of 1 / (rate * weight) weeks is rare. Of the step bets, which vary least."""
    total = np.zeros((3, 8))
    for seed in range(3000):
        rng = np.random.default_rng(seed)
        tested = detector(rng, rate=1e-9, reference=20, seed=seed)
        tested.update(draw(rng, 4), np.full(4, WEEK / 2))
        total += tested.evidence[:, 12:]
    np.testing.assert_allclose(total / 3000, 2.0, rtol=0.1)


def test_alarms_of_stationary_traffic_are_at_most_as_many_as_are_allowed():
    """A hundred services for two weeks at one false alarm in four weeks."""
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        alarms += len(detector(rng, rate=0.25, seed=seed).update(draw(rng, 200), rng.exponential(WEEK / 100, 200)))
    assert alarms <= 50


def test_a_change_is_found_soon_and_in_the_statistic_that_changed():
    rng = np.random.default_rng(5)
    tested = detector(rng)
    assert tested.update(draw(rng, 2000), np.full(2000, WEEK / 1000)) == []
    changed = draw(rng, 200)
    changed[:, 1] = rng.poisson(15, 200)
    found = tested.update(changed, np.full(200, WEEK / 1000))
    assert found[0].statistic == 1
    assert found[0].picture < 60


def test_the_evidence_goes_on_from_where_it_was():
    rng = np.random.default_rng(6)
    whole, before = detector(np.random.default_rng(1)), detector(np.random.default_rng(1))
    pictures, seconds = draw(rng, 1024), np.full(1024, WEEK / 1000)
    whole.update(pictures, seconds)
    before.update(pictures[:512], seconds[:512])
    after = Detector(before.counts, WEIGHTS, rate=0.01, seed=1, evidence=before.evidence, pictures=before.pictures)
    after.update(pictures[512:], seconds[512:])
    np.testing.assert_allclose(after.evidence, whole.evidence)
    np.testing.assert_array_equal(after.counts, whole.counts)


def test_counts_come_back_from_their_text():
    counts = np.array([0, 5, 1_000_000])
    np.testing.assert_array_equal(parse_counts(format_counts(counts)), counts)
