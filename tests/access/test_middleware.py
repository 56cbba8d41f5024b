"""The attack table of the tokens, against the application in this process: every row of docs/security.md."""

import datetime
import json
import logging

import onnx_models
import pytest
from apps import TestClient
from servers import encoded, wait_for

from pipeline.access import tokens
from pipeline.access.audit import Audit
from pipeline.access.rates import Rates
from pipeline.access.settings import AccessSettings
from pipeline.access.tokens import Tokens
from pipeline.rollout.store import Store
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

PICTURE = encoded(onnx_models.draw([1, 2, 3, 4, 5]))


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    onnx_models.package(tmp_path_factory.mktemp("artifacts") / "artifacts", boxes=True)
    return load_readers(next(tmp_path_factory.getbasetemp().glob("artifacts*/artifacts")))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens.json"


@pytest.fixture
def secrets(file):
    """By name, the secrets of a file with a token of each scope, one that is slow and one that has expired."""
    made = {scope: tokens.create(file, scope, [scope], 100, None) for scope in ("read", "feedback", "admin")}
    made["slow"] = tokens.create(file, "slow", ["read"], 3, None)
    made["old"] = tokens.create(file, "old", ["read"], 100, 1)
    found = list(tokens.read_tokens(file).tokens)
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    tokens.write_tokens(
        file, [each.model_copy(update={"expires": yesterday}) if each.name == "old" else each for each in found]
    )
    return made


@pytest.fixture
def client(readers, file, secrets, tmp_path):
    store = Store(tmp_path / "rollout")
    store.make()
    access = AccessSettings(Tokens(file), Rates(None), Audit(tmp_path / "audit.jsonl", 2**20))
    with TestClient(create_app(readers, Limits(), rollout=store.folder, access=access)) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def read(client, **headers):
    return client.post("/read", content=PICTURE, headers=headers)


def expect(response, status, code):
    assert (response.status_code, response.json()["error"]["code"]) == (status, code), response.text
    return response.json()["error"]["message"]


def audited(tmp_path, requests):
    """The lines of the audit log once it has so many requests; a thread writes it."""

    def lines():
        return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]

    wait_for(lambda: sum(1 + line.get("left_out", 0) for line in lines()) >= requests, "a request is not in the log")
    return lines()


def test_a_token_of_the_scope_is_let_in_and_named_in_the_log(client, secrets, tmp_path):
    assert read(client, **bearer(secrets["read"])).json()["digits"] == "12345"
    line = audited(tmp_path, 1)[-1]
    assert datetime.datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {"token": "read", "method": "POST", "path": "/read", "status": 200, "address": "testclient"}


