"""Signed statements with a local key: what they cover, and what is refused without the right one."""

import base64
import json
import subprocess
import sys

import pytest
import registry_project as made
from registry_project import ARTIFACT, MODEL, answer, done, git, lift, package, refused, sha256, tag

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.events import signing, trust
from pipeline.records.registry import Envelope
from pipeline.registry.operations import Registry

STATEMENT = {
    "predicateType": "a",
    "subject": [{"name": "model.onnx", "digest": {"sha256": "0"}}],
    "predicate": {"b": 1},
}


def test_a_signature_holds_for_its_statement_and_its_key(keys):
    envelope = signing.sign(STATEMENT, keys / "ours.pem")
    signing.check(envelope, STATEMENT, keys / "ours.pub", "x@v0.1.0")
    empty = Envelope.model_validate(envelope.as_json() | {"payload": ""})
    for each, key in ((envelope, "theirs"), (empty, "ours"), (None, "ours")):
        with pytest.raises(RegistryError, match=r"x@v0\.1\.0"):
            signing.check(each, STATEMENT, keys / f"{key}.pub", "x@v0.1.0")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"predicate": {"b": 2}}, "b 1, found 2"),
        ({"predicateType": "c"}, "predicateType 'a', found 'c'"),
        ({"subject": [{"name": "model.onnx", "digest": {"sha256": "1"}}]}, "model.onnx with"),
    ],
)
def test_what_differs_from_the_signed_statement_is_named(keys, changes, named):
    envelope = signing.sign(STATEMENT, keys / "ours.pem")
    with pytest.raises(RegistryError, match=named):
        signing.check(envelope, STATEMENT | changes, keys / "ours.pub", "x@v0.1.0")


@pytest.mark.parametrize("curve", ["secp384r1", "secp521r1"])
def test_every_curve_signs_and_other_keys_are_named(curve, tmp_path):
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", private], check=True)
    subprocess.run(["openssl", "ec", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    signing.check(signing.sign(STATEMENT, private), STATEMENT, public, "x@v0.1.0")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    with pytest.raises(ConfigurationError, match=r"key\.pem"):
        signing.sign(STATEMENT, private)


def test_a_file_that_is_no_key_is_named(keys, tmp_path):
    file = tmp_path / "file.txt"
    file.write_bytes(b"no key")
    envelope = signing.sign(STATEMENT, keys / "ours.pem")
    with pytest.raises(ConfigurationError, match=r"file\.txt"):
        signing.sign(STATEMENT, file)
    with pytest.raises(ConfigurationError, match=r"file\.txt"):
        signing.check(envelope, STATEMENT, file, "x@v0.1.0")


def test_openssl_verifies_what_was_signed(signed, keys, tmp_path):
    """The envelope is DSSE's and the payload in-toto's: no code of this project is needed to read them."""
    done(signed, "deploy", "prod")
    envelope = json.loads((signed / "deploy/prod/strips/model.sig").read_text())
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    (tmp_path / "pae").write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["openssl", "dgst", "-sha256", "-verify", keys / "ours.pub", "-signature", tmp_path / "sig"]
    subprocess.run([*command, tmp_path / "pae"], check=True, capture_output=True)
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    subject = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert subject == {
        "model.onnx": sha256(signed / "deploy/prod/strips/model.onnx"),
        "manifest.json": sha256(signed / MODEL.manifest),
    }
    predicate = statement["predicate"]
    assert (predicate["artifact"], predicate["version"]) == (ARTIFACT, "v0.3.0")
    assert predicate["revision"] == git(signed, "rev-parse", f"{ARTIFACT}@v0.3.0^{{commit}}")


def test_every_event_is_signed(signed, keys):
    refused(signed, "promote", f"{ARTIFACT}@v0.2.0", "staging")
    done(signed, "rollback", ARTIFACT, "prod")
    events = Registry.open(signed).history.events
    assert {event.kind for event in events} == {"version", "promotion", "rollback", "refusal"}
    for event in events:
        trust.check_signature(event, keys / "ours.pub")
        with pytest.raises(RegistryError, match="theirs"):
            trust.check_signature(event, keys / "theirs.pub")


def test_where_a_key_is_configured_only_signed_versions_are_promoted_and_deployed(project, keys):
    git(project, "config", signing.VERIFYING_KEY, str(keys / "ours.pub"))
    for command in (("promote", f"{ARTIFACT}@v0.3.0", "staging"), ("rollback", ARTIFACT, "dev")):
        assert signing.SIGNING_KEY in refused(project, *command, code=2), "it could not be signed"
    assert signing.VERIFYING_KEY in refused(project, "deploy", "prod")
    git(project, "config", signing.SIGNING_KEY, str(keys / "ours.pem"))
    for command in (("promote", f"{ARTIFACT}@v0.3.0", "staging"), ("rollback", ARTIFACT, "dev")):
        assert "not signed" in refused(project, *command)
    package(project, 6.9)
    done(project, "register", ARTIFACT)
    lift(project, "v0.4.0")
    results = {each["subject"]: each["holds"] for each in answer(project, "verify", ARTIFACT)[f"{ARTIFACT}@v0.4.0"]}
    assert results["signature"]
    assert results["in prod"]
    done(project, "deploy", "prod")
    git(project, "config", signing.VERIFYING_KEY, str(keys / "theirs.pub"))
    assert "theirs.pub" in refused(project, "deploy", "prod")
    assert "theirs.pub" in refused(project, "rollback", ARTIFACT, "prod")
    results = answer(project, "verify", ARTIFACT, code=4)[f"{ARTIFACT}@v0.4.0"]
    failed = {each["subject"] for each in results if not each["holds"]}
    assert failed == {"signature", "in dev", "in staging", "in prod"}
    git(project, "config", signing.VERIFYING_KEY, str(keys / "gone.pub"))
    assert "gone.pub" in refused(project, "deploy", "prod", code=2)
    git(project, "config", "--unset", signing.VERIFYING_KEY)
    results = {each["subject"]: each["detail"] for each in answer(project, "verify", ARTIFACT)[f"{ARTIFACT}@v0.4.0"]}
    assert signing.VERIFYING_KEY in results["signature"], "there is one, and it was not checked"


def test_a_signed_version_with_an_unsigned_decision_is_not_deployed(signed):
    git(signed, "config", "--unset", signing.SIGNING_KEY)
    key = git(signed, "config", signing.VERIFYING_KEY)
    git(signed, "config", "--unset", signing.VERIFYING_KEY)
    done(signed, "rollback", ARTIFACT, "prod")
    done(signed, "deploy", "prod")
    git(signed, "config", signing.VERIFYING_KEY, key)
    err = refused(signed, "deploy", "prod")
    assert f"{ARTIFACT}#prod#3: not signed" in err
    assert signing.VERIFYING_KEY in refused(signed, "deploy", "prod", "--unchecked", code=2)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"version": "v0.4.0"}, "version 'v0.3.0', found 'v0.4.0'"),
        ({"manifest_sha256": "0" * 64}, "manifest.json"),
        ({"sha256": "0" * 64}, "model.onnx"),
        ({"coverage": {}}, "evidence"),
    ],
    ids=["version", "manifest", "model", "evidence"],
)
def test_a_signature_that_was_moved_to_something_else_names_what_differs(signed, keys, changes, named):
    event = Registry.open(signed).history.version(ARTIFACT, "v0.3.0")
    document = event.evidence.as_json() | (changes if "coverage" not in changes else {})
    if "coverage" in changes:
        document["coverage"]["threshold"] = 0.0
    name = f"{ARTIFACT}@{document['version']}"
    if name == event.tag:
        tag(signed, name, json.dumps(document), name)
    else:
        git(signed, "commit", "-q", "--allow-empty", "-m", "more")
        tag(signed, name, json.dumps(document))
    event = Registry.open(signed).history.version(ARTIFACT, document["version"])
    with pytest.raises(RegistryError, match=named):
        trust.check_signature(event, keys / "ours.pub")


