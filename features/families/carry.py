"""What holding a perpetual costs: basis, premium, funding."""

from math import log
from typing import Final

import numpy as np

from features.compose import jit
from features.family import Family, Fields, Output
from features.parameters import HOUR_NS, SECOND_NS, TAUS
from features.state import Lanes, Record

BPS: Final = 1e4
_FUNDING_NS: Final = 8 * HOUR_NS
_SECOND: Final = float(SECOND_NS)
_NO_MARK: Final = "0 until mark and index price were told"
_PREMIUM: Final = "premium index of perpetual futures, He, Manela, Ross and von Wachter 2022"


@jit
def _take_mark(s: Record) -> None:
    """Logs over the first price, as the mid's; when funding is due is told anew by each other time that is left."""
    if s.mark_px > 0.0:
        s.log_mark = log(s.mark_px) - s.ref
    if s.index_px > 0.0:
        s.log_index = log(s.index_px) - s.ref
    if s.funding_s != s.told_funding_s:
        s.told_funding_s = s.funding_s
        s.funding_due_ns = s.now_ns + np.int64(s.funding_s * _SECOND)


@jit
def _write_basis(s: Record, out: Lanes) -> None:
    out[0] = BPS * (s.log_mark - s.log_index) if s.mark_px > 0.0 and s.index_px > 0.0 else 0.0


@jit
def _write_mark_distance(s: Record, out: Lanes) -> None:
    out[0] = BPS * (s.mid - s.log_mark) if s.mark_px > 0.0 else 0.0


@jit
def _write_index_distance(s: Record, out: Lanes) -> None:
    out[0] = BPS * (s.mid - s.log_index) if s.index_px > 0.0 else 0.0


@jit
def _write_funding(s: Record, out: Lanes) -> None:
    out[0] = BPS * s.funding_rate


@jit
def _write_funding_time(s: Record, out: Lanes) -> None:
    left = float(s.funding_due_ns - s.now_ns) / _FUNDING_NS if s.funding_due_ns != 0 else 0.0
    out[0] = min(max(left, 0.0), 1.0)


def _carry_fields(_: int) -> Fields:
    floats = [(name, np.float64) for name in ("log_mark", "log_index", "told_funding_s")]
    return [*floats, ("funding_due_ns", np.int64)]


CARRY: Final = Family(
    name="carry",
    group="carry",
    axis="now",
    windows=(None,),
    fields=_carry_fields,
    hooks={"mark": _take_mark},
    outputs=(
        Output(
            name="basis",
            suffix="_bps",
            unit="bps",
            write=_write_basis,
            definition="10,000 x ln(mark price / index price)",
            source=_PREMIUM,
            zero_rule=_NO_MARK,
            mirror="sign",
        ),
        Output(
            name="mark_distance",
            suffix="_bps",
            unit="bps",
            write=_write_mark_distance,
            definition="10,000 x (log mid - log mark price)",
            source=_PREMIUM,
            zero_rule="0 until a mark price was told",
            mirror="sign",
        ),
        Output(
            name="index_distance",
            suffix="_bps",
            unit="bps",
            write=_write_index_distance,
            definition="10,000 x (log mid - log index price)",
            source=_PREMIUM,
            zero_rule="0 until an index price was told",
            mirror="sign",
        ),
        Output(
            name="funding_rate",
            suffix="_bps",
            unit="bps per funding interval",
            write=_write_funding,
            definition="10,000 x the running funding rate",
            source="funding as the venue tells it",
            zero_rule="0 until a funding rate was told",
            mirror="sign",
        ),
        Output(
            name="funding_time",
            unit="ratio in [0, 1]",
            write=_write_funding_time,
            definition="time to the next funding / 8 h, within 0 and 1; a mark frame tells the seconds left, which run "
            "down by the event clock until another number is told",
            source="funding as the venue tells it",
            zero_rule="0 until a time was told, and once it is over",
        ),
    ),
)

# -- change of the basis -----------------------------------------------------------------------------------------------


@jit
def _move_basis_means(s: Record) -> None:
    for k in range(s.keep.size):
        s.basis_mean[k] += (s.basis - s.basis_mean[k]) * (1.0 - s.keep[k])
        s.premium_mean[k] += (s.premium - s.premium_mean[k]) * (1.0 - s.keep[k])


@jit
def _enter_basis(s: Record) -> None:
    """The first basis that is known stands for all time before."""
    if not (s.mark_px > 0.0 and s.index_px > 0.0):
        return
    s.basis = log(s.mark_px / s.index_px)
    if s.has_basis == 0:
        s.has_basis = 1
        s.basis_mean[:] = s.basis


@jit
def _enter_index(s: Record) -> None:
    if s.index_px > 0.0:
        s.premium_index = log(s.index_px) - s.ref
        _enter_premium(s)
    _enter_basis(s)


@jit
def _enter_premium(s: Record) -> None:
    if s.index_px > 0.0 and s.mid_seen != 0:
        s.premium = s.mid - s.premium_index
        if s.has_premium == 0:
            s.has_premium = 1
            s.premium_mean[:] = s.premium


@jit
def _enter_mid(s: Record) -> None:
    s.mid_seen = 1
    _enter_premium(s)


@jit
def _write_basis_change(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * (s.basis - s.basis_mean[k])


@jit
def _write_premium_change(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * (s.premium - s.premium_mean[k])


def _basis_fields(count: int) -> Fields:
    flags = [(name, np.int64) for name in ("has_basis", "has_premium", "mid_seen")]
    floats = [(name, np.float64) for name in ("basis", "premium", "premium_index")]
    return [*flags, *floats, *((name, np.float64, (count,)) for name in ("basis_mean", "premium_mean"))]


BASIS: Final = Family(
    name="basis",
    group="carry",
    axis="tau",
    windows=TAUS,
    fields=_basis_fields,
    hooks={"time": _move_basis_means, "quote": _enter_mid, "mark": _enter_index},
    outputs=(
        Output(
            name="basis_change",
            suffix="_bps",
            unit="bps",
            write=_write_basis_change,
            definition="10,000 x (b - its time-weighted mean decayed over tau); b = ln(mark price / index price)",
            source=_PREMIUM,
            zero_rule=_NO_MARK,
            mirror="sign",
        ),
        Output(
            name="premium_change",
            suffix="_bps",
            unit="bps",
            write=_write_premium_change,
            definition="10,000 x (p - its time-weighted mean decayed over tau); p = log mid - log index price, from "
            "where both are known",
            source=_PREMIUM,
            zero_rule="0 until an index price was told",
            mirror="sign",
        ),
    ),
)
