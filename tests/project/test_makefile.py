"""The Makefile: what a user sets reaches a command as it is, and neither make nor a shell runs any of it."""

import itertools
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = ("python", "registry", "bentoml", "dvc", "uv", "ruff", "lint-imports", "mypy")
SHOW = """#!/bin/sh
for word in "$0" "$@" "${READER_ARTIFACTS-}"; do printf '%s\\0' "$word"; done
"""
HOSTILE = (
    "1; touch ran",
    "$(shell touch ran)",
    "$(touch ran)",
    "`touch ran`",
    '"; touch ran; "',
    "'; touch ran; '",
    "| touch ran",
    "&& touch ran #",
    "a $$ b",
    "$@ $< $(SET)",
    "\\",
    "*",
    "--help",
    "-x",
    "a  b\tc",
    "é ü",
    "~",
    "a=b:c,d",
)
VALUES = {
    "SET": ("exp", "--set-param="),
    "TARGET": ("exp", "--target="),
    "AS": ("exp", "--name="),
    "APPLY": ("exp", "--apply="),
    "JOBS": ("study", "--jobs="),
    "STUDY": ("study", "--study="),
    "IMAGE": ("read", "--image="),
    "IMAGES": ("read", "--images="),
    "OUT": ("read", "--out="),
    "DRAW": ("read", "--draw="),
    "TASK": ("read", "--task="),
    "ON": ("read", "--on="),
    "WORKERS": ("read", "--workers="),
    "ARGS": ("registry", "--arguments="),
    "STAGE": ("serve", ""),
    "PORT": ("demo", "--port="),
    "DIGEST": ("forget", "--digest="),
    "SUITE": ("drift", "--suite="),
    "GRANT": ("token", "--grant="),
    "REVOKE": ("token", "--revoke="),
    "SCOPES": ("token", "--scopes="),
    "RATE": ("token", "--per-minute="),
    "DAYS": ("token", "--days="),
    "TOKENS": ("token", "--file="),
    "LOG": ("label", "--log="),
    "BROWSER": ("label", "--browser="),
}
"""The target that takes a variable, and how the word begins in which its value arrives."""
SWITCHES = {
    "JSON": "doctor",
    "QUEUE": "exp",
    "INVERT": "read",
    "AGAIN": "read",
    "OFFLINE": "serve",
    "REPORT": "study",
    "FSCK": "doctor",
    "QUICK": "serve",
    "ACCEPT": "drift",
    "RESET": "drift",
}
OTHERS = (
    *(
        "ANYTHING",
        "VENV",
        "BIN",
        "MOVED",
        "SERVING",
        "SITE",
        "DEMO",
        "STALE",
        "EXPECT_PYTHON",
        "PYTEST",
        "LOCK",
        "MAKE",
        "SHELL",
        ".SHELLFLAGS",
        "CURDIR",
        "each",
    ),
    *("literally", "VALUES", "GIVEN", "DVC_NO_ANALYTICS", "TF_CPP_MIN_LOG_LEVEL", ".DEFAULT_GOAL"),
)
"""What the Makefile sets itself, or does not know."""


@pytest.fixture
def project(tmp_path):
    """The Makefile with commands that print their own name and arguments."""
    folder = tmp_path / "project"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "requirements").mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "release").mkdir()
    (folder / "quick/artifacts/mnist").mkdir(parents=True)
    (folder / "quick/artifacts/mnist/model.onnx").touch()
    locks = [f"requirements/{name}.lock" for name in ("bootstrap", "dev", "serve")]
    for name in ("pyproject.toml", *locks, "release/release.json"):
        (folder / name).touch()
    for name in COMMANDS:
        (folder / ".venv/bin" / name).write_text(SHOW)
        (folder / ".venv/bin" / name).chmod(0o755)
    # Written last: make compares times.
    (folder / ".venv/.ready").write_text(f"{folder.resolve()}\n")
    return folder


