"""`make demo` serves a released folder, says where, and stops."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import onnx_models
import psutil
import pytest
import releases
import servers

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/  \(Ctrl-C stops it\)\n")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return releases.make(tmp_path_factory.mktemp("demo") / "release", "strips", "mnist")


def command(port, release):
    return [sys.executable, "-m", "pipeline.commands.demo", "--port", str(port), "--release", str(release)]


def start(port, release, home):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BENTOML_", "READER_"))}
    return subprocess.Popen(
        command(port, release), cwd=ROOT, env=kept | {"HOME": str(home)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def refused(port, release, code=2):
    """The one line with which the command ends; the code is that of a wrong configuration."""
    ended = subprocess.run(command(port, release), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == code, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""
    return ended.stderr


def test_without_a_release_it_says_what_writes_one(tmp_path):
    assert "registry release" in refused(servers.free_port(), tmp_path)


def test_a_port_in_use_is_named(release):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"PORT: {port}: another program uses it" in refused(port, release)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", ""])
def test_what_is_no_port_is_refused(release, port):
    assert refused(port, release).startswith("configuration: ")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_release_with_one_worker_until_it_is_stopped(release, tmp_path, number):
    port = servers.free_port()
    with start(port, release, tmp_path) as process:
        try:
            assert ADDRESS.fullmatch(process.stdout.readline()).group(1) == str(port)
            picture = servers.encoded(onnx_models.draw([3, 1, 4, 1, 5]))
            answer = httpx.post(f"http://127.0.0.1:{port}/read", content=picture).json()
            assert answer["digits"] == "31415"
            assert answer["model"]["version"] == "v1.2.3"
            children = psutil.Process(process.pid).children(recursive=True)
            workers = [child for child in children if "_bentoml_impl.worker.service" in " ".join(child.cmdline())]
            assert len(workers) == 1
        finally:
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "stopped\n")
    assert not psutil.wait_procs(children, timeout=10)[1], "nothing goes on"
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_changed_release_is_not_served(tmp_path):
    release = releases.make(tmp_path / "release", "strips")
    with (release / "strips/manifest.json").open("a") as file:
        file.write("\n")
    assert "strips/manifest.json: SHA-256" in refused(servers.free_port(), release, code=3)
