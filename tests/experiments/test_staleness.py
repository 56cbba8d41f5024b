"""Which stages are stale, why, and what follows them."""

import shutil

import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.experiments import staleness


def test_nothing_is_stale_after_a_run(clone):
    found = staleness.examine()
    assert found.stages == ("fetch@cheques", "fetch@cifar10", "fetch@mnist", "report", "train@ctc", "train@slice")
    assert found.pending == set()
    assert [check.verdict for check in staleness.checks()] == ["ok"]


def test_every_stale_stage_has_its_reason_and_its_followers(clone):
    (clone / "code.txt").write_text("2")
    params = clone / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 2", "epochs: 9", 1))
    shutil.rmtree(clone / "data/raw/cifar10")
    found = staleness.examine()
    assert found.reasons == {
        "fetch@cifar10": "data/raw/cifar10 not here but in the cache",
        "train@slice": "code.txt, params strategies.slice.epochs changed",
        "train@ctc": "code.txt changed",
    }
    assert found.followers == ("report",)
    assert found.pending == {*found.reasons, "report"}


def test_stages_with_the_same_reason_share_a_line(clone):
    (clone / "code.txt").write_text("2")
    assert [check.message for check in staleness.checks()] == [
        "train@{ctc,slice}: code.txt changed",
        "then, if what these make changes: report",
    ]


def test_upstream_is_what_a_target_depends_on(clone):
    assert staleness.upstream("train@slice") == {"fetch@mnist", "train@slice"}
    assert staleness.upstream("train") == {"fetch@mnist", "train@slice", "train@ctc"}
    assert staleness.upstream("") == set(staleness.examine().stages)


def test_a_dvc_yaml_that_is_not_valid_is_a_configuration_error(clone):
    (clone / "dvc.yaml").write_text("stages: [")
    with pytest.raises(ConfigurationError, match=r"dvc\.yaml"):
        staleness.examine()


def test_a_reason_is_explained_in_words():
    reasons = [
        "changed command",
        {"changed deps": {"a.py": "modified", "data": "deleted", "params.yaml": {"seed": "modified"}}},
        {"changed outs": {"models/a": "not in cache", "table": "modified"}},
    ]
    assert staleness.explain(reasons) == (
        "its command changed; a.py, params seed changed; data missing; models/a neither here nor in the cache; "
        "table changed by hand"
    )
    assert staleness.explain(["always changed"]) == "runs every time"
    assert staleness.abbreviated(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
