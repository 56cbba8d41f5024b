"""What people say of answers: kept with its picture, counted once, and refused where nothing could learn from it."""

import base64
import hashlib

import onnx_models
import pytest
import rollouts
from apps import TestClient
from servers import CLASSES, encoded, wait_for

from pipeline.access import tokens
from pipeline.access.rates import Rates
from pipeline.access.settings import AccessSettings
from pipeline.access.tokens import Tokens
from pipeline.monitoring.feedback import corrections, picture_of
from pipeline.monitoring.forgetting import forget
from pipeline.monitoring.settings import LogSettings
from pipeline.rollout.store import Store
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

PNG = encoded(onnx_models.draw(CLASSES))
DIGEST = hashlib.sha256(PNG).hexdigest()


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def clients(artifacts, log, tmp_path):
    """Clients with a token of each scope."""
    file = tmp_path / "tokens.json"
    secrets = {scope: tokens.create(file, scope, [scope], 1000, None) for scope in ("read", "feedback")}
    settings = LogSettings(log, quarantine_bytes=2**20, feedback_bytes=2**20)
    access = AccessSettings(Tokens(file), Rates(None), None)
    app = create_app(load_readers(artifacts), Limits(picture_bytes=2**20), log_settings=settings, access=access)
    with TestClient(app) as client:
        yield lambda scope: _with_token(client, secrets[scope])


def _with_token(client, secret):
    client.headers["Authorization"] = f"Bearer {secret}"
    return client


def said(answer, **changed):
    """Feedback on an answer: what it read was wrong, and 7 is right."""
    model = answer["model"]
    return {"task": model["task"], "model": model["sha256"], "reading": answer["digits"], "label": "7",
            "picture": base64.b64encode(PNG).decode(), **changed}  # fmt: skip


@pytest.fixture
def answer(clients):
    return clients("read").post("/read", content=PNG).json()


def test_a_correction_is_kept_with_its_picture_until_it_is_forgotten(clients, answer, log):
    response = clients("feedback").post("/feedback", json=said(answer))
    assert response.json() == {"digest": DIGEST, "wrong": True, "kept": True}
    (correction,) = corrections(log)
    assert (correction.label, correction.reading, correction.token) == ("7", answer["digits"], "feedback")
    assert correction.model == answer["model"]["sha256"]
    assert picture_of(log, correction).read_bytes() == PNG
    assert forget(log, DIGEST).feedback == 2
    assert corrections(log) == []


def test_saying_it_again_replaces_it_and_counts_once(clients, answer, log):
    client = clients("feedback")
    for label in ("7", "71", answer["digits"]):
        assert client.post("/feedback", json=said(answer, label=label)).status_code == 200
    (correction,) = corrections(log)
    assert not correction.wrong
    metrics = clients("read").get("/metrics").text
    assert 'reader_feedback_total{judgement="wrong",task="strips"} 1.0' in metrics
    assert 'judgement="right"' not in metrics


def test_a_digest_takes_the_picture_from_quarantine_or_none(clients, answer, log):
    stranger = clients("feedback").post("/feedback", json=said(answer, picture=None, digest="0" * 64))
    assert stranger.json() == {"digest": "0" * 64, "wrong": True, "kept": False}
    assert picture_of(log, corrections(log)[0]) is None
    folder = log / "quarantine"
    folder.mkdir(exist_ok=True)
    (folder / f"{DIGEST}.png").write_bytes(PNG)
    known = clients("feedback").post("/feedback", json=said(answer, picture=None, digest=DIGEST))
    assert known.json()["kept"]
    assert picture_of(log, corrections(log)[1]).read_bytes() == PNG


