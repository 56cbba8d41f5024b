"""Pictures as people make them, read by the packaged model of lines: each is read right, or not accepted.

It needs the models that `make repro` packages; LINES_ARTIFACTS names another folder.
"""

import os
from pathlib import Path

import pytest
from full_outcomes import report
from written_pictures import NAMES, readings

from pipeline.reading.packaged import PackagedModels

pytestmark = pytest.mark.full

ARTIFACTS = Path(os.environ.get("LINES_ARTIFACTS") or Path(__file__).parents[2] / "artifacts")


def test_every_picture_is_read_right_or_not_accepted(capsys):
    models = PackagedModels.of(ARTIFACTS, "lines")
    rows, accepted_and_wrong, correct = [], [], 0
    for name, data, numbers in readings():
        answer = models.answer(data).answer
        read = tuple(answer["digits"].split("\n")) if answer["digits"] else ()
        right = read == numbers
        correct += right
        confidence = answer["confidence"]
        rows.append(
            f"{name}: {'right' if right else 'wrong'}, {'accepted' if answer['accepted'] else 'not accepted'}: "
            f"{' / '.join(numbers or ('nothing',))} read as {' / '.join(read) or 'nothing'}"
            f"{'' if confidence is None else f' at {confidence:.3f}'} {', '.join(answer['notes'])}"
        )
        if answer["accepted"] and not right:
            accepted_and_wrong.append(name)
    report(capsys, "\n".join(rows))
    assert len(rows) == len(NAMES)
    # A model without a threshold accepts nothing, so this alone tells whether it reads at all.
    assert correct >= 0.8 * len(NAMES)
    assert not accepted_and_wrong
