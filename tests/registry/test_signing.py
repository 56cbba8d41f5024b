"""Signatures with a local key: who can register, and what is refused without the right one."""

import subprocess
import sys

import pytest
import registry_project as made
from registry_project import ARTIFACT, answer, done, git, lift, package, refused

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.registry import signing


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Two pairs of keys, `ours` and `theirs`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        private, public = folder / f"{name}.pem", folder / f"{name}.pub"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private], check=True)
        subprocess.run(["openssl", "ec", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return folder


def test_a_signature_holds_for_its_file_and_its_key(keys, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"a model")
    signature = signing.sign(model, keys / "ours.pem")
    signing.check(model, signature, keys / "ours.pub", "x@v0.1.0")
    for text, key in ((signature, "theirs"), ("{}", "ours"), (None, "ours")):
        with pytest.raises(RegistryError, match=r"x@v0\.1\.0"):
            signing.check(model, text, keys / f"{key}.pub", "x@v0.1.0")
    model.write_bytes(b"another model")
    with pytest.raises(RegistryError, match=r"x@v0\.1\.0"):
        signing.check(model, signature, keys / "ours.pub", "x@v0.1.0")


def test_a_file_that_is_no_key_is_named(keys, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"a model")
    signature = signing.sign(model, keys / "ours.pem")
    with pytest.raises(ConfigurationError, match=r"model\.onnx"):
        signing.sign(model, model)
    with pytest.raises(ConfigurationError, match=r"model\.onnx"):
        signing.check(model, signature, model, "x@v0.1.0")


def test_where_a_key_is_configured_only_signed_versions_are_promoted_and_deployed(project, keys):
    git(project, "config", signing.VERIFYING_KEY, str(keys / "ours.pub"))
    for command in (("promote", f"{ARTIFACT}@v0.3.0", "staging"), ("rollback", ARTIFACT, "dev"), ("deploy", "prod")):
        assert signing.VERIFYING_KEY in refused(project, *command)
    git(project, "config", signing.SIGNING_KEY, str(keys / "ours.pem"))
    package(project, 6.9)
    done(project, "register", ARTIFACT)
    lift(project, "v0.4.0")
    results = {each["subject"]: each["holds"] for each in answer(project, "verify", ARTIFACT)[f"{ARTIFACT}@v0.4.0"]}
    assert results["signature"]
    done(project, "deploy", "prod")
    signature = (project / "deploy/prod/strips/model.sig").read_text()
    signing.check(project / "deploy/prod/strips/model.onnx", signature, keys / "ours.pub", "what is deployed")
    git(project, "config", signing.VERIFYING_KEY, str(keys / "theirs.pub"))
    assert "theirs.pub" in refused(project, "deploy", "prod")
    results = answer(project, "verify", ARTIFACT, code=4)[f"{ARTIFACT}@v0.4.0"]
    assert [each["subject"] for each in results if not each["holds"]] == ["signature"]
    git(project, "config", signing.VERIFYING_KEY, str(keys / "gone.pub"))
    assert "gone.pub" in refused(project, "deploy", "prod", code=2)
    git(project, "config", "--unset", signing.VERIFYING_KEY)
    results = {each["subject"]: each["detail"] for each in answer(project, "verify", ARTIFACT)[f"{ARTIFACT}@v0.4.0"]}
    assert signing.VERIFYING_KEY in results["signature"], "there is one, and it was not checked"


def test_a_key_without_the_library_is_a_configuration_error(project, keys, monkeypatch):
    git(project, "config", signing.SIGNING_KEY, str(keys / "ours.pem"))
    monkeypatch.setitem(sys.modules, "model_signing", None)
    package(project, 6.9)
    assert "model-signing" in refused(project, "register", ARTIFACT, code=2)
    assert git(project, "tag", "-l", f"{ARTIFACT}@v0.4.0") == ""
    assert made.in_stage(project) == "v0.1.0"
