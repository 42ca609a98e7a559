"""How the mid moves, from one move to the next: up against down, jumps, detours, bounces, and how often.

Sums are kept as they stood at the newest move, with what is left of them since (``move_keep``): their ratios change
only when the mid does, so they are computed there and stand.
"""

from math import pi, sqrt
from typing import Any, Final

import numpy as np

from features.clock import faded
from features.compose import jit
from features.family import Family, Output, Window
from features.parameters import PARAMETERS, TAUS
from features.state import Lanes, Record

BPS: Final = 1e4
LEAST_MOVE: Final = 1e-8
"""Of log mid. Sides that move apart or together by the same ticks change it by less, of which rounding is a part."""
_FLAT_SQUARED: Final = PARAMETERS.flat * PARAMETERS.flat
_BIPOWER: Final = 0.5 * pi
_LONGER: Final = 2
_SUMS: Final = ("squares", "signed_squares", "path", "net", "pairs", "signed_pairs", "count", "now")
_STANDING: Final = ("semivariance", "jumps", "efficiency", "bounce", "trend", "bipower")


@jit
def _fade_moves(s: Record) -> None:
    for k in range(s.keep.size):
        s.move_keep[k] = faded(s.move_keep[k], s.keep[k])
        s.moves_quotes[k] = faded(s.moves_quotes[k], s.keep[k])


@jit
def _add_move(s: Record) -> None:
    square, sign = s.step * s.step, 1.0 if s.step > 0.0 else -1.0
    pair = s.step * s.last_move
    for k in range(s.move_keep.size):
        keep = s.move_keep[k]
        s.moves_squares[k] = s.moves_squares[k] * keep + square
        s.moves_signed_squares[k] = s.moves_signed_squares[k] * keep + sign * square
        s.moves_path[k] = s.moves_path[k] * keep + abs(s.step)
        s.moves_net[k] = s.moves_net[k] * keep + s.step
        s.moves_pairs[k] = s.moves_pairs[k] * keep + abs(pair)
        s.moves_signed_pairs[k] = s.moves_signed_pairs[k] * keep + pair
        s.moves_count[k] = s.moves_count[k] * keep + 1.0
        s.move_keep[k] = 1.0
    s.last_move = s.step


@jit
def _compare_moves(s: Record) -> None:
    """What stands until the next move: squares and path are not 0 after one, pairs not after two."""
    for k in range(s.move_keep.size):
        squares, pairs = s.moves_squares[k], s.moves_pairs[k]
        bipower = _BIPOWER * pairs
        s.moves_semivariance[k] = s.moves_signed_squares[k] / squares
        s.moves_jumps[k] = (squares - bipower) / (squares + bipower)
        s.moves_efficiency[k] = s.moves_net[k] / s.moves_path[k]
        s.moves_bounce[k] = s.moves_signed_pairs[k] / pairs if pairs > 0.0 else 0.0
        s.moves_trend[k] = s.moves_net[k] / sqrt(squares)
        s.moves_bipower[k] = BPS * sqrt(bipower)


@jit
def _take_quote(s: Record) -> None:
    if abs(s.step) > LEAST_MOVE:
        _add_move(s)
        _compare_moves(s)
    for k in range(s.move_keep.size):
        s.moves_quotes[k] += 1.0
        s.moves_root[k] = sqrt(s.move_keep[k])
        s.moves_now[k] = s.moves_squares[k] * s.move_keep[k]


