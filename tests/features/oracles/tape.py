"""Oracles of ``features.families.tape`` and ``features.families.intensity``."""

import numpy as np

from features.families.intensity import slow_tau
from features.families.tape import LARGE
from features.parameters import PARAMETERS as P
from tests.features.oracles.usual import trade_sizes


def traded(history, values, tau, at):
    return history.decayed(values, history.trade_ns, history.upto(history.trade_at, at), history.now[at], tau)


def counted(history, tau, at):
    return traded(history, np.ones(history.qty.size), tau, at)


def since_last(history, tau, upto):
    """Weights of the first ``upto`` trades as of the last of them."""
    return np.exp((history.trade_ns[:upto] - history.trade_ns[upto - 1]) / tau)


def trade_rate(history, feature, at):
    count, expected = counted(history, feature.window, at), counted(history, P.typical_ns, at)
    expected *= feature.window / P.typical_ns
    return (count - expected) / (count + expected + 2)


def trade_sign(history, feature, at):
    return traded(history, history.side, feature.window, at) / (counted(history, feature.window, at) + 1)


def trade_size(history, feature, at):
    upto = history.upto(history.trade_at, at)
    if upto == 0:
        return 0.0
    mean = np.average(history.qty[:upto], weights=since_last(history, feature.window, upto))
    usual = np.average(history.qty[:upto], weights=since_last(history, P.typical_ns, upto))
    return (mean - usual) / (mean + usual)


def large_share(history, feature, at):
    upto = history.upto(history.trade_at, at)
    if upto == 0:
        return 0.0
    is_large = history.qty[:upto] > LARGE * trade_sizes(history)[:upto]
    return np.average(is_large, weights=history.qty[:upto] * since_last(history, feature.window, upto))


def _heats(history, tau, at):
    """Both kernels of buys and of sells."""
    sides = np.column_stack([history.side > 0, history.side < 0]).astype(float)
    slow = slow_tau(tau)
    return traded(history, sides, tau, at) + traded(history, sides, slow, at) * tau / slow


def _intensity(history, feature, at, side):
    heats = _heats(history, feature.window, at)
    expected = counted(history, P.typical_ns, at) * feature.window / P.typical_ns
    return heats[side] / (heats.sum() + 2 * expected + 1)


def buy_intensity(history, feature, at):
    return _intensity(history, feature, at, 0)


def sell_intensity(history, feature, at):
    return _intensity(history, feature, at, 1)


def intensity_imbalance(history, feature, at):
    buys, sells = _heats(history, feature.window, at)
    return (buys - sells) / (buys + sells + 1)


ORACLES = {
    ("tape", "trade_rate"): trade_rate,
    ("tape", "trade_sign"): trade_sign,
    ("sizes", "trade_size"): trade_size,
    ("sizes", "large_share"): large_share,
    ("intensity", "buy_intensity"): buy_intensity,
    ("intensity", "sell_intensity"): sell_intensity,
    ("intensity", "intensity_imbalance"): intensity_imbalance,
}
