"""The settings of the machine: no stage and no command computes, writes or fails by them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from pipeline.core.files import digest
from pipeline.core.images import ImageSet
from pipeline.preprocessing import normalization
from pipeline.preprocessing.normalization import Normalizer
from pipeline.project import environment

ROOT = Path(__file__).parents[2]
HOSTILE = {
    "KERAS_BACKEND": "torch",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "XLA_FLAGS": "--nonsense",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "cpp",
    "MPLBACKEND": "nonsense",
    "TQDM_MININTERVAL": "often",
    "LOKY_MAX_CPU_COUNT": "many",
    "PYTHONHASHSEED": "5",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONIOENCODING": "ascii",
    "LANG": "tr_TR",
    "LC_ALL": "tr_TR.ISO-8859-9",
    "TZ": "Asia/Kolkata",
    "TMPDIR": "/no/such/folder",
}
"""Each of these changed the model of a training, or ended it, or could."""
KERAS_JSON = {"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first", "backend": "jax"}
NO_USER = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
"""Runs a command as a user whom the system does not know, and to whom the files of this one belong."""


def run(folder, *arguments, prefix=(), **variables):
    """Run this Python in a folder; -O and -W do not reach it by variables of the tests' own."""
    kept = {name: value for name, value in os.environ.items() if name != environment.SETTLED}
    return subprocess.run(
        [*prefix, sys.executable, *arguments], cwd=folder, env=kept | variables, capture_output=True, text=True
    )


@pytest.fixture
def package(tmp_path):
    """A package whose module prints its environment as JSON; like a stage, it settles it when it is imported."""
    (tmp_path / "some").mkdir()
    (tmp_path / "some/__init__.py").write_text("from pipeline.project import environment\nenvironment.settle()\n")
    (tmp_path / "some/module.py").write_text(
        "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:], sys.stdout.encoding, __debug__]))"
    )
    return tmp_path


def test_a_module_gets_the_settled_environment_its_arguments_and_its_exit_code(package):
    ended = run(package, "-m", "some.module", "--one", "Ö x", **HOSTILE, HOME=str(package), PYTHONPATH="/nowhere")
    assert ended.returncode == 0, ended.stderr
    found, arguments, encoding, debug = json.loads(ended.stdout)
    assert found.items() >= environment.FIXED.items()
    assert (arguments, encoding, debug) == (["--one", "Ö x"], "utf-8", True)
    dropped = {*HOSTILE, "PYTHONPATH"} - {*environment.FIXED, "TZ", "TMPDIR"}
    assert not dropped & {*found}
    assert found["HOME"] == str(package)
    (package / "some/module.py").write_text("import sys; sys.exit(7)")
    assert run(package, "-m", "some.module").returncode == 7


def test_what_a_settled_process_starts_keeps_the_environment(package):
    given = {environment.SETTLED: "settled", "KERAS_BACKEND": "jax"}
    assert json.loads(run(package, "-m", "some.module", **given).stdout)[0]["KERAS_BACKEND"] == "jax"


def test_importing_changes_nothing(package):
    ended = run(package, "-c", "import some, os; print(os.environ['KERAS_BACKEND'])", KERAS_BACKEND="torch")
    assert ended.stdout == "torch\n"


def test_settling_twice_is_settling_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").touch()
    once = environment.settled(HOSTILE | {"HOME": str(tmp_path), "PATH": "/bin", "DVC_NO_ANALYTICS": "1"})
    assert once.items() >= {"PATH": "/bin", "DVC_NO_ANALYTICS": "1", "TZ": "Asia/Kolkata"}.items()
    assert environment.settled(once) == once
    assert Path(once["KERAS_HOME"], "models").resolve() == tmp_path / ".keras/models"


