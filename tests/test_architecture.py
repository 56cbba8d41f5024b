"""What neither DVC nor import-linter sees: that deps name every module a stage imports, and that stages stay thin."""

import ast
import collections
import functools
import inspect
import itertools
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from pipeline.config import params, types
from pipeline.preprocessing.augmentation import Augmentation

ROOT = Path(__file__).parents[1]
INERT = (
    *("pipeline/config/", "pipeline/project/", "pipeline/core/errors.py"),
    *("pipeline/__init__.py", "stages/__init__.py"),
)
"""What decides whether a stage runs and how it fails, but never what it writes."""
RECORDED = {
    "data/features/": {
        "pipeline/networks/features.py",
        "pipeline/networks/pretrained.py",
        "pipeline/records/features.py",
        "pipeline/remote/downloads.py",
        "pipeline/remote/weights.py",
    },
    "data/proposals": {"pipeline/preprocessing/proposals.py"},
}
"""What decides the content of a file on which a training depends; the training imports it to read that file."""
MOST_LINES = 70
"""Lines of the longest stage."""


@functools.cache
def tree(file):
    return ast.parse((ROOT / file).read_text())


@functools.cache
def imported(file):
    """The project's modules that a file imports, as paths; what only type checkers import is left out."""
    typing_only = {
        id(node)
        for branch in ast.walk(tree(file))
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    names = set()
    for node in ast.walk(tree(file)):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    # Importing a module runs the packages around it.
    parts = [name.split(".") for name in names]
    packages = {".".join(part[:length]) for part in parts for length in range(1, len(part))}
    return {
        path
        for name in names | packages
        if name.partition(".")[0] in ("pipeline", "stages") and (path := module_path(name))
    }


def module_path(name):
    path = name.replace(".", "/")
    return next((each for each in (f"{path}.py", f"{path}/__init__.py") if (ROOT / each).is_file()), None)


@functools.cache
def closure(file):
    seen, waiting = set(), [file]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting.extend(imported(current))
    return frozenset(seen)


def is_inert(file):
    """Whether a module cannot change what a stage writes: one of `INERT`, or a package with a docstring alone."""
    return file.startswith(INERT) or (file.endswith("__init__.py") and len(tree(file).body) <= 1)


def modules_below(path):
    """The modules of a dependency, a file or a folder."""
    place = ROOT / path
    files = [place] if place.is_file() else place.rglob("*.py")
    return {str(file.relative_to(ROOT)) for file in files if file.suffix == ".py"}


def needed(name, module, deps):
    """The modules that decide what a stage writes, those included that it loads by name."""
    found = set(closure(module))
    if name.startswith("train@"):
        found |= closure(f"pipeline/strategies/{name.removeprefix('train@')}.py")
        for computed, modules in RECORDED.items():
            if any(dep.startswith(computed) for dep in deps):
                found -= modules
    if name == "bento":
        found |= closure("pipeline/serving/service.py")
    return {file for file in found if not is_inert(file)}


def all_stages():
    with Repo(ROOT) as repo:
        for stage in repo.index.stages:
            module = stage.cmd.split()[2].replace(".", "/") + ".py"
            deps = {dep.def_path for dep in stage.deps if not dep.def_path.startswith("params")}
            yield stage.addressing, module, deps, set(re.findall(r"--([a-z-]+)", stage.cmd))


STAGES = list(all_stages())
MODULES = sorted({module for _, module, *_ in STAGES})


@pytest.mark.parametrize("module", MODULES)
def test_deps_name_every_module_that_a_stage_imports(module):
    missing = collections.Counter()
    for name, _, deps, _ in (stage for stage in STAGES if stage[1] == module):
        named = set().union(*(modules_below(dep) for dep in deps if dep.startswith(("pipeline", "stages"))))
        missing.update(needed(name, module, deps) - named)
    lines = [f"{file}, of {count} instances" for file, count in sorted(missing.items())]
    assert not missing, "a change to these would not rerun the stage:\n" + "\n".join(lines)


@pytest.mark.parametrize("module", MODULES)
def test_deps_name_no_module_that_a_stage_does_not_import(module):
    """A folder may hold more than is imported; every file by itself must be imported by an instance of the stage."""
    listed, imports = set(), set()
    for name, _, deps, _ in (stage for stage in STAGES if stage[1] == module):
        imports |= needed(name, module, deps).union(*RECORDED.values())
        listed |= {dep for dep in deps if dep.startswith(("pipeline", "stages"))}
    surplus = {dep for dep in listed if (modules := modules_below(dep)) and not modules & imports}
    assert not surplus, f"a change to these would rerun the stage for nothing: {', '.join(sorted(surplus))}"


@pytest.mark.parametrize("module", MODULES)
def test_a_stage_is_thin(module):
    """It holds `main` with one typed path or name for each argument in dvc.yaml, and leaves the work to the library."""
    text, body = (ROOT / module).read_text(), tree(module).body
    assert len(text.splitlines()) <= MOST_LINES
    assert ast.get_docstring(tree(module))
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if not node.name.startswith("_")] == ["main"]
    assert not [node for node in body if isinstance(node, ast.ClassDef)]
    assert ast.unparse(body[-1]) == "if __name__ == '__main__':\n    command.run(main)"

    parameters = inspect.signature(import_module(module.removesuffix(".py").replace("/", ".")).main).parameters
    assert {parameter.annotation for parameter in parameters.values()} <= {Path, str}
    known = {name.replace("_", "-") for name in parameters}
    required = {
        name.replace("_", "-") for name, parameter in parameters.items() if parameter.default is parameter.empty
    }
    for _, _, _, given in (stage for stage in STAGES if stage[1] == module):
        assert required <= given <= known


