"""What tests of serving share: small packaged models, a client of the application in this process, and a server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import apps
import onnx_models
import pytest
from servers import ROOT, Server, environment, recording_lookups, started
from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory) -> Path:
    """A folder with packaged models of strips, which localises, and of CIFAR-10."""
    folder = tmp_path_factory.mktemp("artifacts")
    onnx_models.package(folder, boxes=True)
    onnx_models.package(folder, "cifar10")
    return folder


@pytest.fixture(scope="session")
def with_lines(artifacts, tmp_path_factory) -> Path:
    """The same models, and one of lines, which localises."""
    folder = tmp_path_factory.mktemp("with_lines")
    shutil.copytree(artifacts, folder, dirs_exist_ok=True)
    onnx_models.package(folder, "lines", boxes=True)
    return folder


@pytest.fixture(scope="session")
def reader_of_lines(with_lines) -> Iterator[TestClient]:
    """A client of the application with a model of lines, in this process."""
    with apps.client_of(with_lines) as client:
        yield client


@pytest.fixture(scope="session")
def client(artifacts) -> Iterator[TestClient]:
    """A client of the application, in this process."""
    with apps.client_of(artifacts) as client:
        yield client


@pytest.fixture(scope="session")
def server(artifacts, tmp_path_factory) -> Iterator[Server]:
    """`bentoml serve` with one worker, as someone starts it who has never heard of its telemetry."""
    home = tmp_path_factory.mktemp("bentoml")
    env = environment(home, READER_ARTIFACTS=str(artifacts), **recording_lookups(home / "lookups"))
    del env["BENTOML_DO_NOT_TRACK"]
    with started(cwd=ROOT, env=env, log=home / "log.txt") as server:
        yield server
