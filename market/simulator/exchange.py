"""The exchange: instruments, recorded markets, one account and its orders. Venue-neutral, pure; clocks are passed in.

``on_event`` feeds the recorded market; ``place``, ``cancel`` and the rest are what clients do. Whatever changes an
order or the account is reported through ``emit`` in the order it happened, stamped with the exchange's own clock.

For the protocol faces, where this core is wider than one venue needs:

- ``OrderRequest.leg`` names the position in hedge mode (``Leg.NET`` in one-way mode); an order that closes a leg is
  reduce-only by itself. ``settings`` switches modes and leverage; ``account.legs``/``position`` read positions.
- Executions of a liquidation are reported as ``Execution.CALCULATED``, their ``Order.is_liquidation`` is True.
- ``arm(None, due_ns)`` and ``cancel_all(None)`` cover the whole account, with a symbol that symbol alone.
- ``stops.place`` also takes ``trail``/``trail_ticks`` (trailing) and ``group`` (one cancels the others).
- ``incomes`` lists every change of the wallet; ``max_open_orders`` and ``remember`` differ by venue.

A face is built by ``<venue>_kit.KIT`` (see ``market.simulator.face``); ``Player`` takes a ``Source`` for tapes of
another format; faults are planted in ``Hub.publish``; each face has its own ``Hub.reset``.
"""

from collections.abc import Callable
from decimal import Decimal
from itertools import count

import msgspec

from market.events import Depth, Event, Mark, OpenInterest, Quote, Trade
from market.instruments import Instrument
from market.simulator.account import ZERO, Account, is_reducing
from market.simulator.countdown import Countdowns
from market.simulator.errors import Reason, Reject
from market.simulator.ladder import Ladder
from market.simulator.liquidation import LIQUIDATION_FEE_BPS, Liquidator
from market.simulator.margin import check_margin
from market.simulator.market import Market as Market
from market.simulator.matching import Matcher
from market.simulator.orders import BUY, SELL, Fill, Leg, Order, OrderRequest, Status, Tif, draft
from market.simulator.reports import AccountReport, Cause, Execution, Income, OrderReport, Report
from market.simulator.rules import MAX_OPEN_ORDERS, sized, to_lots, to_ticks
from market.simulator.settings import Settings
from market.simulator.stops import Stops

FIRST_ORDER_ID = 1_000_000_001
FIRST_TRADE_ID = 1


