"""One uninterrupted recording of one symbol, judged: its books, its ids, its quotes."""

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np

from market.book import Applied, Book
from market.codecs.numbers import Top
from market.events import Depth, Event, Quote, Trade
from market.sequence import IN_BAND, id_before, rule_of
from market.truth import BookLife, BookVsTicker, Tickers

_MOST_WAITING: Final = 20_000
_COUNTED_IDS: Final = frozenset({"trade", "aggTrade", "trades-all"})
_BINANCE_DEPTH: Final = "depth"


class Counts(Protocol):
    """The numbers a recording adds to."""

    depth_events: int
    depth_applied: int
    chain_breaks: int
    crossed: int
    trades: int
    trade_ids_duplicate: int
    trade_ids_missing: int
    book_vs_ticker: BookVsTicker


class Recording:
    """``take`` every frame's events in order, then ``finish`` once.

    Every depth channel of the symbol keeps its own book: OKX and Bybit send the same book in several depths.
    """

    def __init__(self, venue: str, symbol: str) -> None:
        self.symbol, self.rule = symbol, rule_of(venue)
        self.tickers = Tickers(every_change=self.rule not in IN_BAND)
        self.channels: dict[str, _Channel] = {}
        self.trade_ids: dict[str, array[int]] = {}

    def take(self, name: str, events: Sequence[Event], tops: Callable[[], Sequence[Top]], counts: Counts) -> None:
        """``name`` is the frame's event type, ``tops`` gives the exact decimals of its quotes."""
        for index, event in enumerate(events):
            if isinstance(event, Quote):
                if event.update_id >= 0:
                    self.tickers.add(event.update_id, tops()[index])
            elif isinstance(event, Trade):
                counts.trades += 1
                self.trade_ids.setdefault(name, array("q")).append(event.trade_id)
            elif isinstance(event, Depth):
                self._channel(name).take(event, counts)

    def _channel(self, name: str) -> "_Channel":
        name = name if self.rule in IN_BAND else _BINANCE_DEPTH
        if name not in self.channels:
            kind = _InBand if self.rule in IN_BAND else _Channel
            self.channels[name] = kind(Book(self.symbol, self.rule))
        return self.channels[name]

    def finish(self, counts: Counts, notes: list[str]) -> None:
        """Compare the whole recording's tops with its quotes, and count its trade ids."""
        for channel in self.channels.values():
            channel.finish(counts)
            for life in channel.lives:
                life.compare(self.tickers, counts.book_vs_ticker)
            notes += [f"{self.symbol}: {note}" for note in channel.notes()]
        for name, ids in self.trade_ids.items():
            numbers = np.frombuffer(ids, np.int64)
            distinct = len(np.unique(numbers))
            counts.trade_ids_duplicate += len(numbers) - distinct
            if name in _COUNTED_IDS:
                counts.trade_ids_missing += int(numbers.max() - numbers.min()) + 1 - distinct


class _Channel:
    """Deltas of Binance with snapshots from REST, which may be received after the deltas that align with them."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.lives: list[BookLife] = []
        self.waiting: deque[Depth] = deque(maxlen=_MOST_WAITING)
        self.synced = False
        self.last_id = -1

    def notes(self) -> list[str]:
        """What a person should know beside the counts."""
        return []

    def take(self, event: Depth, counts: Counts) -> None:
        if event.is_snapshot:
            self.start(event, counts)
            return
        counts.depth_events += 1
        before = id_before(self.book.rule, event)
        if self.last_id >= 0 and event.last_id > self.last_id and before != self.last_id:
            counts.chain_breaks += 1
        self.last_id = max(self.last_id, event.last_id)
        self.apply(event, counts)

    def start(self, snapshot: Depth, counts: Counts) -> None:
        if self.synced and self.book.apply(snapshot) is Applied.STALE:
            return
        if not self.synced:
            self.book = Book(self.book.symbol, self.book.rule)
            self.book.apply(snapshot)
        self.lives.append(BookLife(snapshot))
        self.synced, waiting = True, list(self.waiting)
        self.waiting.clear()
        for delta in waiting:
            self.apply(delta, counts)

    def apply(self, delta: Depth, counts: Counts) -> None:
        if not self.synced:
            self._wait(delta, counts)
            return
        done = self.book.apply(delta)
        if done is Applied.APPLIED:
            counts.depth_applied += 1
            counts.crossed += self.book.crossed
            self.lives[-1].record(self.book, delta)
        elif done is Applied.GAP:
            self.synced = False
            self.waiting.append(delta)

    def _wait(self, delta: Depth, counts: Counts) -> None:
        self.book.validate(delta)
        self.waiting.append(delta)
        if len(self.waiting) == _MOST_WAITING and not self.lives:
            self._start_empty(counts)

    def _start_empty(self, counts: Counts) -> None:
        """No snapshot was recorded: diffs alone are still exact at every price they mention."""
        first = self.waiting[0]
        before = id_before(self.book.rule, first)
        if before is None or (before < 0 and self.book.rule != "okx"):
            before = first.first_id - 1
        empty = msgspec.structs.replace(first, is_snapshot=True, last_id=before, prev_id=-1, bids=[], asks=[])
        self.start(empty, counts)

    def finish(self, counts: Counts) -> None:
        if self.waiting and not self.lives:
            self._start_empty(counts)


class _InBand(_Channel):
    """Deltas of OKX and Bybit: each snapshot starts the book anew, on the deltas' own connection."""

    doubts = unproven = 0

    def notes(self) -> list[str]:
        said = [f"{self.doubts} steps of the update id above one: deltas may be missing"] if self.doubts else []
        return said + ([f"{self.unproven} deltas without sequence ids, unproven"] if self.unproven else [])

    def take(self, event: Depth, counts: Counts) -> None:
        if event.is_snapshot:
            self.finish(counts)
            self.start(event, counts)
            return
        counts.depth_events += 1
        self.apply(event, counts)

    def start(self, snapshot: Depth, counts: Counts) -> None:
        self.book.apply(snapshot)
        if self.lives and not self.lives[-1].tops:
            self.lives.pop()
        self.lives.append(BookLife(snapshot))
        waiting, self.waiting = list(self.waiting), deque(maxlen=_MOST_WAITING)
        self.synced = True
        for delta in waiting:
            self.apply(delta, counts)

    def apply(self, delta: Depth, counts: Counts) -> None:
        if not self.lives:
            self._wait(delta, counts)
            return
        doubt, self.book.doubt = self.book.doubt, ""
        done = self.book.apply(delta)
        counts.chain_breaks += done is Applied.GAP
        self.doubts += self.book.doubt != ""
        self.book.doubt = self.book.doubt or doubt
        if done is Applied.APPLIED:
            counts.depth_applied += 1
            counts.crossed += self.book.crossed
            self.unproven += delta.last_id < 0
            self.lives[-1].record(self.book, delta)
