"""The members that see one row (logistic regression, random forest, XGBoost), and what every member shares.

Each ``fit_*`` returns the library's own predictor beside an artefact of plain arrays. The artefact is what is stored
and exported; the predictor is kept only long enough to answer the calibrate and test rows, against which the exported
graph is proven (``pipelines.evaluate.parity``).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from zipfile import BadZipFile

import msgspec
import numpy as np
import numpy.typing as npt
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.dataset import CALIBRATE, Dataset, windows
from pipelines.resources import replacing
from pipelines.settings import PipelineError

CLIP: Final = 3.0  # a level the train split hardly saw must not run away with a linear member
THREADS: Final = 1  # spinning thread pools lose several-fold as soon as anything else wants the cores
LEAF_SHARE: Final = 0.006  # neighbouring samples share most of an outcome, so a leaf needs many of them
CLASS_COUNT: Final = 3

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Labels = npt.NDArray[np.int8]
Mirror = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
Predict = Callable[[Floats], Floats]


class Samples(msgspec.Struct, frozen=True):
    """Windows ``x`` float32 [n, T, F], unscaled, and their classes ``y`` int8 [n]."""

    x: Floats
    y: Labels


class Scaler(msgspec.Struct, frozen=True):
    """Standard scaling, then clipping at ``CLIP`` deviations; ``mean``, ``inverse`` (1/deviation) float32 [F]."""

    mean: Floats
    inverse: Floats


class Logistic(msgspec.Struct, frozen=True):
    """Softmax of ``scaled last row @ weight + bias``; ``weight`` float32 [F, 3], ``bias`` float32 [3]."""

    weight: Floats
    bias: Floats


class Trees(msgspec.Struct, frozen=True):
    """Decision trees over the unscaled last row, as flat node arrays shared by all trees.

    Tree ``t`` starts at node ``roots[t]``. A node with ``feature`` -1 is a leaf that adds ``value`` [3]; another goes
    to ``left`` when ``row[feature] < threshold`` (``strict``) or ``<=`` (otherwise), else to ``right``. The answer is
    ``base`` plus the sum of leaves: probabilities, or margins for a softmax when ``margins``.
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    base: Floats
    strict: bool
    margins: bool


class Fitted(msgspec.Struct, frozen=True):
    """An artefact, and the training library's own prediction function: windows [n, T, F] to probabilities [n, 3]."""

    artefact: Any
    predict: Predict


def samples(dataset: Dataset, split: int) -> Samples:
    """All samples of one split."""
    idx = np.flatnonzero(dataset.split == split)
    return Samples(windows(dataset, idx), dataset.y[idx])


def last_rows(data: Samples) -> Samples:
    """The same samples with windows of one row, all that members without memory look at."""
    return Samples(data.x[:, -1:], data.y)


def with_mirror(data: Samples, mirror: Mirror | None) -> Samples:
    """``data`` followed by its mirror image: signed features flipped, down and up exchanged. None returns ``data``."""
    if mirror is None:
        return data
    return Samples(np.concatenate([data.x, mirror(data.x)]), np.concatenate([data.y, (2 - data.y).astype(np.int8)]))


def fit_scaler(train: Samples) -> Scaler:
    """Mean and deviation of every feature over the train split's last rows; a constant feature is only centred."""
    last = train.x[:, -1].astype(np.float64)
    mean, deviation = last.mean(axis=0), last.std(axis=0)
    usable = deviation > 1e-12 * np.maximum(1.0, np.abs(mean))
    inverse = np.where(usable, 1.0 / np.where(usable, deviation, 1.0), 1.0)
    return Scaler(mean.astype(np.float32), inverse.astype(np.float32))


def scale(scaler: Scaler, x: Floats) -> Floats:
    """Scaled and clipped copy of ``x`` [..., F], computed in float32 exactly as the graph does."""
    return np.clip((x - scaler.mean) * scaler.inverse, np.float32(-CLIP), np.float32(CLIP))


