"""The event clock, how much of every memory is left after a step of it, and which numbers are usable at all."""

from math import factorial, log
from typing import Final

from features.compose import Compiled, jit, rebound
from features.memory import bits_of, number_of, seen_as
from features.parameters import PARAMETERS
from features.state import Record

TINY: Final = 1e-200
_MOST_TAUS: Final = 600.0
"""What is left after more than these is flushed to 0 wherever it is used."""
_LOG2_E: Final = 1.0 / log(2.0)
# log 2 in two parts: the first ends in zeros, so that whole multiples of it are exact
_LOG_2_HIGH: Final = float.fromhex("0x1.62e42fee00000p-1")
_LOG_2_LOW: Final = float.fromhex("0x1.a39ef35793c76p-33")
_ROUND: Final = 1.5 * 2.0**52
"""Added to a float64 of moderate size it leaves the nearest whole number in its lowest bits."""
_EVEN: Final = tuple(1.0 / factorial(k) for k in range(0, 14, 2))
_ODD: Final = tuple(1.0 / factorial(k) for k in range(1, 14, 2))
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
def _left(taus: float) -> float:
    """``exp(-taus)`` within 2 ulp, in operations that a vector of windows takes at once; -taus = n log 2 + rest."""
    rounded = min(taus, _MOST_TAUS) * -_LOG2_E + _ROUND
    n = rounded - _ROUND
    rest = (-min(taus, _MOST_TAUS) - n * _LOG_2_HIGH) - n * _LOG_2_LOW
    x = rest * rest
    even, odd = _EVEN[6], _ODD[6]
    even, odd = even * x + _EVEN[5], odd * x + _ODD[5]
    even, odd = even * x + _EVEN[4], odd * x + _ODD[4]
    even, odd = even * x + _EVEN[3], odd * x + _ODD[3]
    even, odd = even * x + _EVEN[2], odd * x + _ODD[2]
    even, odd = even * x + _EVEN[1], odd * x + _ODD[1]
    even, odd = even * x + _EVEN[0], odd * x + _ODD[0]
    return (even + rest * odd) * number_of((bits_of(rounded) << 52) + (1023 << 52))


@jit
def _keep_all(s: Record) -> None:
    """What is left of every memory of the plan after ``dt_ns``."""
    dt_ns = float(s.dt_ns)
    for k in range(s.taus):  # a count read from memory keeps the loop a loop, which becomes vector code
        s.keep[k] = _left(dt_ns * s.keep_rate[k])
    s.usual_keep = s.keep[s.usual_at]


def keep_picker(field: str, picks: tuple[int, ...]) -> Compiled:
    """A hook that fills the state's ``field`` with those of ``keep`` that stand at ``picks``."""
    return jit(rebound(_pick_keep, f"pick_{field}", see=seen_as("own_keep", field), picks=picks))


# what ``rebound`` fills in
see: Compiled = None
picks: tuple[int, ...] = ()


def _pick_keep(s: Record) -> None:
    own = see(s).own_keep
    for k in range(len(picks)):
        own[k] = s.keep[picks[k]]


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
