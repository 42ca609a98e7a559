"""Oracles of ``features.families.bar_volatility``, ``bar_patterns`` and ``directional``: closed bars, as they stand."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import talib
from scipy import stats

from features.parameters import PARAMETERS as P
from tests.features.oracles.technical import smoothed, true_range

BPS = 1e4
SPAN = 60


def _closed(history, feature, at):
    return history.bars(feature.length_ns, at).iloc[:-1]


def _returns(history, feature, at):
    return np.diff(_closed(history, feature, at)["close"].to_numpy())


# -- moments and reaches -----------------------------------------------------------------------------------------------


def close_volatility(history, feature, at):
    returns = _returns(history, feature, at)[-feature.window :]
    return BPS * returns.std() if returns.size else 0.0


def skewness(history, feature, at):
    returns = _returns(history, feature, at)[-feature.window :]
    return stats.skew(returns) if returns.size and returns.std() > P.flat else 0.0


def kurtosis(history, feature, at):
    returns = _returns(history, feature, at)[-feature.window :]
    return stats.kurtosis(returns) if returns.size and returns.std() > P.flat else 0.0


def _reach(term):
    def oracle(history, feature, at):
        bars = _closed(history, feature, at).iloc[-feature.window :]
        terms = term(bars["open"], bars["high"], bars["low"], bars["close"])
        return BPS * np.sqrt(max(terms.mean(), 0.0)) if len(bars) else 0.0

    return oracle


def _parkinson(o, h, l, c):  # noqa: E741
    return (h - l) ** 2 / (4 * np.log(2))


def _garman_klass(o, h, l, c):  # noqa: E741
    return (h - l) ** 2 / 2 - (2 * np.log(2) - 1) * (c - o) ** 2


def _rogers_satchell(o, h, l, c):  # noqa: E741
    return (h - c) * (h - o) + (l - c) * (l - o)


# -- patterns ----------------------------------------------------------------------------------------------------------


def _mean_from_zero(values):
    """Exponential mean begun at 0: a zero stands before the values."""
    return pd.Series(np.append(0.0, values)).ewm(span=SPAN, adjust=False).mean().iloc[-1]


def autocorrelation(history, feature, at):
    returns, lag = _returns(history, feature, at), feature.window
    earlier = np.append(np.zeros(lag), returns)[: returns.size]
    square = _mean_from_zero(returns**2)
    return _mean_from_zero(returns * earlier) / square if square > P.flat**2 else 0.0


def variance_ratio(history, feature, at):
    closes, over = _closed(history, feature, at)["close"].to_numpy(), feature.window
    whole = _mean_from_zero((closes[over:] - closes[:-over]) ** 2)
    parts = _mean_from_zero(over * np.diff(closes)[over - 1 :] ** 2)
    return (whole - parts) / (whole + parts) if whole + parts > P.flat**2 else 0.0


def sign_entropy(history, feature, at):
    returns = _returns(history, feature, at)
    signs = np.where(np.abs(returns) > P.flat, np.sign(returns), 0.0)
    words = list(pairwise(signs))[-feature.window :]
    return stats.entropy(list(Counter(words).values()), base=9) if words else 0.0


# -- directional movement and CCI --------------------------------------------------------------------------------------


def _movements(history, feature, at):
    """Upward and downward movement and true range of every closed bar but the first."""
    return history.remember(at, ("movements", feature.length_ns), lambda: _moved(_closed(history, feature, at)))


def _moved(bars):
    up, down = bars["high"].diff(), -bars["low"].diff()
    plus, minus = up.where((up > down) & (up > 0), 0.0), down.where((down > up) & (down > 0), 0.0)
    return [values.to_numpy()[1:] for values in (plus, minus, true_range(bars))]


def _running(values, window):
    """Wilder's smoothing after every value."""
    head = np.cumsum(values[:window]) / np.arange(1, min(window, values.size) + 1)
    if values.size <= window:
        return head
    tail = pd.Series(np.append(head[-1], values[window:])).ewm(alpha=1 / window, adjust=False).mean()
    return np.append(head, tail.to_numpy()[1:])


def _indicator(which):
    def oracle(history, feature, at):
        movements = _movements(history, feature, at)
        if not movements[0].size:
            return 0.0
        reach = smoothed(movements[2], feature.window)
        return 100 * smoothed(movements[which], feature.window) / reach if reach > P.flat else 0.0

    return oracle


def adx(history, feature, at):
    plus, minus, _ = (_running(values, feature.window) for values in _movements(history, feature, at))
    if not plus.size:
        return 0.0
    moved = plus + minus > P.flat
    strength = np.where(moved, 100 * np.abs(plus - minus) / np.where(moved, plus + minus, 1.0), 0.0)
    return smoothed(strength, feature.window)


def cci(history, feature, at):
    """``talib.CCI`` where there are enough bars and they are not flat."""
    bars = _closed(history, feature, at)
    if bars.empty:
        return 0.0
    prices = bars[["high", "low", "close"]].mean(axis=1).to_numpy()[-feature.window :]
    distance = np.abs(prices - prices.mean()).mean()
    if distance <= P.flat:
        return 0.0
    if len(bars) >= feature.window:
        return talib.CCI(*(bars[name].to_numpy() for name in ("high", "low", "close")), feature.window)[-1] / 100
    return (prices[-1] - prices.mean()) / (1.5 * distance)


ORACLES = {
    ("bar_returns", "close_volatility"): close_volatility,
    ("bar_returns", "skewness"): skewness,
    ("bar_returns", "kurtosis"): kurtosis,
    ("bar_reaches", "parkinson"): _reach(_parkinson),
    ("bar_reaches", "garman_klass"): _reach(_garman_klass),
    ("bar_reaches", "rogers_satchell"): _reach(_rogers_satchell),
    ("autocorrelation", "autocorrelation"): autocorrelation,
    ("variance_ratio", "variance_ratio"): variance_ratio,
    ("sign_entropy", "sign_entropy"): sign_entropy,
    ("dmi", "plus_di"): _indicator(0),
    ("dmi", "minus_di"): _indicator(1),
    ("dmi", "adx"): adx,
    ("cci", "cci"): cci,
}
