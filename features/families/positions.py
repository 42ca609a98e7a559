"""Positions of everyone: how open interest changes, and who is forced out."""

from typing import Final

import numpy as np

from features.clock import faded
from features.compose import jit
from features.families.trades import usual_trade
from features.family import Family, Output, float_fields
from features.parameters import PARAMETERS, TAUS, span
from features.state import Lanes, Record

BPS: Final = 1e4
_USUAL: Final = f"q is a typical trade: mean quantity decayed over {span(PARAMETERS.typical_ns)}"
_NO_TRADES: Final = f"0 while fewer than {PARAMETERS.empty:g} decayed trades are left"


@jit
def _move_interest(s: Record) -> None:
    for k in range(s.keep.size):
        s.interest_mean[k] += (s.interest - s.interest_mean[k]) * (1.0 - s.keep[k])


@jit
def _start_interest(s: Record) -> None:
    if s.has_interest == 0:
        s.has_interest = 1
        s.interest_mean[:] = s.interest


@jit
def _write_interest(s: Record, out: Lanes) -> None:
    known = s.has_interest != 0
    for k in range(out.size):
        out[k] = 2.0 * BPS * (s.interest - s.interest_mean[k]) / (s.interest + s.interest_mean[k]) if known else 0.0


INTEREST: Final = Family(
    name="interest",
    group="carry",
    axis="tau",
    windows=TAUS,
    fields=lambda count: [("has_interest", np.int64), ("interest_mean", np.float64, (count,))],
    hooks={"time": _move_interest, "interest": _start_interest},
    outputs=(
        Output(
            name="interest_change",
            suffix="_bps",
            unit="bps in (-20000, 20000)",
            write=_write_interest,
            definition="10,000 x 2 (I - m) / (I + m); I is open interest, m its time-weighted mean decayed over tau",
            source="change of open interest, Bessembinder and Seguin 1993",
            zero_rule="0 until open interest was told",
        ),
    ),
)


@jit
def _fade_liquidations(s: Record) -> None:
    for k in range(s.keep.size):
        s.forced[k] = faded(s.forced[k], s.keep[k])
        s.forced_qty[k] = faded(s.forced_qty[k], s.keep[k])


@jit
def _add_liquidation(s: Record) -> None:
    side = 1.0 if s.liquidation_side > 0.0 else (-1.0 if s.liquidation_side < 0.0 else 0.0)
    signed = side * s.liquidation_qty
    for k in range(s.forced.size):
        s.forced[k] += signed
        s.forced_qty[k] += s.liquidation_qty


@jit
def _write_forced(s: Record, out: Lanes) -> None:
    usual = usual_trade(s)
    for k in range(out.size):
        out[k] = s.forced[k] / (s.forced_qty[k] + usual) if usual > 0.0 else 0.0


LIQUIDATIONS: Final = Family(
    name="liquidations",
    group="carry",
    axis="tau",
    windows=TAUS,
    fields=float_fields("forced", "forced_qty"),
    hooks={"time": _fade_liquidations, "liquidation": _add_liquidation},
    outputs=(
        Output(
            name="liquidation_flow",
            unit="ratio in (-1, 1)",
            write=_write_forced,
            definition="sum of side x quantity / (sum of quantity + q) of forced orders, sums decayed over tau; side "
            f"is the order's, {_USUAL}",
            source="forced order flow, Brunnermeier and Pedersen 2009, with a prior of one typical trade",
            zero_rule=_NO_TRADES,
            mirror="sign",
        ),
    ),
)
