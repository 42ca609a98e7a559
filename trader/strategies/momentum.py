"""Join a move the score and the order flow agree on: one passive entry at the touch, left to the exits afterwards."""

import msgspec

from risk.profiles import CONSERVATIVE, PROFILES, Limits
from risk.sizing import SizingParams, base_qty
from risk.types import Intent
from trader.strategies.filters import Filters, passes
from trader.strategies.grid import flow_agrees, lot_below, vol_day
from trader.view import Score, View


class MomentumParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Filters of an entry; ``target_bps`` and ``stop_bps`` are what the exits aim at, and hence what sizing bets on."""

    min_confidence: float = 0.70
    min_direction: float = 0.20
    target_bps: float = 20.0
    stop_bps: float = 40.0
    sizing: SizingParams = SizingParams()
    limits: Limits = CONSERVATIVE
    filters: Filters = Filters()


def entry(view: View, params: MomentumParams) -> Intent | None:
    """A post-only entry in the score's direction; None without a fresh score, outside the filters or when holding."""
    if view.score is None or view.position is not None or not passes(view, params.filters):
        return None
    side = 1 if view.score.direction > 0 else -1
    if not _convinced(view, view.score, side, params):
        return None
    px = view.bid_px if side > 0 else view.ask_px
    confidence = view.score.confidence(side)
    qty = _qty(view, params, px, confidence)
    if not qty >= view.min_qty:
        return None
    return Intent(
        symbol=view.symbol,
        side=side,
        qty=qty,
        px=px,
        post_only=True,
        reduce_only=False,
        strategy="momentum",
        reason=f"direction={view.score.direction:.2f}",
        confidence=confidence,
        stop_bps=params.stop_bps * PROFILES[view.regime].stop_x,
    )


def _convinced(view: View, score: Score, side: int, params: MomentumParams) -> bool:
    return (
        score.confidence(side) >= params.min_confidence
        and abs(score.direction) >= params.min_direction
        and flow_agrees(view, side)
    )


def _qty(view: View, params: MomentumParams, px: float, confidence: float) -> float:
    """Kelly on target and stop, on the lot grid."""
    wanted = base_qty(
        equity=view.equity,
        px=px,
        confidence=confidence,
        win_bps=params.target_bps,
        loss_bps=params.stop_bps,
        vol_day=vol_day(view),
        profile=PROFILES[view.regime],
        limits=params.limits,
        params=params.sizing,
    )
    return lot_below(wanted, view.lot_size)
