"""The filters every entry passes: the market must be calm, tight and traded."""

import msgspec

from trader.strategies.grid import spread_bps, vol_day
from trader.view import View


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``max_vol_day`` caps the row's volatility of the last seconds, scaled to one day (``grid.vol_day``)."""

    max_vol_day: float = 0.05
    max_spread_bps: float = 10.0
    min_volume_24h_usd: float = 1_000_000.0


def passes(view: View, filters: Filters) -> bool:
    """Whether an entry may be wanted at all; an unknown volume or a broken number says no."""
    volume = view.volume_24h_usd
    return (
        0.0 < view.bid_px < view.ask_px
        and view.equity > 0.0
        and spread_bps(view) <= filters.max_spread_bps
        and vol_day(view) <= filters.max_vol_day
        and volume is not None
        and volume >= filters.min_volume_24h_usd
    )