def test_missing(client):
    response = read(client)
    expect(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="reader"'
    assert response.headers["Connection"] == "close"


@pytest.mark.parametrize(
    "change",
    [
        lambda secret: f"Bearer {secret[:-1]}",
        lambda secret: f"Bearer {secret}x",
        lambda secret: f"Bearer {secret[:-1]}{'a' if secret[-1] != 'a' else 'b'}",
        lambda secret: f"Bearer {tokens.digest(secret)}",
        lambda secret: f"Basic {secret}",
        lambda secret: secret,
        lambda secret: "Bearer ",
        lambda secret: f"Bearer {'x' * 5000}",
    ],
)
def test_wrong(client, secrets, change):
    expect(read(client, Authorization=change(secrets["read"])), 401, "unauthorized")


def test_wrong_where_there_are_two_headers_or_it_is_in_the_query(client, secrets):
    twice = [("Authorization", f"Bearer {secrets['read']}")] * 2
    expect(client.post("/read", content=PICTURE, headers=twice), 401, "unauthorized")
    expect(client.post(f"/read?token={secrets['read']}", content=PICTURE), 401, "unauthorized")


def test_expired_and_of_another_scope(client, secrets):
    assert "has expired" in expect(read(client, **bearer(secrets["old"])), 401, "unauthorized")
    message = expect(read(client, **bearer(secrets["feedback"])), 403, "forbidden")
    assert message == "the token feedback has the scopes feedback, and /read needs read"
    expect(client.get("/rollout", headers=bearer(secrets["read"])), 403, "forbidden")
    expect(client.post("/rollout/abort", headers=bearer(secrets["read"])), 403, "forbidden")


def test_replayed_after_it_was_revoked(client, secrets, file, monkeypatch):
    monkeypatch.setattr(tokens, "_LOOK_SECONDS", 0.0)
    assert read(client, **bearer(secrets["read"])).status_code == 200
    tokens.revoke(file, "read")
    expect(read(client, **bearer(secrets["read"])), 401, "unauthorized")


def test_too_many(client, secrets):
    answers = [read(client, **bearer(secrets["slow"])) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    expect(answers[-1], 429, "too_many_requests")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 20
    assert read(client, **bearer(secrets["read"])).status_code == 200, "another token has its own rate"


def test_guesses_are_counted_and_do_not_fill_the_log(client, secrets, tmp_path):
    for number in range(60):
        expect(read(client, **bearer(f"reader_{number}")), 401, "unauthorized")
    metrics = client.get("/metrics", headers=bearer(secrets["read"])).text
    assert 'reader_refusals_total{code="unauthorized"} 60.0' in metrics
    # Those of the last second may not be in any line yet.
    assert read(client, **bearer(secrets["read"])).status_code == 200
    lines = audited(tmp_path, 62)
    assert sum(line.get("left_out", 0) for line in lines) + len(lines) == 62


def test_what_needs_no_token(client):
    for path in ("/livez", "/healthz", "/readyz", "/docs", "/openapi.json", "/schema.json", "/page/app.js"):
        assert client.get(path).status_code == 200, path
    assert client.get("/", headers={"Accept": "text/html"}).status_code == 200
    for path in ("/metrics", "/info", "/rollout", "/no/such/path", "/livez/", "//read"):
        expect(client.get(path), 401, "unauthorized")


def test_administrators_see_and_end_rollouts(client, secrets):
    status = client.get("/rollout", headers=bearer(secrets["admin"])).json()
    assert status["state"]["rollout"] is None
    expect(client.post("/rollout/abort", headers=bearer(secrets["admin"])), 404, "not_found")


def test_without_tokens_there_is_nothing_for_administrators(readers, tmp_path):
    store = Store(tmp_path / "rollout")
    store.make()
    with TestClient(create_app(readers, Limits(), rollout=store.folder)) as client:
        expect(client.get("/rollout"), 404, "not_found")
        assert read(client).status_code == 200


def test_secrets_are_in_no_log_error_metric_or_file(client, secrets, file, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    said = []
    for name, secret in secrets.items():
        for path in ("/read", f"/read?task={secret}", f"/{secret}", "/info", "/metrics", "/rollout"):
            for headers in (bearer(secret), {"Authorization": f"Basic {secret}"}):
                answers = client.get(path, headers=headers), client.post(path, headers=headers)
                # An answer quotes what its own request said, to whoever said it; nothing else may.
                said += ["" if secret in path else answer.text for answer in answers]
        said.append(name)
    # The client of this test logs the addresses that it asks for.
    said += [record.getMessage() for record in caplog.records if record.name != "httpx"]
    said += [(tmp_path / "audit.jsonl").read_text(), file.read_text()]
    said.append(client.get("/metrics", headers=bearer(tokens.create(file, "more", ["read"], 9, None))).text)
    for text in said:
        for secret in secrets.values():
            assert secret.removeprefix(tokens.PREFIX) not in text
    assert file.stat().st_mode & 0o077 == 0


def test_the_document_says_what_needs_a_token(client):
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["paths"]["/read"]["post"]["security"] == [{"token": []}]
    assert {"401", "403", "429"} <= document["paths"]["/read"]["post"]["responses"].keys()
    assert "security" not in document["paths"]["/livez"]["get"]
