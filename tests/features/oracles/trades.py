"""Oracles of ``features.families.trades``."""

import numpy as np

from features.parameters import PARAMETERS as P
from features.parameters import TAUS


def traded(history, values, tau, at):
    """Decayed sum of one value per trade."""
    return history.decayed(values, history.trade_ns, history.upto(history.trade_at, at), history.now[at], tau)


def volume(history, feature, at):
    usual, total = history.usual_trade(at), traded(history, history.qty, feature.window, at)
    return total / (total + usual) if usual > 0.0 else 0.0


def _against(history, feature, at, other):
    usual = history.usual_trade(at)
    if usual == 0.0:
        return 0.0
    total = traded(history, history.qty, feature.window, at)
    expected = traded(history, history.qty, other, at) * feature.window / other
    return (total - expected) / (total + expected + 2 * usual)


def volume_change(history, feature, at):
    return _against(history, feature, at, TAUS[min(TAUS.index(feature.window) + 2, len(TAUS) - 1)])


def volume_spike(history, feature, at):
    return _against(history, feature, at, P.typical_ns)


def vwap_distance(history, feature, at):
    upto = history.upto(history.trade_at, at)
    if traded(history, np.ones(history.qty.size), feature.window, at) <= P.empty:
        return 0.0
    since_last = (history.trade_ns[:upto] - history.trade_ns[upto - 1]) / feature.window
    mean = np.average(history.log_px[:upto], weights=history.qty[:upto] * np.exp(since_last))
    return 1e4 * (history.mid[history.quote_of(at)] - mean)


def flow(history, feature, at):
    usual = history.usual_trade(at)
    signed = traded(history, history.side * history.qty, feature.window, at)
    return signed / (traded(history, history.qty, feature.window, at) + usual) if usual > 0.0 else 0.0


ORACLES = {
    ("volume", "volume"): volume,
    ("volume", "volume_change"): volume_change,
    ("volume", "volume_spike"): volume_spike,
    ("vwap", "vwap_distance"): vwap_distance,
    ("flow", "flow"): flow,
}
