"""Packaged models in ONNX Runtime: held to their manifests before they read."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
import trap_models
from onnx import TensorProto, helper, numpy_helper

from pipeline.core.errors import DataError
from pipeline.core.images import STRIP_SHAPE
from pipeline.records.manifest import Manifest
from pipeline.runtime.reader import Reader, load_readers
from pipeline.runtime.session import ModelError, Run

ROOT = Path(__file__).parents[2]
CLASSES = [9, 7, 5, 4, 10]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader.load(onnx_models.package(tmp_path_factory.mktemp("artifacts")))


def test_a_strip_is_read_from_left_to_right(reader):
    readings = reader.read(onnx_models.draw(CLASSES)[None])
    assert readings.classes.tolist() == [CLASSES]
    assert readings.probabilities.shape == (1, 5, 11)
    assert np.allclose(readings.probabilities.sum(-1), 1, atol=1e-6)
    assert 0.9 < readings.confidence[0] < 1
    assert readings.boxes is None


def test_an_upright_strip_is_turned(reader):
    strips = onnx_models.draw(CLASSES)[None]
    standing = np.rot90(strips, -1, axes=(1, 2))
    assert standing.shape == (1, 140, 28, 1)
    assert np.array_equal(reader.read(standing).probabilities, reader.read(strips).probabilities)


def test_any_number_of_pictures_is_read_at_once(reader):
    many = np.stack([onnx_models.draw(np.roll(CLASSES, shift)) for shift in range(5)])
    assert reader.read(many).classes.tolist() == [np.roll(CLASSES, shift).tolist() for shift in range(5)]


def test_boxes_come_back_where_the_model_localises(tmp_path):
    reader = Reader.load(onnx_models.package(tmp_path, boxes=True))
    assert reader.read(onnx_models.draw(CLASSES)[None]).boxes.shape == (1, 5, 4)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((1, *STRIP_SHAPE), np.float32), "float32"),
        (np.zeros(STRIP_SHAPE, np.uint8), "(28, 140, 1)"),
        (np.zeros((1, 28, 140, 3), np.uint8), "(1, 28, 140, 3)"),
        (np.zeros((1, 1, 28, 140), np.uint8), "(1, 1, 28, 140)"),
        (np.zeros((1, 32, 32, 1), np.uint8), "(1, 32, 32, 1)"),
        (np.zeros((0, *STRIP_SHAPE), np.uint8), "(0, 28, 140, 1)"),
    ],
    ids=["floats", "no batch", "three channels", "channels first", "another size", "no picture"],
)
def test_pictures_of_another_kind_are_rejected(reader, images, found):
    with pytest.raises(DataError, match="expected") as error:
        reader.read(images)
    assert found in str(error.value)
    assert "\n" not in str(error.value)


def test_a_manifest_says_what_the_model_is(tmp_path):
    folder = onnx_models.package(tmp_path)
    manifest = Manifest.read(folder / "manifest.json")
    assert manifest.task == "strips"
    assert manifest.shape == STRIP_SHAPE
    assert manifest.class_names[manifest.blank] == "blank"
    assert (manifest.version, manifest.threshold) == (None, 0.9)
    assert manifest.model.bytes == (folder / "model.onnx").stat().st_size


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"strategy": None}, "strategy"),
        ({"model": {"file": "model.onnx", "bytes": 3}}, r"model\.sha256"),
        ({"model": []}, "model"),
        ({"slots": "five"}, "slots"),
        ({"class_names": "0123456789"}, "class_names"),
        ({"class_names": [1, 2]}, r"class_names\.0"),
        ({"class_names": ["a"]}, "class_names"),
        ({"coverage": {"threshold": "high"}}, r"coverage\.\w+"),
        ({"coverage": {}}, r"coverage\.\w+"),
        ({"version": 1}, "version"),
        ({"model": {"file": "../strips/model.onnx", "sha256": "0" * 64, "bytes": 3}}, r"model\.file"),
    ],
)
def test_a_manifest_that_lacks_something_names_file_and_key(tmp_path, changes, key):
    folder = onnx_models.package(tmp_path, **changes)
    with pytest.raises(DataError, match=rf"manifest\.json: {key}: ") as error:
        Reader.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000], ids=["empty", "cut off", "deeply nested"])
def test_a_manifest_that_is_not_json_is_rejected(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json: ") as error:
        Reader.load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_model_with_one_byte_changed_is_rejected_before_it_runs(tmp_path):
    folder = onnx_models.package(tmp_path)
    path = folder / "model.onnx"
    expected = json.loads((folder / "manifest.json").read_text())["model"]["sha256"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"SHA-256 [0-9a-f]{{64}} found, expected {expected}"):
        Reader.load(folder)


def test_a_model_that_is_not_there_says_how_to_get_it(tmp_path):
    folder = onnx_models.package(tmp_path)
    (folder / "model.onnx").unlink()
    with pytest.raises(DataError, match="`make repro`, or `dvc pull` from a remote"):
        Reader.load(folder)


def repackaged(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_a_file_that_is_not_a_model_is_rejected(tmp_path):
    folder = onnx_models.package(tmp_path)
    (folder / "model.onnx").write_bytes(b"no model")
    digest = "f62c7d17e241fe5c5c0c64d2e32ab6e3bd10547a9c02977cc126acc0fe6e6554"
    repackaged(folder, model={"file": "model.onnx", "sha256": digest, "bytes": 8})
    with pytest.raises(DataError, match="not an ONNX file, or damaged") as error:
        Reader.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("trap", "message"),
    [("nan", "probabilities are not finite"), ("fails", "ONNX Runtime failed while it read pictures")],
)
def test_what_a_model_says_of_a_picture_is_checked_at_every_run(tmp_path, trap, message):
    reader = Reader.load(trap_models.package(tmp_path, trap))
    strip = onnx_models.draw(CLASSES)
    assert reader.read(strip[None]).classes.tolist() == [CLASSES]
    with pytest.raises(ModelError, match=message) as error:
        reader.read(np.stack([strip, trap_models.trapped(strip)]))
    assert "\n" not in str(error.value)
    assert reader.read(strip[None]).classes.tolist() == [CLASSES]


def test_a_run_is_ended_from_another_thread(tmp_path):
    reader = Reader.load(trap_models.package(tmp_path, "loop"))
    strip = onnx_models.draw(CLASSES)
    run = Run()
    timer = threading.Timer(0.2, run.cancel)
    timer.start()
    with pytest.raises(ModelError, match="told to end"):
        reader.read(trap_models.trapped(strip)[None], run=run)
    timer.join()
    assert reader.read(strip[None]).classes.tolist() == [CLASSES]


def changed(content, change):
    loaded = onnx.load_from_string(content)
    change(loaded.graph)
    return loaded.SerializeToString()


def weights_of_nan(graph):
    weights = next(each for each in graph.initializer if each.name == "weights")
    weights.raw_data = np.full(weights.dims, np.nan, np.float32).tobytes()


def weights_elsewhere(graph):
    weights = next(each for each in graph.initializer if each.name == "weights")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")


def constant_elsewhere(graph):
    """In an attribute of an operator within another operator's graph."""
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "hidden")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))


