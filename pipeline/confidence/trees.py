"""Boosted trees as matrix products, so that an exported graph holds them: fitted by scikit-learn."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple, get_args

import keras
import numpy as np
from keras import ops
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree._tree import Tree
from threadpoolctl import threadpool_limits

from pipeline.core.errors import DataError

LEAVES = 8
TREES = {"constant": 80, "own": 40}
"""By start: what begins near the answer needs fewer."""
LEARNING_RATE = {"constant": 0.12, "own": 0.1}
LEAST_IN_LEAF = 30
MOST_ODDS = 16.0
"""Log odds at which the curve that boosting starts at is cut off: a probability nearer to one is rounding."""
MOST_LEAF = 1000.0
"""Log odds of a leaf beyond which boosting has diverged."""
Start = Literal["constant", "own"]
STARTS: tuple[Start, ...] = get_args(Start)
"""Where boosting begins: at the share of the classes, or at a logistic curve of the model's own confidence."""


class Diverged(DataError):
    """Boosting has no finite end, for instance where few rows are told apart by the curve alone."""


class _Node(NamedTuple):
    """A node of one of scikit-learn's trees; a leaf has no children and a value in log odds."""

    column: int
    limit: float
    left: int
    right: int
    value: float
    leaf: bool


class Curve(ClassifierMixin, BaseEstimator):
    """A logistic curve of one column in scikit-learn's form, cut off at `MOST_ODDS`.

    Args:
        column: of the rows.
    """

    def __init__(self, column: int) -> None:
        self.column = column

    def fit(self, rows: np.ndarray, correct: np.ndarray, sample_weight: np.ndarray | None = None) -> "Curve":
        """Fit float (n, k) to bool (n,)."""
        curve = LogisticRegression(C=1.0).fit(self._values(rows), correct, sample_weight)
        self.classes_ = curve.classes_
        self.slope_, self.baseline_ = curve.coef_.item(), curve.intercept_.item()
        return self

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        """Float (n, k) -> the probability of each class, float64 (n, 2)."""
        odds = np.clip(self._values(rows)[:, 0] * self.slope_ + self.baseline_, -MOST_ODDS, MOST_ODDS)
        correct = 1 / (1 + np.exp(-odds))
        return np.stack([1 - correct, correct], 1)

    def _values(self, rows: np.ndarray) -> np.ndarray:
        # A probability near one in float32 has lost its log odds.
        return rows[:, [self.column]].astype(np.float64)


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
        own: int32 (), the column that the curve is of.
        slope, baseline: float32 (), of the curve: the log odds before the first tree are slope * column + baseline,
            cut off at `MOST_ODDS`.
    """

    columns: np.ndarray
    limits: np.ndarray
    paths: np.ndarray
    lefts: np.ndarray
    values: np.ndarray
    own: np.ndarray
    slope: np.ndarray
    baseline: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, correct: np.ndarray, *, start: Start, own: int, seed: int = 0) -> "Trees":
        """Gradient boosting of log odds (Friedman 2001), as scikit-learn has it.

        From a constant, with histograms (Ke et al. 2017): the score never falls where the column `own` rises. From a
        logistic curve of that column, each tree on a part of the rows (Friedman 2002): where the column ranks rows
        well, the trees leave that ranking as it is. With few rows, trees from a constant rank the best ones worse.
        Where all rows are of one class, the log odds are constant: those of half a row of the other class.

        Args:
            rows: float32 (n, k).
            correct: bool (n,), the class.
            start: where boosting begins.
            own: the column with the log odds of the model's own confidence.
            seed: of the rows of a tree, and of the columns that a split chooses from.

        Raises:
            Diverged: a leaf is beyond `MOST_LEAF`; only from the curve, whose Newton steps are not regularized.
            DataError: scikit-learn's trees are not what this module takes them for.
        """
        if correct.all() or not correct.any():
            return cls._empty(1, own, 0.0, np.log((correct.sum() + 0.5) / (len(rows) - correct.sum() + 0.5)))
        least = min(LEAST_IN_LEAF, max(1, len(rows) // 10))
        make = _from_constant if start == "constant" else _from_curve
        model = make(own, rows.shape[1], least, seed)
        # A sum by several threads depends on their number.
        with threadpool_limits(1):
            model.fit(rows, correct)
            expected = model.decision_function(rows[:1000])
        trees = cls._of(model, own)
        if not np.allclose(trees.score(rows[:1000]), expected, atol=1e-3):
            raise DataError("boosted trees: scikit-learn's decision function differs from the exported trees")
        return trees

    @classmethod
    def _of(cls, model: HistGradientBoostingClassifier | GradientBoostingClassifier, own: int) -> "Trees":
        if isinstance(model, HistGradientBoostingClassifier):
            # scikit-learn has no public form of these trees; `fit` compares them with its decision function.
            found = [_of_histograms(predictors[0].nodes) for predictors in model._predictors]  # noqa: SLF001
            slope, baseline = 0.0, model._baseline_prediction.item()  # noqa: SLF001
        else:
            found = [_of_tree(tree.tree_, model.learning_rate) for (tree,) in model.estimators_]
            slope, baseline = model.init_.slope_, model.init_.baseline_
        trees = cls._empty(len(found), own, slope, baseline)
        for index, nodes in enumerate(map(list, found)):
            if max(abs(node.value) for node in nodes if node.leaf) > MOST_LEAF:
                raise Diverged(
                    f"boosted trees: a leaf beyond {MOST_LEAF:g} in tree {index + 1}, expected finite log odds"
                )
            _fill(trees, index, nodes)
        return trees

    @classmethod
    def _empty(cls, count: int, own: int, slope: float, baseline: float) -> "Trees":
        return cls(
            columns=np.zeros((count, LEAVES - 1), np.int32),
            limits=np.zeros((count, LEAVES - 1), np.float32),
            paths=np.zeros((count, LEAVES - 1, LEAVES), np.float32),
            lefts=np.full((count, LEAVES), LEAVES, np.float32),
            values=np.zeros((count, LEAVES), np.float32),
            own=np.asarray(own, np.int32),
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
        curve = rows[:, int(self.own)] * self.slope + self.baseline
        return sums + ops.clip(curve, -MOST_ODDS, MOST_ODDS)

    def as_arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Trees":
        """What `as_arrays` gave."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def _from_constant(own: int, columns: int, least: int, seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=TREES["constant"],
        learning_rate=LEARNING_RATE["constant"],
        max_leaf_nodes=LEAVES,
        min_samples_leaf=least,
        l2_regularization=5.0,
        max_features=0.3,
        monotonic_cst=[int(column == own) for column in range(columns)],
        early_stopping=False,
        random_state=seed,
    )


