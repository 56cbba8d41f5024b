"""Reading corrupted pictures: what is accepted and wrong, the figures in short, and the two stages that do it."""

from pathlib import Path

import evaluations
import numpy as np
import pytest
from onnx_models import band_model

from pipeline.core.errors import DataError
from pipeline.core.files import digest
from pipeline.core.images import STRIP_SHAPE
from pipeline.corruptions import sets
from pipeline.corruptions.published import corruptions
from pipeline.evaluation import robustness
from pipeline.evaluation.evaluated import Evaluated
from pipeline.preprocessing import proposals
from pipeline.records.export import ModelFile
from pipeline.records.robustness import Robustness
from stages import corrupt
from stages import robustness as stage

PARAMS = (Path(__file__).parents[2] / "params.yaml").read_text()


def evaluated(correct, confidence):
    labels = np.zeros((len(correct), 5), np.uint8)
    classes = np.where(np.array(correct)[:, None], labels, 1).astype(np.uint8)
    return Evaluated.of(evaluations.readings(classes, confidence), evaluations.pictures(labels))


def test_accepted_and_wrong_is_a_share_of_all_pictures():
    read = evaluated([True, True, False, False], [0.92, 0.4, 0.95, 0.2])
    scores = robustness.measured(read, 0.9)
    assert (scores.n, scores.accuracy, scores.accepted, scores.accepted_wrong) == (4, 0.5, 0.5, 0.25)
    assert scores.confidence == pytest.approx(0.6175, abs=1e-6)
    nothing = robustness.measured(read, None)
    assert (nothing.accepted, nothing.accepted_wrong) == (0, 0)


def test_the_figures_in_short_weigh_every_corruption_alike_and_leave_clean_pictures_out():
    shifted = evaluations.shifted
    suites = {
        "plain": {
            "identity": {0: shifted(1.0, 0.9, 0.0)},
            "fog": {1: shifted(0.6, 0.5, 0.1), 2: shifted(0.3, 0.2, 0.2)},
        },
        "blanks": {"identity": {0: shifted(0.8, 0.7, 0.5)}, "fog": {1: shifted(0.9, 0.8, 0.0, n=50)}},
    }
    short = robustness.shift(suites, {"other": shifted(0.5, 0.5, 0.3)})
    assert (short.pictures, short.clean_accuracy, short.clean_accepted) == (250, 0.9, 0.8)
    assert (short.accuracy, short.accepted, short.accepted_wrong) == (0.6, 0.5, 0.1)
    assert (short.worst, short.worst_on) == (0.3, "other")
    assert robustness.shift(suites, {}).worst_on == "plain fog 2"
    with pytest.raises(DataError, match="identity"):
        robustness.shift({"plain": {"fog": {1: shifted()}}}, {})


def test_the_threshold_is_that_of_the_exported_model():
    evaluation = evaluations.evaluation()
    assert robustness.threshold_of(evaluations.record(), evaluation) == evaluation.coverage.threshold
    other = ModelFile(file="model.onnx", sha256="cd" * 32, bytes=1)
    with pytest.raises(DataError, match="evaluate@bands"):
        robustness.threshold_of(evaluations.record(model=other), evaluation)


def test_a_model_that_takes_regions_reads_those_of_the_corrupted_pictures(tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(band_model(STRIP_SHAPE, 5, 11, regions=5))
    record = evaluations.record(positional=False, boxes=True, regions=5)
    strips = evaluations.strips(6)
    sets.write(tmp_path, "plain", strips, corruptions(1)[:2], seed=1, regions=False)
    strips.save(tmp_path / "collections/other.npz")
    with pytest.raises(DataError, match=r"regions/plain/identity-0\.npz"):
        robustness.robustness(model, record, 0.5, ["plain"], tmp_path)
    cells = np.stack([[28 * slot, 0, 28 * slot + 28, 28] for slot in range(5)]).astype(np.float32)
    for each in sets.corrupted(tmp_path, "plain"):
        proposals.save(each.regions, np.tile(cells, (6, 1, 1)))
    read = robustness.robustness(model, record, 0.5, ["plain"], tmp_path)
    assert read.suites["plain"]["identity"][0].accuracy == 1
    assert read.collections == {}, "they have no regions"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Strips of one suite, corrupted and read once by a model that reads clean ones without error."""
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text(PARAMS.replace("  pictures: 300 ", "  pictures: 12 "))
    (root / "pipeline").symlink_to(Path(__file__).parents[2] / "pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        export = Path("exports/strips/bands")
        export.mkdir(parents=True)
        (export / "model.onnx").write_bytes(band_model(STRIP_SHAPE, 5, 11))
        file = ModelFile(file="model.onnx", sha256=digest(export / "model.onnx"), bytes=1)
        evaluations.record(model=file).write(export / "export.json")
        evaluations.strips(40).save(Path("data/strips/plain/test.npz"))
        evaluation = evaluations.evaluation(model=file)
        evaluation.write(Path("evaluation.json"))
        corrupt.main("strips", Path("data/strips"), Path("corrupted"))
        run("robustness.json")
    return root


def run(out):
    return stage.main("bands", Path("exports/strips/bands"), Path("corrupted"), Path("evaluation.json"), Path(out))


def test_the_stages_write_every_corruption_and_what_was_read_of_it(project, monkeypatch):
    monkeypatch.chdir(project)
    read = Robustness.read(Path("robustness.json"))
    assert list(read.suites) == ["plain"]
    assert len(read.suites["plain"]) == 16
    assert {scores.n for *_, scores in read.rows()} == {12}
    assert read.suites["plain"]["identity"][0].accuracy == 1
    assert read.suites["plain"]["stripe"][1].accuracy < 0.5
    assert read.collections["optdigits"].n == 359
    assert read.shift.pictures == 15 * 12
    before, listed = (
        Path("robustness.json").read_bytes(),
        [each.file for each in sets.corrupted(Path("corrupted"), "plain")],
    )
    bytes_before = [file.read_bytes() for file in listed]
    corrupt.main("strips", Path("data/strips"), Path("corrupted"))
    assert run("again.json").startswith("bands: accuracy ")
    assert Path("again.json").read_bytes() == before
    assert [file.read_bytes() for file in listed] == bytes_before


def test_missing_corrupted_pictures_are_an_error(project, monkeypatch):
    monkeypatch.chdir(project)
    with pytest.raises(DataError, match="nowhere"):
        stage.main("bands", Path("exports/strips/bands"), Path("nowhere"), Path("evaluation.json"), Path("none.json"))
    assert not Path("none.json").exists()
