"""One body computes the served features, live and in batch: ``update`` per event, and ``fold``, which loops ``update``.

Each call is O(1): decayed sums need no window, lags and bars live in rings whose tails only move forward. Nothing is
allocated and nothing depends on a wall clock, so the same events give the same bits. ``features.catalogue`` defines the
columns in the order in which they are written here.
"""

from math import log, log1p, sqrt

import numba as nb
import numpy as np
import numpy.typing as npt

from features.bars import record_bar, write_technical
from features.schema import COUNT
from features.state import DTYPE, QUOTES, Record, Row, State, init_state
from features.sums import lagged, record_cell, take_quote, take_trade, usable
from market.events import QUOTE, TRADE, Quote, Trade

__all__ = ["State", "clock_ns", "encode", "fold", "init_state", "update", "warm_up"]

BPS = 1e4

_RECORD = nb.from_dtype(DTYPE)[::1]
_UPDATE = nb.boolean(_RECORD, nb.int64, nb.int64, nb.float64, nb.float64, nb.float64, nb.float64, nb.float64[::1])
_FOLD = nb.int64(
    _RECORD,
    nb.types.Array(nb.int8, 1, "C", readonly=True),
    nb.types.Array(nb.int64, 1, "C", readonly=True),
    nb.types.Array(nb.float64, 2, "C", readonly=True),
    nb.float64[:, ::1],
    nb.int64[::1],
)


@nb.njit
def _write_price(s: Record, out: Row) -> None:
    out[0] = BPS * (s.mid - lagged(s, 2))
    out[1] = BPS * (s.mid - s.quote_mid[(s.quotes - 1 - s.p.return_quotes) % QUOTES])
    out[2] = BPS * (s.mid - s.mid_mean)
    out[3] = BPS * sqrt(s.variance)
    out[4] = BPS * (s.mid - 2.0 * lagged(s, 0) + lagged(s, 1))


@nb.njit
def _write_volume(s: Record, out: Row) -> None:
    out[5:10] = 0.0
    if s.typical_trades <= s.p.empty:
        return
    typical = s.typical_qty / s.typical_trades
    out[5] = log1p(s.volume / typical)
    out[6] = log((s.volume + typical) / (s.volume_base * s.p.volume_ns / s.p.volume_base_ns + typical))
    if s.vwap_trades > s.p.empty:
        out[7] = BPS * (s.mid - s.vwap)
    out[8] = s.flow / (s.flow_qty + typical)
    out[9] = log((s.spike_qty + typical) / (s.typical_qty * s.p.spike_ns / s.p.typical_ns + typical))


@nb.njit
def _relative_spread(s: Record) -> float:
    typical = s.spread / s.quotes_seen
    return log(s.ask_px / s.bid_px) / typical if typical > s.p.flat else 0.0


@nb.njit
def _write_book(s: Record, out: Row) -> None:
    typical = s.size / s.quotes_seen
    spread = _relative_spread(s)
    imbalance = (s.bid_qty - s.ask_qty) / (s.bid_qty + s.ask_qty)
    out[10] = log(s.bid_qty / typical)
    out[11] = log(s.ask_qty / typical)
    out[12] = log(0.5 + 0.5 * spread)
    out[13] = imbalance
    out[14] = 0.5 * spread * imbalance
    out[15] = s.ofi / (s.ofi_size + typical)


@nb.njit(_UPDATE, cache=True)
def update(state: State, kind: int, ts_ns: int, a: float, b: float, c: float, d: float, out: Row) -> bool:
    """Take one event into ``state``; at a decision point write its feature row.

    Parameters
    ----------
    state
        From ``init_state``, of this symbol; changed in place.
    kind, ts_ns
        ``market.events.QUOTE`` or ``TRADE``, and the event clock in ns UTC (made monotone here).
    a, b, c, d
        Quote: bid_px, bid_qty, ask_px, ask_qty. Trade: px, qty, the taker's side (+1 or -1), 0.
    out
        ``float64[25]``, written only when the result is True; never NaN or infinite.

    Returns
    -------
    bool
        True at a decision point: a usable quote after the first ``WARMUP_ROWS``. A quote with bid above ask, and
        any event with a price or quantity that is NaN, zero, negative or absurd, leaves the state as it was.
    """
    s = state[0]
    if kind == TRADE:
        take_trade(s, ts_ns, a, b, c)
        return False
    if kind != QUOTE or not (usable(s, a) and usable(s, b) and usable(s, c) and usable(s, d) and a <= c):
        return False
    take_quote(s, ts_ns, a, b, c, d)
    record_cell(s)
    record_bar(s)
    s.quotes += 1
    if s.quotes <= s.p.warmup_quotes:
        return False
    _write_price(s, out)
    _write_volume(s, out)
    _write_book(s, out)
    write_technical(s, out)
    return True


@nb.njit(_FOLD, cache=True)
def _fold(
    state: State,
    kinds: npt.NDArray[np.int8],
    ts: npt.NDArray[np.int64],
    values: Row,
    rows: Row,
    index: npt.NDArray[np.int64],
) -> int:
    count = 0
    for i in range(kinds.size):
        if update(state, kinds[i], ts[i], values[i, 0], values[i, 1], values[i, 2], values[i, 3], rows[count]):
            index[count] = i
            count += 1
    return count


def fold(
    kinds: npt.NDArray[np.int8],
    ts: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    state: State | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Feature rows of a stretch of events, exactly as ``update`` gives them one by one.

    Parameters
    ----------
    kinds, ts, values
        ``[n]``, ``[n]`` and ``[n, 4]`` in the order received: what ``update`` takes as kind, ts_ns and a to d.
    state
        Continue from here (and change it); None starts afresh.

    Returns
    -------
    rows, index
        ``float64[m, 25]`` and ``int64[m]``: one row per decision point and the position of its event.
    """
    kinds, ts = np.ascontiguousarray(kinds, np.int8), np.ascontiguousarray(ts, np.int64)
    values = np.ascontiguousarray(values, np.float64).reshape(-1, 4)
    room = int((kinds == QUOTE).sum()) + 1
    rows, index = np.empty((room, COUNT)), np.empty(room, np.int64)
    count = _fold(init_state() if state is None else state, kinds, ts, values, rows, index)
    return rows[:count].copy(), index[:count].copy()


def clock_ns(state: State) -> int:
    """The event clock after the last event taken, ns UTC; 0 before the first."""
    return int(state["now_ns"][0])


def encode(event: Quote | Trade) -> tuple[int, int, float, float, float, float]:
    """Arguments of ``update`` after ``state``. The event clock is ``ts_event``, or ``ts_recv`` where there is none."""
    ts_ns = event.ts_event if event.ts_event > 0 else event.ts_recv
    if isinstance(event, Quote):
        return QUOTE, ts_ns, event.bid_px, event.bid_qty, event.ask_px, event.ask_qty
    return TRADE, ts_ns, event.px, event.qty, float(event.side), 0.0


def warm_up() -> None:
    """Load the compiled kernel and run it once on a throwaway state, so that the first live tick pays for nothing."""
    update(init_state(), QUOTE, 0, 1.0, 1.0, 1.0, 1.0, np.empty(COUNT))
    fold(np.zeros(1, np.int8), np.zeros(1, np.int64), np.ones((1, 4)))
