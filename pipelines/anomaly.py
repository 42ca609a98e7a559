"""Fits the trader's anomaly model on the train split, and measures how much it finds and how often it cries wolf."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from features.schema import FEATURES
from pipelines.dataset import CALIBRATE, TEST, TRAIN, Dataset, content_sha256
from pipelines.settings import PipelineError
from trader.anomaly import AnomalyModel, RowWatch, ViewModel, look, score
from trader.bundle import Anomaly

Floats = npt.NDArray[np.float32]

PLANTS: Final = ("jump", "frozen", "permuted")
PRICE_COLUMNS: Final = slice(0, 5)


class AnomalyParams(msgspec.Struct, frozen=True):
    """How the forest grows and where its limits lie.

    ``quantile`` of the calibrate split's scores is the limit. A column may stand still for ``patience`` times its
    longest run in the train and calibrate splits, at least ``least_run`` rows; one whose run covered ``unwatched`` of a
    split is not watched. A ``far_share`` of copies is moved outward, by up to ``far_log`` in the view. The view's
    linear fit is damped by ``ridge`` on z-scores cut at ``cut``. Planted anomalies: ``plants`` rows of each kind, a
    jump of ``jump_ratio`` usual ones.
    """

    trees: int = 100
    sample: int = 256
    quantile: float = 0.995
    far_share: float = 0.05
    far_log: float = 7.0
    ridge: float = 0.05
    cut: float = 8.0
    patience: float = 4.0
    least_run: int = 64
    unwatched: float = 0.05
    plants: int = 500
    jump_ratio: float = 10.0


PARAMS: Final = AnomalyParams()


def stretches(dataset: Dataset, split: int) -> Iterator[Floats]:
    """Consecutive decision rows of each symbol from the first to the last sample of ``split``."""
    for symbol in range(len(dataset.symbols)):
        ends = dataset.ends[(dataset.split == split) & (dataset.symbol_id == symbol)]
        if ends.size:
            yield dataset.rows[ends.min() : ends.max() + 1]


def fit_anomaly(dataset: Dataset, seed: int, params: AnomalyParams = PARAMS) -> AnomalyModel:
    """Grow the forest on the train split's rows; set the limits on calibrate."""
    from sklearn.ensemble import IsolationForest

    rows = np.concatenate(list(stretches(dataset, TRAIN)))
    view = fit_view(rows, params)
    forest = IsolationForest(n_estimators=params.trees, max_samples=min(params.sample, len(rows)), random_state=seed)
    seen = views(view, rows)
    forest.fit(np.concatenate([seen, far_views(seen, seed, params)]))
    calibrate = views(view, np.concatenate(list(stretches(dataset, CALIBRATE))))
    limit = float(np.quantile(-forest.score_samples(calibrate), params.quantile))
    return export_forest(forest, view, limit, longest_runs(dataset, params), dataset.schema_id)


def far_views(seen: Floats, seed: int, params: AnomalyParams) -> Floats:
    """Copies of views with some columns (logs of sizes) raised at random.

    A forest cuts only between the values it grew on, so that beyond the largest of them all rows would score alike;
    these give it ground to cut there.
    """
    rng = np.random.default_rng(seed)
    far = seen[rng.integers(0, len(seen), int(len(seen) * params.far_share))]
    raised = rng.uniform(0.0, params.far_log, far.shape) * rng.integers(0, 2, far.shape)
    return (far + raised).astype(np.float32)


