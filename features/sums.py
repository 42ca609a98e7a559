"""The event clock, the sums that decay with it, and the ring of past mids: what events leave behind in the state."""

from math import exp, log

import numba as nb

from features.state import CELLS, QUOTES, Record

TINY = 1e-200


@nb.njit
def _fade(total: float, keep: float) -> float:
    """``total`` decayed; flushed to 0 before denormal numbers make every later event slow."""
    faded = total * keep
    return faded if abs(faded) > TINY else 0.0


@nb.njit
def _elapse(s: Record, ts_ns: int) -> None:
    """Move the event clock. Small steps back are held; a large one is a clock set anew, and is followed from there."""
    now = ts_ns + s.offset_ns
    if s.events == 0:
        s.now_ns = now
    elif now < s.now_ns - s.p.rebase_ns:
        s.offset_ns = s.now_ns - ts_ns
    s.events += 1
    if now <= s.now_ns:
        return
    dt = float(now - s.now_ns)
    s.now_ns = now
    s.mid_mean += (s.mid - s.mid_mean) * (1.0 - exp(-dt / s.p.momentum_ns))
    s.variance = _fade(s.variance, exp(-dt / s.p.volatility_ns))
    s.volume = _fade(s.volume, exp(-dt / s.p.volume_ns))
    s.volume_base = _fade(s.volume_base, exp(-dt / s.p.volume_base_ns))
    s.spike_qty = _fade(s.spike_qty, exp(-dt / s.p.spike_ns))
    keep = exp(-dt / s.p.vwap_ns)
    s.vwap_qty, s.vwap_trades = _fade(s.vwap_qty, keep), _fade(s.vwap_trades, keep)
    keep = exp(-dt / s.p.ofi_ns)
    s.ofi, s.ofi_size = _fade(s.ofi, keep), _fade(s.ofi_size, keep)
    keep = exp(-dt / s.p.flow_ns)
    s.flow, s.flow_qty = _fade(s.flow, keep), _fade(s.flow_qty, keep)
    keep = exp(-dt / s.p.typical_ns)
    s.typical_qty, s.typical_trades = _fade(s.typical_qty, keep), _fade(s.typical_trades, keep)
    s.size, s.spread, s.quotes_seen = _fade(s.size, keep), _fade(s.spread, keep), _fade(s.quotes_seen, keep)


@nb.njit
def usable(s: Record, value: float) -> bool:
    """False for NaN, infinities, zero and numbers no market quotes."""
    return s.p.min_value < value < s.p.max_value


@nb.njit
def _log_price(s: Record, px: float) -> float:
    """Log of ``px`` over the first price seen: small numbers keep small rounding errors at any price level."""
    return log(px) - s.ref


@nb.njit
def take_trade(s: Record, ts_ns: int, px: float, qty: float, side: float) -> None:
    if not (usable(s, px) and usable(s, qty)):
        return
    if s.events == 0:
        s.ref = log(px)
    _elapse(s, ts_ns)
    s.vwap_qty += qty
    s.vwap_trades += 1.0
    s.vwap += (_log_price(s, px) - s.vwap) * (qty / s.vwap_qty)
    if side > 0.0:
        s.flow += qty
    elif side < 0.0:
        s.flow -= qty
    s.flow_qty += qty
    s.volume += qty
    s.volume_base += qty
    s.spike_qty += qty
    s.typical_qty += qty
    s.typical_trades += 1.0


@nb.njit
def _book_change(s: Record, bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> float:
    """Order-flow imbalance of one quote after another (Cont, Kukanov and Stoikov 2014)."""
    change = 0.0
    if bid_px >= s.bid_px:
        change += bid_qty
    if bid_px <= s.bid_px:
        change -= s.bid_qty
    if ask_px <= s.ask_px:
        change -= ask_qty
    if ask_px >= s.ask_px:
        change += s.ask_qty
    return change


@nb.njit
def record_cell(s: Record) -> None:
    """Keep each quote's log mid, and the last one of each grid cell; lag tails move to the newest cell old enough."""
    s.quote_mid[s.quotes % QUOTES] = s.mid
    cell = s.now_ns // s.p.grid_ns
    if s.quotes == 0 or cell != s.cell[s.head % CELLS]:
        s.head += 1
        if s.quotes == 0:
            s.tails[:] = s.head
    s.cell[s.head % CELLS] = cell
    s.cell_mid[s.head % CELLS] = s.mid
    for lag in range(s.tails.size):
        target = cell - s.lag_cells[lag]
        while s.tails[lag] < s.head and s.cell[(s.tails[lag] + 1) % CELLS] <= target:
            s.tails[lag] += 1


@nb.njit
def lagged(s: Record, lag: int) -> float:
    """Log mid in force a lag of ``features.state.LAGS`` ago, to the grid; the oldest cell while none is old enough."""
    return s.cell_mid[s.tails[lag] % CELLS]


@nb.njit
def take_quote(s: Record, ts_ns: int, bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> None:
    """Enter one usable quote into the state."""
    if s.events == 0:
        s.ref = log(bid_px)
    _elapse(s, ts_ns)
    mid = 0.5 * (_log_price(s, bid_px) + _log_price(s, ask_px))
    if s.quotes == 0:
        s.mid_mean = mid
    else:
        s.variance += (mid - s.mid) ** 2
        change = _book_change(s, bid_px, bid_qty, ask_px, ask_qty)
        s.ofi += change
        s.ofi_size += abs(change)
    s.mid = mid
    s.bid_px, s.bid_qty, s.ask_px, s.ask_qty = bid_px, bid_qty, ask_px, ask_qty
    s.size += 0.5 * (bid_qty + ask_qty)
    s.spread += log(ask_px / bid_px)
    s.quotes_seen += 1.0
