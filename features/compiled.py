"""The body that computes features, compiled for one plan: the served row, the whole bank, or any list of names.

An event goes straight down: is it usable, move the clock, fade what decays, take the event, and at a decision point
write the row. Nothing is allocated and nothing depends on a wall clock, so the same events give the same bits.
"""

import hashlib
from collections.abc import Callable, Iterable
from functools import cached_property
from types import FunctionType
from typing import Any, Final

import numba as nb
import numpy as np
import numpy.typing as npt

from features.bars import bar_quote_hook, take_bar_trade
from features.calls import METH_FASTCALL, METH_O, as_bool, as_integer, as_number, bad_argument, builtin, is_error_set
from features.clock import keep_picker, move_clock, usable
from features.compose import Compiled, bar_chain, chain, fingerprint, jit, rebound
from features.events import (
    fade_usual,
    start_prices,
    take_levels,
    take_mark,
    take_quote,
    take_reference,
    take_trade,
)
from features.family import Family
from features.memory import INTRINSICS, float_at, record_at, row_writer, seen_as, word_at
from features.parameters import PARAMETERS
from features.plan import Plan, Slot
from features.state import LEVELS, Record, Row, State
from market.events import QUOTE, TRADE

MARK: Final = 2
REFERENCE: Final = 3
BOOK_LEVELS: Final = 4
INTEREST: Final = 5
LIQUIDATION: Final = 6

# what ``rebound`` fills in, per plan
at: Compiled = None
tick: Compiled = None
quote: Compiled = None
other: Compiled = None
take: Compiled = None
take_book: Compiled = None
write: Compiled = None
write_always: Compiled = None
write_bars: Compiled = None
write_row: Compiled = None
see: Compiled = None
hook: Compiled = None
on_time: Compiled = None
on_quote: Compiled = None
on_trade: Compiled = None
on_mark: Compiled = None
on_reference: Compiled = None
on_levels: Compiled = None
on_interest: Compiled = None
on_liquidation: Compiled = None
start = stop = 0
has_bars = is_whole = False

_DECIDE_CHANGE, _DECIDE_SPAN = PARAMETERS.decide == "change", PARAMETERS.decide == "span"
_DECIDE_NS, _WARMUP = PARAMETERS.decide_ns, PARAMETERS.warmup_quotes
_VALUES: Final = 4
_ARGUMENTS: Final = 3 + _VALUES
_ARRAY_DATA: Final = 16  # where numpy's arrays have their data pointer

EVENT: Final = np.dtype([("kind", "i8"), ("ts_ns", "i8"), ("a", "f8"), ("b", "f8"), ("c", "f8"), ("d", "f8")])
"""An event as it lies in memory; the fields are what ``update`` takes."""


@jit
def _decides(s: Record) -> bool:
    """Whether the quote just taken is a decision point of the schema."""
    if s.quotes <= _WARMUP:
        return False
    if _DECIDE_CHANGE:
        return bool(
            s.bid_px != s.last_bid_px
            or s.ask_px != s.last_ask_px
            or s.bid_qty != s.last_bid_qty
            or s.ask_qty != s.last_ask_qty
        )
    if _DECIDE_SPAN:
        if s.now_ns - s.decided_ns < _DECIDE_NS:
            return False
        s.decided_ns = s.now_ns
    return True


def _tick(s: Record, ts_ns: int) -> None:
    if move_clock(s, ts_ns):
        fade_usual(s)
        on_time(s)


def _quote(s: Record, row: int, ts_ns: int, a: float, b: float, c: float, d: float) -> bool:
    if not (usable(a) and usable(b) and usable(c) and usable(d) and a <= c):
        return False
    start_prices(s, a)
    tick(s, ts_ns)
    take_quote(s, a, b, c, d)
    on_quote(s)
    s.quotes += 1
    if not _decides(s):
        return False
    write(s, row)
    return True


