"""Tick tables to feature tables through the one kernel the trader runs, and the proof that both give the same bits."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from features.kernel import SERVED, address_of, encode, fold, init_state, row_of
from features.parameters import PARAMETERS
from features.schema import COUNT, NAMES, SCHEMA_ID
from features.state import State
from market.events import QUOTE, Quote, Trade
from pipelines.settings import PipelineError

SCHEMA_KEY: Final = "schema_id"
_STRETCH: Final = 4_096
QUOTE_COLUMNS: Final = ("ts_ns", "ts_recv", "bid_px", "bid_qty", "ask_px", "ask_qty")

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Mismatch(msgspec.Struct, frozen=True):
    """The first place where streamed and folded features differ; ``event`` counts from the start of the table."""

    event: int
    feature: str
    streamed: float
    folded: float


def event_clock(
    ts_ns: Ints, rebase_ns: int = PARAMETERS.rebase_ns, now_ns: int | None = None, offset_ns: int = 0
) -> Ints:
    """The kernel's clock at each event: held on small steps back, followed anew from a step back beyond ``rebase_ns``.

    ``now_ns`` and ``offset_ns`` are those of a kernel state that has seen events before these.

    >>> event_clock(np.array([10, 30, 20, 1, 4]), rebase_ns=15).tolist()
    [10, 30, 30, 30, 33]
    """
    held = np.maximum.accumulate(ts_ns + offset_ns)
    if now_ns is not None:
        held = np.maximum(held, now_ns)
    if not (held - ts_ns - offset_ns > rebase_ns).any():
        return held
    clock = []
    for stamp in ts_ns.tolist():
        now_ns = stamp if now_ns is None else now_ns
        if stamp + offset_ns < now_ns - rebase_ns:
            offset_ns = now_ns - stamp
        now_ns = max(now_ns, stamp + offset_ns)
        clock.append(now_ns)
    return np.array(clock, np.int64)


def kernel_input(ticks: pl.DataFrame) -> tuple[npt.NDArray[np.int8], Ints, Floats]:
    """What ``features.kernel.fold`` takes: kinds [n], event (else receive) times [n], values [n, 4]."""
    times = ticks.select(pl.when(pl.col("ts_event") > 0).then("ts_event").otherwise("ts_recv"))
    values = np.column_stack([ticks[name].to_numpy() for name in "abcd"])
    return ticks["kind"].to_numpy(), times.to_series().to_numpy(), values


def feature_table(ticks: pl.DataFrame) -> pl.DataFrame:
    """One row per decision point of one symbol: event clock, receive time, the quote, and the 25 features.

    Raises
    ------
    PipelineError
        When the clock written here is not the one the kernel kept.
    """
    kinds, ts_ns, values = kernel_input(ticks)
    state = init_state()
    features, index = _fold_columns(kinds, ts_ns, values, state)
    clock = event_clock(ts_ns)
    if len(clock) and int(state["now_ns"][0]) != clock[-1]:
        raise PipelineError(
            f"the kernel's clock ended at {int(state['now_ns'][0])}, the feature table's at {clock[-1]}",
            "make pipelines.feature_frames.event_clock follow features.kernel",
        )
    quotes = values[index]
    columns = [clock[index], ticks["ts_recv"].to_numpy()[index], *quotes.T]
    return pl.DataFrame({**dict(zip(QUOTE_COLUMNS, columns, strict=True)), **dict(zip(NAMES, features, strict=True))})


def _fold_columns(kinds: npt.NDArray[np.int8], ts_ns: Ints, values: Floats, state: State) -> tuple[Floats, Ints]:
    """``fold`` by features, float64 [25, n]: a stretch of rows is turned while it is still in the cache."""
    quotes = int((kinds == QUOTE).sum())
    columns, at, count = np.empty((COUNT, quotes)), np.empty(quotes, np.int64), 0
    room = np.empty((_STRETCH, COUNT)), np.empty(_STRETCH, np.int64)
    for start in range(0, len(kinds), _STRETCH):
        part = slice(start, start + _STRETCH)
        rows, index = SERVED.fold(kinds[part], ts_ns[part], values[part], state, out=room)
        columns[:, count : count + len(rows)], at[count : count + len(rows)] = rows.T, index + start
        count += len(rows)
    return columns[:, :count], at[:count]


def feature_rows(table: pl.DataFrame) -> Floats:
    """The features of a table as float64 [n, 25] in schema order."""
    return table.select(NAMES).to_numpy()


def require_schema(footer: dict[str, str], where: str) -> None:
    """Refuse a feature table that was written under another schema.

    Raises
    ------
    PipelineError
        Naming ``where`` and both ids.
    """
    found = footer.get(SCHEMA_KEY, "none")
    if found != SCHEMA_ID:
        raise PipelineError(
            f"{where}: feature schema {found}, but this code computes {SCHEMA_ID}", "materialize tick_features again"
        )


def sample_slices(n: int, size: int) -> list[tuple[int, int]]:
    """The first and the last ``size`` of ``n`` events; one slice when they would overlap."""
    return [(0, n)] if n <= 2 * size else [(0, size), (n - size, n)]


def first_mismatch(ticks: pl.DataFrame, table: pl.DataFrame, size: int) -> tuple[int, Mismatch | None]:
    """Stream typed events one by one through ``update`` and compare with the rows of ``table``, bit for bit.

    Between the slices the state is carried on by ``fold``, so the last slice meets a state as old as the table's.

    Returns
    -------
    compared, mismatch
        Rows compared, and the first difference or None.
    """
    kinds, ts_ns, values = kernel_input(ticks)
    stored, state = feature_rows(table), init_state()
    compared = reached = row = 0
    for start, stop in sample_slices(len(kinds), size):
        row += len(fold(kinds[reached:start], ts_ns[reached:start], values[reached:start], state)[0])
        index, streamed = _stream(state, ticks[start:stop])
        expected = stored[row : row + len(streamed)]
        found = _compare(streamed, expected, np.asarray(index) + start)
        compared, row, reached = compared + len(streamed), row + len(streamed), stop
        if found is not None:
            return compared, found
    if row != len(stored):
        return compared, Mismatch(len(kinds), "rows", float(row), float(len(stored)))
    return compared, None


def _stream(state: State, ticks: pl.DataFrame) -> tuple[Sequence[int], Floats]:
    index, rows, out, address, update = [], [], row_of(state), address_of(state), SERVED.update
    for i, tick in enumerate(ticks.iter_rows(named=True)):
        if update(address, *encode(typed_event(tick))):
            index.append(i)
            rows.append(out.copy())
    return index, np.array(rows).reshape(-1, COUNT)


def typed_event(tick: dict[str, float]) -> Quote | Trade:
    """One row of a tick table as the event the trader would have received."""
    a, b, c, d = (tick[name] for name in "abcd")
    ts_event, ts_recv, seq = int(tick["ts_event"]), int(tick["ts_recv"]), int(tick["seq"])
    if tick["kind"] == QUOTE:
        return Quote("", ts_event, ts_recv, a, b, c, d, seq)
    return Trade("", ts_event, ts_recv, a, b, int(c), seq, b, True)


def _compare(streamed: Floats, folded: Floats, index: Ints) -> Mismatch | None:
    if len(streamed) != len(folded):
        return Mismatch(int(index[-1]) if len(index) else 0, "rows", float(len(streamed)), float(len(folded)))
    different = np.argwhere(streamed.view(np.int64) != np.ascontiguousarray(folded).view(np.int64))
    if different.size == 0:
        return None
    row, column = (int(value) for value in different[0])
    return Mismatch(int(index[row]), NAMES[column], float(streamed[row, column]), float(folded[row, column]))
