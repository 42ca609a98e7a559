"""Scores on data nobody learned from, and the proof that the exported graph computes what the members computed."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from pipelines.members import CLASS_COUNT, Floats
from trader.bundle import CLASSES, MEMBERS, Metrics

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]

CONFIDENT: Final = 0.7
BINS: Final = 15
BATCH: Final = 2_048
ABSOLUTE_TOLERANCE: Final = 1e-5
RELATIVE_TOLERANCE: Final = 1e-4


class Reliability(msgspec.Struct, frozen=True):
    """Of one class, per non-empty bin of equal width: mean probability said, share observed, samples."""

    said: Doubles
    seen: Doubles
    count: npt.NDArray[np.int64]


def open_session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """An ONNX Runtime CPU session that answers ``x`` with ``proba`` and ``members``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_graph(session: onnxruntime.InferenceSession, x: Floats) -> tuple[Floats, Floats]:
    """``proba`` [n, 3] and ``members`` [n, M, 3] of the windows ``x`` [n, T, F], batch by batch."""
    parts = [session.run(["proba", "members"], {"x": x[at : at + BATCH]}) for at in range(0, len(x), BATCH)]
    return np.concatenate([proba for proba, _ in parts]), np.concatenate([members for _, members in parts])


def losses(proba: npt.NDArray[np.floating], y: Labels) -> Doubles:
    """Log loss of every sample in nats, [n]. NaN stays NaN: a broken model must not look like a bad one."""
    said = np.asarray(proba, np.float64)[np.arange(len(y)), y]
    return -np.log(np.maximum(said, np.finfo(np.float64).tiny))


def logloss(proba: npt.NDArray[np.floating], y: Labels) -> float:
    """Mean log loss in nats; ln 3 is the price of knowing nothing."""
    return float(losses(proba, y).mean())


def brier(proba: npt.NDArray[np.floating], y: Labels) -> float:
    """Mean squared distance to the outcome over all three classes, in [0, 2] (Brier 1950)."""
    return float(np.square(proba - np.eye(CLASS_COUNT)[y]).sum(axis=1).mean())


def reliability(proba: npt.NDArray[np.floating], y: Labels, klass: int, bins: int = BINS) -> Reliability:
    """What was said of one class against what happened."""
    said = np.asarray(proba[:, klass], np.float64)
    at = np.clip((said * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(at, minlength=bins)
    filled = count > 0
    mean = np.bincount(at, said, bins)[filled] / count[filled]
    seen = np.bincount(at, y == klass, bins)[filled] / count[filled]
    return Reliability(mean, seen, count[filled])


def calibration_error(proba: npt.NDArray[np.floating], y: Labels, bins: int = BINS) -> float:
    """Expected calibration error, mean over the classes (Naeini et al. 2015, classwise)."""
    curves = [reliability(proba, y, klass, bins) for klass in range(CLASS_COUNT)]
    return float(np.mean([(np.abs(c.said - c.seen) * c.count).sum() / len(y) for c in curves]))


def directional(proba: npt.NDArray[np.floating], y: Labels, threshold: float = CONFIDENT) -> tuple[float | None, float]:
    """Accuracy of scores with p(down) or p(up) above ``threshold``, flats counted as errors; and their share of all.

    The accuracy is None where there is no such score.
    """
    side = np.where(proba[:, 2] >= proba[:, 0], 2, 0)
    confident = np.maximum(proba[:, 0], proba[:, 2]) > threshold
    accuracy = float((side == y)[confident].mean()) if confident.any() else None
    return accuracy, float(confident.mean())


def evaluate(
    proba: npt.NDArray[np.floating],
    members: npt.NDArray[np.floating],
    y: Labels,
    prior: Doubles,
    recent_prior: Doubles,
    weights: Sequence[float],
) -> Metrics:
    """All figures of one test window: ``proba`` [n, 3], ``members`` [n, M, 3], outcomes, and the two class shares."""
    accuracy, coverage = directional(proba, y)
    return Metrics(
        rows=len(y),
        logloss=logloss(proba, y),
        baseline_logloss=logloss(np.broadcast_to(prior, proba.shape), y),
        recent_prior_logloss=logloss(np.broadcast_to(recent_prior, proba.shape), y),
        brier=brier(proba, y),
        ece=calibration_error(proba, y),
        accuracy_p70=accuracy,
        coverage_p70=coverage,
        members={name: logloss(members[:, i], y) for i, name in enumerate(MEMBERS)},
        weights=dict(zip(MEMBERS, weights, strict=True)),
    )


def parity(graph: npt.NDArray[np.floating], native: npt.NDArray[np.floating]) -> dict[str, float]:
    """Largest absolute difference per member, graph [n, M, 3] against the training libraries' answers [n, M, 3]."""
    return {name: float(np.abs(graph[:, i] - native[:, i]).max()) for i, name in enumerate(MEMBERS)}


def parity_failures(graph: npt.NDArray[np.floating], native: npt.NDArray[np.floating]) -> list[str]:
    """Members that differ anywhere by more than 1e-5 + 1e-4·|native|; a NaN differs."""
    within = np.abs(graph - native) <= ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(native)
    return [name for i, name in enumerate(MEMBERS) if not within[:, i].all()]


def unusable(proba: npt.NDArray[np.floating]) -> str:
    """Why these scores cannot be used at all ("" when they can): not finite, no probabilities, or always the same."""
    if not np.isfinite(proba).all():
        return f"{int((~np.isfinite(proba)).any(axis=1).sum())} of {len(proba)} scores are not finite"
    off = float(np.abs(proba.sum(axis=1) - 1).max())
    if off > 1e-4 or proba.min() < -1e-6:
        return f"scores are no probabilities: they miss a sum of 1 by up to {off:.2g}"
    if float(np.ptp(proba, axis=0).max()) < 1e-6:
        said = ", ".join(f"{name} {p:.3f}" for name, p in zip(CLASSES, proba[0], strict=True))
        return f"the score is constant ({said})"
    return ""
