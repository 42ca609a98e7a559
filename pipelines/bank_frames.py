"""Recorded sessions to rows of the whole bank: labelled decision points, thinned evenly, in bounded memory.

Events are folded chunk by chunk through one kernel state per symbol, so the rows are those of one fold over the whole
session, and nothing but the kept rows grows with it.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from features.bank import BANK_NAMES, bank_kernel
from features.compiled import Kernel
from features.schema import KERNEL_VERSION
from market.codecs import decode_all
from market.errors import FrameError
from market.events import Event, Quote
from market.sequence import rule_of
from market.tape import Session, session_frames
from pipelines.bank_events import Chunk, SymbolEvents, as_reference
from pipelines.feature_frames import event_clock
from pipelines.labels import UNKNOWN, nl_labels
from pipelines.settings import PipelineError

CHUNK_EVENTS: Final = 4_096
_TOLD_EVERY: Final = 2_000
BANK_KEY: Final = "bank_id"
BANK_ID: Final = hashlib.sha256(repr((KERNEL_VERSION, BANK_NAMES)).encode()).hexdigest()[:16]
OUTCOME: Final = ("ts_ns", "end_ns", "label")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]


class BankFrame(msgspec.Struct, frozen=True):
    """Labelled decision points of one symbol in one session: every ``stride``-th of ``decisions``.

    ``rows`` is float32 [n, features] in the order of the bank, ``ts_ns`` the kernel's clock, ``label`` and ``end_ns``
    as ``pipelines.labels`` gives them over all decision points, kept or not.
    """

    symbol: str
    rows: npt.NDArray[np.float32]
    ts_ns: Ints
    end_ns: Ints
    label: Labels
    decisions: int
    stride: int


class Thinned:
    """Every ``stride``-th item of a stream of arrays; the stride doubles whenever more than twice ``most`` are held."""

    def __init__(self, most: int) -> None:
        self._most, self.stride, self.seen, self._held = most, 1, 0, 0
        self._parts: list[tuple[npt.NDArray[np.generic], ...]] = []

    def add(self, *columns: npt.NDArray[np.generic]) -> None:
        kept = slice(-self.seen % self.stride, None, self.stride)
        self._parts.append(tuple(column[kept].copy() for column in columns))
        self.seen += len(columns[0])
        self._held += len(self._parts[-1][0])
        while self._held > 2 * self._most:
            self.thin_to(2 * self.stride)

    def thin_to(self, stride: int) -> None:
        """Keep what a stride of a multiple of the present one would have kept."""
        step, self.stride = stride // self.stride, stride
        self._parts = [tuple(column[::step].copy() for column in self.columns())] if self._parts else []
        self._held = len(self._parts[0][0]) if self._parts else 0

    def columns(self) -> tuple[npt.NDArray[np.generic], ...]:
        """What is held, one array per column."""
        self._parts = [tuple(np.concatenate(parts) for parts in zip(*self._parts, strict=True))]
        return self._parts[0]


class Outcomes:
    """Labels of a stream of quotes, as ``nl_labels`` gives them for all at once; each waits until its own is sure."""

    def __init__(self, k: int, latency_ns: int) -> None:
        self._k, self._latency_ns = k, latency_ns
        self._waiting: Floats = np.zeros((0, 3))
        self._stamps: Ints = np.zeros(0, np.int64)

    def add(self, ts_ns: Ints, quotes: Floats) -> tuple[Ints, Ints, Labels]:
        """Times, ends and labels of the oldest waiting quotes whose outcome is now known for good."""
        self._stamps = np.concatenate([self._stamps, ts_ns])
        self._waiting = np.concatenate([self._waiting, quotes])
        label, end_ns = self._labels()
        sure = (label != UNKNOWN) & (self._stamps + self._latency_ns < self._stamps[-1:].max(initial=0))
        return self._leave(int(np.argmin(sure)) if not sure.all() else sure.size, label, end_ns)

    def finish(self) -> tuple[Ints, Ints, Labels]:
        """The rest, where most labels stay unknown."""
        label, end_ns = self._labels()
        return self._leave(label.size, label, end_ns)

    def _labels(self) -> tuple[Labels, Ints]:
        bid_px, ask_px = self._waiting[:, 0], self._waiting[:, 2]
        return nl_labels(self._stamps, bid_px, ask_px, k=self._k, latency_ns=self._latency_ns)

    def _leave(self, count: int, label: Labels, end_ns: Ints) -> tuple[Ints, Ints, Labels]:
        done = self._stamps[:count], end_ns[:count], label[:count]
        self._stamps, self._waiting = self._stamps[count:], self._waiting[count:]
        return done


class SymbolFold:
    """One symbol's events, kernel state, labels, and the rows kept so far."""

    def __init__(self, kernel: Kernel, symbol: str, venue: str, most: int, outcomes: Outcomes) -> None:
        self.events = SymbolEvents(symbol, rule_of(venue))
        self._symbol, self._kernel, self._state = symbol, kernel, kernel.init_state()
        self._outcomes = outcomes
        self._rows, self._known = Thinned(most), Thinned(most)

    def fold(self) -> None:
        """Take what was gathered."""
        chunk, state = self.events.cut(), self._state
        if not len(chunk.kinds):
            return
        clock = event_clock(chunk.ts_ns, now_ns=_now(state), offset_ns=int(state["offset_ns"][0]))
        rows, index = self._kernel.fold(chunk.kinds, chunk.ts_ns, chunk.values, state, chunk.levels)
        _require_clock(chunk, clock, int(state["now_ns"][0]))
        self._rows.add(rows.astype(np.float32))
        self._known.add(*self._outcomes.add(clock[index], chunk.values[index][:, :3]))

    def frame(self) -> BankFrame:
        """The labelled rows; call once, at the end."""
        self.fold()
        self._known.add(*self._outcomes.finish())
        stride = max(self._rows.stride, self._known.stride)
        for kept in (self._rows, self._known):
            kept.thin_to(stride)
        (rows,), (ts_ns, end_ns, label) = self._rows.columns(), self._known.columns()
        known = label != UNKNOWN
        return BankFrame(self._symbol, rows[known], ts_ns[known], end_ns[known], label[known], self._known.seen, stride)


