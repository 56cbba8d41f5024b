"""A notebook: read a picture with a packaged model, look at its feature maps, and compare two strategies.

`make notebook` opens it. It needs packaged models: those of `make repro` in artifacts/, the released ones in release/, or
those of the folder that READER_ARTIFACTS names. `python notebooks/reading.py` runs every cell without a browser.
"""

import marimo

app = marimo.App(width="medium")

with app.setup:
    import os
    import time
    from pathlib import Path

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    import onnx
    import onnxruntime

    from pipeline.core.decoding import decode_for
    from pipeline.core.errors import DataError
    from pipeline.core.readings import Readings
    from pipeline.records.manifest import MANIFEST, Manifest
    from pipeline.runtime.answers import answer
    from pipeline.runtime.reader import Reader

    PROJECT = Path(__file__).parents[1]
    STRATEGIES = "strategies"
    MAPS = 32


@app.cell
def introduction():
    mo.md("""
    # Reading a picture

    Three steps with the library of this project, and without TensorFlow: read a picture with the model of a task, look
    at what convolution and pooling make of a digit, and let two strategies read the same picture.
    """)


@app.function
def models_folder() -> Path:
    """The folder of the packaged models: that of READER_ARTIFACTS, else artifacts/ or release/ with a model.

    Raises:
        DataError: there is none.
    """
    named = os.environ.get("READER_ARTIFACTS")
    folders = [Path(named)] if named else [PROJECT / "artifacts", PROJECT / "release"]
    for folder in folders:
        if list(folder.glob("*/model.onnx")):
            return folder
    raise DataError(f"{', '.join(map(str, folders))}: no models; `make repro` packages some, or name a READER_ARTIFACTS")


@app.cell
def load():
    folder = models_folder()
    readers = {path.parent.name: Reader.load(path.parent) for path in sorted(folder.glob("*/model.onnx"))}
    mo.md(
        f"**Models of `{folder}`.** "
        + ", ".join(f"{task}: {reader.manifest.strategy}" for task, reader in readers.items())
    )
    return folder, readers


@app.cell
def choose_task(readers):
    examples = {"strips": "strip.png", "mnist": "digit.png"}
    task = mo.ui.dropdown([name for name in readers if name in examples], label="Task", value=next(iter(readers), None))
    uploaded = mo.ui.file(filetypes=[".png", ".jpg", ".webp"], label="A picture of the model's size, or the example")
    mo.vstack([task, uploaded])
    return examples, task, uploaded


if __name__ == "__main__":
    app.run()