def _other(s: Record, kind: int, ts_ns: int, a: float, b: float, c: float, d: float) -> None:
    """Events that are never decision points."""
    if kind == TRADE and usable(a) and usable(b):
        start_prices(s, a)
        tick(s, ts_ns)
        take_trade(s, a, b, c)
        on_trade(s)
    elif kind == MARK and s.events > 0:
        tick(s, ts_ns)
        take_mark(s, a, b, c, d)
        on_mark(s)
    elif kind == REFERENCE and s.events > 0 and usable(a) and usable(c) and a <= c:
        tick(s, ts_ns)
        take_reference(s, a, c)
        on_reference(s)
    elif kind == INTEREST and s.events > 0 and usable(a):
        tick(s, ts_ns)
        s.interest = a
        on_interest(s)
    elif kind == LIQUIDATION and s.events > 0 and usable(a) and usable(b):
        tick(s, ts_ns)
        s.liquidation_px, s.liquidation_qty, s.liquidation_side = a, b, c
        on_liquidation(s)


def _take(s: Record, row: int, kind: int, ts_ns: int, a: float, b: float, c: float, d: float) -> bool:
    """``row`` is the address a row is written to."""
    if kind == QUOTE:
        return bool(quote(s, row, ts_ns, a, b, c, d))
    other(s, kind, ts_ns, a, b, c, d)
    return False


def _take_levels(s: Record, ts_ns: int, levels: Row) -> None:
    if s.events > 0 and take_levels(s, levels):
        tick(s, ts_ns)
        on_levels(s)


def _hook(s: Record) -> None:
    hook(see(s))


def _length_hook(s: Record, length: int) -> None:
    hook(see(s), length)


def _write_slot(s: Record) -> None:
    write(see(s), s.lanes[start:stop])


def _write_all(s: Record, row: int) -> None:
    """Lanes of bars stand until they are stale; the others are made anew for every row."""
    write_always(s)
    if has_bars and s.are_bars_stale != 0:
        write_bars(s)
        s.are_bars_stale = 0
    if not is_whole:
        write_row(s.lanes, row)


def _update(_module: int, arguments: int, count: int) -> int:
    """As CPython calls it: addresses of a vector of arguments, and of the new object that is the answer."""
    if count != _ARGUMENTS:
        bad_argument()
        return 0
    address, kind = as_integer(word_at(arguments)), as_integer(word_at(arguments + 8))
    ts_ns = as_integer(word_at(arguments + 16))
    a, b = as_number(word_at(arguments + 24)), as_number(word_at(arguments + 32))
    c, d = as_number(word_at(arguments + 40)), as_number(word_at(arguments + 48))
    is_odd = address == -1 or kind == -1 or ts_ns == -1 or a == -1.0 or b == -1.0 or c == -1.0 or d == -1.0
    if is_odd and is_error_set() != 0:
        return 0
    s = at(address)
    return int(as_bool(np.int64(take(s, s.row.ctypes.data, kind, ts_ns, a, b, c, d))))


def _update_at(state: int, address: int) -> int:
    """As CPython calls it: addresses of the state's array and of an integer that is the address of an ``EVENT``."""
    event = as_integer(address)
    if event == -1 and is_error_set() != 0:
        return 0
    s = at(word_at(state + _ARRAY_DATA))
    kind, ts_ns = word_at(event), word_at(event + 8)
    a, b, c, d = float_at(event + 16), float_at(event + 24), float_at(event + 32), float_at(event + 40)
    return int(as_bool(np.int64(take(s, s.row.ctypes.data, kind, ts_ns, a, b, c, d))))


def _update_levels(address: int, ts_ns: int, levels: Row) -> None:
    take_book(at(address), ts_ns, levels)


def _fold(
    address: int,
    kinds: npt.NDArray[np.int8],
    ts: npt.NDArray[np.int64],
    values: Row,
    levels: npt.NDArray[np.float64],
    rows: Row,
    index: npt.NDArray[np.int64],
) -> int:
    s, row, count, book = at(address), rows.ctypes.data, 0, 0
    for i in range(kinds.size):
        if kinds[i] == BOOK_LEVELS:
            take_book(s, ts[i], levels[book])
            book += 1
        elif take(s, row, kinds[i], ts[i], values[i, 0], values[i, 1], values[i, 2], values[i, 3]):
            if is_whole:
                for k in range(s.lanes.size):
                    rows[count, k] = s.lanes[k]
            index[count] = i
            count += 1
            row += rows.strides[0]
    if count > 0 and not is_whole:
        s.row[:] = rows[count - 1]
    return count


