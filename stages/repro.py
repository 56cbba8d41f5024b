"""`make repro`: check params.yaml, find the mirror, bring the stand-in up to date, then hand over to DVC."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline import command, params
from pipeline.errors import ConfigurationError
from pipeline.files import read_json


def main() -> None:
    """Reproduce the pipeline, passing DVC's own exit on as the one line and code of the stage that failed."""
    settings = params.load(Path("params.yaml"))
    if not Path(".dvc").is_dir():
        raise ConfigurationError(
            ".dvc: no such folder; run from the project's top folder, in a clone of the repository"
        )
    with tempfile.TemporaryDirectory() as folder:
        error = Path(folder) / "error"
        environment = {**os.environ, command.ERROR_FILE_VARIABLE: str(error)}
        mirror = os.environ.get("DATASETS_MIRROR", "")
        if mirror and "://" not in mirror:
            # Experiments run in folders of their own, where a relative path leads nowhere.
            environment["DATASETS_MIRROR"] = str(Path(mirror).expanduser().resolve())
        unsettled = [f"fetch@{name}" for name in _unsettled(settings)]
        code = unsettled and _dvc("repro", "--force", "--single-item", *unsettled, environment=environment)
        code = code or _dvc("repro", environment=environment)
        if code:
            number, _, line = (error.read_text() if error.exists() else "").strip().partition(" ")
            print(f"\nmake repro stopped: {line or 'DVC says why above'}", file=sys.stderr)
            sys.exit(int(number or code))
    print(_result(read_json(Path("metrics/summary.json"))))


def _unsettled(settings: params.Params) -> list[str]:
    """Sources that `fetch` has to look at again though nothing it depends on changed.

    The stand-in gives way as soon as the real data can be had, and DVC cannot see into a folder outside the project.
    """
    unsettled = []
    for name in dict(settings.sources):
        record = Path("data/raw") / name / "source.json"
        embedded = record.exists() and read_json(record)["origin"] == "embedded"
        if embedded or settings.origin_of(name) != params.PUBLIC:
            unsettled.append(name)
    return unsettled


def _result(summary: dict) -> str:
    lines = []
    for task, best in summary.items():
        on_test = ", ".join(f"{suite} {100 * accuracy:.2f} %" for suite, accuracy in best["test"].items())
        origin = " (of the EMBEDDED STAND-IN)" if best["origin"] == "embedded" else ""
        lines.append(f"{task}: {best['candidate']} reads {on_test} of test right{origin}")
    lines.append("All of it: reports/report.html. Serve it: make serve")
    return "\n" + "\n".join(lines)


def _dvc(*arguments: str, environment: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    command.run(main)
