"""Volumes of closed bars: against what is usual, and together with how the close moved. Nothing moves within a bar."""

from math import sqrt
from typing import Any, Final

import numpy as np

from features.bars import back
from features.compose import jit, rebound
from features.families.technical import bar_fields_of, start_windows
from features.family import Family, Fields, Output
from features.parameters import PARAMETERS
from features.state import Lanes, Record

_FLAT: Final = PARAMETERS.flat
_ALIKE: Final = 1e-9
"""Volumes that differ by less than this share of their mean are alike."""
NAMES: Final = ("z", "ratio", "money_index", "slope", "correlation")
_Z, _RATIO, _MONEY, _SLOPE, _CORRELATION = range(len(NAMES))


@jit
def _way(change: float) -> float:
    """The sign of a change of log price."""
    return 1.0 if change > _FLAT else (-1.0 if change < -_FLAT else 0.0)


@jit
def _typical(s: Record, length: int, slot: int) -> float:
    return (s.highs[length, slot] + s.lows[length, slot] + s.closes[length, slot]) / 3.0


@jit
def _close_moments(s: Record, length: int, k: int, count: int) -> None:
    """Mean and deviations of volumes and closes of the newest ``count`` bars, the newest close as the origin."""
    newest = back(s, length, 1)
    origin, volume, close = s.closes[length, newest], 0.0, 0.0
    for bar in range(1, count + 1):
        slot = back(s, length, bar)
        volume += s.volumes[length, slot]
        close += s.closes[length, slot] - origin
    volume, close = volume / count, close / count
    vv = cc = vc = 0.0
    for bar in range(1, count + 1):
        slot = back(s, length, bar)
        v, c = s.volumes[length, slot] - volume, s.closes[length, slot] - origin - close
        vv, cc, vc = vv + v * v, cc + c * c, vc + v * c
    last, uneven = s.volumes[length, newest], sqrt(vv / count) > _ALIKE * volume
    s.volume_out[_Z, length, k] = (last - volume) / sqrt(vv / count) if uneven else 0.0
    s.volume_out[_RATIO, length, k] = (last - volume) / (last + volume) if volume > 0.0 else 0.0
    moved = uneven and sqrt(cc / count) > _FLAT
    s.volume_out[_CORRELATION, length, k] = vc / sqrt(vv * cc) if moved else 0.0


@jit
def _close_signed(s: Record, length: int, k: int, count: int) -> None:
    """Volumes by the way the price went, of the newest ``count`` bars, each against the one before it."""
    up, down, total, slope = 0.0, 0.0, 0.0, 0.0
    for bar in range(1, count + 1):
        slot, before = back(s, length, bar), back(s, length, bar + 1)
        volume = s.volumes[length, slot]
        way = _way(_typical(s, length, slot) - _typical(s, length, before))
        up += volume if way > 0.0 else 0.0
        down += volume if way < 0.0 else 0.0
        total += volume
        slope += _way(s.closes[length, slot] - s.closes[length, before]) * volume * (0.5 * bar * (count - bar))
    s.volume_out[_MONEY, length, k] = 100.0 * up / (up + down) if up + down > 0.0 else 50.0
    spread = count * (count * count - 1.0) / 12.0
    s.volume_out[_SLOPE, length, k] = slope * count / (spread * total) if total > 0.0 and count > 1 else 0.0


@jit
def _close_volume(s: Record, length: int) -> None:
    for k in range(s.volume_bars.size):
        window = int(s.volume_bars[k])
        _close_moments(s, length, k, min(s.bars[length], window))
        _close_signed(s, length, k, min(s.bars[length] - 1, window))


row = 0


def _write_row(s: Record, out: Lanes) -> None:
    count = s.volume_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            out[length * count + k] = s.volume_out[row, length, k]


def _volume_fields(lengths: int, count: int) -> Fields:
    plain: Fields = bar_fields_of("volume_bars")(lengths, count)
    return [*plain, ("volume_out", np.float64, (len(NAMES), lengths, count))]


def _start_volume(state: Any, windows: tuple[int, ...]) -> None:
    start_windows("volume_bars")(state, windows)
    state["volume_out"][:, _MONEY] = 50.0


_WINDOW: Final = "of the newest closed bars, as many as there are"
_PAIRS: Final = f"{_WINDOW} with one before them"


def _output(name: str, index: int, unit: str, definition: str, source: str, zero: str, mirror: str) -> Output:
    return Output(
        name=name,
        unit=unit,
        write=jit(rebound(_write_row, f"write_volume_{index}", row=index)),
        definition=definition,
        source=source,
        zero_rule=zero,
        mirror=mirror,
        mirror_sum=100.0 if index == _MONEY else 0.0,
    )


_EVEN: Final = f"0 while the deviation of volumes is below {_ALIKE:g} of their mean"

BAR_VOLUME: Final = Family(
    name="bar_volume",
    group="volume",
    axis="bars",
    windows=(10, 20),
    look_back=lambda window: window + 1,
    fields=_volume_fields,
    start=_start_volume,
    hooks={"close": _close_volume},
    outputs=(
        _output(
            "bar_volume_z",
            _Z,
            "standard deviations",
            f"(v - m) / s; v is the volume of the last closed bar, m and s mean and population deviation {_WINDOW}",
            "standard score of volume",
            _EVEN,
            "same",
        ),
        _output(
            "bar_volume",
            _RATIO,
            "ratio in [-1, 1)",
            "(v - m) / (v + m), v and m as in bar_volume_z",
            "relative volume",
            "0 without volume in the window",
            "same",
        ),
        _output(
            "money_flow_index",
            _MONEY,
            "0 to 100",
            f"100 x U / (U + D); U and D the volume of bars whose (high + low + close) / 3, in logs, rose and fell by "
            f"more than {_FLAT:g} from the bar before, {_PAIRS}",
            "Quong and Soudack 1989, by volume alone",
            "50 without such bars",
            "sign",
        ),
        _output(
            "obv_slope",
            _SLOPE,
            "mean volumes per bar",
            "least-squares slope of on-balance volume over bars, over their mean volume; a bar adds its volume when "
            f"its close is more than {_FLAT:g} above the one before, and takes it when as much below; {_PAIRS}",
            "Granville 1963",
            "0 without volume in the window, and with one bar",
            "sign",
        ),
        _output(
            "volume_price_correlation",
            _CORRELATION,
            "ratio in [-1, 1]",
            f"Pearson correlation of volume and close {_WINDOW}",
            "correlation of price and volume, Karpoff 1987",
            f"{_EVEN}, or that of closes is below {_FLAT:g}",
            "sign",
        ),
    ),
)
