"""The plain models that every other has to beat, fitted on the same train split and shipped in the manifest."""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from features.schema import INDEX, NAMES, mirror
from pipelines.candidate import row_samples
from pipelines.dataset import TRAIN, Dataset
from pipelines.members import CLASS_COUNT, shares, with_mirror
from trader.bundle import Baselines

IMBALANCE: Final = "imbalance"
"""What the one-feature baseline sees; the first served feature stands in where it is not served."""


def fit_baselines(dataset: Dataset) -> Baselines:
    """Class shares, and a logistic regression on the last imbalance with its mirror image; no tuning to do."""
    feature = IMBALANCE if IMBALANCE in INDEX else NAMES[0]
    train = with_mirror(row_samples(dataset, TRAIN), mirror)
    model = LogisticRegression().fit(train.x[:, -1, INDEX[feature], None].astype(np.float64), train.y)
    weight, bias = np.zeros(CLASS_COUNT), np.full(CLASS_COUNT, -20.0)
    weight[model.classes_], bias[model.classes_] = _of_every_class(model)
    return Baselines(_three(shares(train.y)), feature, _three(weight), _three(bias))


def _of_every_class(model: LogisticRegression) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weight and bias per known class; of two classes the library keeps the second's logit alone."""
    weight, bias = model.coef_[:, 0], model.intercept_
    return (weight, bias) if len(model.classes_) > 2 else (np.append(0.0, weight), np.append(0.0, bias))


def _three(values: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    down, flat, up = map(float, values)
    return down, flat, up


def prior_proba(baselines: Baselines, count: int) -> npt.NDArray[np.float64]:
    """The train split's class shares, [count, 3]."""
    return np.tile(np.array(baselines.prior), (count, 1))


def feature_proba(baselines: Baselines, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The one-feature logistic's answer to feature rows [n, F], [n, 3]."""
    value = np.asarray(rows[:, INDEX[baselines.feature]], np.float64)
    logits = value[:, None] * np.array(baselines.weight) + np.array(baselines.bias)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
