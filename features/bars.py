"""Bars of the event clock that technical families share: rings of closed bars, and the running bar as the newest.

A bar is a cell of the event clock that held at least one usable quote, made of log mids; a cell without a quote is no
bar. Trades count to the bar that runs when they arrive. What looks back over closed bars is summed afresh whenever a
bar closes, so nothing drifts; per quote only the running bar is entered, in O(1).
"""

from typing import Any, Final

import numpy as np

from features.compose import Compiled, jit, rebound
from features.state import Record

RUNNING: Final = ("bar_open", "bar_high", "bar_low", "bar_close", "bar_qty", "bar_flow", "bar_trades", "previous_close")
RINGS: Final = ("closes", "highs", "lows", "volumes", "flows", "reference_closes")


close: Compiled = None
"""What ``rebound`` fills in: called when a bar closes."""


def bar_fields(lengths: int, ring: int) -> list[tuple[Any, ...]]:
    """Fields of ``lengths`` kinds of bars with ``ring`` (a power of two) closed bars kept of each."""
    fields: list[tuple[Any, ...]] = [("are_bars_stale", np.int64)]
    fields += [(name, np.int64, (lengths,)) for name in ("bar_ns", "bar_end_ns", "bars")]
    fields += [(name, np.float64, (lengths,)) for name in RUNNING]
    return fields + [(name, np.float64, (lengths, ring)) for name in RINGS]


@jit
def back(s: Record, length: int, count: int) -> int:
    """The slot of the ``count``-th closed bar counted from the newest, which is 1."""
    return (s.bars[length] - count) & (s.closes.shape[1] - 1)


@jit
def _start_bar(s: Record, length: int) -> None:
    bar = s.now_ns // s.bar_ns[length]
    s.bar_end_ns[length] = (bar + 1) * s.bar_ns[length]
    s.bar_open[length] = s.bar_high[length] = s.bar_low[length] = s.mid
    s.bar_qty[length] = s.bar_flow[length] = s.bar_trades[length] = 0.0


@jit
def _keep_bar(s: Record, length: int) -> None:
    s.bars[length] += 1
    slot = back(s, length, 1)
    s.closes[length, slot], s.highs[length, slot] = s.bar_close[length], s.bar_high[length]
    s.lows[length, slot], s.volumes[length, slot] = s.bar_low[length], s.bar_qty[length]
    s.flows[length, slot], s.reference_closes[length, slot] = s.bar_flow[length], s.reference_mid


def _take_quote(s: Record) -> None:
    """Close the bars whose cell is over (``close(s, length)`` sees the closed bar as running and newest), go on."""
    for length in range(s.bars.size):
        if s.quotes == 0:
            _start_bar(s, length)
        elif s.now_ns >= s.bar_end_ns[length]:
            _keep_bar(s, length)
            close(s, length)
            s.previous_close[length] = s.bar_close[length]
            _start_bar(s, length)
            s.are_bars_stale = 1
        s.bar_high[length] = max(s.bar_high[length], s.mid)
        s.bar_low[length] = min(s.bar_low[length], s.mid)
        s.bar_close[length] = s.mid
    if s.step != 0.0:
        s.are_bars_stale = 1


@jit
def take_bar_trade(s: Record) -> None:
    s.bar_qty += s.trade_qty
    s.bar_flow += s.trade_qty * s.trade_side
    s.bar_trades += 1.0
    s.are_bars_stale = 1


def bar_quote_hook(close: Compiled) -> Compiled:
    """The quote hook of all bars; ``close(s, length)`` is called when one closes."""
    return jit(rebound(_take_quote, "take_quote", close=close))