def _from_curve(own: int, columns: int, least: int, seed: int) -> GradientBoostingClassifier:
    return GradientBoostingClassifier(
        n_estimators=TREES["own"],
        learning_rate=LEARNING_RATE["own"],
        max_leaf_nodes=LEAVES,
        max_depth=None,
        min_samples_leaf=least,
        max_features=0.3,
        subsample=0.7,
        init=Curve(own),
        random_state=seed,
    )


def _of_histograms(nodes: np.ndarray) -> Iterable[_Node]:
    for node in nodes:
        limit, value = float(node["num_threshold"]), float(node["value"])
        yield _Node(
            int(node["feature_idx"]), limit, int(node["left"]), int(node["right"]), value, bool(node["is_leaf"])
        )


def _of_tree(tree: Tree, learning_rate: float) -> Iterable[_Node]:
    for at in range(tree.node_count):
        left, right = int(tree.children_left[at]), int(tree.children_right[at])
        value = float(tree.value[at, 0, 0]) * learning_rate
        yield _Node(int(tree.feature[at]), float(tree.threshold[at]), left, right, value, leaf=left < 0)


def _fill(trees: Trees, index: int, nodes: list[_Node]) -> None:
    inner = {at: place for place, at in enumerate(at for at, node in enumerate(nodes) if not node.leaf)}
    leaves = 0
    waiting: list[tuple[int, dict[int, int]]] = [(0, {})]
    while waiting:
        at, way = waiting.pop()
        node = nodes[at]
        if node.leaf:
            for place, side in way.items():
                trees.paths[index, place, leaves] = side
            trees.lefts[index, leaves] = sum(side == 1 for side in way.values())
            trees.values[index, leaves] = node.value
            leaves += 1
        else:
            place = inner[at]
            trees.columns[index, place] = node.column
            trees.limits[index, place] = node.limit
            waiting += [(node.right, {**way, place: -1}), (node.left, {**way, place: 1})]
