"""How much closed bars moved: moments of their returns, and volatility from their highs and lows."""

from math import log, sqrt
from typing import Any, Final

from features.bars import back
from features.compose import jit
from features.families.standing import BPS, FLAT, FLAT_SQUARED, LOG_BARS, RECENT, STANDS, lane_fields
from features.families.technical import start_windows
from features.family import Family, Output
from features.state import Lanes, Record

_WINDOWS: Final = (5, 10, 20, 30, 40, 60)

# -- moments of returns ------------------------------------------------------------------------------------------------


@jit
def _keep_moments(s: Record, at: int, total: float, square: float, cube: float, fourth: float) -> None:
    """From means of powers to central moments; of returns less one of them, which bounds what cancels."""
    variance = square - total * total
    third = cube - total * (3.0 * square - 2.0 * total * total)
    last = fourth - total * (4.0 * cube - total * (6.0 * square - 3.0 * total * total))
    moves = variance > FLAT_SQUARED
    s.returns_deviation[at] = BPS * sqrt(variance) if variance > 0.0 else 0.0
    s.returns_skewness[at] = third / (variance * sqrt(variance)) if moves else 0.0
    s.returns_kurtosis[at] = last / (variance * variance) - 3.0 if moves else 0.0


@jit
def _close_returns(s: Record, length: int) -> None:
    count, bar = s.returns_bars.size, 0
    later = s.closes[length, back(s, length, 1)]
    newest = later - s.closes[length, back(s, length, 2)]
    total = square = cube = fourth = 0.0
    for k in range(count):
        closed = min(s.bars[length] - 1, s.returns_bars[k])
        while bar < closed:
            bar += 1
            close = s.closes[length, back(s, length, bar + 1)]
            away = later - close - newest
            later, power = close, away * away
            total, square = total + away, square + power
            cube, fourth = cube + power * away, fourth + power * power
        if closed > 0:
            share = 1.0 / closed
            _keep_moments(s, length * count + k, total * share, square * share, cube * share, fourth * share)


@jit
def _write_deviation(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.returns_deviation[at]


@jit
def _write_skewness(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.returns_skewness[at]


@jit
def _write_kurtosis(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.returns_kurtosis[at]


_RETURNS: Final = f"of the window's newest returns from close to close, in logs, {STANDS}"
_UNMOVED: Final = f"0 while their deviation is not above {FLAT:g}"

RETURNS: Final = Family(
    name="bar_returns",
    group="technical",
    axis="bars",
    windows=_WINDOWS,
    look_back=lambda window: window + 1,
    fields=lane_fields("returns_bars", "returns_deviation", "returns_skewness", "returns_kurtosis"),
    start=start_windows("returns_bars"),
    hooks={"close": _close_returns},
    outputs=(
        Output(
            name="close_volatility",
            suffix="_bps",
            unit="bps a bar",
            write=_write_deviation,
            definition=f"10,000 x population deviation {_RETURNS}",
            source="close-to-close volatility",
            zero_rule="0 before the third close",
        ),
        Output(
            name="skewness",
            unit="ratio",
            write=_write_skewness,
            definition=f"third central moment / variance to the power of 1.5, {_RETURNS}",
            source="population skewness",
            zero_rule=_UNMOVED,
            mirror="sign",
        ),
        Output(
            name="kurtosis",
            unit="ratio, 0 for a normal distribution",
            write=_write_kurtosis,
            definition=f"fourth central moment / squared variance - 3, {_RETURNS}",
            source="population excess kurtosis",
            zero_rule=_UNMOVED,
        ),
    ),
)

# -- highs and lows ----------------------------------------------------------------------------------------------------

_PARKINSON: Final = 1.0 / (4.0 * log(2.0))
_BODY: Final = 2.0 * log(2.0) - 1.0


@jit
def _measure_bar(s: Record, length: int) -> None:
    open_, close = s.bar_open[length], s.bar_close[length]
    high, low = s.bar_high[length], s.bar_low[length]
    slot, reach = s.bars[length] & (RECENT - 1), (high - low) * (high - low)
    s.parkinson_terms[length, slot] = _PARKINSON * reach
    s.garman_klass_terms[length, slot] = 0.5 * reach - _BODY * (close - open_) * (close - open_)
    s.rogers_satchell_terms[length, slot] = (high - close) * (high - open_) + (low - close) * (low - open_)


@jit
def _close_reaches(s: Record, length: int) -> None:
    _measure_bar(s, length)
    count, bar, parkinson, garman_klass, rogers_satchell = s.reaches_bars.size, 0, 0.0, 0.0, 0.0
    for k in range(count):
        closed, at = min(s.bars[length], s.reaches_bars[k]), length * count + k
        while bar < closed:
            slot = (s.bars[length] - bar) & (RECENT - 1)
            bar += 1
            parkinson += s.parkinson_terms[length, slot]
            garman_klass += s.garman_klass_terms[length, slot]
            rogers_satchell += s.rogers_satchell_terms[length, slot]
        share = 1.0 / closed
        s.parkinson[at] = BPS * sqrt(parkinson * share)
        s.garman_klass[at] = BPS * sqrt(garman_klass * share)
        s.rogers_satchell[at] = BPS * sqrt(rogers_satchell * share)


@jit
def _write_parkinson(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.parkinson[at]


@jit
def _write_garman_klass(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.garman_klass[at]


@jit
def _write_rogers_satchell(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.rogers_satchell[at]


_RINGS: Final = ("parkinson_terms", "garman_klass_terms", "rogers_satchell_terms")


def _reach(name: str, write: Any, term: str, source: str) -> Output:
    return Output(
        name=name,
        suffix="_bps",
        unit="bps a bar",
        write=write,
        definition=f"10,000 x square root of the mean of {term} {STANDS}; "
        f"o, h, l, c open, high, low, close; {LOG_BARS}",
        source=source,
        zero_rule="0 at constant price and before the first close",
    )


REACHES: Final = Family(
    name="bar_reaches",
    group="technical",
    axis="bars",
    windows=_WINDOWS,
    fields=lane_fields("reaches_bars", "parkinson", "garman_klass", "rogers_satchell", rings=_RINGS),
    start=start_windows("reaches_bars"),
    hooks={"close": _close_reaches},
    outputs=(
        _reach("parkinson", _write_parkinson, "(h - l)^2 / (4 ln 2)", "Parkinson 1980"),
        _reach(
            "garman_klass",
            _write_garman_klass,
            "(h - l)^2 / 2 - (2 ln 2 - 1) (c - o)^2",
            "Garman and Klass 1980",
        ),
        _reach(
            "rogers_satchell",
            _write_rogers_satchell,
            "(h - c) (h - o) + (l - c) (l - o)",
            "Rogers and Satchell 1991",
        ),
    ),
)
