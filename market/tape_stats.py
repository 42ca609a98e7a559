"""What a tape holds and whether it can be believed: counts, sequence breaks, clock skew, book against ticker."""

from array import array
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from market.book import Applied, Book, Rule
from market.codecs.binance import decode, event_type, exact_top
from market.errors import FrameError
from market.events import Depth, Event, Quote, Trade
from market.tape import Frame, Quarantined, TapeFile, chain, read_frames, scan
from market.truth import BookLife, BookVsTicker, Tickers

NEW_RECORDING_NS: Final = 3_600_000_000_000
_MOST_WAITING: Final = 20_000


class Spread(msgspec.Struct):
    """Smallest, median and largest of a set of numbers; None when the set is empty."""

    min: float | None = None
    median: float | None = None
    max: float | None = None


class TapeStats(msgspec.Struct):
    """Facts of a tape or of a folder read as one chained stream per symbol.

    ``frames`` counts all lines, ``quarantined`` those of them that could not be read; ``depth_events`` are deltas;
    ``chain_breaks`` are deltas that do not continue the one before (ids, not clocks); ``crossed`` deltas after which
    the book stood crossed; trade ids count per symbol and recording. A silence of an hour starts a new recording. A
    recording without any snapshot is judged by its deltas alone, at the prices they mention.
    """

    frames: int = 0
    by_type: dict[str, int] = msgspec.field(default_factory=dict)
    symbols: list[str] = msgspec.field(default_factory=list)
    first_recv_ns: int | None = None
    last_recv_ns: int | None = None
    depth_events: int = 0
    depth_applied: int = 0
    chain_breaks: int = 0
    crossed: int = 0
    trades: int = 0
    trade_ids_duplicate: int = 0
    trade_ids_missing: int = 0
    recv_minus_event_ms: Spread = msgspec.field(default_factory=Spread)
    quarantined: int = 0
    book_vs_ticker: BookVsTicker = msgspec.field(default_factory=BookVsTicker)


class Report(msgspec.Struct):
    """``stats`` and what a person should know beside them: unreadable lines, torn files, files left out."""

    stats: TapeStats
    reasons: list[Quarantined]
    notes: list[str]


def tape_stats(path: Path) -> Report:
    """Read a tape file or folder whole and judge it.

    Raises
    ------
    TapeError
        ``path`` is missing, empty or holds no tape.
    """
    tapes, ignored = scan(path)
    report = Report(TapeStats(), [], [f"left out: {error.message}" for error in ignored])
    delays, types = array("q"), Counter[str]()
    for files in chain(tapes):
        _read_chain(files, report, delays, types)
    stats = report.stats
    stats.symbols = sorted({file.symbol for file in tapes})
    stats.by_type = dict(sorted(types.items()))
    if delays:
        ms = np.frombuffer(delays, np.int64) / 1e6
        stats.recv_minus_event_ms = Spread(float(ms.min()), float(np.median(ms)), float(ms.max()))
    return report


def _read_chain(files: Sequence[TapeFile], report: Report, delays: "array[int]", types: Counter[str]) -> None:
    stats, previous_ns = report.stats, 0
    recording = _Recording(files[0])
    for file in files:
        reader = read_frames(file)
        for frame in reader:
            if previous_ns and frame.recv_ns - previous_ns >= NEW_RECORDING_NS:
                recording.finish(stats)
                recording = _Recording(file)
            previous_ns = frame.recv_ns
            try:
                event = decode(frame.raw, frame.recv_ns)
                name = event_type(frame.raw)
                recording.take(frame, event, stats)
            except FrameError as error:
                reader.reject(str(error))
                continue
            types[name] += 1
            if event is not None and event.ts_event:
                delays.append(frame.recv_ns - event.ts_event)
            _widen(stats, frame.recv_ns)
        stats.quarantined += reader.quarantined
        stats.frames += reader.line
        report.reasons += reader.reasons
        report.notes += [f"{file.path} is torn: its gzip data breaks off"] if reader.truncated else []
        report.notes += [f"{file.path}: {reader.late} receive times run backwards"] if reader.late else []
    recording.finish(stats)


