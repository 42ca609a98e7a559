"""Single levels of the book, and how much of it lies near the mid, as of the last ``levels`` event."""

from math import exp, sqrt
from typing import Any, Final

import numpy as np

from features.clock import faded
from features.compose import Compiled, jit, rebound
from features.families.depth import NO_LEVELS, UNITS, levels_there, size_unit
from features.family import Family, Output, Window, float_fields
from features.parameters import PARAMETERS, span
from features.state import LEVELS, Lanes, Record, Row

# -- one level after another -------------------------------------------------------------------------------------------


@jit
def _take_levels(s: Record) -> None:
    if s.quotes == 0:
        return
    size = size_unit(s)
    bids, asks = levels_there(s.depth[0], s.depth[1]), levels_there(s.depth[2], s.depth[3])
    for k in range(s.level_number.size):
        level = s.level_number[k] - 1
        bid = s.depth[1, level] if level < bids else 0.0
        ask = s.depth[3, level] if level < asks else 0.0
        s.level_imbalance[k] = (bid - ask) / (bid + ask) if bid + ask > 0.0 else 0.0
        s.bid_level[k], s.ask_level[k] = (bid - size) / (bid + size), (ask - size) / (ask + size)


@jit
def _write_imbalance(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.level_imbalance[k]


@jit
def _write_bid(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.bid_level[k]


@jit
def _write_ask(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.ask_level[k]


def _level_fields(count: int) -> list[tuple[Any, ...]]:
    return [("level_number", np.int64, (count,)), *float_fields("level_imbalance", "bid_level", "ask_level")(count)]


def _start_levels(state: Any, windows: tuple[Window, ...]) -> None:
    state["level_number"] = windows


def _level(name: str, write: Compiled, side: str, mirror: str) -> Output:
    return Output(
        name=name,
        unit="ratio in [-1, 1)",
        write=write,
        definition=f"(Q - z) / (Q + z); Q is the size of the level of this rank among {side}, 0 without it; {UNITS}",
        source="size of a level over the usual one",
        zero_rule=NO_LEVELS,
        mirror=mirror,
    )


LEVEL: Final = Family(
    name="level",
    group="order_book",
    axis="levels",
    windows=tuple(range(2, LEVELS + 1)),
    fields=_level_fields,
    start=_start_levels,
    hooks={"levels": _take_levels},
    outputs=(
        Output(
            name="level_imbalance",
            unit="ratio in [-1, 1]",
            write=_write_imbalance,
            definition="(B - A) / (B + A); B and A the sizes of the bid and the ask level of this rank, 0 without it",
            source="imbalance level by level, Cartea, Donnelly and Jaimungal 2018",
            zero_rule=f"{NO_LEVELS}, and with neither level",
            mirror="sign",
        ),
        _level("bid_level_size", _write_bid, "bids", "ask_level_size"),
        _level("ask_level_size", _write_ask, "asks", "bid_level_size"),
    ),
)

# -- near the mid ------------------------------------------------------------------------------------------------------

REACHES: Final = (1, 2, 5, 10)
"""Distances from the mid in bps."""
_AWAY: Final = np.array([exp(bps * 1e-4) for bps in REACHES])


@jit
def _within(px: Row, qty: Row, least: float, most: float) -> float:
    """Size at prices between ``least`` and ``most``."""
    total = 0.0
    for level in range(levels_there(px, qty)):
        total += qty[level] if least <= px[level] <= most else 0.0
    return total


@jit
def _fade_within(s: Record) -> None:
    keep = s.usual_keep
    s.within_seen = faded(s.within_seen, keep)
    for i in range(s.within_usual.size):
        s.within_usual[i] = faded(s.within_usual[i], keep)


@jit
def _take_within(s: Record) -> None:
    """Both sides share one usual size per reach."""
    mid = sqrt(s.depth[0, 0]) * sqrt(s.depth[2, 0])
    s.within_seen += 2.0
    for i in range(s.within_usual.size):
        bid = _within(s.depth[0], s.depth[1], mid / _AWAY[i], mid)
        ask = _within(s.depth[2], s.depth[3], mid, mid * _AWAY[i])
        s.within_usual[i] += bid + ask
        usual = s.within_usual[i] / s.within_seen
        s.bid_within[i] = (bid - usual) / (bid + usual) if usual > 0.0 else 0.0
        s.ask_within[i] = (ask - usual) / (ask + usual) if usual > 0.0 else 0.0


bids, reach = True, 0


def _write_within(s: Record, out: Lanes) -> None:
    out[0] = s.bid_within[reach] if bids else s.ask_within[reach]


def _within_fields(_: int) -> list[tuple[Any, ...]]:
    names = ("within_usual", "bid_within", "ask_within")
    return [("within_seen", np.float64), *float_fields(*names)(len(REACHES))]


def _near(side: str, other: str, index: int) -> Output:
    return Output(
        name=f"{side}_depth_{REACHES[index]}bps",
        unit="ratio in [-1, 1)",
        write=jit(rebound(_write_within, f"write_{side}_{index}", bids=side == "bid", reach=index)),
        definition=f"(Q - U) / (Q + U): Q is the size of {side}s whose log price is within {REACHES[index]} bps of the "
        f"log mid of the levels, U its mean over both sides of all levels so far, decayed over "
        f"{span(PARAMETERS.typical_ns)} (the last included)",
        source="depth within a distance of the mid, Degryse, de Jong and van Kervel 2015",
        zero_rule="0 before the first levels, and where U is 0",
        mirror=f"{other}_depth_{REACHES[index]}bps",
    )


WITHIN: Final = Family(
    name="within",
    group="order_book",
    axis="now",
    windows=(None,),
    fields=_within_fields,
    hooks={"time": _fade_within, "levels": _take_within},
    outputs=tuple(
        _near(side, other, index) for side, other in (("bid", "ask"), ("ask", "bid")) for index in range(len(REACHES))
    ),
)

# -- the touch in what is visible --------------------------------------------------------------------------------------


@jit
def _take_share(s: Record) -> None:
    bids, asks = levels_there(s.depth[0], s.depth[1]), levels_there(s.depth[2], s.depth[3])
    s.bid_share = s.depth[1, 0] / s.depth[1, :bids].sum() if bids > 0 else 0.0
    s.ask_share = s.depth[3, 0] / s.depth[3, :asks].sum() if asks > 0 else 0.0


@jit
def _write_bid_share(s: Record, out: Lanes) -> None:
    out[0] = s.bid_share


@jit
def _write_ask_share(s: Record, out: Lanes) -> None:
    out[0] = s.ask_share


def _share(name: str, write: Compiled, side: str, mirror: str) -> Output:
    return Output(
        name=name,
        unit="ratio in [0, 1]",
        write=write,
        definition=f"size of the best {side} over that of all levels of its side that are there, at most {LEVELS}",
        source="concentration of depth at the touch, Biais, Hillion and Spatt 1995",
        zero_rule="0 before the first levels, and without a size",
        mirror=mirror,
    )


TOUCH_SHARE: Final = Family(
    name="touch_share",
    group="order_book",
    axis="now",
    windows=(None,),
    fields=lambda _: [("bid_share", np.float64), ("ask_share", np.float64)],
    hooks={"levels": _take_share},
    outputs=(
        _share("bid_touch_share", _write_bid_share, "bid", "ask_touch_share"),
        _share("ask_touch_share", _write_ask_share, "ask", "bid_touch_share"),
    ),
)
