"""What was usual at each event of a stream, by pandas' ``ewm`` over uneven times; computed once per stream."""

from functools import lru_cache

import numpy as np
import pandas as pd

from features.parameters import PARAMETERS as P


def decayed_means(values, stamps):
    """Decayed mean over ``typical_ns`` at each event."""
    halflife = pd.Timedelta(round(P.typical_ns * np.log(2)), "ns")
    return pd.Series(values).ewm(halflife=halflife, times=pd.to_datetime(stamps)).mean().to_numpy()


@lru_cache(maxsize=4)
def trade_sizes(history):
    """Typical trade at each trade, itself counted."""
    return decayed_means(history.qty, history.trade_ns)


@lru_cache(maxsize=4)
def spreads(history):
    """Typical spread at each quote, itself counted."""
    return decayed_means(history.spread, history.quote_ns)


@lru_cache(maxsize=4)
def sizes(history):
    """Typical size at each quote, itself counted."""
    return decayed_means((history.bid_qty + history.ask_qty) / 2, history.quote_ns)


def standing(history, positions):
    """The index of the quote that stands at each of the events ``positions``; -1 before the first."""
    return np.searchsorted(history.quote_at, positions, side="right") - 1


def in_spreads(history, values, quotes):
    """``values`` over the typical spread as of ``quotes``; 0 where that is flat."""
    usual = spreads(history)[quotes]
    return np.where(usual > P.flat, values / np.where(usual > P.flat, usual, 1.0), 0.0)
