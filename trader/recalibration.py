"""Scores brought into line with what happened lately: two numbers per symbol, learned from labels that have matured.

Base rates shift between days, and a model calibrated on one is over- or underconfident on the next. With ``l =
(log p_down, log p_flat, log p_up)``, ``d = l_up - l_down`` and ``c = l_flat - (l_up + l_down) / 2`` the recalibrated
score is ``softmax(-scale d / 2, c + flat, scale d / 2)``: how much stands still, how far to trust the direction. Down
and up share both numbers, so nothing is learned about which of them comes more often.

Learned by online Newton steps with forgetting: the curvature of past log losses fades by ``exp(-1 / memory)`` per
matured label, each label weighs ``weight`` (neighbouring decisions share most of an outcome), and a Gaussian prior of
``prior`` labels' weight keeps both numbers near "change nothing". Pure: equal scores and outcomes give equal bits.
"""

from math import exp, log
from typing import Final

import msgspec

Proba = tuple[float, float, float]
FLOOR: Final = 1e-6
SCALE_BOUNDS: Final = (0.0, 3.0)
FLAT_BOUNDS: Final = (-5.0, 5.0)


class RecalibrationParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``memory`` in matured labels; ``weight`` of one; ``prior`` in effective labels. They travel in the bundle."""

    memory: float = 4_000.0
    weight: float = 0.02
    prior: float = 1.0


class Recalibration(msgspec.Struct):
    """State of one symbol: the two numbers, and the faded curvature of the log loss around them."""

    params: RecalibrationParams
    flat: float = 0.0
    scale: float = 1.0
    flat_flat: float = 0.0
    flat_scale: float = 0.0
    scale_scale: float = 0.0
    labels: int = 0


def _parts(proba: Proba) -> tuple[float, float]:
    down, flat, up = (log(max(p, FLOOR)) for p in proba)
    return up - down, flat - 0.5 * (up + down)


def _softmax(direction: float, flat: float) -> Proba:
    half = 0.5 * direction
    most = max(abs(half), flat)
    down, still, up = exp(-half - most), exp(flat - most), exp(half - most)
    total = down + still + up
    return down / total, still / total, up / total


def recalibrated(state: Recalibration, proba: Proba) -> Proba:
    """What ``proba`` (down, flat, up) means now. Before the first matured label: itself, floored at 1e-6.

    >>> p = recalibrated(Recalibration(RecalibrationParams()), (0.2, 0.5, 0.3))
    >>> [round(value, 12) for value in p]
    [0.2, 0.5, 0.3]
    """
    direction, flat = _parts(proba)
    return _softmax(state.scale * direction, flat + state.flat)


def learn(state: Recalibration, proba: Proba, label: int) -> None:
    """One matured label (0 down, 1 flat, 2 up) of a score as it was before recalibration."""
    p, (direction, _) = state.params, _parts(proba)
    down, still, up = recalibrated(state, proba)
    half = 0.5 * direction
    error = ((label == 2) - up) - ((label == 0) - down)
    _fade(state, exp(-1.0 / p.memory))
    state.flat_flat += p.weight * still * (1.0 - still)
    state.flat_scale -= p.weight * half * still * (up - down)
    state.scale_scale += p.weight * half * half * (up + down - (up - down) ** 2)
    _step(state, p.weight * ((label == 1) - still), p.weight * half * error)
    state.labels += 1


def _fade(state: Recalibration, keep: float) -> None:
    state.flat_flat *= keep
    state.flat_scale *= keep
    state.scale_scale *= keep


def _step(state: Recalibration, flat: float, scale: float) -> None:
    """One Newton step along the gradient of the newest label, damped by the prior."""
    prior = state.params.prior
    # the prior pulls back as much as one label's share of the memory
    pull = prior / state.params.memory
    flat, scale = flat - pull * state.flat, scale - pull * (state.scale - 1.0)
    a, b, c = state.flat_flat + prior, state.flat_scale, state.scale_scale + prior
    determinant = a * c - b * b
    state.flat = _clamp(state.flat + (c * flat - b * scale) / determinant, FLAT_BOUNDS)
    state.scale = _clamp(state.scale + (a * scale - b * flat) / determinant, SCALE_BOUNDS)


def _clamp(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