@jit
def _write_semivariance(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.moves_semivariance[k]


@jit
def _write_jumps(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.moves_jumps[k]


@jit
def _write_efficiency(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.moves_efficiency[k]


@jit
def _write_bounce(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.moves_bounce[k]


@jit
def _write_trend(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.moves_trend[k] * s.moves_root[k]


@jit
def _write_bipower(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.moves_bipower[k] * s.moves_root[k]


@jit
def _write_share(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.moves_count[k] * s.move_keep[k] / s.moves_quotes[k]


@jit
def _write_change(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        expected = s.moves_now[s.moves_other[k]] * s.moves_other_share[k]
        total = s.moves_now[k] + expected
        out[k] = (s.moves_now[k] - expected) / total if total > _FLAT_SQUARED else 0.0


def _other(tau: Window) -> Window:
    at = TAUS.index(tau)
    return TAUS[min(at + _LONGER, len(TAUS) - 1)] if at + 1 < len(TAUS) else TAUS[at - _LONGER]


def _fields(count: int) -> list[tuple[Any, ...]]:
    names = ("move_keep", *(f"moves_{name}" for name in ("quotes", "root", "other_share", *_SUMS, *_STANDING)))
    whole = [("last_move", np.float64), ("moves_other", np.int64, (count,))]
    return whole + [(name, np.float64, (count,)) for name in names]


def _start(state: Any, taus: tuple[Window, ...]) -> None:
    others = [_other(tau) if _other(tau) in taus else tau for tau in taus]
    state["moves_other"] = [taus.index(tau) for tau in others]
    state["moves_other_share"] = [tau / other for tau, other in zip(taus, others, strict=True)]


_MOVE: Final = (
    f"a move is a change of log mid from one quote to the next by more than {LEAST_MOVE:g}; sums over moves are "
    "decayed over tau"
)
_STANDS: Final = "it stands until the next move"
_NONE: Final = "0 before the first move"

MOVES: Final = Family(
    name="moves",
    group="price",
    axis="tau",
    windows=TAUS,
    fields=_fields,
    start=_start,
    needs=lambda tau: (_other(tau),),
    hooks={"time": _fade_moves, "quote": _take_quote},
    outputs=(
        Output(
            name="semivariance_share",
            unit="ratio in [-1, 1]",
            write=_write_semivariance,
            definition=f"(U - D) / (U + D); U and D the sums of squared moves up and down; {_MOVE}, and {_STANDS}",
            source="realized semivariance, Barndorff-Nielsen, Kinnebrock and Shephard 2010",
            zero_rule=_NONE,
            mirror="sign",
        ),
        Output(
            name="jump_share",
            unit="ratio in (-1, 1]",
            write=_write_jumps,
            definition="(V - B) / (V + B); V the sum of squared moves, B = pi / 2 x the sum of |move| x |move before|; "
            f"{_MOVE}, and {_STANDS}",
            source="jump share of realized variance, Barndorff-Nielsen and Shephard 2004, as a relative difference",
            zero_rule=_NONE,
        ),
        Output(
            name="path_efficiency",
            unit="ratio in [-1, 1]",
            write=_write_efficiency,
            definition=f"sum of moves / sum of |move|; {_MOVE}, and {_STANDS}",
            source="efficiency ratio, Kaufman 1995, signed and decayed",
            zero_rule=_NONE,
            mirror="sign",
        ),
        Output(
            name="move_autocovariance",
            unit="ratio in [-1, 1]",
            write=_write_bounce,
            definition=f"sum of move x move before / sum of their absolute products; {_MOVE}, and {_STANDS}",
            source="covariance of successive price changes, Roll 1984, over its greatest possible size",
            zero_rule="0 before the second move",
        ),
        Output(
            name="trend",
            unit="deviations",
            write=_write_trend,
            definition=f"sum of moves / square root of the sum of squared moves; {_MOVE}",
            source="return over realized volatility of the same span, Moskowitz, Ooi and Pedersen 2012",
            zero_rule=_NONE,
            mirror="sign",
        ),
        Output(
            name="bipower_volatility",
            suffix="_bps",
            unit="bps",
            write=_write_bipower,
            definition=f"10,000 x square root of B = pi / 2 x the sum of |move| x |move before|; {_MOVE}",
            source="bipower variation, Barndorff-Nielsen and Shephard 2004",
            zero_rule="0 before the second move",
        ),
        Output(
            name="move_share",
            unit="ratio in [0, 1]",
            write=_write_share,
            definition=f"number of moves / number of quotes, both decayed over tau; {_MOVE}",
            source="share of quotes that moved the mid",
            zero_rule=_NONE,
        ),
        Output(
            name="volatility_change",
            unit="ratio in [-1, 1]",
            write=_write_change,
            definition="(V - E) / (V + E); V the sum of squared moves, E what the rate of the tau two places longer "
            f"(the longest but one: the longest; the longest: two places shorter) expects of V; {_MOVE}",
            source="relative difference of realized variances",
            zero_rule=f"0 while V + E is below {_FLAT_SQUARED:g}",
        ),
    ),
)
