"""Order in the returns of closed bars: autocorrelation, variance over longer spans, entropy of signs."""

from math import log
from typing import Any, Final

import numpy as np

from features.bars import back
from features.compose import jit
from features.families.standing import FLAT, FLAT_SQUARED, RECENT, STANDS, lane_fields
from features.families.technical import ema, start_windows
from features.family import Family, Output
from features.state import Lanes, Record

_SPAN: Final = 60
_WEIGHTS: Final = f"exponential means over bars of span {_SPAN} (newest weighs 2 / {_SPAN + 1}), begun at 0"


@jit
def _return(s: Record, length: int, bar: int, over: int) -> float:
    """Change from ``over`` bars before to the ``bar``-th closed one from the newest, which is 1."""
    return s.closes[length, back(s, length, bar)] - s.closes[length, back(s, length, bar + over)]


@jit
def _close_autocorrelation(s: Record, length: int) -> None:
    """Products enter once both returns are there; the squares from the first return on."""
    if s.bars[length] < 2:
        return
    count, newest = s.correlated_lags.size, _return(s, length, 1, 1)
    s.correlated_square[length] = square = ema(s.correlated_square[length], newest * newest, _SPAN)
    for k in range(count):
        lag, at = s.correlated_lags[k], length * count + k
        before = _return(s, length, 1 + lag, 1) if s.bars[length] > lag + 1 else 0.0
        s.correlated[at] = ema(s.correlated[at], newest * before, _SPAN)
        s.autocorrelation[at] = s.correlated[at] / square if square > FLAT_SQUARED else 0.0


@jit
def _write_autocorrelation(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.autocorrelation[at]


def _autocorrelation_fields(lengths: int, count: int) -> list[tuple[Any, ...]]:
    lanes = lane_fields("correlated_lags", "correlated", "autocorrelation")(lengths, count)
    return [("correlated_square", np.float64, (lengths,)), *lanes]


AUTOCORRELATION: Final = Family(
    name="autocorrelation",
    group="technical",
    axis="bars",
    windows=(1, 2, 3, 4, 5, 10),
    spell=lambda lag: f"{lag}_{_SPAN}",
    look_back=lambda lag: lag + 2,
    fields=_autocorrelation_fields,
    start=start_windows("correlated_lags"),
    hooks={"close": _close_autocorrelation},
    outputs=(
        Output(
            name="autocorrelation",
            unit="ratio",
            write=_write_autocorrelation,
            definition="mean of r(t) r(t - lag) / mean of r(t)^2; r the returns from close to close, in logs, before "
            f"the first of them 0; {_WEIGHTS}, {STANDS}",
            source="autocorrelation about a mean of 0, decayed",
            zero_rule=f"0 while the mean of r^2 is not above {FLAT_SQUARED:g}",
        ),
    ),
)


@jit
def _close_ratio(s: Record, length: int) -> None:
    count = s.ratio_bars.size
    for k in range(count):
        over, at = s.ratio_bars[k], length * count + k
        if s.bars[length] > over:
            s.ratio_whole[at] = whole = ema(s.ratio_whole[at], _return(s, length, 1, over) ** 2, _SPAN)
            s.ratio_parts[at] = parts = ema(s.ratio_parts[at], over * _return(s, length, 1, 1) ** 2, _SPAN)
            s.variance_ratio[at] = (whole - parts) / (whole + parts) if whole + parts > FLAT_SQUARED else 0.0


@jit
def _write_ratio(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.variance_ratio[at]


VARIANCE_RATIO: Final = Family(
    name="variance_ratio",
    group="technical",
    axis="bars",
    windows=(2, 3, 4, 6, 8, 16),
    spell=lambda over: f"{over}_{_SPAN}",
    look_back=lambda over: over + 1,
    fields=lane_fields("ratio_bars", "ratio_whole", "ratio_parts", "variance_ratio"),
    start=start_windows("ratio_bars"),
    hooks={"close": _close_ratio},
    outputs=(
        Output(
            name="variance_ratio",
            unit="ratio in [-1, 1]",
            write=_write_ratio,
            definition="(A - B) / (A + B); A the mean of squared changes of closes over q bars, B the mean of q x "
            f"squared changes over one, both from the first close with q before it; {_WEIGHTS}, {STANDS}",
            source="Lo and MacKinlay 1988, as a relative difference and decayed",
            zero_rule=f"0 while A + B is not above {FLAT_SQUARED:g}",
        ),
    ),
)

_LETTERS: Final = 3
_WORDS: Final = _LETTERS * _LETTERS
_LOGS: Final = np.array([log(max(count, 1)) for count in range(RECENT)])


@jit
def _letter(change: float) -> int:
    """2 for a rise, 0 for a fall, 1 for neither."""
    return 1 + int(change > FLAT) - int(change < -FLAT)


@jit
def _close_entropy(s: Record, length: int) -> None:
    """Words are counted in whole numbers, so that taking the oldest away leaves no rounding."""
    words = s.bars[length] - 2
    if words < 1:
        return
    count, slot = s.entropy_bars.size, words & (RECENT - 1)
    word = _LETTERS * _letter(_return(s, length, 2, 1)) + _letter(_return(s, length, 1, 1))
    s.recent_words[length, slot] = word
    for k in range(count):
        window, told = s.entropy_bars[k], s.word_counts[length * count + k]
        told[word] += 1
        if words > window:
            told[s.recent_words[length, (words - window) & (RECENT - 1)]] -= 1
        total, weighed = min(words, window), 0.0
        for i in range(_WORDS):
            weighed += told[i] * _LOGS[told[i]]
        s.sign_entropy[length * count + k] = max(0.0, _LOGS[total] - weighed / total) / _LOGS[_WORDS]


@jit
def _write_entropy(s: Record, out: Lanes) -> None:
    for at in range(out.size):
        out[at] = s.sign_entropy[at]


def _entropy_fields(lengths: int, count: int) -> list[tuple[Any, ...]]:
    counts = [("word_counts", np.int64, (lengths * count, _WORDS)), ("recent_words", np.int64, (lengths, RECENT))]
    return counts + lane_fields("entropy_bars", "sign_entropy")(lengths, count)


ENTROPY: Final = Family(
    name="sign_entropy",
    group="technical",
    axis="bars",
    windows=(10, 20, 30, 40, 50, 60),
    look_back=lambda _: 3,
    fields=_entropy_fields,
    start=start_windows("entropy_bars"),
    hooks={"close": _close_entropy},
    outputs=(
        Output(
            name="sign_entropy",
            unit="ratio in [0, 1]",
            write=_write_entropy,
            definition=f"entropy / ln {_WORDS} of the window's newest pairs of successive signs of returns from close "
            f"to close (pairs overlap; +, -, or neither up to {FLAT:g}), {STANDS}",
            source="Shannon 1948, over ordinal patterns as Bandt and Pompe 2002",
            zero_rule="0 while all pairs are alike and before the first",
        ),
    ),
)