def fit_logistic(train: Samples, scaler: Scaler, seed: int) -> Fitted:
    """Multinomial logistic regression on the scaled last row: the baseline that the others have to beat."""
    model = LogisticRegression(C=0.003, max_iter=300, random_state=seed)
    with threadpool_limits(1):
        model.fit(scale(scaler, train.x[:, -1]).astype(np.float64), train.y)
    weight, bias = _every_class(model)

    def predict(x: Floats) -> Floats:
        with threadpool_limits(1):
            return _spread(model.predict_proba(scale(scaler, x[:, -1]).astype(np.float64)), model.classes_)

    return Fitted(Logistic(weight, bias), predict)


def _every_class(model: Any) -> tuple[Floats, Floats]:
    """Coefficients for all three classes: one the train split never showed gets a vanishing probability."""
    weight = np.zeros((model.n_features_in_, CLASS_COUNT), np.float32)
    bias = np.full(CLASS_COUNT, -30.0, np.float32)
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coef, intercept = np.vstack([-coef / 2, coef / 2]), np.concatenate([-intercept / 2, intercept / 2])
    weight[:, model.classes_] = coef.T
    bias[model.classes_] = intercept
    return weight, bias


def _spread(proba: Doubles, classes: npt.NDArray[np.integer]) -> Floats:
    full = np.zeros((len(proba), CLASS_COUNT), np.float32)
    full[:, classes] = proba
    return full


def fit_forest(train: Samples, seed: int) -> Fitted:
    """Random forest of 64 bounded trees on the unscaled last row."""
    model = RandomForestClassifier(
        64,
        max_depth=7,
        min_samples_leaf=LEAF_SHARE,
        max_features="sqrt",
        max_samples=0.5,
        n_jobs=2,
        random_state=seed,
    )
    model.fit(train.x[:, -1], train.y)
    model.set_params(n_jobs=1)  # threads add tree by tree in any order, and the sum must not depend on it

    def predict(x: Floats) -> Floats:
        return _spread(model.predict_proba(x[:, -1]), model.classes_)

    return Fitted(forest_trees(model), predict)


def forest_trees(model: Any) -> Trees:
    """Flat arrays of a fitted scikit-learn forest.

    Thresholds are float64 there; ``x <= t`` for a float32 ``x`` means the same as ``x <= t'`` with ``t'`` the largest
    float32 not above ``t``, so rounding them toward minus infinity changes no decision.
    """
    parts, share = [], 1.0 / len(model.estimators_)
    for estimator in model.estimators_:
        tree = estimator.tree_
        leaf = tree.children_left < 0
        threshold = tree.threshold.astype(np.float32)
        threshold = np.where(threshold.astype(np.float64) > tree.threshold, np.nextafter(threshold, -np.inf), threshold)
        value = _spread(tree.value[:, 0, :] * share, model.classes_) * leaf[:, None]
        feature = np.where(leaf, -1, tree.feature)
        parts.append((feature, np.where(leaf, 0, threshold), tree.children_left, tree.children_right, value))
    return _join(parts, np.zeros(CLASS_COUNT, np.float32), strict=False, margins=False)


def _join(parts: list[tuple[Any, ...]], base: Floats, *, strict: bool, margins: bool) -> Trees:
    sizes = np.array([len(part[0]) for part in parts])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    feature, threshold, left, right, value = (np.concatenate([part[i] for part in parts]) for i in range(5))
    offset = np.repeat(roots, sizes)
    inner = feature >= 0
    return Trees(
        roots=roots.astype(np.int32),
        feature=feature.astype(np.int32),
        threshold=threshold.astype(np.float32),
        left=np.where(inner, left + offset, 0).astype(np.int32),
        right=np.where(inner, right + offset, 0).astype(np.int32),
        value=value.astype(np.float32),
        base=base.astype(np.float32),
        strict=strict,
        margins=margins,
    )


