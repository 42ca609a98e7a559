"""What the kernel remembers of one symbol: one flat, preallocated record of 8-byte fields and fixed rings.

A digest of this package's sources names the record's first field. The record is part of every compiled signature, so a
kernel compiled from other sources or parameters is never taken from the cache.
"""

import hashlib
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from features.parameters import PARAMETERS as P

State: TypeAlias = npt.NDArray[np.void]
Record: TypeAlias = Any
"""The one element of a ``State``; compiled code reads its fields as attributes."""
Row: TypeAlias = npt.NDArray[np.float64]

LAGS: Final = (P.acceleration_ns, 2 * P.acceleration_ns, P.return_ns)
CELLS: Final = 1 << (max(LAGS) // P.grid_ns + 2).bit_length()
"""Ring of grid cells, a power of two that holds the longest lag whatever the quote rate."""
QUOTES: Final = 1 << P.return_quotes.bit_length()
"""Ring of log mids of the latest quotes, a power of two above the longest look back."""
BARS: Final = max(P.bollinger_bars, P.stochastic_bars, P.williams_bars) - 1
"""Closed bars the technical windows look back on; the running bar is the one more."""

_PARAMETERS: Final = [
    (name, np.int64 if isinstance(value, int) else np.float64) for name, value in msgspec.structs.asdict(P).items()
]
_COUNTERS: Final = ("now_ns", "offset_ns", "events", "quotes", "head", "bar", "bars")
_LAST: Final = ("ref", "bid_px", "bid_qty", "ask_px", "ask_qty", "mid")
_DECAYED: Final = (
    "mid_mean", "variance", "volume", "volume_base", "vwap", "vwap_qty", "vwap_trades", "flow", "flow_qty", "spike_qty",
    "typical_qty", "typical_trades", "size", "spread", "quotes_seen", "ofi", "ofi_size",
)  # fmt: skip
_BAR_FIELDS: Final = (
    "high", "low", "close", "previous", "rise", "fall", "ema_fast", "ema_slow", "signal", "true_range",
    "closes_mean", "closes_m2", "closes_count", "stochastic_high", "stochastic_low", "williams_high", "williams_low",
)  # fmt: skip


def sources_digest(package: Path) -> str:
    """Short digest of every source file in ``package``."""
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


DTYPE: Final = np.dtype(
    [(f"sources_{sources_digest(Path(__file__).parent)}", np.int64)]
    + [(name, np.int64) for name in _COUNTERS]
    + [(name, np.float64) for name in _LAST + _DECAYED + _BAR_FIELDS]
    + [
        ("lag_cells", np.int64, (len(LAGS),)),
        ("tails", np.int64, (len(LAGS),)),
        ("cell", np.int64, (CELLS,)),
        ("cell_mid", np.float64, (CELLS,)),
        ("quote_mid", np.float64, (QUOTES,)),
        ("closes", np.float64, (BARS,)),
        ("highs", np.float64, (BARS,)),
        ("lows", np.float64, (BARS,)),
        ("raw_k", np.float64, (P.smooth_bars - 1,)),
        ("slow_k", np.float64, (P.smooth_bars - 1,)),
        ("p", np.dtype(_PARAMETERS)),
    ],
    align=True,
)


def init_state() -> State:
    """A fresh state: no event seen. One per symbol and stream; ``state.copy()`` is a snapshot."""
    state = np.zeros(1, DTYPE)
    state["p"] = tuple(msgspec.structs.asdict(P).values())
    state["lag_cells"] = [lag // P.grid_ns for lag in LAGS]
    state["raw_k"] = state["slow_k"] = 50.0
    return state
