"""Oracles of ``features.families.bar_flow``, ``features.families.bar_volume`` and ``features.families.profile``."""

import numpy as np
import talib
from scipy import stats

from features.families.profile import BINS, CLIP, VALUE_AREA
from features.parameters import PARAMETERS as P

_ALIKE = 1e-9


def typical(bars):
    return (bars["high"] + bars["low"] + bars["close"]) / 3


# -- the running bar included ------------------------------------------------------------------------------------------


def _recent(history, feature, at):
    """The window's bars, the running one last, and whether anything was traded in them."""
    bars = history.bars(feature.length_ns, at).iloc[-feature.window :]
    return bars, bars["volume"].sum() > 0


def bar_flow(history, feature, at):
    bars, is_traded = _recent(history, feature, at)
    return bars["flow"].sum() / bars["volume"].sum() if is_traded else 0.0


def bar_vwap_distance(history, feature, at):
    bars, is_traded = _recent(history, feature, at)
    return 1e4 * (bars["close"].iloc[-1] - np.average(typical(bars), weights=bars["volume"])) if is_traded else 0.0


def money_flow(history, feature, at):
    bars, is_traded = _recent(history, feature, at)
    reach = (bars["high"] - bars["low"]).where(lambda x: x > P.flat)
    place = ((2 * bars["close"] - bars["high"] - bars["low"]) / reach).fillna(0.0)
    return np.average(place, weights=bars["volume"]) if is_traded else 0.0


# -- closed bars -------------------------------------------------------------------------------------------------------


def _closed(history, feature, at, more=0):
    return history.bars(feature.length_ns, at).iloc[:-1].iloc[-feature.window - more :]


def _uneven(volume):
    return volume.size > 0 and volume.std() > _ALIKE * volume.mean()


def bar_volume_z(history, feature, at):
    volume = _closed(history, feature, at)["volume"].to_numpy()
    return stats.zscore(volume)[-1] if _uneven(volume) else 0.0


def bar_volume(history, feature, at):
    volume = _closed(history, feature, at)["volume"].to_numpy()
    if volume.sum() == 0:
        return 0.0
    return (volume[-1] - volume.mean()) / (volume[-1] + volume.mean())


def _ways(prices):
    """Whether each price is above (1), below (-1) or at (0) the one before it."""
    change = np.diff(prices)
    return np.where(np.abs(change) > P.flat, np.sign(change), 0.0)


def money_flow_index(history, feature, at):
    bars = _closed(history, feature, at, 1)
    if len(bars) < 2:
        return 50.0
    volume, ways = bars["volume"].to_numpy()[1:], _ways(typical(bars))
    up, down = volume[ways > 0].sum(), volume[ways < 0].sum()
    return 100 * up / (up + down) if up + down > 0 else 50.0


def obv_slope(history, feature, at):
    bars = _closed(history, feature, at, 1)
    volume = bars["volume"].to_numpy()[1:]
    if volume.size < 2 or volume.sum() == 0:
        return 0.0
    # levels of closes that differ by what counts, so that TA-Lib's signs are those of the definition
    levels = np.append(0.0, np.cumsum(_ways(bars["close"])))
    balance = talib.OBV(levels, np.append(0.0, volume))[1:]
    return stats.linregress(np.arange(volume.size), balance).slope / volume.mean()


def volume_price_correlation(history, feature, at):
    bars = _closed(history, feature, at)
    volume, close = bars["volume"].to_numpy(), bars["close"].to_numpy()
    if not _uneven(volume) or close.std() <= P.flat:
        return 0.0
    return stats.pearsonr(volume, close).statistic


# -- volume profile ----------------------------------------------------------------------------------------------------


def profile_of(bars):
    """Point of control, bottom and top of the value area; None without volume or range."""
    low, high, volume = bars["low"].min(), bars["high"].max(), bars["volume"].to_numpy()
    if volume.sum() == 0 or not high - low > P.flat:
        return None
    edges = np.linspace(low, high, BINS + 1)
    centers = (edges[1:] + edges[:-1]) / 2
    # a hat function per bin: what interpolation would weigh its centre with
    shares = np.array([np.interp(typical(bars), centers, hat) for hat in np.eye(BINS)])
    bins = shares @ volume
    first, last = _value_area(bins)
    return centers[int(np.argmax(bins))], edges[first], edges[last + 1]


def _value_area(bins):
    first = last = int(np.argmax(bins))
    while bins[first : last + 1].sum() < VALUE_AREA * bins.sum():
        below, above = (bins[i] if 0 <= i < BINS else -1.0 for i in (first - 1, last + 1))
        first, last = first - (below >= above), last + (above >= below)
    return first, last


def _profiled(compute):
    """An oracle of ``compute(mid, point of control, bottom, top)``."""

    def oracle(history, feature, at):
        bars = history.bars(feature.length_ns, at)
        if len(bars) == 1:
            return 0.0
        key = ("profile", feature.length_ns, feature.window)
        found = history.remember(at, key, lambda: profile_of(_closed(history, feature, at)))
        return 0.0 if found is None else compute(bars["close"].iloc[-1], *found)

    return oracle


def value_position(mid, _poc, bottom, top):
    return np.clip(2 * (mid - bottom) / (top - bottom) - 1, -CLIP, CLIP)


ORACLES = {
    ("bar_flow", "bar_flow"): bar_flow,
    ("bar_flow", "bar_vwap_distance"): bar_vwap_distance,
    ("bar_flow", "money_flow"): money_flow,
    ("bar_volume", "bar_volume_z"): bar_volume_z,
    ("bar_volume", "bar_volume"): bar_volume,
    ("bar_volume", "money_flow_index"): money_flow_index,
    ("bar_volume", "obv_slope"): obv_slope,
    ("bar_volume", "volume_price_correlation"): volume_price_correlation,
    ("profile", "poc_distance"): _profiled(lambda mid, poc, bottom, top: 1e4 * (mid - poc)),
    ("profile", "value_high_distance"): _profiled(lambda mid, poc, bottom, top: 1e4 * (top - mid)),
    ("profile", "value_low_distance"): _profiled(lambda mid, poc, bottom, top: 1e4 * (mid - bottom)),
    ("profile", "value_width"): _profiled(lambda mid, poc, bottom, top: 1e4 * (top - bottom)),
    ("profile", "value_position"): _profiled(value_position),
}
