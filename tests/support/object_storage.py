"""Remotes for tests: a server of S3 that checks keys, a server of SSH, and what can be wrong with either."""

import contextlib
import getpass
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUCKET = "store"
_ALLOW_ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
_FULL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free drive threshold.</Message>
</Error>"""


@dataclass(frozen=True)
class Server:
    """A server of S3 with the bucket `store`, and a key that may do anything there."""

    port: int
    key: str
    secret: str

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen | None = None, seconds: float = 90) -> None:
    """Wait until something listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process is None or process.poll() is None, f"ended with {process.returncode}"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens at port {port}")


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[Server]:
    """Moto's server. The first four calls, which make the key and the bucket, need no key; all others do."""
    import boto3

    port = free_port()
    with (folder / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "4"}
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(port, process)

        def client(service: str):
            return boto3.client(
                service,
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id="none",
                aws_secret_access_key="none",
            )

        iam = client("iam")
        iam.create_user(UserName="ada")
        key = iam.create_access_key(UserName="ada")["AccessKey"]
        iam.put_user_policy(UserName="ada", PolicyName="all", PolicyDocument=_ALLOW_ALL)
        client("s3").create_bucket(Bucket=BUCKET)
        yield Server(port, key["AccessKeyId"], key["SecretAccessKey"])
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def ssh(folder: Path) -> Iterator[tuple[int, Path]]:
    """OpenSSH on this machine; yields its port, and the private key that it takes."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert server, "no sshd: apt-get install openssh-server"
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    (folder / "authorized").chmod(0o600)
    # Where root without a terminal starts it, it needs this folder.
    with contextlib.suppress(PermissionError):
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"PidFile none\nSubsystem sftp internal-sftp\n"
    )
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen([server, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    try:
        wait_for(port, process)
        yield port, folder / "user"
    finally:
        process.kill()
        process.wait()


def ssh_settings(port: int, key: Path) -> dict[str, str]:
    """Of DVC, beside the address."""
    return {"port": str(port), "user": getpass.getuser(), "keyfile": str(key)}


@contextlib.contextmanager
def cutting(port: int, after: int) -> Iterator[int]:
    """A way to a server that cuts every connection off after so many bytes of requests; yields its port."""

    class Cut(socketserver.BaseRequestHandler):
        def handle(self):
            left = after
            with socket.create_connection(("127.0.0.1", port)) as server:
                threading.Thread(target=self.answers, args=(server,), daemon=True).start()
                with contextlib.suppress(OSError):
                    while (left := left - len(chunk := self.request.recv(512))) > 0 and chunk:
                        server.sendall(chunk)

        def answers(self, server):
            with contextlib.suppress(OSError):
                while chunk := server.recv(1 << 16):
                    self.request.sendall(chunk)

    with _serving(_Server(("127.0.0.1", 0), Cut)) as number:
        yield number


@contextlib.contextmanager
def slow(port: int, bytes_a_second: int) -> Iterator[int]:
    """A slow way to a server; yields its port."""

    class Slow(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", port)) as server:
                threading.Thread(target=self.pass_on, args=(server, self.request), daemon=True).start()
                self.pass_on(self.request, server)

        def pass_on(self, source, target):
            with contextlib.suppress(OSError):
                while chunk := source.recv(bytes_a_second // 20):
                    time.sleep(len(chunk) / bytes_a_second)
                    target.sendall(chunk)

    with _serving(_Server(("127.0.0.1", 0), Slow)) as number:
        yield number


@contextlib.contextmanager
def full() -> Iterator[int]:
    """A server that refuses every object as a full MinIO does; yields its port."""

    class Full(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(507)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(_FULL)))
            self.end_headers()
            self.wfile.write(_FULL)

        def do_GET(self):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *arguments):
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Full)) as number:
        yield number


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A server that takes connections and never answers; yields its port."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield server.getsockname()[1]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[int]:
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
