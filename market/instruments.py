"""Contract rules of one symbol: tick, lot and notional filters, fees. Orders live in integer ticks and lots."""

from decimal import Decimal

import msgspec


class Instrument(msgspec.Struct, frozen=True):
    """Filters and fees as the venue states them. Fees are in basis points of notional, positive when paid."""

    venue: str
    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_lots: int
    max_lots: int
    min_notional: Decimal
    maker_fee_bps: Decimal
    taker_fee_bps: Decimal

    def px(self, ticks: int) -> Decimal:
        """Exact price of ``ticks``.

        >>> from market.instruments import btcusdt_example
        >>> btcusdt_example().px(639439)
        Decimal('63943.9')
        """
        return self.tick_size * ticks

    def qty(self, lots: int) -> Decimal:
        """Exact base quantity of ``lots``."""
        return self.lot_size * lots

    def ticks(self, px: Decimal | float) -> int:
        """Nearest tick to ``px`` (floats carry the venue's decimals, so rounding is exact for on-grid prices)."""
        return int((Decimal(repr(px)) if isinstance(px, float) else px) / self.tick_size + Decimal("0.5"))

    def lots_floor(self, qty: Decimal | float) -> int:
        """Largest whole number of lots not above ``qty``; a float a rounding below a whole lot counts as that lot.

        >>> btcusdt_example().lots_floor(1001 * 0.001), btcusdt_example().lots_floor(0.0019)
        (1001, 1)
        """
        return int((Decimal(repr(qty)) if isinstance(qty, float) else qty) / self.lot_size + Decimal("1e-9"))

    def min_order_lots(self, px: Decimal) -> int:
        """Fewest lots that satisfy both the lot and the notional filter at ``px``."""
        by_notional = -(-self.min_notional // (px * self.lot_size))
        return max(self.min_lots, int(by_notional))


def btcusdt_example() -> Instrument:
    """Binance USD-M BTCUSDT as its exchangeInfo states it; for doctests and examples."""
    return Instrument(
        venue="binanceusdm",
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        min_lots=1,
        max_lots=1_000_000,
        min_notional=Decimal(100),
        maker_fee_bps=Decimal(2),
        taker_fee_bps=Decimal(4),
    )
