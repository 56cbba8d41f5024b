"""Checks of the pictures: those that were fetched, and the mirror or network that the others come from."""

import os
import socket
import threading
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pipeline.config import params
from pipeline.config.sections import PUBLIC, PUBLIC_SIZES, PUBLIC_SOURCES
from pipeline.core.errors import ConfigurationError
from pipeline.data import cheques, cifar10, folders, mnist
from pipeline.project import workspace
from pipeline.project.checks import Check

TIMEOUT = 2.0
"""Seconds that the network has for an answer."""
_GZIP = b"\x1f\x8b"


def fetched() -> list[Check]:
    """The origin of the pictures of every source, and what is left out of the folders that some come from."""
    found = []
    for source in _origins():
        origin = workspace.origin(source)
        if origin is None:
            found.append(Check("pictures", "note", f"{source}: not here yet; make repro fetches it"))
        elif origin == "embedded":
            message = "the embedded stand-in; make repro replaces it as soon as the real one is available"
            found.append(Check("pictures", "note", f"{source}: {message}"))
        else:
            found.append(Check("pictures", "ok", f"{source}: {origin}"))
    for source, folder in _folders().items():
        if folder.is_dir() and (left := folders.left_out(folder, lines=source not in PUBLIC_SIZES)):
            found.append(Check("pictures", "note", f"{source}: {left}"))
    return found


def mirror() -> list[Check]:
    """Whether the public sources can be fetched. A mirror is checked by the sizes of its files, not by digests."""
    value = os.environ.get(workspace.MIRROR_VARIABLE, "")
    public = _public_sources()
    if not public:
        return [Check("mirror", "ok", "not needed: every source is a folder")]
    if not value:
        return [_without_mirror(public)]
    if "://" in value:
        # The address may contain a password.
        host = _split(value, workspace.MIRROR_VARIABLE).hostname
        return [Check("mirror", "ok", f"{host or 'an address'}, not asked")]
    folder = _expanded(value)
    if not folder.is_dir():
        return [Check("mirror", "problem", f"{workspace.MIRROR_VARIABLE}={value}: no such folder")]
    faults = [fault for fault in (_fault(folder / name, size) for name, size in _mirrored().items()) if fault]
    if faults:
        return [Check("mirror", "problem", f"{workspace.MIRROR_VARIABLE}={value}: {'; '.join(faults)}")]
    if not folder.is_absolute():
        message = f"{value} is relative: make repro and make exp make it absolute, dvc exp run --queue fails on it"
        return [Check("mirror", "note", message)]
    return [Check("mirror", "ok", f"{value}, all files, of the correct sizes when decompressed")]


def answers(host: str, timeout: float = TIMEOUT) -> bool:
    """Whether a host accepts connections within `timeout` seconds; behind a proxy, whether the proxy does.

    Raises:
        ConfigurationError: the address of the proxy is none.
    """
    proxy = _split(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or "", "HTTPS_PROXY")
    address = (proxy.hostname, proxy.port or 80) if proxy.hostname else (host, 443)
    answered = threading.Event()

    def connect() -> None:
        try:
            with socket.create_connection(address, timeout=timeout):
                answered.set()
        except OSError:
            pass

    # The lookup of a name has no time limit, so nothing waits for the thread.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def _split(address: str, variable: str) -> SplitResult:
    """The parts of an address, with a port that is a number.

    Raises:
        ConfigurationError: it has none. The address may contain a password, so the message has the variable alone.
    """
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ConfigurationError(f"{variable}: not an address; expected one such as http://HOST:PORT") from None
    return parts


def _origins() -> dict[str, str]:
    """Where each source comes from, as params.yaml says; from its public address if that cannot be read."""
    try:
        given = params.load(Path("params.yaml")).sources
    except ConfigurationError:
        return dict.fromkeys(PUBLIC_SOURCES, PUBLIC)
    return {name: source.origin for name, source in given.items()}


def _public_sources() -> list[str]:
    return [name for name, origin in _origins().items() if origin == PUBLIC]


def _folders() -> dict[str, Path]:
    return {name: _expanded(origin) for name, origin in _origins().items() if origin != PUBLIC}


def _expanded(path: str) -> Path:
    # Unlike Path.expanduser it leaves the name of a user that does not exist as it is.
    return Path(os.path.expanduser(path))  # noqa: PTH111


def _without_mirror(public: list[str]) -> Check:
    if all(workspace.origin(source) for source in public):
        return Check("mirror", "ok", "not set, and not needed: the pictures are here")
    host = urlsplit(mnist.URLS[0]).hostname or ""
    if answers(host):
        return Check("mirror", "ok", f"not set; {host} answers, so the pictures can be fetched")
    return Check(
        "mirror",
        "note",
        f"not set, and {host} does not answer in {TIMEOUT:g} s: fetch may take the embedded stand-in; "
        f"{workspace.MIRROR_VARIABLE}=/some/folder gives it the real pictures",
    )


def _mirrored() -> dict[str, int]:
    """The bytes of each file when decompressed: exact for MNIST, of the others the least.

    Those of CIFAR-10 are its records. Every picture of `cheques` has two blocks of 512 bytes in its archive, or more.
    """
    (train, test), (pool, last) = PUBLIC_SIZES["mnist"], PUBLIC_SIZES["cifar10"]
    sizes = {}
    for name in mnist.FILES:
        n = train if name.startswith("train") else test
        sizes[f"mnist/{name}.gz"] = n * 28 * 28 + 16 if "images" in name else n + 8
    return sizes | {
        "cifar10/cifar-10-binary.tar.gz": (pool + last) * cifar10.RECORD,
        cheques.ARCHIVE: len(cheques.published()) * 1024,
    }


def _fault(path: Path, size: int) -> str:
    """What is wrong with a gzip file, "" if its last bytes say that it decompresses to at least `size` bytes."""
    if not path.is_file():
        return f"{path.name} is missing"
    with path.open("rb") as file:
        magic = file.read(2)
        file.seek(max(0, path.stat().st_size - 4))
        decompressed = int.from_bytes(file.read(4), "little")
    if magic != _GZIP:
        return f"{path.name} is not a gzip file"
    if decompressed < size or (path.parent.name == "mnist" and decompressed != size):
        return f"{path.name} decompresses to {decompressed:,} bytes, expected {size:,}"
    return ""
