"""Where the mid stands against earlier closes: change over bars, distance from means, path and line through closes."""

from typing import Final

from features.bars import back
from features.compose import jit
from features.families.standing import BPS, FLAT, FLAT_SQUARED, LOG_BARS, RUNS, lane_fields
from features.families.technical import ema, start_windows
from features.family import Family, Output
from features.state import Lanes, Record

_FIRST: Final = "0 in the first bar"

# -- rate of change ----------------------------------------------------------------------------------------------------


@jit
def _close_roc(s: Record, length: int) -> None:
    count = s.roc_bars.size
    for k in range(count):
        s.roc_from[length * count + k] = s.closes[length, back(s, length, min(s.bars[length], s.roc_bars[k]))]


@jit
def _write_roc(s: Record, out: Lanes) -> None:
    count = s.roc_bars.size
    for length in range(s.bars.size):
        scale = BPS if s.bars[length] > 0 else 0.0
        for k in range(count):
            out[length * count + k] = scale * (s.bar_close[length] - s.roc_from[length * count + k])


ROC: Final = Family(
    name="roc",
    group="technical",
    axis="bars",
    windows=(1, 2, 5, 10, 20, 60),
    look_back=lambda window: window,
    fields=lane_fields("roc_bars", "roc_from"),
    start=start_windows("roc_bars"),
    hooks={"close": _close_roc},
    outputs=(
        Output(
            name="roc",
            suffix="_bps",
            unit="bps",
            write=_write_roc,
            definition="10,000 x (log mid - log mid at the close so many bars before the running one); the oldest "
            "close stands in while there are fewer",
            source="rate of change, in logs",
            zero_rule=_FIRST,
            mirror="sign",
        ),
    ),
)

# -- simple mean -------------------------------------------------------------------------------------------------------


@jit
def _close_sma(s: Record, length: int) -> None:
    count, total, bar = s.sma_bars.size, 0.0, 0
    for k in range(count):
        closed = min(s.bars[length], s.sma_bars[k] - 1)
        while bar < closed:
            bar += 1
            total += s.closes[length, back(s, length, bar)]
        s.sma_closed[length * count + k] = total / closed
        s.sma_scale[length * count + k] = BPS * closed / (closed + 1.0)


@jit
def _write_sma(s: Record, out: Lanes) -> None:
    """A window's mean with the running bar lies between the mid and the mean of the closed ones."""
    count = s.sma_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            at = length * count + k
            out[at] = s.sma_scale[at] * (s.bar_close[length] - s.sma_closed[at])


SMA: Final = Family(
    name="sma",
    group="technical",
    axis="bars",
    windows=(5, 10, 20, 30, 40, 60),
    look_back=lambda window: window - 1,
    fields=lane_fields("sma_bars", "sma_closed", "sma_scale"),
    start=start_windows("sma_bars"),
    hooks={"close": _close_sma},
    outputs=(
        Output(
            name="sma_distance",
            suffix="_bps",
            unit="bps",
            write=_write_sma,
            definition=f"10,000 x (log mid - mean of the window's closes); {RUNS}",
            source="distance from a simple moving average, in logs",
            zero_rule=_FIRST,
            mirror="sign",
        ),
    ),
)

# -- TRIX --------------------------------------------------------------------------------------------------------------


@jit
def _close_trix(s: Record, length: int) -> None:
    count, close = s.trix_bars.size, s.bar_close[length]
    for k in range(count):
        at, window = length * count + k, float(s.trix_bars[k])
        if s.bars[length] == 1:
            s.trix_first[at] = s.trix_second[at] = s.trix_third[at] = close
        s.trix_first[at] = ema(s.trix_first[at], close, window)
        s.trix_second[at] = ema(s.trix_second[at], s.trix_first[at], window)
        s.trix_third[at] = ema(s.trix_third[at], s.trix_second[at], window)


@jit
def _write_trix(s: Record, out: Lanes) -> None:
    count = s.trix_bars.size
    for length in range(s.bars.size):
        scale = BPS if s.bars[length] > 0 else 0.0
        for k in range(count):
            at, window = length * count + k, float(s.trix_bars[k])
            second = ema(s.trix_second[at], ema(s.trix_first[at], s.bar_close[length], window), window)
            out[at] = scale * (ema(s.trix_third[at], second, window) - s.trix_third[at])


TRIX: Final = Family(
    name="trix",
    group="technical",
    axis="bars",
    windows=(5, 9, 12, 15, 18, 30),
    fields=lane_fields("trix_bars", "trix_first", "trix_second", "trix_third"),
    start=start_windows("trix_bars"),
    hooks={"close": _close_trix},
    outputs=(
        Output(
            name="trix",
            suffix="_bps",
            unit="bps",
            write=_write_trix,
            definition="10,000 x change over one bar of the EMA of the EMA of the EMA of closes, all begun at the "
            f"first close; {RUNS}",
            source="Hutson 1983, on log prices",
            zero_rule=_FIRST,
            mirror="sign",
        ),
    ),
)