_UPDATE: Final = nb.int64(nb.int64, nb.int64, nb.int64)
_UPDATE_AT: Final = nb.int64(nb.int64, nb.int64)
_UPDATE_LEVELS: Final = nb.void(nb.int64, nb.int64, nb.types.Array(nb.float64, 2, "C", readonly=True))
_FOLD: Final = nb.int64(
    nb.int64,
    nb.types.Array(nb.int8, 1, "C", readonly=True),
    nb.types.Array(nb.int64, 1, "C", readonly=True),
    nb.types.Array(nb.float64, 2, "C", readonly=True),
    nb.types.Array(nb.float64, 3, "C", readonly=True),
    nb.float64[:, ::1],
    nb.int64[::1],
)


class Kernel:
    """Compiled code for one plan. Compiles at first use, and keeps what it compiled on disk."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.dtype = plan.dtype(f"kernel_{self._digest}")

    @cached_property
    def _digest(self) -> str:
        """Of everything the compiled code depends on."""
        made = fingerprint([self._take, self._take_book, _update, _update_at, _update_levels, _fold])
        layout = self.plan.dtype("kernel").descr
        return hashlib.sha256(repr((made, layout, self.plan.pick.tolist(), INTRINSICS)).encode()).hexdigest()[:16]

    def init_state(self) -> State:
        """A fresh state: no event seen. One per symbol and stream; ``state.copy()`` is a snapshot."""
        return self.plan.start(self.dtype)

    def row(self, state: State) -> Row:
        """A view of the row last written to ``state``."""
        return np.asarray(state["lanes" if self.plan.is_whole else "row"][0])

    @cached_property
    def update(self) -> Compiled:
        """``update(address, kind, ts_ns, a, b, c, d) -> bool``: see ``features.kernel.update``."""
        named = self._named(_update, at=self._at, take=self._take)
        return builtin(nb.cfunc(_UPDATE, cache=True)(named), "update", METH_FASTCALL)

    @cached_property
    def _update_at(self) -> Compiled:
        return nb.cfunc(_UPDATE_AT, cache=True)(self._named(_update_at, at=self._at, take=self._take))

    def updater(self, state: State) -> Callable[[int], bool]:
        """``update`` of one state by the address of an ``EVENT``, which decoders write to: the cheapest call."""
        return builtin(self._update_at, "update_at", METH_O, self._mine(state))

    def _mine(self, state: State) -> State:
        """``state``, which compiled code will take by its address."""
        if not (state.shape == (1,) and state.dtype == self.dtype):
            raise ValueError(f"an array {state.shape}, which is no state of this kernel")
        return state

    @cached_property
    def update_levels(self) -> Compiled:
        """``update_levels(address, ts_ns, levels)``: the ten best levels of both sides, float64 [4, 10]."""
        return self._compiled(_UPDATE_LEVELS, self._named(_update_levels, at=self._at, take_book=self._take_book))

    @cached_property
    def _fold(self) -> Compiled:
        parts = {"at": self._at, "take": self._take, "take_book": self._take_book, "is_whole": self.plan.is_whole}
        return self._compiled(_FOLD, self._named(_fold, **parts))

    def fold(
        self,
        kinds: npt.NDArray[np.int8],
        ts: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
        state: State | None = None,
        levels: npt.NDArray[np.float64] | None = None,
        out: tuple[Row, npt.NDArray[np.int64]] | None = None,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Rows of a stretch of events, exactly as ``update`` gives them one by one.

        Parameters
        ----------
        kinds, ts, values
            ``[n]``, ``[n]`` and ``[n, 4]`` in the order received: what ``update`` takes as kind, ts_ns and a to d.
        state
            Continue from here (and change it); None starts afresh.
        levels
            ``[m, 4, 10]``: of each event of kind ``BOOK_LEVELS``, in order.
        out
            Room for a row and an index of every quote, which the result is then a view of; None makes some.

        Returns
        -------
        rows, index
            ``float64[k, features]`` and ``int64[k]``: one row per decision point and the position of its event.
        """
        kinds, ts = np.ascontiguousarray(kinds, np.int8), np.ascontiguousarray(ts, np.int64)
        values = np.ascontiguousarray(values, np.float64).reshape(-1, _VALUES)
        books = int((kinds == BOOK_LEVELS).sum())
        levels = np.zeros((0, 4, LEVELS)) if levels is None else np.ascontiguousarray(levels, np.float64)
        if not len(kinds) == len(ts) == len(values) or levels.shape != (books, 4, LEVELS):
            raise ValueError(
                f"{len(kinds)} kinds, {len(ts)} times, {len(values)} values, {books} books, {levels.shape}"
            )
        state = self.init_state() if state is None else self._mine(state)
        room = int((kinds == QUOTE).sum())
        shape = room, len(self.plan.features)
        rows, index = (np.empty(shape), np.empty(room, np.int64)) if out is None else out
        if len(rows) < room or len(index) < room or rows.shape[1] != shape[1]:
            raise ValueError(f"room for {rows.shape} rows, {shape} are needed")
        count = self._fold(state.ctypes.data, kinds, ts, values, levels, rows, index)
        if out is not None or 2 * count > room:
            return rows[:count], index[:count]
        return rows[:count].copy(), index[:count].copy()

    def _named(self, template: Any, **parts: object) -> FunctionType:
        return rebound(template, f"{template.__name__}_{self._digest}", **parts)

    def _compiled(self, signature: Any, named: FunctionType) -> Compiled:
        return nb.njit(signature, error_model="numpy", nogil=True, cache=True)(named)

    @cached_property
    def _at(self) -> Compiled:
        return record_at(nb.from_dtype(self.dtype))

    def _for_family(self, template: Any, family: Family, name: str, **parts: object) -> Compiled:
        """``template`` of a family that keeps some taus only, which it must see as ``keep``."""
        return jit(rebound(template, name, see=seen_as("keep", self.plan.keep_field(family)), **parts))

    def _on(self, kind: str) -> list[Compiled]:
        template = _length_hook if kind == "close" else _hook
        hooks = [(family, family.hooks[kind]) for family in self.plan.families if kind in family.hooks]
        return [
            hook
            if self.plan.keep_field(family) == "keep"
            else self._for_family(template, family, f"{family.name}_{kind}", hook=hook)
            for family, hook in hooks
        ]

    @cached_property
    def _tick(self) -> Compiled:
        keeps = [keep_picker(name, picks) for name, picks in self.plan.keeps]
        return jit(rebound(_tick, "tick", on_time=chain([*keeps, *self._on("time")])))

    @cached_property
    def _take(self) -> Compiled:
        bars = [bar_quote_hook(bar_chain(self._on("close")))] if self.plan.lengths else []
        bar_trades = [take_bar_trade] if self.plan.lengths else []
        quote = rebound(
            _quote, "quote", tick=self._tick, on_quote=chain([*bars, *self._on("quote")]), write=self._write
        )
        hooks = {f"on_{kind}": chain(self._on(kind)) for kind in ("mark", "reference", "interest", "liquidation")}
        hooks["on_trade"] = chain([*bar_trades, *self._on("trade")])
        other = rebound(_other, "other", tick=self._tick, **hooks)
        return jit(rebound(_take, "take", quote=jit(quote), other=jit(other)))

    @cached_property
    def _take_book(self) -> Compiled:
        return jit(rebound(_take_levels, "take_levels", tick=self._tick, on_levels=chain(self._on("levels"))))

    @cached_property
    def _write(self) -> Compiled:
        def links(slots: Iterable[Slot]) -> Compiled:
            return chain([self._writer(slot) for slot in slots])

        plan = self.plan
        parts = {
            "write_always": links(slot for slot in plan.slots if not slot.lengths),
            "write_bars": links(slot for slot in plan.slots if slot.lengths),
            "write_row": row_writer(plan.pick.tolist()),
            "has_bars": bool(plan.lengths),
            "is_whole": plan.is_whole,
        }
        return jit(rebound(_write_all, "write_all", **parts))

    def _writer(self, slot: Slot) -> Compiled:
        name = f"write_{slot.family.name}_{slot.output.name}"
        parts = {"write": slot.output.write, "start": slot.start, "stop": slot.stop}
        return self._for_family(_write_slot, slot.family, name, **parts)
