"""Volume profile: at which prices the volume of a rolling window of closed bars was traded.

The range of the window, lowest low to highest high, is cut into equal bins of log price, so their width follows the
market. The volume of a bar goes to its typical price, (high + low + close) / 3, split between the two nearest bin
centres in proportion to nearness, so that no rounding of a price moves a whole bar.
"""

from typing import Final

import numpy as np

from features.bars import back
from features.compose import Compiled, jit
from features.families.ranges import extremes
from features.families.technical import bar_fields_of, start_windows
from features.family import Family, Fields, Output
from features.parameters import PARAMETERS
from features.state import Lanes, Record

BPS: Final = 1e4
_FLAT: Final = PARAMETERS.flat
BINS: Final = 32
VALUE_AREA: Final = 0.7
CLIP: Final = 3.0


@jit
def _fill_bins(s: Record, length: int, count: int, low: float, unit: float) -> float:
    """Volume by bin (``unit``: one over their width) of the newest ``count`` bars; returns its sum."""
    s.profile_bins[:] = 0.0
    total = 0.0
    for bar in range(1, count + 1):
        slot = back(s, length, bar)
        volume = s.volumes[length, slot]
        typical = (s.highs[length, slot] + s.lows[length, slot] + s.closes[length, slot]) / 3.0
        at = min(max((typical - low) * unit - 0.5, 0.0), BINS - 1.0)
        lower = min(int(at), BINS - 2)
        s.profile_bins[lower] += volume * (lower + 1 - at)
        s.profile_bins[lower + 1] += volume * (at - lower)
        total += volume
    return total


@jit
def _fullest(s: Record) -> int:
    """The bin with most volume; the lowest of several."""
    best = 0
    for i in range(1, BINS):
        if s.profile_bins[i] > s.profile_bins[best]:
            best = i
    return best


@jit
def _value_area(s: Record, center: int, wanted: float) -> tuple[int, int]:
    """Bins around the fullest, the fuller neighbour added first (both when alike), until they hold ``wanted``."""
    first = last = center
    held = s.profile_bins[center]
    while held < wanted and (first > 0 or last < BINS - 1):
        below = s.profile_bins[first - 1] if first > 0 else -1.0
        above = s.profile_bins[last + 1] if last < BINS - 1 else -1.0
        if below >= above:
            first -= 1
            held += below
        if above >= below:
            last += 1
            held += above
    return first, last


@jit
def _close_profile(s: Record, length: int) -> None:
    for k in range(s.profile_bars.size):
        count = min(s.bars[length], int(s.profile_bars[k]))
        high, low = extremes(s, length, count)
        width = (high - low) / BINS
        s.profile_there[length, k] = 0.0
        if high - low <= _FLAT:
            continue
        total = _fill_bins(s, length, count, low, 1.0 / width)
        if total <= 0.0:
            continue
        center = _fullest(s)
        first, last = _value_area(s, center, VALUE_AREA * total)
        s.profile_there[length, k] = 1.0
        s.profile_poc[length, k] = low + (center + 0.5) * width
        s.profile_low[length, k], s.profile_high[length, k] = low + first * width, low + (last + 1) * width
        s.profile_unit[length, k] = 2.0 / ((last + 1 - first) * width)


@jit
def _write_poc(s: Record, out: Lanes) -> None:
    count = s.profile_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            distance = s.bar_close[length] - s.profile_poc[length, k]
            out[length * count + k] = BPS * s.profile_there[length, k] * distance


@jit
def _write_high(s: Record, out: Lanes) -> None:
    count = s.profile_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            distance = s.profile_high[length, k] - s.bar_close[length]
            out[length * count + k] = BPS * s.profile_there[length, k] * distance


@jit
def _write_low(s: Record, out: Lanes) -> None:
    count = s.profile_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            distance = s.bar_close[length] - s.profile_low[length, k]
            out[length * count + k] = BPS * s.profile_there[length, k] * distance


@jit
def _write_width(s: Record, out: Lanes) -> None:
    count = s.profile_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            width = s.profile_high[length, k] - s.profile_low[length, k]
            out[length * count + k] = BPS * s.profile_there[length, k] * width


@jit
def _write_position(s: Record, out: Lanes) -> None:
    count = s.profile_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            middle = 0.5 * (s.profile_high[length, k] + s.profile_low[length, k])
            position = (s.bar_close[length] - middle) * s.profile_unit[length, k]
            out[length * count + k] = s.profile_there[length, k] * min(max(position, -CLIP), CLIP)


_KEPT: Final = ("profile_there", "profile_poc", "profile_high", "profile_low", "profile_unit")


def _profile_fields(lengths: int, count: int) -> Fields:
    kept: Fields = bar_fields_of("profile_bars", *_KEPT)(lengths, count)
    return [*kept, ("profile_bins", np.float64, (BINS,))]


_PROFILE: Final = (
    "of the newest closed bars (as many as there are), in logs: the range from lowest low to highest high is cut into "
    f"{BINS} bins; a bar's volume goes to (high + low + close) / 3, split between the two nearest bin centres in "
    "proportion to nearness (all to the outermost centre beyond it); the point of control is the centre of the fullest "
    "bin (the lowest of several); the value area grows from it by the fuller neighbour, by both when alike, until it "
    f"holds {VALUE_AREA:g} of the volume"
)


def _output(name: str, write: Compiled, what: str, mirror: str, unit: str = "bps") -> Output:
    return Output(
        name=name,
        suffix="_bps" if unit == "bps" else "",
        unit=unit,
        write=write,
        definition=f"{what}, {_PROFILE}",
        source="market profile, Steidlmayer 1984",
        zero_rule=f"0 without volume, and while the log range is at most {_FLAT:g}",
        mirror=mirror,
    )


PROFILE: Final = Family(
    name="profile",
    group="volume",
    axis="bars",
    windows=(20, 40),
    look_back=lambda window: window,
    fields=_profile_fields,
    start=start_windows("profile_bars"),
    hooks={"close": _close_profile},
    outputs=(
        _output("poc_distance", _write_poc, "10,000 x (mid - point of control)", "sign"),
        _output("value_high_distance", _write_high, "10,000 x (top of the value area - mid)", "value_low_distance"),
        _output("value_low_distance", _write_low, "10,000 x (mid - bottom of the value area)", "value_high_distance"),
        _output("value_width", _write_width, "10,000 x width of the value area", "same"),
        _output(
            "value_position",
            _write_position,
            f"distance of mid from the middle of the value area over half its width, clipped to {CLIP:g} either way",
            "sign",
            "half widths",
        ),
    ),
)
