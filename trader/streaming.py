"""Two small streaming statistics the detectors share. Pure: each update returns a new state. Clocks are event time."""

from math import exp, isfinite

import msgspec

SECOND_NS = 1_000_000_000


class Extremes(msgspec.Struct, frozen=True, gc=False):
    """Highest and lowest price of a window that slides in whole steps: it covers between one and two spans back."""

    since_ns: int
    high: float
    low: float
    old_high: float
    old_low: float

    def fall_bps(self, px: float) -> float:
        """How far ``px`` lies below the highest price seen, in basis points of it."""
        return (1.0 - px / max(self.high, self.old_high)) * 10_000.0

    def rise_bps(self, px: float) -> float:
        """How far ``px`` lies above the lowest price seen, in basis points of it."""
        return (px / min(self.low, self.old_low) - 1.0) * 10_000.0


def init_extremes(px: float, ts_ns: int) -> Extremes:
    """A window that has seen one price."""
    return Extremes(ts_ns, px, px, px, px)


def update_extremes(window: Extremes, px: float, ts_ns: int, span_ns: int) -> Extremes:
    """Take in a price; forgets what is older than two spans.

    >>> window = update_extremes(init_extremes(100.0, 0), 98.0, 1, 10)
    >>> round(window.fall_bps(98.0)), round(update_extremes(window, 98.0, 25, 10).fall_bps(98.0))
    (200, 0)
    """
    age_ns = ts_ns - window.since_ns
    if age_ns >= 2 * span_ns or age_ns < 0:
        return init_extremes(px, ts_ns)
    if age_ns >= span_ns:
        return Extremes(ts_ns, px, px, window.high, window.low)
    if window.low <= px <= window.high:
        return window
    return Extremes(window.since_ns, max(px, window.high), min(px, window.low), window.old_high, window.old_low)


def ewma(mean: float | None, value: float | None, age_s: float, tau_s: float) -> float | None:
    """Mean decayed by ``exp(-age / tau)`` (Eckner 2012, next-point scheme); a missing or broken value leaves it.

    >>> ewma(None, 2.0, 1.0, 10.0), round(ewma(2.0, 4.0, 10.0, 10.0), 3), ewma(2.0, None, 1.0, 10.0)
    (2.0, 3.264, 2.0)
    """
    if value is None or not isfinite(value):
        return mean
    return value if mean is None else value + (mean - value) * exp(-age_s / tau_s)
