"""Damaged files: every reader, and every stage that takes them, works or says in one line what is wrong."""

import collections
import contextlib
import io
import json
import random
import re
import shutil
import sys
import traceback
from pathlib import Path

import damaged_files
import evaluations
import keras
import numpy as np
import pytest
import watch
from evaluations import SUITES
from onnx_models import band_model

from pipeline.config import params
from pipeline.core.files import digest, write_arrays
from pipeline.core.images import SPLITS, STRIP_SHAPE, ImageSet
from pipeline.core.readings import Readings
from pipeline.networks.features import Features
from pipeline.preprocessing import proposals
from pipeline.preprocessing.normalization import Normalizer
from pipeline.project import command
from pipeline.records.base import Record
from pipeline.records.comparison import Candidate
from pipeline.records.data import SourceRecord, ValidationReport
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import ExportRecord, ModelFile
from pipeline.records.features import FeaturesRecord
from pipeline.records.manifest import Manifest
from pipeline.records.robustness import Robustness
from pipeline.records.timing import EvaluationTiming
from pipeline.reports import excerpts
from pipeline.training import models
from stages import compare, compose, evaluate, explore, normalize, package, propose

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PER_FILE = 20
"""Damages of every file; there are 24 of them."""
CODES = {0, 2, 3}
ONE_LINE = re.compile(r"(data|configuration): .{10,900}\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory, embedded):
    """A project whose stages ran: strips that a small model reads, scenes, a Keras model, and the records of all."""
    root = tmp_path_factory.mktemp("fuzz") / "project"
    root.mkdir()
    settings = params.read(ROOT / "params.yaml")
    strategies = settings["strategies"]
    kept = {name: each for name, each in strategies.items() if each["task"] != "strips" or name == "slice"}
    (root / "params.yaml").write_text(json.dumps(settings | {"strategies": kept}))
    (root / "pipeline").symlink_to(ROOT / "pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        content = band_model(STRIP_SHAPE, 5, 11)
        export = Path("exports/strips/slice")
        export.mkdir(parents=True)
        (export / "model.onnx").write_bytes(content)
        file = ModelFile(file="model.onnx", sha256=digest(export / "model.onnx"), bytes=len(content))
        evaluations.record("slice", model=file).write(export / "export.json")
        for suite in SUITES:
            for number, split in enumerate(SPLITS):
                evaluations.strips(40, "mnist", seed=number).save(Path(f"data/strips/{suite}/{split}.npz"))
        for split in SPLITS:
            embedded["scenes/scenes"][split].take(slice(0, 4)).save(Path(f"data/scenes/scenes/{split}.npz"))
            embedded["mnist/mnist"][split].take(slice(0, 100)).save(Path(f"data/mnist/mnist/{split}.npz"))
        run_propose()
        run_normalize()
        run_evaluate()
        sha256 = digest(export / "model.onnx")
        evaluations.robustness("slice", sha256=sha256).write(Path("metrics/robustness/strips/slice.json"))
        run_compare()
        run_explore()
        run_package()
        shutil.copy(_keras_model(root.parent), "model.keras")
    return root


def _keras_model(folder):
    pixels = keras.Input((28, 28, 1), dtype="uint8")
    out = keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels)))
    models.save(keras.Model(pixels, out), folder / "model.keras")
    return folder / "model.keras"


def run_propose():
    propose.main(data=Path("data/scenes/scenes"), out=Path("data/proposals/scenes"))


def run_normalize():
    normalize.main(
        suite="mnist", data=Path("data/mnist/mnist"), out=Path("data/statistics/mnist"), pictures=Path("drawn")
    )


def run_compose():
    compose.main(suite="plain", source=Path("data/mnist/mnist"), out=Path("composed"))


def run_evaluate():
    evaluate.main(
        strategy="slice", export=Path("exports/strips/slice"), data=Path("data/strips"), features=Path("none"),
        predictions=Path("predictions/strips/slice"), out=Path("metrics/evaluation/strips/slice.json"),
        pictures=Path("reports/evaluation/strips/slice"), timings=Path("timings/evaluate-slice.json"),
    )  # fmt: skip


def run_compare():
    compare.main(
        task="strips", evaluation=Path("metrics/evaluation/strips"), leaderboard=Path("metrics/leaderboard/strips.csv"),
        candidate=Path("metrics/candidates/strips.json"), pictures=Path("reports/comparison/strips"),
    )  # fmt: skip


def run_explore():
    explore.main(
        task="strips", evaluation=Path("metrics/evaluation/strips"), predictions=Path("predictions/strips"),
        data=Path("data/strips"), out=Path("reports/excerpts/strips"),
    )  # fmt: skip


def run_package():
    package.main(
        candidate=Path("metrics/candidates/strips.json"), evaluation=Path("metrics/evaluation/strips"),
        robustness=Path("metrics/robustness/strips"),
        exports=Path("exports/strips"), predictions=Path("predictions/strips"), data=Path("data/strips"),
        model=Path("artifacts/strips/model.onnx"),
        manifest=Path("artifacts/strips/manifest.json"), card=Path("artifacts/strips/MODEL_CARD.md"),
        strategies=Path("artifacts/strips/strategies"),
    )  # fmt: skip


