"""The walk of tests/support/correction_walk.py: from a mistake on the page to its correction in prod."""

import correction_walk
import pytest

pytestmark = pytest.mark.full


def test_a_writers_sevens_are_read_after_their_correction(tmp_path):
    walk = correction_walk.walk(tmp_path / "clone", log=lambda line: None)
    # Most of them were read wrongly, and all of these were corrected and labelled.
    assert walk.found["wrong"] == walk.found["corrected"] > correction_walk.SEVENS / 2
    assert f"answers kept: {walk.found['wrong']}" in walk.found["labelled"]
    # The gate judged them by themselves, on pictures that were not trained on, and found them better.
    gated = walk.found["gated"]
    assert gated["passed"]
    assert gated["figures"]["difference"] > 0.5
    assert "passed" in walk.found["canaried"]
    assert walk.found["version"] == {"v0.2.0"}
    assert walk.found["read again"] > 0.8 * walk.found["wrong"]
    kinds = [event["kind"] for event in walk.life.read("history --json")]
    assert kinds[:3] == ["rollout", "promotion", "rollout"]
