"""Signatures: what a tag holds, as one in-toto statement in a DSSE envelope, with a local key of an elliptic curve."""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.events.repository import Repository
from pipeline.records.manifest import MANIFEST
from pipeline.records.registry import Envelope, Evidence, StageChange

SIGNING_KEY = "registry.signingKey"
"""The key of git's configuration that names the file of a private key: PEM, curve P-256, P-384 or P-521."""
VERIFYING_KEY = "registry.verifyingKey"
"""The same for a public key. Where it is set, a version or decision without a signature of that key is rejected."""
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
VERSION_TYPE = "urn:digit-strips:registry:version:1"
STAGE_TYPE = "urn:digit-strips:registry:stage:1"
"""What a statement is about: a version that was registered, or a stage's change or refusal."""
_MODEL = "model.onnx"

Statement = Mapping[str, JsonValue]


@dataclass(frozen=True)
class Keys:
    """The key files that git's configuration names; None where it names none."""

    private: Path | None
    public: Path | None

    @classmethod
    def of(cls, repository: Repository) -> "Keys":
        """The keys of a clone. Their paths are relative to its top folder.

        Raises:
            ConfigurationError: a file does not exist.
        """
        return cls(*(_key(repository, key) for key in (SIGNING_KEY, VERIFYING_KEY)))


def version_statement(evidence: Evidence, *, tag: str, revision: str, digest: str) -> Statement:
    """What a signature of a version states.

    Args:
        evidence: the document in its tag.
        tag: its name.
        revision: the commit that the tag points at.
        digest: `document_digest` of the evidence.
    """
    return _statement(
        VERSION_TYPE,
        {_MODEL: evidence.sha256, MANIFEST: evidence.manifest_sha256},
        {
            "artifact": evidence.artifact,
            "version": evidence.version,
            "revision": revision,
            "tag": tag,
            **_previous(evidence),
            "evidence": digest,
        },
    )


def stage_statement(document: StageChange, *, kind: str, tag: str, revision: str, digest: str) -> Statement:
    """What a signature of a promotion, a rollback or a refusal states.

    Args:
        document: in its tag.
        kind: of the document, which is the outcome.
        tag: its name.
        revision: the commit that the tag points at.
        digest: `document_digest` of the document, with its decision.
    """
    return _statement(
        STAGE_TYPE,
        {_MODEL: document.sha256},
        {
            "artifact": document.artifact,
            "version": document.version,
            "stage": document.stage,
            "outcome": kind,
            "revision": revision,
            "tag": tag,
            **_previous(document),
            "evidence": document.evidence_sha256,
            "document": digest,
        },
    )


