"""The OpenAPI document: true of the running service, and of the documentation."""

import re

import httpx
import psutil
import pytest
from packaging.version import Version
from servers import ROOT

from benchmarks import contract, fuzz
from pipeline.scheduling.errors import KINDS

DOCUMENTED = re.compile(r"^\| (\d{3}) \| `(\w+)` \|", re.MULTILINE)
ADVISORIES = re.compile(r"^\| \[?[^|]+\| ([\w-]+) \| ≥ ([\d.]+) \|", re.MULTILINE)


@pytest.fixture(scope="module")
def url(server):
    return str(server.client.base_url).rstrip("/")


def test_the_document_names_every_path_and_its_statuses(client):
    document = client.get("/openapi.json").json()
    served = {route.path for route in client.app.routes if not route.path.startswith(("/docs/", "/page/"))}
    assert set(document["paths"]) == served
    for path, methods in document["paths"].items():
        for method in methods:
            response = client.request(method, path, content=b"" if method == "post" else None, follow_redirects=False)
            assert str(response.status_code) in methods[method]["responses"], (path, method, response.text)


def test_every_schema_that_is_referred_to_is_there(client):
    text = client.get("/openapi.json").text
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) == set(schemas)
    assert schemas["ErrorDetail"]["properties"]["code"]["enum"] == list(KINDS)


def test_generated_requests_get_answers_that_the_document_describes(url):
    outcome = contract.check(url, examples=4, seed=1)
    assert outcome.passed, outcome.report
    assert outcome.cases > 150, outcome.report


def test_mutated_pictures_get_an_answer_that_is_not_a_failure(url):
    statuses = fuzz.statuses_of(url, 400, seed=0)
    assert sum(statuses.values()) == 400
    assert set(statuses) <= {200, 400, 413, 415, 422}
    assert statuses[400] > 100, "mutants that are damaged"
    assert statuses[200] > 20, "mutants that are still pictures"


@pytest.mark.slow
def test_many_cases_and_mutants(server, url):
    worker = max(psutil.Process(server.process.pid).children(recursive=True), key=lambda p: p.memory_info().rss)
    outcome = contract.check(url, examples=150, seed=2)
    assert outcome.passed, outcome.report
    assert outcome.cases >= 500
    fuzz.statuses_of(url, 500, seed=1)
    before = worker.memory_info().rss
    statuses = fuzz.statuses_of(url, 1500, seed=2)
    assert set(statuses) <= {200, 400, 413, 415, 422}
    assert worker.memory_info().rss - before < 20 * 1024 * 1024
    assert httpx.get(f"{url}/readyz").status_code == 200


def test_every_error_is_documented_with_its_status():
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
