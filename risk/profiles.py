"""Limits and the six regime profiles: every default of the risk specification, in one place.

A bare number is a ratio. Shares of equity are of worst-case notional; in high-leverage mode they are of posted
margin, so that a share ``s`` allows a notional of ``s * margin_leverage * equity``. A *day* is a volatility horizon
of 24 hours.
"""

from typing import Final

import msgspec

from risk.types import Regime


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a regime scales risk: ``position_x`` sizes, ``stop_x`` stop distances, ``risk_per_trade`` share of equity."""

    position_x: float
    stop_x: float
    risk_per_trade: float
    max_positions: int


PROFILES: Final[dict[Regime, Profile]] = {
    Regime.NORMAL: Profile(1.0, 1.0, 0.020, 10),
    Regime.VOLATILE: Profile(0.5, 1.5, 0.010, 5),
    Regime.TRENDING: Profile(1.2, 0.8, 0.025, 12),
    Regime.CRASH: Profile(0.2, 2.0, 0.005, 2),
    Regime.BULL_RUN: Profile(1.5, 0.7, 0.030, 15),
    Regime.RECOVERY: Profile(0.7, 1.3, 0.015, 6),
}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of the seven layers. An observation at its limit passes, above it (below a floor) it does not.

    ``max_vol_day`` caps realized volatility scaled to one day: 5 % a day is about 95 % a year. ``max_var_day`` caps
    the parametric one-day 95 % VaR of the worst-case book as a share of equity. ``max_consecutive_losses`` is the
    loss that stops trading: the fifth denies the sixth trade. ``min_pair_exposure`` is the share of equity below
    which another leg is too small to count as a correlated position. ``min_resize`` is the share of equity below
    which a shrunk intent is dust and denied. A profile can only tighten ``max_position`` and ``max_trade_loss``:
    where it is looser the limit here holds.

    >>> Limits().max_position, HIGH_LEVERAGE.max_position
    (0.1, 0.02)
    """

    max_position: float = 0.10
    max_single_asset: float = 0.20
    max_exposure: float = 0.80
    max_leverage: float = 3.0
    margin_leverage: float = 1.0
    max_var_day: float = 0.05
    max_drawdown: float = 0.15
    max_daily_loss: float = 0.05
    max_trade_loss: float = 0.02
    max_trades_day: int = 100
    max_consecutive_losses: int = 5
    max_vol_day: float = 0.05
    max_spread_bps: float = 10.0
    min_volume_24h_usd: float = 1_000_000.0
    max_depth_share: float = 0.10
    max_market_age_ms: float = 2_000.0
    max_pair_correlation: float = 0.70
    min_pair_exposure: float = 0.02
    max_concentration: float = 0.30
    min_confidence: float = 0.60
    min_resize: float = 1e-6
    profiles: dict[Regime, Profile] = msgspec.field(default_factory=lambda: PROFILES)


CONSERVATIVE: Final = Limits()
HIGH_LEVERAGE: Final = Limits(max_position=0.02, max_leverage=20.0, margin_leverage=20.0)