def test_keras_finds_the_weights_of_the_user_but_not_the_settings(tmp_path, monkeypatch):
    (tmp_path / "home/.keras/models").mkdir(parents=True)
    (tmp_path / "home/.keras/models/weights.h5").write_text("weights")
    (tmp_path / "home/.keras/keras.json").write_text(json.dumps(KERAS_JSON))
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    found = environment.settled({"HOME": str(tmp_path / "home")})
    code = (
        "import keras; from keras.src.backend.config import keras_home; c = keras.config; "
        "print(c.backend(), c.floatx(), c.epsilon(), c.image_data_format(), keras_home())"
    )
    ended = subprocess.run([sys.executable, "-c", code], env=found, capture_output=True, text=True, check=True)
    *settings, home = ended.stdout.split()
    assert settings == ["tensorflow", "float32", "1e-07", "channels_last"]
    assert (Path(home) / "models/weights.h5").read_text() == "weights"
    assert json.loads((tmp_path / "home/.keras/keras.json").read_text()) == KERAS_JSON
    (tmp_path / "other/models").mkdir(parents=True)
    (tmp_path / "other/models/more.h5").write_text("more")
    moved = environment.settled({"HOME": str(tmp_path / "home"), "KERAS_HOME": str(tmp_path / "other")})
    assert (Path(moved["KERAS_HOME"]) / "models/more.h5").exists()


def test_the_folders_may_be_missing_or_read_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "CACHE", Path("/proc/none"))
    found = environment.settled({"HOME": "/no/such/home"})
    assert found["KERAS_HOME"] == "/proc/none/keras"
    assert not Path("/no").exists()


def test_nothing_is_made_outside_of_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert environment.settled({"HOME": "/no/such/home"})["MPLCONFIGDIR"] == str(tmp_path / ".cache/matplotlib")
    assert not list(tmp_path.iterdir())


def test_matplotlib_takes_its_own_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").touch()
    (tmp_path / "home/.config/matplotlib").mkdir(parents=True)
    (tmp_path / "home/.config/matplotlib/matplotlibrc").write_text("font.size: 40\n")
    found = environment.settled({"HOME": str(tmp_path / "home"), "MATPLOTLIBRC": str(tmp_path / "home")})
    code = "import matplotlib; print(matplotlib.get_backend(), matplotlib.rcParams['font.size'])"
    ended = subprocess.run([sys.executable, "-c", code], env=found, cwd="/", capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["Agg", str(matplotlib.rcParamsDefault["font.size"])]


@pytest.fixture(scope="module")
def data(tmp_path_factory, embedded):
    """A folder with what a training of the textbook net takes, and a budget of a second."""
    folder = tmp_path_factory.mktemp("training")
    pictures = {split: each.take(slice(0, 200)) for split, each in embedded["mnist/mnist"].items()}
    for split, each in pictures.items():
        assert isinstance(each, ImageSet)
        (folder / "data/mnist/mnist").mkdir(parents=True, exist_ok=True)
        each.save(folder / f"data/mnist/mnist/{split}.npz")
    statistics = normalization.fit(pictures["train"], name="mnist/mnist", zca_epsilon=1e-6)
    Normalizer.of(statistics, "featurewise").save(folder / "normalizer.npz")
    params = (ROOT / "params.yaml").read_text().replace("budget: 1.0", "budget: 0.02")
    (folder / "params.yaml").write_text(params)
    for name in ("pipeline", "stages"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def train(folder, name, *, prefix=(), **variables):
    """The digest of the model that a training makes."""
    options = {"strategy": "textbook", "data": "data/mnist/mnist", "features": "data/mnist/mnist"}
    options |= {"normalizer": "normalizer.npz", "out": f"{name}/model", "curves": f"{name}/curves"}
    options |= {"timings": f"{name}/timings.json"}
    arguments = [part for option, value in options.items() for part in (f"--{option}", value)]
    ended = run(folder, "-m", "stages.train", *arguments, prefix=prefix, **variables)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return digest(folder / name / "model/model.keras")


@pytest.mark.slow
def test_a_model_has_the_same_bytes_whatever_the_machine_is_set_to(data, tmp_path):
    plain = train(data, "plain")
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text(json.dumps(KERAS_JSON))
    before = os.umask(0o077)
    try:
        assert train(data, "hostile", **HOSTILE, HOME=str(tmp_path)) == plain
    finally:
        os.umask(before)
    home = tmp_path / "home"
    home.mkdir(mode=0o000)
    knows_namespaces = sys.platform == "linux" and run("/", "-c", "", prefix=NO_USER).returncode == 0
    prefix = NO_USER if knows_namespaces else []
    assert train(data, "nobody", prefix=prefix, HOME=str(home / "mine"), USER="", LOGNAME="", LC_ALL="none") == plain
    assert not list(home.iterdir())
