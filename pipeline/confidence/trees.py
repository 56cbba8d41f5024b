"""Boosted trees as matrix products, so that an exported graph holds them: fitted by scikit-learn."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import keras
import numpy as np
from keras import ops
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

from pipeline.core.errors import DataError

LEAVES = 8
TREES = 80
LEARNING_RATE = 0.1
LEAST_IN_LEAF = 30


@dataclass(frozen=True)
class Trees:
    """A logistic curve of one column, and a sum of decision trees that are padded to the same shape.

    Attributes:
        columns: int32 (trees, nodes), the column that a node compares.
        limits: float32 (trees, nodes), a row goes left where its value is at most this.
        paths: float32 (trees, nodes, leaves), 1 where the leaf is to the left of the node, -1 where it is to the right,
            0 where the node is not on the way to it.
        lefts: float32 (trees, leaves), how often the way to a leaf goes left; for a padded leaf more often than there
            are nodes.
        values: float32 (trees, leaves), in log odds.
        start: int32 (), the column that the curve is of.
        slope, baseline: float32 (), of the curve: the log odds before the first tree are slope * column + baseline.
    """

    columns: np.ndarray
    limits: np.ndarray
    paths: np.ndarray
    lefts: np.ndarray
    values: np.ndarray
    start: np.ndarray
    slope: np.ndarray
    baseline: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, correct: np.ndarray, *, start: int, seed: int = 0) -> "Trees":
        """Stochastic gradient boosting of log odds (Friedman 2002), which begins at a logistic curve of one column.

        Where the column ranks rows well, the trees leave that ranking as it is: with few rows, trees from nothing rank
        the best ones worse. Where all rows are of one class, the log odds are constant: those of half a row of the
        other class.

        Args:
            rows: float32 (n, k).
            correct: bool (n,), the class.
            start: the column.
            seed: of the rows of a tree, and of the columns that a split chooses from.

        Raises:
            DataError: scikit-learn's trees are not what this module takes them for.
        """
        if correct.all() or not correct.any():
            return cls._empty(1, start, 0.0, np.log((correct.sum() + 0.5) / (len(rows) - correct.sum() + 0.5)))
        model = GradientBoostingClassifier(
            n_estimators=TREES,
            learning_rate=LEARNING_RATE,
            max_leaf_nodes=LEAVES,
            max_depth=None,
            min_samples_leaf=min(LEAST_IN_LEAF, max(1, len(rows) // 10)),
            max_features=0.3,
            subsample=0.7,
            init=make_pipeline(FunctionTransformer(_column, kw_args={"column": start}), LogisticRegression(C=1.0)),
            random_state=seed,
        )
        # A sum by several threads depends on their number.
        with threadpool_limits(1):
            model.fit(rows, correct)
            expected = model.decision_function(rows[:1000])
        trees = cls._of(model, start)
        if not np.allclose(trees.score(rows[:1000]), expected, atol=1e-3):
            raise DataError("boosted trees: scikit-learn's decision function differs from the exported trees")
        return trees

    @classmethod
    def _of(cls, model: GradientBoostingClassifier, start: int) -> "Trees":
        init: Pipeline = model.init_
        curve = init[-1]
        trees = cls._empty(len(model.estimators_), start, float(curve.coef_[0, 0]), float(curve.intercept_[0]))
        for index, (tree,) in enumerate(model.estimators_):
            _fill(trees, index, tree.tree_, model.learning_rate)
        return trees

    @classmethod
    def _empty(cls, count: int, start: int, slope: float, baseline: float) -> "Trees":
        return cls(
            columns=np.zeros((count, LEAVES - 1), np.int32),
            limits=np.zeros((count, LEAVES - 1), np.float32),
            paths=np.zeros((count, LEAVES - 1, LEAVES), np.float32),
            lefts=np.full((count, LEAVES), LEAVES, np.float32),
            values=np.zeros((count, LEAVES), np.float32),
            start=np.asarray(start, np.int32),
            slope=np.asarray(slope, np.float32),
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
        sums = ops.sum(ops.matmul(reached, np.expand_dims(self.values, -1)), axis=(0, 2))
        return sums + rows[:, int(self.start)] * self.slope + self.baseline

    def as_arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Trees":
        """What `as_arrays` gave."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def _column(rows: np.ndarray, column: int) -> np.ndarray:
    # A probability near one in float32 has lost its log odds.
    return rows[:, [column]].astype(np.float64)


def _fill(trees: Trees, index: int, tree: Any, learning_rate: float) -> None:
    """Enter a `sklearn.tree._tree.Tree`."""
    inner = {int(node): place for place, node in enumerate(np.flatnonzero(tree.children_left >= 0))}
    leaves = 0
    waiting: list[tuple[int, dict[int, int]]] = [(0, {})]
    while waiting:
        at, way = waiting.pop()
        if at not in inner:
            for place, side in way.items():
                trees.paths[index, place, leaves] = side
            trees.lefts[index, leaves] = sum(side == 1 for side in way.values())
            trees.values[index, leaves] = tree.value[at, 0, 0] * learning_rate
            leaves += 1
        else:
            place = inner[at]
            trees.columns[index, place] = tree.feature[at]
            trees.limits[index, place] = tree.threshold[at]
            waiting += [
                (int(tree.children_right[at]), {**way, place: -1}),
                (int(tree.children_left[at]), {**way, place: 1}),
            ]