def fit_view(rows: Floats, params: AnomalyParams = PARAMS) -> ViewModel:
    """Median and 10-90 % spread of every column, and the ridge regression of each z-score on all the others.

    The regression comes from the inverse covariance ``P``: column i on the others has coefficients ``-P[i, j] /
    P[i, i]`` (Lauritzen 1996, section 5.1).
    """
    values = rows.astype(np.float64)
    low, center, high = np.percentile(values, (10, 50, 90), axis=0)
    scale = np.maximum(high - low, 0.1 * values.std(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    z = np.clip((values - center) / scale, -params.cut, params.cut)
    covariance = z.T @ z / len(z) + params.ridge * max(float((z**2).mean()), 1e-9) * np.eye(z.shape[1])
    precision = np.linalg.inv(covariance)
    mix = -precision / np.diag(precision)[:, None]
    np.fill_diagonal(mix, 0.0)
    spread = np.maximum((z - z @ mix.T).std(axis=0), 1e-3)
    return ViewModel(center, scale, np.ascontiguousarray(mix), spread, feature_groups(rows.shape[1]))


def feature_groups(columns: int) -> npt.NDArray[np.int32]:
    """Group of every schema column, counted in the order of appearance; all one group for rows of another width."""
    groups = [feature.group for feature in FEATURES] if columns == len(FEATURES) else [""] * columns
    return np.array([list(dict.fromkeys(groups)).index(group) for group in groups], np.int32)


def views(view: ViewModel, rows: Floats) -> Floats:
    """What the trader's forest would see of each row: float32 [n, view.size]."""
    return np.stack([look(view, row) for row in np.ascontiguousarray(rows, np.float32)])


def export_forest(
    forest: Any, view: ViewModel, limit: float, longest: npt.NDArray[np.int64], schema_id: str
) -> AnomalyModel:
    """scikit-learn's forest as flat arrays; scores stay equal up to rounding."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    inner = [tree.children_left >= 0 for tree in trees]
    return AnomalyModel(
        view=view,
        feature=np.concatenate([np.where(i, t.feature, -1) for t, i in zip(trees, inner, strict=True)]).astype(
            np.int32
        ),
        threshold=np.concatenate([np.where(i, t.threshold, 0.0) for t, i in zip(trees, inner, strict=True)]),
        left=_children(trees, inner, starts, "children_left"),
        right=_children(trees, inner, starts, "children_right"),
        length=np.concatenate([_lengths(tree) for tree in trees]),
        roots=starts[:-1].astype(np.int32),
        longest=longest,
        normal=float(mean_path_length(np.array([forest.max_samples_]))[0]),
        limit=limit,
        schema_id=schema_id,
    )


def _children(trees: list[Any], inner: list[Any], starts: Any, side: str) -> npt.NDArray[np.int32]:
    parts = [np.where(i, getattr(t, side) + s, 0) for t, i, s in zip(trees, inner, starts[:-1], strict=True)]
    return np.concatenate(parts).astype(np.int32)


def _lengths(tree: Any) -> npt.NDArray[np.float64]:
    """Per node: edges from the root, plus the mean path length over the samples that reached it."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):
        if tree.children_left[node] >= 0:
            depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
    return depth + mean_path_length(tree.n_node_samples)


def mean_path_length(n: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Mean path length of an unsuccessful search in a binary tree of ``n`` (Liu, Ting and Zhou 2008, equation 1).

    >>> [round(float(x), 4) for x in mean_path_length(np.array([1, 2, 256]))]
    [0.0, 1.0, 10.2448]
    """
    m = np.maximum(np.asarray(n, np.float64), 3.0)
    long = 2.0 * (np.log(m - 1.0) + np.euler_gamma) - 2.0 * (m - 1.0) / m
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, long))


def longest_runs(dataset: Dataset, params: AnomalyParams) -> npt.NDArray[np.int64]:
    """For how many rows each column may stand still; 0 where it is not watched."""
    known = [rows for split in (TRAIN, CALIBRATE) for rows in stretches(dataset, split)]
    runs = np.stack([_column_runs(rows) for rows in known])
    shares = runs / np.array([[len(rows)] for rows in known])
    allowed = np.maximum(np.ceil(params.patience * runs.max(axis=0)), params.least_run).astype(np.int64)
    return np.where((shares.max(axis=0) > params.unwatched) & (runs.max(axis=0) > params.least_run), 0, allowed)


def _column_runs(rows: Floats) -> npt.NDArray[np.int64]:
    """Longest run of repeats of every column."""
    longest, current = np.zeros(rows.shape[1], np.int64), np.zeros(rows.shape[1], np.int64)
    for same in rows[1:] == rows[:-1]:
        current = (current + 1) * same
        np.maximum(longest, current, out=longest)
    return longest


def watched(model: AnomalyModel, rows: Floats) -> npt.NDArray[np.bool_]:
    """Which of consecutive ``rows`` the trader would find suspicious."""
    watch = RowWatch(model)
    return np.array([watch.update(row) for row in rows], dtype=bool)


def watched_scores(model: AnomalyModel, dataset: Dataset, split: int) -> npt.NDArray[np.float64]:
    """Anomaly score of every row of ``split``."""
    rows = [row for rows in stretches(dataset, split) for row in np.ascontiguousarray(rows, np.float32)]
    return np.array([score(model, row) for row in rows])


def plant(kind: str, rows: Floats, usual: Floats, rng: np.random.Generator, params: AnomalyParams) -> Floats:
    """A copy of ``rows`` with one anomaly in every row: a jump's mark on prices, or columns in another order.

    ``usual`` [5] is the 99th percentile of the price columns' size in the train split.
    """
    planted = rows.copy()
    if kind == "jump":
        planted[:, PRICE_COLUMNS] = params.jump_ratio * usual * rng.choice((-1, 1), size=(len(rows), 1))
        return planted
    return planted[:, rng.permutation(rows.shape[1])]


def describe_anomaly(
    model: AnomalyModel, sha256: str, dataset: Dataset, seed: int, params: AnomalyParams = PARAMS
) -> Anomaly:
    """What the manifest says: limits, false alarms on the test split, and the share found of each planted kind."""
    tested = list(stretches(dataset, TEST))
    alarms = np.concatenate([watched(model, rows) for rows in tested])
    return Anomaly(
        sha256=sha256,
        data_sha256=content_sha256(dataset),
        trees=len(model.roots),
        rows=sum(len(rows) for rows in stretches(dataset, TRAIN)),
        quantile=params.quantile,
        limit=model.limit,
        watched_columns=int((model.longest > 0).sum()),
        false_alarms=float(alarms.mean()),
        found=found(model, dataset, np.concatenate(tested), seed, params),
    )


def found(model: AnomalyModel, dataset: Dataset, rows: Floats, seed: int, params: AnomalyParams) -> dict[str, float]:
    """Share of planted anomalies that are found, by kind; each is planted alone among ``rows``."""
    if not len(rows):
        raise PipelineError("the test split has no row", "use a longer tape")
    rng = np.random.default_rng(seed)
    chosen = rows[rng.integers(0, len(rows), params.plants)]
    usual = np.percentile(np.abs(np.concatenate(list(stretches(dataset, TRAIN)))[:, PRICE_COLUMNS]), 99, axis=0)
    shares = {}
    for kind in ("jump", "permuted"):
        planted = [plant(kind, row[None], usual, rng, params)[0] for row in chosen]
        shares[kind] = float(np.mean([RowWatch(model).update(row) for row in planted]))
    return shares | {"frozen": _found_frozen(model, chosen[:20])}


def _found_frozen(model: AnomalyModel, rows: Floats) -> float:
    """Share of rows that, repeated for ever, are noticed within the longest patience of any watched column."""
    patience = int(model.longest.max(initial=0)) + 2
    return float(np.mean([watched(model, np.repeat(row[None], patience, axis=0)).any() for row in rows]))
