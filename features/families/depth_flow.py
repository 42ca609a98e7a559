"""Order flow below the touch: what each ``levels`` event adds to bids and takes from asks, level by level."""

from typing import Any, Final

import numpy as np

from features.clock import faded
from features.compose import jit, rebound
from features.families.depth import NO_LEVELS, UNITS, size_unit
from features.families.tape import MEMORIES
from features.families.touch import side_change
from features.family import Family, Output
from features.state import LEVELS, Lanes, Record

SHOWN: Final = 5
"""Levels that have an output of their own; all ten make the sum."""
_SUM: Final = SHOWN
SAME: Final = 1e-12
"""Prices that differ by less than this share of themselves are the same."""
_NOWHERE: Final = 1e300
"""The price of an ask that is not there; that of a bid is 0."""


@jit
def _fade_depth_flow(s: Record) -> None:
    for k in range(s.keep.size):
        s.depth_flow_left[k] = faded(s.depth_flow_left[k], s.keep[k])


@jit
def _as_before(px: float, before: float) -> float:
    """``before``, where the two are one price but for the rounding of whoever computed them."""
    return before if abs(px - before) <= SAME * before else px


@jit
def _level_change(s: Record, level: int) -> float:
    bid_px, bid_before = s.depth[0, level], s.depth_before[0, level]
    ask_px, ask_before = s.depth[2, level], s.depth_before[2, level]
    ask_px, ask_before = ask_px if ask_px > 0.0 else _NOWHERE, ask_before if ask_before > 0.0 else _NOWHERE
    bid_px, ask_px = _as_before(bid_px, bid_before), _as_before(ask_px, ask_before)
    bid = side_change(bid_px, s.depth[1, level], bid_before, s.depth_before[1, level])
    return bid - side_change(-ask_px, s.depth[3, level], -ask_before, s.depth_before[3, level])


@jit
def _add_flow(s: Record, row: int, change: float, size: float, prior: float) -> None:
    for k in range(s.depth_flow_left.size):
        net = faded(s.depth_flow[row, k], s.depth_flow_left[k]) + change
        gross = faded(s.depth_flow_size[row, k], s.depth_flow_left[k]) + size
        s.depth_flow[row, k], s.depth_flow_size[row, k] = net, gross
        s.depth_ofi[row, k] = net / (gross + prior)


@jit
def _take_depth_flow(s: Record) -> None:
    """The first levels are only remembered."""
    if s.quotes == 0:
        return
    prior, total, gross = size_unit(s), 0.0, 0.0
    for level in range(LEVELS):
        change = _level_change(s, level) if s.depth_flow_seen > 0 else 0.0
        total, gross = total + change, gross + abs(change)
        if level < SHOWN:
            _add_flow(s, level, change, abs(change), prior)
    _add_flow(s, _SUM, total, gross, prior)
    s.depth_flow_left[:] = 1.0
    s.depth_before[:, :] = s.depth
    s.depth_flow_seen += 1


row = 0


def _write_row(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.depth_ofi[row, k]


def _depth_flow_fields(count: int) -> list[tuple[Any, ...]]:
    scalars = [("depth_flow_seen", np.int64), ("depth_before", np.float64, (4, LEVELS))]
    rows = [(name, np.float64, (SHOWN + 1, count)) for name in ("depth_flow", "depth_flow_size", "depth_ofi")]
    return [*scalars, ("depth_flow_left", np.float64, (count,)), *rows]


_SUMS: Final = (
    "sums over levels events decayed over tau, as of the last of them: e is what levels of one rank added to bids and "
    "took from asks against the levels before, by the rule of the touch (prices within "
    f"{SAME:g} of each other are the same), a level that is not there being worse than any; {UNITS}"
)


def _output(name: str, index: int, formula: str) -> Output:
    return Output(
        name=name,
        unit="ratio in (-1, 1)",
        write=jit(rebound(_write_row, f"write_depth_flow_{index}", row=index)),
        definition=f"{formula}; {_SUMS}",
        source="multi-level order-flow imbalance, Xu, Gould and Howison 2018, normalised",
        zero_rule=NO_LEVELS,
        mirror="sign",
    )


DEPTH_FLOW: Final = Family(
    name="depth_flow",
    group="order_book",
    axis="tau",
    windows=MEMORIES,
    fields=_depth_flow_fields,
    hooks={"time": _fade_depth_flow, "levels": _take_depth_flow},
    outputs=(
        *(
            _output(f"ofi_{level + 1}l", level, f"sum of e / (sum of |e| + z) of level {level + 1}")
            for level in range(SHOWN)
        ),
        _output(f"ofi_{LEVELS}l", _SUM, f"sum of e of levels 1 to {LEVELS} / (sum of |e| of all of them + z)"),
    ),
)
