"""The key in params.yaml that has suites take in corrections: added in place, with every other byte as it was."""

import difflib

import label_project
import pytest

from pipeline.config import params
from pipeline.core.errors import ConfigurationError
from pipeline.labelling import suites


@pytest.fixture
def path(tmp_path):
    return label_project.make(tmp_path / "clone") / "params.yaml"


def added(path, keys):
    before = path.read_text()
    suites.add(path, keys)
    lines = difflib.unified_diff(before.splitlines(), path.read_text().splitlines(), n=0, lineterm="")
    return [line for line in lines if line.startswith(("+ ", "- "))]


def test_the_suites_that_take_a_task_in_lack_the_key_once():
    settings = label_project.settings()
    found = {task: suites.lacking(settings, task) for task in ("mnist", "strips", "cifar10", "lines")}
    assert found == {
        "mnist": {"mnist": suites.COPIES},
        "strips": {"mnist": suites.COPIES},
        "cifar10": {"cifar10": suites.COPIES},
        "lines": {"cheques": True, "cheques_reviewed": True},
    }


def test_the_key_is_added_and_every_other_byte_stays(path):
    changed = added(path, {"cheques": True, "mnist": 20})
    assert [line[0] for line in changed] == ["-", "+", "-", "+"]
    assert [line[1:] for line in changed[1::2]] == [
        changed[0][1:-1] + ", corrections: 20}", changed[2][1:-1] + ", corrections: true}",
    ]  # fmt: skip
    settings = params.load(path)
    assert (settings.suites["mnist"].corrections, settings.suites["cheques"].corrections) == (20, True)
    assert suites.lacking(settings, "mnist") == {}
    assert suites.lacking(settings, "lines") == {"cheques_reviewed": True}


def test_a_suite_that_leaves_corrections_out_lacks_nothing(path):
    added(path, {"mnist": 0})
    assert suites.lacking(params.load(path), "mnist") == {}


def test_a_block_with_comments_keeps_them(path):
    text = path.read_text()
    start = text.index("  mnist: {task: mnist")
    block = (
        "  mnist:  # of the page\n    task: mnist   # digits\n    from: raw/mnist\n    train: 50000\n"
        "    valid: 5000\n    gate: 5000\n    test: 10000  # the official ones\n"
    )
    path.write_text(text[:start] + block + text[text.index("\n", start) + 1 :])
    assert added(path, {"mnist": 20}) == ["+    corrections: 20"]
    assert params.load(path).suites["mnist"].corrections == 20


def test_what_cannot_be_changed_alone_is_left_to_a_person(path):
    text = path.read_text()
    line = next(line for line in text.splitlines() if line.startswith("  mnist: {task"))
    aliased = f"{line.replace('mnist: {', 'mnist: &same {', 1)}\n  again: *same"
    path.write_text(text.replace(line, aliased, 1))
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"add `corrections: 20` to suites\.mnist"):
        suites.add(path, {"mnist": 20})
    assert path.read_bytes() == before