def _now(state: npt.NDArray[np.void]) -> int | None:
    return int(state["now_ns"][0]) if state["events"][0] else None


def _require_clock(chunk: Chunk, clock: Ints, now_ns: int) -> None:
    if now_ns != clock[-1]:
        raise PipelineError(
            f"after {len(chunk.kinds)} events the kernel's clock stands at {now_ns}, that of the frames at {clock[-1]}",
            "make pipelines.bank_events.usable follow features.compiled",
        )


def reference_of(symbols: Sequence[str], wanted: str) -> str:
    """The symbol that ``wanted`` names: itself, else the shortest that begins so, else none ("").

    >>> reference_of(("BTCDOMUSDT", "BTCUSDT", "ETHUSDT"), "BTC")
    'BTCUSDT'
    """
    if wanted in symbols:
        return wanted
    return min((s for s in symbols if wanted and s.startswith(wanted)), key=lambda s: (len(s), s), default="")


def bank_frames(
    session: Session,
    reference: str,
    *,
    most: int,
    label_k: int,
    latency_ns: int,
    kernel: Kernel | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> tuple[list[BankFrame], int]:
    """Rows of the whole bank for every symbol of a session, and how many frames could not be read.

    Parameters
    ----------
    session
        Its files are read once, merged by receive time; each symbol's clock is its events' own.
    reference
        Symbol, or how its name begins, whose quotes the others also see; where the session lacks it, cross-asset
        features keep their zeros.
    most
        Rows kept per symbol: at least so many where there are as many decision points, at most twice.
    label_k, latency_ns
        As ``nl_labels`` takes them.
    kernel
        What computes the rows; None is the whole bank's.
    progress
        Called with the share of frames read.
    """
    decode, folds, unreadable = decode_all(session.venue), dict[str, SymbolFold](), 0
    reference, kernel = reference_of(session.symbols, reference), bank_kernel() if kernel is None else kernel
    for count, frame in enumerate(session_frames(session)):
        if count % _TOLD_EVERY == 0:
            progress(min(count / max(session.frames, 1), 1.0))
        try:
            for event in decode(frame.raw, frame.recv_ns):
                symbol = event.symbol or frame.symbol
                if symbol not in folds:
                    folds[symbol] = SymbolFold(kernel, symbol, session.venue, most, Outcomes(label_k, latency_ns))
                _give(event, symbol, symbol == reference, folds)
        except (FrameError, ValueError):
            unreadable += 1
    progress(1.0)
    frames = [fold.frame() for _, fold in sorted(folds.items())]
    return [frame for frame in frames if len(frame.label)], unreadable


def _give(event: Event, symbol: str, is_reference: bool, folds: dict[str, SymbolFold]) -> None:
    """To the event's own symbol; a quote of the reference to all others as well."""
    folds[symbol].events.take(event)
    if is_reference and isinstance(event, Quote):
        encoded = as_reference(event)
        for other, fold in folds.items():
            if other != symbol:
                fold.events.take_reference(encoded)
    for fold in folds.values() if is_reference else (folds[symbol],):
        if len(fold.events) >= CHUNK_EVENTS:
            fold.fold()


def bank_table(frame: BankFrame) -> pl.DataFrame:
    """A frame as a table: ``OUTCOME``, then one float32 column per feature of the bank."""
    outcome = (frame.ts_ns, frame.end_ns, frame.label)
    columns = dict(zip(OUTCOME, outcome, strict=True))
    return pl.DataFrame({**columns, **dict(zip(BANK_NAMES, frame.rows.T, strict=True))})
