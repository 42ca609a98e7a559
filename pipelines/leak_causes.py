"""Why a column looks ahead: the cause, told from how its rows settle when later events come in one by one.

A row is settled from the place on after which no further event changes it. How far that lies ahead of the event after
which the row is said to be known, and whether rows settle alone, by bars or only with the end of the file, tells causes
apart. Nothing is read of how the rows are computed.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from features.leak import Compute, Leak

PROBED: Final = 1_200
_FEWEST: Final = 32  # what many functions need before they give anything
_LONGEST_SHIFT: Final = 256
_WHOLE_FILE_SHARE: Final = 0.5
_STEADY: Final = 0.01
_TOLERANCE: Final = 1e-5
_ROUNDING: Final = 1e-9
_MS: Final = 1_000_000
_BAR_MS: Final = (50, 100, 200, 250, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 15_000, 30_000, 60_000, 300_000)
_BAR_EVENTS: Final = (5, 10, 20, 25, 50, 100, 128, 200, 250)

Rows = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class Trace(msgspec.Struct, frozen=True):
    """One column on a stretch of events, and when its rows settle.

    ``values`` [k] and ``known`` [k] are those of the whole stretch, ``settled`` [k] the number of events from which on
    a row no longer changes; ``changed`` is the largest share of known rows that one cut changed, and ``cut`` their
    values there. ``first`` is the shortest cut that was tried.
    """

    values: Rows
    known: Ints
    settled: Ints
    changed: float
    cut: Rows
    first: int
    size: int

    @property
    def ahead(self) -> npt.NDArray[np.bool_]:
        """Rows that need events after they are said to be known, [k]."""
        return (self.known + 1 >= self.first) & (self.settled > self.known + 1)


def cause_of(compute: Compute, inputs: Sequence[Rows], ts_ns: Ints, leak: Leak, column: int) -> str:
    """The cause, a key of ``pipelines.leaks.CAUSES``, of a leak that ``find_leaks`` found.

    ``ts_ns`` [n] is the clock of the events, ``column`` the number of the leaking one, -1 where whole rows wait.
    """
    if column < 0:
        return "waiting_rows"
    size = min(len(ts_ns), max(PROBED, leak.events + PROBED // 2))
    parts = [values[:size] for values in inputs]
    trace = _trace(compute, parts, size, column)
    if _is_shifted(trace, parts):
        return "future_column"
    if _is_bar(trace, ts_ns[:size]):
        return "bar_start"
    if trace.changed > _WHOLE_FILE_SHARE:
        return _of_the_file(trace)
    if not trace.ahead.any():
        return "looks_ahead"
    if not _is_steady(trace):
        return "forward_join"
    return "future_column" if _needs_no_past(compute, parts, trace, column) else "centred_window"


def split_rows(result: Any) -> tuple[Rows, Ints]:
    """Rows [k, f] and known [k] of what a compute gave."""
    rows, known = result if isinstance(result, tuple) else (result, np.arange(len(result)))
    return np.reshape(rows, (len(rows), -1)) if len(rows) else np.zeros((0, 1)), np.asarray(known, np.int64)


def _trace(compute: Compute, parts: Sequence[Rows], size: int, column: int) -> Trace:
    rows, known = split_rows(compute(*parts))
    values, settled = rows[:, column], np.zeros(len(rows), np.int64)
    first, changed, worst = max(min(_FEWEST, size // 2), size - PROBED, 1), 0.0, values[:0]
    for events in range(first, size):
        cut_rows, cut_known = split_rows(compute(*(part[:events] for part in parts)))
        now, at = cut_rows[cut_known < events], np.flatnonzero(known < events)
        if len(now) != len(at) or not len(at):
            continue
        differs = ~_same(values[at], now[:, column])
        settled[at[differs]] = events + 1
        if events >= size // 2 and differs.mean() > changed:
            changed, worst = float(differs.mean()), now[:, column]
    return Trace(values, known, settled, changed, worst, first, size)


def _same(one: Rows, other: Rows) -> npt.NDArray[np.bool_]:
    """Equal but for rounding, which may depend on where a vectorized loop starts; NaN equals NaN."""
    return np.isclose(one, other, rtol=_ROUNDING, atol=0.0, equal_nan=True)


def _is_shifted(trace: Trace, parts: Sequence[Rows]) -> bool:
    """Whether the column is a column of the input, some events later."""
    if not np.array_equal(trace.known, np.arange(trace.size)):
        return False
    for part in parts:
        if part.ndim == 1 and len(np.unique(part)) > 2:
            for step in range(1, min(_LONGEST_SHIFT, trace.size // 4)):
                if trace.values[0] == part[step] and _same(trace.values[:-step], part[step:].astype(np.float64)).all():
                    return True
    return False


def _is_bar(trace: Trace, ts_ns: Ints) -> bool:
    """Whether rows look to the end of the bar they lie in: within it, and all rows of a bar alike."""
    ahead = trace.ahead & (trace.settled < trace.size)
    known, told = trace.known[ahead], trace.settled[ahead] - 1
    clocks = [clock // (ms * _MS) for clock in (ts_ns, ts_ns - ts_ns[0]) for ms in _BAR_MS]
    clocks += [np.arange(trace.size) // events for events in _BAR_EVENTS]
    return any(_looks_to_the_end(bar[known], bar[told], told) for bar in clocks)


def _looks_to_the_end(bar: Ints, told_in: Ints, told: Ints) -> bool:
    bars = np.unique(bar)
    if len(bars) < 3 or not np.array_equal(bar, told_in):
        return False
    return len(np.unique(told)) == len(bars)


def _of_the_file(trace: Trace) -> str:
    """What of the whole file is in every row, from how the values at one cut map to those of the whole."""
    cut, whole = trace.cut.astype(np.float64), trace.values[: len(trace.cut)].astype(np.float64)
    there = np.isfinite(cut) & np.isfinite(whole)
    cut, whole = cut[there], whole[there]
    levels = np.unique(cut)
    if len(levels) >= 3 and _is_affine(cut, whole):
        return "whole_file_normalization"
    pairs = np.unique(np.column_stack([cut, whole]), axis=0)
    if 2 <= len(levels) <= len(cut) / 4 and len(pairs) <= 2 * len(levels):
        return "target_encoding"
    return "whole_file"


def _is_affine(cut: Rows, whole: Rows) -> bool:
    """Whether nearly all pairs lie on one line; clipped ones may not."""
    order = np.argsort(cut)
    low, high = order[len(order) // 10], order[-1 - len(order) // 10]
    if cut[low] == cut[high]:
        low, high = order[0], order[-1]
    slope = (whole[high] - whole[low]) / (cut[high] - cut[low])
    off = np.abs(whole[low] + slope * (cut - cut[low]) - whole)
    return bool(np.mean(off <= _TOLERANCE * max(float(np.ptp(whole)), 1e-12)) > 0.9)


def _is_steady(trace: Trace) -> bool:
    """Whether the farthest look ahead is one that many rows take; to a next event of some kind it is a rare one."""
    reach = (trace.settled - trace.known - 1)[trace.ahead]
    farthest = int((reach == reach.max()).sum())
    return farthest >= max(3, _STEADY * len(reach))


def _needs_no_past(compute: Compute, parts: Sequence[Rows], trace: Trace, column: int) -> bool:
    """Whether rows stay as they are when all events before their own are taken away."""
    kept, tried = 0, np.flatnonzero(trace.ahead)[:: max(1, int(trace.ahead.sum()) // 8)]
    for row in tried.tolist():
        try:
            rows, _ = split_rows(compute(*(part[trace.known[row] :] for part in parts)))
        except (ValueError, IndexError):
            continue
        kept += len(rows) > 0 and bool(_same(rows[:1, column], trace.values[row : row + 1])[0])
    return kept > len(tried) / 2
