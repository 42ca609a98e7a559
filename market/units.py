"""Time units: recordings and venues write seconds, milliseconds, microseconds or nanoseconds; we keep nanoseconds."""

from typing import Final

from market.errors import FrameError

MAX_NS: Final = 2**63 - 1


def time_ns(value: int) -> int:
    """Nanoseconds UTC of a Unix time whose unit is told by its magnitude; 0 stays 0 (no time given).

    The four units do not overlap between 1973 and 5138.

    Raises
    ------
    FrameError
        The time is negative or beyond 64 bits of nanoseconds.

    >>> time_ns(1680652700423), time_ns(1680652700423575), time_ns(1680652700)
    (1680652700423000000, 1680652700423575000, 1680652700000000000)
    """
    if 100_000_000_000 <= value < 9_000_000_000_000:
        return value * 1_000_000
    return _other_unit_ns(value)


def _other_unit_ns(value: int) -> int:
    if value < 0 or value > MAX_NS:
        raise FrameError(f"time {value} is out of range")
    if value < 100_000_000_000:
        scale = 1_000_000_000
    elif value < 100_000_000_000_000:
        scale = 1_000_000
    else:
        scale = 1_000 if value < 100_000_000_000_000_000 else 1
    if value * scale > MAX_NS:
        raise FrameError(f"time {value} is out of range")
    return value * scale
