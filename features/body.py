"""What happens to an event, as templates: ``features.compiled`` fills in what a plan needs and compiles them.

An event goes straight down: is it usable, move the clock, fade what decays, take the event, and at a decision point
write the row. Nothing is allocated and nothing depends on a wall clock, so the same events give the same bits.
"""

from typing import Final

import numba as nb
import numpy as np
import numpy.typing as npt

from features.calls import as_integer, as_number, bad_argument, is_error_set
from features.clock import move_clock, usable
from features.compose import Compiled, jit
from features.events import (
    fade_usual,
    start_prices,
    take_levels,
    take_mark,
    take_quote,
    take_reference,
    take_trade,
)
from features.memory import float_at, word_at
from features.parameters import PARAMETERS
from features.state import Record, Row
from market.events import QUOTE, TRADE
from market.native import as_bool

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
VALUES: Final = 4
_ARGUMENTS: Final = 3 + VALUES
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


def tick_body(s: Record, ts_ns: int) -> None:
    if move_clock(s, ts_ns):
        fade_usual(s)
        on_time(s)


def quote_body(s: Record, row: int, ts_ns: int, a: float, b: float, c: float, d: float) -> bool:
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


def other_body(s: Record, kind: int, ts_ns: int, a: float, b: float, c: float, d: float) -> None:
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


def take_body(s: Record, row: int, kind: int, ts_ns: int, a: float, b: float, c: float, d: float) -> bool:
    """``row`` is the address a row is written to."""
    if kind == QUOTE:
        return bool(quote(s, row, ts_ns, a, b, c, d))
    other(s, kind, ts_ns, a, b, c, d)
    return False


def take_levels_body(s: Record, ts_ns: int, levels: Row) -> None:
    if s.events > 0 and take_levels(s, levels):
        tick(s, ts_ns)
        on_levels(s)


def hook_body(s: Record) -> None:
    hook(see(s))


def length_hook_body(s: Record, length: int) -> None:
    hook(see(s), length)


def write_slot_body(s: Record) -> None:
    write(see(s), s.lanes[start:stop])


def write_all_body(s: Record, row: int) -> None:
    """Lanes of bars stand until they are stale; the others are made anew for every row."""
    write_always(s)
    if has_bars and s.are_bars_stale != 0:
        write_bars(s)
        s.are_bars_stale = 0
    if not is_whole:
        write_row(s.lanes, row)


def update_body(_module: int, arguments: int, count: int) -> int:
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


def update_at_body(state: int, address: int) -> int:
    """As CPython calls it: addresses of the state's array and of an integer that is the address of an ``EVENT``."""
    event = as_integer(address)
    if event == -1 and is_error_set() != 0:
        return 0
    s = at(word_at(state + _ARRAY_DATA))
    kind, ts_ns = word_at(event), word_at(event + 8)
    a, b, c, d = float_at(event + 16), float_at(event + 24), float_at(event + 32), float_at(event + 40)
    return int(as_bool(np.int64(take(s, s.row.ctypes.data, kind, ts_ns, a, b, c, d))))


def update_levels_body(address: int, ts_ns: int, levels: Row) -> None:
    take_book(at(address), ts_ns, levels)


def fold_body(
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


UPDATE: Final = nb.int64(nb.int64, nb.int64, nb.int64)
UPDATE_AT: Final = nb.int64(nb.int64, nb.int64)
UPDATE_LEVELS: Final = nb.void(nb.int64, nb.int64, nb.types.Array(nb.float64, 2, "C", readonly=True))
FOLD: Final = nb.int64(
    nb.int64,
    nb.types.Array(nb.int8, 1, "C", readonly=True),
    nb.types.Array(nb.int64, 1, "C", readonly=True),
    nb.types.Array(nb.float64, 2, "C", readonly=True),
    nb.types.Array(nb.float64, 3, "C", readonly=True),
    nb.float64[:, ::1],
    nb.int64[::1],
)
