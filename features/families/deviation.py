"""How far the mid strays from its mean over time: its deviation, and where it stands within it."""

from math import sqrt
from typing import Final

from features.clock import faded
from features.compose import jit
from features.family import Family, Output, float_fields
from features.parameters import PARAMETERS, TAUS
from features.state import Lanes, Record

BPS: Final = 1e4
_FLAT: Final = PARAMETERS.flat
_FLAT_SQUARED: Final = _FLAT * _FLAT


@jit
def _move_deviation(s: Record) -> None:
    """Mean and variance weighted by time, updated together so that nothing cancels (West 1979)."""
    for k in range(s.keep.size):
        share, away = 1.0 - s.keep[k], s.mid - s.deviation_mean[k]
        s.deviation_mean[k] += share * away
        s.deviation_square[k] = faded(s.deviation_square[k] + share * away * away, s.keep[k])


@jit
def _start_deviation(s: Record) -> None:
    if s.quotes == 0:
        s.deviation_mean[:] = s.mid


@jit
def _write_deviation(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * sqrt(s.deviation_square[k])


@jit
def _write_stretch(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        away = s.mid - s.deviation_mean[k]
        square = s.deviation_square[k] + away * away
        out[k] = away / sqrt(square) if square > _FLAT_SQUARED else 0.0


DEVIATION: Final = Family(
    name="deviation",
    group="price",
    axis="tau",
    windows=TAUS,
    fields=float_fields("deviation_mean", "deviation_square"),
    hooks={"time": _move_deviation, "quote": _start_deviation},
    outputs=(
        Output(
            name="deviation",
            suffix="_bps",
            unit="bps",
            write=_write_deviation,
            definition="10,000 x s; m and s the time-weighted mean and deviation of log mid, decayed over tau, a mid "
            "weighing for as long as it stood and the first one for all time before",
            source="exponentially weighted moments in uneven time, Eckner 2012",
            zero_rule="0 while the mid has never moved",
        ),
        Output(
            name="stretch",
            unit="ratio in [-1, 1]",
            write=_write_stretch,
            definition="d / square root of (s^2 + d^2); d = log mid - m, m and s as in the deviation",
            source="z-score, bounded",
            zero_rule=f"0 while s^2 + d^2 is below {_FLAT_SQUARED:g}",
            mirror="sign",
        ),
    ),
)
