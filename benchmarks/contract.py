"""Tests a running service against its own OpenAPI document with Schemathesis, with every check.

`python -m benchmarks.contract` makes at least 2,000 cases against http://127.0.0.1:3000; `--examples 5` makes fewer.
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.project import command

SETTINGS = Path(__file__).with_name("contract.toml")


@dataclass(frozen=True)
class Outcome:
    """The result of a run of Schemathesis.

    Attributes:
        cases: requests that it generated and checked.
        passed: whether no check failed.
        report: of Schemathesis.
    """

    cases: int
    passed: bool
    report: str


def main(url: str = "http://127.0.0.1:3000", examples: int = 600, seed: int = 1) -> None:
    """Print Schemathesis's report; exit 3 where a check failed.

    Args:
        url: of the service.
        examples: cases for each operation, beside those that cover its schema.
        seed: of the cases.
    """
    outcome = check(url, examples, seed)
    print(outcome.report)
    if not outcome.passed:
        raise DataError(f"{url}: the service differs from its OpenAPI document; the report above names each case")


def check(url: str, examples: int, seed: int) -> Outcome:
    """Run every check over every operation."""
    arguments = ["run", f"{url}/openapi.json", "--checks", "all", "--max-examples", str(examples), "--seed", str(seed)]
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(SETTINGS)]
    # It keeps what failed in a folder where it runs.
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [*program, *arguments, "--continue-on-failure"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(SETTINGS.parents[1]), "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
    counted = re.search(r"([\d,]+) generated", run.stdout)
    return Outcome(int(counted[1].replace(",", "")) if counted else 0, run.returncode == 0, run.stdout + run.stderr)


if __name__ == "__main__":
    command.run(main)
