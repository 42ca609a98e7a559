"""One pass over a tape with the trader's own judge of sources: gaps as rows, and each source's defects over time."""

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
import polars as pl

from market.book import Applied, Book, rule_of
from market.codecs import decode_all, event_type
from market.errors import FrameError
from market.events import Depth, Event, Quote, Trade
from market.tape import Session, TapeFile, chain, read_frames
from trader.reliability import Defects, Gap, SourceHealth, reliability

GAP_SCHEMA: Final = {
    "source": pl.String,
    "symbol": pl.String,
    "from_ns": pl.Int64,
    "to_ns": pl.Int64,
    "kind": pl.String,
    "missing_ids": pl.Int64,
}
HEALTH_SCHEMA: Final = {
    "ts_ns": pl.Int64,
    "source": pl.String,
    "symbol": pl.String,
    **dict.fromkeys(Defects.__struct_fields__, pl.Float64),
}
SAMPLE_S: Final = 5.0
_REMEMBERED: Final = 1_000

Top = tuple[tuple[float, float] | None, tuple[float, float] | None]


class TopCheck:
    """The book's top against the exchange's own ticker, as a stream: ids decide, not clocks.

    The top after a delta with last id ``u`` is compared with the ticker of the greatest id not above ``u``, known once
    a ticker above ``u`` has come (either stream may run ahead of the other). A side counts where the book shows the
    ticker's price (its size must agree), or a better one (always wrong); a worse one may be a price that neither
    snapshot nor deltas mentioned.
    """

    def __init__(self) -> None:
        self._pending: deque[tuple[int, Top]] = deque(maxlen=_REMEMBERED)
        self._tickers: deque[Quote] = deque(maxlen=_REMEMBERED)

    def on_book(self, last_id: int, book: Book) -> tuple[int, int]:
        """The book after a delta was applied to it; returns as ``on_ticker``."""
        self._pending.append((last_id, (_floats(book.best_bid()), _floats(book.best_ask()))))
        return self._settle()

    def on_ticker(self, quote: Quote) -> tuple[int, int]:
        """The next ticker; returns how many sides could be settled and how many of them disagreed."""
        if quote.update_id >= 0:
            self._tickers.append(quote)
        return self._settle()

    def forget(self) -> None:
        """The book is being rebuilt: what it showed is no longer waiting."""
        self._pending.clear()

    def _settle(self) -> tuple[int, int]:
        sides = disagreeing = 0
        while self._pending and self._tickers and self._pending[0][0] < self._tickers[-1].update_id:
            last_id, top = self._pending.popleft()
            ticker = next((t for t in reversed(self._tickers) if t.update_id <= last_id), None)
            if ticker is not None:
                settled = [_differs(*pair) for pair in zip(top, _sides(ticker), (1, -1), strict=True)]
                sides += sum(s is not None for s in settled)
                disagreeing += sum(s is True for s in settled)
        return sides, disagreeing


def _floats(level: tuple[object, object] | None) -> tuple[float, float] | None:
    return None if level is None else (float(str(level[0])), float(str(level[1])))


def _sides(quote: Quote) -> tuple[tuple[float, float], tuple[float, float]]:
    return (quote.bid_px, quote.bid_qty), (quote.ask_px, quote.ask_qty)


def _differs(ours: tuple[float, float] | None, said: tuple[float, float], side: int) -> bool | None:
    """Whether a side disagrees; None where it cannot be compared."""
    if ours is None or (ours[0] - said[0]) * side < 0:
        return None
    return ours != said


