"""Throw-away projects with a registry. Each is built once a session, and every test gets a copy."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import registry_project as made
from registry_project import ARTIFACT, BETTER, GOOD, WORSE, done, git, lift, package

from pipeline.events import signing
from pipeline.records.registry import Evidence
from pipeline.registry.operations import Registry


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """The registry's clock is an hour slow."""
    with made.slow_clock():
        yield


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v0.1.0 is in prod; v0.2.0 is worse and v0.3.0 is better, and both are registered and were in dev."""
    with made.slow_clock():
        folder = made.create(tmp_path_factory.mktemp("registry") / "project")
        for bias in (GOOD, WORSE, BETTER):
            package(folder, bias)
            done(folder, "register", ARTIFACT)
        lift(folder, "v0.1.0")
        done(folder, "promote", f"{ARTIFACT}@v0.2.0", "dev")
        done(folder, "promote", f"{ARTIFACT}@v0.3.0", "dev")
    return folder


@pytest.fixture(scope="session")
def lifted_base(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with v0.3.0 in every stage."""
    with made.slow_clock():
        folder = shutil.copytree(base, tmp_path_factory.mktemp("lifted") / "project", symlinks=True)
        lift(folder, "v0.3.0")
    return folder


@pytest.fixture(scope="session")
def shared_base(lifted_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clones, `ours` and `theirs`, that create tags in one shared repository first; v0.3.0 is in every stage."""
    folder = tmp_path_factory.mktemp("shared")
    ours = shutil.copytree(lifted_base, folder / "ours", symlinks=True)
    git(ours, "clone", "-q", "--bare", ".", "../shared.git")
    git(ours, "remote", "add", "origin", "../shared.git")
    git(ours, "config", "registry.remote", "origin")
    shutil.copytree(ours, folder / "theirs", symlinks=True)
    return folder


@pytest.fixture
def project(base: Path, tmp_path: Path) -> Path:
    """A copy of `base`."""
    return shutil.copytree(base, tmp_path / "project", symlinks=True)


@pytest.fixture
def lifted(lifted_base: Path, tmp_path: Path) -> Path:
    """A copy of `lifted_base`."""
    return shutil.copytree(lifted_base, tmp_path / "project", symlinks=True)


@pytest.fixture
def clones(shared_base: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A copy of `shared_base`: both clones and their shared repository."""
    folder = shutil.copytree(shared_base, tmp_path / "shared", symlinks=True)
    return folder / "ours", folder / "theirs", folder / "shared.git"


@pytest.fixture(scope="session")
def evidence(base: Path) -> Evidence:
    """The evidence of v0.3.0."""
    return Registry.open(base).history.version(ARTIFACT, "v0.3.0").evidence


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of keys, `ours` and `theirs`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        private, public = folder / f"{name}.pem", folder / f"{name}.pub"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private], check=True)
        subprocess.run(["openssl", "ec", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def signed_base(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a key: v0.1.0 was in every stage, v0.2.0 is worse and in dev, v0.3.0 is in every stage; all signed."""
    with made.slow_clock():
        folder = made.create(tmp_path_factory.mktemp("signed") / "project")
        git(folder, "config", signing.SIGNING_KEY, str(keys / "ours.pem"))
        git(folder, "config", signing.VERIFYING_KEY, str(keys / "ours.pub"))
        for bias in (GOOD, WORSE, BETTER):
            package(folder, bias)
            done(folder, "register", ARTIFACT)
        lift(folder, "v0.1.0")
        done(folder, "promote", f"{ARTIFACT}@v0.2.0", "dev")
        lift(folder, "v0.3.0")
    return folder


@pytest.fixture
def signed(signed_base: Path, tmp_path: Path) -> Path:
    """A copy of `signed_base`."""
    return shutil.copytree(signed_base, tmp_path / "project", symlinks=True)
