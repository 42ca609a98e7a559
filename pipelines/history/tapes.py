"""Recorder tapes (``recv_ns frame`` lines) through the decoder that the trader uses."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import polars as pl

from market.codecs.binance import decode, event_type
from market.errors import FrameError
from market.events import Depth, Event, Mark, Quote, Trade
from market.tape import FrameReader, TapeFile, identify, read_frames
from pipelines.history.files import Progress
from pipelines.history.names import Names
from pipelines.history.schema import SCHEMAS
from pipelines.history.tables import DETAIL_CHARS, LINE, REJECTED_SCHEMA, Collector, Key, Reading

_FROM_FRAMES: Final = ("trades", "quotes", "funding", "depth")
_TOLD_EVERY: Final = 20_000
Row = tuple[Any, ...]


def read_tape(path: Path, names: Names, kinds: Collection[str], progress: Progress = lambda _share: None) -> Reading:
    """Trades, quotes, running funding and, when asked for (it is slow), depth levels of one tape.

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
        self._file, self._kinds = file, kinds
        self._venue = names.venue or file.venue
        self._rows: dict[tuple[str, str], list[Row]] = {}
        self._bad: list[Row] = []

    def take(self, raw: bytes, recv_ns: int, line: int) -> None:
        try:
            event = decode(raw, recv_ns)
            if event is not None:
                self._file_event(event, raw, line)
        except (FrameError, ValueError) as error:
            detail = f"{error}; {raw[:DETAIL_CHARS].decode(errors='replace')}"[:DETAIL_CHARS]
            self._bad.append((recv_ns, str(self._file.path), line, "bad_frame", detail))

    def _file_event(self, event: Event, raw: bytes, line: int) -> None:
        kind, rows = _rows(event, raw, self._kinds)
        if rows:
            symbol = event.symbol or self._file.symbol
            self._rows.setdefault((kind, symbol), []).extend((*row, line) for row in rows)

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


def _rows(event: Event, raw: bytes, kinds: Collection[str]) -> tuple[str, list[Row]]:
    """Kind and schema rows of one event; none for a kind that is not asked for."""
    times = (event.ts_event, event.ts_recv)
    if isinstance(event, Quote):
        return "quotes", [(*times, event.update_id, event.bid_px, event.bid_qty, event.ask_px, event.ask_qty)]
    if isinstance(event, Trade):
        is_aggregate = event_type(raw) == "aggTrade"
        return "trades", [
            (*times, event.trade_id, None, event.px, event.qty, event.side, is_aggregate, event.is_market)
        ]
    if isinstance(event, Mark):
        prices = (event.mark_px, event.index_px, event.next_funding_ns)
        return "funding", [(*times, event.funding_rate, None, *prices, False)]
    if isinstance(event, Depth) and "depth" in kinds:
        return "depth", _levels(event, times)
    return "", []


def _levels(event: Depth, times: tuple[int, int]) -> list[Row]:
    prev_id = None if event.prev_id < 0 or event.is_snapshot else event.prev_id
    head = (*times, event.is_snapshot, event.first_id, event.last_id, prev_id)
    sides = ((1, event.bids), (-1, event.asks))
    return [(*head, float(px), float(qty), side) for side, levels in sides for px, qty in levels]
