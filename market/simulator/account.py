"""One futures account: wallet, positions, margin (cross or isolated), realised profit. Exact decimals, no clock."""

from decimal import Decimal

import msgspec

from market.instruments import Instrument
from market.simulator.brackets import bracket_of, cap_of, maintenance
from market.simulator.orders import BUY, LEG_SIDE, Leg, Order

ZERO = Decimal(0)
BPS = Decimal(10_000)
CENT = Decimal("0.00000001")
HEDGE_LEGS = (Leg.LONG, Leg.SHORT)


def booked(amount: Decimal) -> Decimal:
    """Quote units as a venue books them, to eight decimals: a wallet is the sum of what was reported.

    >>> booked(Decimal("0.123456785")), booked(Decimal(3))
    (Decimal('0.12345678'), Decimal('3.00000000'))
    """
    return amount.quantize(CENT)


class Position(msgspec.Struct):
    """Signed lots and their mean entry price; ``realized_pnl`` before fees, summed over the account's life.

    ``margin`` is the part of the wallet set aside for it when its margin is isolated, else 0.
    """

    lots: int = 0
    entry_px: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    updated_ns: int = 0
    margin: Decimal = ZERO

    def unrealized_pnl(self, instrument: Instrument, mark_px: Decimal) -> Decimal:
        return (mark_px - self.entry_px) * instrument.qty(self.lots)

    def fill(self, instrument: Instrument, side: int, px: Decimal, lots: int) -> Decimal:
        """Book an execution; the profit it realised, before fees."""
        closed = min(lots, abs(self.lots)) if self.lots * side < 0 else 0
        sign = 1 if self.lots > 0 else -1
        pnl = booked((px - self.entry_px) * instrument.qty(closed) * sign) if closed else ZERO
        opened, kept = lots - closed, abs(self.lots) - closed
        if closed:
            self.margin = booked(self.margin * kept / (kept + closed))
        if opened:
            self.entry_px = (self.entry_px * kept + px * opened) / (kept + opened)
        self.lots += side * lots
        if self.lots == 0:
            self.entry_px = ZERO
        self.realized_pnl += pnl
        return pnl


