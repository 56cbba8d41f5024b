"""The page's requests, in process: what they answer, and whose requests are refused."""

import asyncio

import label_project
import numpy as np
import pytest
from apps import TestClient
from label_project import png

from pipeline.labelling import app, queue
from pipeline.labelling.app import Entrance
from pipeline.labelling.folder import Corrections
from pipeline.labelling.session import Session

BASE = "http://127.0.0.1:3100"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    root = label_project.make(tmp_path / "clone")
    monkeypatch.chdir(root)
    for value in range(3):
        label_project.decline(root / "log", png(np.full((28, 28), value, np.uint8)), str(value), time=1e9 - value)
    return root


@pytest.fixture
def finished():
    return []


@pytest.fixture
def entrance():
    return Entrance()


@pytest.fixture
def client(clone, entrance, finished):
    found = queue.collect(clone / "log", label_project.settings(), Corrections())
    made = app.make(Session(found.items, Corrections(), "grace"), entrance, lambda: finished.append(True))
    with TestClient(made, base_url=f"{BASE}/{entrance.token}/", follow_redirects=False) as client:
        yield client


def test_pictures_are_answered_one_after_the_other(client, clone, finished):
    state = client.get("state").json()
    assert (state["left"], state["total"], state["saved"], state["undo"]) == (3, 3, 0, False)
    picture = client.get("pictures/0")
    assert picture.content == png(np.zeros((28, 28), np.uint8))
    assert picture.headers["content-type"] == "image/png"
    assert client.post("answers", json={"number": 0, "kind": "label", "label": "5"}).json()["saved"] == 1
    assert client.post("answers", json={"number": 1, "kind": "skip"}).json()["item"]["number"] == 2
    assert client.post("undo", json={}).json()["item"]["number"] == 1
    client.post("answers", json={"number": 1, "kind": "unusable"})
    last = client.post("answers", json={"number": 2, "kind": "label", "label": "2"}).json()
    assert (last["item"], last["left"], last["saved"]) == (None, 0, 3)
    assert len((clone / "corrections/mnist/labels.csv").read_text().splitlines()) == 3
    assert finished == []
    assert client.post("done", json={}).json()["saved"] == 3
    assert finished == [True]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"number": "0", "kind": "skip"},
        {"number": False, "kind": "skip"},
        {"number": 0, "kind": "drop"},
        {"number": 0, "kind": "label", "label": 7},
        [],
    ],
)
def test_what_is_no_answer_is_refused(client, document):
    assert client.post("answers", json=document).status_code == 400
    assert client.get("state").json()["left"] == 3


def test_an_impossible_answer_says_why_and_changes_nothing(client):
    answered = client.post("answers", json={"number": 0, "kind": "label", "label": "12"})
    assert (answered.status_code, "at most 1" in answered.json()["error"]) == (409, True)
    assert client.post("answers", json={"number": 1, "kind": "skip"}).status_code == 409
    assert client.get("pictures/3").status_code == 409
    assert client.post("undo", json={}).status_code == 409
    assert client.get("state").json()["saved"] == 0


def test_every_file_of_the_page_is_there_and_loads_nothing_from_elsewhere(client):
    page = client.get("")
    names = ["style.css", "label.css", "label.js", "picture.js", "requests.js", "words.js", "parts.js", "icon.svg"]
    for response in (page, *(client.get(name) for name in names)):
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "https://" not in response.text
    assert client.get("app.js").status_code == 404
    assert client.get("..%2fapp.py").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "attacker.example:3100"}, 400),
        ({"Host": "attacker.example"}, 400),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_another_page_of_the_browser_cannot_answer(client, headers, status):
    sent = {"Content-Type": "application/json"} | headers
    for path in ("answers", "undo", "done"):
        content = b'{"number": 0, "kind": "skip"}'
        assert client.post(path, content=content, headers=sent).status_code == status
    assert client.get("state").json()["left"] == 3


def test_a_request_for_the_whole_server_is_not_found(clone, entrance):
    made = app.make(Session([], Corrections(), "grace"), entrance, lambda: None)
    scope = {"type": "http", "method": "OPTIONS", "path": "*", "headers": [(b"host", b"127.0.0.1:3100")]}
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(made(scope, None, send))
    assert sent[0]["status"] == 404


def test_the_page_itself_can(client):
    sent = client.post("answers", json={"number": 0, "kind": "skip"}, headers={"Origin": BASE})
    assert sent.status_code == 200
    assert client.get("state", headers={"Host": "localhost:3100"}).status_code == 200


@pytest.mark.parametrize("path", ["", "x" * 32, "é", "open/", "open"])
def test_nothing_is_served_without_the_token(client, path):
    for name in ("", "/", "/state", "/pictures/0", "/style.css"):
        assert client.get(f"{BASE}/{path}{name}").status_code in (404, 405)


def test_the_key_in_the_address_of_a_browser_leads_to_the_page_once(client, entrance):
    once = entrance.once
    wrong = client.get(f"{BASE}/open/{'x' * 32}")
    assert wrong.status_code == 404
    first, second = client.get(f"{BASE}{once}"), client.get(f"{BASE}{once}")
    assert (first.status_code, first.headers["location"]) == (303, f"/{entrance.token}/")
    assert second.status_code == 404
    assert entrance.token not in once + second.text


def test_a_large_request_is_cut_off(client):
    content = b'{"number": 0, "kind": "skip", "label": "' + b"x" * 5000 + b'"}'
    sent = client.post("answers", content=content, headers={"Content-Type": "application/json"})
    assert sent.status_code == 413


def test_what_cannot_be_written_is_named(client, clone):
    (clone / "corrections/mnist").mkdir(parents=True)
    (clone / "corrections/mnist/labels.csv").mkdir()
    sent = client.post("answers", json={"number": 0, "kind": "label", "label": "5"})
    assert (sent.status_code, "labels.csv" in sent.json()["error"]) == (500, True)
    assert client.get("state").json()["left"] == 3