def test_every_stage_is_in_dvc_yaml():
    assert {f"stages/{file.name}" for file in (ROOT / "stages").glob("[!_]*.py")} == set(MODULES)


def test_every_package_is_a_layer_and_has_a_docstring():
    """import-linter checks the order; without a layer it would not look."""
    for package in (folder for folder in (ROOT / "pipeline").iterdir() if (folder / "__init__.py").exists()):
        assert ast.get_docstring(tree(f"pipeline/{package.name}/__init__.py")), package.name
        # Strategies are one file each, however many there are.
        # One file for each strategy, and one for each kind of document.
        most = 99 if package.name in ("strategies", "records") else 18
        assert 2 <= len(modules_below(f"pipeline/{package.name}")) - 1 <= most, package.name


LIGHT = [
    *("fetch", "compose", "normalize", "propose", "corrupt", "evaluate", "robustness", "compare", "explore"),
    *("package", "report", "bento"),
]
"""Stages that need neither TensorFlow nor Great Expectations, each of which takes seconds to import."""


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        (
            ["pipeline.serving.service", "pipeline.runtime.reader"],
            ["tensorflow", "keras", "dvc", "great_expectations", "sklearn", "scipy", "pandas", "matplotlib"],
        ),
        (
            [
                *(f"stages.{name}" for name in LIGHT),
                "pipeline.registry.cli",
                "pipeline.commands.repro",
                "pipeline.commands.drift",
            ],
            ["tensorflow", "keras", "great_expectations"],
        ),
        (["stages.validate"], ["tensorflow", "keras"]),
    ],
    ids=["service", "light stages and commands", "validate"],
)
def test_what_is_slow_to_import_is_imported_only_where_it_is_used(modules, forbidden):
    code = f"import {', '.join(modules)}, sys; print([name for name in {forbidden} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_importing_a_module_does_nothing():
    """A module's top level defines names: no call that stands alone, no loop, nothing that is opened or made."""
    defines = (
        ast.Import,
        ast.ImportFrom,
        ast.Assign,
        ast.AnnAssign,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
    )
    acts = set()
    for file in (modules_below("pipeline") | modules_below("stages")) - {"pipeline/registry/__main__.py"}:
        for node in tree(file).body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_guard = isinstance(node, ast.If) and ast.unparse(node.test) in (
                "TYPE_CHECKING",
                "__name__ == '__main__'",
            )
            if not (isinstance(node, defines) or is_docstring or is_guard):
                acts.add(f"{file}: {ast.unparse(node)}")
    # What ONNX Runtime, BentoML, Keras and NumPy leave no later moment for.
    assert acts == {
        "stages/__init__.py: environment.settle()",
        "pipeline/commands/__init__.py: environment.settle()",
        (
            "pipeline/__init__.py: os.environ.update(BENTOML_DO_NOT_TRACK='True', DVC_NO_ANALYTICS='1', "
            "GX_ANALYTICS_ENABLED='False', ORT_DISABLE_TELEMETRY='1')"
        ),
        "pipeline/runtime/model.py: os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')",
        "pipeline/serving/service.py: do_not_track.cache_clear()",
        "pipeline/serving/service.py: install()",
        "pipeline/serving/service.py: ReaderService.add_asgi_middleware(Precedence)",
    }


def test_every_strategy_in_params_has_its_stages():
    names = {name for name, *_ in STAGES}
    loaded = params.load(ROOT / "params.yaml")
    expected = itertools.product(("train", "calibrate", "export", "evaluate", "robustness"), loaded.strategies)
    assert {f"{stage}@{strategy}" for stage, strategy in expected} <= names


def test_defaults_of_params_are_those_of_the_code_that_takes_them():
    """`pipeline/config` is no dependency of a stage, so a default there must not decide what a stage writes."""
    taken = inspect.signature(Augmentation).parameters
    for name, field in types.AugmentationSection.model_fields.items():
        assert field.default == taken[name].default, name


def test_a_bento_packs_what_the_service_imports():
    bento = yaml.safe_load((ROOT / "bentofile.yaml").read_text())
    packed = {
        str(file.relative_to(ROOT))
        for pattern in bento["include"]
        for file in ROOT.glob(pattern)
        if file.suffix == ".py"
    }
    service = bento["service"].partition(":")[0].replace(".", "/") + ".py"
    assert closure(service) - packed == set(), "the service of a bento would fail to import these"
    assert {file.split("/")[1] for file in packed} == {
        "__init__.py",
        "access",
        "core",
        "records",
        "rollout",
        "runtime",
        "monitoring",
        "scheduling",
        "serving",
    }


def test_locks_pin_every_package_by_hash_and_agree():
    pins = {}
    for name in ("bootstrap", "serve", "pipeline", "dev", "docs"):
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
    assert not served & {"tensorflow", "tensorflow-cpu", "keras", "dvc", "great-expectations", "scikit-learn"}
