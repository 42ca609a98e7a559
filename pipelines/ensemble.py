"""Calibration and blend: each member's probabilities sharpened or softened, pooled by log weights, calibrated again.

Everything here is fitted on the calibrate split alone, which no member learned from, and is small enough to be written
into the graph as constants. Log-opinion pool: Genest and Zidek, "Combining probability distributions" (1986); vector
scaling: Guo et al., "On calibration of modern neural networks" (2017), with one slope instead of one per class.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]

FLOOR: Final = 1e-6
PRIOR_DEVIATION: Final = 0.5
NEGLIGIBLE: Final = 0.01
IS_FLAT: Final = np.array([0.0, 1.0, 0.0])


class Calibrator(msgspec.Struct, frozen=True):
    """``softmax(slope * log p + bias)``, one bias per class. Slope 1 and bias 0 change nothing."""

    slope: float
    bias: tuple[float, float, float]


class Blend(msgspec.Struct, frozen=True):
    """``weights``, non-negative and summing to 1, pool the calibrated members' log probabilities."""

    members: tuple[Calibrator, ...]
    weights: tuple[float, ...]
    final: Calibrator


def fit_blend(proba: Doubles, y: Labels, label_overlap: int) -> Blend:
    """Calibrate, weigh and calibrate again.

    Parameters
    ----------
    proba
        Members' raw probabilities on the calibrate split, [M, n, 3].
    y
        Outcomes, [n].
    label_overlap
        How many consecutive samples share most of one outcome. It divides n into an effective count, so that a short
        calibrate split cannot pull calibrators far from doing nothing, nor weights far from equal.
    """
    effective = max(1.0, len(y) / max(1, label_overlap))
    logs = log_proba(proba)
    members = tuple(fit_calibrator(log, y, effective) for log in logs)
    calibrated = np.stack([apply_calibrator(c, log) for c, log in zip(members, logs, strict=True)])
    weights = fit_weights(calibrated, y, effective)
    return Blend(members, weights, fit_calibrator(pool(calibrated, weights), y, effective))


def log_proba(proba: npt.NDArray[np.floating]) -> Doubles:
    """Natural logs with a floor, so that a member that says "never" can still be wrong at a finite price."""
    return np.log(np.maximum(np.asarray(proba, np.float64), FLOOR))


def fit_calibrator(logs: Doubles, y: Labels, effective: float) -> Calibrator:
    """Slope and flat bias of least log loss; a Gaussian prior around "change nothing" weighs one effective sample.

    Down and up share one bias: which of them came more often in a few minutes says nothing about the next few.
    """
    start, rows = np.array([1.0, 0.0]), np.arange(len(y))

    def loss(theta: Doubles) -> float:
        data = -log_softmax(theta[0] * logs + theta[1] * IS_FLAT, axis=1)[rows, y].mean()
        prior = np.square((theta - start) / PRIOR_DEVIATION).sum() / (2 * effective)
        return float(data + prior)

    slope, flat = map(float, minimize(loss, start, method="L-BFGS-B", bounds=[(0.05, 5.0), (-3.0, 3.0)]).x)
    return Calibrator(slope, (0.0, flat, 0.0))


def apply_calibrator(calibrator: Calibrator, logs: Doubles) -> Doubles:
    """Calibrated log probabilities, normalized, of the shape of ``logs`` [..., 3]."""
    return log_softmax(calibrator.slope * logs + np.array(calibrator.bias), axis=-1)


def pool(logs: Doubles, weights: tuple[float, ...] | Doubles) -> Doubles:
    """Weighted mean of log probabilities over members, normalized: [M, n, 3] to [n, 3]."""
    return log_softmax(np.tensordot(weights, logs, axes=1), axis=-1)


def fit_weights(logs: Doubles, y: Labels, effective: float) -> tuple[float, ...]:
    """Weights on the simplex of least pooled log loss (a convex problem), with a Gaussian prior around equal ones.

    Shares below 1 % become exactly 0: a member that does not help is left out.
    """
    count, rows = len(logs), np.arange(len(y))
    equal = np.full(count, 1.0 / count)
    strength = 1.0 / (effective * PRIOR_DEVIATION**2)

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        pooled, off = pool(logs, weights), weights - equal
        gradient = ((np.exp(pooled) * logs).sum(axis=-1) - logs[:, rows, y]).mean(axis=1)
        return float(-pooled[rows, y].mean() + strength * np.square(off).sum() / 2), gradient + strength * off

    found = minimize(
        loss,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-10, "maxiter": 200},
    )
    kept = np.where(found.x < NEGLIGIBLE, 0.0, found.x)
    return tuple(map(float, kept / kept.sum()))


def apply_blend(blend: Blend, proba: npt.NDArray[np.floating]) -> tuple[Doubles, Doubles]:
    """Raw member probabilities [M, n, 3] to (blended [n, 3], calibrated members [M, n, 3])."""
    logs = log_proba(proba)
    calibrated = np.stack([apply_calibrator(c, log) for c, log in zip(blend.members, logs, strict=True)])
    blended = apply_calibrator(blend.final, pool(calibrated, blend.weights))
    return np.exp(blended), np.exp(calibrated)
