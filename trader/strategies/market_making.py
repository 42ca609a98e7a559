"""Quote both sides at or behind the touch, lean against inventory, step aside where the score points through the quote.

The reservation price is that of Avellaneda and Stoikov (2008, eq. 8): ``r = s - q * gamma * sigma^2 * T``, here in
basis points, with inventory ``q`` as a share of the most allowed and ``T`` a fixed horizon. Their optimal spread is
below one tick on liquid contracts, so the half-spread is a parameter and quotes join the touch unless inventory or
half-spread hold them back.
"""

import msgspec

from risk.profiles import PROFILES
from risk.types import Intent
from trader.strategies.filters import Filters, passes
from trader.strategies.grid import lot_below, mid_px, sigma_bps, tick_above, tick_below
from trader.view import Score, View


class MarketMakingParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``quote_equity`` and ``max_inventory`` are shares of equity in notional; ``risk_aversion`` is gamma, per bps.

    A side is quoted while the probability of a move against it is at most ``max_adverse`` and the direction points
    against it by at most ``max_against``. ``stop_bps`` is what the exits will let a fill lose at most in a normal
    regime.
    """

    quote_equity: float = 0.02
    max_inventory: float = 0.06
    risk_aversion: float = 0.3
    horizon_s: float = 10.0
    half_spread_bps: float = 0.0
    max_adverse: float = 0.35
    max_against: float = 0.20
    stop_bps: float = 40.0
    filters: Filters = Filters()


def quotes(view: View, params: MarketMakingParams) -> tuple[Intent, ...]:
    """At most one bid and one ask, post-only; nothing without a fresh score or outside the filters.

    ``confidence`` of a quote is the probability that the mid does not move against it.
    """
    if view.score is None or not passes(view, params.filters):
        return ()
    inventory = _inventory(view, params)
    reservation_px = mid_px(view) * (1.0 - skew_bps(view, params, inventory) / 10_000.0)
    wanted = (_quote(view, view.score, params, side, inventory, reservation_px) for side in (1, -1))
    return tuple(intent for intent in wanted if intent is not None)


def skew_bps(view: View, params: MarketMakingParams, inventory: float) -> float:
    """How far the reservation price lies below the mid: ``inventory * gamma * sigma^2`` over the horizon."""
    sigma = sigma_bps(view, params.horizon_s)
    return inventory * params.risk_aversion * sigma * sigma


def _inventory(view: View, params: MarketMakingParams) -> float:
    """Signed position as a share of the most allowed, clipped to [-1, 1]."""
    if view.position is None:
        return 0.0
    most = params.max_inventory * view.equity
    return max(-1.0, min(1.0, view.position.qty * mid_px(view) / most))


def _quote(
    view: View, score: Score, params: MarketMakingParams, side: int, inventory: float, reservation_px: float
) -> Intent | None:
    confidence = 1.0 - score.confidence(-side)
    px = _quote_px(view, side, reservation_px * (1.0 - side * params.half_spread_bps / 10_000.0))
    qty = _quote_qty(view, params, px) if px > 0 else 0.0
    # written so that a NaN anywhere pulls the quote
    wanted = (
        1.0 - confidence <= params.max_adverse
        and score.direction * side >= -params.max_against
        and inventory * side < 1.0
        and qty >= view.min_qty
    )
    if not wanted:
        return None
    return Intent(
        symbol=view.symbol,
        side=side,
        qty=qty,
        px=px,
        post_only=True,
        reduce_only=False,
        strategy="market_making",
        reason=f"inventory={inventory:.2f}",
        confidence=confidence,
        stop_bps=params.stop_bps * PROFILES[view.regime].stop_x,
    )


def _quote_px(view: View, side: int, px: float) -> float:
    """``px`` on the tick grid, never better than the touch."""
    if side > 0:
        return min(view.bid_px, tick_below(px, view.tick_size))
    return max(view.ask_px, tick_above(px, view.tick_size))


def _quote_qty(view: View, params: MarketMakingParams, px: float) -> float:
    notional = params.quote_equity * min(1.0, PROFILES[view.regime].position_x) * view.equity
    return lot_below(notional / px, view.lot_size)
