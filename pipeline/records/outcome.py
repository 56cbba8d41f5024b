"""What a stage left in the DVC remote, by the key of what it computed: no machine computes it again."""

from collections.abc import Mapping
from typing import Any

from pipeline.records.base import Record


class Outcome(Record):
    """`outcomes/KEY.json` of the remote. The files that DVC keeps are in the remote as `dvc push` puts them.

    Attributes:
        stage: its name in dvc.yaml.
        lock: its entry in dvc.lock.
        files: by path, the text of the outputs that git keeps and DVC does not.
        seconds: that the stage and DVC took; 0 where another run of DVC had computed it.
        machine: where it ran.
        cached: whether DVC's run cache had it, so that nothing ran.
    """

    stage: str
    lock: Mapping[str, Any]
    files: Mapping[str, str]
    seconds: float
    machine: str
    cached: bool
