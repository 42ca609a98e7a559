"""Recorder tapes (``recv_ns frame`` lines) through the decoder that the trader uses."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from market.codecs import decode_all
from market.errors import FrameError
from market.events import Depth, Event, Mark, Trade, whole
from market.tape import FrameReader, TapeFile, identify, read_frames
from pipelines.history.files import Progress
from pipelines.history.names import Names
from pipelines.history.schema import SCHEMAS
from pipelines.history.tables import DETAIL_CHARS, LINE, REJECTED_SCHEMA, Collector, Key, Reading
from pipelines.history.tape_rows import Row, rows_of, trade_rows

_TOLD_EVERY: Final = 20_000


def read_tape(path: Path, names: Names, kinds: Collection[str], progress: Progress = lambda _share: None) -> Reading:
    """Trades, quotes, running funding, open interest, forced orders and, when asked for (it is slow), depth levels.

    A torn end gives all whole lines before it and sets ``truncated``; unreadable lines and frames are kept as rejected
    rows, first a hundred lines with their place, and all frames.

    Raises
    ------
    TapeError
        The file is no tape that can be read here.
    """
    file = identify(path)
    pile = _Pile(names, file, kinds)
    reader = read_frames(file)
    for frame in reader:
        pile.take(frame.raw, frame.recv_ns, reader.line)
        if reader.frames % _TOLD_EVERY == 0:
            progress(0.5)
    return pile.reading(reader)


class _Pile:
    """Rows of one tape by kind and symbol, as lists of tuples; the schema's columns and the line."""

    def __init__(self, names: Names, file: TapeFile, kinds: Collection[str]) -> None:
        self._file = file
        self._passed_over = (Trade,) if "depth" in kinds else (Trade, Depth)
        self._venue = names.venue or file.venue
        self._decode = decode_all(file.venue)
        self._marks: dict[str, Mark] = {}
        self._rows: dict[tuple[str, str], list[Row]] = {}
        self._bad: list[Row] = []

    def take(self, raw: bytes, recv_ns: int, line: int) -> None:
        try:
            self._file_events(self._decode(raw, recv_ns), raw, line)
        except (FrameError, ValueError) as error:
            detail = f"{error}; {raw[:DETAIL_CHARS].decode(errors='replace')}"[:DETAIL_CHARS]
            self._bad.append((recv_ns, str(self._file.path), line, "bad_frame", detail))

    def _file_events(self, events: Sequence[Event], raw: bytes, line: int) -> None:
        trades = [event for event in events if isinstance(event, Trade)]
        if trades:
            for trade, row in zip(trades, trade_rows(self._file.venue, raw, trades), strict=True):
                self._put("trades", trade.symbol, [row], line)
        for event in events:
            if not isinstance(event, self._passed_over):
                kind, rows = rows_of(self._file.venue, event, self._mark(event))
                self._put(kind, event.symbol, rows, line)

    def _mark(self, event: Event) -> Mark | None:
        """The newest mark of the event's symbol, with what it left out."""
        if isinstance(event, Mark):
            self._marks[event.symbol] = whole(event, self._marks.get(event.symbol))
        return self._marks.get(event.symbol)

    def _put(self, kind: str, symbol: str, rows: Sequence[Row], line: int) -> None:
        if rows:
            self._rows.setdefault((kind, symbol or self._file.symbol), []).extend((*row, line) for row in rows)

    def reading(self, reader: FrameReader) -> Reading:
        collector = Collector(self._file.path, Names(self._venue, ""))
        for (kind, symbol), rows in self._rows.items():
            columns = zip({**SCHEMAS[kind], LINE: pl.Int64}.items(), zip(*rows, strict=True), strict=True)
            table = pl.DataFrame([pl.Series(name, cells, dtype) for (name, dtype), cells in columns])
            nothing = [pl.lit(None, pl.String).alias(name) for name in ("why", "detail")]
            collector.take(kind, table.with_columns(_text("venue", self._venue), *_symbols(symbol), *nothing))
        reading = collector.reading("recorder tape", reader.truncated)
        bad = self._bad + [(0, str(r.path), r.line, "bad_line", r.reason) for r in reader.reasons]
        return _with_rejected(reading, pl.DataFrame(bad, schema=REJECTED_SCHEMA, orient="row"))


def _text(name: str, value: str) -> pl.Expr:
    return pl.lit(value, pl.String).alias(name)


def _symbols(symbol: str) -> list[pl.Expr]:
    return [_text("symbol", symbol), _text("row_symbol", symbol)]


def _with_rejected(reading: Reading, bad: pl.DataFrame) -> Reading:
    """A frame that cannot be read says not what it was: it is filed with the stream that has most rows."""
    if bad.is_empty():
        return reading
    key: Key = max(reading.tables, key=lambda key: reading.tables[key].height)
    return reading._replace(rejected={**reading.rejected, key: pl.concat([reading.rejected[key], bad])})
