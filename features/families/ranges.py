"""Classic indicators of how far prices reach, over bars of log mids with the running bar counted as the newest."""

from math import sqrt
from typing import Any, Final

import numpy as np

from features.bars import back
from features.compose import jit
from features.families.technical import BPS, FLAT, FLAT_RULE, bar_fields_of, smoothed, start_windows
from features.family import Family, Output, Window
from features.state import Lanes, Record

_SMOOTH: Final = 3
_PART: Final = 1.0 / _SMOOTH

# -- Bollinger ---------------------------------------------------------------------------------------------------------


@jit
def _close_bollinger(s: Record, length: int) -> None:
    """Mean and squared deviations of the closed bars that share a window with the running one."""
    for k in range(s.bollinger_bars.size):
        count = min(s.bars[length], int(s.bollinger_bars[k]) - 1)
        mean, m2 = 0.0, 0.0
        for bar in range(1, count + 1):
            mean += s.closes[length, back(s, length, bar)] / count
        for bar in range(1, count + 1):
            m2 += (s.closes[length, back(s, length, bar)] - mean) ** 2
        s.closes_mean[length, k], s.closes_m2[length, k] = mean, m2
        s.closes_part[length, k], s.closes_share[length, k] = 1.0 / (count + 1.0), count / (count + 1.0)


@jit
def _step_deviation(s: Record, length: int, k: int) -> tuple[float, float]:
    """The running bar's distance from the mean, and the deviation, both with the running bar entered."""
    share = s.closes_share[length, k]
    step = s.bar_close[length] - s.closes_mean[length, k] if s.bars[length] > 0 else 0.0
    return step * share, sqrt((s.closes_m2[length, k] + step * step * share) * s.closes_part[length, k])


@jit
def _write_position(s: Record, out: Lanes) -> None:
    windows = s.bollinger_bars.size
    for length in range(s.bars.size):
        for k in range(windows):
            step, deviation = _step_deviation(s, length, k)
            out[length * windows + k] = step / (2.0 * deviation) if deviation > FLAT else 0.0


@jit
def _write_width(s: Record, out: Lanes) -> None:
    windows = s.bollinger_bars.size
    for length in range(s.bars.size):
        for k in range(windows):
            _, deviation = _step_deviation(s, length, k)
            out[length * windows + k] = BPS * 4.0 * deviation


BOLLINGER: Final = Family(
    name="bollinger",
    group="technical",
    axis="bars",
    windows=(10, 20, 30, 40, 60, 100),
    look_back=lambda window: window - 1,
    fields=bar_fields_of("bollinger_bars", "closes_mean", "closes_m2", "closes_part", "closes_share"),
    start=start_windows("bollinger_bars"),
    hooks={"close": _close_bollinger},
    outputs=(
        Output(
            name="bollinger_position",
            unit="ratio, 1 on the upper band",
            write=_write_position,
            definition="(log mid - m) / (2 s); m and s mean and population deviation of bar closes",
            source="Bollinger 2001",
            zero_rule=f"0 {FLAT_RULE}",
            mirror="sign",
        ),
        Output(
            name="bollinger_width",
            suffix="_bps",
            unit="bps",
            write=_write_width,
            definition="10,000 x 4 s; s as in the position",
            source="Bollinger 2001",
            zero_rule="0 at constant price",
        ),
    ),
)

# -- stochastic and Williams -------------------------------------------------------------------------------------------


@jit
def extremes(s: Record, length: int, count: int) -> tuple[float, float]:
    """Highest high and lowest low of the newest ``count`` closed bars (as many as there are, at least one)."""
    newest = back(s, length, 1)
    high, low = s.highs[length, newest], s.lows[length, newest]
    for bar in range(2, min(s.bars[length], count) + 1):
        slot = back(s, length, bar)
        high, low = max(high, s.highs[length, slot]), min(low, s.lows[length, slot])
    return high, low


@jit
def _position(s: Record, length: int, high: float, low: float) -> float:
    """Where the close stands between ``low`` and ``high`` widened by the running bar, 0 to 1; 0.5 when flat."""
    high, low = max(high, s.bar_high[length]), min(low, s.bar_low[length])
    return (s.bar_close[length] - low) / (high - low) if high - low > FLAT else 0.5


@jit
def _stochastic(s: Record, length: int, k: int, seen: int) -> tuple[float, float, float]:
    """Raw K, slow K and D, the running bar counted as closed after ``seen`` others."""
    raw = 50.0
    if seen > 0:
        raw = 100.0 * _position(s, length, s.stochastic_high[length, k], s.stochastic_low[length, k])
    slow = (raw + s.raw_k[length, k, 0] + s.raw_k[length, k, 1]) * _PART
    return raw, slow, (slow + s.slow_k[length, k, 0] + s.slow_k[length, k, 1]) * _PART


@jit
def _close_stochastic(s: Record, length: int) -> None:
    for k in range(s.stochastic_bars.size):
        raw, slow, _ = _stochastic(s, length, k, s.bars[length] - 1)
        s.raw_k[length, k, 1], s.raw_k[length, k, 0] = s.raw_k[length, k, 0], raw
        s.slow_k[length, k, 1], s.slow_k[length, k, 0] = s.slow_k[length, k, 0], slow
        high, low = extremes(s, length, int(s.stochastic_bars[k]) - 1)
        s.stochastic_high[length, k], s.stochastic_low[length, k] = high, low