def document_digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of a tag's document without its signature, as canonical JSON.

    Raises:
        ValueError: a number of the document cannot be written as JSON.
    """
    unsigned = {key: value for key, value in content.items() if key != "signature"}
    return hashlib.sha256(_canonical(unsigned).encode()).hexdigest()


def sign(statement: Statement, key: Path) -> Envelope:
    """A statement in a signed envelope.

    Raises:
        ConfigurationError: the key cannot be used, or securesystemslib is not installed.
    """
    dsse, signer, serialization = _library()
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        chosen = signer.CryptoSigner(private, _elliptic(signer, private.public_key()))
    except Exception as error:  # The library raises errors of many kinds, for whatever is read first.
        raise ConfigurationError(
            f"{key}: not a usable private key ({_line(error)}); expected PEM of curve P-256, P-384 or P-521, as "
            "`openssl ecparam -name prime256v1 -genkey -noout` writes it"
        ) from None
    envelope = dsse.Envelope(_canonical(statement).encode(), PAYLOAD_TYPE, {})
    envelope.sign(chosen)
    return Envelope.model_validate(envelope.to_dict())


def check(envelope: Envelope | None, expected: Statement, key: Path, name: str) -> None:
    """Check that a key signed just this statement.

    Args:
        envelope: what `sign` returned; None where there is no signature.
        expected: what the tag, its document and the files say now.
        key: the public key's file.
        name: of the tag, for the message.

    Raises:
        ConfigurationError: the key cannot be used, or securesystemslib is not installed.
        RegistryError: there is no signature, it is of another key, or it is of another statement: the message names
            what differs.
    """
    if envelope is None:
        raise RegistryError(f"{name}: not signed, but {VERIFYING_KEY} is set; expected a signature for {key.name}")
    dsse, signer, serialization = _library()
    try:
        public = _elliptic(signer, serialization.load_pem_public_key(key.read_bytes()))
    except Exception as error:  # As above.
        raise ConfigurationError(f"{key}: not a usable public key ({_line(error)}); expected PEM") from None
    try:
        # The key's id is a label that anybody can write: the signature decides.
        signatures = [{"keyid": public.keyid, "sig": each.sig} for each in envelope.signatures[:1]]
        content = {"payload": envelope.payload, "payloadType": envelope.payload_type, "signatures": signatures}
        dsse.Envelope.from_dict(content).verify([public], 1)
        if envelope.payload_type != PAYLOAD_TYPE:
            raise ValueError(f"payloadType {envelope.payload_type!r}, expected {PAYLOAD_TYPE}")
        signed = json.loads(base64.b64decode(envelope.payload, validate=True))
    except Exception as error:  # A damaged envelope fails in the part of it that is read first.
        raise RegistryError(f"{name}: the signature does not hold for {key.name} ({_line(error)})") from None
    if signed != json.loads(_canonical(expected)):
        raise RegistryError(f"{name}: the signature is of {_difference(signed, expected)}")


def _statement(kind: str, subject: Mapping[str, str], predicate: Mapping[str, JsonValue]) -> Statement:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subject.items()],
        "predicateType": kind,
        "predicate": dict(predicate),
    }


def _previous(document: Evidence | StageChange) -> dict[str, JsonValue]:
    return {"previous": None if document.previous is None else document.previous.id}


def _difference(signed: Any, expected: Statement) -> str:
    """The first part in which two statements differ, in words."""
    ours, theirs = (dict(_parts(statement)) for statement in (expected, signed))
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            return f"{name} {theirs.get(name)!r}, found {ours.get(name)!r}"
    return "another statement"


def _parts(statement: Any) -> list[tuple[str, Any]]:
    if not isinstance(statement, Mapping):
        return []
    subject, predicate = statement.get("subject"), statement.get("predicate")
    parts = [("predicateType", statement.get("predicateType"))]
    parts += list(predicate.items()) if isinstance(predicate, Mapping) else [("predicate", predicate)]
    for each in subject if isinstance(subject, list) else []:
        if isinstance(each, Mapping):
            parts.append((f"{each.get('name')} with", each.get("digest")))
    # A digest of the whole document differs whatever differs: the part is named first.
    return sorted(parts, key=lambda part: part[0] in ("evidence", "document", "previous"))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _elliptic(signer: Any, public: Any) -> Any:
    key = signer.SSlibKey.from_crypto(public)
    if key.keytype != "ecdsa":
        raise ValueError(f"a key of type {key.keytype}, expected an elliptic curve")
    return key


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _key(repository: Repository, setting: str) -> Path | None:
    if (value := repository.setting(setting)) is None:
        return None
    path = repository.root / os.path.expanduser(value)  # noqa: PTH111
    if not path.is_file():
        raise ConfigurationError(f"{setting}: {path}: no such file; git's configuration names it as a key")
    return path


def _library() -> tuple[Any, Any, Any]:
    try:
        # Only users with a key need it.
        from cryptography.hazmat.primitives import serialization
        from securesystemslib import dsse, signer
    except ImportError as error:
        raise ConfigurationError(
            f"a key is configured, but securesystemslib cannot be imported ({error}); "
            "`make setup` installs it, or `pip install securesystemslib[crypto]`"
        ) from None
    return dsse, signer, serialization