class Account:
    """Wallet and positions.

    The wallet holds quote units after fees, realised profit and funding, isolated margins included. A symbol has one
    net position, or in hedge mode a long and a short one (``legs``). Initial margin of a symbol is the larger of its
    two worst cases (every open buy filled, every open sell filled) at the mark price, divided by its leverage.
    """

    def __init__(self, instruments: dict[str, Instrument], wallet: Decimal, leverage: int) -> None:
        self.instruments = instruments
        self.wallet = wallet
        self.fees_paid = ZERO
        self.funding_paid = ZERO
        self.insured = ZERO
        self.is_hedged = False
        self.positions = {symbol: Position() for symbol in instruments}
        self._hedged = {(symbol, leg): Position() for symbol in instruments for leg in HEDGE_LEGS}
        self.is_isolated = dict.fromkeys(instruments, False)
        self.leverage = dict.fromkeys(instruments, leverage)
        self.mark_px: dict[str, Decimal] = dict.fromkeys(instruments, ZERO)

    # -- positions ----------------------------------------------------------------------------------------------------

    def position(self, symbol: str, leg: Leg = Leg.NET) -> Position:
        """The net position, or that of one leg in hedge mode (short lots are negative there too)."""
        return self.positions[symbol] if leg is Leg.NET else self._hedged[symbol, leg]

    def legs(self, symbol: str) -> list[tuple[Leg, Position]]:
        """The positions a symbol has in the current position mode, empty ones included."""
        return [(leg, self.position(symbol, leg)) for leg in (HEDGE_LEGS if self.is_hedged else (Leg.NET,))]

    def held(self) -> list[tuple[str, Leg, Position]]:
        """Every position that is not flat."""
        return [(s, leg, held) for s in self.instruments for leg, held in self.legs(s) if held.lots]

    def fill(
        self,
        symbol: str,
        side: int,
        ticks: int,
        lots: int,
        is_maker: bool,
        now_ns: int,
        leg: Leg = Leg.NET,
        extra_fee_bps: Decimal = ZERO,
    ) -> tuple[Decimal, Decimal]:
        """Book an execution; (fee, realised profit) in quote units."""
        instrument, position = self.instruments[symbol], self.position(symbol, leg)
        px, before = instrument.px(ticks), abs(position.lots)
        opened = lots if position.lots * side >= 0 else max(0, lots - before)
        pnl = position.fill(instrument, side, px, lots)
        if self.is_isolated[symbol]:
            position.margin += booked(px * instrument.qty(opened) / self.leverage[symbol])
        fee_bps = (instrument.maker_fee_bps if is_maker else instrument.taker_fee_bps) + extra_fee_bps
        fee = booked(px * instrument.qty(lots) * fee_bps / BPS)
        self.wallet += pnl - fee
        self.fees_paid += fee
        position.updated_ns = now_ns
        return fee, pnl

    def fund(self, symbol: str, rate: Decimal, mark_px: Decimal, leg: Leg = Leg.NET) -> Decimal:
        """Settle funding: longs pay a positive rate. The amount paid (negative when received)."""
        position = self.position(symbol, leg)
        paid = booked(self.instruments[symbol].qty(position.lots) * mark_px * rate)
        self.wallet -= paid
        self.funding_paid += paid
        if self.is_isolated[symbol]:
            position.margin -= paid
        return paid

    def reducible(self, symbol: str, side: int, leg: Leg = Leg.NET) -> int:
        """Lots that an order of ``side`` may fill before the position would turn."""
        lots = self.position(symbol, leg).lots
        return abs(lots) if lots * side < 0 else 0

    # -- value --------------------------------------------------------------------------------------------------------

    def unrealized_pnl(self, symbol: str, leg: Leg | None = None) -> Decimal:
        """At the mark price, of one leg or (None) of all legs in use."""
        legs = [self.position(symbol, leg)] if leg is not None else [held for _, held in self.legs(symbol)]
        instrument, px = self.instruments[symbol], self.mark_px[symbol]
        return sum((held.unrealized_pnl(instrument, px) for held in legs if held.lots), ZERO)

    def notional(self, symbol: str, leg: Leg | None = None) -> Decimal:
        """Position value at the mark price: signed for one leg or the net position, absolute over both hedge legs."""
        if leg is None and self.is_hedged:
            return sum((abs(self.notional(symbol, one)) for one in HEDGE_LEGS), ZERO)
        return self.instruments[symbol].qty(self.position(symbol, leg or Leg.NET).lots) * self.mark_px[symbol]

    def position_margin(self, symbol: str, leg: Leg | None = None) -> Decimal:
        """Initial margin of the position alone."""
        return abs(self.notional(symbol, leg)) / self.leverage[symbol]

    def maintenance(self, symbol: str, leg: Leg | None = None) -> Decimal:
        """Maintenance margin of one leg or (None) of all legs in use, by the stepped brackets."""
        legs = [leg] if leg is not None else [one for one, _ in self.legs(symbol)]
        return sum((maintenance(abs(self.notional(symbol, one))) for one in legs), ZERO)

    def worst_notional(self, symbol: str, orders: list[Order], only: Leg | None = None) -> Decimal:
        """Largest position value these open orders can lead to, of one leg or (None) summed over those in use."""
        worst = ZERO
        for leg in [one for one, _ in self.legs(symbol)] if only is None else [only]:
            held = self.notional(symbol, leg)
            own = [order for order in orders if order.leg is leg and not order.reduce_only]
            buys = sum((self._value(order) for order in own if order.side == BUY), ZERO)
            sells = sum((self._value(order) for order in own if order.side != BUY), ZERO)
            worst += max(abs(held + buys), abs(held - sells), abs(held))
        return worst

    def initial_margin(self, symbol: str, orders: list[Order], only: Leg | None = None) -> Decimal:
        """Initial margin of the position and these open orders together, of one leg or (None) of those in use."""
        return self.worst_notional(symbol, orders, only) / self.leverage[symbol]

    def _value(self, order: Order) -> Decimal:
        instrument = self.instruments[order.symbol]
        px = self.mark_px[order.symbol] if order.ticks is None else instrument.px(order.ticks)
        return px * instrument.qty(order.left_lots)

    def max_notional(self, symbol: str) -> Decimal:
        """Largest position value its leverage allows."""
        return cap_of(self.leverage[symbol])

    # -- the whole account --------------------------------------------------------------------------------------------

    def total_unrealized_pnl(self) -> Decimal:
        return sum((self.unrealized_pnl(symbol) for symbol in self.instruments), ZERO)

    def isolated_margin(self) -> Decimal:
        """Part of the wallet that is set aside for isolated positions."""
        return sum((held.margin for _, _, held in self.held()), ZERO)

    def cross_wallet(self) -> Decimal:
        return self.wallet - self.isolated_margin()

    def cross_unrealized_pnl(self) -> Decimal:
        return sum((self.unrealized_pnl(s) for s, isolated in self.is_isolated.items() if not isolated), ZERO)

    def cross_equity(self) -> Decimal:
        """What stands behind all cross positions together."""
        return self.cross_wallet() + self.cross_unrealized_pnl()

    def cross_maintenance(self) -> Decimal:
        return sum((self.maintenance(s) for s, isolated in self.is_isolated.items() if not isolated), ZERO)

    def bound(self, symbol: str, orders: list[Order]) -> Decimal:
        """Cross margin bound by a symbol; the margin of an isolated position left the cross wallet already."""
        total = self.initial_margin(symbol, orders)
        return total - self.position_margin(symbol) if self.is_isolated[symbol] else total

    def available(self, open_orders: dict[str, list[Order]]) -> Decimal:
        """Cross wallet and unrealised profit not bound as margin."""
        bound = sum((self.bound(symbol, open_orders.get(symbol, [])) for symbol in self.instruments), ZERO)
        return self.cross_equity() - bound

    def liquidation_px(self, symbol: str, leg: Leg) -> Decimal:
        """Mark price at which this position, all else unchanged, meets its maintenance margin; 0 when there is none.

        Solves ``margin + (px - entry) * qty = |qty| * px * rate - cum`` for ``px`` in today's bracket, where the
        margin of a cross position is the cross wallet with profit and maintenance of all other cross positions.
        """
        position, instrument = self.position(symbol, leg), self.instruments[symbol]
        if position.lots == 0:
            return ZERO
        qty, own = instrument.qty(position.lots), self.maintenance(symbol, leg)
        notional = abs(self.notional(symbol, leg))
        rate = bracket_of(notional).rate
        cum = notional * rate - own
        behind = position.margin
        if not self.is_isolated[symbol]:
            others = self.cross_unrealized_pnl() - self.unrealized_pnl(symbol, leg)
            behind = self.cross_wallet() + others - (self.cross_maintenance() - own)
        px = (behind + cum - position.entry_px * qty) / (abs(qty) * rate - qty)
        return max(ZERO, px)


def is_reducing(side: int, leg: Leg) -> bool:
    """Whether an order on a hedge leg closes it: the other side of the leg's own."""
    return leg is not Leg.NET and LEG_SIDE[leg] != side
