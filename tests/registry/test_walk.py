"""The walk of tests/support/registry_walk.py, with its three real trainings, held to what it must say."""

import hashlib
import json
import re

import pytest
import registry_walk


@pytest.mark.slow
def test_the_whole_life_with_real_trainings(tmp_path):
    life = registry_walk.walk(tmp_path / "clone", say=lambda line: None)
    said = life.said
    assert re.search(
        r"difference: -0\.\d+ of sequence_accuracy on gate \(95 % interval -0\.\d+ to -0\.\d+", said["refused"]
    )
    assert "digit-reader@v0.3.0 passes the gate of prod" in said["v0.3.0 in prod"]
    assert "digit-reader@v0.1.0 is in prod again" in said["rolled back"]
    assert re.search(r"digit-reader\s+v0\.3\.0\s+v0\.3\.0\s+v0\.1\.0", said["today"])
    assert json.loads(said["gto show"])["digit-reader"]["stage"] == {
        "dev": "v0.3.0", "staging": "v0.3.0", "prod": "v0.1.0",
    }  # fmt: skip
    in_prod = next(entry for entry in json.loads(said["listed"]) if "prod" in entry["stages"])
    assert in_prod["version"] == "v0.1.0"
    assert in_prod["origin"] == "folder:digits"
    assert hashlib.sha256((life.folder / "got.onnx").read_bytes()).hexdigest() == in_prod["sha256"]
    assert len(json.loads(said["gto history"])) == 3 + 7 + 1
    assert "3 versions verified, everything holds" in said["verified"]
    assert json.loads(said["two at once"]) == [0, 4]
    assert re.search(r"FAILED\s+artifacts/mnist/model.onnx\s+MD5 \w+ found in the cache, expected", said["corrupt"])
