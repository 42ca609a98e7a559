"""Typed market events: what every codec emits and everything above the market room consumes.

Two timestamps stand on every event, integer nanoseconds UTC: ``ts_event`` (the exchange's transaction time, 0 when the
venue sent none) and ``ts_recv`` (ours, as received). Clocks disagree by seconds in real recordings, so neither is ever
used to drop an event. Prices and quantities in features are floats; the book keeps exact decimals (``Depth`` carries
the venue's own strings).
"""

from typing import Final

import msgspec

QUOTE: Final = 0
TRADE: Final = 1


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Best bid and offer. ``update_id`` is the venue's order-book update id."""

    symbol: str
    ts_event: int
    ts_recv: int
    bid_px: float
    bid_qty: float
    ask_px: float
    ask_qty: float
    update_id: int


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One market trade. ``side`` is the taker's: +1 bought, -1 sold. ``book_qty`` excludes retail-price-improvement
    volume.

    ``is_market`` is False for prints that are no trade against the book (insurance fund, ADL): kept, but no signal.
    """

    symbol: str
    ts_event: int
    ts_recv: int
    px: float
    qty: float
    side: int
    trade_id: int
    book_qty: float
    is_market: bool


class Depth(msgspec.Struct, frozen=True, gc=False):
    """A depth snapshot or delta; levels are (price, quantity) in the venue's own decimal strings, quantity absolute, 0
    removes.

    Binance: ``first_id``/``last_id``/``prev_id`` are U/u/pu (``prev_id`` -1 on spot, which has none); a snapshot has
    ``first_id == last_id == lastUpdateId``. A REST snapshot names no symbol: ``symbol`` is then "" until the reader
    fills it.
    """

    symbol: str
    ts_event: int
    ts_recv: int
    is_snapshot: bool
    first_id: int
    last_id: int
    prev_id: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Mark and index price with the running funding rate (a bare ratio per interval) and its next settlement."""

    symbol: str
    ts_event: int
    ts_recv: int
    mark_px: float
    index_px: float
    funding_rate: float
    next_funding_ns: int


class Liquidation(msgspec.Struct, frozen=True, gc=False):
    """A forced order, as far as the venue publishes it. ``side`` is the forced order's: +1 buy, -1 sell."""

    symbol: str
    ts_event: int
    ts_recv: int
    px: float
    qty: float
    side: int


Event = Quote | Trade | Depth | Mark | Liquidation
