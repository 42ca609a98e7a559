"""How often, how large and on which side was traded.

Between trades a decayed sum only shrinks, so ``tape_left`` alone follows the clock; the sums are brought up to date by
the next trade. What does not depend on a common factor of its sums (a mean, a share) is computed by trades alone.
"""

from typing import Any, Final

import numpy as np

from features.clock import faded
from features.compose import jit
from features.families.trades import usual_trade
from features.family import Family, Output, Window, float_fields
from features.parameters import MS_NS, PARAMETERS, SECOND_NS, span
from features.state import Lanes, Record

MEMORIES: Final = (
    *(ms * MS_NS for ms in (100, 250)),
    *(s * SECOND_NS for s in (1, 5, 10, 60, 300, 1800)),
)
"""Half of ``TAUS``, for quantities that change little from one to the next."""
LARGE: Final = 5.0
"""A trade above so many typical ones is a large one."""
_TYPICAL_NS: Final = float(PARAMETERS.typical_ns)
_USUAL: Final = f"q is a typical trade: mean quantity decayed over {span(PARAMETERS.typical_ns)}"
_NO_TRADE: Final = "0 before the first trade"


@jit
def _fade_tape(s: Record) -> None:
    for k in range(s.keep.size):
        s.tape_left[k] = faded(s.tape_left[k], s.keep[k])


@jit
def _add_tape(s: Record) -> None:
    for k in range(s.tape_left.size):
        s.tape_trades[k] = faded(s.tape_trades[k], s.tape_left[k]) + 1.0
        s.tape_signs[k] = faded(s.tape_signs[k], s.tape_left[k]) + s.trade_side
        s.tape_left[k] = 1.0


@jit
def _write_rate(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        trades, expected = s.tape_trades[k] * s.tape_left[k], s.usual_trades * s.tape_share[k]
        out[k] = (trades - expected) / (trades + expected + 2.0)


@jit
def _write_sign(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.tape_signs[k] * s.tape_left[k] / (s.tape_trades[k] * s.tape_left[k] + 1.0)


def _tape_fields(count: int) -> list[tuple[Any, ...]]:
    return float_fields("tape_left", "tape_trades", "tape_signs", "tape_share")(count)


def _start_tape(state: Any, taus: tuple[Window, ...]) -> None:
    state["tape_share"] = np.array(taus) / _TYPICAL_NS


TAPE: Final = Family(
    name="tape",
    group="volume",
    axis="tau",
    windows=MEMORIES,
    fields=_tape_fields,
    start=_start_tape,
    hooks={"time": _fade_tape, "trade": _add_tape},
    outputs=(
        Output(
            name="trade_rate",
            unit="ratio in (-1, 1)",
            write=_write_rate,
            definition="(N - E) / (N + E + 2); N counts trades, decayed over tau, E is what the rate of the last "
            f"{span(PARAMETERS.typical_ns)} (decayed) expects of N",
            source="relative difference of rates with a prior of one trade each",
            zero_rule="0 without trades",
        ),
        Output(
            name="trade_sign",
            unit="ratio in (-1, 1)",
            write=_write_sign,
            definition="sum of sides / (number of trades + 1), sums decayed over tau; side is the taker's",
            source="trade imbalance by count, Chordia, Roll and Subrahmanyam 2002, with a prior of one trade",
            zero_rule="0 without trades",
            mirror="sign",
        ),
    ),
)


@jit
def _fade_sizes(s: Record) -> None:
    for k in range(s.keep.size):
        s.sizes_left[k] = faded(s.sizes_left[k], s.keep[k])


@jit
def _add_sizes(s: Record) -> None:
    usual = usual_trade(s)
    large = s.trade_qty if s.trade_qty > LARGE * usual else 0.0
    for k in range(s.sizes_left.size):
        left = s.sizes_left[k]
        trades, volume = faded(s.sizes_trades[k], left) + 1.0, faded(s.sizes_volume[k], left) + s.trade_qty
        s.sizes_large[k] = faded(s.sizes_large[k], left) + large
        s.sizes_trades[k], s.sizes_volume[k], s.sizes_left[k] = trades, volume, 1.0
        s.trade_size[k] = (volume - usual * trades) / (volume + usual * trades)
        s.large_share[k] = s.sizes_large[k] / volume


@jit
def _write_size(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.trade_size[k]


@jit
def _write_large(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.large_share[k]


SIZES: Final = Family(
    name="sizes",
    group="volume",
    axis="tau",
    windows=MEMORIES,
    fields=float_fields("sizes_left", "sizes_trades", "sizes_volume", "sizes_large", "trade_size", "large_share"),
    hooks={"time": _fade_sizes, "trade": _add_sizes},
    outputs=(
        Output(
            name="trade_size",
            unit="ratio in (-1, 1)",
            write=_write_size,
            definition=f"(m - q) / (m + q) at the last trade; m is mean quantity decayed over tau, {_USUAL}",
            source="relative difference of mean trade sizes",
            zero_rule=_NO_TRADE,
        ),
        Output(
            name="large_share",
            unit="ratio in [0, 1]",
            write=_write_large,
            definition=f"share of large trades in volume decayed over tau, at the last trade; large is above {LARGE:g} "
            f"q of its moment (itself counted), {_USUAL}",
            source="share of block trades, Barclay and Warner 1993",
            zero_rule=_NO_TRADE,
        ),
    ),
)
