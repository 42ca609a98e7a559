"""Indicators of closed bars' highs and lows: directional movement, and the typical price against its mean."""

from typing import Final

from features.bars import back
from features.compose import jit
from features.families.ranges import true_range
from features.families.standing import FLAT, LOG_BARS, RECENT, STANDS, lane_fields
from features.families.technical import smoothed, start_windows
from features.family import Family, Output
from features.state import Lanes, Record

# -- directional movement ----------------------------------------------------------------------------------------------


@jit
def _movement(s: Record, length: int) -> tuple[float, float]:
    """What the closed bar reached above the one before, and what below; only the greater counts."""
    before = back(s, length, 2)
    up, down = s.bar_high[length] - s.highs[length, before], s.lows[length, before] - s.bar_low[length]
    return up if up > max(down, 0.0) else 0.0, down if down > max(up, 0.0) else 0.0


@jit
def _close_dmi(s: Record, length: int) -> None:
    seen = s.bars[length] - 1
    if seen == 0:
        return
    count, reach = s.dmi_bars.size, true_range(s, length, seen)
    up, down = _movement(s, length)
    for k in range(count):
        at, window = length * count + k, float(s.dmi_bars[k])
        s.dmi_up[at] = plus = smoothed(s.dmi_up[at], up, seen, window)
        s.dmi_down[at] = minus = smoothed(s.dmi_down[at], down, seen, window)
        s.dmi_reach[at] = usual = smoothed(s.dmi_reach[at], reach, seen, window)
        s.plus_di[at] = 100.0 * plus / usual if usual > FLAT else 0.0
        s.minus_di[at] = 100.0 * minus / usual if usual > FLAT else 0.0
        strength = 100.0 * abs(plus - minus) / (plus + minus) if plus + minus > FLAT else 0.0
        s.adx[at] = smoothed(s.adx[at], strength, seen, window)


@jit
def _write_plus(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.plus_di[at]


@jit
def _write_minus(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.minus_di[at]


@jit
def _write_adx(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.adx[at]


_DMI: Final = (
    "smoothed as in the RSI and ATR from the second bar on; a bar's movement is what its high is above the last one's, "
    f"or its low below, whichever is more and above 0, the other counting 0; {LOG_BARS}; {STANDS}"
)

DMI: Final = Family(
    name="dmi",
    group="technical",
    axis="bars",
    windows=(5, 7, 14, 21, 28, 50),
    look_back=lambda _: 2,
    fields=lane_fields("dmi_bars", "dmi_up", "dmi_down", "dmi_reach", "plus_di", "minus_di", "adx"),
    start=start_windows("dmi_bars"),
    hooks={"close": _close_dmi},
    outputs=(
        Output(
            name="plus_di",
            unit="0 to 100",
            write=_write_plus,
            definition=f"100 x upward movement / true range, both {_DMI}",
            source="Wilder 1978",
            zero_rule=f"0 while the smoothed true range is not above {FLAT:g}",
            mirror="minus_di",
        ),
        Output(
            name="minus_di",
            unit="0 to 100",
            write=_write_minus,
            definition=f"100 x downward movement / true range, both {_DMI}",
            source="Wilder 1978",
            zero_rule=f"0 while the smoothed true range is not above {FLAT:g}",
            mirror="plus_di",
        ),
        Output(
            name="adx",
            unit="0 to 100",
            write=_write_adx,
            definition=f"100 x |U - D| / (U + D), U and D the upward and downward movement, all {_DMI}",
            source="Wilder 1978",
            zero_rule=f"a bar after which U + D is not above {FLAT:g} counts 0",
        ),
    ),
)

# -- commodity channel -------------------------------------------------------------------------------------------------

_LAMBERT: Final = 1.5
"""100 times the usual 0.015, for a ratio where the usual index has hundreds."""


@jit
def _typical(s: Record, length: int, bar: int) -> float:
    return s.typical_prices[length, (s.bars[length] + 1 - bar) & (RECENT - 1)]


@jit
def _mean_distance(s: Record, length: int, mean: float, closed: int) -> float:
    """Mean of |typical price - mean| over the newest ``closed`` bars."""
    total = 0.0
    for bar in range(1, closed + 1):
        total += abs(_typical(s, length, bar) - mean)
    return total / closed


@jit
def _close_cci(s: Record, length: int) -> None:
    newest = (s.bar_high[length] + s.bar_low[length] + s.bar_close[length]) / 3.0
    s.typical_prices[length, s.bars[length] & (RECENT - 1)] = newest
    count, bar, total = s.cci_bars.size, 0, 0.0
    for k in range(count):
        closed = min(s.bars[length], s.cci_bars[k])
        while bar < closed:
            bar += 1
            total += _typical(s, length, bar)
        mean = total / closed
        distance = _mean_distance(s, length, mean, closed)
        s.cci[length * count + k] = (newest - mean) / (_LAMBERT * distance) if distance > FLAT else 0.0


@jit
def _write_cci(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.cci[at]


CCI: Final = Family(
    name="cci",
    group="technical",
    axis="bars",
    windows=(5, 10, 14, 20, 30, 40),
    fields=lane_fields("cci_bars", "cci", rings=("typical_prices",)),
    start=start_windows("cci_bars"),
    hooks={"close": _close_cci},
    outputs=(
        Output(
            name="cci",
            unit="ratio",
            write=_write_cci,
            definition=f"(p - m) / ({_LAMBERT:g} x d); p = (high + low + close) / 3 of the newest closed bar, m and "
            f"d mean and mean absolute distance from it of p {STANDS}; {LOG_BARS}",
            source="commodity channel index / 100, Lambert 1980",
            zero_rule=f"0 while d is not above {FLAT:g}",
            mirror="sign",
        ),
    ),
)
