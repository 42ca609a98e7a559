"""Where the clock stands: day, week, and the round times that people and venues act on."""

from math import cos, pi, sin
from typing import Final

import numpy as np

from features.compose import Compiled, jit, rebound
from features.family import Family, Fields, Output
from features.parameters import HOUR_NS, MINUTE_NS, SECOND_NS
from features.state import Lanes, Record

_MINUTE, _HOUR = MINUTE_NS // SECOND_NS, HOUR_NS // SECOND_NS
_FUNDING: Final = 8 * _HOUR
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY
_MONDAY: Final = 4 * _DAY
"""The clock's zero was a Thursday; the first Monday began so many seconds later."""
_DAY_SIN, _DAY_COS, _WEEK_SIN, _WEEK_COS, _OF_HOUR, _TO_MINUTE, _TO_HOUR, _TO_FUNDING = range(8)


@jit
def _left(second: int, cycle: int) -> float:
    """What is left of a cycle, in (0, 1]."""
    return (cycle - second % cycle) / cycle


@jit
def _take_second(s: Record) -> None:
    """Once a second is enough: a sine costs as much as a hundred sums."""
    second = s.now_ns // SECOND_NS
    if second == s.calendar_second and s.quotes > 0:
        return
    s.calendar_second = second
    day = 2.0 * pi * (second % _DAY) / _DAY
    week = 2.0 * pi * ((second - _MONDAY) % _WEEK) / _WEEK
    told = s.calendar_told
    told[_DAY_SIN], told[_DAY_COS], told[_WEEK_SIN], told[_WEEK_COS] = sin(day), cos(day), sin(week), cos(week)
    told[_OF_HOUR] = float(second % _HOUR // _MINUTE) / 60.0
    told[_TO_MINUTE], told[_TO_HOUR] = _left(second, _MINUTE), _left(second, _HOUR)
    told[_TO_FUNDING] = _left(second, _FUNDING)


at = 0
"""What ``rebound`` fills in: which of the told ratios is written."""


def _write(s: Record, out: Lanes) -> None:
    out[0] = s.calendar_told[at]


def _writer(which: int) -> Compiled:
    return jit(rebound(_write, "write", at=which))


def _calendar_fields(_: int) -> Fields:
    return [("calendar_second", np.int64), ("calendar_told", np.float64, (8,))]


def _output(name: str, which: int, definition: str, unit: str = "ratio in (0, 1]") -> Output:
    return Output(
        name=name,
        unit=unit,
        write=_writer(which),
        definition=f"{definition}; the event clock in UTC, in whole seconds",
        source="intraday seasonality, Andersen and Bollerslev 1997",
        zero_rule="none: there is always a time",
    )


_CIRCLE: Final = "ratio in [-1, 1]"

CALENDAR: Final = Family(
    name="calendar",
    group="calendar",
    axis="now",
    windows=(None,),
    fields=_calendar_fields,
    hooks={"quote": _take_second},
    outputs=(
        _output("day_sin", _DAY_SIN, "sine of 2 pi x the share of the day that is over", _CIRCLE),
        _output("day_cos", _DAY_COS, "cosine of 2 pi x the share of the day that is over", _CIRCLE),
        _output("week_sin", _WEEK_SIN, "sine of 2 pi x the share of the week that is over, from Monday", _CIRCLE),
        _output("week_cos", _WEEK_COS, "cosine of 2 pi x the share of the week that is over, from Monday", _CIRCLE),
        _output("minute_of_hour", _OF_HOUR, "minute of the hour / 60", "ratio in [0, 1)"),
        _output("to_minute", _TO_MINUTE, "seconds to the next full minute / 60"),
        _output("to_hour", _TO_HOUR, "seconds to the next full hour / 3,600"),
        _output("to_funding_boundary", _TO_FUNDING, "seconds to the next of 0, 8 and 16 h / 28,800"),
    ),
)
