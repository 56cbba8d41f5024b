"""A notebook: read a picture with a packaged model, look inside a network, and compare the strategies of a task.

`make notebook` opens it; `python notebooks/reading.py` runs every cell without a browser. Its models are those of the
folder that READER_ARTIFACTS names, else those of `make repro` in artifacts/, else the released ones in release/.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Reading a picture")

with app.setup:
    import time
    from pathlib import Path

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    import onnx
    import onnxruntime

    from pipeline.core.decoding import decode_for
    from pipeline.records.answer import Slot
    from pipeline.records.manifest import MANIFEST
    from pipeline.runtime.answers import answer
    from pipeline.runtime.reader import Reader, load_manifests
    from pipeline.runtime.releases import models_folder

    PROJECT = Path(__file__).parents[1]
    EXAMPLES = {"strips": "docs/examples/strip.png", "mnist": "docs/examples/digit.png"}
    SHOWN = 16


@app.cell(hide_code=True)
def introduction():
    mo.md("""
    # Reading a picture

    Three steps with the library of this project, and without TensorFlow: the model of a task reads a picture, its
    feature maps show what convolution and pooling make of a picture, and the strategies of a task read the same one.
    """)
    return


@app.cell
def choose():
    folder = models_folder(PROJECT)
    tasks = [name for name in EXAMPLES if name in load_manifests(folder)]
    task = mo.ui.dropdown(tasks, value=tasks[0], label="Task")
    uploaded = mo.ui.file(filetypes=[".png", ".jpg"], label="A picture of the model's size, in place of the example")
    mo.vstack([mo.md(f"Models of `{folder}`."), task, uploaded])
    return folder, task, uploaded


@app.function
def in_words(index: int, slot: Slot) -> dict[str, str | int | float]:
    """A row for a slot: its two most probable classes."""
    (first, most), (second, next_most) = sorted(slot.probabilities.items(), key=lambda item: -item[1])[:2]
    return {"slot": index, "first": first, "p": round(most, 4), "second": second, "p of second": round(next_most, 4)}


@app.cell
def read(folder, task, uploaded):
    reader = Reader.load(folder / task.value)
    manifest = reader.manifest
    data = uploaded.value[0].contents if uploaded.value else (PROJECT / EXAMPLES[task.value]).read_bytes()
    _, picture = decode_for(data, {task.value: manifest.shape})
    reading = answer(manifest, reader.read(picture.pixels[None]), picture.notes)
    mo.vstack(
        [
            mo.image(picture.pixels.squeeze(), width=4 * manifest.shape[1]),
            mo.md(
                f"`{manifest.strategy}` reads **{reading.digits or 'nothing'}** with confidence "
                f"{reading.confidence:.4f}; accepted: {reading.accepted}."
            ),
            mo.ui.table([in_words(slot, each) for slot, each in enumerate(reading.slots)], selection=None),
        ]
    )
    return manifest, picture, reading


@app.cell(hide_code=True)
def about_maps():
    mo.md("""
    ## Inside a network

    An ONNX file is a graph of operations. Those of its convolutions and poolings become outputs here, so that ONNX
    Runtime gives the feature maps of your picture. Light is strong. Each map answers one question at every place: an
    edge of this direction, a line end, a loop? Pooling keeps the answer and gives up a part of the place.
    """)
    return


@app.function
def feature_maps(model: bytes, image: np.ndarray) -> dict[str, np.ndarray]:
    """What the convolutions and poolings of a model make of a picture.

    Args:
        model: an ONNX file.
        image: uint8 (height, width, channels).

    Returns:
        By the name of the operation, in the order of the graph, float32 (maps, height, width): after the activation,
        where one follows.
    """
    proto = onnx.load_from_string(model)
    after = {name: node for node in proto.graph.node for name in node.input}
    shown = {}
    for node in proto.graph.node:
        if node.op_type in ("Conv", "MaxPool", "AveragePool"):
            following = after.get(node.output[0])
            last = following if following is not None and following.op_type in ("Relu", "LeakyRelu") else node
            shown[f"{node.op_type} {len(shown) + 1}"] = last.output[0]
    known = {output.name for output in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in shown.values() if name not in known)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(list(shown.values()), {"images": image[None]}) if shown else []
    return {name: maps[0] for name, maps in zip(shown, found, strict=True)}


@app.cell
def maps(folder, manifest, picture, task):
    inside = feature_maps((folder / task.value / manifest.model.file).read_bytes(), picture.pixels)

    def draw(name, layer):
        count, (height, width) = min(SHOWN, len(layer)), layer.shape[1:]
        columns = 8 if width < 2 * height else 4
        rows = -(-count // columns)
        figure, axes = plt.subplots(rows, columns, figsize=(9, 0.6 + rows * (9 / columns * height / width + 0.1)))
        for axis in np.ravel(axes):
            axis.axis("off")
        for axis, one in zip(np.ravel(axes), layer, strict=False):
            axis.imshow(one, cmap="gray")
        figure.suptitle(f"{name}: {count} of {len(layer)} maps of {height}×{width}", fontsize=10)
        plt.close(figure)
        return figure

    mo.vstack([draw(name, layer) for name, layer in inside.items() if layer.ndim == 3 and layer.shape[1] > 1])
    return (inside,)


@app.cell(hide_code=True)
def about_strategies():
    mo.md("""
    ## Two strategies, one picture

    A packaged model is the best of its task on average. Another strategy may read your picture better, or know better
    that it cannot.
    """)
    return


@app.cell
def choose_strategies(folder, task):
    names = sorted(path.parent.name for path in folder.glob(f"{task.value}/strategies/*/{MANIFEST}"))
    compared = mo.ui.multiselect(names, value=names[:2], label="Strategies")
    missing = f"No strategies to compare: `{folder / task.value}` has no folder `strategies/`; set READER_ARTIFACTS."
    compared if names else mo.md(missing)
    return (compared,)


@app.cell
def compare(compared, folder, picture, task):
    comparison = []
    for name in compared.value:
        strategy = Reader.load(folder / task.value / "strategies" / name)
        began = time.perf_counter()
        found = answer(strategy.manifest, strategy.read(picture.pixels[None]), picture.notes)
        comparison.append(
            {
                "strategy": name,
                "digits": found.digits,
                "confidence": round(found.confidence, 4),
                "accepted": found.accepted,
                "milliseconds": round(1000 * (time.perf_counter() - began), 2),
                "megabytes": round(strategy.manifest.model.bytes / 1e6, 2),
            }
        )
    mo.ui.table(comparison, selection=None) if comparison else None
    return (comparison,)


if __name__ == "__main__":
    app.run()
