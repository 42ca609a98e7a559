"""The book below the touch: sizes, slopes and gaps of the first levels, as of the last ``levels`` event.

All is computed when levels come and written as it stands. A side ends at its first level without price or size; what is
beyond its end is not there.
"""

from math import log
from typing import Any, Final

import numpy as np

from features.compose import Compiled, jit
from features.family import Family, Output, Window
from features.parameters import PARAMETERS, span
from features.state import LEVELS, Lanes, Record, Row

_FLAT: Final = PARAMETERS.flat
_SPAN: Final = span(PARAMETERS.typical_ns)


@jit
def levels_there(px: Row, qty: Row) -> int:
    """How many levels a side has, from the best on."""
    count = 0
    while count < px.size and px[count] > 0.0 and qty[count] > 0.0:
        count += 1
    return count


@jit
def size_unit(s: Record) -> float:
    """Typical size; that of the last quote where quotes are long past."""
    is_known = s.usual_quotes > 0.0 and s.usual_size > 0.0
    return s.usual_size / s.usual_quotes if is_known else 0.5 * (s.bid_qty + s.ask_qty)


@jit
def spread_floor(s: Record) -> float:
    """Typical spread, never less than what counts as flat."""
    usual = s.usual_spread / s.usual_quotes
    return usual + _FLAT if usual > 0.0 else _FLAT


@jit
def _take_side(s: Record, side: int, mid: float, spread: float) -> None:
    """Running sums over the levels of one side (0 bids, 1 asks); past its end they stay."""
    px, qty = s.depth[2 * side], s.depth[2 * side + 1]
    count = levels_there(px, qty)
    total = near = away = areas = last = gaps = 0.0
    for level in range(LEVELS):
        if level < count:
            distance = abs(s.depth_log[side, level] - mid)
            areas += total
            total += qty[level]
            near += qty[level] * (spread / (spread + distance))
            away += qty[level] * distance
            last = distance
            gaps = abs(s.depth_log[side, level] - s.depth_log[side, 0]) / max(level, 1)
        shown = min(level + 1, count)
        s.side_sum[side, level], s.side_near[side, level], s.side_away[side, level] = total, near, away
        s.side_last[side, level], s.side_gap[side, level] = last, gaps
        s.side_bulge[side, level] = 1.0 - 2.0 * areas / (total * (shown - 1)) if shown > 1 else 0.0


@jit
def _take_depth(s: Record) -> None:
    if s.quotes == 0:
        return
    for side in range(2):
        for level in range(LEVELS):
            px = s.depth[2 * side, level]
            s.depth_log[side, level] = log(px) - s.ref if px > 0.0 else 0.0
    mid, spread, size = 0.5 * (s.depth_log[0, 0] + s.depth_log[1, 0]), spread_floor(s), size_unit(s)
    _take_side(s, 0, mid, spread)
    _take_side(s, 1, mid, spread)
    for k in range(s.depth_levels.size):
        _summarize(s, k, s.depth_levels[k] - 1, spread, size)


@jit
def _summarize(s: Record, k: int, n: int, spread: float, size: float) -> None:
    """The outputs of window ``k``, whose last level is ``n``; both sides have at least a touch, or there is no size."""
    bids, asks = s.side_sum[0, n], s.side_sum[1, n]
    if bids <= 0.0 or asks <= 0.0:
        s.depth_out[:, k] = 0.0
        return
    near_bids, near_asks = s.side_near[0, n], s.side_near[1, n]
    bid_away, ask_away = s.side_away[0, n] / bids, s.side_away[1, n] / asks
    s.depth_out[0, k] = (bids - asks) / (bids + asks)
    s.depth_out[1, k] = (near_bids - near_asks) / (near_bids + near_asks)
    s.depth_out[2, k] = (ask_away * bids - bid_away * asks) / ((bids + asks) * spread)
    for side in range(2):
        total, gap = s.side_sum[side, n], s.side_gap[side, n]
        s.depth_out[3 + side, k] = total * spread / (total * spread + s.side_last[side, n] * size)
        s.depth_out[5 + side, k] = gap / (gap + spread)
        s.depth_out[7 + side, k] = s.side_bulge[side, n]


