"""Oracles of ``features.families.technical``: whole series of bars by pandas' own ``rolling`` and ``ewm``."""

import numpy as np
import pandas as pd

from features.parameters import PARAMETERS as P

BPS = 1e4


def smoothed(values, window):
    """Wilder's smoothing of a whole series: the mean of the first ``window`` values, then weight ``1 / window``."""
    values = np.asarray(values)
    if values.size <= window:
        return values.mean()
    seeded = np.append(values[:window].mean(), values[window:])
    return pd.Series(seeded).ewm(alpha=1 / window, adjust=False).mean().iloc[-1]


def rsi(history, feature, at):
    change = np.diff(history.bars(feature.length_ns, at)["close"])
    if not change.size:
        return 50.0
    rise, fall = smoothed(change.clip(min=0), feature.window), smoothed((-change).clip(min=0), feature.window)
    return 100 * rise / (rise + fall) if rise + fall > P.flat else 50.0


def _macd(history, feature, at):
    close, (fast, slow, _) = history.bars(feature.length_ns, at)["close"], feature.window
    return close.ewm(span=fast, adjust=False).mean() - close.ewm(span=slow, adjust=False).mean()


def macd(history, feature, at):
    return BPS * _macd(history, feature, at).iloc[-1]


def macd_signal(history, feature, at):
    return BPS * _macd(history, feature, at).ewm(span=feature.window[2], adjust=False).mean().iloc[-1]


def _band(history, feature, at):
    closes = history.bars(feature.length_ns, at)["close"].to_numpy()[-feature.window :]
    return closes[-1] - closes.mean(), closes.std()


def bollinger_position(history, feature, at):
    distance, deviation = _band(history, feature, at)
    return distance / (2 * deviation) if deviation > P.flat else 0.0


def bollinger_width(history, feature, at):
    return BPS * 4 * _band(history, feature, at)[1]


def _position(history, feature, at):
    """Close within the range of the last bars, 0 to 1, for every bar; a half in the first bar and where flat."""
    bars = history.bars(feature.length_ns, at)
    high = bars["high"].rolling(feature.window, min_periods=1).max()
    low = bars["low"].rolling(feature.window, min_periods=1).min()
    inside = ((bars["close"] - low) / (high - low).where(high - low > P.flat)).fillna(0.5)
    inside.iloc[0] = 0.5
    return inside


def _stochastic(history, feature, at):
    """K and D of every bar: a raw K of 50 stands before the first."""
    before = pd.Series([50.0, 50.0])
    k = pd.concat([before, 100 * _position(history, feature, at)]).rolling(3).mean().dropna()
    return k, pd.concat([before, k]).rolling(3).mean()


def stochastic_k(history, feature, at):
    return _stochastic(history, feature, at)[0].iloc[-1]


def stochastic_d(history, feature, at):
    return _stochastic(history, feature, at)[1].iloc[-1]


def williams_r(history, feature, at):
    return 100 * (_position(history, feature, at).iloc[-1] - 1)


def true_range(bars):
    """High less low, widened to the close before."""
    before = bars["close"].shift()
    return np.fmax(bars["high"], before) - np.fmin(bars["low"], before)


def atr(history, feature, at):
    return BPS * smoothed(true_range(history.bars(feature.length_ns, at)), feature.window)


ORACLES = {
    ("rsi", "rsi"): rsi,
    ("macd", "macd"): macd,
    ("macd", "macd_signal"): macd_signal,
    ("bollinger", "bollinger_position"): bollinger_position,
    ("bollinger", "bollinger_width"): bollinger_width,
    ("stochastic", "stochastic_k"): stochastic_k,
    ("stochastic", "stochastic_d"): stochastic_d,
    ("williams", "williams_r"): williams_r,
    ("atr", "atr"): atr,
}
