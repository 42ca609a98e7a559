"""Oracles of ``features.families.now``."""

from features.parameters import PARAMETERS as P


def bid_size(history, _feature, at):
    return _against(history.bid_qty[history.quote_of(at)], history.usual_size(at))


def ask_size(history, _feature, at):
    return _against(history.ask_qty[history.quote_of(at)], history.usual_size(at))


def _against(value, usual):
    return (value - usual) / (value + usual)


def relative_spread(history, at):
    """The spread over what is usual, 0 where that is nothing."""
    usual = history.usual_spread(at)
    return history.spread[history.quote_of(at)] / usual if usual > P.flat else 0.0


def spread_relative(history, _feature, at):
    return _against(relative_spread(history, at), 1.0)


def imbalance(history, _feature, at):
    quote = history.quote_of(at)
    bid, ask = history.bid_qty[quote], history.ask_qty[quote]
    return (bid - ask) / (bid + ask)


def microprice_relative(history, feature, at):
    return relative_spread(history, at) * imbalance(history, feature, at) / 2


ORACLES = {
    ("now", "bid_size"): bid_size,
    ("now", "ask_size"): ask_size,
    ("now", "spread_relative"): spread_relative,
    ("now", "imbalance"): imbalance,
    ("now", "microprice_relative"): microprice_relative,
}
