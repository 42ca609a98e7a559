"""Classic indicators over bars of log mids, the running bar counted as the newest: they move with every quote."""

from typing import Any, Final

import numpy as np

from features.compose import jit
from features.family import Family, Output, Window
from features.parameters import PARAMETERS
from features.state import Lanes, Record

BPS: Final = 1e4
FLAT: Final = PARAMETERS.flat
FLAT_RULE: Final = f"while the log range is below {FLAT:g}"


@jit
def smoothed(average: float, value: float, seen: int, window: float) -> float:
    """Wilder's smoothing, a plain mean until ``window`` values were seen."""
    return average + (value - average) / min(float(seen), window)


@jit
def ema(average: float, value: float, window: float) -> float:
    """One step of an exponential mean whose newest value weighs ``2 / (window + 1)``."""
    return average + (value - average) * (2.0 / (window + 1.0))


def start_windows(field: str) -> Any:
    """``start`` of a family that keeps its windows in the state's field ``field``."""

    def start(state: Any, windows: tuple[Window, ...]) -> None:
        state[field] = windows

    return start


def bar_fields_of(windows: str, *names: str) -> Any:
    """``fields``: the windows themselves, and one float64 per bar length and window for each of ``names``."""

    def fields(lengths: int, count: int) -> list[tuple[Any, ...]]:
        return [(windows, np.float64, (count,)), *((name, np.float64, (lengths, count)) for name in names)]

    return fields


# -- RSI ---------------------------------------------------------------------------------------------------------------


@jit
def _rise_fall(s: Record, length: int, k: int) -> tuple[float, float]:
    """Smoothed rise and fall of closes, the running bar counted as closed."""
    seen = s.bars[length]
    if seen == 0:
        return 0.0, 0.0
    change = s.bar_close[length] - s.previous_close[length]
    rise = smoothed(s.rise[length, k], max(change, 0.0), seen, s.rsi_bars[k])
    return rise, smoothed(s.fall[length, k], max(-change, 0.0), seen, s.rsi_bars[k])


@jit
def _close_rsi(s: Record, length: int) -> None:
    """The closed bar is counted already: what it is compared with was closed before it."""
    seen = s.bars[length] - 1
    if seen == 0:
        return
    change = s.bar_close[length] - s.previous_close[length]
    for k in range(s.rsi_bars.size):
        s.rise[length, k] = smoothed(s.rise[length, k], max(change, 0.0), seen, s.rsi_bars[k])
        s.fall[length, k] = smoothed(s.fall[length, k], max(-change, 0.0), seen, s.rsi_bars[k])


@jit
def _write_rsi(s: Record, out: Lanes) -> None:
    count = s.rsi_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            rise, fall = _rise_fall(s, length, k)
            out[length * count + k] = 100.0 * rise / (rise + fall) if rise + fall > FLAT else 50.0


RSI: Final = Family(
    name="rsi",
    group="technical",
    axis="bars",
    windows=(5, 7, 10, 14, 21, 28),
    fields=bar_fields_of("rsi_bars", "rise", "fall"),
    start=start_windows("rsi_bars"),
    hooks={"close": _close_rsi},
    outputs=(
        Output(
            name="rsi",
            unit="0 to 100",
            write=_write_rsi,
            definition="100 x U / (U + D); U and D the smoothed rises and falls of bar closes",
            source="Wilder 1978",
            zero_rule=f"50 {FLAT_RULE}",
            mirror="sign",
            mirror_sum=100.0,
        ),
    ),
)

# -- MACD --------------------------------------------------------------------------------------------------------------


@jit
def _emas(s: Record, length: int, k: int, seen: int) -> tuple[float, float, float]:
    """Fast and slow EMA and the MACD's signal, the running bar counted as closed after ``seen`` others."""
    close = s.bar_close[length]
    if seen == 0:
        return close, close, 0.0
    fast, slow, signal = s.ema_fast[length, k], s.ema_slow[length, k], s.signal[length, k]
    fast += (close - fast) * s.macd_fast[k]
    slow += (close - slow) * s.macd_slow[k]
    return fast, slow, signal + (fast - slow - signal) * s.macd_signal[k]


@jit
def _close_macd(s: Record, length: int) -> None:
    for k in range(s.macd_fast.size):
        fast, slow, signal = _emas(s, length, k, s.bars[length] - 1)
        s.ema_fast[length, k], s.ema_slow[length, k], s.signal[length, k] = fast, slow, signal


@jit
def _write_macd(s: Record, out: Lanes) -> None:
    count = s.macd_fast.size
    for length in range(s.bars.size):
        for k in range(count):
            fast, slow, _ = _emas(s, length, k, s.bars[length])
            out[length * count + k] = BPS * (fast - slow)


@jit
def _write_signal(s: Record, out: Lanes) -> None:
    count = s.macd_fast.size
    for length in range(s.bars.size):
        for k in range(count):
            _, _, signal = _emas(s, length, k, s.bars[length])
            out[length * count + k] = BPS * signal


def _start_macd(state: Any, windows: tuple[Window, ...]) -> None:
    """What the newest value weighs: a division per quote and window would cost more than all the rest."""
    state["macd_fast"], state["macd_slow"], state["macd_signal"] = 2.0 / (np.array(windows, float).T + 1.0)


def _macd_fields(lengths: int, count: int) -> list[tuple[Any, ...]]:
    windows = [(name, np.float64, (count,)) for name in ("macd_fast", "macd_slow", "macd_signal")]
    return windows + [(name, np.float64, (lengths, count)) for name in ("ema_fast", "ema_slow", "signal")]


MACD: Final = Family(
    name="macd",
    group="technical",
    axis="bars",
    windows=((3, 10, 16), (5, 35, 5), (6, 13, 5), (8, 17, 9), (12, 26, 9), (24, 52, 18)),
    spell=lambda window: "_".join(map(str, window)),
    fields=_macd_fields,
    start=_start_macd,
    hooks={"close": _close_macd},
    outputs=(
        Output(
            name="macd",
            suffix="_bps",
            unit="bps",
            write=_write_macd,
            definition="10,000 x (fast - slow EMA of bar closes), both begun at the first close",
            source="Appel 1979, on log prices",
            zero_rule="0 at constant price",
            mirror="sign",
        ),
        Output(
            name="macd_signal",
            suffix="_bps",
            unit="bps",
            write=_write_signal,
            definition="EMA of the MACD over bars, begun at 0",
            source="Appel 1979",
            zero_rule="0 at constant price",
            mirror="sign",
        ),
    ),
)
