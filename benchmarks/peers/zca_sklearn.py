"""ZCA whitening by scikit-learn: `PCA(whiten=True)`, turned back by its components; a round fits, or applies."""

import numpy as np
import sklearn
from sklearn.decomposition import PCA

from benchmarks.rounds import Rounds


def fit(flat: np.ndarray) -> PCA:
    """Fit float (n, D) by the fastest of its solvers for many pictures of few values."""
    return PCA(whiten=True, svd_solver="covariance_eigh").fit(flat)


def apply(pca: PCA, flat: np.ndarray) -> np.ndarray:
    """Whiten float (n, D)."""
    return pca.transform(flat) @ pca.components_


def rescaled(pictures: np.ndarray, dtype: str) -> np.ndarray:
    """uint8 (n, H, W, C) -> (n, D), values 0 to 1."""
    flat = pictures.reshape(len(pictures), -1).astype(dtype)
    flat /= 255
    return flat


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    pictures, dtype = np.load(given["pictures"]), given["dtype"]
    if given["part"] == "fit":

        def work() -> float:
            fit(rescaled(pictures, dtype))
            return 1

    else:
        pca, applied = fit(rescaled(pictures[: given["fitted"]], dtype)), pictures[: given["applied"]]

        def work() -> float:
            apply(pca, rescaled(applied, dtype))
            return len(applied)

    rounds.serve(work, warm=given["part"] != "fit", sklearn=sklearn.__version__, numpy=np.__version__)


if __name__ == "__main__":
    main()
