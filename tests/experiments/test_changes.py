"""Changes of params.yaml: what they stand for, and what is wrong with a wrong one."""

from pathlib import Path

import pytest

from pipeline.config import params
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import changes

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        ([], [()]),
        (["seed=3"], [("seed=3",)]),
        (["seed=1,2", "budget=0.5"], [("seed=1", "budget=0.5"), ("seed=2", "budget=0.5")]),
        (["seed=range(1,4)"], [("seed=1",), ("seed=2",), ("seed=3",)]),
    ],
)
def test_changes_stand_for_runs(given, runs):
    assert changes.combinations(given) == runs


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("strategies.slice.epohcs=3", ("strategies.slice.epohcs", "'epochs'")),
        ("+strategies.slice.epohcs=3", ("strategies.slice.epohcs", "'epochs'")),
        ("sede=3", ("sede", "'seed'")),
        ("strategies.slice.epochs=4,0", ("strategies.slice.epochs", "found 0")),
        ("seed=twenty", ("seed", "'twenty'")),
        ("~seed=1", ("~seed=1", "cannot be removed")),
        ("~seed", ("~seed", "key=value")),
        ("seed", ("seed", "key=value")),
        ("seed=[1", ("seed=[1",)),
    ],
)
def test_a_wrong_change_names_the_key_and_what_was_expected(change, named):
    with pytest.raises(ConfigurationError) as raised:
        changes.combinations([change])
    message = str(raised.value)
    assert message.startswith("--set-param ")
    assert all(name in message for name in named), message


def test_a_setting_that_is_left_to_its_default_needs_no_plus():
    document = params.read(Path("params.yaml"))
    change = "strategies.cnn.augmentation.rotation_range=10"
    assert "rotation_range" not in document["strategies"]["cnn"]["augmentation"]
    assert changes.with_plus(change, document) == f"+{change}"
    assert changes.with_plus(f"+{change}", document) == f"+{change}"
    assert changes.with_plus("seed=3", document) == "seed=3"
    for given in (change, f"+{change}"):
        changed = changes.apply(document, changes.combinations([given])[0])
        assert changed["strategies"]["cnn"]["augmentation"]["rotation_range"] == 10
