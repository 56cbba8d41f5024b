"""Hostile ONNX files with their manifests, and what each of the programs that load them makes of it.

`python hostile_models.py FOLDER SEED COUNT` writes one line of JSON for each of them. A process of its own: a crash of
ONNX Runtime must not end the tests.
"""

import contextlib
import hashlib
import io
import json
import random
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import registry_project as made
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pipeline.commands import read as read_command
from pipeline.core.files import write_json
from pipeline.project import command
from pipeline.registry.cli import main as registry
from pipeline.serving import service

CLASSES = [1, 2, 3, 4, 5]
DIGITS = "".join(map(str, CLASSES))
Graph = onnx.GraphProto
Change = Callable[[random.Random, bytes, Path], bytes]


def truncated(rng: random.Random, content: bytes, folder: Path) -> bytes:
    return content[: rng.randrange(len(content))]


def bits_flipped(rng: random.Random, content: bytes, folder: Path) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def spliced(rng: random.Random, content: bytes, folder: Path) -> bytes:
    at, size = rng.randrange(len(content)), rng.randrange(1, 64)
    middle = rng.choice([rng.randbytes(size), b"", content[:size] * 3, b"\xff" * size])
    return content[:at] + middle + content[at + rng.randrange(size) :]


def rewired(rng: random.Random, content: bytes, folder: Path) -> bytes:
    def change(graph: Graph) -> None:
        node = rng.choice(graph.node)
        names = [name for each in graph.node for name in (*each.input, *each.output)] + ["", "nothing"]
        which = rng.randrange(5)
        if which == 0:
            node.input[rng.randrange(len(node.input))] = rng.choice(names)
        elif which == 1:
            node.output[0] = rng.choice(names)
        elif which == 2:
            node.op_type = rng.choice(["Add", "Relu", "Loop", "Concat", "NoSuchOperator", "Softmax", "Sqrt", "Log"])
        elif which == 3:
            del node.attribute[:]
        else:
            graph.node.remove(node)

    return edited(content, change)


def weights_changed(rng: random.Random, content: bytes, folder: Path) -> bytes:
    def change(graph: Graph) -> None:
        weights = next(each for each in graph.initializer if each.name == rng.choice(["weights", "bias"]) or True)
        weights = rng.choice([each for each in graph.initializer if each.data_type == TensorProto.FLOAT] or [weights])
        value = rng.choice([np.nan, np.inf, -np.inf, 3e38, 1e-45])
        weights.raw_data = np.full(list(weights.dims), value, np.float32).tobytes()

    return edited(content, change)


def data_elsewhere(rng: random.Random, content: bytes, folder: Path) -> bytes:
    place = rng.choice(["weights.bin", "../weights.bin", "/etc/passwd", "manifest.json", "/dev/zero", "a" * 5000])
    np.zeros((28, 11), np.float32).tofile(folder / "weights.bin")

    def change(graph: Graph) -> None:
        tensor = rng.choice(graph.initializer)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)
        tensor.external_data.add(key="length", value=str(rng.choice([4, 1232, 2**62, -1])))

    return edited(content, change)


def huge(rng: random.Random, content: bytes, folder: Path) -> bytes:
    most = rng.choice([2**31, 2**40, 2**62, 2**63 - 1, -1])

    def change(graph: Graph) -> None:
        if rng.random() < 0.5:
            tensor = rng.choice(graph.initializer)
            tensor.dims[:] = [most] if rng.random() < 0.5 else [*tensor.dims, most]
            return
        # Of so many zeros, one is added: as much memory as the number says.
        constants = {"many": np.array([most], np.int64), "first": np.array([0], np.int64)}
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
        after = next(index for index, node in enumerate(graph.node) if "logits" in node.output)
        graph.node[after].output[:] = ["small"]
        nodes = [
            helper.make_node("ConstantOfShape", ["many"], ["zeros"]),
            helper.make_node("Gather", ["zeros", "first"], ["zero"]),
            helper.make_node("Add", ["small", "zero"], ["logits"]),
        ]
        rest = list(graph.node)[after + 1 :]
        del graph.node[after + 1 :]
        graph.node.extend([*nodes, *rest])

    return edited(content, change)


def interface_changed(rng: random.Random, content: bytes, folder: Path) -> bytes:
    def change(graph: Graph) -> None:
        value = rng.choice([*graph.input, *graph.output])
        which = rng.randrange(4)
        if which == 0:
            value.name = rng.choice(["pictures", "", "images", "x" * 10_000, "\x1b[2J", "a\nb"])
        elif which == 1:
            value.type.tensor_type.elem_type = rng.choice([0, 1, 2, 7, 8, 9, 11, 16, 99])
        elif which == 2:
            del value.type.tensor_type.shape.dim[rng.randrange(len(value.type.tensor_type.shape.dim)) :]
        else:
            dim = rng.choice(value.type.tensor_type.shape.dim)
            dim.dim_value = rng.choice([0, 1, 2, 2**40, -5])

    return edited(content, change)