def _widen(stats: TapeStats, recv_ns: int) -> None:
    stats.first_recv_ns = recv_ns if stats.first_recv_ns is None else min(stats.first_recv_ns, recv_ns)
    stats.last_recv_ns = recv_ns if stats.last_recv_ns is None else max(stats.last_recv_ns, recv_ns)


class _Recording:
    """One uninterrupted recording of one symbol: its book, its ids, its tickers."""

    def __init__(self, file: TapeFile) -> None:
        self.rule: Rule = "spot" if file.venue == "binance" else "futures"
        self.book = Book(file.symbol, self.rule)
        self.tickers = Tickers()
        self.lives: list[BookLife] = []
        self.waiting: deque[Depth] = deque(maxlen=_MOST_WAITING)
        self.synced = False
        self.last_id = -1
        self.trade_ids: dict[str, array[int]] = {}

    def take(self, frame: Frame, event: Event | None, stats: TapeStats) -> None:
        if isinstance(event, Quote):
            self.tickers.add(event.update_id, exact_top(frame.raw))
        elif isinstance(event, Trade):
            stats.trades += 1
            self.trade_ids.setdefault(event_type(frame.raw), array("q")).append(event.trade_id)
        elif isinstance(event, Depth):
            if event.is_snapshot:
                self._start(event, stats)
            else:
                self._follow(event, stats)

    def _start(self, snapshot: Depth, stats: TapeStats) -> None:
        if self.synced and self.book.apply(snapshot) is Applied.STALE:
            return
        if not self.synced:
            self.book = Book(self.book.symbol, self.rule)
            self.book.apply(snapshot)
        self.lives.append(BookLife(snapshot))
        self.synced, waiting = True, list(self.waiting)
        self.waiting.clear()
        for delta in waiting:
            self._apply(delta, stats)

    def _follow(self, delta: Depth, stats: TapeStats) -> None:
        stats.depth_events += 1
        before = delta.prev_id if self.rule == "futures" else delta.first_id - 1
        if self.last_id >= 0 and delta.last_id > self.last_id and before != self.last_id:
            stats.chain_breaks += 1
        self.last_id = max(self.last_id, delta.last_id)
        self._apply(delta, stats)

    def _apply(self, delta: Depth, stats: TapeStats) -> None:
        if not self.synced:
            self._wait(delta, stats)
            return
        done = self.book.apply(delta)
        if done is Applied.APPLIED:
            stats.depth_applied += 1
            stats.crossed += self.book.crossed
            self.lives[-1].record(self.book, delta)
        elif done is Applied.GAP:
            self.synced = False
            self.waiting.append(delta)

    def _wait(self, delta: Depth, stats: TapeStats) -> None:
        self.book.validate(delta)
        self.waiting.append(delta)
        if len(self.waiting) == _MOST_WAITING and not self.lives:
            self._start_empty(stats)

    def _start_empty(self, stats: TapeStats) -> None:
        """No snapshot was recorded: diffs alone are still exact at every price they mention."""
        first = self.waiting[0]
        before = first.prev_id if first.prev_id >= 0 else first.first_id - 1
        self._start(msgspec.structs.replace(first, is_snapshot=True, last_id=before, bids=[], asks=[]), stats)

    def finish(self, stats: TapeStats) -> None:
        """Compare the whole recording's tops with its tickers, and count its trade ids."""
        if self.waiting and not self.lives:
            self._start_empty(stats)
        for life in self.lives:
            life.compare(self.tickers, stats.book_vs_ticker)
        for ids in self.trade_ids.values():
            numbers = np.frombuffer(ids, np.int64)
            distinct = len(np.unique(numbers))
            stats.trade_ids_duplicate += len(numbers) - distinct
            stats.trade_ids_missing += int(numbers.max() - numbers.min()) + 1 - distinct
