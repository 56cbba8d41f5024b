"""The registry's life on a throw-away clone, with real trainings: python tests/support/registry_walk.py [FOLDER].

Three trainings of the textbook net on a folder of digits, some three minutes on two cores. Every command and its output
is printed; tests/registry/test_walk.py checks the same walk.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from pipeline.data import stand_in  # noqa: E402  # Importable since the line above.

NAME = "digit-reader"
MODEL = "artifacts/mnist/model.onnx"
POLICY = {"floor": 0.8, "ece": 0.2, "accepted_wrong": 1.0, "milliseconds": 50.0, "megabytes": 20.0}
"""For so few and so small digits; the policy of params.yaml is for MNIST."""


@dataclass
class Walk:
    """A throw-away clone, and the output of every step.

    Attributes:
        folder: the clone.
        log: gets every line.
        outputs: by the name of the step.
    """

    folder: Path
    log: Callable[[str], None] = print
    outputs: dict[str, str] = field(default_factory=dict)

    def run(self, step: str, *command: str, code: int = 0) -> str:
        """Run a command in the clone, log it, and stop where its exit code is not the expected one."""
        self.log(f"$ {' '.join(command)}")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        program = [sys.executable, "-m", "pipeline.registry"] if command[0] == "registry" else [command[0]]
        result = subprocess.run(
            [*program, *command[1:]],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            text=True,
            check=False,
        )
        output = result.stdout + result.stderr
        if program[0] == sys.executable and "--json" not in command:
            self.log(output)
        if result.returncode != code:
            raise SystemExit(f"{output}\n{step}: exit {result.returncode}, expected {code}")
        self.outputs[step] = output
        return output

    def read(self, step: str) -> Any:
        """The output of a step that printed JSON."""
        return json.loads(self.outputs[step])

    def train(self, step: str, **settings: object) -> None:
        """Train with these settings, package the model, and commit it."""
        params = self.folder / "params.yaml"
        document = json.loads(params.read_text())
        document["strategies"]["textbook"] |= settings
        params.write_text(json.dumps(document, indent=2))
        self.run(f"{step}: trained", "dvc", "repro", "package@mnist")
        self.run(f"{step}: added", "git", "add", "-A")
        self.run(f"{step}: committed", "git", "commit", "-q", "-m", f"textbook, {settings}")

    def promote(self, version: str, *stages: str) -> None:
        """Promote a version through stages."""
        for stage in stages:
            self.run(f"{version} in {stage}", "registry", "promote", f"{NAME}@{version}", stage)


def clone(folder: Path) -> None:
    """A repository of its own with the files of this working tree, cut down to one strategy of one task."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "artifacts/")) and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    document = YAML(typ="safe").load(folder / "params.yaml")
    document["sources"]["mnist"] = {"from": "digits"}
    document["previews"]["suites"] = {"mnist": "mnist/mnist"}
    document["suites"] = {"mnist": document["suites"]["mnist"]}
    document["reported"] = {"mnist": ["mnist"]}
    document["features"], document["proposals"] = {}, []
    document["strategies"] = {"textbook": document["strategies"]["textbook"]}
    document["package"] = {"mnist": {}}
    document["gates"]["tasks"]["mnist"] = POLICY
    document["gates"]["staging"] |= {"shift_loss": 0.5}
    document["gates"]["prod"] |= {"allowed_loss": 0.02, "slice_loss": 0.1, "shift_loss": 0.5}
    document["robustness"]["pictures"] = 20
    document["calibrate"]["per_shift"] = 99
    (folder / "params.yaml").write_text(json.dumps(document, indent=2))
    digits(folder / "digits")


def digits(folder: Path) -> None:
    """Small handwritten digits as a folder of own pictures: FOLDER/CLASS/*.png, each in three places."""
    pictures = stand_in.digits()["pool"]
    for index, (image, (label,)) in enumerate(zip(pictures.images, pictures.labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        for place, shift in enumerate(((0, 0), (2, -1), (-1, 2))):
            Image.fromarray(np.roll(image[..., 0], shift, axis=(0, 1))).save(folder / f"{label}/{index}-{place}.png")


def begun(folder: Path, log: Callable[[str], None]) -> Walk:
    """A walk in a clone whose first commit is made."""
    clone(folder)
    life = Walk(folder, log)
    life.run("init", "git", "init", "-q", "-b", "main")
    life.run("name", "git", "config", "user.name", "Ada")
    life.run("address", "git", "config", "user.email", "ada@example.org")
    life.run("added", "git", "add", "-A")
    life.run("committed", "git", "commit", "-q", "-m", "a clone")
    return life


def walk(folder: Path, log: Callable[[str], None] = print) -> Walk:
    """All steps.

    Args:
        folder: where the clone is made.
        log: gets every line.

    Raises:
        SystemExit: a step does not end as it should.
    """
    life = begun(folder, log)
    life.train("first", epochs=2)
    life.run("register", "registry", "register", NAME)
    life.promote("v0.1.0", "dev", "staging", "prod")

    life.train("worse", epochs=0.3, learning_rate=0.03)
    life.run("register the worse", "registry", "register", NAME)
    life.promote("v0.2.0", "dev")
    life.run("refused", "registry", "promote", f"{NAME}@v0.2.0", "staging", code=4)

    life.train("better", epochs=6, learning_rate=1.0)
    life.run("register the better", "registry", "register", NAME)
    life.promote("v0.3.0", "dev", "staging", "prod")
    life.run("list", "registry", "list")
    life.run("diff", "registry", "diff", f"{NAME}@v0.1.0", f"{NAME}@v0.3.0")

    life.run("rollback", "registry", "rollback", NAME, "prod")
    life.run("history", "registry", "history", NAME)
    today = life.run("date", "date", "-u", "+%Y-%m-%d").strip()
    life.run("today", "registry", "at", today)
    life.run("list --json", "registry", "list", "--json")
    life.run("history --json", "registry", "history", NAME, "--json")
    life.run("today --json", "registry", "at", today, "--json")
    life.run("gto show", "gto", "show", "--json")
    life.run("gto history", "gto", "history", NAME, "--json")
    life.run("dvc artifacts get", "dvc", "artifacts", "get", ".", NAME, "--stage", "prod", "-o", "got.onnx")
    life.run("verify", "registry", "verify")
    life.run("verify --json", "registry", "verify", "--json")

    two_at_once(life)
    corrupt(life)
    return life


def two_at_once(life: Walk) -> None:
    """Two processes promote one version to prod; one wins."""
    command = [sys.executable, "-m", "pipeline.registry", "promote", f"{NAME}@v0.3.0", "prod"]
    life.log(f"$ registry promote {NAME}@v0.3.0 prod  # twice at once")
    both = [
        subprocess.Popen(command, cwd=life.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ends = sorted((process.communicate(), process.returncode) for process in both)
    for (out, err), code in ends:
        life.log(f"{(out + err).strip().splitlines()[-2 if code == 0 else -1]}  (exit {code})")
    life.outputs["two at once"] = json.dumps(sorted(code for _, code in ends))


def corrupt(life: Walk) -> None:
    """Change one byte of the packaged model in DVC's cache, as a bad disk would."""
    lock = YAML(typ="safe").load(life.folder / "dvc.lock")
    (md5,) = (out["md5"] for out in lock["stages"]["package@mnist"]["outs"] if out["path"] == MODEL)
    model = life.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o644)
    model.write_bytes(content)
    life.run("corrupt", "registry", "verify", f"{NAME}@v0.3.0", "--json", code=4)


if __name__ == "__main__":
    if sys.argv[1:]:
        walk(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            walk(Path(place) / "clone")