# -- path --------------------------------------------------------------------------------------------------------------


@jit
def _close_cmo(s: Record, length: int) -> None:
    count, path, bar = s.cmo_bars.size, 0.0, 1
    later = s.closes[length, back(s, length, 1)]
    for k in range(count):
        closed = min(s.bars[length], s.cmo_bars[k])
        while bar < closed:
            bar += 1
            close = s.closes[length, back(s, length, bar)]
            path += abs(later - close)
            later = close
        s.cmo_from[length * count + k], s.cmo_path[length * count + k] = later, path


@jit
def _write_cmo(s: Record, out: Lanes) -> None:
    """In logs rises less falls are the whole change."""
    count = s.cmo_bars.size
    for length in range(s.bars.size):
        close, scale = s.bar_close[length], 1.0 if s.bars[length] > 0 else 0.0
        step = abs(close - s.previous_close[length])
        for k in range(count):
            path = s.cmo_path[length * count + k] + step
            out[length * count + k] = scale * (close - s.cmo_from[length * count + k]) / path if path > FLAT else 0.0


CMO: Final = Family(
    name="cmo",
    group="technical",
    axis="bars",
    windows=(5, 9, 14, 20, 30, 50),
    look_back=lambda window: window,
    fields=lane_fields("cmo_bars", "cmo_from", "cmo_path"),
    start=start_windows("cmo_bars"),
    hooks={"close": _close_cmo},
    outputs=(
        Output(
            name="cmo",
            unit="ratio in [-1, 1]",
            write=_write_cmo,
            definition="(U - D) / (U + D); U and D the sums of rises and falls over the window's changes from "
            f"close to close; {RUNS}",
            source="momentum oscillator / 100, Chande and Kroll 1994; its size is the efficiency ratio, Kaufman 1995",
            zero_rule=f"0 while U + D is below {FLAT:g}",
            mirror="sign",
        ),
    ),
)

# -- line --------------------------------------------------------------------------------------------------------------


@jit
def _close_line(s: Record, length: int) -> None:
    """Sums over the closed bars of closes less the newest one, by age, the running bar's age being 0."""
    count, bar, newest = s.line_bars.size, 0, s.closes[length, back(s, length, 1)]
    total = moment = square = 0.0
    for k in range(count):
        closed, at = min(s.bars[length], s.line_bars[k] - 1), length * count + k
        while bar < closed:
            bar += 1
            away = s.closes[length, back(s, length, bar)] - newest
            total, moment, square = total + away, moment + bar * away, square + away * away
        s.line_total[at], s.line_moment[at], s.line_square[at] = total, moment, square
        s.line_middle[at], s.line_share[at] = 0.5 * closed, 1.0 / (closed + 1.0)
        s.line_scale[at] = 12.0 / (closed * (closed + 1.0) * (closed + 2.0))


@jit
def _write_slope(s: Record, out: Lanes) -> None:
    count = s.line_bars.size
    for length in range(s.bars.size):
        away = s.bar_close[length] - s.previous_close[length]
        for k in range(count):
            at = length * count + k
            shared = s.line_middle[at] * (s.line_total[at] + away) - s.line_moment[at]
            out[at] = BPS * shared * s.line_scale[at]


@jit
def _write_fit(s: Record, out: Lanes) -> None:
    count = s.line_bars.size
    for length in range(s.bars.size):
        away = s.bar_close[length] - s.previous_close[length]
        for k in range(count):
            at, total = length * count + k, s.line_total[length * count + k] + away
            shared = s.line_middle[at] * total - s.line_moment[at]
            spread = s.line_square[at] + away * away - total * total * s.line_share[at]
            fit = shared * shared * s.line_scale[at] / spread
            out[at] = fit if spread * s.line_share[at] > FLAT_SQUARED else 0.0


LINE: Final = Family(
    name="line",
    group="technical",
    axis="bars",
    windows=(5, 10, 20, 30, 40, 60),
    look_back=lambda window: window - 1,
    fields=lane_fields(
        "line_bars", "line_total", "line_moment", "line_square", "line_middle", "line_share", "line_scale"
    ),
    start=start_windows("line_bars"),
    hooks={"close": _close_line},
    outputs=(
        Output(
            name="slope",
            suffix="_bps",
            unit="bps a bar",
            write=_write_slope,
            definition="10,000 x slope of the least-squares line through the window's closes by bar; "
            f"{LOG_BARS}, {RUNS}",
            source="linear regression",
            zero_rule=_FIRST,
            mirror="sign",
        ),
        Output(
            name="slope_fit",
            unit="ratio in [0, 1]",
            write=_write_fit,
            definition="squared correlation of the window's closes with their order (r squared of the slope's line)",
            source="linear regression",
            zero_rule=f"0 while the closes' deviation is below {FLAT:g}, and in the first bar",
        ),
    ),
)