@jit
def _write_k(s: Record, out: Lanes) -> None:
    count = s.stochastic_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            _, slow, _ = _stochastic(s, length, k, s.bars[length])
            out[length * count + k] = slow


@jit
def _write_d(s: Record, out: Lanes) -> None:
    count = s.stochastic_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            _, _, d = _stochastic(s, length, k, s.bars[length])
            out[length * count + k] = d


def _stochastic_fields(lengths: int, count: int) -> list[tuple[Any, ...]]:
    plain = bar_fields_of("stochastic_bars", "stochastic_high", "stochastic_low")(lengths, count)
    return plain + [(name, np.float64, (lengths, count, _SMOOTH - 1)) for name in ("raw_k", "slow_k")]


def _start_stochastic(state: Any, windows: tuple[Window, ...]) -> None:
    state["stochastic_bars"] = windows
    state["raw_k"] = state["slow_k"] = 50.0


STOCHASTIC: Final = Family(
    name="stochastic",
    group="technical",
    axis="bars",
    windows=(5, 9, 14, 21, 40, 60),
    spell=lambda window: f"{window}_{_SMOOTH}",
    look_back=lambda window: window - 1,
    fields=_stochastic_fields,
    start=_start_stochastic,
    hooks={"close": _close_stochastic},
    outputs=(
        Output(
            name="stochastic_k",
            unit="0 to 100",
            write=_write_k,
            definition=f"mean of raw K over {_SMOOTH} bars; raw K = 100 x (log mid - low) / (high - low) over its bars",
            source="Lane 1984, slow K",
            zero_rule=f"raw K is 50 {FLAT_RULE} and in the first bar",
            mirror="sign",
            mirror_sum=100.0,
        ),
        Output(
            name="stochastic_d",
            unit="0 to 100",
            write=_write_d,
            definition=f"mean of K over {_SMOOTH} bars",
            source="Lane 1984",
            zero_rule="as K",
            mirror="sign",
            mirror_sum=100.0,
        ),
    ),
)


@jit
def _close_williams(s: Record, length: int) -> None:
    for k in range(s.williams_bars.size):
        high, low = extremes(s, length, int(s.williams_bars[k]) - 1)
        s.williams_high[length, k], s.williams_low[length, k] = high, low


@jit
def _write_williams(s: Record, out: Lanes) -> None:
    count = s.williams_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            position = 0.5
            if s.bars[length] > 0:
                position = _position(s, length, s.williams_high[length, k], s.williams_low[length, k])
            out[length * count + k] = 100.0 * (position - 1.0)


WILLIAMS: Final = Family(
    name="williams",
    group="technical",
    axis="bars",
    windows=(7, 14, 28, 40, 60, 100),
    look_back=lambda window: window - 1,
    fields=bar_fields_of("williams_bars", "williams_high", "williams_low"),
    start=start_windows("williams_bars"),
    hooks={"close": _close_williams},
    outputs=(
        Output(
            name="williams_r",
            unit="-100 to 0",
            write=_write_williams,
            definition="100 x (log mid - high) / (high - low) over the window",
            source="Williams 1973",
            zero_rule=f"-50 {FLAT_RULE} and in the first bar",
            mirror="sign",
            mirror_sum=-100.0,
        ),
    ),
)

# -- ATR ---------------------------------------------------------------------------------------------------------------


@jit
def true_range(s: Record, length: int, seen: int) -> float:
    """High minus low of the running bar, the close before it included."""
    high, low = s.bar_high[length], s.bar_low[length]
    if seen > 0:
        high, low = max(high, s.previous_close[length]), min(low, s.previous_close[length])
    return high - low


@jit
def _close_atr(s: Record, length: int) -> None:
    reach = true_range(s, length, s.bars[length] - 1)
    for k in range(s.atr_bars.size):
        s.true_ranges[length, k] = smoothed(s.true_ranges[length, k], reach, s.bars[length], s.atr_bars[k])


@jit
def _write_atr(s: Record, out: Lanes) -> None:
    count = s.atr_bars.size
    for length in range(s.bars.size):
        reach = true_range(s, length, s.bars[length])
        for k in range(count):
            out[length * count + k] = BPS * smoothed(s.true_ranges[length, k], reach, s.bars[length] + 1, s.atr_bars[k])


ATR: Final = Family(
    name="atr",
    group="technical",
    axis="bars",
    windows=(5, 7, 14, 21, 28, 50),
    fields=bar_fields_of("atr_bars", "true_ranges"),
    start=start_windows("atr_bars"),
    hooks={"close": _close_atr},
    outputs=(
        Output(
            name="atr",
            suffix="_bps",
            unit="bps",
            write=_write_atr,
            definition="10,000 x smoothed true range of bars, in logs",
            source="Wilder 1978",
            zero_rule="0 at constant price",
        ),
    ),
)
