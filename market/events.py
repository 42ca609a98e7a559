"""Typed market events: what every codec emits and everything above the market room consumes.

Two timestamps stand on every event, integer nanoseconds UTC: ``ts_event`` (the exchange's transaction time, 0 when the
venue sent none) and ``ts_recv`` (ours, as received). Clocks disagree by seconds in real recordings, so neither is ever
used to drop an event. Prices and quantities in features are floats; the book keeps exact decimals (``Depth`` carries
the venue's own strings).
"""

from math import isnan
from typing import Final

import msgspec

QUOTE: Final = 0
TRADE: Final = 1


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Best bid and offer. ``update_id`` is the id that orders it among depth events of the same symbol.

    Binance ``u``, OKX ``seqId`` (-1 on the tickers channel, which has none), Bybit ``seq``.
    """

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

    ``is_market`` is False for prints that are no trade against the book (insurance fund, ADL, block trades): kept, but
    no signal. ``trade_id`` tells trades of one symbol apart; a venue that names them by UUID (Bybit) gives a 63-bit
    digest of it, which does not count up.
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
    fills it. OKX: ``first_id == last_id == seqId``, ``prev_id`` is prevSeqId (all -1 where a recording has none).
    Bybit: ``first_id == last_id == u``, ``prev_id`` -1, and ``seq`` orders depths of different levels.
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
    seq: int = -1

    @property
    def quote_id(self) -> int:
        """The event's place on the scale of ``Quote.update_id``."""
        return self.last_id if self.seq < 0 else self.seq


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Mark and index price with the running funding rate (a bare ratio per interval) and its next settlement.

    What a frame does not say is NaN (``next_funding_ns``: 0): OKX sends mark price and funding apart, Bybit only what
    changed.
    """

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


class OpenInterest(msgspec.Struct, frozen=True, gc=False):
    """Open contracts of one symbol: in the venue's own unit of quantity, and in USD. NaN where the frame is silent."""

    symbol: str
    ts_event: int
    ts_recv: int
    open_interest: float
    open_interest_usd: float


Event = Quote | Trade | Depth | Mark | Liquidation | OpenInterest


def whole(mark: Mark, before: Mark | None) -> Mark:
    """A mark with what it leaves out (NaN, 0) taken from the one before; venues that send changes send no more.

    >>> heard = Mark("X", 1, 1, 7.5, float("nan"), 0.0001, 9)
    >>> now = whole(Mark("X", 2, 2, float("nan"), 7.4, float("nan"), 0), heard)
    >>> now.ts_event, now.mark_px, now.index_px, now.funding_rate, now.next_funding_ns
    (2, 7.5, 7.4, 0.0001, 9)
    """
    if before is None:
        return mark
    return msgspec.structs.replace(
        mark,
        mark_px=before.mark_px if isnan(mark.mark_px) else mark.mark_px,
        index_px=before.index_px if isnan(mark.index_px) else mark.index_px,
        funding_rate=before.funding_rate if isnan(mark.funding_rate) else mark.funding_rate,
        next_funding_ns=mark.next_funding_ns or before.next_funding_ns,
    )
