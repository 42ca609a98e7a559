"""What bias checks run on: a stretch of recorded or generated events per symbol, and functions from files of users."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from features.body import BOOK_LEVELS
from features.compiled import Kernel
from features.kernel import SERVED
from features.schema import SCHEMA_ID, WINDOW
from features.state import LEVELS
from market.codecs import decode_all
from market.errors import CryptoScalpError, FrameError
from market.events import QUOTE, TRADE
from market.sequence import rule_of
from market.tape import Session, session_frames, sessions
from pipelines.bank_events import Chunk, SymbolEvents
from pipelines.dataset import Dataset, SymbolRows, build_dataset
from pipelines.feature_frames import event_clock
from pipelines.labels import directions, nl_labels, nl_moves

EVENTS: Final = 6_000

Array = npt.NDArray[Any]


class LeakCheckError(CryptoScalpError):
    """A bias check cannot be made on what it was given."""


class Events(NamedTuple):
    """A stream of one symbol as a user's function takes it: arrays [n], one place per quote or trade, oldest first.

    ``ts_ns`` is the event clock, int64 and non-decreasing. ``bid_px``, ``bid_qty``, ``ask_px``, ``ask_qty`` are the
    best quote as of that event, NaN before the first. ``px``, ``qty`` and ``side`` (the taker's, +1 or -1) are those of
    a trade, NaN where the event is a quote.
    """

    ts_ns: Array
    bid_px: Array
    bid_qty: Array
    ask_px: Array
    ask_qty: Array
    px: Array
    qty: Array
    side: Array


def read_market(path: Path, most: int = EVENTS) -> dict[str, Chunk]:
    """The first ``most`` usable events of every symbol in the latest session of a tape.

    Raises
    ------
    LeakCheckError
        There are no quotes to check on.
    """
    session = sessions(path)[-1]
    gathered = _gather(session, most)
    chunks = {symbol: _head(events.cut(), most) for symbol, events in sorted(gathered.items())}
    found = {symbol: chunk for symbol, chunk in chunks.items() if int((chunk.kinds == QUOTE).sum()) > 1}
    if not found:
        raise LeakCheckError(f"{path}: no best bid and offer to check on", "name a tape that has bookTicker frames")
    return found


def _gather(session: Session, most: int) -> dict[str, SymbolEvents]:
    decode, found = decode_all(session.venue), dict[str, SymbolEvents]()
    for frame in session_frames(session):
        try:
            for event in decode(frame.raw, frame.recv_ns):
                symbol = event.symbol or frame.symbol
                events = found.setdefault(symbol, SymbolEvents(symbol, rule_of(session.venue)))
                if len(events) < most:
                    events.take(event)
        except (FrameError, ValueError):
            continue
        if len(found) >= len(session.symbols) and all(len(events) >= most for events in found.values()):
            break
    return found


def _head(chunk: Chunk, most: int) -> Chunk:
    kinds = chunk.kinds[:most]
    return Chunk(kinds, chunk.ts_ns[:most], chunk.values[:most], chunk.levels[: int((kinds == BOOK_LEVELS).sum())])


def kernel_columns(chunk: Chunk) -> tuple[Array, ...]:
    """The chunk as columns of one length: a book stands in every place, though only those of ``BOOK_LEVELS`` count."""
    books = np.zeros((chunk.kinds.size, 4, LEVELS))
    books[chunk.kinds == BOOK_LEVELS] = chunk.levels
    return chunk.kinds, chunk.ts_ns, chunk.values, books


def folded(kernel: Kernel) -> Callable[..., tuple[Array, Array]]:
    """Feature rows of ``kernel_columns``, and the events they come with."""
    return lambda kinds, ts, values, books: kernel.fold(kinds, ts, values, None, books[kinds == BOOK_LEVELS])


def events_of(chunk: Chunk) -> Events:
    """Quotes and trades of a chunk, as a user's function takes them."""
    at = np.flatnonzero((chunk.kinds == QUOTE) | (chunk.kinds == TRADE))
    is_quote, values = chunk.kinds[at] == QUOTE, chunk.values[at]
    last = np.maximum.accumulate(np.where(is_quote, np.arange(len(at)), -1))
    quote = np.where((last >= 0)[:, None], values[np.maximum(last, 0)], np.nan)
    trade = np.where(is_quote[:, None], np.nan, values)
    return Events(event_clock(chunk.ts_ns)[at], *quote.T, *trade.T[:3])


def quotes_of(chunk: Chunk) -> tuple[Array, Array, Array]:
    """``ts_ns``, ``bid_px`` and ``ask_px`` of every quote."""
    at = chunk.kinds == QUOTE
    return event_clock(chunk.ts_ns)[at], chunk.values[at, 0], chunk.values[at, 2]


def nl_label(k: int, latency_ns: int) -> Callable[..., tuple[Array, Array]]:
    """NLk as ``pipelines.leaks.check_label`` takes it."""

    def label(ts_ns: Array, bid_px: Array, ask_px: Array) -> tuple[Array, Array]:
        move, known = nl_moves(ts_ns, bid_px, ask_px, k=k, latency_ns=latency_ns)
        return directions(move), known

    return label


def training_set(chunks: Mapping[str, Chunk], k: int, latency_ns: int, shares: tuple[float, float]) -> Dataset:
    """The training set of these events as the pipeline makes it; ``shares`` are those of train and calibrate."""
    parts = [_symbol_rows(symbol, chunk, k, latency_ns) for symbol, chunk in chunks.items()]
    train, calibrate = shares
    return build_dataset(
        parts, schema_id=SCHEMA_ID, window=WINDOW, train_share=train, calibrate_share=calibrate, max_samples=40_000
    )


def _symbol_rows(symbol: str, chunk: Chunk, k: int, latency_ns: int) -> SymbolRows:
    rows, index = SERVED.fold(chunk.kinds, chunk.ts_ns, chunk.values, None, chunk.levels)
    quotes, values = event_clock(chunk.ts_ns)[index], chunk.values[index]
    label, end_ns = nl_labels(quotes, values[:, 0], values[:, 2], k=k, latency_ns=latency_ns)
    return SymbolRows(symbol, rows.astype(np.float32), quotes, label, end_ns)


def load_function(where: str) -> Callable[..., Any]:
    """The function that ``path/to/file.py:name`` names. The file is run.

    Raises
    ------
    LeakCheckError
        There is no such file or function, or the file fails.
    """
    path, _, name = where.rpartition(":")
    file = Path(path).expanduser()
    if not path or not file.is_file():
        raise LeakCheckError(f"{where}: no such file", "write it as path/to/file.py:function")
    spec = importlib.util.spec_from_file_location(f"checked_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise LeakCheckError(f"{where}: no Python file", "write it as path/to/file.py:function")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise LeakCheckError(f"{file}: {type(error).__name__}: {error}", "correct the file") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise LeakCheckError(f"{where}: {file.name} has no function {name}", "name a function that the file defines")
    return function  # type: ignore[no-any-return]


def of_user(function: Callable[[Events], Any], where: str) -> Callable[..., tuple[Array, Array]]:
    """A user's function as ``find_leaks`` takes it: rows [k, f], and the event after which each is known."""

    def compute(*columns: Array) -> tuple[Array, Array]:
        try:
            rows, known, _ = _told(function(Events(*columns)), len(columns[0]), where)
        except LeakCheckError:
            raise
        except Exception as error:
            raise LeakCheckError(
                f"{where} on {len(columns[0])} events: {type(error).__name__}: {error}",
                "make it take any number of events from one on",
            ) from error
        return rows, known

    return compute


def names_of(function: Callable[[Events], Any], events: Events, where: str) -> list[str]:
    """Names of the columns that a user's function gives."""
    of_user(function, where)(*events)
    return _told(function(events), len(events.ts_ns), where)[2]


def _told(result: Any, events: int, where: str) -> tuple[Array, Array, list[str]]:
    given, known = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if isinstance(given, Mapping):
        names, rows = [str(name) for name in given], np.column_stack([_column(v) for v in given.values()])
    else:
        rows = _column(given)
        rows = rows.reshape(len(rows), -1) if len(rows) else rows.reshape(0, 1)
        names = [f"column {column}" for column in range(rows.shape[1])]
    if known is None and len(rows) != events:
        raise LeakCheckError(
            f"{where} gives {len(rows)} rows for {events} events, and does not say when each is known",
            "give one row per event, or (rows, known) with the number of the event after which each is known",
        )
    at = np.arange(events) if known is None else np.asarray(known, np.int64)
    if at.shape != (len(rows),):
        raise LeakCheckError(f"{where} gives {len(rows)} rows, but says {at.shape} events", "give one event per row")
    return rows, at, names


def _column(values: Sequence[float] | Array) -> Array:
    return np.asarray(values, np.float64)
