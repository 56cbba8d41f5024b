"""The stage `evaluate` on small ONNX models: what it writes, in which order digits are read, and what stops it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import evaluations
import numpy as np
import pytest
from evaluations import SPLITS, SUITES
from onnx_models import band_model

from pipeline.core.errors import DataError
from pipeline.core.files import digest
from pipeline.core.images import BLANK, STRIP_SHAPE, ImageSet
from pipeline.core.readings import Readings
from pipeline.preprocessing import proposals
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import ModelFile
from pipeline.records.timing import EvaluationTiming
from stages import evaluate

ROOT = Path(__file__).parents[2]
PARAMS = (ROOT / "params.yaml").read_text()


def export(folder, model, **changes):
    """Write an exported model as the stage `export` does."""
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    path.write_bytes(model)
    file = ModelFile(file=path.name, sha256=digest(path), bytes=path.stat().st_size)
    evaluations.record(model=file, **changes).write(folder / "export.json")


def spoiled(pictures):
    """The pictures with another label in every tenth one's first slot: an error of whatever reads them well."""
    labels = pictures.labels.copy()
    labels[::10, 0] = (labels[::10, 0] + 1) % 10
    return replace(pictures, labels=labels)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with strips of two suites and a model that reads them, evaluated once."""
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text(PARAMS)
    (root / "pipeline").symlink_to(ROOT / "pipeline")
    export(root / "exports/strips/bands", band_model(STRIP_SHAPE, 5, 11))
    for suite in SUITES:
        for number, split in enumerate(SPLITS):
            spoiled(evaluations.strips(60, "mnist", seed=number)).save(root / f"data/strips/{suite}/{split}.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run(Path())
    return root


@pytest.fixture
def inside(project, monkeypatch):
    """The evaluated project as working directory."""
    monkeypatch.chdir(project)


def run(out, **changes):
    """Evaluate, and write everything below `out`."""
    paths = {
        "export": Path("exports/strips/bands"),
        "data": Path("data/strips"),
        "features": Path("data/proposals"),
        "predictions": out / "predictions/strips/bands",
        "out": out / "metrics/evaluation/strips/bands.json",
        "pictures": out / "reports/evaluation/strips/bands",
        "timings": out / "timings/evaluate-bands.json",
    }
    evaluate.main(strategy="bands", **paths | changes)


def scores_of(out, suite="plain", split="test"):
    """The scores that `run` wrote."""
    return Evaluation.read(out / "metrics/evaluation/strips/bands.json").suites[suite][split]


def contents(out):
    """Every file of a run but the wall clock's."""
    folders = [out / name for name in ("predictions", "metrics", "reports")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_every_split_of_the_reported_suites_is_read_scored_and_drawn(inside):
    assert {path.name for path in Path("predictions/strips/bands").iterdir()} == {
        f"{suite}-{split}.npz" for suite in SUITES for split in SPLITS
    }
    evaluation = Evaluation.read(Path("metrics/evaluation/strips/bands.json"))
    assert evaluation.sha256 == digest(Path("exports/strips/bands/model.onnx"))
    assert list(evaluation.suites) == sorted(SUITES)
    for suite in SUITES:
        for split in SPLITS:
            score = evaluation.suites[suite][split]
            assert (score.n, score.origin, score.sequence_accuracy) == (60, "mnist", 0.9)
    readings = Readings.load(Path("predictions/strips/bands/plain-test.npz"))
    pictures = ImageSet.load(Path("data/strips/plain/test.npz"))
    assert np.flatnonzero(np.any(readings.classes != pictures.labels, axis=1)).tolist() == list(range(0, 60, 10))
    assert {path.name for path in Path("reports/evaluation/strips/bands").iterdir()} == {
        f"{suite}-{name}"
        for suite in SUITES
        for name in ("examples.png", "diagnostics.png", "errors.png", "confusion.csv")
    }


def test_the_wall_clock_is_kept_apart(inside):
    timing = EvaluationTiming.read(Path("timings/evaluate-bands.json"))
    assert timing.seconds == pytest.approx(sum(timing.seconds_by_suite.values()), abs=1e-3)
    assert list(timing.seconds_by_suite) == sorted(SUITES)
    assert (timing.threads_batch_1, timing.threads_batch_256) == (1, 2)
    assert "seconds" not in Path("metrics/evaluation/strips/bands.json").read_text()


def test_a_second_run_gives_the_same_bytes(inside, tmp_path):
    run(tmp_path)
    assert contents(tmp_path) == contents(Path())


def test_a_model_of_the_stand_in_says_so_whatever_it_reads(inside, tmp_path):
    export(tmp_path / "export", band_model(STRIP_SHAPE, 5, 11), origin="embedded", suites=("plain",))
    run(tmp_path, export=tmp_path / "export")
    assert {scores_of(tmp_path, split=split).origin for split in SPLITS} == {"embedded"}


def test_a_suite_that_is_only_trained_on_is_not_read(inside, tmp_path):
    evaluations.strips(60).save(tmp_path / "data/mixed/valid.npz")
    export(tmp_path / "export", band_model(STRIP_SHAPE, 5, 11), suites=("mixed",))
    with pytest.raises(DataError, match="mixed"):
        run(tmp_path, export=tmp_path / "export", data=tmp_path / "data")


def test_no_suite_to_read_is_an_error(inside, tmp_path):
    with pytest.raises(DataError, match="plain, blanks"):
        run(tmp_path, data=tmp_path)


def test_a_damaged_model_is_an_error_of_one_line_and_leaves_nothing(inside, tmp_path):
    export(tmp_path / "export", b"not ONNX")
    with pytest.raises(DataError, match=r"model\.onnx") as caught:
        run(tmp_path / "out", export=tmp_path / "export")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


CELLS = np.stack([[28 * slot, 0, 28 * slot + 28, 28] for slot in range(5)]).astype(np.float32)


def with_regions(folder, regions):
    """A model whose boxes are its regions, and the regions of every picture."""
    model = band_model(STRIP_SHAPE, 5, 11, regions=len(regions))
    kind = {"positional": False, "boxes": True, "suites": ("plain",), "regions": len(regions)}
    export(folder / "export", model, **kind)
    for split in SPLITS:
        proposals.save(folder / f"proposals/plain/{split}.npz", np.tile(regions, (60, 1, 1)))
    return {"export": folder / "export", "features": folder / "proposals"}


def test_a_model_that_takes_regions_reads_those_of_the_suite(inside, tmp_path):
    run(tmp_path, **with_regions(tmp_path, CELLS))
    score = scores_of(tmp_path)
    assert (score.sequence_accuracy, score.slot_accuracy, score.slots) == (0.9, None, None)


def test_missing_regions_are_an_error_that_names_the_file(inside, tmp_path):
    given = with_regions(tmp_path, CELLS)
    (tmp_path / "proposals/plain/gate.npz").unlink()
    with pytest.raises(DataError, match=r"proposals/plain/gate\.npz"):
        run(tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_digits_found_from_right_to_left_are_scored_from_left_to_right(inside, tmp_path):
    for split in SPLITS:
        pictures = ImageSet.load(Path(f"data/strips/plain/{split}.npz"))
        boxes = np.where((pictures.labels == BLANK)[..., None], 0, CELLS[::-1]).astype(np.float32)
        turned = replace(pictures, labels=pictures.labels[:, ::-1], boxes=boxes[:, ::-1])
        turned.save(tmp_path / f"data/plain/{split}.npz")
    run(tmp_path, data=tmp_path / "data", **with_regions(tmp_path, CELLS[::-1]))
    score = scores_of(tmp_path)
    assert score.sequence_accuracy == 0.9
    assert score.ap50 > 0.9
    assert score.ap50 >= score.ap75 >= 0
    assert 0 < score.ap <= score.ap50
    stored = Readings.load(tmp_path / "predictions/strips/bands/plain-test.npz")
    left = np.where(stored.classes == BLANK, 1000, stored.boxes[..., 0])
    assert np.all(np.diff(left, axis=1) >= 0)


def test_evaluation_imports_neither_tensorflow_nor_dvc():
    code = "import sys, stages.evaluate\nprint(sorted({'tensorflow', 'keras', 'dvc'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
