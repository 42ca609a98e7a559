"""What a recording holds, judged while it is made: decoded events, book sequences, bad frames. Changes nothing."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from market.book import Applied, Book, rule_of
from market.codecs import decode_all, event_type
from market.errors import FrameError
from market.events import Depth
from trader.feeds.tallies import count, kind_of


class CheckedMarket:
    """Book and counts of one symbol under recording."""

    def __init__(self, venue: str, symbol: str) -> None:
        self.symbol = symbol
        self.frames = self.quarantined = self.gaps = 0
        self.reasons: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.up = False
        self._decode, self._type = decode_all(venue), event_type(venue)
        self._rule = rule_of(venue)
        self.book = Book(symbol, self._rule)

    @property
    def tradable(self) -> bool:
        """Its streams flow and its book stands, beyond doubt."""
        return self.up and self.book.tradable and not self.book.doubt

    def disconnected(self, is_up: bool) -> None:
        """Frames may have been lost: the book starts anew."""
        self.up = is_up
        self.book = Book(self.symbol, self._rule)

    def on_frame(self, raw: bytes, recv_ns: int) -> bool:
        """Judge one frame; True when it shows that depth frames were lost, or (Bybit) may have been."""
        try:
            events = self._decode(raw, recv_ns)
            if not events:
                count(self.unknown, self._type(raw))
            return sum(self._is_gap(event) for event in events if isinstance(event, Depth)) > 0
        except FrameError as error:
            self.quarantined += 1
            count(self.reasons, kind_of(error))
            return False

    def _is_gap(self, event: Depth) -> bool:
        depth = event if event.symbol else msgspec.structs.replace(event, symbol=self.symbol)
        applied = self.book.apply(depth)
        self.gaps += applied is Applied.GAP
        return applied is Applied.GAP or bool(self.book.doubt)


class Checks:
    """``CheckedMarket`` by symbol, and their sum."""

    def __init__(self, venue: str, symbols: Sequence[str]) -> None:
        self.markets = {symbol: CheckedMarket(venue, symbol) for symbol in symbols}

    def take(self, symbol: str, recv_ns: int, raw: bytes, decode: bool) -> bool:
        """Count a frame and, when ``decode``, judge it; True when depth frames were or may have been lost."""
        market = self.markets[symbol]
        market.frames += 1
        return decode and market.on_frame(raw, recv_ns)

    def report(self) -> dict[str, Any]:
        """Gaps, bad frames by reason, and frames of unknown type."""
        markets = self.markets.values()
        return {
            "gaps": {m.symbol: m.gaps for m in markets},
            "quarantined": dict(sum((m.reasons for m in markets), Counter[str]())),
            "unknown_types": dict(sum((m.unknown for m in markets), Counter[str]())),
            "books_standing": [m.symbol for m in markets if m.tradable],
        }
