"""`make label` from its start to its end, with a client in place of a browser."""

import re
import shutil
import signal
import subprocess
import sys

import httpx
import label_project
import numpy as np
import pytest
import servers
from label_project import png

ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+/[\w-]+/)  \(")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with two pictures that wait."""
    root = label_project.make(tmp_path_factory.mktemp("label") / "clone", tracked=True)
    label_project.correct(root / "monitoring", png(np.full((28, 28), 1, np.uint8)), "7")
    label_project.decline(root / "monitoring", png(np.full((28, 28), 2, np.uint8)), "3")
    return root


def started(root, port):
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.commands.label", "--browser=0", f"--port={port}"],
        cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=servers.environment(root, DVC_NO_ANALYTICS="1"),
    )  # fmt: skip


def one_line(ended, code, *words):
    assert ended.returncode == code, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""
    for word in words:
        assert word in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM])
def test_labels_are_kept_tracked_and_taken_in_however_it_ends(clone, tmp_path, number):
    root = shutil.copytree(clone, tmp_path / "clone", symlinks=True)
    with started(root, servers.free_port()) as process:
        address = ADDRESS.match(process.stdout.readline()).group(1)
        with httpx.Client(base_url=address) as client:
            assert client.get("state").json()["left"] == 2
            client.post("answers", json={"number": 0, "kind": "label", "label": "7"})
            # Another one is refused meanwhile.
            one_line(label_project.label(root), 2, "open already")
            if number is None:
                client.post("done", json={})
            else:
                process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "answers kept: 1; pictures left for next time: 1" in out
    assert "next: git add corrections" in out
    assert (root / "corrections/mnist.dvc").is_file()
    assert "corrections: 20" in (root / "params.yaml").read_text()


def test_what_was_typed_wrong_is_one_line(clone):
    one_line(label_project.label(clone, "--task=scenes"), 2, "TASK", "boxes", "mnist")
    one_line(label_project.label(clone, "--log=nowhere"), 3, "nowhere", "READER_LOG")


def test_an_empty_queue_says_so(clone):
    ended = label_project.label(clone, "--task=strips")
    assert (ended.returncode, ended.stdout) == (0, "nothing to label\n")
