"""What the kernel remembers of one symbol: one flat, preallocated record of 8-byte fields and fixed rings."""

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

State: TypeAlias = npt.NDArray[np.void]
Record: TypeAlias = Any
"""The one element of a ``State``; compiled code reads its fields as attributes."""
Row: TypeAlias = npt.NDArray[np.float64]
Lanes: TypeAlias = npt.NDArray[np.float64]
"""The values of one output: one per window of the plan."""

_COUNTERS: Final = ("now_ns", "dt_ns", "offset_ns", "events", "quotes", "trades", "decided_ns")
_QUOTE: Final = ("bid_px", "bid_qty", "ask_px", "ask_qty", "log_bid", "log_ask", "mid", "spread")
_TRADE: Final = ("trade_px", "trade_log", "trade_qty", "trade_side")
_OTHER: Final = (
    "mark_px", "index_px", "funding_rate", "funding_s", "reference_mid", "last_reference_mid", "interest",
    "liquidation_px", "liquidation_qty", "liquidation_side",
)  # fmt: skip
_USUAL: Final = ("usual_qty", "usual_trades", "usual_size", "usual_spread", "usual_quotes")
LEVELS: Final = 10
"""Price levels a side that the ``levels`` event brings."""


def base_fields(taus: int) -> list[tuple[Any, ...]]:
    """Fields every kernel has, whatever it computes; ``last_*`` is the quote before the current one.

    Prices are logs over the first price seen (``ref``), so that small numbers keep small rounding errors at any price
    level. ``keep[k]`` is what one step of the clock leaves of the plan's ``k``-th tau (``keep_rate[k]``: 1 / tau).
    ``usual_*`` are decayed sums over ``typical_ns``, of which ``usual_keep`` is left.
    """
    fields: list[tuple[Any, ...]] = [(name, np.int64) for name in _COUNTERS]
    last = [f"last_{name}" for name in _QUOTE]
    fields += [(name, np.float64) for name in ("ref", "change", "step", *_QUOTE, *last, *_TRADE, *_OTHER, *_USUAL)]
    fields += [(name, np.float64, (taus,)) for name in ("keep", "keep_rate")]
    fields += [("usual_keep", np.float64), ("usual_at", np.int64), ("taus", np.int64)]
    return fields + [("depth", np.float64, (4, LEVELS))]
