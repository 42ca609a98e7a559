"""Wishes on the venue's grid, and what strategies ask of a feature row: the one place that knows feature names."""

from math import floor, sqrt
from typing import Final

from features.parameters import SECOND_NS, span
from features.schema import column_of
from trader.view import View

_VOLATILITY_S: Final = 5
_VOLATILITY: Final = column_of(f"volatility_{span(_VOLATILITY_S * SECOND_NS)}_bps")
_OFI: Final = column_of("ofi_200ms")
_FLOW: Final = column_of("flow_100ms")
_DAY_S: Final = 86_400.0


def _whole(ratio: float) -> int:
    """Largest whole number not above a quotient of two decimals; as floats it may come out roundings too low."""
    return floor(ratio + 1e-9 + abs(ratio) * 1e-15)


def mid_px(view: View) -> float:
    """Middle of the touch."""
    return 0.5 * (view.bid_px + view.ask_px)


def spread_bps(view: View) -> float:
    """Touch spread over the mid, in basis points."""
    return (view.ask_px - view.bid_px) / mid_px(view) * 10_000.0


def sigma_bps(view: View, horizon_s: float) -> float:
    """Standard deviation of the log return over ``horizon_s``, from the row's realized volatility (root scaling)."""
    return view.features[_VOLATILITY] * sqrt(horizon_s / _VOLATILITY_S)


def vol_day(view: View) -> float:
    """The row's realized volatility scaled to one day: of the last seconds only, far noisier than the gate's."""
    return sigma_bps(view, _DAY_S) / 10_000.0


def flow_agrees(view: View, side: int) -> bool:
    """Whether order-flow imbalance and signed trade flow both point to ``side``."""
    return view.features[_OFI] * side > 0 and view.features[_FLOW] * side > 0


def tick_below(px: float, tick_size: float) -> float:
    """Highest grid price not above ``px``.

    >>> tick_below(100.17, 0.1), tick_below(0.3, 0.1)
    (100.10000000000001, 0.30000000000000004)
    """
    return _whole(px / tick_size) * tick_size


def tick_above(px: float, tick_size: float) -> float:
    """Lowest grid price not below ``px``."""
    return -tick_below(-px, tick_size)


def lot_below(qty: float, lot_size: float) -> float:
    """Largest multiple of the lot not above ``qty``."""
    return _whole(qty / lot_size) * lot_size
