"""The environments of the peers, below .bench/: one for each requirements/bench-NAME.txt, made when it is missing."""

import hashlib
import subprocess
import sys
from pathlib import Path

from pipeline.core.errors import ConfigurationError

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".bench"


def python(name: str) -> Path:
    """The interpreter of an environment; the project's own for "".

    It is made anew where its requirements or the interpreter's version have changed.

    Raises:
        ConfigurationError: pip failed; what it wrote stands above the message.
    """
    if not name:
        return Path(sys.executable)
    requirements = ROOT / "requirements" / f"bench-{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = FOLDER / name
    interpreter, stamp = folder / "bin" / "python", folder / "ready"
    if not (stamp.is_file() and stamp.read_text() == digest):
        print(f"making {folder} of {requirements.name}", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        except subprocess.CalledProcessError as error:
            raise ConfigurationError(f"{requirements}: {error}; expected a reachable package index") from None
        stamp.write_text(digest)
    return interpreter
