"""The stage `package`: the candidate with manifest and card, and beside it every strategy that can be served."""

import shutil
import tarfile
from pathlib import Path

import evaluations
import pytest
from onnx_models import band_model

from pipeline.core.errors import DataError
from pipeline.core.files import digest
from pipeline.core.images import STRIP_SHAPE
from pipeline.evaluation import leaderboard
from pipeline.records.comparison import Candidate
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import ModelFile
from pipeline.records.manifest import Manifest
from pipeline.runtime.reader import Reader
from stages import package

WRONG = {"best": 0.01, "next": 0.05, "last": 0.3, "with_regions": 0.001}
"""By strategy, the share of the slots that are read wrongly. The best one takes regions and cannot be deployed."""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Exports, evaluations and the candidate of four strategies, as the stages before write them."""
    monkeypatch.chdir(tmp_path)
    read = {}
    for number, (name, wrong) in enumerate(WRONG.items()):
        export = Path("exports/strips", name)
        export.mkdir(parents=True)
        path = export / "model.onnx"
        # Bytes behind a graph are another field of its protobuf: each model has a hash of its own.
        path.write_bytes(band_model(STRIP_SHAPE, 5, 11) + bytes([0x32, number + 1]) + b"x" * (number + 1))
        regions = name == "with_regions"
        made = evaluations.record(
            name,
            model=ModelFile(file=path.name, sha256=digest(path), bytes=path.stat().st_size),
            deployable=not regions,
            regions=4 if regions else None,
        )
        made.write(export / "export.json")
        evaluation = evaluations.evaluation(wrong, strategy=name, deployable=not regions)
        read[name] = evaluation.model_copy(update={"sha256": made.model.sha256})
        read[name].write(Path(f"metrics/evaluation/strips/{name}.json"))
        evaluations.robustness(name, sha256=made.model.sha256).write(Path(f"metrics/robustness/strips/{name}.json"))
        for suite, splits in evaluations.results(wrong).items():
            splits["valid"].readings.save(Path(f"predictions/strips/{name}/{suite}-valid.npz"))
    for suite in evaluations.SUITES:
        evaluations.strips(200).save(Path(f"data/strips/{suite}/valid.npz"))
    leaderboard.candidate("strips", read, evaluations.SUITES).write(Path("metrics/candidates/strips.json"))
    return tmp_path


def run():
    return package.main(
        candidate=Path("metrics/candidates/strips.json"), evaluation=Path("metrics/evaluation/strips"),
        robustness=Path("metrics/robustness/strips"),
        exports=Path("exports/strips"), predictions=Path("predictions/strips"), data=Path("data/strips"),
        model=Path("artifacts/strips/model.onnx"),
        manifest=Path("artifacts/strips/manifest.json"), card=Path("artifacts/strips/MODEL_CARD.md"),
        strategies=Path("artifacts/strips/strategies"),
    )  # fmt: skip


def test_every_strategy_that_can_be_deployed_is_packaged_and_the_others_are_named(project):
    assert run() == "best; cannot be deployed and is left out: with_regions"
    assert sorted(path.name for path in Path("artifacts/strips/strategies").iterdir()) == ["best", "last", "next"]
    for name in ("best", "next", "last"):
        manifest = Reader.load(Path("artifacts/strips/strategies", name)).manifest
        assert manifest.strategy == name
        assert manifest.model.sha256 == digest(Path("exports/strips", name, "model.onnx"))
        assert manifest.coverage == Evaluation.read(Path(f"metrics/evaluation/strips/{name}.json")).coverage


def test_the_packaged_model_is_the_same_as_its_entry_among_the_strategies(project):
    run()
    best = Path("artifacts/strips/strategies/best")
    for name in ("model.onnx", "manifest.json"):
        assert (best / name).read_bytes() == (Path("artifacts/strips") / name).read_bytes()
    assert Manifest.read(Path("artifacts/strips/manifest.json")).strategy == "best"
    assert digest(best / "model.onnx") in Path("artifacts/strips/MODEL_CARD.md").read_text()


def test_strategies_that_are_gone_leave_the_folder(project):
    run()
    stale = Path("artifacts/strips/strategies/removed")
    stale.mkdir()
    (stale / "manifest.json").touch()
    run()
    assert not stale.exists()


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_changed_model_stops_the_stage_and_the_packaged_files_stay(project, name):
    run()
    before = Path("artifacts/strips/model.onnx").read_bytes()
    with Path("exports/strips", name, "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=f"export@{name}"):
        run()
    assert Path("artifacts/strips/model.onnx").read_bytes() == before
    assert sorted(path.name for path in Path("artifacts/strips/strategies").iterdir()) == ["best", "last", "next"]


def test_a_strategy_that_was_evaluated_with_another_model_is_not_packaged(project):
    path = Path("metrics/evaluation/strips/last.json")
    evaluations.evaluation(0.3, strategy="last").write(path)
    with pytest.raises(DataError, match="evaluate@last"):
        run()


@pytest.fixture
def packed_project(project):
    """What a bento is built from, with one packaged task."""
    root = Path(__file__).parents[2]
    for name in ("bentofile.yaml", "requirements/serve.lock", "docs/serving.md"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes((root / name).read_bytes())
    Path("pipeline").symlink_to(root / "pipeline")
    run()


def test_the_bento_takes_the_packaged_models_alone(packed_project):
    from pipeline.packaging import bento

    packed = [str(path) for path in bento._packed(Path("bentofile.yaml")) if path.parts[0] == "artifacts"]
    assert packed == ["artifacts/strips/manifest.json", "artifacts/strips/model.onnx"]


@pytest.fixture
def two_tasks(packed_project):
    """The same with the manifest of another task, whose model is gone."""
    shutil.copytree("artifacts/strips", "artifacts/lines")
    Path("artifacts/lines/model.onnx").unlink()


def test_the_bento_gets_the_chosen_tasks_alone(two_tasks, tmp_path):
    from pipeline.packaging import bento

    tag = bento.build_selected(Path("bentofile.yaml"), Path("artifacts"), tmp_path / "one.bento", ["strips"])
    with tarfile.open(tmp_path / "one.bento") as archive:
        packed = {name.removeprefix("./src/") for name in archive.getnames() if "/artifacts/" in name}
    assert {"artifacts/strips/manifest.json", "artifacts/strips/model.onnx"} <= packed
    assert not [name for name in packed if "lines" in name]
    assert tag.startswith("reader:")


@pytest.mark.parametrize(("tasks", "message"), [(["lines"], "lines"), (["strips", "mnist"], "mnist.*make repro")])
def test_the_bento_does_without_no_task_that_is_wanted(two_tasks, tmp_path, tasks, message):
    from pipeline.packaging import bento

    with pytest.raises(DataError, match=message):
        bento.build_selected(Path("bentofile.yaml"), Path("artifacts"), tmp_path / "one.bento", tasks)
    assert not (tmp_path / "one.bento").exists()


def test_scores_of_another_model_on_corrupted_pictures_stop_the_stage(project):
    candidate = Candidate.read(Path("metrics/candidates/strips.json")).best.strategy
    evaluations.robustness(candidate).write(Path(f"metrics/robustness/strips/{candidate}.json"))
    with pytest.raises(DataError, match=f"{candidate}: corrupted pictures"):
        run()
