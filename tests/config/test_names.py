"""Names become paths and arguments: one rule, checked with the params, and again by DVC before a shell sees one."""

import re
import shutil
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc.repo import Repo
from ruamel.yaml import YAML

from pipeline.config import names, params
from pipeline.core.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
RUNS = "x; touch ran #"
GOOD = ("plain", "A", "a-b_c", "x2024", "nullable", "yes-men", "a" * 64)
BAD = (
    *(RUNS, "$(touch ran)", "`touch ran`", "a'b", 'a"b', "a b", " a", "a\n", "a\tb", "a\u2028touch ran", "a\x85b"),
    *("a\x00b", "../..", "..", ".", "", "/etc/x", "a/b", "-x", "--help", "_x", "~", "*", "[a]", "{a,b}", "#x", "a@b"),
    *("a.b", "a:b", "a=b", "a\\", "!x", "%x", "^x", "é", "日本", "\u202ea", "\x1b[31m", "\x7f", "2024", "0x10", "1e3"),
    *("a" * 65, "null", "Null", "true", "FALSE", "yes", "no", "on", "off", "y", "N", 2024, None, True, 1.5, ("a",)),
)


@pytest.mark.parametrize("name", GOOD)
def test_a_name(name):
    assert names.checked(name) == name


@pytest.mark.parametrize("name", BAD, ids=repr)
def test_no_name(name):
    with pytest.raises(ValueError, match="name"):
        names.checked(name)


@pytest.mark.parametrize("name", ["a..b", "a.lock", "a.", ".a", "-a", "a b", "a/b", "x" * 201, "", "é", "a\n", "HEAD^"])
def test_no_name_of_an_experiment(name):
    with pytest.raises(ConfigurationError, match="AS: expected a name"):
        names.check_experiment(name, "AS")


@pytest.mark.parametrize(
    "value", ["9" * 5000, [[[[1]]]] * 1000, int("f" * 5000, 16), {"a" * 9000: 1}, "\x1b[31m\n"], ids=range(5)
)
def test_a_value_is_shown_in_one_short_line(value):
    assert len(names.shown(value)) <= 121
    assert names.shown(value).isprintable()


def document():
    return YAML(typ="safe").load(ROOT / "params.yaml")


def renamed(section, old):
    def change(values, name):
        section(values)[name] = section(values).pop(old)

    return change


def set_to(section, key):
    def change(values, name):
        section(values)[key] = name

    return change


PLACES = {
    "sources.key": renamed(lambda values: values["sources"], "mnist"),
    "suites.key": renamed(lambda values: values["suites"], "plain"),
    "suites.task": set_to(lambda values: values["suites"]["plain"], "task"),
    "suites.from": set_to(lambda values: values["suites"]["plain"], "from"),
    "previews.suites.key": renamed(lambda values: values["previews"]["suites"], "mnist"),
    "previews.suites.item": set_to(lambda values: values["previews"]["suites"], "mnist"),
    "features.key": renamed(lambda values: values["features"], "vgg16"),
    "features.from": set_to(lambda values: values["features"]["vgg16"], "from"),
    "suspects.key": renamed(lambda values: values["suspects"], "mnist"),
    "suspects.from": set_to(lambda values: values["suspects"]["mnist"], "from"),
    "proposals.item": set_to(lambda values: values["proposals"], 0),
    "strategies.key": renamed(lambda values: values["strategies"], "slice"),
    "strategies.task": set_to(lambda values: values["strategies"]["slice"], "task"),
    "strategies.train_on": set_to(lambda values: values["strategies"]["slice"], "train_on"),
    "strategies.normalization": set_to(lambda values: values["strategies"]["slice"], "normalization"),
    "strategies.features": set_to(lambda values: values["strategies"]["slice"], "features"),
    "reported.key": renamed(lambda values: values["reported"], "strips"),
    "package.key": renamed(lambda values: values["package"], "strips"),
}
"""Every value of params.yaml that dvc.yaml puts into a command."""
IN_DEPS = {
    *("suites.from", "previews.suites.item", "features.from", "strategies.train_on", "strategies.normalization"),
    *("strategies.features", "suspects.from"),
}
"""Those that no output of their stage contains. DVC runs no stage whose dependency does not exist."""
WITHOUT_PATH = {"features.network"}
"""Those that are in no path of their stage: only the check of params.yaml stops them, `dvc repro` itself does not."""


@pytest.fixture
def project(tmp_path):
    for name in ("params.yaml", "dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    return tmp_path


def test_every_value_in_a_command_is_tried():
    used = set()
    for stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values():
        if "foreach" in stage:
            section = stage["foreach"].strip("${}")
            used |= {
                f"{section}.{found.removeprefix('item.')}" for found in re.findall(r"\$\{(.+?)\}", stage["do"]["cmd"])
            }
        else:
            assert "${" not in str(stage["cmd"])
    assert used == {*PLACES, *WITHOUT_PATH}


FAST = ("suites.key", "strategies.train_on")
"""What `make test` tries: DVC takes a second to read dvc.yaml."""


@pytest.mark.parametrize(
    "place", [pytest.param(place, marks=[] if place in FAST else [pytest.mark.slow]) for place in PLACES]
)
def test_a_name_that_a_shell_interprets_reaches_none(project, place):
    """Neither by `make repro`, which checks the params, nor by `dvc repro`, which does not."""
    for name in (RUNS, "a\u2028touch ran"):
        values = document()
        PLACES[place](values, name)
        with (project / "params.yaml").open("w") as file:
            YAML(typ="safe").dump(values, file)
        with pytest.raises(ConfigurationError):
            params.load(project / "params.yaml")
        if place not in IN_DEPS:
            with pytest.raises(DvcException), Repo(project) as repo:
                # What every command of DVC reads before it runs a stage.
                repo.index.check_graph()
            continue
        with Repo(project) as repo:
            for stage in (stage for stage in repo.index.stages if name in str(stage.cmd)):
                assert [dep for dep in stage.deps if name in dep.def_path and not Path(dep.fs_path).exists()], stage


@pytest.mark.parametrize("place", sorted(WITHOUT_PATH))
def test_the_others_are_stopped_by_the_params(project, place):
    values = document()
    values["features"]["vgg16"]["network"] = RUNS
    with (project / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(values, file)
    with pytest.raises(ConfigurationError, match=place.partition(".")[2]):
        params.load(project / "params.yaml")


def test_the_committed_params_pass_both(project):
    params.load(project / "params.yaml")
    with Repo(project) as repo:
        repo.index.check_graph()
        assert len(repo.index.stages) > 50


@pytest.mark.parametrize("name", [name for name in BAD if isinstance(name, str | int | float | None)], ids=repr)
def test_the_params_name_a_suite_that_has_no_name(project, name):
    values = document()
    values["suites"][name] = values["suites"].pop("blanks")
    values["reported"]["strips"] = ["plain", "jitter", "clutter"]
    with (project / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(values, file)
    with pytest.raises(ConfigurationError, match=r"params\.yaml"):
        params.load(project / "params.yaml")


def test_names_that_differ_in_case_alone_are_one_folder_elsewhere(project):
    values = document()
    values["suites"]["Plain"] = values["suites"]["plain"]
    with (project / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(values, file)
    with pytest.raises(ConfigurationError, match=r"suites\.(plain: differs from Plain|Plain: differs from plain)"):
        params.load(project / "params.yaml")
