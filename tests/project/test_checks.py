"""Problems stop, notes do not."""

import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.project.checks import Check, raise_on_problems


def test_notes_are_printed_and_do_not_stop(capsys):
    raise_on_problems([Check("code", "note", "a note"), Check("name", "ok", "free")])
    assert capsys.readouterr().err == "note     code       a note\n"


def test_the_first_problem_is_raised_and_the_others_are_printed(capsys):
    with pytest.raises(ConfigurationError) as raised:
        raise_on_problems([Check("name", "problem", "taken"), Check("target", "problem", "unknown")])
    assert str(raised.value) == "name: taken (and 1 more above)"
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["name", "target"]
