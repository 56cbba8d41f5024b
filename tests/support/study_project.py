"""A project whose stages take no time, and studies of it."""

from pathlib import Path

from small_clone import commit, copy_code

STAGE = '''
"""Pictures, or readings of them that are the better the larger the batch; the seed chooses which are wrong."""
import os, sys, time
from pathlib import Path
import numpy as np
from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.core.images import DIGIT_NAMES, ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation import scores
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.evaluation import Evaluation

SPLITS = ("valid", "gate", "test")

def compose(out):
    draw = np.random.default_rng(0)
    with replacing(out) as folder:
        folder.mkdir(parents=True)
        for split in SPLITS:
            images = draw.integers(0, 256, (200, 28, 28, 1), np.uint8)
            labels = draw.integers(0, 10, (200, 1), np.uint8)
            ImageSet(images, labels, DIGIT_NAMES, "mnist").save(folder / f"{split}.npz")

def log(*words):
    with Path(os.environ.get("RAN_LOG", "ran.log")).open("a") as file:
        print(*words, file=file)

def train(strategy):
    seed = params.load(Path("params.yaml")).seed
    log("begin train", strategy, seed)
    # A test holds a stage to kill it while it runs.
    while Path(os.environ.get("HOLD", "."), f"hold-{strategy}-{seed}").is_file():
        time.sleep(0.2)
    time.sleep(float(os.environ.get("TRAINING_SECONDS", "0")))
    with replacing(Path("models") / strategy) as file:
        file.write_bytes(np.random.default_rng(seed).bytes(100_000))
    log("train", strategy, seed)

def evaluate(strategy):
    settings = params.load(Path("params.yaml"))
    log(strategy, settings.seed)
    share = 1 / settings.strategies[strategy].settings["batch"] + 0.01 * (settings.budget > 1)
    read = {}
    for number, split in enumerate(SPLITS):
        pictures = ImageSet.load(Path(f"data/mnist/mnist/{split}.npz"))
        wrong = np.random.default_rng([settings.seed, number]).random(200) < share
        classes = (pictures.labels + wrong[:, None]) % 10
        certain = np.eye(10, dtype=np.float32)[classes]
        readings = Readings(certain, classes.astype(np.uint8), np.full(200, 0.5, np.float32))
        read[split] = Evaluated.of(readings, pictures)
    with replacing(Path("predictions/mnist") / strategy) as folder:
        for split, evaluated in read.items():
            evaluated.readings.save(folder / f"mnist-{split}.npz")
    Evaluation(
        strategy=strategy, task="mnist", origin="mnist", precision="float32", parameters=1, deployable=True,
        pretrained="none", sha256="0" * 64, suites=scores.by_suite({"mnist": read}, None),
        coverage=scores.pooled_coverage({"mnist": read}),
    ).write(Path(f"metrics/evaluation/mnist/{strategy}.json"))

if __name__ == "__main__":
    {"compose": lambda out: compose(Path(out)), "train": train, "evaluate": evaluate}[sys.argv[1]](sys.argv[2])
'''
DVC = """
stages:
  compose:
    foreach: [mnist]
    do:
      cmd: python -m stages.tiny compose data/mnist/mnist
      deps: [stages/tiny.py]
      outs: [data/mnist/mnist]
  evaluate:
    foreach: [textbook]
    do:
      cmd: python -m stages.tiny evaluate ${item}
      deps: [stages/tiny.py, data/mnist/mnist]
      params: [seed, budget, "strategies.${item}"]
      outs:
        - predictions/mnist/${item}
        - metrics/evaluation/mnist/${item}.json: {cache: false}
"""
STUDY = """
targets: [evaluate@textbook]
fixed: {budget: 1}
grid:
  strategies.textbook.batch: [4, 16]
  seed: [1, 2]
baseline: {strategies.textbook.batch: 4}
repeat: seed
"""
CHAINS = """
stages:
  compose:
    foreach: [mnist]
    do:
      cmd: python -m stages.tiny compose data/mnist/mnist
      deps: [stages/tiny.py]
      outs: [data/mnist/mnist]
  train:
    foreach: {textbook: data/mnist/mnist, lenet5: models/textbook, convnet: models/textbook}
    do:
      cmd: python -m stages.tiny train ${key}
      deps: [stages/tiny.py, data/mnist/mnist/valid.npz, "${item}"]
      params: [seed, budget]
      outs: ["models/${key}"]
  evaluate:
    foreach: [textbook, lenet5, convnet]
    do:
      cmd: python -m stages.tiny evaluate ${item}
      deps: [stages/tiny.py, "models/${item}", data/mnist/mnist]
      params: [seed, budget, "strategies.${item}"]
      outs:
        - predictions/mnist/${item}
        - metrics/evaluation/mnist/${item}.json: {cache: false}
"""
"""As in the real pipeline, two trainings begin where another has ended."""
SEEDS = """
targets: [evaluate@textbook, evaluate@lenet5, evaluate@convnet]
grid:
  seed: [20, 21, 22]
repeat: seed
split: test
"""
SEARCH = """
targets: [evaluate@textbook]
search:
  space:
    strategies.textbook.batch: {low: 4, high: 64, log: true}
  trials: 3
  budgets: [0.5, 2]
  reduction: 2
  parallel: 2
  enqueue: [{strategies.textbook.batch: 32}, {strategies.textbook.batch: 4}, {strategies.textbook.batch: 50}]
"""
"""Of the first two trials one goes on, and the third does."""
PATH = "studies/batches.yaml"
CLUSTER = "cluster:\n  resources:\n    default: {cores: 1, memory: 0.25}\n"


def make(folder: Path, pipeline: str = DVC) -> Path:
    """Fill `folder` with a clone of the project: reproduced and committed."""
    copy_code(folder)
    (folder / "dvc.yaml").write_text(pipeline)
    (folder / "stages/tiny.py").write_text(STAGE)
    (folder / "studies").mkdir()
    (folder / PATH).write_text(STUDY)
    (folder / "studies/seeds.yaml").write_text(SEEDS)
    params = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(params[: params.index("\ncluster:\n") + 1] + CLUSTER)
    commit(folder)
    return folder
