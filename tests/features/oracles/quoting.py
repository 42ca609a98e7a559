"""Oracles of ``features.families.quoting`` and ``features.families.touch``."""

from functools import lru_cache

import numpy as np

from features.parameters import PARAMETERS as P
from tests.features.oracles.usual import in_spreads, sizes


@lru_cache(maxsize=4)
def _stood(history):
    """Every quantity as of each quote, by name."""
    bid, ask, usual = history.bid_qty, history.ask_qty, sizes(history)
    ratio = in_spreads(history, history.spread, slice(None))
    imbalance = (bid - ask) / (bid + ask)
    return {
        "imbalance": imbalance,
        "spread": (ratio - 1) / (ratio + 1),
        "microprice": imbalance * ratio / 2,
        "bid_size": (bid - usual) / (bid + usual),
        "ask_size": (ask - usual) / (ask + usual),
    }


def _mean(name):
    def oracle(history, feature, at):
        upto = history.quote_of(at) + 1
        return history.mean_over_time(_stood(history)[name], history.quote_ns, upto, history.now[at], feature.window)

    return oracle


def _change(name):
    def oracle(history, feature, at):
        return _stood(history)[name][history.quote_of(at)] - _mean(name)(history, feature, at)

    return oracle


def quoted(history, values, tau, at):
    return history.decayed(values, history.quote_ns, history.quote_of(at) + 1, history.now[at], tau)


def quote_rate(history, feature, at):
    ones = np.ones(history.mid.size)
    count = quoted(history, ones, feature.window, at)
    expected = quoted(history, ones, P.typical_ns, at) * feature.window / P.typical_ns
    return (count - expected) / (count + expected)


def added(px, qty):
    """What each best level adds to its side after the one before; ``px`` counts upwards the better it is."""
    better, worse = px[1:] > px[:-1], px[1:] < px[:-1]
    return np.append(0.0, np.select([better, worse], [qty[1:], -qty[:-1]], qty[1:] - qty[:-1]))


@lru_cache(maxsize=4)
def _touched(history):
    """What quotes add to bids and asks, and take from them."""
    sides = (added(history.bid_px, history.bid_qty), added(-history.ask_px, history.ask_qty))
    parts = [part for side in sides for part in (np.maximum(side, 0), np.maximum(-side, 0))]
    return np.column_stack(parts)


def _touch(history, feature, at):
    return (*quoted(history, _touched(history), feature.window, at), history.usual_size(at))


def ofi_bid(history, feature, at):
    more, less, _, _, usual = _touch(history, feature, at)
    return (more - less) / (more + less + usual)


def ofi_ask(history, feature, at):
    _, _, more, less, usual = _touch(history, feature, at)
    return (more - less) / (more + less + usual)


def touch_refill(history, feature, at):
    more_bid, less_bid, more_ask, less_ask, usual = _touch(history, feature, at)
    more, less = more_bid + more_ask, less_bid + less_ask
    return (more - less) / (more + less + usual)


def touch_depletion(history, feature, at):
    _, bid, _, ask, usual = _touch(history, feature, at)
    return (ask - bid) / (ask + bid + usual)


ORACLES = {
    ("quoting", "imbalance_mean"): _mean("imbalance"),
    ("quoting", "imbalance_change"): _change("imbalance"),
    ("quoting", "spread_mean"): _mean("spread"),
    ("quoting", "microprice_mean"): _mean("microprice"),
    ("quoting", "bid_size_change"): _change("bid_size"),
    ("quoting", "ask_size_change"): _change("ask_size"),
    ("quote_rate", "quote_rate"): quote_rate,
    ("touch", "ofi_bid"): ofi_bid,
    ("touch", "ofi_ask"): ofi_ask,
    ("touch", "touch_refill"): touch_refill,
    ("touch", "touch_depletion"): touch_depletion,
}
