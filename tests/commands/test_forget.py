"""`make forget` where there are labels and no log: a clone that pulled them."""

import predictions
import pytest

from pipeline.commands import forget
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.labelling.folder import Corrections
from pipeline.monitoring.settings import FOLDER_VARIABLE

DIGEST = "ab" * 32


def test_labels_are_removed_where_there_is_no_log(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(DataError, match="monitoring: no such folder"):
        forget.main(DIGEST)
    (tmp_path / "picture.png").write_bytes(b"png")
    row = {"label": "7", "reading": "1", "reason": "corrected", "by": "ada"}
    Corrections().label("mnist", DIGEST, tmp_path / "picture.png", row)
    with pytest.raises(DataError, match="elsewhere: no such folder"):
        forget.main(DIGEST, log="elsewhere")
    assert "2 rows and files of corrections" in forget.main(DIGEST)
    assert "only labels are searched" in capsys.readouterr().err
    assert not list((tmp_path / "corrections").rglob("*.png"))


def test_nothing_is_removed_while_make_label_is_open_or_a_table_is_damaged(tmp_path, monkeypatch):
    """What was removed is counted once: a second call would not know the lines of the first."""
    monkeypatch.chdir(tmp_path)
    line = predictions.traffic(1, 1)[0]
    predictions.write(tmp_path / "log", [line])
    with Corrections().locked(), pytest.raises(ConfigurationError, match="`make label` is open"):
        forget.main(line["digest"], log="log")
    (tmp_path / "corrections/mnist").mkdir()
    table = tmp_path / "corrections/mnist/labels.csv"
    table.write_text("not,the,columns\n")
    with pytest.raises(DataError, match=r"labels\.csv"):
        forget.main(line["digest"], log="log")
    table.unlink()
    assert forget.main(line["digest"], log="log").startswith("removed 1 lines, ")
