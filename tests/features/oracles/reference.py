"""Oracles of ``features.families.reference`` and ``reference_bars``."""

from functools import lru_cache

import numpy as np

from features.parameters import PARAMETERS as P
from tests.features.oracles.history import FORGOTTEN

BPS = 1e4
LEAST = P.flat**2


# -- tick against tick -------------------------------------------------------------------------------------------------


def _as_of(values, positions, events):
    """The newest of ``values`` at each of ``events``; the first stands before."""
    return values[np.maximum(np.searchsorted(positions, events, side="right") - 1, 0)]


def _met(at, steps, first, others, others_at):
    """Each step that is not 0, times what the other price moved since the step before (since ``first``, at first)."""
    moved = at[steps != 0.0]
    if others.size == 0:
        return moved, np.zeros(moved.size)
    return moved, steps[steps != 0.0] * np.diff(_as_of(others, others_at, np.append(first, moved)))


@lru_cache(maxsize=4)
def _moves(history):
    """Positions of the moves of either, and their squares (own, reference) and products (leads, lags), ``[m, 4]``."""
    h = history
    own, leads = _met(h.quote_at, h.step, h.quote_at[:1], h.reference_mid, h.reference_at)
    other, lags = _met(h.reference_at, h.reference_step, h.reference_at[:1], h.mid, h.quote_at)
    columns = np.zeros((own.size + other.size, 4))
    columns[: own.size, 0], columns[own.size :, 1] = (
        h.step[h.step != 0.0] ** 2,
        h.reference_step[h.reference_step != 0.0] ** 2,
    )
    columns[: own.size, 2], columns[own.size :, 3] = leads, lags
    order = np.argsort(np.append(own, other))
    return np.append(own, other)[order], columns[order]


def _sums(history, feature, at):
    """Decayed to the newest move of either."""

    def compute():
        positions, columns = _moves(history)
        count = history.upto(positions, at)
        if count == 0:
            return np.zeros(4)
        ages = history.now[positions[count - 1]] - history.now[positions[:count]]
        fresh = ages < FORGOTTEN * feature.window
        return np.exp(-ages[fresh] / feature.window) @ columns[:count][fresh]

    return history.remember(at, ("moves", feature.window), compute)


def correlation(history, feature, at):
    own, other, leads, lags = _sums(history, feature, at)
    if min(own, other) <= LEAST:
        return 0.0
    return float(np.clip((leads + lags) / np.sqrt(own * other), -1.0, 1.0))


def lead(history, feature, at):
    _, _, leads, lags = _sums(history, feature, at)
    reach = abs(leads) + abs(lags)
    return (leads - lags) / reach if reach > LEAST else 0.0


def momentum(history, feature, at):
    upto = history.upto(history.reference_at, at)
    if upto == 0:
        return 0.0
    mean = history.mean_over_time(history.reference_mid, history.reference_ns, upto, history.now[at], feature.window)
    return BPS * (history.reference_mid[upto - 1] - mean)


def ahead(history, _, at):
    quotes, upto = history.quote_of(at) + 1, history.upto(history.reference_at, at)
    moves = np.flatnonzero(history.step[:quotes])
    if upto == 0:
        return 0.0
    since = history.quote_at[moves[-1]] if moves.size else -1
    return BPS * (history.reference_mid[upto - 1] - _as_of(history.reference_mid, history.reference_at, since))


# -- bars --------------------------------------------------------------------------------------------------------------


def _returns(history, feature, at):
    """Changes of both from bar to bar within the window, since the reference is known."""

    def compute():
        bars = history.bars(feature.length_ns, at)[["close", "reference_close"]].iloc[:-1]
        return bars[bars["reference_close"] != 0.0].diff().dropna().to_numpy()

    return history.remember(at, ("returns", feature.length_ns), compute)[-feature.window :].T


def crossed(away):
    """Correlation of own changes with those of the reference so many bars before (below 0: after)."""

    def oracle(history, feature, at):
        own, other = _returns(history, feature, at)
        if min(own @ own, other @ other) <= LEAST or own.size <= abs(away):
            return 0.0
        first, later = (other, own) if away >= 0 else (own, other)
        products = later[abs(away) :] @ first[: first.size - abs(away)]
        return products / np.sqrt((own @ own) * (other @ other))

    return oracle


def beta(history, feature, at):
    own, other = _returns(history, feature, at)
    return own @ other / (other @ other) if min(own @ own, other @ other) > LEAST else 0.0


def strength(history, feature, at):
    own, other = _returns(history, feature, at)
    return BPS * (own.sum() - other.sum())


ORACLES = {
    ("reference", "reference_correlation"): correlation,
    ("reference", "reference_lead"): lead,
    ("reference", "reference_momentum"): momentum,
    ("reference_now", "reference_ahead"): ahead,
    ("reference_bars", "reference_correlation"): crossed(0),
    **{("reference_bars", f"reference_leads_{i}"): crossed(i) for i in (1, 2, 3)},
    **{("reference_bars", f"reference_lags_{i}"): crossed(-i) for i in (1, 2, 3)},
    ("reference_bars", "reference_beta"): beta,
    ("reference_bars", "relative_strength"): strength,
}
