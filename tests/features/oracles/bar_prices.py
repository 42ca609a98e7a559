"""Oracles of ``features.families.bar_prices`` and ``channels``: TA-Lib and SciPy where they say the same."""

import numpy as np
import pandas as pd
import talib
from scipy import stats

from features.parameters import PARAMETERS as P
from tests.features.oracles.technical import smoothed, true_range

BPS = 1e4


def _closes(history, feature, at):
    return history.bars(feature.length_ns, at)["close"].to_numpy()


def roc(history, feature, at):
    """``talib.MOM`` of the log closes where there are enough."""
    closes = _closes(history, feature, at)
    if closes.size > feature.window:
        return BPS * talib.MOM(closes, feature.window)[-1]
    return BPS * (closes[-1] - closes[0])


def sma_distance(history, feature, at):
    closes = pd.Series(_closes(history, feature, at))
    return BPS * (closes - closes.rolling(feature.window, min_periods=1).mean()).iloc[-1]


def trix(history, feature, at):
    mean = pd.Series(_closes(history, feature, at))
    for _ in range(3):
        mean = mean.ewm(span=feature.window, adjust=False).mean()
    return BPS * mean.diff().fillna(0.0).iloc[-1]


def cmo(history, feature, at):
    changes = np.diff(_closes(history, feature, at))[-feature.window :]
    rises, falls = changes[changes > 0].sum(), -changes[changes < 0].sum()
    return (rises - falls) / (rises + falls) if rises + falls > P.flat else 0.0


def slope(history, feature, at):
    """``talib.LINEARREG_SLOPE`` where there are enough bars, SciPy's line before."""
    closes = _closes(history, feature, at)
    if closes.size >= feature.window:
        return BPS * talib.LINEARREG_SLOPE(closes, feature.window)[-1]
    return BPS * stats.linregress(np.arange(closes.size), closes).slope if closes.size > 1 else 0.0


def slope_fit(history, feature, at):
    closes = _closes(history, feature, at)[-feature.window :]
    if closes.std() <= P.flat:
        return 0.0
    return stats.pearsonr(np.arange(closes.size), closes).statistic ** 2


def _highs_lows(history, feature, at, bars):
    window = history.bars(feature.length_ns, at).iloc[-bars:]
    return window["high"].to_numpy(), window["low"].to_numpy(), window["close"].iloc[-1]


def donchian_width(history, feature, at):
    highs, lows, _ = _highs_lows(history, feature, at, feature.window)
    return BPS * (highs.max() - lows.min())


def drawdown(history, feature, at):
    highs, _, close = _highs_lows(history, feature, at, feature.window)
    return BPS * (highs.max() - close)


def runup(history, feature, at):
    _, lows, close = _highs_lows(history, feature, at, feature.window)
    return BPS * (close - lows.min())


def _aroon(history, feature, at):
    """Down and up: ``talib.AROON`` where there are enough bars."""
    highs, lows, _ = _highs_lows(history, feature, at, feature.window + 1)
    if highs.size > feature.window:
        down, up = talib.AROON(highs, lows, feature.window)
        return down[-1], up[-1]
    ages = np.argmin(lows[::-1]), np.argmax(highs[::-1])
    return tuple(100 * (1 - age / feature.window) for age in ages)


def aroon_up(history, feature, at):
    return _aroon(history, feature, at)[1]


def aroon_down(history, feature, at):
    return _aroon(history, feature, at)[0]


def aroon_oscillator(history, feature, at):
    down, up = _aroon(history, feature, at)
    return up - down


def _above_mean(history, feature, at):
    closes = pd.Series(_closes(history, feature, at))
    return (closes - closes.ewm(span=feature.window, adjust=False).mean()).iloc[-1]


def ema_distance(history, feature, at):
    return BPS * _above_mean(history, feature, at)


def keltner_position(history, feature, at):
    bars = history.bars(feature.length_ns, at)
    reach = smoothed(true_range(bars), feature.window)
    return _above_mean(history, feature, at) / (2 * reach) if reach > P.flat else 0.0


ORACLES = {
    ("roc", "roc"): roc,
    ("sma", "sma_distance"): sma_distance,
    ("trix", "trix"): trix,
    ("cmo", "cmo"): cmo,
    ("line", "slope"): slope,
    ("line", "slope_fit"): slope_fit,
    ("channel", "donchian_width"): donchian_width,
    ("channel", "drawdown"): drawdown,
    ("channel", "runup"): runup,
    ("aroon", "aroon_up"): aroon_up,
    ("aroon", "aroon_down"): aroon_down,
    ("aroon", "aroon_oscillator"): aroon_oscillator,
    ("keltner", "ema_distance"): ema_distance,
    ("keltner", "keltner_position"): keltner_position,
}
