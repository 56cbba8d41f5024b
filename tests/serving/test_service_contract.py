"""The service against its own OpenAPI document, mutated pictures, and the advisories that docs/security.md names."""

import re

import httpx
import onnx_models
import psutil
import pytest
from packaging.version import Version
from servers import ROOT, environment, started

from benchmarks import contract, fuzz
from pipeline.serving.errors import KINDS

DOCUMENTED = re.compile(r"^\| (\d{3}) \| `(\w+)` \|", re.MULTILINE)
ADVISORIES = re.compile(r"^\| \[?[^|]+\| ([\w-]+) \| ≥ ([\d.]+) \|", re.MULTILINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    onnx_models.package(folder / "artifacts", boxes=True)
    onnx_models.package(folder / "artifacts", "cifar10")
    env = environment(folder / "bentoml", READER_ARTIFACTS=str(folder / "artifacts"))
    with started(cwd=ROOT, env=env, log=folder / "log.txt") as server:
        yield server


@pytest.fixture(scope="module")
def url(server):
    return str(server.client.base_url).rstrip("/")


def test_the_openapi_document_names_every_path_and_is_true(server, url):
    document = server.client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method in methods:
            response = server.client.request(method, path, content=b"" if method == "post" else None)
            assert str(response.status_code) in methods[method]["responses"], (path, method, response.text)
    outcome = contract.check(url, examples=4, seed=1)
    assert outcome.passed, outcome.said
    assert outcome.cases > 150, outcome.said


def test_mutated_pictures_get_an_answer_that_is_no_failure(server, url):
    statuses = fuzz.statuses_of(url, 400, seed=0)
    assert sum(statuses.values()) == 400
    assert set(statuses) <= {200, 400, 413, 415, 422}
    assert statuses[400] > 100, "mutants that are damaged"
    assert statuses[200] > 20, "mutants that are still pictures"


@pytest.mark.slow
def test_two_thousand_cases_and_five_thousand_mutants(server, url):
    worker = max(psutil.Process(server.process.pid).children(recursive=True), key=lambda p: p.memory_info().rss)
    outcome = contract.check(url, examples=600, seed=2)
    assert outcome.passed, outcome.said
    assert outcome.cases >= 2000
    fuzz.statuses_of(url, 500, seed=1)
    before = worker.memory_info().rss
    statuses = fuzz.statuses_of(url, 5000, seed=2)
    assert set(statuses) <= {200, 400, 413, 415, 422}
    assert worker.memory_info().rss - before < 20 * 1024 * 1024
    assert httpx.get(f"{url}/readyz").status_code == 200


def test_every_refusal_stands_in_the_docs_with_its_status():
    documented = {code: int(status) for status, code in DOCUMENTED.findall((ROOT / "docs" / "serving.md").read_text())}
    assert documented == {code: kind.status for code, kind in KINDS.items()}


def test_the_locks_are_above_the_floors_of_known_advisories():
    floors = ADVISORIES.findall((ROOT / "docs" / "security.md").read_text())
    assert {name for name, _ in floors} >= {"bentoml", "keras", "pillow", "starlette", "python-multipart"}
    for lock in ("serve", "pipeline", "dev"):
        pins = dict(re.findall(r"(?m)^([\w.-]+)==([^\s;\\]+)", (ROOT / "requirements" / f"{lock}.lock").read_text()))
        for name, floor in floors:
            assert name in pins or lock == "serve", name
            assert name not in pins or Version(pins[name]) >= Version(floor), (lock, name, pins.get(name), floor)
