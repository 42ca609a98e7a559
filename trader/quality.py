"""Live rules of data quality, per symbol: streaming, O(1) per event, functions of journaled frames alone.

| code | observed | limit |
|---|---|---|
| PRICE_JUMP | move of the mid since the quote before, bps | ``jump_ratio`` usual moves over that time, or spreads |
| VOLUME_SPIKE | quantity of about the last second | ``volume_ratio`` times the usual, ``volume_trades`` usual trades |
| WIDE_SPREAD | spread, bps | ``spread_ratio`` times the usual, at least ``spread_floor_bps`` |
| EVENT_ORDER | ms by which an event is older than the one before it in its stream | ``order_tolerance_ms`` |
| STALE_STREAM | seconds without a quote or depth event | ``stale_ratio`` usual pauses, at least ``stale_floor_s`` |
| CROSSED_BOOK | bid minus ask of quote or book, bps | 0 |
| BROKEN_QUOTE | a price or quantity that is NaN, infinite, zero or negative | 0 |
| DUPLICATE_TRADES | repeated trade ids lately (repeats are dropped; a few after a reconnect are normal) | ``repeats`` |
| MISSING_TRADES | trade ids left out at once, where the venue counts by one | 0 |

A rule that trips makes its symbol suspect for ``suspect_s`` of our clock, and counts as one fault until that is over.
"""

from math import exp, inf, log, nan, sqrt
from typing import Final

import msgspec

from market.book import Book
from market.events import Depth, Quote, Trade
from trader.streaming import SECOND_NS, ewma

CODES: Final = (
    "PRICE_JUMP",
    "VOLUME_SPIKE",
    "WIDE_SPREAD",
    "EVENT_ORDER",
    "STALE_STREAM",
    "CROSSED_BOOK",
    "BROKEN_QUOTE",
    "DUPLICATE_TRADES",
    "MISSING_TRADES",
)
ALARMS: Final = {code: f"data_{code.lower()}" for code in CODES}
COUNTING: Final = frozenset({"binance", "binanceusdm", "binancecoinm"})
"""Venues whose trade ids of one stream count up by one."""


class QualityParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds of all rules; the table above says how each is used. Ratios are bare numbers."""

    suspect_s: float = 5.0
    average_s: float = 60.0
    warmup_s: float = 10.0
    jump_ratio: float = 12.0
    jump_spreads: float = 10.0
    jump_floor_bps: float = 10.0
    jump_grain_s: float = 0.1
    volume_s: float = 1.0
    volume_ratio: float = 50.0
    volume_trades: float = 500.0
    spread_ratio: float = 20.0
    spread_floor_bps: float = 10.0
    order_tolerance_ms: float = 1_000.0
    stale_ratio: float = 50.0
    stale_floor_s: float = 2.0
    repeats: float = 50.0


PARAMS: Final = QualityParams()


class Tripped(msgspec.Struct, frozen=True):
    """A rule that tripped at reading ``ts_ns`` of our clock, with what it saw and what it allows."""

    ts_ns: int
    code: str
    observed: float
    limit: float

    def __str__(self) -> str:
        return f"{self.code}: observed={self.observed:g}, limit={self.limit:g}"


class Stream:
    """Order and pauses of one stream of events: event time on the venue's clock, silence on ours."""

    __slots__ = ("event_ns", "pause_s", "recv_ns")

    def __init__(self) -> None:
        self.event_ns = self.recv_ns = 0
        self.pause_s: float | None = None

    def late_ms(self, ts_event: int) -> float:
        """By how much ``ts_event`` (0: the venue sent none) lies before the newest one; advances to it otherwise."""
        if ts_event >= self.event_ns:
            self.event_ns = ts_event
            return 0.0
        return (self.event_ns - ts_event) / 1e6 if ts_event > 0 else 0.0

    def silent_s(self, ts_ns: int) -> float:
        """Seconds since the last event; 0 before the first."""
        return max(ts_ns - self.recv_ns, 0) / SECOND_NS if self.recv_ns else 0.0

    def heard(self, ts_ns: int, tau_s: float, events: int = 1) -> None:
        """An event arrived at ``ts_ns`` of our clock, or several since the time before."""
        if self.recv_ns:
            passed_s = self.silent_s(ts_ns)
            self.pause_s = ewma(self.pause_s, passed_s / events, max(passed_s, 0.01), tau_s)
        self.recv_ns = max(ts_ns, self.recv_ns)

    def patience_s(self, ratio: float, floor_s: float) -> float:
        """Silence that is still usual: ``ratio`` usual pauses, at least ``floor_s``."""
        return max(floor_s, ratio * (self.pause_s or 0.0))


