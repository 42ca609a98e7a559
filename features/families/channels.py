"""How far prices reached: channels of highs and lows, their age, and bands around a mean."""

from typing import Any, Final

from features.bars import back
from features.compose import jit
from features.families.ranges import true_range
from features.families.standing import BPS, FAR, FLAT, LOG_BARS, RUNS, lane_fields
from features.families.technical import ema, smoothed, start_windows
from features.family import Family, Output, Window
from features.state import Lanes, Record


def _start_extremes(family: str) -> Any:
    """No bar reached anywhere yet."""

    def start(state: Any, windows: tuple[Window, ...]) -> None:
        state[f"{family}_bars"], state[f"{family}_high"], state[f"{family}_low"] = windows, -FAR, FAR

    return start


# -- Donchian ----------------------------------------------------------------------------------------------------------


@jit
def _close_channel(s: Record, length: int) -> None:
    """Windows ascend, so each goes on where the one before stopped."""
    count, bar, high, low = s.channel_bars.size, 0, -FAR, FAR
    for k in range(count):
        closed = min(s.bars[length], s.channel_bars[k] - 1)
        while bar < closed:
            bar += 1
            slot = back(s, length, bar)
            high, low = max(high, s.highs[length, slot]), min(low, s.lows[length, slot])
        s.channel_high[length * count + k], s.channel_low[length * count + k] = high, low


@jit
def _write_width(s: Record, out: Lanes) -> None:
    count = s.channel_bars.size
    for length in range(s.bars.size):
        high, low = s.bar_high[length], s.bar_low[length]
        for k in range(count):
            at = length * count + k
            out[at] = BPS * (max(s.channel_high[at], high) - min(s.channel_low[at], low))


@jit
def _write_drawdown(s: Record, out: Lanes) -> None:
    count = s.channel_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            high = max(s.channel_high[length * count + k], s.bar_high[length])
            out[length * count + k] = BPS * (high - s.bar_close[length])


@jit
def _write_runup(s: Record, out: Lanes) -> None:
    count = s.channel_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            low = min(s.channel_low[length * count + k], s.bar_low[length])
            out[length * count + k] = BPS * (s.bar_close[length] - low)


CHANNEL: Final = Family(
    name="channel",
    group="technical",
    axis="bars",
    windows=(5, 10, 20, 30, 40, 60),
    look_back=lambda window: window - 1,
    fields=lane_fields("channel_bars", "channel_high", "channel_low"),
    start=_start_extremes("channel"),
    hooks={"close": _close_channel},
    outputs=(
        Output(
            name="donchian_width",
            suffix="_bps",
            unit="bps",
            write=_write_width,
            definition=f"10,000 x (highest high - lowest low of the window); {LOG_BARS}, {RUNS}",
            source="Donchian 1960",
            zero_rule="0 at constant price",
        ),
        Output(
            name="drawdown",
            suffix="_bps",
            unit="bps",
            write=_write_drawdown,
            definition=f"10,000 x (highest high of the window - log mid); {RUNS}",
            source="drawdown from the window's extreme, in logs",
            zero_rule="0 at constant price",
            mirror="runup",
        ),
        Output(
            name="runup",
            suffix="_bps",
            unit="bps",
            write=_write_runup,
            definition=f"10,000 x (log mid - lowest low of the window); {RUNS}",
            source="run-up from the window's extreme, in logs",
            zero_rule="0 at constant price",
            mirror="drawdown",
        ),
    ),
)

# -- Aroon -------------------------------------------------------------------------------------------------------------


@jit
def _close_aroon(s: Record, length: int) -> None:
    """Extremes of the closed bars and what they make of Aroon while the running bar does not reach beyond."""
    count, bar, high, low = s.aroon_bars.size, 0, -FAR, FAR
    high_age = low_age = 0.0
    for k in range(count):
        at, window = length * count + k, float(s.aroon_bars[k])
        closed = min(s.bars[length], s.aroon_bars[k])
        while bar < closed:
            bar += 1
            slot = back(s, length, bar)
            high_age = float(bar) if s.highs[length, slot] > high else high_age
            low_age = float(bar) if s.lows[length, slot] < low else low_age
            high, low = max(high, s.highs[length, slot]), min(low, s.lows[length, slot])
        s.aroon_high[at], s.aroon_low[at] = high, low
        s.aroon_up[at], s.aroon_down[at] = 100.0 * (1.0 - high_age / window), 100.0 * (1.0 - low_age / window)


@jit
def _write_up(s: Record, out: Lanes) -> None:
    count = s.aroon_bars.size
    for length in range(s.bars.size):
        high = s.bar_high[length]
        for k in range(count):
            at = length * count + k
            out[at] = 100.0 if high >= s.aroon_high[at] else s.aroon_up[at]


