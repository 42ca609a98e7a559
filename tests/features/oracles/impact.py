"""Oracles of ``features.families.impact``."""

from functools import lru_cache

import numpy as np

from features.families.impact import CLIP, NO_CORRELATION
from features.parameters import PARAMETERS as P
from tests.features.oracles.tape import traded
from tests.features.oracles.usual import in_spreads, standing, trade_sizes


def illiquidity(history, feature, at):
    path = history.decayed(
        np.abs(history.step), history.quote_ns, history.quote_of(at) + 1, history.now[at], feature.window
    )
    path /= max(history.usual_spread(at), P.flat)
    usual = history.usual_trade(at)
    volume = traded(history, history.qty, feature.window, at) / usual if usual > 0 else 0.0
    return path / (path + 1 + volume)


@lru_cache(maxsize=4)
def _quoted(history):
    """Which trades had a quote before them, and that quote."""
    quotes = standing(history, history.trade_at)
    return np.flatnonzero(quotes >= 0), quotes[quotes >= 0]


@lru_cache(maxsize=4)
def _pairs(history):
    """x and y of trades that follow one another, and when the second of them was."""
    trades, quotes = _quoted(history)
    flow = np.clip(history.side[trades] * history.qty[trades] / trade_sizes(history)[trades], -CLIP, CLIP)
    moves = in_spreads(history, np.diff(history.mid[quotes]), quotes[1:])
    return flow[:-1], np.clip(moves, -CLIP, CLIP), history.trade_ns[trades[1:]]


def _products(history, feature, at):
    x, y, stamps = _pairs(history)
    upto = max(np.searchsorted(_quoted(history)[0], history.upto(history.trade_at, at)) - 1, 0)
    weights = np.exp((stamps[:upto] - stamps[:upto].max(initial=0)) / feature.window)
    return weights @ (x * y)[:upto], weights @ (x * x)[:upto], weights @ (y * y)[:upto]


def price_impact(history, feature, at):
    xy, xx, _ = _products(history, feature, at)
    return xy / (xx + 1)


def impact_correlation(history, feature, at):
    xy, xx, yy = _products(history, feature, at)
    return xy / np.sqrt(xx * yy) if xx * yy > NO_CORRELATION else 0.0


@lru_cache(maxsize=4)
def _paid(history):
    trades, quotes = _quoted(history)
    paid = in_spreads(history, 2 * history.side[trades] * (history.log_px[trades] - history.mid[quotes]), quotes)
    return paid / (1 + np.abs(paid)), history.trade_ns[trades]


def spread_paid(history, feature, at):
    paid, stamps = _paid(history)
    upto = np.searchsorted(_quoted(history)[0], history.upto(history.trade_at, at))
    if upto == 0:
        return 0.0
    return np.average(paid[:upto], weights=np.exp((stamps[:upto] - stamps[upto - 1]) / feature.window))


def _vwap_distance(history, feature, at, side):
    trades = np.flatnonzero(history.side[: history.upto(history.trade_at, at)] * side > 0)
    if not trades.size:
        return 0.0
    stamps = history.trade_ns[trades]
    weights = history.qty[trades] * np.exp((stamps - stamps[-1]) / feature.window)
    return 1e4 * side * (history.mid[history.quote_of(at)] - np.average(history.log_px[trades], weights=weights))


def buy_vwap_distance(history, feature, at):
    return _vwap_distance(history, feature, at, 1)


def sell_vwap_distance(history, feature, at):
    return _vwap_distance(history, feature, at, -1)


ORACLES = {
    ("illiquidity", "illiquidity"): illiquidity,
    ("impact", "price_impact"): price_impact,
    ("impact", "impact_correlation"): impact_correlation,
    ("spread_paid", "spread_paid"): spread_paid,
    ("takers", "buy_vwap_distance"): buy_vwap_distance,
    ("takers", "sell_vwap_distance"): sell_vwap_distance,
}
