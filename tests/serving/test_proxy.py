"""The service behind nginx, as docs/examples/nginx.conf sets it up: TLS, limits, addresses that nobody can forge."""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess

import httpx
import onnx_models
import pytest
from servers import ROOT, encoded, environment, free_port, started, wait_for

from pipeline.access import tokens

PICTURE = encoded(onnx_models.draw([1, 2, 3, 4, 5]))
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NGINX is None, reason="nginx is not installed")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture(scope="module")
def secret(folder):
    return tokens.create(folder / "tokens.json", "ci", ["read"], 10_000, None)


@pytest.fixture(scope="module")
def server(folder, secret):
    onnx_models.package(folder / "artifacts", boxes=True)
    env = environment(
        folder / "home",
        READER_ARTIFACTS=str(folder / "artifacts"),
        READER_TOKENS=str(folder / "tokens.json"),
        READER_AUDIT=str(folder / "audit.jsonl"),
        READER_HOSTS="reader.example.org,127.0.0.1",
    )
    with started(cwd=ROOT, env=env, log=folder / "log.txt") as server:
        yield server


@pytest.fixture(scope="module")
def proxy(folder, server):
    """nginx with the example, but for the lines that it marks; its ports for HTTP and HTTPS."""
    names = ["-subj", "/CN=reader.example.org", "-addext", "subjectAltName=DNS:reader.example.org"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*command, "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)
    plain, tls = free_port(), free_port()
    text = (ROOT / "docs/examples/nginx.conf").read_text()
    for before, after in {
        "server 127.0.0.1:3000;": f"server 127.0.0.1:{server.port};",
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{tls} ssl http2;",
        "/etc/ssl/reader/fullchain.pem": f"{folder}/cert.pem",
        "/etc/ssl/reader/privkey.pem": f"{folder}/key.pem",
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx": str(folder),
    }.items():
        assert before in text, before
        text = text.replace(before, after)
    (folder / "nginx.conf").write_text(text)
    process = subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"])

    def listening():
        assert process.poll() is None, (folder / "error.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", tls)):
            return True
        return False

    wait_for(listening, "nginx does not listen", 30)
    yield plain, tls
    process.terminate()
    assert process.wait(30) == 0


@pytest.fixture
def client(proxy, folder, secret):
    """A client of the proxy that trusts its certificate, at another address than the proxy has for the service."""
    context = ssl.create_default_context(cafile=folder / "cert.pem")
    transport = httpx.HTTPTransport(verify=context, local_address="127.0.0.2")
    headers = {"Authorization": f"Bearer {secret}", "Host": "reader.example.org"}
    with httpx.Client(transport=transport, base_url=f"https://127.0.0.1:{proxy[1]}", headers=headers) as client:
        yield client


def ask(client, method, path, **options):
    return client.request(method, path, extensions={"sni_hostname": "reader.example.org"}, **options)


def audited(folder):
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


def test_a_picture_is_read_over_tls_and_plain_http_is_redirected(client, proxy):
    answer = ask(client, "POST", "/read", content=PICTURE)
    assert answer.json()["digits"] == "12345"
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    plain = httpx.get(f"http://127.0.0.1:{proxy[0]}/info?a=b", headers={"Host": "reader.example.org"})
    assert (plain.status_code, plain.headers["Location"]) == (308, "https://reader.example.org/info?a=b")


def test_errors_of_the_service_come_through_with_their_headers(client):
    answer = ask(client, "POST", "/read", content=PICTURE, headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="reader"'


def test_the_log_has_the_clients_address_whatever_the_client_says(client, folder):
    count = len(audited(folder))
    for headers in ({}, {"X-Forwarded-For": "6.6.6.6"}, {"Forwarded": "for=6.6.6.6", "X-Real-IP": "6.6.6.6"}):
        assert ask(client, "GET", "/info", headers=headers).status_code == 200
        count += 1
        wait_for(lambda count=count: len(audited(folder)) >= count, "the request is not in the log")
        assert audited(folder)[-1]["address"] == "127.0.0.2"


def test_metrics_are_for_the_machine_that_scrapes(client, server, secret):
    assert ask(client, "GET", "/metrics").status_code == 403
    assert server.client.get("/metrics", headers={"Authorization": f"Bearer {secret}"}).status_code == 200


def test_a_body_that_is_too_large_ends_at_the_proxy(client):
    assert ask(client, "POST", "/read_many", content=bytes(17 * 2**20)).status_code == 413


def test_no_log_has_a_secret(client, folder, secret):
    ask(client, "GET", f"/info?token={secret}")
    ask(client, "POST", "/read", content=PICTURE)
    for name in ("reader.log", "error.log", "audit.jsonl", "log.txt"):
        assert secret not in (folder / name).read_text(), name
