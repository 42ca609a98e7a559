"""The kernel of one plan: the served row, the whole bank, or any list of names; compiled, called, folded."""

import hashlib
from collections.abc import Callable, Iterable
from functools import cached_property
from types import FunctionType
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from features.bars import bar_quote_hook, take_bar_trade
from features.body import (
    BOOK_LEVELS,
    FOLD,
    UPDATE,
    UPDATE_AT,
    UPDATE_LEVELS,
    VALUES,
    fold_body,
    hook_body,
    length_hook_body,
    other_body,
    quote_body,
    take_body,
    take_levels_body,
    tick_body,
    update_at_body,
    update_body,
    update_levels_body,
    write_all_body,
    write_slot_body,
)
from features.clock import keep_picker
from features.compose import Compiled, bar_chain, chain, fingerprint, jit, rebound
from features.family import Family
from features.memory import INTRINSICS, record_at, row_writer, seen_as
from features.plan import Plan, Slot
from features.state import LEVELS, Row, State
from market.events import QUOTE
from market.native import METH_FASTCALL, builtin


class Kernel:
    """Compiled code for one plan. Compiles at first use, and keeps what it compiled on disk."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.dtype = plan.dtype(f"kernel_{self._digest}")

    @cached_property
    def _digest(self) -> str:
        """Of everything the compiled code depends on."""
        made = fingerprint([self._take, self._take_book, update_body, update_at_body, update_levels_body, fold_body])
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
        named = self._named(update_body, at=self._at, take=self._take)
        return builtin(nb.cfunc(UPDATE, cache=True)(named), None, "update", METH_FASTCALL)

    @cached_property
    def _update_at(self) -> Compiled:
        return nb.cfunc(UPDATE_AT, cache=True)(self._named(update_at_body, at=self._at, take=self._take))

    def updater(self, state: State) -> Callable[[int], bool]:
        """``update`` of one state by the address of an ``EVENT``, which decoders write to: the cheapest call."""
        return builtin(self._update_at, self._mine(state), "update_at")

    def _mine(self, state: State) -> State:
        """``state``, which compiled code will take by its address."""
        if not (state.shape == (1,) and state.dtype == self.dtype):
            raise ValueError(f"an array {state.shape}, which is no state of this kernel")
        return state

    @cached_property
    def update_levels(self) -> Compiled:
        """``update_levels(address, ts_ns, levels)``: the ten best levels of both sides, float64 [4, 10]."""
        return self._compiled(UPDATE_LEVELS, self._named(update_levels_body, at=self._at, take_book=self._take_book))

    @cached_property
    def _fold(self) -> Compiled:
        parts = {"at": self._at, "take": self._take, "take_book": self._take_book, "is_whole": self.plan.is_whole}
        return self._compiled(FOLD, self._named(fold_body, **parts))

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
        values = np.ascontiguousarray(values, np.float64).reshape(-1, VALUES)
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
        template = length_hook_body if kind == "close" else hook_body
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
        return jit(rebound(tick_body, "tick", on_time=chain([*keeps, *self._on("time")])))

    @cached_property
    def _take(self) -> Compiled:
        bars = [bar_quote_hook(bar_chain(self._on("close")))] if self.plan.lengths else []
        bar_trades = [take_bar_trade] if self.plan.lengths else []
        quote = rebound(
            quote_body, "quote", tick=self._tick, on_quote=chain([*bars, *self._on("quote")]), write=self._write
        )
        hooks = {f"on_{kind}": chain(self._on(kind)) for kind in ("mark", "reference", "interest", "liquidation")}
        hooks["on_trade"] = chain([*bar_trades, *self._on("trade")])
        other = rebound(other_body, "other", tick=self._tick, **hooks)
        return jit(rebound(take_body, "take", quote=jit(quote), other=jit(other)))

    @cached_property
    def _take_book(self) -> Compiled:
        return jit(rebound(take_levels_body, "take_levels", tick=self._tick, on_levels=chain(self._on("levels"))))

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
        return jit(rebound(write_all_body, "write_all", **parts))

    def _writer(self, slot: Slot) -> Compiled:
        name = f"write_{slot.family.name}_{slot.output.name}"
        parts = {"write": slot.output.write, "start": slot.start, "stop": slot.stop}
        return self._for_family(write_slot_body, slot.family, name, **parts)
