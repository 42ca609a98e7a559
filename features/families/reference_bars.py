"""How a symbol's bars move with those of a reference symbol: correlation, lead and lag, beta, relative strength."""

from math import sqrt
from typing import Final

import numpy as np

from features.bars import back
from features.compose import jit, rebound
from features.families.reference import BPS, LEAST, NO_REFERENCE
from features.families.technical import start_windows
from features.family import Family, Fields, Output
from features.state import Lanes, Record

_FARTHEST: Final = 3
_AWAY: Final = range(1, _FARTHEST + 1)
_OWN, _REFERENCE, _BOTH, _LEADS, _LAGS = 0, 1, 2, 3, 3 + _FARTHEST
_SUMS: Final = 3 + 2 * _FARTHEST


@jit
def _enter_returns(s: Record, length: int, bar: int) -> None:
    """Products of the ``bar``-th newest returns with each other and with up to three newer ones."""
    sums, newer, older = s.cross_sums, back(s, length, bar), back(s, length, bar + 1)
    own = s.closes[length, newer] - s.closes[length, older]
    reference = s.reference_closes[length, newer] - s.reference_closes[length, older]
    sums[_OWN] += own * own
    sums[_REFERENCE] += reference * reference
    sums[_BOTH] += own * reference
    for lag in range(1, min(_FARTHEST, bar - 1) + 1):
        after, before = back(s, length, bar - lag), back(s, length, bar - lag + 1)
        sums[_LEADS + lag - 1] += (s.closes[length, after] - s.closes[length, before]) * reference
        sums[_LAGS + lag - 1] += (s.reference_closes[length, after] - s.reference_closes[length, before]) * own


@jit
def _keep_window(s: Record, length: int, k: int, bars: int) -> None:
    """What the sums over the newest ``bars`` returns say, for window ``k``."""
    sums = s.cross_sums
    moved = sums[_OWN] > LEAST and sums[_REFERENCE] > LEAST
    scale = 1.0 / sqrt(sums[_OWN] * sums[_REFERENCE]) if moved else 0.0
    for i in range(_SUMS - _BOTH):
        s.cross_bars_correlations[length, k, i] = scale * sums[_BOTH + i]
    s.cross_bars_beta[length, k] = sums[_BOTH] / sums[_REFERENCE] if moved else 0.0
    newest, oldest = back(s, length, 1), back(s, length, bars + 1)
    own = s.closes[length, newest] - s.closes[length, oldest]
    reference = s.reference_closes[length, newest] - s.reference_closes[length, oldest]
    s.cross_bars_strength[length, k] = BPS * (own - reference) if bars > 0 else 0.0


@jit
def _close_reference(s: Record, length: int) -> None:
    """One pass over the newest returns, from window to window; it ends where the reference was not known yet."""
    s.cross_sums[:] = 0.0
    k, windows, bars = 0, s.cross_bars.size, 0
    while k < windows:
        known = bars + 1 < s.bars[length] and s.reference_closes[length, back(s, length, bars + 2)] != 0.0
        if known and bars < s.cross_bars[k]:
            bars += 1
            _enter_returns(s, length, bars)
        else:
            _keep_window(s, length, k, bars)
            k += 1


def _bars_fields(lengths: int, count: int) -> Fields:
    return [
        ("cross_bars", np.float64, (count,)),
        ("cross_sums", np.float64, (_SUMS,)),
        ("cross_bars_beta", np.float64, (lengths, count)),
        ("cross_bars_strength", np.float64, (lengths, count)),
        ("cross_bars_correlations", np.float64, (lengths, count, _SUMS - _BOTH)),
    ]


at = 0
"""What ``rebound`` fills in: which of the kept correlations is written."""


def _write_kept(s: Record, out: Lanes) -> None:
    count = s.cross_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            out[length * count + k] = s.cross_bars_correlations[length, k, at]


@jit
def _write_beta(s: Record, out: Lanes) -> None:
    count = s.cross_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            out[length * count + k] = s.cross_bars_beta[length, k]


@jit
def _write_strength(s: Record, out: Lanes) -> None:
    count = s.cross_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            out[length * count + k] = s.cross_bars_strength[length, k]


_CLOSED: Final = (
    "r and q the changes of log mid from one closed bar to the next, of the symbol and of the reference (its log mid "
    "when the bar was closed), over the newest of the window since the reference is known"
)
_NORM: Final = "square root of (sum of r^2 x sum of q^2)"


def _lagged(name: str, at: int, products: str) -> Output:
    return Output(
        name=name,
        unit="ratio in [-1, 1]",
        write=jit(rebound(_write_kept, "write_kept", at=at)),
        definition=f"sum of {products} / {_NORM}; {_CLOSED}, both within the window",
        source="sample cross-correlation, Box and Jenkins 1970, of changes without mean",
        zero_rule=NO_REFERENCE,
    )


_BARS_OUTPUTS: Final = (
    _lagged("reference_correlation", 0, "r x q"),
    *(_lagged(f"reference_leads_{i}", _LEADS - _BOTH + i - 1, f"r x q of {i} bars before") for i in _AWAY),
    *(_lagged(f"reference_lags_{i}", _LAGS - _BOTH + i - 1, f"q x r of {i} bars before") for i in _AWAY),
    Output(
        name="reference_beta",
        unit="ratio",
        write=_write_beta,
        definition=f"sum of r x q / sum of q^2; {_CLOSED}",
        source="realized beta, Barndorff-Nielsen and Shephard 2004",
        zero_rule=NO_REFERENCE,
    ),
    Output(
        name="relative_strength",
        suffix="_bps",
        unit="bps",
        write=_write_strength,
        definition=f"10,000 x (sum of r - sum of q); {_CLOSED}",
        source="relative strength, Levy 1967, as a difference of log returns",
        zero_rule="0 without a reference and before two bars are closed",
        mirror="sign",
    ),
)

REFERENCE_BARS: Final = Family(
    name="reference_bars",
    group="cross_asset",
    axis="bars",
    windows=(10, 20, 40, 60, 100),
    look_back=lambda window: window + 1,
    fields=_bars_fields,
    start=start_windows("cross_bars"),
    hooks={"close": _close_reference},
    outputs=_BARS_OUTPUTS,
)