def make(folder, *arguments, **environment):
    """The words that the commands got."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    ended = subprocess.run(
        ["make", *arguments], cwd=folder, env={**kept, **environment}, capture_output=True, text=True, timeout=60
    )
    ran = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.startswith("ran")]
    assert ran == [], f"make {arguments} {environment} ran a part of a value"
    return ended.stdout.split("\0"), ended


@pytest.mark.parametrize("name", VALUES)
def test_a_value_arrives_as_it_is(project, name):
    target, before = VALUES[name]
    for value in HOSTILE:
        for words, ended in (make(project, target, f"{name}={value}"), make(project, target, **{name: value})):
            assert ended.returncode == 0, ended.stderr
            assert before + value in words, (value, words)


def test_what_nobody_sets_is_empty(project):
    # AS is the assembler to make itself: an experiment without a name was called "as".
    words, ended = make(project, "exp", "SET=budget=0.1")
    assert ended.returncode == 0, ended.stderr
    assert {"--name=", "--target=", "--apply=", "--set-param=budget=0.1"} <= set(words)


def test_a_switch_is_on_whatever_its_value(project):
    for (name, target), value in itertools.product(SWITCHES.items(), HOSTILE[:6]):
        needed = {"IMAGE": "x.png"} if name == "QUICK" else {"STAGE": "prod", "IMAGE": "x.png"}
        words, ended = make(project, target, f"{name}={value}", **needed)
        assert ended.returncode == 0, ended.stderr
        assert not [word for word in words if "touch" in word]


def test_no_other_variable_is_run(project):
    for name, value in itertools.product(OTHERS, HOSTILE[1:5:3]):
        make(project, "doctor", "demo", "serve", "STAGE=x", f"{name}={value}")
        make(project, "-e", "doctor", "demo", "serve", "STAGE=x", **{name: value})


def test_python_is_one_command(project):
    (project / ".venv/.ready").unlink()
    for value in HOSTILE[:8]:
        _, ended = make(project, "setup", f"PYTHON={value}")
        assert ended.returncode == 2


def test_the_folder_of_the_project_is_a_value_too(project):
    for name in ("a $(touch ran) b", "'", '"', "`touch ran`", "$(shell touch ran)", "é", "a;b&c"):
        folder = shutil.copytree(project, project.parent / name, copy_function=shutil.copy2)
        (folder / ".venv/.ready").write_text(f"{folder.resolve()}\n")
        words, ended = make(folder, "serve", "STAGE=prod")
        assert ended.returncode == 0, ended.stderr
        assert f"{folder}/deploy/prod" in words


def test_the_models_of_make_quick_are_served_from_its_folder(project):
    words, ended = make(project, "serve", "QUICK=1")
    assert ended.returncode == 0, ended.stderr
    assert f"{project.resolve()}/quick/artifacts" in words


def test_without_its_models_make_quick_is_named_before_anything_is_installed(project):
    shutil.rmtree(project / "quick")
    (project / ".venv/.ready").unlink()
    _, ended = make(project, "serve", "QUICK=1")
    assert ended.returncode == 2
    assert "'make quick' trains" in ended.stderr
    assert ended.stdout == ""


def test_a_stage_and_quick_are_not_served_together(project):
    words, ended = make(project, "serve", "QUICK=1", "STAGE=prod")
    assert ended.returncode == 2
    assert "STAGE and QUICK: expected one of them" in ended.stderr
    assert words == [""]


def test_the_packaged_models_are_served_on_another_port(project):
    for value in ("3001", *HOSTILE[:6]):
        words, ended = make(project, "serve", "QUICK=1", f"PORT={value}")
        assert ended.returncode == 0, ended.stderr
        assert f"--port={value}" in words
    assert not [word for word in make(project, "serve", "QUICK=1")[0] if "--port" in word]


def test_a_demo_takes_the_environment_that_is_there(project):
    words, ended = make(project, "demo")
    assert ended.returncode == 0, ended.stderr
    assert words[:4] == [".venv/bin/python", "-m", "pipeline.commands.demo", "--port=3000"]
    assert not (project / ".venv-demo").exists()


@pytest.mark.parametrize("state", ["none", "unfinished", "moved"])
def test_a_demo_without_an_environment_takes_one_for_serving_alone(project, state):
    shutil.copytree(project / ".venv", project / ".venv-demo")
    stamp = project / ".venv/.ready"
    stamp.write_text("/another/folder\n") if state == "moved" else stamp.unlink()
    if state == "none":
        shutil.rmtree(project / ".venv")
    words, ended = make(project, "demo")
    assert ended.returncode == 0, ended.stderr
    assert words[:3] == [".venv-demo/bin/python", "-m", "pipeline.commands.demo"]


@pytest.mark.parametrize("state", ["none", "moved", "old", "broken"])
def test_an_environment_for_serving_is_made_anew_where_something_changed(project, state):
    """Python itself is not what the tests of the Makefile start: that it makes the environment first is seen here."""
    shutil.copytree(project / ".venv", project / ".venv-demo")
    shutil.rmtree(project / ".venv")
    if state == "none":
        shutil.rmtree(project / ".venv-demo")
    elif state == "moved":
        (project / ".venv-demo/.ready").write_text("/another/folder\n")
    elif state == "old":
        os.utime(project / ".venv-demo/.ready", (1, 1))
    else:
        (project / ".venv-demo/bin/python").unlink()
    words, ended = make(project, "demo", "PYTHON=false")
    assert ended.returncode == 2
    assert "pipeline.commands.demo" not in words


def test_without_models_serve_and_demo_say_so_before_anything_is_installed(project):
    shutil.rmtree(project / ".venv")
    shutil.rmtree(project / "release")
    for target in ("demo", "serve"):
        _, ended = make(project, target)
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 2, "and one line of make's"
        assert {"demo": "make serve", "serve": "make demo"}[target] in ended.stderr
    assert not list(project.glob(".venv*"))


def test_models_that_are_packaged_or_named_are_served(project):
    words, ended = make(project, "serve", READER_ARTIFACTS="/some/folder")
    assert (ended.returncode, words[1:3]) == (0, ["serve", "/some/folder"])
    (project / "artifacts/strips").mkdir(parents=True)
    (project / "artifacts/strips/model.onnx").touch()
    words, ended = make(project, "serve")
    assert (ended.returncode, words[1]) == (0, "serve")


def test_every_variable_of_a_recipe_is_tried_here():
    """A variable of make in a recipe is one that the Makefile sets; one of the shell is in quotes."""
    text = (ROOT / "Makefile").read_text()
    recipes = "\n".join(line for line in text.splitlines() if line.startswith("\t"))
    assert set(re.findall(r'"\$\$(?:\{)?([A-Z]+)', recipes)) - {"PYTHON", "PWD", "KILLS"} == set(VALUES)
    # SERVED is made of STAGE and QUICK.
    asked = {*SWITCHES, "SERVED", "STAGE", "JOBS", "ON", "WORKERS", "PORT"} - {"QUICK"}
    assert set(re.findall(r"\$\(if \$\((\w+)\)", recipes)) == asked
    assert not re.search(r'(?<!["{/])\$\$[A-Za-z{]', recipes), "a value of the shell without quotes"
    own = {"VENV", "BIN", "SITE", "PYTEST", "LOCK", "SERVING", "DEMO"}
    assert set(re.findall(r"\$\(([A-Z]+)\)", recipes)) <= own | asked


@pytest.mark.slow
def test_random_values_arrive_as_they_are(project):
    draw = random.Random(15)
    alphabet = "ab$(){}[]`'\"\\;&|<>*?~#!%=:,.@ \t-/éü" + "$$$((``"
    tried = 0
    for _ in range(400):
        value = "".join(draw.choices([*alphabet, "touch ran", "$(shell touch ran)"], k=draw.randint(1, 12)))
        name = draw.choice(list(VALUES))
        target, before = VALUES[name]
        arguments, environment = ([f"{name}={value}"], {}) if draw.random() < 0.5 else ([], {name: value})
        words, ended = make(project, target, *arguments, **environment)
        assert ended.returncode == 0, (name, value, ended.stderr)
        # Make itself strips blanks at the beginning of a value on its command line.
        assert before + (value.lstrip(" \t") if arguments else value) in words or not value.strip(), (
            name,
            value,
            words,
        )
        tried += 1
    print(f"{tried} values of make variables: each arrived as it was, none was run")
