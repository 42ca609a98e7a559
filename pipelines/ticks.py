"""Sessions of tapes, and the frames of one as tables per symbol: ticks, depth events, and what could not be read."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain as flatten
from math import nan
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from features.kernel import encode
from market.codecs.binance import decode, event_type
from market.errors import FrameError
from market.events import Depth, Quote, Trade
from market.tape import FrameReader, Session, chain, read_frames, sessions
from pipelines.quality import DEPTH_SCHEMA, QUARANTINE_SCHEMA, RAW_SCHEMA
from pipelines.settings import PipelineError

DETAIL_CHARS: Final = 500
SESSION: Final = "session"
_CODES: Final = {pl.Int64: "q", pl.Float64: "d", pl.Int8: "b", pl.Int32: "i", pl.Boolean: "b"}


class Columns:
    """Rows appended one at a time, kept as flat arrays; only the latest ``most`` survive."""

    def __init__(self, schema: Mapping[str, Any], most: int) -> None:
        self._schema, self._most = schema, most
        self._arrays = {name: array(_CODES[dtype]) for name, dtype in schema.items()}
        self._columns = list(self._arrays.values())

    def append(self, row: tuple[float, ...]) -> None:
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)  # type: ignore[arg-type]
        if len(self._columns[0]) >= 2 * self._most:
            self._trim()

    def _trim(self) -> None:
        for column in self._columns:
            del column[: max(len(column) - self._most, 0)]

    def table(self) -> pl.DataFrame:
        """The rows kept, as a polars table of the schema."""
        self._trim()
        columns = {name: pl.Series(name, np.array(values)) for name, values in self._arrays.items()}
        return pl.DataFrame(columns, schema_overrides=self._schema)


class SymbolTicks:
    """Everything one symbol's frames said: quotes and trades as the kernel takes them, and depth events in outline."""

    def __init__(self, most: int) -> None:
        self.ticks, self.depth = Columns(RAW_SCHEMA, most), Columns(DEPTH_SCHEMA, most)

    def take(self, event: Quote | Trade | Depth) -> None:
        if isinstance(event, Depth):
            self.depth.append(_depth_row(event))
            return
        kind, _, a, b, c, d = encode(event)
        seq, is_market = (event.update_id, True) if isinstance(event, Quote) else (event.trade_id, event.is_market)
        self.ticks.append((event.ts_recv, event.ts_event, kind, a, b, c, d, seq, is_market))


def _depth_row(event: Depth) -> tuple[float, ...]:
    levels = event.bids + event.asks
    min_px = min((float(px) for px, _ in levels), default=nan)
    min_qty = min((float(qty) for _, qty in levels), default=nan)
    ids = (event.first_id, event.last_id, event.prev_id)
    return (event.ts_recv, event.ts_event, event.is_snapshot, *ids, len(levels), min_px, min_qty)