def other_operators(rng: random.Random, content: bytes, folder: Path) -> bytes:
    def change(graph: Graph) -> None:
        rng.choice(graph.node).domain = rng.choice(["com.microsoft", "com.evil", "ai.onnx.ml", "\x1b[31m", "é" * 300])

    return edited(content, change)


def unchanged(rng: random.Random, content: bytes, folder: Path) -> bytes:
    return content


CHANGES: tuple[Change, ...] = (
    *(truncated, bits_flipped, bits_flipped, spliced, rewired, rewired, weights_changed),
    *(data_elsewhere, huge, interface_changed, other_operators, unchanged),
)


def edited(content: bytes, change: Callable[[Graph], None]) -> bytes:
    loaded = onnx.load_from_string(content)
    change(loaded.graph)
    return loaded.SerializeToString()


def manifest_changes(rng: random.Random) -> dict[str, object]:
    """Keys of a manifest that do not fit the model."""
    return rng.choice(
        [
            {"slots": rng.choice([0, 4, 6, 2**63, -1])},
            {"class_names": ["a", "b"]},
            {"class_names": list("0123456789b")[::-1]},
            {"inputs": {"height": rng.choice([0, 32, 2**40]), "width": 140, "channels": 1}},
            {"boxes": True},
            {"model": {"file": "model.onnx", "sha256": "0" * 64, "bytes": 3}},
            {
                "model": {
                    "file": rng.choice(["..", ".", "manifest.json", "\0", "a" * 300]),
                    "sha256": "0" * 64,
                    "bytes": 3,
                }
            },
            {"task": "mnist"},
            {"coverage": None},
        ]
    )


def outcome(program: Callable[[], object]) -> dict[str, object]:
    """What a program did: its exit code, what it wrote to stderr, and the traceback of a bug."""
    errors, output = io.StringIO(), io.StringIO()
    code, bug = 0, ""
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(output):
        try:
            result = program()
            code = result if isinstance(result, int) else 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Exception:
            bug = traceback.format_exc()
    return {"code": code, "stderr": errors.getvalue(), "stdout": output.getvalue()[:200], "bug": bug}


def peak_memory() -> int:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def load_for_service() -> int:
    """As `bentoml serve` does; 0 where the models would be served."""
    try:
        readers = service.packaged_readers()
    except service.BentoMLException as error:
        print(error, file=sys.stderr)
        return 1
    print("".join(str(each) for each in readers["strips"].read(onnx_models.draw(CLASSES)[None]).classes[0]))
    return 0


def run_all(folder: Path, seed: int, count: int) -> None:
    """Write one line of JSON for each hostile model."""
    rng = random.Random(seed)
    project = made.create(folder / "project")
    made.package(project, made.GOOD)
    clean = (project / made.MODEL.model).read_bytes()
    document = json.loads((project / made.MODEL.manifest).read_text())
    evaluation = json.loads((project / made.MODEL.evaluation(made.STRATEGY)).read_text())
    picture = project / "strip.png"
    Image.fromarray(onnx_models.draw(CLASSES)[:, :, 0]).save(picture)
    contextlib.chdir(project).__enter__()
    service.os.environ["READER_ARTIFACTS"] = str(project / "artifacts")
    for index in range(count):
        change = CHANGES[index % len(CHANGES)]
        content = change(rng, clean, project / "artifacts/strips")
        wrong_manifest = change is unchanged and index % (2 * len(CHANGES)) >= len(CHANGES)
        model = {"file": "model.onnx", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        changes = manifest_changes(rng) if wrong_manifest else {}
        path = project / made.MODEL.model
        path.unlink()
        path.write_bytes(content)
        write_json(project / made.MODEL.manifest, document | {"model": model} | changes)
        report = {"index": index, "change": "manifest" if wrong_manifest else change.__name__}
        print(json.dumps({**report, "program": "begin"}), file=sys.__stdout__, flush=True)
        baseline = peak_memory()
        sys.argv = ["read", "--image", str(picture)]
        programs: dict[str, Callable[[], object]] = {
            "service": load_for_service,
            "read": lambda: command.run(read_command.main),
        }
        if index % 4 == 3:
            write_json(project / made.MODEL.evaluation(made.STRATEGY), evaluation | {"sha256": model["sha256"]})
            made.commit(project, f"hostile {index}")
            programs["register"] = lambda: registry(["register", made.ARTIFACT])
        for name, program in programs.items():
            done = {**report, "program": name, **outcome(program), "megabytes": peak_memory() - baseline}
            print(json.dumps(done), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    run_all(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
