"""Oracles of ``features.families.moves`` and ``deviation``: weighted sums over all moves so far."""

import numpy as np

from features.families.moves import LEAST_MOVE
from features.parameters import PARAMETERS as P
from features.parameters import TAUS

BPS = 1e4


def _moves(history, feature, at, *, until_move):
    """Moves so far, and their weights at the event, or at the newest of them."""
    quotes = history.quote_of(at) + 1
    moved = np.flatnonzero(np.abs(history.step[:quotes]) > LEAST_MOVE)
    steps, stamps = history.step[moved], history.quote_ns[moved]
    now = stamps[-1] if until_move and moved.size else history.now[at]
    return steps, np.exp((stamps - now) / feature.window)


def _pairs(steps):
    return np.append(0.0, steps[1:] * steps[:-1]) if steps.size else steps


def semivariance_share(history, feature, at):
    steps, weights = _moves(history, feature, at, until_move=True)
    up, down = weights @ np.maximum(steps, 0) ** 2, weights @ np.minimum(steps, 0) ** 2
    return (up - down) / (up + down) if steps.size else 0.0


def jump_share(history, feature, at):
    steps, weights = _moves(history, feature, at, until_move=True)
    variance, bipower = weights @ steps**2, np.pi / 2 * (weights @ np.abs(_pairs(steps)))
    return (variance - bipower) / (variance + bipower) if steps.size else 0.0


def path_efficiency(history, feature, at):
    steps, weights = _moves(history, feature, at, until_move=True)
    return weights @ steps / (weights @ np.abs(steps)) if steps.size else 0.0


def move_autocovariance(history, feature, at):
    steps, weights = _moves(history, feature, at, until_move=True)
    pairs = _pairs(steps)
    return weights @ pairs / (weights @ np.abs(pairs)) if steps.size > 1 else 0.0


def trend(history, feature, at):
    """Weights are those at the newest move, times what is left since: at no age do they all vanish."""
    steps, weights = _moves(history, feature, at, until_move=True)
    if not steps.size:
        return 0.0
    left = _moves(history, feature, at, until_move=False)[1][-1]
    return weights @ steps / np.sqrt(weights @ steps**2) * np.sqrt(left)


def bipower_volatility(history, feature, at):
    steps, weights = _moves(history, feature, at, until_move=False)
    return BPS * np.sqrt(np.pi / 2 * (weights @ np.abs(_pairs(steps))))


def move_share(history, feature, at):
    quotes, now = history.quote_of(at) + 1, history.now[at]
    moved = (np.abs(history.step) > LEAST_MOVE).astype(float)
    both = np.column_stack([moved, np.ones(moved.size)])
    moves, count = history.decayed(both, history.quote_ns, quotes, now, feature.window)
    return moves / count


def volatility_change(history, feature, at):
    place = TAUS.index(feature.window)
    other = TAUS[place - 2] if place == len(TAUS) - 1 else TAUS[min(place + 2, len(TAUS) - 1)]
    quotes, now = history.quote_of(at) + 1, history.now[at]
    squares = history.remember(at, "squared moves", lambda: history.step**2 * (np.abs(history.step) > LEAST_MOVE))
    variance = history.decayed(squares, history.quote_ns, quotes, now, feature.window)
    expected = history.decayed(squares, history.quote_ns, quotes, now, other) * feature.window / other
    return (variance - expected) / (variance + expected) if variance + expected > P.flat**2 else 0.0


def _moments(history, tau, at):
    """Distance of the mid from its mean over time, and variance about it."""
    return history.remember(at, ("moments", tau), lambda: _away_and_variance(history, tau, at))


def _away_and_variance(history, tau, at):
    """From mids less the current one, since a distance can be far smaller than the mid's own rounding."""
    quotes = history.quote_of(at) + 1
    mids = history.mid[:quotes] - history.mid[quotes - 1]

    def mean(values):
        return history.mean_over_time(values, history.quote_ns, quotes, history.now[at], tau)

    return -mean(mids), mean((mids - mean(mids)) ** 2)


def deviation(history, feature, at):
    return BPS * np.sqrt(_moments(history, feature.window, at)[1])


def stretch(history, feature, at):
    away, variance = _moments(history, feature.window, at)
    return away / np.sqrt(variance + away**2) if variance + away**2 > P.flat**2 else 0.0


ORACLES = {
    ("moves", "semivariance_share"): semivariance_share,
    ("moves", "jump_share"): jump_share,
    ("moves", "path_efficiency"): path_efficiency,
    ("moves", "move_autocovariance"): move_autocovariance,
    ("moves", "trend"): trend,
    ("moves", "bipower_volatility"): bipower_volatility,
    ("moves", "move_share"): move_share,
    ("moves", "volatility_change"): volatility_change,
    ("deviation", "deviation"): deviation,
    ("deviation", "stretch"): stretch,
}