@pytest.mark.parametrize(
    ("changed", "status", "code", "part"),
    [
        ({"label": "1234567"}, 422, "bad_feedback", "expected 0 to 5 digits"),
        ({"label": "１"}, 422, "bad_feedback", "expected 0 to 5 digits"),
        ({"label": "1\n2"}, 422, "bad_feedback", "expected 0 to 5 digits"),
        ({"task": "cifar10", "label": "whale"}, 422, "bad_feedback", "expected one of airplane"),
        ({"task": "../strips"}, 404, "not_packaged", "served are: cifar10, strips"),
        ({"model": "f" * 63}, 422, "bad_feedback", "model"),
        ({"digest": "../../etc/passwd"}, 422, "bad_feedback", "digest"),
        ({"digest": "0" * 64}, 422, "bad_feedback", DIGEST),
        ({"picture": None}, 422, "bad_feedback", "neither picture nor digest"),
        ({"picture": "?"}, 422, "bad_feedback", "base 64"),
        ({"picture": base64.b64encode(b"GIF89a").decode()}, 415, "unsupported_format", "GIF"),
        ({"picture": base64.b64encode(PNG[:-20]).decode()}, 400, "damaged", ""),
        ({"picture": "A" * 2**21}, 413, "body_too_large", ""),
        ({"more": 1}, 422, "bad_feedback", "more"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(clients, answer, log, changed, status, code, part):
    response = clients("feedback").post("/feedback", json=said(answer, **changed))
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert part in response.json()["error"]["message"]
    assert corrections(log) == []


def test_a_body_that_is_no_document_is_refused(clients):
    client = clients("feedback")
    for content, kind, code in (
        (b"{", "application/json", "bad_json"),
        (b"[]", "application/json", "bad_feedback"),
        (PNG, "image/png", "unsupported_content_type"),
    ):
        response = client.post("/feedback", content=content, headers={"Content-Type": kind})
        assert response.json()["error"]["code"] == code


def test_feedback_that_does_not_fit_is_refused_and_nothing_is_lost(clients, answer, log):
    client = clients("feedback")
    assert client.post("/feedback", json=said(answer)).status_code == 200
    (log / "feedback/strips" / f"{'1' * 64}.png").write_bytes(bytes(2**20))
    # As `make label` and `make forget` leave it: the bytes are counted anew.
    (log / "feedback/.bytes").unlink()
    response = client.post("/feedback", json=said(answer, picture=None, digest="2" * 64))
    assert (response.status_code, response.json()["error"]["code"]) == (507, "feedback_full")
    assert len(corrections(log)) == 1


def test_only_a_token_for_it_may_say_what_is_right(clients, answer, artifacts, log):
    assert clients("read").post("/feedback", json=said(answer)).status_code == 403
    assert clients("read").get("/info").json()["feedback"] is True
    with TestClient(create_app(load_readers(artifacts), Limits(), log_settings=LogSettings(log))) as nobody:
        assert nobody.post("/feedback", json=said(answer)).status_code == 404
        assert nobody.get("/info").json()["feedback"] is False
        assert "/feedback" not in nobody.get("/openapi.json").json()["paths"]


def test_a_canary_counts_only_answers_that_the_service_gave(artifacts, log, tmp_path):
    """Made-up digests, pictures and readings end no canary, and the same answer counts once."""
    store = Store(tmp_path / "rollout")
    store.make()
    secret = tokens.create(tmp_path / "tokens.json", "all", ["read", "feedback"], 1000, None)
    access = AccessSettings(Tokens(tmp_path / "tokens.json"), Rates(None), None)
    app = create_app(
        load_readers(artifacts), Limits(), log_settings=LogSettings(log), access=access, rollout=store.folder
    )
    with TestClient(app) as client:
        _with_token(client, secret)
        rollout = rollouts.begin(store, rollouts.package(tmp_path / "new"), "canary")
        wait_for(lambda: rollouts.in_effect(store), "it did not begin")
        answer = client.post("/read", content=PNG).json()
        assert answer["model"]["sha256"] == rollout.candidate.sha256
        made_up = [
            {"picture": None, "digest": "0" * 64},
            {"picture": base64.b64encode(encoded(onnx_models.draw([9, 9, 9, 9, 9]))).decode()},
            {"reading": "99999"},
        ]
        for changed in made_up:
            assert client.post("/feedback", json=said(answer, **changed)).json()["wrong"]
        forget(log, DIGEST)
        client.post("/read", content=PNG)
        trial = store.folder / "trials" / f"{rollout.id}.jsonl"
        assert b"wrong" not in (trial.read_bytes() if trial.exists() else b"")
        for model in (answer["model"]["sha256"], "1" * 64) * 3:
            client.post("/feedback", json=said(answer, model=model))
        # Twice in the file, for the other model's answer came between; it counts once.
        (tally,) = [each for each in store.report().tallies if each.name == "wrong"]
        assert (tally.n, tally.mean) == (1, 1)
        assert DIGEST.encode() not in trial.read_bytes()
