"""A book and a market in which an ordinary entry passes all seven laws; tests change one thing at a time."""

from typing import Any

from msgspec.structs import replace

from risk.types import AccountView, Intent, MarketView, PositionView, Regime

EQUITY = 10_000.0


def intent(**changes: Any) -> Intent:
    """Buy 1 AAA at 100: 1 % of equity."""
    return replace(
        Intent(
            symbol="AAA",
            side=1,
            qty=1.0,
            px=100.0,
            post_only=True,
            reduce_only=False,
            strategy="test",
            reason="",
            confidence=0.8,
            stop_bps=40.0,
        ),
        **changes,
    )


def account(**changes: Any) -> AccountView:
    return replace(
        AccountView(
            equity=EQUITY,
            peak_equity=EQUITY,
            day_start_equity=EQUITY,
            positions={},
            trades_today=0,
            consecutive_losses=0,
            synced=True,
        ),
        **changes,
    )


def market(**changes: Any) -> MarketView:
    return replace(
        MarketView(
            tradable=True,
            age_ms=10.0,
            bid_px=99.99,
            ask_px=100.0,
            spread_bps=1.0,
            depth_usd=1e6,
            volume_24h_usd=1e8,
            vol_day=0.02,
            vols_day={"AAA": 0.02, "BBB": 0.03, "CCC": 0.03},
            correlations={"AAA|BBB": 0.5, "AAA|CCC": 0.5, "BBB|CCC": 0.5},
            regime=Regime.NORMAL,
            alarms=(),
        ),
        **changes,
    )


def position(qty: float = 0.0, mark_px: float = 100.0, buys: float = 0.0, sells: float = 0.0) -> PositionView:
    return PositionView(qty=qty, mark_px=mark_px, open_buy_qty=buys, open_sell_qty=sells)
