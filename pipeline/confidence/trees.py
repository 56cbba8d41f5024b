"""Boosted trees as matrix products, so that an exported graph holds them: fitted by scikit-learn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import keras
import numpy as np
from keras import ops
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from pipeline.core.errors import DataError

LEAVES = 8
TREES = 80
LEARNING_RATE = 0.12
LEAST_IN_LEAF = 30


@dataclass(frozen=True)
class Trees:
    """A sum of binary decision trees, all padded to the same numbers of nodes and leaves.

    Attributes:
        columns: int32 (trees, nodes), the column that a node compares.
        limits: float32 (trees, nodes), a row goes left where its value is at most this.
        paths: float32 (trees, nodes, leaves), 1 where the leaf is to the left of the node, -1 where it is to the right,
            0 where the node is not on the way to it.
        lefts: float32 (trees, leaves), how often the way to a leaf goes left; for a padded leaf more often than there
            are nodes.
        values: float32 (trees, leaves), in log odds.
        baseline: float32 (), the log odds before the first tree.
    """

    columns: np.ndarray
    limits: np.ndarray
    paths: np.ndarray
    lefts: np.ndarray
    values: np.ndarray
    baseline: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, correct: np.ndarray, *, rising: Sequence[int] = (), seed: int = 0) -> "Trees":
        """Gradient boosting of log odds (Friedman 2001) with histograms (Ke et al. 2017), as scikit-learn has it.

        Where all rows are of one class, the log odds are constant: those of half a row of the other class.

        Args:
            rows: float32 (n, k).
            correct: bool (n,), the class.
            rising: columns with which the log odds never fall.
            seed: of the columns that a split chooses from.

        Raises:
            DataError: scikit-learn's trees are not what this module takes them for.
        """
        if correct.all() or not correct.any():
            return cls._empty(1, np.log((correct.sum() + 0.5) / (len(rows) - correct.sum() + 0.5)))
        model = HistGradientBoostingClassifier(
            max_iter=TREES,
            learning_rate=LEARNING_RATE,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=min(LEAST_IN_LEAF, max(1, len(rows) // 10)),
            l2_regularization=5.0,
            max_features=0.3,
            monotonic_cst=[int(column in rising) for column in range(rows.shape[1])],
            early_stopping=False,
            random_state=seed,
        )
        # A sum by several threads depends on their number.
        with threadpool_limits(1):
            model.fit(rows, correct)
            expected = model.decision_function(rows[:1000])
        trees = cls._of(model)
        if not np.allclose(trees.score(rows[:1000]), expected, atol=1e-3):
            raise DataError("boosted trees: scikit-learn's decision function differs from the exported trees")
        return trees

    @classmethod
    def _of(cls, model: HistGradientBoostingClassifier) -> "Trees":
        # scikit-learn has no public form of these trees; `fit` compares them with its decision function.
        found = [predictors[0].nodes for predictors in model._predictors]  # noqa: SLF001
        trees = cls._empty(len(found), model._baseline_prediction.item())  # noqa: SLF001
        for index, nodes in enumerate(found):
            _fill(trees, index, nodes)
        return trees

    @classmethod
    def _empty(cls, count: int, baseline: float) -> "Trees":
        return cls(
            columns=np.zeros((count, LEAVES - 1), np.int32),
            limits=np.zeros((count, LEAVES - 1), np.float32),
            paths=np.zeros((count, LEAVES - 1, LEAVES), np.float32),
            lefts=np.full((count, LEAVES), LEAVES, np.float32),
            values=np.zeros((count, LEAVES), np.float32),
            baseline=np.asarray(baseline, np.float32),
        )

    def score(self, rows: np.ndarray) -> np.ndarray:
        """float32 (n, k) -> the log odds, float32 (n,)."""
        return ops.convert_to_numpy(self(ops.convert_to_tensor(rows, "float32")))

    def __call__(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """float32 (n, k) -> the log odds, float32 (n,), as a tensor."""
        trees, nodes = self.columns.shape
        compared = ops.take(rows, self.columns.reshape(-1), axis=1)
        left = ops.cast(compared <= self.limits.reshape(-1), "float32")
        # (trees, n, nodes) by (trees, nodes, leaves): a leaf is reached where all nodes on the way send the row there.
        left = ops.transpose(ops.reshape(left, (-1, trees, nodes)), (1, 0, 2))
        agreed = ops.matmul(left, self.paths)
        reached = ops.cast(agreed > np.expand_dims(self.lefts, 1) - 0.5, "float32")
        return ops.sum(ops.matmul(reached, np.expand_dims(self.values, -1)), axis=(0, 2)) + self.baseline

    def as_arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Trees":
        """What `as_arrays` gave."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def _fill(trees: Trees, index: int, nodes: np.ndarray) -> None:
    inner = {int(node): place for place, node in enumerate(np.flatnonzero(nodes["is_leaf"] == 0))}
    leaves = 0
    waiting: list[tuple[int, dict[int, int]]] = [(0, {})]
    while waiting:
        at, way = waiting.pop()
        node = nodes[at]
        if node["is_leaf"]:
            for place, side in way.items():
                trees.paths[index, place, leaves] = side
            trees.lefts[index, leaves] = sum(side == 1 for side in way.values())
            trees.values[index, leaves] = node["value"]
            leaves += 1
        else:
            place = inner[at]
            trees.columns[index, place] = node["feature_idx"]
            trees.limits[index, place] = node["num_threshold"]
            waiting += [(int(node["right"]), {**way, place: -1}), (int(node["left"]), {**way, place: 1})]