class SymbolQuality:
    """All rules of one symbol. ``faults`` is a running total, ``last`` the latest of each code that ever tripped."""

    __slots__ = (
        "_clock_ns",
        "_fed_s",
        "_ids_count",
        "_mid_px",
        "_params",
        "_recent_qty",
        "_repeats",
        "_repeats_ns",
        "_spread_bps",
        "_streams",
        "_trade_id",
        "_trade_ns",
        "_trade_qty",
        "_traded_s",
        "_until_ns",
        "_usual_qty",
        "_variance",
        "faults",
        "last",
    )

    def __init__(self, venue: str, params: QualityParams = PARAMS) -> None:
        self._params = params
        self._ids_count = venue in COUNTING
        self._streams = {Quote: Stream(), Depth: Stream(), Trade: Stream()}
        self._until_ns: dict[str, int] = {}
        self._clock_ns = self._trade_ns = self._repeats_ns = 0
        self._mid_px = nan
        self._fed_s = self._traded_s = self._variance = self._recent_qty = self._usual_qty = self._repeats = 0.0
        self._spread_bps: float | None = None
        self._trade_qty: float | None = None
        self._trade_id: int | None = None
        self.faults = 0
        self.last: dict[str, Tripped] = {}

    def suspect(self, ts_ns: int) -> tuple[str, ...]:
        """Alarm names in force at reading ``ts_ns`` of our clock, in the order of ``CODES``; changes nothing."""
        silent = self._silent(ts_ns) is not None
        if not silent and not self._until_ns:
            return ()
        held = self._until_ns
        return tuple(ALARMS[code] for code in CODES if held.get(code, 0) > ts_ns or (silent and code == "STALE_STREAM"))

    def on_quote(self, quote: Quote) -> None:
        """Judge one quote; a broken or crossed one feeds no average."""
        self._arrive(quote)
        for value in (quote.bid_px, quote.bid_qty, quote.ask_px, quote.ask_qty):
            if not 0 < value < inf:
                self._trip("BROKEN_QUOTE", value, 0.0, quote.ts_recv)
                return
        spread_bps = 1e4 * log(quote.ask_px / quote.bid_px)
        if spread_bps < 0:
            self._trip("CROSSED_BOOK", -spread_bps, 0.0, quote.ts_recv)
            return
        ts_ns = max(self._clock_ns, quote.ts_event or quote.ts_recv)
        age_s = (ts_ns - self._clock_ns) / SECOND_NS if self._clock_ns else 0.0
        self._clock_ns = ts_ns
        self._fed_s += age_s
        self._judge_move(0.5 * (quote.bid_px + quote.ask_px), age_s, quote.ts_recv)
        self._judge_spread(spread_bps, age_s, quote.ts_recv)

    def on_trade(self, trade: Trade) -> None:
        """Judge one print, before repeats are dropped; prints off the book keep the count of ids and no more."""
        self._arrive(trade)
        if self._repeated(trade) or not trade.is_market or not 0 < trade.qty < inf:
            return
        params, ts_ns = self._params, max(self._trade_ns, trade.ts_event or trade.ts_recv)
        age_s = (ts_ns - self._trade_ns) / SECOND_NS if self._trade_ns else 0.0
        self._trade_ns = ts_ns
        self._traded_s += age_s
        recent = self._recent_qty * exp(-age_s / params.volume_s) + trade.qty
        usual = self._usual_qty * params.volume_s / min(max(self._traded_s, params.volume_s), params.average_s)
        if self._traded_s >= params.warmup_s and self._trade_qty is not None:
            limit = max(params.volume_ratio * usual, params.volume_trades * self._trade_qty)
            if recent > limit:
                self._trip("VOLUME_SPIKE", recent, limit, trade.ts_recv)
        self._recent_qty = recent
        self._usual_qty = self._usual_qty * exp(-age_s / params.average_s) + trade.qty
        self._trade_qty = ewma(self._trade_qty, trade.qty, max(age_s, 0.05), params.average_s)

    def on_depth(self, depth: Depth, crossed_bps: float) -> None:
        """Judge one depth event; ``crossed_bps`` is how far the book's bid stands above its ask after it (else 0)."""
        if depth.is_snapshot:
            return
        self._arrive(depth)
        if crossed_bps > 0:
            self._trip("CROSSED_BOOK", crossed_bps, 0.0, depth.ts_recv)

    def _arrive(self, event: Quote | Trade | Depth) -> None:
        ts_ns, stream = event.ts_recv, self._streams[type(event)]
        silent = self._silent(ts_ns)
        if silent is not None:
            self._trip("STALE_STREAM", *silent, ts_ns)
        late_ms = stream.late_ms(event.ts_event)
        if late_ms > self._params.order_tolerance_ms:
            self._trip("EVENT_ORDER", late_ms, self._params.order_tolerance_ms, ts_ns)
        stream.heard(ts_ns, self._params.average_s)

    def _silent(self, ts_ns: int) -> tuple[float, float] | None:
        """Silence and patience of quotes or depth where the first is the longer; trades may pause as they like."""
        for kind in (Quote, Depth):
            stream = self._streams[kind]
            silent_s = stream.silent_s(ts_ns)
            patience_s = stream.patience_s(self._params.stale_ratio, self._params.stale_floor_s)
            if silent_s > patience_s:
                return silent_s, patience_s
        return None

    def _judge_move(self, mid_px: float, age_s: float, ts_ns: int) -> None:
        params, before = self._params, self._mid_px
        self._mid_px = mid_px
        if not before > 0:
            return
        move_bps = 1e4 * abs(log(mid_px / before))
        usual_bps = sqrt(
            self._variance / max(min(self._fed_s, params.average_s), 1.0) * max(age_s, params.jump_grain_s)
        )
        spreads_bps = params.jump_spreads * (self._spread_bps or 0.0)
        limit = max(params.jump_floor_bps, params.jump_ratio * usual_bps, spreads_bps)
        if move_bps > limit and self._fed_s >= params.warmup_s:
            self._trip("PRICE_JUMP", move_bps, limit, ts_ns)
            move_bps = limit
        self._variance = self._variance * exp(-age_s / params.average_s) + move_bps * move_bps

    def _judge_spread(self, spread_bps: float, age_s: float, ts_ns: int) -> None:
        params, usual = self._params, self._spread_bps
        if usual is not None and self._fed_s >= params.warmup_s:
            limit = max(params.spread_floor_bps, params.spread_ratio * usual)
            if spread_bps > limit:
                self._trip("WIDE_SPREAD", spread_bps, limit, ts_ns)
        self._spread_bps = ewma(usual, spread_bps, age_s, params.average_s)

    def _repeated(self, trade: Trade) -> bool:
        if not self._ids_count:
            return False
        last, self._trade_id = self._trade_id, max(trade.trade_id, self._trade_id or 0)
        if last is None:
            return False
        step = trade.trade_id - last
        if step > 1:
            self._trip("MISSING_TRADES", float(step - 1), 0.0, trade.ts_recv)
        return step <= 0 and self._count_repeat(trade.ts_recv)

    def _count_repeat(self, ts_ns: int) -> bool:
        age_s = max(ts_ns - self._repeats_ns, 0) / SECOND_NS
        self._repeats_ns = ts_ns
        self._repeats = self._repeats * exp(-age_s / self._params.average_s) + 1.0
        if self._repeats > self._params.repeats:
            self._trip("DUPLICATE_TRADES", self._repeats, self._params.repeats, ts_ns)
        return True

    def _trip(self, code: str, observed: float, limit: float, ts_ns: int) -> None:
        self.faults += self._until_ns.get(code, 0) <= ts_ns
        self._until_ns[code] = ts_ns + int(self._params.suspect_s * SECOND_NS)
        self.last[code] = Tripped(ts_ns, code, observed, limit)


def crossed_bps(book: Book) -> float:
    """How far the best bid stands above the best ask, in basis points (at least a trace where they are equal), or 0."""
    if not book.crossed:
        return 0.0
    bid, ask = book.best_bid(), book.best_ask()
    return max(1e4 * float(bid[0] / ask[0] - 1), 1e-9) if bid is not None and ask is not None else 0.0
