"""Checks of the pictures, the mirror and the network."""

import os
import socket
import threading
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.experiments import pictures

ROOT = Path(__file__).parents[2]
MIRROR = os.environ.get("DATASETS_MIRROR", "")


@pytest.fixture(autouse=True)
def anywhere(tmp_path, monkeypatch):
    """A folder without pictures and without params.yaml, an environment without a mirror."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATASETS_MIRROR", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def asked(monkeypatch):
    """The addresses that are connected to; every one answers."""
    addresses = []

    def connect(address, timeout):
        addresses.append(address)
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    return addresses


def test_pictures_that_were_not_fetched_are_noted():
    assert [check.verdict for check in pictures.fetched()] == ["note", "note", "note"]


def test_what_a_folder_leaves_out_is_named(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    assert "mnist: {from: public}" in text
    (tmp_path / "params.yaml").write_text(text.replace("mnist: {from: public}", "mnist: {from: my_digits}"))
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    (tmp_path / "my_digits/1").mkdir(parents=True)
    assert len(pictures.fetched()) == 3
    (tmp_path / "my_digits/1/scan.tif").write_bytes(b"")
    (check,) = pictures.fetched()[3:]
    assert check.verdict == "note"
    assert check.message == "mnist: my_digits: 1 left out, expected .png, .jpg, .jpeg or .bmp: 1 .tif (1/scan.tif)"


def test_what_a_folder_of_lines_leaves_out_is_named(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    assert "cheques: {from: public}" in text
    (tmp_path / "params.yaml").write_text(text.replace("cheques: {from: public}", "cheques: {from: my_amounts}"))
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    (tmp_path / "my_amounts").mkdir()
    for name in ("scan.bmp", "scan.webp", "instances.json"):
        (tmp_path / "my_amounts" / name).write_bytes(b"")
    (check,) = pictures.fetched()[3:]
    assert check.message == "cheques: my_amounts: 1 left out, expected .png, .jpg, .jpeg or .webp: 1 .bmp (scan.bmp)"


def test_the_home_of_a_user_that_does_not_exist_is_a_folder_that_does_not_exist(monkeypatch):
    monkeypatch.setenv("DATASETS_MIRROR", "~nobody-of-this-name/mirror")
    (check,) = pictures.mirror()
    assert (check.verdict, "no such folder" in check.message) == ("problem", True)


def test_the_mirror_is_compared_with_what_it_must_hold(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist/train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b" + bytes(20))
    (tmp_path / "mnist/train-labels-idx1-ubyte.gz").write_text("<html>")
    monkeypatch.setenv("DATASETS_MIRROR", str(tmp_path))
    (check,) = pictures.mirror()
    assert check.verdict == "problem"
    assert "train-images-idx3-ubyte.gz decompresses to 0 bytes, expected 47,040,016" in check.message
    assert "train-labels-idx1-ubyte.gz is not a gzip file" in check.message
    assert "cifar-10-binary.tar.gz is missing; cheques.tar.gz is missing" in check.message


def test_a_mirror_that_does_not_exist_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setenv("DATASETS_MIRROR", str(tmp_path / "none"))
    assert pictures.mirror()[0].verdict == "problem"


def test_the_password_of_an_address_is_not_shown(monkeypatch):
    monkeypatch.setenv("DATASETS_MIRROR", "https://user:secret@mirror.example.org/sets")
    (check,) = pictures.mirror()
    assert (check.verdict, check.message) == ("ok", "mirror.example.org, not asked")


@pytest.mark.parametrize("address", ["http://ada:secret@[host/sets", "http://ada:secret@host:port/sets"])
def test_what_is_no_address_is_a_problem_of_its_variable(monkeypatch, address):
    monkeypatch.setenv("DATASETS_MIRROR", address)
    with pytest.raises(ConfigurationError, match=r"^DATASETS_MIRROR: not an address; expected") as raised:
        pictures.mirror()
    assert "secret" not in str(raised.value)
    monkeypatch.delenv("DATASETS_MIRROR")
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY: not an address; expected"):
        pictures.mirror()


def test_without_a_mirror_the_network_is_asked(monkeypatch, asked):
    assert pictures.mirror()[0].verdict == "ok"
    assert [port for _, port in asked] == [443]
    monkeypatch.setattr(pictures, "answers", lambda host: False)
    (check,) = pictures.mirror()
    assert check.verdict == "note"
    assert "DATASETS_MIRROR" in check.message


def test_behind_a_proxy_the_proxy_is_asked(monkeypatch, asked):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    assert pictures.answers("example.org")
    assert asked == [("proxy.example.org", 3128)]


def test_a_host_that_refuses_does_not_answer(monkeypatch):
    def refuse(address, timeout):
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert not pictures.answers("example.org")


def test_a_connection_that_never_ends_is_not_waited_for(monkeypatch):
    """As a look-up of a name, which has no time limit of its own."""
    released = threading.Event()
    monkeypatch.setattr(socket, "create_connection", lambda address, timeout: released.wait() and socket.socket())
    assert not pictures.answers("example.org", timeout=0.01)
    released.set()


@pytest.mark.skipif(not MIRROR, reason="the real files come from a mirror")
def test_a_real_mirror_passes(monkeypatch):
    monkeypatch.setenv("DATASETS_MIRROR", MIRROR)
    (check,) = pictures.mirror()
    assert check.verdict == "ok", check.message
    if Path(MIRROR).is_dir():
        monkeypatch.chdir(Path(MIRROR).parent)
        monkeypatch.setenv("DATASETS_MIRROR", Path(MIRROR).name)
        assert "relative: make repro" in pictures.mirror()[0].message
