"""Signatures of model files: OpenSSF model-signing with a local key."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.registry.repository import Repository

SIGNING_KEY = "registry.signingKey"
"""The key of git's configuration that names the file of a private key: PEM, curve P-256, P-384 or P-521."""
VERIFYING_KEY = "registry.verifyingKey"
"""The same for a public key. Where it is set, a version without a signature of that key is rejected."""


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


def sign(model: Path, key: Path) -> str:
    """The signature of a model file, a Sigstore bundle in JSON.

    Raises:
        ConfigurationError: the key cannot be used, or model-signing is not installed.
    """
    model_signing = _library()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "model.sig"
        try:
            model_signing.signing.Config().use_elliptic_key_signer(private_key=key).sign(model, bundle)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{key}: not a usable private key ({error}); expected PEM, as "
                "`openssl ecparam -name prime256v1 -genkey -noout` writes it"
            ) from None
        return bundle.read_text(encoding="utf-8")


def check(model: Path, signature: str | None, key: Path, name: str) -> None:
    """Check a model file against its signature.

    Args:
        model: the file.
        signature: what `sign` returned; None where the version was not signed.
        key: the public key's file.
        name: of the version, for the message.

    Raises:
        ConfigurationError: the key cannot be used, or model-signing is not installed.
        RegistryError: there is no signature, it is of another key, or the file is not the one that was signed.
    """
    if signature is None:
        raise RegistryError(f"{name}: not signed, but {VERIFYING_KEY} is set; expected a signature for {key.name}")
    model_signing = _library()
    try:
        verifier = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{key}: not a usable public key ({error}); expected PEM") from None
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "model.sig"
        bundle.write_text(signature, encoding="utf-8")
        try:
            verifier.verify(model, bundle)
        except Exception as error:  # A damaged bundle fails in the part of it that is read first.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RegistryError(
                f"{name}: {model.name}: the signature does not hold for {key.name} ({reason})"
            ) from None


def _key(repository: Repository, setting: str) -> Path | None:
    if (value := repository.setting(setting)) is None:
        return None
    path = repository.root / Path(value).expanduser()
    if not path.is_file():
        raise ConfigurationError(f"{setting}: {path}: no such file; git's configuration names it as a key")
    return path


def _library() -> ModuleType:
    try:
        # Importing it imports all of Sigstore: only users with a key wait for that.
        import model_signing
    except ImportError as error:
        raise ConfigurationError(
            f"a signing key is configured, but model-signing cannot be imported ({error}); "
            "`make setup` installs it, or `pip install model-signing pyopenssl`"
        ) from None
    return model_signing