class SymbolSources:
    """All streams of one symbol in one recording, its book, and what they showed."""

    def __init__(self, venue: str, symbol: str) -> None:
        self._venue, self._symbol, self._rule = venue, symbol, rule_of(venue)
        self._book = Book(symbol, self._rule)
        self._tops = TopCheck()
        self._sources: dict[str, SourceHealth] = {}
        self._next_ns = 0
        self.gaps: list[tuple[str, str, int, int, str, int | None]] = []
        self.health: list[tuple[int | str | float, ...]] = []

    def take(self, event: Event, stream: str) -> None:
        """One event in the order received; ``stream`` is its frame's type."""
        name = f"{self._venue}/{'depth' if isinstance(event, Depth) else stream}"
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = SourceHealth(self._venue, self._rule)
        for gap in source.take(event, self._apply(event, source)):
            self._note(name, gap)
        self._sample(event.ts_recv)

    def quarantine(self, ts_ns: int) -> None:
        """A frame that could not be read speaks against every stream of its symbol: which it was is not known."""
        for source in self._sources.values():
            source.quarantine(ts_ns)

    def _apply(self, event: Event, source: SourceHealth) -> bool:
        """Follow the book; whether it stands crossed now. The ticker is judged together with the depth stream."""
        if isinstance(event, Quote):
            depth = self._sources.get(f"{self._venue}/depth", source)
            depth.compare(*self._tops.on_ticker(event))
        elif isinstance(event, Depth):
            done = self._book.apply(msgspec.structs.replace(event, symbol=self._symbol) if not event.symbol else event)
            if done is Applied.APPLIED and self._book.tradable:
                source.compare(*self._tops.on_book(event.quote_id, self._book))
            elif done is Applied.GAP:
                self._tops.forget()
            return self._book.crossed
        return False

    def _note(self, name: str, gap: Gap) -> None:
        self.gaps.append((name, self._symbol, gap.from_ns, gap.to_ns, gap.kind, gap.missing_ids))

    def _sample(self, ts_ns: int) -> None:
        if ts_ns < self._next_ns:
            return
        self._next_ns = ts_ns + int(SAMPLE_S * 1e9)
        for name, source in self._sources.items():
            self.health.append((ts_ns, name, self._symbol, *msgspec.structs.astuple(source.defects(ts_ns))))


def judge_session(session: Session, split_ns: int | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Gaps (``GAP_SCHEMA``) and defects over time (``HEALTH_SCHEMA``) of every source, before the split, by time."""
    end_ns = session.last_ns + 1 if split_ns is None else min(split_ns, session.last_ns + 1)
    judged = [s for files in chain(session.files) for s in _judge_chain(files, session, end_ns)]
    gaps = pl.DataFrame([g for s in judged for g in s.gaps], schema=GAP_SCHEMA, orient="row")
    health = pl.DataFrame([h for s in judged for h in s.health], schema=HEALTH_SCHEMA, orient="row")
    return gaps.sort("from_ns", "source", "symbol"), health.sort("ts_ns", "source", "symbol")


class _Found(dict[str, SymbolSources]):
    """Sources by symbol, made when first spoken of."""

    def __init__(self, venue: str) -> None:
        super().__init__()
        self._venue = venue

    def __missing__(self, symbol: str) -> SymbolSources:
        own = self[symbol] = SymbolSources(self._venue, symbol)
        return own


def _judge_chain(files: Sequence[TapeFile], session: Session, end_ns: int) -> list[SymbolSources]:
    """Frames of one chain of files; a frame may speak of another symbol than its file."""
    found, decode, name_of = _Found(session.venue), decode_all(session.venue), event_type(session.venue)
    for reader in map(read_frames, files):
        for frame in reader:
            if not session.first_ns <= frame.recv_ns < end_ns:
                continue
            try:
                for event in decode(frame.raw, frame.recv_ns):
                    if isinstance(event, Quote | Trade | Depth):
                        found[event.symbol or reader.symbol].take(event, name_of(frame.raw))
            except FrameError:
                found[reader.symbol].quarantine(frame.recv_ns)
    return list(found.values())


def scored(health: pl.DataFrame) -> pl.DataFrame:
    """``health`` with the column ``score``: the trader's formula on every row."""
    rows = health.select(Defects.__struct_fields__).iter_rows()
    return health.with_columns(pl.Series("score", [reliability(Defects(*row)) for row in rows], pl.Float64))
