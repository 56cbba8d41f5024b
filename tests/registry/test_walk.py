"""The walk of tests/support/registry_walk.py, with its three real trainings."""

import pytest
import registry_walk
from registry_project import sha256
from registry_walk import MODEL, NAME


@pytest.mark.slow
def test_the_whole_life_with_real_trainings(tmp_path):
    life = registry_walk.walk(tmp_path / "clone", log=lambda line: None)
    events = life.read("history --json")
    assert [(event["kind"], event["version"], event["stage"]) for event in events] == [
        ("rollback", "v0.1.0", "prod"),
        ("promotion", "v0.3.0", "prod"),
        ("promotion", "v0.3.0", "staging"),
        ("promotion", "v0.3.0", "dev"),
        ("version", "v0.3.0", None),
        ("refusal", "v0.2.0", "staging"),
        ("promotion", "v0.2.0", "dev"),
        ("version", "v0.2.0", None),
        ("promotion", "v0.1.0", "prod"),
        ("promotion", "v0.1.0", "staging"),
        ("promotion", "v0.1.0", "dev"),
        ("version", "v0.1.0", None),
    ]
    criteria = {each["name"]: each for each in events[5]["evidence"]["decision"]["criteria"]}
    assert not criteria["difference"]["passed"]
    assert criteria["difference"]["figures"]["high"] < 0
    assert f"refused/{NAME}/staging/1" in life.outputs["refused"]
    assert all(criterion["passed"] for criterion in events[1]["evidence"]["decision"]["criteria"])
    stages = {"dev": "v0.3.0", "staging": "v0.3.0", "prod": "v0.1.0"}
    assert life.read("today --json")["stages"][NAME] == stages == life.read("gto show")[NAME]["stage"]
    in_prod = next(entry for entry in life.read("list --json") if "prod" in entry["stages"])
    assert (in_prod["version"], in_prod["origin"]) == ("v0.1.0", "folder:digits")
    assert sha256(life.folder / "got.onnx") == in_prod["sha256"]
    assert len(life.read("gto history")) == len(events) - 1, "refusals are no events of GTO"
    verified = life.read("verify --json")
    assert len(verified) == 3
    assert all(result["holds"] for results in verified.values() for result in results)
    assert life.read("two at once") == [0, 4]
    corrupt = {result["subject"] for result in life.read("corrupt")[f"{NAME}@v0.3.0"] if not result["holds"]}
    assert corrupt == {MODEL}
