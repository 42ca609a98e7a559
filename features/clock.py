"""The event clock, how much of every memory is left after a step of it, and which numbers are usable at all."""

from math import exp
from typing import Final

import numpy as np

from features.compose import jit
from features.parameters import PARAMETERS, TAU_ROOTS, TAUS
from features.state import Record

TINY: Final = 1e-200
_LONGEST: Final = float(TAUS[-1])
_COUNT: Final = len(TAUS)
_FROM: Final = np.array([root for root, _ in TAU_ROOTS])
_TIMES: Final = np.array([times for _, times in TAU_ROOTS])
_REBASE: Final = PARAMETERS.rebase_ns
_LEAST, _MOST = PARAMETERS.min_value, PARAMETERS.max_value


@jit
def usable(value: float) -> bool:
    """False for NaN, infinities, zero and numbers no market quotes."""
    return _LEAST < value < _MOST


@jit
def faded(total: float, keep: float) -> float:
    """``total`` decayed; flushed to 0 before denormal numbers make every later event slow."""
    rest = total * keep
    return rest if abs(rest) > TINY else 0.0


@jit
def _power(x: float, times: int) -> float:
    """``x`` to the 2nd, 3rd or 5th, as ``TAU_ROOTS`` asks for."""
    square = x * x
    if times == 2:
        return square
    return square * x if times == 3 else square * square * x


@jit
def _keep_all(s: Record) -> None:
    """What is left of each of ``TAUS`` after ``dt_ns``; roundings grow with the power taken, to 1e-11."""
    kept = s.kept
    kept[_COUNT - 1] = exp(-float(s.dt_ns) / _LONGEST)
    for i in range(_COUNT - 2, -1, -1):
        kept[i] = _power(kept[_FROM[i]], _TIMES[i])
    for k in range(s.keep.size):
        s.keep[k] = kept[s.keep_from[k]]


@jit
def move_clock(s: Record, ts_ns: int) -> bool:
    """Take an event's time; True when the clock moved on, by ``dt_ns``.

    Small steps back are held; a large one is a clock set anew, and is followed from there.
    """
    now = ts_ns + s.offset_ns
    if s.events == 0:
        s.now_ns = now
    elif now < s.now_ns - _REBASE:
        s.offset_ns = s.now_ns - ts_ns
    s.events += 1
    if now <= s.now_ns:
        return False
    s.dt_ns = now - s.now_ns
    s.now_ns = now
    _keep_all(s)
    return True
