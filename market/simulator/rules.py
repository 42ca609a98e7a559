"""The instrument's filters: an ``OrderRequest`` in decimals becomes an order in ticks and lots, or is refused."""

from decimal import Decimal
from typing import Final

from market.instruments import Instrument
from market.simulator.errors import Reason, Reject
from market.simulator.orders import OrderRequest

MAX_OPEN_ORDERS: Final = 200
PX_BAND: Final = Decimal("0.05")


def decimals(value: Decimal) -> int:
    """Digits after the point that matter.

    >>> decimals(Decimal("0.0500")), decimals(Decimal("1e3"))
    (2, 0)
    """
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def whole(value: Decimal, step: Decimal, off_grid: Reason) -> int:
    """``value`` as a whole number of ``step``.

    >>> whole(Decimal("1.5"), Decimal("0.5"), Reason.PX_TICK)
    3
    """
    if not value.is_finite() or decimals(value) > decimals(step):
        raise Reject(Reason.PRECISION)
    count, rest = divmod(value, step)
    if rest:
        raise Reject(off_grid)
    return int(count)


def to_lots(instrument: Instrument, qty: Decimal) -> int:
    """Order quantity in lots, inside the lot filter."""
    lots = whole(qty, instrument.lot_size, Reason.QTY_STEP)
    if lots < instrument.min_lots:
        raise Reject(Reason.QTY_MIN)
    if lots > instrument.max_lots:
        raise Reject(Reason.QTY_MAX)
    return lots


def to_ticks(instrument: Instrument, px: Decimal) -> int:
    """Order price in ticks, above zero."""
    ticks = whole(px, instrument.tick_size, Reason.PX_TICK)
    if ticks <= 0:
        raise Reject(Reason.PX_RANGE)
    return ticks


def check_band(side: int, px: Decimal, mark_px: Decimal) -> None:
    """A buy may not be priced far above the mark, a sell not far below (PERCENT_PRICE). No mark, no band."""
    if mark_px > 0 and (px - mark_px) * side > PX_BAND * mark_px:
        raise Reject(Reason.PX_BAND if side > 0 else Reason.PX_BAND_LOW)


def check_notional(instrument: Instrument, request: OrderRequest, lots: int, px: Decimal) -> None:
    """The order's value reaches the minimum; reduce-only orders are exempt, so that remainders can be closed."""
    if not request.reduce_only and px > 0 and px * instrument.qty(lots) < instrument.min_notional:
        raise Reject(Reason.NOTIONAL)


def sized(instrument: Instrument, request: OrderRequest, mark_px: Decimal) -> tuple[int | None, int]:
    """(ticks or None for market, lots) of a request that passes every filter."""
    lots = to_lots(instrument, request.qty)
    if request.px is None:
        check_notional(instrument, request, lots, mark_px)
        return None, lots
    ticks = to_ticks(instrument, request.px)
    check_band(request.side, request.px, mark_px)
    check_notional(instrument, request, lots, request.px)
    return ticks, lots
