"""One symbol's market as the engine knows it: book, last quote, feature window. Fed by raw frames only."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from features import kernel
from features.online import OnlineRow
from features.schema import COUNT, WINDOW
from market.book import DELTA_WITHIN, Applied, Book, rule_of
from market.codecs import decode_all, event_type
from market.errors import FrameError
from market.events import Depth, Event, Mark, Quote, Trade
from market.instruments import Instrument
from market.quote_kernel import fast_quotes
from trader.feeds.tallies import count, kind_of
from trader.quality import SymbolQuality, crossed_bps

_RING: Final = 2 * WINDOW
_TRADES: Final = 256


class Tick(msgspec.Struct, frozen=True):
    """A decision point: the frame's receive time and the kernel's row for it."""

    tick_ns: int
    event_ns: int
    features: tuple[float, ...]


class MarketState:
    """Book, quote and features of ``instrument.symbol``; ``on_frame`` is its only door."""

    def __init__(self, instrument: Instrument) -> None:
        self.symbol = instrument.symbol
        self.instrument = instrument
        self._decode, self._type = decode_all(instrument.venue), event_type(instrument.venue)
        self._read_quote = fast_quotes(instrument.venue, instrument.symbol)
        self._rule = rule_of(instrument.venue)
        self.book = Book(instrument.symbol, self._rule)
        self.up = False
        self.quote: Quote | None = None
        self.tick: Tick | None = None
        self.mark_px = float("nan")
        self.event_ns = 0
        self.recv_ns = 0
        self.frames = 0
        self.quarantined = 0
        self.reasons: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.gaps = 0
        self.traded_qty = 0.0
        self.quality = SymbolQuality(instrument.venue)
        self._kernel = kernel.init_state()
        self._kernel_at, self._row = kernel.address_of(self._kernel), kernel.row_of(self._kernel)
        self._update_kernel = kernel.SERVED.update
        # venues repeat trades after a reconnect; ids older than these do not come back
        self._trade_ids: deque[int] = deque(maxlen=_TRADES)
        # rows are written twice, so that the last WINDOW of them are always one contiguous slice
        self._ring: npt.NDArray[np.float32] = np.zeros((_RING, COUNT), dtype=np.float32)
        self._rows = 0

    def on_frame(self, raw: bytes, ts_ns: int) -> bool:
        """Apply one raw frame; True when it is a decision point (``tick`` is then new)."""
        self.recv_ns = ts_ns
        self.frames += 1
        quote = self._read_quote(raw, ts_ns)
        if quote is not None:
            return self._on_quote(quote)
        delta = self.book.apply_frame(raw, ts_ns) if b'"depthUpdate"' in raw[:DELTA_WITHIN] else None
        if delta is not None:
            self.quality.on_depth(delta, crossed_bps(self.book))
            return False
        try:
            return self._apply_all(self._decode(raw, ts_ns), raw)
        except FrameError as error:
            self.quarantined += 1
            count(self.reasons, kind_of(error))
            return False

    def _apply_all(self, events: Sequence[Event], raw: bytes) -> bool:
        """Every event of one frame, in its order; a frame without any is counted by its type."""
        if not events:
            count(self.unknown, self._type(raw))
        is_decision = False
        for event in events:
            is_decision |= self._apply(event)
        return is_decision

    def _apply(self, event: Event) -> bool:
        match event:
            case Quote():
                return self._on_quote(event)
            case Trade():
                return self._on_trade(event)
            case Depth():
                self._on_depth(event)
            case Mark() if event.mark_px == event.mark_px:  # NaN: a partial update without it
                self.mark_px = event.mark_px
        return False

    @property
    def mid_px(self) -> float:
        """Mid of the last quote; NaN before the first."""
        return float("nan") if self.quote is None else (self.quote.bid_px + self.quote.ask_px) / 2

    @property
    def warm(self) -> bool:
        """Enough rows for one window."""
        return self._rows >= WINDOW

    @property
    def row(self) -> npt.NDArray[np.float32]:
        """The last row, as the window holds it."""
        return self._ring[(self._rows - 1) % WINDOW]

    def window(self) -> bytes:
        """The last WINDOW rows as float32 bytes, oldest first."""
        end = (self._rows - 1) % WINDOW + WINDOW + 1
        return self._ring[end - WINDOW : end].tobytes()

    @property
    def tradable(self) -> bool:
        """Its streams flow and its book stands, beyond doubt."""
        return self.up and self.book.tradable and not self.book.doubt

    def seed(self, row: OnlineRow) -> None:
        """What was known of the symbol before this run stands in until the first decision point."""
        self.tick = Tick(tick_ns=0, event_ns=row.event_ns, features=row.features)

    def disconnected(self, is_up: bool) -> None:
        """Frames may have been lost: the book must be rebuilt from a new snapshot. ``is_up``: they flow again."""
        self.up = is_up
        self.book = Book(self.symbol, self._rule)

    def _on_quote(self, event: Quote) -> bool:
        self.quality.on_quote(event)
        self.quote = event
        return self._update(event)

    def _on_trade(self, event: Trade) -> bool:
        self.quality.on_trade(event)
        if not event.is_market or event.trade_id in self._trade_ids:
            return False
        self._trade_ids.append(event.trade_id)
        self.traded_qty += event.qty
        return self._update(event)

    def _update(self, event: Quote | Trade) -> bool:
        taken = self._update_kernel(self._kernel_at, *kernel.encode(event))
        self.event_ns = kernel.clock_ns(self._kernel)
        if not taken:
            return False
        at = self._rows % WINDOW
        self._ring[at] = self._row
        self._ring[at + WINDOW] = self._row
        self._rows += 1
        self.tick = Tick(tick_ns=event.ts_recv, event_ns=self.event_ns, features=tuple(self._row.tolist()))
        return True

    def _on_depth(self, event: Depth) -> None:
        depth = event if event.symbol else msgspec.structs.replace(event, symbol=self.symbol)
        if self.book.apply(depth) is Applied.GAP:
            self.gaps += 1
        self.quality.on_depth(depth, crossed_bps(self.book))
