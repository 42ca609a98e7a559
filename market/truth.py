"""The truth test of a book: is its top what the exchange itself says the top is? Ids decide, not clocks.

Binance sends a bookTicker for every change of the top: after a depth event with last id ``u_k`` the book must show the
one of the greatest ``u <= u_k`` in the whole recording, which may have been received before or after it. OKX
(``bbo-tbt``) and Bybit (``orderbook.1``) send the top at most every 10 ms, so an older quote proves nothing about a
younger book: there only the quote of the very same id (seqId, seq) is compared. A diff book only knows what its
snapshot held and what diffs mentioned since; where the true best lies outside that, a side cannot be compared.
"""

from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from market.book import Book
from market.codecs.numbers import Top
from market.events import Depth

Level = tuple[Decimal, Decimal]


class BookVsTicker(msgspec.Struct):
    """Counts of the truth test. ``events_compared`` are depth events; the rest are sides (two per event)."""

    events_compared: int = 0
    sides_agreeing: int = 0
    differing: int = 0
    not_comparable: int = 0


class Tickers:
    """All quotes of one recording of one symbol, found by update id.

    ``every_change`` says that the venue sends one for every change of the top.
    """

    def __init__(self, every_change: bool = True) -> None:
        self._every_change = every_change
        self._found: list[tuple[int, int, Top]] = []
        self._ids: list[int] = []

    def add(self, update_id: int, top: Top) -> None:
        self._found.append((update_id, len(self._found), top))

    def at(self, update_id: int) -> Top | None:
        """What the top was at ``update_id`` (the last received, if it was sent twice); None when no quote tells."""
        if len(self._ids) != len(self._found):
            self._found.sort()
            self._ids = [found[0] for found in self._found]
        index = bisect_right(self._ids, update_id)
        if index == 0 or not (self._every_change or self._ids[index - 1] == update_id):
            return None
        return self._found[index - 1][2]


class BookLife:
    """What one snapshot and the diffs after it showed: tops by id, and which prices the book can know about."""

    def __init__(self, snapshot: Depth) -> None:
        self._ranges = tuple(_range(levels) for levels in (snapshot.bids, snapshot.asks))
        self._mentioned: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self.tops: list[tuple[int, Level | None, Level | None]] = []

    def record(self, book: Book, depth: Depth) -> None:
        """Note the book's top after ``depth`` was applied to it."""
        index = len(self.tops)
        for mentioned, levels in zip(self._mentioned, (depth.bids, depth.asks), strict=True):
            for px, _ in levels:
                mentioned.setdefault(_plain(px), index)
        self.tops.append((depth.quote_id, book.best_bid(), book.best_ask()))

    def compare(self, tickers: Tickers, result: BookVsTicker) -> None:
        """Add the comparison of every noted top to ``result``; events no quote tells of are left out."""
        for index, (last_id, *sides) in enumerate(self.tops):
            top = tickers.at(last_id)
            if top is None:
                continue
            result.events_compared += 1
            for side, (best, px, qty) in enumerate(zip(sides, top[::2], top[1::2], strict=True)):
                self._judge(side, index, best, (px, Decimal(qty)), result)

    def _judge(
        self, side: int, index: int, best: Level | None, said: tuple[str, Decimal], result: BookVsTicker
    ) -> None:
        px = Decimal(said[0])
        better = best is not None and (best[0] > px if side == 0 else best[0] < px)
        if not better and not self._knows(side, index, said[0], px):
            result.not_comparable += 1
        elif best == (px, said[1]):
            result.sides_agreeing += 1
        else:
            result.differing += 1

    def _knows(self, side: int, index: int, text: str, px: Decimal) -> bool:
        low_high = self._ranges[side]
        if low_high is not None and low_high[0] <= px <= low_high[1]:
            return True
        return self._mentioned[side].get(_plain(text), index + 1) <= index


def _range(levels: Sequence[tuple[str, str]]) -> tuple[Decimal, Decimal] | None:
    prices = [Decimal(px) for px, _ in levels]
    return (min(prices), max(prices)) if prices else None


def _plain(px: str) -> str:
    """One spelling per price: ``28145.10`` and ``28145.1`` are the same."""
    return px.rstrip("0").rstrip(".") if "." in px else px
