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
def _move_mean(s: Record) -> None:
    """The mean comes nearer while time passes: kept is the distance from it, so that nothing cancels."""
    for k in range(s.keep.size):
        keep, away = s.keep[k], s.deviation_away[k]
        s.deviation_square[k] = faded(s.deviation_square[k] + (1.0 - keep) * away * away, keep)
        s.deviation_away[k] = faded(away, keep)


@jit
def _move_mid(s: Record) -> None:
    if s.step != 0.0:
        for k in range(s.deviation_away.size):
            s.deviation_away[k] += s.step


@jit
def _write_deviation(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * sqrt(s.deviation_square[k])


@jit
def _write_stretch(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        away = s.deviation_away[k]
        square = s.deviation_square[k] + away * away
        out[k] = away / sqrt(square) if square > _FLAT_SQUARED else 0.0


DEVIATION: Final = Family(
    name="deviation",
    group="price",
    axis="tau",
    windows=TAUS,
    fields=float_fields("deviation_away", "deviation_square"),
    hooks={"time": _move_mean, "quote": _move_mid},
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