@jit
def _write_down(s: Record, out: Lanes) -> None:
    count = s.aroon_bars.size
    for length in range(s.bars.size):
        low = s.bar_low[length]
        for k in range(count):
            at = length * count + k
            out[at] = 100.0 if low <= s.aroon_low[at] else s.aroon_down[at]


@jit
def _write_oscillator(s: Record, out: Lanes) -> None:
    count = s.aroon_bars.size
    for length in range(s.bars.size):
        high, low = s.bar_high[length], s.bar_low[length]
        for k in range(count):
            at = length * count + k
            up = 100.0 if high >= s.aroon_high[at] else s.aroon_up[at]
            out[at] = up - (100.0 if low <= s.aroon_low[at] else s.aroon_down[at])


_AGE: Final = f"in bars before the running one, over it and the window's bars before it; of equals the newest; {RUNS}"

AROON: Final = Family(
    name="aroon",
    group="technical",
    axis="bars",
    windows=(5, 10, 14, 25, 40, 60),
    look_back=lambda window: window,
    fields=lane_fields("aroon_bars", "aroon_high", "aroon_low", "aroon_up", "aroon_down"),
    start=_start_extremes("aroon"),
    hooks={"close": _close_aroon},
    outputs=(
        Output(
            name="aroon_up",
            unit="0 to 100",
            write=_write_up,
            definition=f"100 x (1 - age / window); age of the highest high, {_AGE}",
            source="Chande 1995",
            zero_rule="100 at constant price",
            mirror="aroon_down",
        ),
        Output(
            name="aroon_down",
            unit="0 to 100",
            write=_write_down,
            definition=f"100 x (1 - age / window); age of the lowest low, {_AGE}",
            source="Chande 1995",
            zero_rule="100 at constant price",
            mirror="aroon_up",
        ),
        Output(
            name="aroon_oscillator",
            unit="-100 to 100",
            write=_write_oscillator,
            definition="aroon_up - aroon_down",
            source="Chande 1995",
            zero_rule="0 at constant price",
            mirror="sign",
        ),
    ),
)

# -- Keltner -----------------------------------------------------------------------------------------------------------


@jit
def _close_keltner(s: Record, length: int) -> None:
    seen, close = s.bars[length], s.bar_close[length]
    count, reach = s.keltner_bars.size, true_range(s, length, seen - 1)
    for k in range(count):
        at, window = length * count + k, float(s.keltner_bars[k])
        s.keltner_mean[at] = ema(s.keltner_mean[at], close, window) if seen > 1 else close
        s.keltner_reach[at] = smoothed(s.keltner_reach[at], reach, seen, window)


@jit
def _write_distance(s: Record, out: Lanes) -> None:
    count = s.keltner_bars.size
    for length in range(s.bars.size):
        scale, close = BPS if s.bars[length] > 0 else 0.0, s.bar_close[length]
        for k in range(count):
            at = length * count + k
            out[at] = scale * (close - ema(s.keltner_mean[at], close, float(s.keltner_bars[k])))


@jit
def _write_position(s: Record, out: Lanes) -> None:
    count = s.keltner_bars.size
    for length in range(s.bars.size):
        scale, close = 0.5 if s.bars[length] > 0 else 0.0, s.bar_close[length]
        reach, seen = true_range(s, length, s.bars[length]), s.bars[length] + 1
        for k in range(count):
            at, window = length * count + k, float(s.keltner_bars[k])
            usual = smoothed(s.keltner_reach[at], reach, seen, window)
            out[at] = scale * (close - ema(s.keltner_mean[at], close, window)) / usual if usual > FLAT else 0.0


KELTNER: Final = Family(
    name="keltner",
    group="technical",
    axis="bars",
    windows=(5, 10, 20, 50, 100, 200),
    fields=lane_fields("keltner_bars", "keltner_mean", "keltner_reach"),
    start=start_windows("keltner_bars"),
    hooks={"close": _close_keltner},
    outputs=(
        Output(
            name="ema_distance",
            suffix="_bps",
            unit="bps",
            write=_write_distance,
            definition=f"10,000 x (log mid - EMA of closes begun at the first close); {RUNS}",
            source="distance from an exponential moving average, in logs",
            zero_rule="0 in the first bar",
            mirror="sign",
        ),
        Output(
            name="keltner_position",
            unit="ratio, 1 on the upper band",
            write=_write_position,
            definition="(log mid - m) / (2 a); m the EMA of ema_distance, a the smoothed true range of as many bars, "
            f"as in the ATR; {RUNS}",
            source="Keltner 1960, as changed by Raschke",
            zero_rule=f"0 while a is below {FLAT:g}, and in the first bar",
            mirror="sign",
        ),
    ),
)
