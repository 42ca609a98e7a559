"""One cross-margin futures account: wallet, positions (one-way), margin, realised profit. Exact decimals, no clock."""

from decimal import Decimal

import msgspec

from market.instruments import Instrument
from market.simulator.orders import BUY, Order

ZERO = Decimal(0)
BPS = Decimal(10_000)


class Position(msgspec.Struct):
    """Signed lots and their mean entry price; ``realized_pnl`` before fees, summed over the account's life."""

    lots: int = 0
    entry_px: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    updated_ns: int = 0

    def unrealized_pnl(self, instrument: Instrument, mark_px: Decimal) -> Decimal:
        return (mark_px - self.entry_px) * instrument.qty(self.lots)

    def fill(self, instrument: Instrument, side: int, px: Decimal, lots: int) -> Decimal:
        """Book an execution; the profit it realised, before fees."""
        closed = min(lots, abs(self.lots)) if self.lots * side < 0 else 0
        pnl = (px - self.entry_px) * instrument.qty(closed) * (1 if self.lots > 0 else -1) if closed else ZERO
        opened, kept = lots - closed, abs(self.lots) - closed
        if opened:
            self.entry_px = (self.entry_px * kept + px * opened) / (kept + opened)
        self.lots += side * lots
        if self.lots == 0:
            self.entry_px = ZERO
        self.realized_pnl += pnl
        return pnl


class Account:
    """Wallet and positions.

    The wallet holds quote units after fees, realised profit and funding. Initial margin of a symbol is the larger of
    its two worst cases (every open buy filled, every open sell filled) at the mark price, divided by its leverage.
    """

    def __init__(self, instruments: dict[str, Instrument], wallet: Decimal, leverage: int) -> None:
        self.instruments = instruments
        self.wallet = wallet
        self.fees_paid = ZERO
        self.funding_paid = ZERO
        self.positions = {symbol: Position() for symbol in instruments}
        self.leverage = dict.fromkeys(instruments, leverage)
        self.mark_px: dict[str, Decimal] = dict.fromkeys(instruments, ZERO)

    def fill(
        self, symbol: str, side: int, ticks: int, lots: int, is_maker: bool, now_ns: int
    ) -> tuple[Decimal, Decimal]:
        """Book an execution; (fee, realised profit) in quote units."""
        instrument, position = self.instruments[symbol], self.positions[symbol]
        px = instrument.px(ticks)
        pnl = position.fill(instrument, side, px, lots)
        fee_bps = instrument.maker_fee_bps if is_maker else instrument.taker_fee_bps
        fee = px * instrument.qty(lots) * fee_bps / BPS
        self.wallet += pnl - fee
        self.fees_paid += fee
        position.updated_ns = now_ns
        return fee, pnl

    def fund(self, symbol: str, rate: Decimal, mark_px: Decimal) -> Decimal:
        """Settle funding: longs pay a positive rate. The amount paid (negative when received)."""
        paid = self.instruments[symbol].qty(self.positions[symbol].lots) * mark_px * rate
        self.wallet -= paid
        self.funding_paid += paid
        return paid

    def reducible(self, symbol: str, side: int) -> int:
        """Lots that an order of ``side`` may fill before the position would turn."""
        lots = self.positions[symbol].lots
        return abs(lots) if lots * side < 0 else 0

    def unrealized_pnl(self, symbol: str) -> Decimal:
        position = self.positions[symbol]
        return position.unrealized_pnl(self.instruments[symbol], self.mark_px[symbol]) if position.lots else ZERO

    def position_margin(self, symbol: str) -> Decimal:
        """Initial margin of the position alone."""
        return abs(self.notional(symbol)) / self.leverage[symbol]

    def notional(self, symbol: str) -> Decimal:
        """Signed position value at the mark price."""
        return self.instruments[symbol].qty(self.positions[symbol].lots) * self.mark_px[symbol]

    def initial_margin(self, symbol: str, orders: list[Order]) -> Decimal:
        """Initial margin of the position and these open orders together."""
        held = self.notional(symbol)
        buys = sum((self._value(o) for o in orders if o.side == BUY and not o.reduce_only), ZERO)
        sells = sum((self._value(o) for o in orders if o.side != BUY and not o.reduce_only), ZERO)
        return max(abs(held + buys), abs(held - sells), abs(held)) / self.leverage[symbol]

    def _value(self, order: Order) -> Decimal:
        instrument = self.instruments[order.symbol]
        px = self.mark_px[order.symbol] if order.ticks is None else instrument.px(order.ticks)
        return px * instrument.qty(order.left_lots)

    def total_unrealized_pnl(self) -> Decimal:
        return sum((self.unrealized_pnl(symbol) for symbol in self.instruments), ZERO)

    def available(self, open_orders: dict[str, list[Order]]) -> Decimal:
        """Wallet and unrealised profit not bound as margin."""
        bound = sum((self.initial_margin(symbol, open_orders.get(symbol, [])) for symbol in self.instruments), ZERO)
        return self.wallet + self.total_unrealized_pnl() - bound
