"""Is the top of our book what the venue itself says it is? Sampled while trading; ids decide, not clocks.

The rules are those of ``market.truth``: Binance tells every change of the top: after book id ``u_k`` the quote of the
greatest ``u <= u_k`` must agree, and it is known once one with ``u > u_k`` has come. OKX and Bybit tell the top now and
then: only a quote of the very same id can be compared. What the snapshot never held cannot be judged: on Binance a
best of ours that is worse than the venue's proves nothing, one that is better, or of another quantity, does.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from market.book import Book
from market.events import Quote
from market.sequence import IN_BAND, rule_of
from trader.market_state import MarketState

EVERY_NS: Final = 1_000_000_000
Level = tuple[Decimal, Decimal] | None


class TopCheck:
    """One sample at a time of one symbol. ``is_open`` while it waits for a quote; ``sides`` compared, ``differing``."""

    __slots__ = (
        "_ask",
        "_begun_ns",
        "_bid",
        "_book",
        "_book_id",
        "_found",
        "_is_whole",
        "differing",
        "is_open",
        "sides",
    )

    def __init__(self, venue: str) -> None:
        self._is_whole = rule_of(venue) in IN_BAND
        self._begun_ns = 0
        self._book: Book | None = None
        self._book_id = -1
        self._bid: Level = None
        self._ask: Level = None
        self._found: Quote | None = None
        self.sides = self.differing = 0

    def begin(self, market: MarketState, ts_ns: int) -> bool:
        """Take a sample if the last one is old enough, the book stands and a quote that may tell of it is there."""
        quote, book = market.quote, market.book
        if ts_ns - self._begun_ns < EVERY_NS or not market.tradable or quote is None:
            return False
        if not 0 <= quote.update_id <= book.quote_id or (self._is_whole and quote.update_id < book.quote_id):
            return False
        self._begun_ns, self._found = ts_ns, quote
        self._book, self._book_id, self._bid, self._ask = book, book.quote_id, book.best_bid(), book.best_ask()
        return True

    def look(self, market: MarketState) -> str | None:
        """Look at the newest quote: None while the sample waits, then what differs in words ("" for nothing)."""
        quote = market.quote
        if quote is None or self._found is None or market.book is not self._book:
            return ""
        if quote.update_id <= self._book_id:
            self._found = quote
            return None
        return self._judge(self._found)

    def _judge(self, said: Quote) -> str:
        wrong = [
            f"{name} {_text(ours)}, said to be {px!r} x {qty!r} at id {said.update_id}"
            for name, ours, px, qty, sign in (
                ("bid", self._bid, said.bid_px, said.bid_qty, 1),
                ("ask", self._ask, said.ask_px, said.ask_qty, -1),
            )
            if self._is_wrong(ours, px, qty, sign)
        ]
        self.differing += len(wrong)
        return "; ".join(wrong)

    def _is_wrong(self, ours: Level, px: float, qty: float, sign: int) -> bool:
        """Count a side that can be judged; True when it differs. Floats are read back as the venue spelled them."""
        if ours is None:
            return False
        best, theirs = ours[0], Decimal(repr(px))
        if not self._is_whole and (best - theirs) * sign < 0:
            return False
        self.sides += 1
        return best != theirs or ours[1] != Decimal(repr(qty))


def _text(level: Level) -> str:
    return "none" if level is None else f"{level[0]} x {level[1]}"


class TopChecks:
    """``TopCheck`` of every symbol. ``waiting`` are those with an open sample: empty most of the time."""

    def __init__(self, markets: Mapping[str, MarketState]) -> None:
        self.by_symbol = {symbol: TopCheck(market.instrument.venue) for symbol, market in markets.items()}
        self.waiting: dict[str, TopCheck] = {}

    def begin(self, market: MarketState, ts_ns: int) -> None:
        """Sample ``market`` if it is time."""
        check = self.by_symbol[market.symbol]
        if check.begin(market, ts_ns):
            self.waiting[market.symbol] = check

    def on_frame(self, market: MarketState) -> None:
        """Go on with an open sample; a book that the ticker contradicts is trusted no longer."""
        check = self.waiting.get(market.symbol)
        if check is None:
            return
        wrong = check.look(market)
        if wrong is not None:
            del self.waiting[market.symbol]
        if wrong:
            market.book.reset(f"the ticker contradicts it: {wrong}")
