"""What DVC cannot see for itself: that deps name every module a stage imports, and that arrows point one way."""

import ast
import functools
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.config import params

ROOT = Path(__file__).parents[1]
INERT = {
    "pipeline/__init__.py",
    "pipeline/project/command.py",
    "pipeline/core/errors.py",
    "pipeline/config/params.py",
    "pipeline/config/sections.py",
    "pipeline/config/types.py",
}
"""Modules that decide whether a stage runs and what it says when it does not, but never what it writes."""


@functools.cache
def imported(file):
    """The project's modules that a file imports, as paths; what only type checkers import is left out."""
    tree = ast.parse((ROOT / file).read_text())
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {path for name in names if name.partition(".")[0] in ("pipeline", "stages") if (path := module_path(name))}


def module_path(name):
    path = name.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


@functools.cache
def closure(file):
    seen, waiting = set(), [file]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting.extend(imported(current))
    return frozenset(seen)


def sources():
    return sorted(
        str(path.relative_to(ROOT)) for folder in ("pipeline", "stages") for path in (ROOT / folder).rglob("*.py")
    )


def stages():
    with Repo(ROOT) as repo:
        for stage in repo.index.stages:
            module = stage.cmd.split()[2].replace(".", "/") + ".py"
            yield (
                stage.addressing,
                module,
                {dep.def_path for dep in stage.deps if not dep.def_path.startswith("params")},
            )


STAGES = list(stages())


@pytest.mark.parametrize(("name", "module", "deps"), STAGES, ids=[name for name, *_ in STAGES])
def test_deps_name_exactly_the_modules_that_a_stage_imports(name, module, deps):
    needed = closure(module)
    if name.startswith("train@"):
        needed |= closure(f"pipeline/strategies/{name.removeprefix('train@')}.py")
    if any(dep.startswith("data/features/") for dep in deps):
        needed -= RECORDED
    if name == "bento":
        needed |= closure("pipeline/serving/service.py")
    needed -= INERT
    named = set()
    for dep in deps:
        path = ROOT / dep
        if dep.startswith(("pipeline", "stages")):
            named |= {str(file.relative_to(ROOT)) for file in path.rglob("*.py")} if path.is_dir() else {dep}
    assert needed - named == set(), f"{name} imports these, but a change to them would not rerun it"
    surplus = {file for file in named - needed if file.endswith(".py")}
    assert surplus - OPTIONAL == set(), f"{name} reruns when these change, but does not import them"


RECORDED = {"pipeline/networks/features.py", "pipeline/networks/pretrained.py"}
"""Their digests stand in the features that a training depends on."""
OPTIONAL = {"pipeline/preprocessing/augmentation.py", "pipeline/training/reader.py"}
"""What every training may use: listed for all, imported by most."""


def test_every_stage_says_what_it_does_and_is_thin():
    for name, module, _ in STAGES:
        text = (ROOT / module).read_text()
        assert ast.get_docstring(ast.parse(text)), name


def test_nothing_imports_a_stage_and_strategies_do_not_import_each_other():
    for file in sources():
        others = imported(file)
        if file.startswith("stages/"):
            assert not [other for other in others if other.startswith("stages/") and other != "stages/__init__.py"], (
                file
            )
        else:
            assert not [other for other in others if other.startswith("stages/")], file
        if file.startswith("pipeline/strategies/") and not file.endswith("__init__.py"):
            assert not [other for other in others if other.startswith("pipeline/strategies/")], file


def test_there_is_no_circle():
    for first, second in itertools.combinations(sources(), 2):
        if first.endswith("__init__.py") or second.endswith("__init__.py"):
            continue
        assert not (second in closure(first) and first in closure(second)), f"{first} and {second} import each other"


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        (
            ["pipeline.serving.service", "pipeline.runtime.reader"],
            ["tensorflow", "keras", "dvc", "great_expectations", "sklearn"],
        ),
        (["stages.fetch", "stages.compose", "stages.normalize"], ["tensorflow", "keras", "great_expectations"]),
        (["stages.compare", "stages.bento", "pipeline.commands.repro"], ["tensorflow", "keras", "great_expectations"]),
        (["pipeline.registry.cli"], ["tensorflow", "keras", "great_expectations"]),
        (["stages.validate"], ["tensorflow", "keras"]),
        (["stages.train", "stages.evaluate", "stages.package"], ["great_expectations"]),
    ],
    ids=lambda value: value[0],
)
def test_what_is_slow_to_import_is_imported_only_where_it_is_used(modules, forbidden):
    code = f"import {', '.join(modules)}, sys; print([name for name in {forbidden} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_strategy_in_params_has_its_stages():
    names = {name for name, *_ in STAGES}
    loaded = params.load(ROOT / "params.yaml")
    assert {f"train@{name}" for name in loaded.strategies} <= names
    assert {f"evaluate@{name}" for name in loaded.strategies} <= names


def test_locks_pin_every_package_by_hash_and_agree():
    pins = {}
    for name in ("bootstrap", "serve", "pipeline", "dev"):
        text = (ROOT / "requirements" / f"{name}.lock").read_text()
        assert "://" not in text, f"{name}.lock names an address"
        blocks = [
            block for block in text.replace("\\\n", "").splitlines() if "==" in block and not block.startswith("#")
        ]
        assert blocks
        assert all("--hash=sha256:" in block for block in blocks)
        # Without markers: the larger set narrows some of them.
        pins[name] = {block.split("--hash")[0].split(";")[0].strip() for block in blocks}
    assert pins["bootstrap"] <= pins["dev"]
    assert pins["serve"] <= pins["pipeline"] <= pins["dev"]
    served = {pin.partition("==")[0] for pin in pins["serve"]}
    assert not served & {"tensorflow", "keras", "dvc", "great-expectations", "scikit-learn"}
