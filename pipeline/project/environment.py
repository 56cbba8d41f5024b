"""The environment of a process: settings of the machine that would change results or stop a run do not count.

Keras, TensorFlow, BLAS, NumPy and Python read environment variables and files in the home folder when they are loaded.
`settle` sets them before anything is imported. It imports the standard library alone.
"""

import contextlib
import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path

SETTLED = "PIPELINE_ENVIRONMENT"
"""Set to `settled` in a process whose environment is settled, and so in the processes that it starts."""
DROPPED = (
    *("KERAS_", "TF_", "TF2_", "XLA_", "ONEDNN_", "DNNL_", "ORT_", "ONNXRUNTIME_", "PROTOCOL_BUFFERS_"),
    *("OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "OMP_", "GOMP_", "KMP_", "VECLIB_", "NPY_", "NUMEXPR_"),
    *("SCIPY_", "SKLEARN_", "JOBLIB_", "LOKY_", "MPL", "MATPLOTLIB", "TQDM_", "DVCLIVE_", "BENTOML_", "GLIBC_TUNABLES"),
    *("PYTHON", "LC_", "LANG", "SOURCE_DATE_EPOCH"),
)
"""The beginnings of variables that change what libraries compute, write or print, or stop them."""
KEPT = (
    *("TF_CPP_MIN_LOG_LEVEL", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR", "ORT_DISABLE_TELEMETRY"),
    *("BENTOML_DO_NOT_TRACK", "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONPYCACHEPREFIX"),
    "PYTHONUNBUFFERED",
)
"""Of those, the ones that decide about messages, memory and files beside the results."""
FIXED = {
    SETTLED: "settled",
    "KERAS_BACKEND": "tensorflow",
    "ORT_DISABLE_TELEMETRY": "1",
    "MPLBACKEND": "Agg",
    "PYTHONUTF8": "1",
    "LC_ALL": "C.UTF-8" if sys.platform == "linux" else "C",
}
"""What every process of the pipeline gets. Text is UTF-8 whatever the locale says."""
CACHE = Path(".cache")
"""The folder of the project for what libraries keep between runs."""


def settle() -> None:
    """Start this process again with a settled environment, unless it has one.

    The packages `stages` and `pipeline.commands` call this when they are imported. It does nothing unless the process
    was started as `python -m PACKAGE.MODULE`: a test or a program that imports a module keeps its environment.
    """
    # Python sets this while it looks for the module of `-m`, so before the module itself is loaded.
    if sys.argv[0] != "-m" or os.environ.get(SETTLED) == FIXED[SETTLED]:
        return
    environment = settled(os.environ)
    if sys.platform == "win32":
        # There, another process would go on in the background.
        os.environ.clear()
        os.environ.update(environment)
        return
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def settled(given: Mapping[str, str]) -> dict[str, str]:
    """The environment that `settle` gives to the process instead of this one; makes the folders that it names.

    Args:
        given: the environment of the process.
    """
    kept = {name: value for name, value in given.items() if name in KEPT or not name.startswith(DROPPED)}
    kept.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    home = Path(given.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111  # Path raises where there is no such user.
    if not os.path.isdir(home):  # noqa: PTH112  # Path raises where a folder above it cannot be read.
        home = _made("home")
        kept["HOME"] = str(home)
    weights = Path(given.get("KERAS_HOME") or home / ".keras").absolute() / "models"
    try:
        getpass.getuser()
    except (KeyError, OSError):
        # A user without an entry in the system's list, as in a container; DVC and others ask for the name.
        kept["USER"] = "user"
    return {**kept, **FIXED, "KERAS_HOME": str(_keras(weights)), "MPLCONFIGDIR": str(_made("matplotlib"))}


def _keras(weights: Path) -> Path:
    """A folder where Keras finds the pretrained weights that the user has, but not the user's keras.json."""
    folder = _made("keras")
    link = folder / "models"
    if not folder.is_dir() or weights == link:
        # Keras goes on without it, with its own defaults; or the environment was settled before.
        return folder
    with contextlib.suppress(OSError):
        (folder / "keras.json").unlink(missing_ok=True)
        if not link.is_symlink() or str(link.readlink()) != str(weights):
            weights.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(weights)
    return folder


def _made(name: str) -> Path:
    """A folder below `CACHE`, absolute; it is not made outside of a project, nor where the project is read-only."""
    folder = CACHE.absolute() / name
    if Path("params.yaml").is_file():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
    return folder