def record(kind: type[Record]):
    return kind.read


READERS = {
    "data/strips/plain/gate.npz": (ImageSet.load, run_evaluate),
    "data/strips/blanks/valid.npz": (ImageSet.load, run_evaluate),
    "data/mnist/mnist/train.npz": (ImageSet.load, run_compose),
    "data/mnist/mnist/test.npz": (ImageSet.load, run_compose),
    "data/scenes/scenes/gate.npz": (ImageSet.load, run_propose),
    "data/proposals/scenes/gate.npz": (lambda path: proposals.load(path, 4), None),
    "data/statistics/mnist/featurewise.npz": (Normalizer.load, None),
    "data/statistics/mnist/zca.npz": (Normalizer.load, None),
    "predictions/strips/slice/plain-gate.npz": (Readings.load, None),
    "predictions/strips/slice/blanks-test.npz": (Readings.load, run_explore),
    "reports/excerpts/strips/plain.json": (lambda path: excerpts.load(path.parent, "plain"), None),
    "reports/excerpts/strips/plain.npz": (lambda path: excerpts.load(path.parent, "plain"), None),
    "reports/excerpts/strips/plain-slice.npz": (lambda path: excerpts.load(path.parent, "plain"), None),
    "model.keras": (models.load, None),
    "exports/strips/slice/export.json": (record(ExportRecord), run_package),
    "metrics/evaluation/strips/slice.json": (record(Evaluation), run_compare),
    "metrics/robustness/strips/slice.json": (record(Robustness), run_package),
    "metrics/candidates/strips.json": (record(Candidate), run_package),
    "artifacts/strips/manifest.json": (record(Manifest), None),
    "timings/evaluate-slice.json": (record(EvaluationTiming), None),
    "source.json": (record(SourceRecord), None),
    "validation.json": (record(ValidationReport), None),
    "features/base.npz": (lambda path: Features.load(path.parent), None),
    "features/features.npz": (lambda path: Features.load(path.parent), None),
    "features/features.json": (lambda path: Features.load(path.parent), None),
}
"""The files, what reads them, and the stage that takes them where the reader accepts them."""
RUNS = (run_evaluate, run_compare, run_explore, run_package, run_propose, run_compose)


def outcome(function, *arguments):
    """The exit code and the lines of standard error; those of a traceback, with code 1, where a bug ends it."""
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error), command.one_line_errors():
            function(*arguments)
    except SystemExit as ended:
        return ended.code, error.getvalue()
    except Exception:
        return 1, traceback.format_exc()
    return 0, ""


def _more(root):
    """Records and features that no stage above writes."""
    evaluations.validated("strips", "plain").write(root / "validation.json")
    (root / "source.json").write_text('{"origin": "mnist", "class_names": ["0"], "sets": {}}')
    features = root / "features"
    features.mkdir(exist_ok=True)
    kernel, bias = np.zeros((3, 3, 3, 8), np.float32), np.zeros(8, np.float32)
    write_arrays(features / "base.npz", {"000": kernel, "001": bias})
    computed = {"train": np.zeros((4, 2, 2, 8), np.float32), "valid": np.zeros((2, 2, 2, 8), np.float32)}
    write_arrays(features / "features.npz", computed)
    FeaturesRecord(
        weights="none", input_size=48, freeze_until=2, augmentation={}, network="vgg16", pretrained="not_applicable",
        precision="float32", origin="cifar10", missing=None, code={},
    ).write(features / "features.json")  # fmt: skip


def test_a_damaged_file_is_refused_in_one_line_or_read(project, tmp_path, monkeypatch, capsys):
    _more(project)
    monkeypatch.chdir(project)
    seen, problems, rng = collections.Counter(), [], random.Random(15)
    for name, (reader, stage) in READERS.items():
        path = project / name
        sound = path.read_bytes()
        assert outcome(reader, path)[0] == 0, name
        for number in range(PER_FILE):
            kind, content = damaged_files.damage(sound, rng)
            path.write_bytes(content)
            where = f"{name}, {number}: {kind}"
            with watch.only(project, roots=[watch.Root(project.parent)]):
                code, lines = outcome(reader, path)
                who = "reader"
                if code == 0 and stage is not None:
                    code, lines = outcome(stage)
                    who = stage.__name__.removeprefix("run_")
            seen[f"{who} refuses" if code else f"{who} reads"] += 1
            if code not in CODES or (code and not ONE_LINE.fullmatch(lines)):
                problems.append(f"{where}: {who} ended with {code}: {lines[-300:]}")
        path.write_bytes(sound)
    files = PER_FILE * len(READERS)
    with capsys.disabled():
        print(f"\n{files} damaged files over {len(READERS)} readers: {dict(seen)}", file=sys.stderr)
    assert not problems, "\n".join(problems)
    assert files >= 400
    assert not list(project.rglob("*.partial*"))
    assert {outcome(stage)[0] for stage in RUNS} == {0}