def fit_xgboost(train: Samples, calibrate: Samples, seed: int) -> Fitted:
    """Gradient boosting by histograms on the unscaled last row, stopped early on the calibrate split."""
    settings = {
        "objective": "multi:softprob",
        "num_class": CLASS_COUNT,
        "tree_method": "hist",
        "max_depth": 3,
        "eta": 0.08,
        "min_child_weight": 0.7 * LEAF_SHARE * len(train.y),
        "subsample": 0.5,
        "colsample_bytree": 0.5,
        "lambda": 20.0,
        "nthread": THREADS,
        "seed": seed,
        "eval_metric": "mlogloss",
    }
    fit_on = xgboost.DMatrix(train.x[:, -1], label=train.y, nthread=THREADS)
    stop_on = xgboost.DMatrix(calibrate.x[:, -1], label=calibrate.y, nthread=THREADS)
    found = xgboost.train(
        settings, fit_on, 200, evals=[(stop_on, "calibrate")], early_stopping_rounds=20, verbose_eval=False
    )
    booster = found[: found.best_iteration + 1]

    def predict(x: Floats) -> Floats:
        answer: Floats = booster.predict(xgboost.DMatrix(x[:, -1], nthread=THREADS))
        return answer

    return Fitted(boosted_trees(booster), predict)


def boosted_trees(booster: Any) -> Trees:
    """Flat arrays of a multi-class XGBoost model, from its own JSON: one scalar tree per class and round."""
    learner = msgspec.json.decode(bytes(booster.save_raw("json")))["learner"]
    model = learner["gradient_booster"]["model"]
    base = np.array(msgspec.json.decode(learner["learner_model_param"]["base_score"]), np.float32)
    parts = []
    for tree, klass in zip(model["trees"], model["tree_info"], strict=True):
        left = np.array(tree["left_children"])
        condition = np.array(tree["split_conditions"], np.float64)
        leaf = left < 0
        value = np.zeros((len(left), CLASS_COUNT))
        value[leaf, klass] = condition[leaf]
        feature = np.where(leaf, -1, np.array(tree["split_indices"]))
        parts.append((feature, np.where(leaf, 0, condition), left, np.array(tree["right_children"]), value))
    return _join(parts, np.broadcast_to(base, CLASS_COUNT), strict=True, margins=True)


T = TypeVar("T", bound=msgspec.Struct)


def save_arrays(path: Path, **arrays: Any) -> None:
    """Write named arrays as ``.npz``, atomically and without pickle."""
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def save_artefact(path: Path, artefact: Any, **more: Any) -> None:
    """Write an artefact's fields, and ``more`` arrays beside them."""
    save_arrays(path, **msgspec.structs.asdict(artefact), **more)


def load_artefact(path: Path, kind: type[T]) -> tuple[T, dict[str, Any]]:
    """Read what :func:`save_artefact` wrote: the artefact, and the other arrays by name.

    Raises
    ------
    PipelineError
        When the file is absent or is no such artefact.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
        names = [field.name for field in msgspec.structs.fields(kind)]
        fields = {name: arrays.pop(name) for name in names}
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise PipelineError(
            f"{path}: no readable {kind.__name__} artefact ({error})", "train the member again"
        ) from error
    plain = {name: bool(array) if array.dtype == np.bool_ else array for name, array in fields.items()}
    return kind(**plain), arrays


def evaluated(dataset: Dataset) -> npt.NDArray[np.intp]:
    """Indices of the samples that members answer after fitting: calibrate and test, in dataset order."""
    return np.flatnonzero(dataset.split >= CALIBRATE)


def shares(y: Labels) -> Doubles:
    """Class shares, float64 [3], one imagined sample of each class added; a baseline always answers these."""
    counts = np.bincount(y, minlength=CLASS_COUNT) + 1.0
    return counts / counts.sum()