class Exchange:
    """All markets and the one account that trades on them. ``max_open_orders`` of one symbol may rest.

    Parameters
    ----------
    instruments
        What can be traded.
    wallet
        Quote units the account starts with.
    leverage
        Initial leverage of every symbol.
    emit
        Called with each report, synchronously.
    """

    max_open_orders = MAX_OPEN_ORDERS

    def __init__(
        self, instruments: list[Instrument], wallet: Decimal, leverage: int, emit: Callable[[Report], None]
    ) -> None:
        self.account = Account({i.symbol: i for i in instruments}, wallet, leverage)
        self.markets = {i.symbol: Market(i, self._matcher(i)) for i in instruments}
        self.orders: dict[int, Order] = {}
        self.fills: list[Fill] = []
        self.incomes: list[Income] = []
        self.stops, self.settings, self.liquidator = Stops(self), Settings(self), Liquidator(self)
        self.countdowns = Countdowns(self.cancel_all)
        self.liquidation_prefix = "autoclose-"
        self.now_ns = 0
        self.emit = emit
        self._client_ids: dict[str, int] = {}
        self._order_ids, self._trade_ids = count(FIRST_ORDER_ID), count(FIRST_TRADE_ID)

    def _matcher(self, instrument: Instrument) -> Matcher:
        return Matcher(Ladder(instrument), self._on_fill, self._on_end, self._allowance)

    def advance(self, now_ns: int) -> None:
        """Move the exchange's clock (ns UTC) forward; it never goes back."""
        self.now_ns = max(self.now_ns, now_ns)

    def on_event(self, event: Event, is_aggregate: bool = False) -> None:
        """Take one recorded event. Of a market that prints single trades, aggregated ones are not counted twice."""
        market = self.markets.get(event.symbol)
        if market is None:
            return
        if event.ts_event > self.now_ns:
            self.now_ns = event.ts_event
        if isinstance(event, Quote):
            market.ladder.quote(event)
            market.matcher.on_book(event.ts_event)
        elif isinstance(event, Depth):
            market.ladder.apply(event)
            market.matcher.on_book(event.ts_event)
        elif isinstance(event, Trade):
            market.prints_trades = market.prints_trades or not is_aggregate
            if event.is_market and is_aggregate != market.prints_trades:
                self._on_trade(market, event)
        elif isinstance(event, Mark):
            self._on_mark(market, event)
        elif isinstance(event, OpenInterest):
            market.take_interest(event, self.now_ns)
        self.liquidator.check(is_due=isinstance(event, Mark))

    def _on_trade(self, market: Market, trade: Trade) -> None:
        ticks, symbol = market.take_trade(trade, self.now_ns), trade.symbol
        self.remember(market, trade)
        if market.matcher.resting:
            market.matcher.on_trade(ticks, market.lots(trade.book_qty), trade.side, trade.ts_event)
        else:
            market.matcher.now_ns = max(market.matcher.now_ns, trade.ts_event)
        if self.stops.is_watching:
            self.stops.on_price(symbol, ticks, is_mark=False)

    def remember(self, market: Market, trade: Trade) -> None:
        """Keep a trade for the venue's history calls; a venue whose trades are not numbered keeps them its own way."""
        market.prints.add(trade, trade.ts_event or self.now_ns)

    def _on_mark(self, market: Market, mark: Mark) -> None:
        is_settled = market.take_mark(mark, self.now_ns)
        if market.mark is None:
            return
        if is_settled:
            self._settle_funding(mark.symbol, market.settled[-1])
        if self.stops.is_watching:
            tick = float(market.instrument.tick_size)
            self.stops.on_price(mark.symbol, round(market.mark.mark_px / tick), is_mark=True)

    def _settle_funding(self, symbol: str, mark: Mark) -> None:
        for leg, position in self.account.legs(symbol):
            if position.lots:
                paid = self.account.fund(symbol, Decimal(repr(mark.funding_rate)), Decimal(repr(mark.mark_px)), leg)
                self._book(symbol, "FUNDING_FEE", -paid)
                self.emit(AccountReport(symbol, Cause.FUNDING, -paid, self.now_ns, leg))

    def _book(self, symbol: str, kind: str, amount: Decimal, trade_id: int = 0) -> None:
        if amount:
            self.incomes.append(Income(symbol, kind, amount, self.now_ns, trade_id))

    def transfer(self, symbol: str, leg: Leg, amount: Decimal, cause: Cause) -> None:
        """Money came into the wallet, or moved within it, without a trade."""
        self.account.wallet += amount
        self._book(symbol, "INSURANCE_CLEAR", amount)
        self.emit(AccountReport(symbol, cause, amount, self.now_ns, leg))

    def refresh_marks(self) -> None:
        """Bring the account's mark prices up to the markets'; margin and profit are read after this."""
        for symbol, market in self.markets.items():
            self.account.mark_px[symbol] = market.mark_px()

    def market(self, symbol: str) -> Market:
        """The market of a symbol."""
        market = self.markets.get(symbol)
        if market is None:
            raise Reject(Reason.UNKNOWN_SYMBOL)
        return market

    def place(self, request: OrderRequest) -> Order:
        """Accept an order and match it.

        Raises
        ------
        Reject
            A filter, the margin, the position mode, an id already used, post-only or fill-or-kill: nothing was placed.
        """
        market = self.market(request.symbol)
        self.refresh_marks()
        ticks, lots = sized(market.instrument, request, self.account.mark_px[request.symbol])
        order = self._draft(request, ticks, lots)
        self._check(market, order)
        self._accept(market, order)
        return order

    def _draft(self, request: OrderRequest, ticks: int | None, lots: int) -> Order:
        return draft(request, ticks, lots, is_reducing(request.side, request.leg), self.now_ns)

    def _check(self, market: Market, order: Order) -> None:
        if (order.leg is Leg.NET) is self.account.is_hedged:
            raise Reject(Reason.POSITION_SIDE)
        if order.client_id in self._client_ids:
            raise Reject(Reason.DUPLICATE_ID)
        if len(market.matcher.resting) >= self.max_open_orders:
            raise Reject(Reason.TOO_MANY_ORDERS)
        if order.reduce_only and self.account.reducible(order.symbol, order.side, order.leg) == 0:
            raise Reject(Reason.REDUCE_ONLY)
        market.matcher.check(order)
        check_margin(self.account, self.resting(), order)

    def _accept(self, market: Market, order: Order) -> None:
        order.order_id = next(self._order_ids)
        order.client_id = order.client_id or f"sim{order.order_id}"
        self.orders[order.order_id] = order
        self._client_ids[order.client_id] = order.order_id
        self._report(order, Execution.NEW)
        market.matcher.arrive(order)

    def cancel(self, symbol: str, order_id: int | None, client_id: str | None) -> Order:
        """Cancel one open order, named by either id."""
        order = self.find(symbol, order_id, client_id, Reason.UNKNOWN_ORDER)
        self.market(symbol).matcher.remove(order.order_id)
        order.status, order.updated_ns = Status.CANCELED, self.now_ns
        self._report(order, Execution.CANCELED)
        return order

    def cancel_all(self, symbol: str | None) -> list[Order]:
        """Cancel every open order of a symbol, or (None) of the account. Conditional orders stay."""
        return [self.cancel(order.symbol, order.order_id, None) for order in self.open_orders(symbol)]

    def liquidate(self, symbol: str, leg: Leg, lots: int, number: str) -> None:
        """The venue closes a position of signed ``lots`` as far as the visible book goes."""
        market, side = self.market(symbol), SELL if lots > 0 else BUY
        if next(market.ladder.walk(-side, None), None) is None:
            return
        name = f"{self.liquidation_prefix}{number}"
        request = OrderRequest(symbol, side, ZERO, None, Tif.IOC, True, name, "LIQUIDATION", leg)
        order = self._draft(request, None, abs(lots))
        order.is_liquidation = True
        self._accept(market, order)

    def amend(self, symbol: str, order_id: int | None, client_id: str | None, px: Decimal, qty: Decimal) -> Order:
        """New price and total quantity of an open limit order."""
        market, order = self.market(symbol), self.find(symbol, order_id, client_id, Reason.UNKNOWN_ORDER)
        ticks, lots = to_ticks(market.instrument, px), to_lots(market.instrument, qty)
        if order.order_id not in market.matcher.resting:
            raise Reject(Reason.UNKNOWN_ORDER)
        if lots <= order.filled_lots:
            raise Reject(Reason.NOT_AMENDABLE)
        if (ticks, lots) == (order.ticks, order.lots):
            raise Reject(Reason.NO_CHANGE)
        self.refresh_marks()
        check_margin(self.account, self.resting(), msgspec.structs.replace(order, ticks=ticks, lots=lots))
        order.updated_ns = self.now_ns
        market.matcher.amend(order, ticks, lots, lambda: self._report(order, Execution.AMENDED))
        return order

    def find(self, symbol: str, order_id: int | None, client_id: str | None, missing: Reason) -> Order:
        """An order of the account, open or done, by its id or else its client id."""
        if order_id is None:
            order_id = self._client_ids.get(client_id or "")
        order = None if order_id is None else self.orders.get(order_id)
        if order is None or order.symbol != symbol:
            raise Reject(missing)
        return order

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Open orders of one symbol or all."""
        markets = self.markets.values() if symbol is None else [self.market(symbol)]
        return [order for market in markets for order in market.matcher.resting.values()]

    def available(self) -> Decimal:
        """Margin free for new orders, in quote units."""
        self.refresh_marks()
        return self.account.available(self.resting())

    def resting(self) -> dict[str, list[Order]]:
        """Open orders by symbol."""
        return {symbol: list(market.matcher.resting.values()) for symbol, market in self.markets.items()}

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Change a symbol's initial leverage; see ``Settings.set_leverage``."""
        self.settings.set_leverage(symbol, leverage)

    def arm(self, symbol: str | None, due_ns: int | None) -> None:
        """Dead-man's switch: cancel all orders of a symbol, or (None) of the account, at ``due_ns``; None disarms."""
        if symbol is not None:
            self.market(symbol)
        self.countdowns.arm(symbol, due_ns)

    def expire(self, now_ns: int) -> None:
        """Run the countdowns that are due (the clock ``arm`` was given)."""
        self.countdowns.expire(now_ns)

    def _allowance(self, order: Order) -> int:
        return self.account.reducible(order.symbol, order.side, order.leg) if order.reduce_only else order.left_lots

    def _on_fill(self, order: Order, ticks: int, lots: int, is_maker: bool) -> None:
        order.fill(ticks, lots, self.now_ns)
        symbol, extra_bps = order.symbol, Decimal(LIQUIDATION_FEE_BPS if order.is_liquidation else 0)
        booked = (symbol, order.side, ticks, lots, is_maker, self.now_ns, order.leg, extra_bps)
        fee, pnl = self.account.fill(*booked)
        ids = (next(self._trade_ids), order.order_id, symbol, order.side)
        fill = Fill(*ids, ticks, lots, is_maker, fee, pnl, self.now_ns, order.leg)
        self.fills.append(fill)
        self._book(symbol, "REALIZED_PNL", pnl, fill.trade_id)
        self._book(symbol, "COMMISSION", -fee, fill.trade_id)
        self.emit(AccountReport(symbol, Cause.TRADE, ZERO, self.now_ns, order.leg))
        execution = Execution.CALCULATED if order.is_liquidation else Execution.TRADE
        self.emit(OrderReport(order, execution, fill, self.now_ns))
        self.markets[symbol].matcher.end_unreducing()

    def _on_end(self, order: Order) -> None:
        order.updated_ns = self.now_ns
        self._report(order, Execution.EXPIRED)

    def _report(self, order: Order, execution: Execution) -> None:
        self.emit(OrderReport(order, execution, None, self.now_ns))
