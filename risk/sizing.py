"""How much to want: Kelly fraction, scaled by volatility, confidence and regime. The laws have the last word."""

from typing import Final

import msgspec

from risk.profiles import Limits, Profile
from risk.stake import positive


class SizingParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``kelly_share`` is the part of full Kelly risked; above ``calm_vol_day`` (a day's ratio) sizes shrink."""

    kelly_share: float = 0.25
    calm_vol_day: float = 0.03


PARAMS: Final = SizingParams()


def kelly(p_win: float, win_bps: float, loss_bps: float) -> float:
    """Share of equity to risk on a bet that gains ``win_bps`` with ``p_win``, else loses ``loss_bps`` (Kelly 1956).

    Zero where the bet has no edge; NaN gives zero.

    >>> round(kelly(0.6, 20.0, 20.0), 3), kelly(0.5, 20.0, 20.0), kelly(float("nan"), 20.0, 20.0)
    (0.2, 0.0, 0.0)
    """
    if not (0.0 <= p_win <= 1.0 and positive(win_bps) and positive(loss_bps)):
        return 0.0
    return max(0.0, p_win - (1.0 - p_win) * loss_bps / win_bps)


def confidence_weight(confidence: float, floor: float) -> float:
    """0 at or below the minimum confidence, 1 at certainty, linear between; NaN gives zero.

    >>> round(confidence_weight(0.8, 0.6), 3), confidence_weight(0.5, 0.6)
    (0.5, 0.0)
    """
    return (confidence - floor) / (1.0 - floor) if floor < confidence <= 1.0 else 0.0


def volatility_weight(vol_day: float, calm_vol_day: float) -> float:
    """1 up to the calm volatility, then inversely proportional; an unknown volatility gives zero.

    >>> volatility_weight(0.06, 0.03), volatility_weight(0.01, 0.03), volatility_weight(float("nan"), 0.03)
    (0.5, 1.0, 0.0)
    """
    if not 0.0 <= vol_day < float("inf"):
        return 0.0
    return 1.0 if vol_day <= calm_vol_day else calm_vol_day / vol_day


def base_qty(
    *,
    equity: float,
    px: float,
    confidence: float,
    win_bps: float,
    loss_bps: float,
    vol_day: float,
    profile: Profile,
    limits: Limits,
    params: SizingParams = PARAMS,
) -> float:
    """Base quantity to want, not yet on the lot grid; 0 where an input is unknown or there is no edge.

    The risked share of equity (Kelly's, at most what profile and limits allow to lose in a trade) over the loss at
    the stop is the notional, capped at ``max_position``; volatility, confidence and the profile then scale it down
    (or, where the regime allows more, up to the cap again).

    >>> from risk.profiles import CONSERVATIVE, PROFILES
    >>> from risk.types import Regime
    >>> round(base_qty(equity=10_000.0, px=100.0, confidence=0.8, win_bps=20.0, loss_bps=40.0, vol_day=0.02,
    ...                profile=PROFILES[Regime.NORMAL], limits=CONSERVATIVE), 6)
    5.0
    """
    if not (positive(equity) and positive(px) and positive(loss_bps)):
        return 0.0
    risked = min(
        params.kelly_share * kelly(confidence, win_bps, loss_bps), limits.max_trade_loss, profile.risk_per_trade
    )
    cap = limits.max_position * limits.margin_leverage * equity
    weight = (
        volatility_weight(vol_day, params.calm_vol_day)
        * confidence_weight(confidence, limits.min_confidence)
        * profile.position_x
    )
    return min(cap, min(cap, risked * equity / loss_bps * 10_000.0) * weight) / px