def operator_of_its_own(graph):
    graph.node[0].domain = "com.evil"


def logits_too_large(graph):
    """Probabilities that do not sum to 1."""
    next(node for node in graph.node if node.op_type == "Softmax").op_type = "Exp"
    del next(node for node in graph.node if node.op_type == "Exp").attribute[:]


def classes_too_high(graph):
    argmax = next(node for node in graph.node if node.op_type == "ArgMax")
    argmax.output[:] = ["lower"]
    graph.node.append(helper.make_node("Add", ["lower", "eleven"], ["classes"]))
    graph.initializer.append(numpy_helper.from_array(np.array(11, np.int64), "eleven"))


def one_picture_alone(graph):
    next(each for each in graph.initializer if each.name == "cells").raw_data = np.array(
        [1, 28, 5, 28], np.int64
    ).tobytes()


def text_as_output(graph):
    confidence = next(value for value in graph.output if value.name == "confidence")
    next(node for node in graph.node if node.output[0] == "confidence").output[:] = ["number"]
    graph.node.append(helper.make_node("Cast", ["number"], ["confidence"], to=TensorProto.STRING))
    confidence.type.tensor_type.elem_type = TensorProto.STRING


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (weights_of_nan, "probabilities are not finite"),
        (weights_elsewhere, "the data of tensor 'weights' are in another file"),
        (constant_elsewhere, "the data of tensor 'hidden' are in another file"),
        (operator_of_its_own, "operator 'Cast' of domain 'com.evil' found"),
        (logits_too_large, "probabilities are from .* to .*, expected numbers from 0 to 1 that sum to 1"),
        (classes_too_high, "class 21 found, expected one below 11"),
        (one_picture_alone, "ONNX Runtime failed while it read pictures"),
        (text_as_output, r"'confidence' is tensor\(string\), expected a tensor of numbers"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_model_that_cannot_be_relied_on_is_rejected_in_one_line(tmp_path, capfd, monkeypatch, change, message):
    folder = onnx_models.package(tmp_path)
    trap_models.repackage(folder, changed((folder / "model.onnx").read_bytes(), change))
    # Where ONNX Runtime would look for the data.
    np.zeros((28, 11), np.float32).tofile(tmp_path / "weights.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        Reader.load(folder)
    assert "\n" not in str(error.value)
    assert str(folder / "model.onnx") in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["..", ".", "\0", "a\nb", ".hidden", "a" * 300])
def test_a_model_s_file_has_an_ordinary_name(tmp_path, name):
    folder = onnx_models.package(tmp_path)
    repackaged(folder, model={"file": name, "sha256": "0" * 64, "bytes": 3})
    with pytest.raises(DataError, match=r"manifest\.json: model\.file: ") as error:
        Reader.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_model_or_a_manifest_that_is_a_folder_or_a_pipe_is_rejected(tmp_path, name):
    folder = onnx_models.package(tmp_path)
    for make, found in ((Path.mkdir, "a folder"), (os.mkfifo, "a FIFO")):
        path = folder / name
        path.unlink()
        make(path)
        with pytest.raises(DataError, match=f"{name}: {found} found, expected a regular file"):
            Reader.load(folder)
        path.rmdir() if path.is_dir() else path.unlink()
        path.touch()


def test_a_model_larger_than_its_manifest_says_is_not_read(tmp_path):
    folder = onnx_models.package(tmp_path)
    os.truncate(folder / "model.onnx", 2**40)
    with pytest.raises(DataError, match=r"model\.onnx: more than [0-9,]+ bytes found, expected [0-9,]+ as "):
        Reader.load(folder)


def test_a_model_that_takes_more_memory_than_a_model_may_is_rejected(tmp_path):
    folder = onnx_models.package(tmp_path)

    def three_gigabytes(graph):
        graph.initializer.append(numpy_helper.from_array(np.array([3 * 2**28], np.int64), "many"))
        next(node for node in graph.node if "logits" in node.output).output[:] = ["small"]
        at = next(index for index, node in enumerate(graph.node) if "small" in node.output) + 1
        rest = list(graph.node)[at:]
        del graph.node[at:]
        graph.node.extend(
            [
                helper.make_node("ConstantOfShape", ["many"], ["zeros"]),
                helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
                helper.make_node("Add", ["small", "zero"], ["logits"]),
                *rest,
            ]
        )

    trap_models.repackage(folder, changed((folder / "model.onnx").read_bytes(), three_gigabytes))
    if sys.platform == "linux":
        with pytest.raises(DataError, match="ONNX Runtime") as error:
            Reader.load(folder)
        assert "\n" not in str(error.value)


def test_boxes_that_the_manifest_promises_are_missed(tmp_path):
    folder = onnx_models.package(tmp_path)
    repackaged(folder, boxes=True)
    with pytest.raises(DataError, match=r"no boxes found, expected them as manifest\.json says"):
        Reader.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"inputs": {"height": 32, "width": 32, "channels": 1}},
            r"inputs: images of \(28, 140, 1\) found, expected \(32, 32, 1\)",
        ),
        ({"slots": 4}, r"\(1, 5, 11\) found for one picture, expected \(1, 4, 11\)"),
        ({"class_names": ["a", "b"]}, r"\(1, 5, 11\) found for one picture, expected \(1, 5, 2\)"),
    ],
    ids=["inputs", "slots", "classes"],
)
def test_a_model_that_is_not_what_its_manifest_says_is_rejected(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        Reader.load(onnx_models.package(tmp_path, **changes))


def test_a_model_that_needs_regions_is_not_served(tmp_path):
    content = onnx_models.band_model(STRIP_SHAPE, 5, 11, regions=7)
    folder = onnx_models.package(tmp_path, model=onnx_models.manifest(content)["model"])
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(DataError, match="found regions too"):
        Reader.load(folder)


def test_readers_are_found_by_task_and_leftovers_are_not(tmp_path):
    onnx_models.package(tmp_path)
    onnx_models.package(tmp_path, "cifar10")
    (tmp_path / ".strips.123.partial").mkdir()
    (tmp_path / ".strips.123.partial" / "manifest.json").write_text("{")
    assert list(load_readers(tmp_path)) == ["cifar10", "strips"]


def test_a_folder_without_models_is_an_error_and_so_is_a_misplaced_one(tmp_path):
    with pytest.raises(DataError, match="no packaged model"):
        load_readers(tmp_path)
    onnx_models.package(tmp_path).rename(tmp_path / "digits")
    with pytest.raises(DataError, match="task: expected 'digits', found 'strips'"):
        load_readers(tmp_path)


def test_importing_writes_nothing_to_the_home_folder(tmp_path):
    code = "import pipeline.runtime.reader"
    environment = {"HOME": str(tmp_path), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
