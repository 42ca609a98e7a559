"""What each kind of event leaves in the base of the state, before the families see it."""

from math import log, log1p

from features.clock import faded, usable
from features.compose import jit
from features.state import LEVELS, Record, Row


@jit
def fade_usual(s: Record) -> None:
    keep = s.usual_keep
    s.usual_qty, s.usual_trades = faded(s.usual_qty, keep), faded(s.usual_trades, keep)
    s.usual_size, s.usual_spread = faded(s.usual_size, keep), faded(s.usual_spread, keep)
    s.usual_quotes = faded(s.usual_quotes, keep)


@jit
def start_prices(s: Record, px: float) -> None:
    """The first price ever seen is the zero of all logs."""
    if s.events == 0:
        s.ref = log(px)


@jit
def book_change(s: Record, bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> float:
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


@jit
def take_quote(s: Record, bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> None:
    """The quote becomes the current one; ``change`` is its order flow, ``step`` its change of log mid (first: 0)."""
    s.change = book_change(s, bid_px, bid_qty, ask_px, ask_qty) if s.quotes > 0 else 0.0
    s.last_bid_px, s.last_bid_qty, s.last_ask_px, s.last_ask_qty = s.bid_px, s.bid_qty, s.ask_px, s.ask_qty
    s.last_log_bid, s.last_log_ask, s.last_mid, s.last_spread = s.log_bid, s.log_ask, s.mid, s.spread
    if bid_px != s.bid_px or ask_px != s.ask_px:
        s.log_bid = log(bid_px) - s.ref
        s.spread = log1p((ask_px - bid_px) / bid_px)
        s.log_ask = s.log_bid + s.spread
        s.mid = s.log_bid + 0.5 * s.spread
    s.bid_px, s.bid_qty, s.ask_px, s.ask_qty = bid_px, bid_qty, ask_px, ask_qty
    s.step = s.mid - s.last_mid if s.quotes > 0 else 0.0
    s.usual_size += 0.5 * (bid_qty + ask_qty)
    s.usual_spread += s.spread
    s.usual_quotes += 1.0


@jit
def take_trade(s: Record, px: float, qty: float, side: float) -> None:
    if px != s.trade_px:
        s.trade_log = log(px) - s.ref
    s.trade_px, s.trade_qty = px, qty
    s.trade_side = 1.0 if side > 0.0 else (-1.0 if side < 0.0 else 0.0)
    s.usual_qty += qty
    s.usual_trades += 1.0
    s.trades += 1


@jit
def take_mark(s: Record, mark_px: float, index_px: float, funding_rate: float, funding_s: float) -> None:
    """What a frame does not say (NaN) stays as it was."""
    if usable(mark_px):
        s.mark_px = mark_px
    if usable(index_px):
        s.index_px = index_px
    if -1.0 < funding_rate < 1.0:
        s.funding_rate = funding_rate
    if 0.0 <= funding_s < 1e6:
        s.funding_s = funding_s


@jit
def take_reference(s: Record, bid_px: float, ask_px: float) -> None:
    """A quote of the reference symbol: its log mid, and the one before."""
    mid = 0.5 * (log(bid_px) + log(ask_px))
    s.last_reference_mid = mid if s.reference_mid == 0.0 else s.reference_mid
    s.reference_mid = mid


@jit
def take_levels(s: Record, levels: Row) -> bool:
    """``levels[4, 10]``: bid prices, bid quantities, ask prices, ask quantities, best first; absent ones are 0."""
    if not (usable(levels[0, 0]) and usable(levels[2, 0]) and levels[0, 0] < levels[2, 0]):
        return False
    for side in range(4):
        for level in range(LEVELS):
            value = levels[side, level]
            s.depth[side, level] = value if usable(value) else 0.0
    return True
