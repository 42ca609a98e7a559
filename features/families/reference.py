"""How a symbol moves with a reference symbol, tick against tick: neither waits for the other."""

from math import sqrt
from typing import Final

import numpy as np

from features.clock import faded
from features.compose import jit
from features.family import Family, Fields, Output
from features.parameters import PARAMETERS, TAUS
from features.state import Lanes, Record

BPS: Final = 1e4
LEAST: Final = PARAMETERS.flat**2
NO_REFERENCE: Final = f"0 without a reference, and while a sum of squares is below {LEAST:g}"


@jit
def _fade_cross(s: Record) -> None:
    for k in range(s.keep.size):
        s.cross_own[k] = faded(s.cross_own[k], s.keep[k])
        s.cross_reference[k] = faded(s.cross_reference[k], s.keep[k])
        s.cross_leads[k] = faded(s.cross_leads[k], s.keep[k])
        s.cross_lags[k] = faded(s.cross_lags[k], s.keep[k])
        s.cross_mean[k] += (s.reference_mid - s.cross_mean[k]) * (1.0 - s.keep[k])


@jit
def _conclude(s: Record) -> None:
    """Ratios of sums that fade alike stand still between moves: they are only taken here."""
    for k in range(s.cross_own.size):
        both, apart = s.cross_leads[k] + s.cross_lags[k], s.cross_leads[k] - s.cross_lags[k]
        moved = s.cross_own[k] > LEAST and s.cross_reference[k] > LEAST
        most = max(abs(both), sqrt(s.cross_own[k] * s.cross_reference[k]))
        s.cross_correlation[k] = both / most if moved else 0.0
        reach = abs(s.cross_leads[k]) + abs(s.cross_lags[k])
        s.cross_lead[k] = apart / reach if reach > LEAST else 0.0


@jit
def _move_own(s: Record) -> None:
    """A quote that moved the mid meets what the reference did since the one before."""
    if s.quotes == 0:
        s.cross_own_mid = s.mid
    if s.step == 0.0 and s.quotes > 0:
        return
    square, product = s.step * s.step, s.step * (s.reference_mid - s.cross_reference_mid)
    s.cross_reference_mid = s.reference_mid
    for k in range(s.cross_own.size):
        s.cross_own[k] += square
        s.cross_leads[k] += product
    _conclude(s)


@jit
def _move_reference(s: Record) -> None:
    """A move of the reference meets what the own mid did since the one before."""
    if s.cross_known == 0:
        s.cross_known = 1
        s.cross_reference_mid, s.cross_own_mid = s.reference_mid, s.mid
        s.cross_mean[:] = s.reference_mid
    step = s.reference_mid - s.last_reference_mid
    if step == 0.0:
        return
    square, product = step * step, step * (s.mid - s.cross_own_mid)
    s.cross_own_mid = s.mid
    for k in range(s.cross_own.size):
        s.cross_reference[k] += square
        s.cross_lags[k] += product
    _conclude(s)


@jit
def _write_correlation(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.cross_correlation[k]


@jit
def _write_lead(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.cross_lead[k]


@jit
def _write_momentum(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * (s.reference_mid - s.cross_mean[k])


def _ticks_fields(count: int) -> Fields:
    names = ("own", "reference", "leads", "lags", "mean", "correlation", "lead")
    lone = [("cross_known", np.int64), ("cross_own_mid", np.float64), ("cross_reference_mid", np.float64)]
    return lone + [(f"cross_{name}", np.float64, (count,)) for name in names]


_MOVES: Final = (
    "A sums (own move x what the reference moved since the own move before), B (reference move x what the own mid "
    "moved since the reference's move before), both decayed over tau and as they stood at the newest move of either; a "
    "move is a quote that changed the log mid"
)

REFERENCE: Final = Family(
    name="reference",
    group="cross_asset",
    axis="tau",
    windows=TAUS,
    fields=_ticks_fields,
    hooks={"time": _fade_cross, "quote": _move_own, "reference": _move_reference},
    outputs=(
        Output(
            name="reference_correlation",
            unit="ratio in [-1, 1]",
            write=_write_correlation,
            definition="(A + B) / max(|A + B|, square root of (squared own moves x squared reference moves)); "
            f"{_MOVES}, and so are the squares summed",
            source="covariance of Hayashi and Yoshida 2005, decayed",
            zero_rule=NO_REFERENCE,
        ),
        Output(
            name="reference_lead",
            unit="ratio in [-1, 1], above 0 where the reference leads",
            write=_write_lead,
            definition=f"(A - B) / (|A| + |B|); {_MOVES}",
            source="contrast of Hoffmann, Rosenbaum and Yoshida 2013 at lag 0, from both sides",
            zero_rule=f"0 without a reference, and while |A| + |B| is below {LEAST:g}",
        ),
        Output(
            name="reference_momentum",
            suffix="_bps",
            unit="bps",
            write=_write_momentum,
            definition="10,000 x (the reference's log mid - its time-weighted mean decayed over tau)",
            source="distance from an exponential moving average in uneven time, Eckner 2012",
            zero_rule="0 without a reference and at its first quote",
            mirror="sign",
        ),
    ),
)


@jit
def _follow_own(s: Record) -> None:
    if s.step != 0.0:
        s.ahead_mid = s.reference_mid


@jit
def _follow_reference(s: Record) -> None:
    if s.ahead_known == 0:
        s.ahead_known = 1
        s.ahead_mid = s.reference_mid


@jit
def _write_ahead(s: Record, out: Lanes) -> None:
    out[0] = BPS * (s.reference_mid - s.ahead_mid)


REFERENCE_NOW: Final = Family(
    name="reference_now",
    group="cross_asset",
    axis="now",
    windows=(None,),
    fields=lambda _: [("ahead_mid", np.float64), ("ahead_known", np.int64)],
    hooks={"quote": _follow_own, "reference": _follow_reference},
    outputs=(
        Output(
            name="reference_ahead",
            suffix="_bps",
            unit="bps",
            write=_write_ahead,
            definition="10,000 x what the reference's log mid moved since the own mid's last move",
            source="price adjustment across markets, Hasbrouck 1995",
            zero_rule="0 without a reference",
            mirror="sign",
        ),
    ),
)