@jit
def _write_imbalance(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_out[0, k]


@jit
def _write_near(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_out[1, k]


@jit
def _write_pressure(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_out[2, k]


@jit
def _write_bid_slope(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_out[3, k]


@jit
def _write_ask_slope(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_out[4, k]


@jit
def _write_bid_gap(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_out[5, k]


@jit
def _write_ask_gap(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_out[6, k]


@jit
def _write_bid_convexity(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_out[7, k]


@jit
def _write_ask_convexity(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_out[8, k]


_OUTPUTS: Final = 9
_SIDE_SUMS: Final = ("side_sum", "side_near", "side_away", "side_last", "side_gap", "side_bulge")


def _depth_fields(count: int) -> list[tuple[Any, ...]]:
    sides = [(name, np.float64, (2, LEVELS)) for name in ("depth_log", *_SIDE_SUMS)]
    return [("depth_levels", np.int64, (count,)), *sides, ("depth_out", np.float64, (_OUTPUTS, count))]


def _start_depth(state: Any, windows: tuple[Window, ...]) -> None:
    state["depth_levels"] = windows


NO_LEVELS: Final = "0 before the first levels after a quote"
"""Levels that come before any quote are not looked at: nothing is usual yet."""
_FIRST: Final = "over the first so many levels that are there"
UNITS: Final = f"u is the typical spread over quotes, z the typical size, both decayed over {_SPAN} as of the levels"


def _depth(name: str, write: Compiled, unit: str, definition: str, source: str, mirror: str) -> Output:
    return Output(
        name=name, unit=unit, write=write, definition=definition, source=source, zero_rule=NO_LEVELS, mirror=mirror
    )


def _both(name: str, bid: Compiled, ask: Compiled, unit: str, definition: str, source: str) -> tuple[Output, Output]:
    return (
        _depth(f"bid_{name}", bid, unit, definition.format("bids"), source, f"ask_{name}"),
        _depth(f"ask_{name}", ask, unit, definition.format("asks"), source, f"bid_{name}"),
    )


DEPTH: Final = Family(
    name="depth",
    group="order_book",
    axis="levels",
    windows=(2, 3, 5, 10),
    fields=_depth_fields,
    start=_start_depth,
    hooks={"levels": _take_depth},
    outputs=(
        _depth(
            "depth_imbalance",
            _write_imbalance,
            "ratio in (-1, 1)",
            f"(B - A) / (B + A); B and A sizes of bids and asks {_FIRST}",
            "multi-level imbalance, Cartea, Donnelly and Jaimungal 2018",
            "sign",
        ),
        _depth(
            "near_imbalance",
            _write_near,
            "ratio in (-1, 1)",
            f"as depth_imbalance, a size weighs (u + {_FLAT:g}) / (u + {_FLAT:g} + d); d is the distance of its log "
            f"price from the log mid of the levels, {UNITS}",
            "distance-weighted imbalance, Cao, Hansch and Wang 2009",
            "sign",
        ),
        _depth(
            "depth_pressure",
            _write_pressure,
            "typical spreads",
            f"(b A + a B) / (A + B) / (u + {_FLAT:g}); B and A sizes of bids and asks, b and a the mean log price of "
            f"each side over the log mid of the levels, weighted by size, {_FIRST}; {UNITS}",
            "microprice of several levels, Stoikov 2018; book pressure, Cao, Hansch and Wang 2009",
            "sign",
        ),
        *_both(
            "slope",
            _write_bid_slope,
            _write_ask_slope,
            "ratio in (0, 1]",
            f"Q / (Q + D): Q is the size of {{}} over z, D the distance of the last of them from the log mid of the "
            f"levels over (u + {_FLAT:g}), {_FIRST}; {UNITS}",
            "slope of the order book, Næs and Skjeltorp 2006, bounded",
        ),
        *_both(
            "gap",
            _write_bid_gap,
            _write_ask_gap,
            "ratio in [0, 1)",
            f"g / (g + u + {_FLAT:g}); g is the distance of the last of {{}} from the best in log price over the steps "
            f"between them, {_FIRST} (0 with one); {UNITS}",
            "gaps of the book, Farmer, Gillemot, Lillo, Mike and Sen 2004",
        ),
        *_both(
            "convexity",
            _write_bid_convexity,
            _write_ask_convexity,
            "ratio in (-1, 1)",
            "1 - 2 x mean of C(1) / C(n) to C(n - 1) / C(n); C(i) is the size of the first i {}, "
            f"n how many there are {_FIRST}; 0 with one, and where all levels are alike",
            "shape of the book, Bouchaud, Mézard and Potters 2002",
        ),
    ),
)
