"""Where the mid went: returns over lags, distance from its mean, realized volatility."""

from math import sqrt
from typing import Any, Final

import numpy as np

from features.clock import faded
from features.compose import jit
from features.family import Family, Output, Window, float_fields
from features.parameters import LAGS, PARAMETERS, QUOTE_LAGS, TAUS
from features.state import Lanes, Record

BPS: Final = 1e4
_FINE, _COARSE = PARAMETERS.fine_cell_ns, PARAMETERS.coarse_cell_ns
_LONGEST_FINE: Final = PARAMETERS.longest_fine_lag_ns


def _ring(lags: list[int], cell_ns: int) -> int:
    return 1 << (2 * max(lags, default=cell_ns) // cell_ns + 1).bit_length()


_FINE_CELLS: Final = _ring([lag for lag in LAGS if lag <= _LONGEST_FINE], _FINE)
_COARSE_CELLS: Final = _ring([lag for lag in LAGS if lag > _LONGEST_FINE], _COARSE)


@jit
def _fill(ring: Lanes, mid: float, past: float, cell: int, last: int) -> None:
    """Cells without a quote hold the mid before them; the current one holds the newest."""
    first = max(last + 1, cell - ring.size + 1)
    for skipped in range(first, cell):
        ring[skipped & (ring.size - 1)] = past
    ring[cell & (ring.size - 1)] = mid


@jit
def _record_cells(s: Record) -> None:
    fine, coarse = s.now_ns // _FINE, s.now_ns // _COARSE
    if s.quotes == 0:
        s.fine_mid[:] = s.mid
        s.coarse_mid[:] = s.mid
    else:
        _fill(s.fine_mid, s.mid, s.last_mid, fine, s.fine_cell)
        _fill(s.coarse_mid, s.mid, s.last_mid, coarse, s.coarse_cell)
    s.fine_cell, s.coarse_cell = fine, coarse


@jit
def _lagged(s: Record, k: int, times: int) -> float:
    """Log mid of the last quote in or before the cell that lies ``times`` lags before the current one."""
    if s.lag_ns[k] <= _LONGEST_FINE:
        return s.fine_mid[(s.fine_cell - times * s.lag_cells[k]) & (s.fine_mid.size - 1)]
    return s.coarse_mid[(s.coarse_cell - times * s.lag_cells[k]) & (s.coarse_mid.size - 1)]


@jit
def _write_return(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * (s.mid - _lagged(s, k, 1))


@jit
def _write_acceleration(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * (s.mid - 2.0 * _lagged(s, k, 1) + _lagged(s, k, 2))


def _lag_fields(count: int) -> list[tuple[Any, ...]]:
    return [
        ("lag_ns", np.int64, (count,)),
        ("lag_cells", np.int64, (count,)),
        ("fine_cell", np.int64),
        ("coarse_cell", np.int64),
        ("fine_mid", np.float64, (_FINE_CELLS,)),
        ("coarse_mid", np.float64, (_COARSE_CELLS,)),
    ]


def _start_lags(state: Any, windows: tuple[Window, ...]) -> None:
    state["lag_ns"] = windows
    state["lag_cells"] = [lag // (_FINE if lag <= _LONGEST_FINE else _COARSE) for lag in windows]


_CELLS_NOTE: Final = "cells of 10 ms up to lags of 10 s, of 1 s beyond"
_OLDEST: Final = "the first mid stands in while nothing is old enough"

LAGGED: Final = Family(
    name="lagged",
    group="price",
    axis="lag",
    windows=LAGS,
    fields=_lag_fields,
    start=_start_lags,
    hooks={"quote": _record_cells},
    outputs=(
        Output(
            name="return",
            suffix="_bps",
            unit="bps",
            write=_write_return,
            definition="10,000 x (log mid - log mid of the last quote in or before the cell that lies the lag before "
            f"the current cell); {_CELLS_NOTE}",
            source="log return",
            zero_rule=_OLDEST,
            mirror="sign",
        ),
        Output(
            name="acceleration",
            suffix="_bps",
            unit="bps",
            write=_write_acceleration,
            definition="10,000 x (log mid - 2 a + b); a and b the log mids one and two lags before, as in the return",
            source="second difference",
            zero_rule=_OLDEST,
            mirror="sign",
        ),
    ),
)

_QUOTE_RING: Final = 1 << max(QUOTE_LAGS).bit_length()


@jit
def _record_quote(s: Record) -> None:
    s.quote_mid[s.quotes & (_QUOTE_RING - 1)] = s.mid


@jit
def _write_quote_return(s: Record, out: Lanes) -> None:
    """The current quote is number ``quotes - 1``: it was counted before this is written."""
    for k in range(out.size):
        past = max(s.quotes - 1 - s.quote_lags[k], 0)
        out[k] = BPS * (s.mid - s.quote_mid[past & (_QUOTE_RING - 1)])


def _start_quote_lags(state: Any, windows: tuple[Window, ...]) -> None:
    state["quote_lags"] = windows


LAGGED_QUOTES: Final = Family(
    name="lagged_quotes",
    group="price",
    axis="quotes",
    windows=QUOTE_LAGS,
    fields=lambda count: [("quote_lags", np.int64, (count,)), ("quote_mid", np.float64, (_QUOTE_RING,))],
    start=_start_quote_lags,
    hooks={"quote": _record_quote},
    outputs=(
        Output(
            name="return",
            suffix="_bps",
            unit="bps",
            write=_write_quote_return,
            definition="10,000 x (log mid - log mid so many usable quotes before)",
            source="log return on the quote clock",
            zero_rule="the first quote stands in while there are fewer",
            mirror="sign",
        ),
    ),
)


@jit
def _move_mean(s: Record) -> None:
    """Time-weighted: a mid counts for as long as it stood."""
    for k in range(s.keep.size):
        s.mean_mid[k] += (s.mid - s.mean_mid[k]) * (1.0 - s.keep[k])


@jit
def _start_mean(s: Record) -> None:
    if s.quotes == 0:
        s.mean_mid[:] = s.mid


@jit
def _write_momentum(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * (s.mid - s.mean_mid[k])


MOMENTUM: Final = Family(
    name="momentum",
    group="price",
    axis="tau",
    windows=TAUS,
    fields=float_fields("mean_mid"),
    hooks={"time": _move_mean, "quote": _start_mean},
    outputs=(
        Output(
            name="momentum",
            suffix="_bps",
            unit="bps",
            write=_write_momentum,
            definition="10,000 x (log mid - its time-weighted mean decayed over tau)",
            source="distance from an exponential moving average in uneven time, Eckner 2012",
            zero_rule="0 at the first quote",
            mirror="sign",
        ),
    ),
)


@jit
def _fade_squares(s: Record) -> None:
    for k in range(s.keep.size):
        s.squares[k] = faded(s.squares[k], s.keep[k])


@jit
def _add_square(s: Record) -> None:
    square = s.step * s.step
    for k in range(s.squares.size):
        s.squares[k] += square


@jit
def _write_volatility(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * sqrt(s.squares[k])


VOLATILITY: Final = Family(
    name="volatility",
    group="price",
    axis="tau",
    windows=TAUS,
    fields=float_fields("squares"),
    hooks={"time": _fade_squares, "quote": _add_square},
    outputs=(
        Output(
            name="volatility",
            suffix="_bps",
            unit="bps",
            write=_write_volatility,
            definition="10,000 x square root of the squared quote-to-quote changes of log mid, summed and decayed",
            source="realized volatility, Andersen and Bollerslev 1998",
            zero_rule="0 at constant price",
        ),
    ),
)
