"""From a mistake to its correction in prod: python tests/support/correction_walk.py [FOLDER].

A writer's sevens are read as ones. They are corrected by the requests of the service's page, labelled by those of
`make label`, trained on, gated, canaried and promoted, on a throw-away clone with small digits. No file is edited by
hand. Every step and its seconds are printed; tests/full/test_correction_walk.py checks the same walk.
"""

import base64
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import registry_walk
from registry_walk import NAME, Walk
from servers import Server, encoded, environment, free_port, started

from pipeline.access import tokens
from pipeline.data import stand_in

SEVENS = 60
ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+/[\w-]+/)  \(")
CANARY = ("--canary", "0.5", "--disagreement", "0.3", "--accepted-loss", "0.3", "--slowdown", "5", "--wait")
"""For a model of few and small digits: a few hundred pictures decide."""


@dataclass
class Correcting:
    """The walk.

    Attributes:
        life: the clone and the registry's commands.
        seconds: by step.
        found: by step, what it gave.
    """

    life: Walk
    seconds: dict[str, float] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)
        self.life.log(f"-- {name}: {self.seconds[name]} s  {self.found.get(name, '')}")


def sevens() -> list[bytes]:
    """Sevens of a writer who draws them so narrow that they look like ones: dark on white, 60×60 pixels."""
    pool = stand_in.digits()["pool"]
    random, made = np.random.default_rng(3), []
    for image in pool.images[pool.labels[:, 0] == 7][:SEVENS, ..., 0]:
        narrow = cv2.resize(image, (random.integers(8, 11).item(), 52), interpolation=cv2.INTER_AREA)
        picture = np.zeros((60, 60), np.uint8)
        left = (60 - narrow.shape[1]) // 2
        picture[4:56, left : left + narrow.shape[1]] = narrow
        made.append(encoded(255 - picture))
    return made


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Server, Path]]:
    """`bentoml serve` of what is in prod, with a log, tokens and a rollout folder; and the folder of the log."""
    log, file = folder / "monitoring", folder.parent / "tokens.json"
    secret = tokens.create(file, "editor", ["read", "feedback"], 100_000, None)
    settings = {
        "READER_ARTIFACTS": str(folder / "deploy/prod"),
        "READER_ROLLOUT": str(folder / "deploy/prod.rollout"),
        "READER_LOG": str(log),
        "READER_TOKENS": str(file),
    }
    with started(
        cwd=registry_walk.ROOT, env=environment(folder.parent, **settings), log=folder.parent / "serve.txt"
    ) as server:
        server.client.headers["Authorization"] = f"Bearer {secret}"
        yield server, log


def read(server: Server, picture: bytes) -> dict[str, Any]:
    """The answer to a drawn digit, as the page asks for it."""
    answer = server.client.post("/read?task=mnist&fit=true", content=picture)
    assert answer.status_code == 200, answer.text
    return answer.json()


def correct(server: Server, picture: bytes, answer: dict[str, Any]) -> None:
    """What the page sends when a person types 7."""
    said = {"task": "mnist", "model": answer["model"]["sha256"], "reading": answer["digits"], "label": "7"}
    sent = server.client.post("/feedback", json=said | {"picture": base64.b64encode(picture).decode()})
    assert sent.json()["kept"], sent.text


def label(folder: Path) -> str:
    """`make label`, with a client in place of a browser that accepts every correction."""
    command = [sys.executable, "-m", "pipeline.commands.label", "--browser=0", f"--port={free_port()}", "--task=mnist"]
    with subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(folder.parent, DVC_NO_ANALYTICS="1"),
    ) as process:  # fmt: skip
        found = ADDRESS.match(process.stdout.readline())
        assert found is not None, process.communicate()[1]
        with httpx.Client(base_url=found.group(1), timeout=60) as client:
            for number in range(client.get("state").json()["left"]):
                client.post("answers", json={"number": number, "kind": "label", "label": "7"}).raise_for_status()
            client.post("done", json={})
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def walk(folder: Path, log: Callable[[str], None] = print) -> Correcting:
    """All steps.

    Args:
        folder: where the clone is made.
        log: gets every line.

    Raises:
        SystemExit: a command does not end as it should.
    """
    life = registry_walk.begun(folder, log)
    steps = Correcting(life)
    life.train("first", epochs=4)
    life.run("register", "registry", "register", NAME)
    life.promote("v0.1.0", "dev", "staging", "prod")
    life.run("deploy", "registry", "deploy", "prod")
    pictures = sevens()
    with serving(folder) as (server, _):
        with steps.step("read"):
            answers = [read(server, picture) for picture in pictures]
            steps.found["read"] = {digit: [a["digits"] for a in answers].count(digit) for digit in "0123456789"}
        wrong = [(picture, a) for picture, a in zip(pictures, answers, strict=True) if a["digits"] != "7"]
        with steps.step("corrected"):
            for picture, answer in wrong:
                correct(server, picture, answer)
            steps.found["corrected"] = len(wrong)
        with steps.step("labelled"):
            steps.found["labelled"] = label(folder)
        with steps.step("retrained"):
            life.run("retrained", "dvc", "repro", "package@mnist")
            life.run("added", "git", "add", "-A")
            life.run("committed", "git", "commit", "-q", "-m", "corrected sevens")
        with steps.step("gated"):
            life.run("register the corrected", "registry", "register", NAME)
            life.promote("v0.2.0", "dev", "staging")
            steps.found["gated"] = next(
                each
                for each in json.loads(life.run("gate", "registry", "gate", f"{NAME}@v0.2.0", "prod", "--json"))[
                    "criteria"
                ]
                if each["name"] == "slice mnist, corrected"
            )
        with steps.step("canaried"):
            steps.found["canaried"] = canary(life, server, folder)
        with steps.step("promoted"):
            life.promote("v0.2.0", "prod")
            life.run("swap", "registry", "rollout", f"{NAME}@v0.2.0")
        with steps.step("read again"):
            again = [read(server, picture) for picture, _ in wrong]
            steps.found["read again"] = [each["digits"] for each in again].count("7")
            steps.found["version"] = {each["model"]["version"] for each in again}
    life.run("history --json", "registry", "history", NAME, "--json")
    steps.found["wrong"] = len(wrong)
    return steps


def canary(life: Walk, server: Server, folder: Path) -> str:
    """Roll the version out for half of the requests, and send digits until the test ends."""
    command = [sys.executable, "-m", "pipeline.registry", "rollout", f"{NAME}@v0.2.0", *CANARY]
    with subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        files = sorted((folder / "digits").glob("*/*.png"))
        order = np.random.default_rng(4).permutation(len(files))
        for place in order.tolist():
            if process.poll() is not None:
                break
            read(server, files[place].read_bytes())
        out, _ = process.communicate(timeout=120)
    life.log(out)
    assert process.returncode == 0, out
    return out


if __name__ == "__main__":
    if sys.argv[1:]:
        walk(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            walk(Path(place) / "clone")
