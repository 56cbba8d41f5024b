"""`make forget` where there are labels and no log: a clone that pulled them."""

import pytest

from pipeline.commands import forget
from pipeline.core.errors import DataError
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