@pytest.mark.parametrize(
    ("tag_name", "changes", "named"),
    [
        (f"{ARTIFACT}#prod#3", {}, "tag 'strip-reader#prod#2', found 'strip-reader#prod#3'"),
        (f"{ARTIFACT}#staging#3", {"stage": "staging"}, "stage 'prod', found 'staging'"),
        (f"{ARTIFACT}#prod#3", {"replaces": None}, "tag "),
        (f"{ARTIFACT}#prod#2", {"replaces": None}, "document "),
    ],
)
def test_a_decision_that_was_moved_names_what_differs(signed, keys, tag_name, changes, named):
    document = json.loads(git(signed, "tag", "-l", "--format=%(contents)", f"{ARTIFACT}#prod#2")) | changes
    tag(signed, tag_name, json.dumps(document), f"{ARTIFACT}@v0.3.0", date="2031-01-01T00:00:00Z")
    (event,) = [event for event in Registry.open(signed).history.events if event.tag == tag_name]
    with pytest.raises(RegistryError, match=named):
        trust.check_signature(event, keys / "ours.pub")


def test_a_key_without_the_library_is_a_configuration_error(project, keys, monkeypatch):
    git(project, "config", signing.SIGNING_KEY, str(keys / "ours.pem"))
    monkeypatch.setitem(sys.modules, "securesystemslib", None)
    package(project, 6.9)
    assert "securesystemslib" in refused(project, "register", ARTIFACT, code=2)
    assert git(project, "tag", "-l", f"{ARTIFACT}@v0.4.0") == ""
    assert made.in_stage(project) == "v0.1.0"


def test_a_private_key_of_another_pair_records_nothing(signed, keys):
    git(signed, "config", signing.SIGNING_KEY, str(keys / "theirs.pem"))
    tags = git(signed, "tag")
    assert "ours.pub" in refused(signed, "promote", f"{ARTIFACT}@v0.1.0", "dev")
    assert git(signed, "tag") == tags