class Recording:
    """A session as tables by symbol; ``counts`` by frame type; ``quarantine`` one row per frame that could not be read.

    Attributes
    ----------
    frames, late : int
        Frames read before the split, and how many of them arrived below their predecessor's receive time.
    truncated : list of Path
        Files whose compressed data breaks off.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.symbols: dict[str, SymbolTicks] = {}
        self.counts: Counter[str] = Counter()
        self.quarantine: list[tuple[str, int, str, str]] = []
        self.frames = self.late = self.quarantined = 0
        self.truncated: list[Path] = []

    def read(self, reader: FrameReader, first_ns: int, end_ns: int) -> None:
        """Take the frames of one file received in [first_ns, end_ns)."""
        for frame in reader:
            if first_ns <= frame.recv_ns < end_ns:
                self.frames += 1
                self._take(frame.raw, frame.recv_ns, reader)
        self.late += reader.late
        self.quarantined += reader.quarantined
        self.quarantine += [(reader.symbol, 0, "bad_line", str(reason)) for reason in reader.reasons]
        if reader.truncated:
            self.truncated.append(reader.path)

    def _take(self, raw: bytes, recv_ns: int, reader: FrameReader) -> None:
        try:
            event = decode(raw, recv_ns)
            self.counts[event_type(raw)] += 1
            if isinstance(event, Quote | Trade | Depth):
                symbol = event.symbol or reader.symbol
                self.symbols.setdefault(symbol, SymbolTicks(self._most)).take(event)
        except (FrameError, ValueError) as error:
            self.quarantined += 1
            if len(self.quarantine) < self._most:
                place = f"{reader.path}:{reader.line}: {error}; {raw[:DETAIL_CHARS].decode(errors='replace')}"
                self.quarantine.append((reader.symbol, recv_ns, "bad_frame", place))

    def quarantine_table(self) -> pl.DataFrame:
        """Frames and lines that could not be read, in the form of ``quarantine.parquet``."""
        return pl.DataFrame(self.quarantine, schema=QUARANTINE_SCHEMA, orient="row")


def all_sessions(paths: Sequence[Path], gap_s: float) -> list[Session]:
    """Every session of every tape, oldest first; none spans two of the paths.

    Raises
    ------
    TapeError
        There is no tape at one of ``paths``.
    """
    found = [session for path in paths for session in sessions(path, gap_s)]
    return sorted(found, key=lambda session: (session.first_ns, session.venue, session.symbols))


def chosen_sessions(
    paths: Sequence[Path], which: str, gap_s: float, split_ns: int | None
) -> tuple[list[Session], list[Session]]:
    """The sessions to learn from, oldest first, and those left out.

    ``which`` is ``latest`` (the one that begins last) or ``all`` (each that begins before ``split_ns``).

    Raises
    ------
    TapeError
        There is no tape at one of ``paths``.
    PipelineError
        ``split_ns`` leaves nothing, or sessions of one symbol overlap in time.
    """
    found = all_sessions(paths, gap_s)
    wanted = found[-1:] if which == "latest" else found
    chosen = [session for session in wanted if split_ns is None or session.first_ns < split_ns]
    if not chosen:
        raise PipelineError(
            f"split_ns {split_ns} is not after the first frame of {', '.join(map(str, paths))} ({wanted[0].first_ns})",
            f"set split_ns inside the {'latest' if which == 'latest' else 'first'} session, or unset it",
        )
    _require_apart(chosen)
    return chosen, [session for session in found if session not in chosen]


def _require_apart(chosen: Sequence[Session]) -> None:
    """Rows of a symbol must follow each other in time, and no outcome may be learned and judged at once."""
    ends: dict[str, tuple[int, Path]] = {}
    for session in chosen:
        for file in session.files:
            last_ns, path = ends.get(file.symbol, (-1, file.path))
            if session.first_ns <= last_ns:
                raise PipelineError(
                    f"{file.symbol} is in two sessions that overlap in time: {path} and {file.path}",
                    "name each recording once, and only one venue of a symbol",
                )
        ends |= {file.symbol: (session.last_ns, file.path) for file in session.files}


def by_session(table: pl.DataFrame, view: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """``view`` of each session's rows by itself, one session after another, each row under its ``session``."""
    return pl.concat([view(rows).with_columns(session_column(number)) for number, rows in parts_of(table)])


def parts_of(table: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """Number and rows of each session of a table, in order; a table without rows is its own only part.

    Raises
    ------
    PipelineError
        When the table was written before sessions were numbered.
    """
    if SESSION not in table.columns:
        raise PipelineError(f"a table without the column {SESSION}", "run the whole pipeline again, from raw_ticks on")
    if table.is_empty():
        yield 0, table
    for (number,), rows in table.partition_by(SESSION, maintain_order=True, as_dict=True).items():
        yield int(number), rows


def session_column(number: int) -> pl.Expr:
    """The column that keeps sessions apart in tables: numbers of the chosen sessions in time order."""
    return pl.lit(number, pl.Int32).alias(SESSION)


def read_session(session: Session, split_ns: int | None, most: int) -> Recording:
    """Decode every frame of the session received before ``split_ns``, at most ``most`` latest ticks per symbol.

    Raises
    ------
    PipelineError
        When it holds no quote, so that nothing can be computed from it.
    """
    end_ns = session.last_ns + 1 if split_ns is None else min(split_ns, session.last_ns + 1)
    recording = Recording(most)
    for file in flatten.from_iterable(chain(session.files)):
        recording.read(read_frames(file), session.first_ns, end_ns)
    if not recording.counts["bookTicker"]:
        raise PipelineError(
            _why_no_quote(session.files[0].path, recording), "record bookTicker, trade and depth streams"
        )
    return recording


def _why_no_quote(path: Path, recording: Recording) -> str:
    seen: Iterable[str] = (f"{count} {name}" for name, count in recording.counts.most_common(5))
    why = ", ".join(seen) or (recording.quarantine[0][3] if recording.quarantine else "no frame")
    return f"{path}: no best bid and offer among {recording.frames} frames before the split ({why})"
