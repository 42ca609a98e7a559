"""When to leave: stop, time, trailing stop, take profit. Needs a position and a price, never a score."""

import msgspec

from risk.profiles import PROFILES
from risk.types import Intent
from trader.strategies.grid import lot_below, mid_px, sigma_bps
from trader.view import PositionState, View


class ExitParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Distances in basis points of the entry price. The stop lies ``stop_targets`` targets away, times the ``stop_x``
    of the regime.

    The trailing stop wakes once the position has gained ``trail_arm_bps``, and lies ``trail_sigmas`` deviations of
    ``trail_horizon_s`` (but at least ``trail_min_bps``) behind the best mid.
    """

    target_bps: float = 20.0
    stop_targets: float = 2.0
    max_hold_s: float = 300.0
    trail_arm_bps: float = 10.0
    trail_min_bps: float = 5.0
    trail_sigmas: float = 2.0
    trail_horizon_s: float = 10.0


def stop_bps(view: View, params: ExitParams) -> float:
    """Distance of the stop in the view's regime: what an entry must expect to lose when it is wrong."""
    return params.target_bps * params.stop_targets * PROFILES[view.regime].stop_x


def exit_intent(view: View, params: ExitParams) -> Intent | None:
    """The exit wanted now, reduce-only and for the whole position; None while the position may stay.

    Stop, time and trailing stop cross the spread as market orders, in this order; the take profit rests post-only at
    the touch.
    """
    position = view.position
    if position is None or position.qty == 0:
        return None
    gain_bps = _gain_bps(position, mid_px(view))
    best_bps = _gain_bps(position, position.best_px)
    if gain_bps <= -stop_bps(view, params):
        return _leave(view, position, "stop", urgent=True)
    if view.ts_ns - position.opened_ns >= params.max_hold_s * 1e9:
        return _leave(view, position, "time", urgent=True)
    if best_bps >= params.trail_arm_bps and best_bps - gain_bps >= trail_bps(view, params):
        return _leave(view, position, "trail", urgent=True)
    if gain_bps >= params.target_bps:
        return _leave(view, position, "target", urgent=False)
    return None


def trail_bps(view: View, params: ExitParams) -> float:
    """Distance the trailing stop keeps at the present volatility."""
    return max(params.trail_min_bps, params.trail_sigmas * sigma_bps(view, params.trail_horizon_s))


def _gain_bps(position: PositionState, px: float) -> float:
    side = 1 if position.qty > 0 else -1
    if not position.entry_px > 0:
        return float("nan")
    return side * (px / position.entry_px - 1.0) * 10_000.0


def _leave(view: View, position: PositionState, reason: str, urgent: bool) -> Intent | None:
    side = -1 if position.qty > 0 else 1
    qty = lot_below(abs(position.qty), view.lot_size)
    if qty <= 0:
        return None
    passive = view.ask_px if side < 0 else view.bid_px
    crossing = view.bid_px if side < 0 else view.ask_px
    return Intent(
        symbol=view.symbol,
        side=side,
        qty=qty,
        px=crossing if urgent else passive,
        post_only=not urgent,
        reduce_only=True,
        strategy="exit",
        reason=reason,
        confidence=None,
        stop_bps=None,
    )
