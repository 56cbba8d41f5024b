"""Whatever params.yaml, a study or SET holds: it is valid, or one line says why not, in bounded time and memory."""

import collections
import contextlib
import random
import re
import resource
import shutil
import time
from pathlib import Path

import pytest
import watch
import yaml_documents

from pipeline.config import names, params
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import changes
from pipeline.experiments.studies import Study
from pipeline.project import command
from pipeline.search.searches import Search

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARAMS, STUDIES, SEARCHES, SETS = 1_400, 400, 200, 200
SECONDS = 20.0
"""Of this process, for one document at most: it is busy for a tenth of a second as a rule."""
MEGABYTES = 400
"""By which the memory of this process may grow in all."""
KEPT = ("slice", "cnn", "textbook", "vgg16")
STUDY = """
targets: [evaluate@slice]
fixed: {budget: 0.05}
grid:
  strategies.slice.dropout: [0, 0.25]
  schedule: {short: {strategies.slice.epochs: 2}, long: {strategies.slice.epochs: 8}}
  seed: [1, 2]
baseline: {strategies.slice.dropout: 0, schedule: short}
repeat: seed
split: valid
"""
SEARCH = """
targets: [evaluate@slice]
fixed: {seed: 2}
search:
  space:
    strategies.slice.dropout: {low: 0.0, high: 0.5, step: 0.1}
    strategies.slice.learning_rate: {low: 0.0001, high: 0.01, log: true}
    strategies.slice.batch: {choices: [64, 128]}
  trials: 8
  sampler: tpe
  seed: 7
  budgets: [0.1, 0.3]
  reduction: 2
  parallel: 2
  enqueue:
  - strategies.slice.dropout: 0.1
split: valid
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A params.yaml with few strategies, so that it is read quickly, and what it is checked against."""
    folder = tmp_path / "project"
    folder.mkdir()
    text = "\n".join(
        line.partition("  #")[0].rstrip() for line in (ROOT / "params.yaml").read_text().splitlines() if line[:1] != "#"
    )
    for name in re.findall(r"^  (\w+):$", text.partition("\nstrategies:")[2].partition("\npackage:")[0], re.MULTILINE):
        if name not in KEPT:
            text = re.sub(rf"\n  {name}:\n(?:    .*\n)+", "\n", text + "\n")
    text = re.sub(r"\n\n+", "\n", text).replace("  scenes: {}\n", "").replace("  lines: {}\n", "")
    text = re.sub(r"\n  vgg16_article: \{from.*", "", text)
    (folder / "params.yaml").write_text(text)
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    (folder / "studies").mkdir()
    monkeypatch.chdir(folder)
    return folder


def outcome(call, capsys):
    """`valid`, or the reason: how a command would have ended. Anything else is a failure of the test."""
    began = time.process_time()
    code = 0
    try:
        with command.one_line_errors():
            call()
    except SystemExit as ended:
        code = ended.code
    seconds = time.process_time() - began
    error = capsys.readouterr().err
    assert seconds < SECONDS
    if code == 0:
        return "valid"
    assert code == 2, error
    assert error.startswith("configuration: ")
    assert error.count("\n") == 1
    assert error.strip().isprintable()
    assert len(error) < 3_000
    # The reason without what it names.
    return re.sub(r"[^a-z ]+", " ", error.lower()).split("expected")[0][-30:]


def watched(folder):
    """The folder around the project, with files of the kind that hostile input is aimed at."""
    watch.canary(folder / "canary")
    return watch.Root(folder)


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_the_document_that_is_changed_is_sound(project):
    assert set(params.load(Path("params.yaml")).strategies) == set(KEPT)
    (project / "studies/s.yaml").write_text(STUDY)
    assert len(list(Study.load(Path("studies/s.yaml")).points())) == 8


def try_documents(path, documents, load, watched_folder, capsys):
    """Write one document after the other to `path` and load it, within bounds; returns the count of each outcome."""
    before, found = memory(), collections.Counter()
    project = Path.cwd()
    with watch.only(project, roots=[watched(watched_folder)]):
        for number, document in enumerate(documents):
            path.write_bytes(document)
            try:
                found[outcome(load, capsys)] += 1
            except BaseException:
                shutil.copy(path, project / "failed.yaml")
                print(f"document {number}: {document[:20_000]!r}")
                raise
    assert memory() - before < MEGABYTES
    assert not list(project.rglob("ran*"))
    with capsys.disabled():
        print(f"\n{found.total()} documents as {path.name}: {found['valid']} valid, {len(found) - 1} kinds of refusal")
    assert 0 < found["valid"] < found.total() / 2
    return found


def test_hostile_params(project, tmp_path, capsys):
    path = project / "params.yaml"

    def load():
        loaded = params.load(Path("params.yaml"))
        for each in (*loaded.suites, *loaded.strategies, *loaded.previews.suites, *loaded.proposals):
            names.checked(each)
        assert 0 <= loaded.seed < 2**32

    documents = yaml_documents.documents(path.read_text(), PARAMS, seed=15)
    assert try_documents(path, documents, load, tmp_path, capsys).total() == PARAMS


def test_hostile_studies(project, tmp_path, capsys):
    def load():
        for _, run in Study.load(Path("studies/s.yaml")).points():
            names.check_experiment(run.name, "a run")

    documents = yaml_documents.documents(STUDY, STUDIES, seed=16)
    assert try_documents(project / "studies/s.yaml", documents, load, tmp_path, capsys).total() == STUDIES


def test_hostile_searches(project, tmp_path, capsys):
    def load():
        search = Search.load(Path("studies/s.yaml"))
        assert list(search.extremes())
        assert [dimension.distribution() for dimension in search.space.values()]

    documents = yaml_documents.documents(SEARCH, SEARCHES, seed=18)
    assert try_documents(project / "studies/s.yaml", documents, load, tmp_path, capsys).total() == SEARCHES


def test_hostile_changes(project, tmp_path, capsys):
    draw, found = random.Random(17), collections.Counter()
    keys = ("seed", "budget", "strategies.slice.epochs", "suites.plain", "suites.new", "+x", "++seed", "~seed", "a b")
    values = (
        *("1", "1,2", "range(1,3)", "${oc.env:HOME}", "${seed}", "'a", '"', "[1", "{a:1}", "choice(1,2)", "null", "="),
        *("", "glob(*)", "interval(1,2)", "!!python/object:os.system x", "x" * 3000, "1e999", "\x1b[31m", "é", "\\"),
        *("$(touch ran)", "`touch ran`", "; touch ran", "int('1')", "file://x", "\n", "1" + "0" * 30, "sort(2,1)"),
    )
    with watch.only(project, roots=[watched(tmp_path)]):
        for _ in range(SETS):
            change = draw.choice(keys) + draw.choice(("=", "=", "=", "")) + draw.choice(values)
            try:
                found[outcome(lambda change=change: changes.combinations([change]), capsys)] += 1
            except BaseException:
                print(f"change: {change!r}")
                raise
    assert not list(project.rglob("ran*"))
    with capsys.disabled():
        print(f"\n{SETS} changes: {found['valid']} valid, {len(found) - 1} kinds of refusal")
    with contextlib.suppress(ConfigurationError):
        changes.combinations(["seed=${oc.env:HOME}"])
