"""The exchange: instruments, recorded markets, one account and its orders. Venue-neutral, pure; clocks are passed in.

``on_event`` feeds the recorded market; ``place``, ``cancel`` and the rest are what clients do. Whatever changes an
order or the account is reported through ``emit`` in the order it happened, stamped with the exchange's own clock.
"""

from collections.abc import Callable
from decimal import Decimal
from itertools import count

import msgspec

from market.events import Depth, Event, Mark, Quote, Trade
from market.instruments import Instrument
from market.simulator.account import ZERO, Account
from market.simulator.errors import Reason, Reject
from market.simulator.ladder import Ladder
from market.simulator.matching import Matcher
from market.simulator.orders import Fill, Order, OrderRequest, Status
from market.simulator.reports import AccountReport, Execution, OrderReport, Report
from market.simulator.rules import MAX_OPEN_ORDERS, sized, to_lots, to_ticks
from market.simulator.stats import Stats
from market.simulator.stops import Stops

FIRST_ORDER_ID = 1_000_000_001
FIRST_TRADE_ID = 1


class Market:
    """One instrument: its recorded ladder, our open orders in it, and what was seen of it so far."""

    def __init__(self, instrument: Instrument, matcher: Matcher) -> None:
        self.instrument = instrument
        self.matcher = matcher
        self.ladder = matcher.ladder
        self.stats = Stats()
        self.mark: Mark | None = None
        self.prints_trades = False

    def mark_px(self) -> Decimal:
        """Mark price as published, else the middle of the visible book, else the last trade; 0 when nothing is."""
        if self.mark is not None:
            return Decimal(repr(self.mark.mark_px))
        bid, ask = self.ladder.best(1), self.ladder.best(-1)
        if bid is not None and ask is not None:
            return self.instrument.tick_size * (bid + ask) / 2
        return Decimal(repr(self.stats.last_px))


class Exchange:
    """All markets and the one account that trades on them.

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

    def __init__(
        self, instruments: list[Instrument], wallet: Decimal, leverage: int, emit: Callable[[Report], None]
    ) -> None:
        self.account = Account({i.symbol: i for i in instruments}, wallet, leverage)
        self.markets = {i.symbol: Market(i, self._matcher(i)) for i in instruments}
        self.orders: dict[int, Order] = {}
        self.fills: list[Fill] = []
        self.stops = Stops(self)
        self.now_ns = 0
        self.emit = emit
        self._client_ids: dict[str, int] = {}
        self._order_ids, self._trade_ids = count(FIRST_ORDER_ID), count(FIRST_TRADE_ID)
        self._countdowns: dict[str, int] = {}

    def _matcher(self, instrument: Instrument) -> Matcher:
        return Matcher(Ladder(instrument), self._on_fill, self._on_end, self._allowance)

    def advance(self, now_ns: int) -> None:
        """Move the exchange's clock (ns UTC) forward; it never goes back."""
        self.now_ns = max(self.now_ns, now_ns)

    # -- the recorded market ------------------------------------------------------------------------------------------

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

    def _on_trade(self, market: Market, trade: Trade) -> None:
        market.stats.update(trade)
        instrument = market.instrument
        ticks = round(trade.px / float(instrument.tick_size))
        if market.matcher.resting:
            lots = round(trade.book_qty / float(instrument.lot_size))
            market.matcher.on_trade(ticks, lots, trade.side, trade.ts_event)
        else:
            market.matcher.now_ns = max(market.matcher.now_ns, trade.ts_event)
        if self.stops.is_watching:
            self.stops.on_price(instrument.symbol, ticks, is_mark=False)

    def _on_mark(self, market: Market, mark: Mark) -> None:
        before, market.mark = market.mark, mark
        symbol = mark.symbol
        if before is not None and 0 < before.next_funding_ns < mark.next_funding_ns:
            self._settle_funding(symbol, before)
        if self.stops.is_watching:
            self.stops.on_price(symbol, round(mark.mark_px / float(market.instrument.tick_size)), is_mark=True)

    def _settle_funding(self, symbol: str, mark: Mark) -> None:
        if self.account.positions[symbol].lots == 0 or mark.funding_rate != mark.funding_rate:
            return
        paid = self.account.fund(symbol, Decimal(repr(mark.funding_rate)), Decimal(repr(mark.mark_px)))
        self.emit(AccountReport(symbol, True, -paid, self.now_ns))

    def refresh_marks(self) -> None:
        """Bring the account's mark prices up to the markets'; margin and profit are read after this."""
        for symbol, market in self.markets.items():
            self.account.mark_px[symbol] = market.mark_px()

    # -- clients ------------------------------------------------------------------------------------------------------

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
            A filter, the margin, an id already used, post-only or fill-or-kill: nothing was placed.
        """
        market = self.market(request.symbol)
        self.refresh_marks()
        ticks, lots = sized(market.instrument, request, self.account.mark_px[request.symbol])
        order = self._draft(request, ticks, lots)
        self._check(market, order)
        self._accept(market, order)
        return order

    def _draft(self, request: OrderRequest, ticks: int | None, lots: int) -> Order:
        return Order(
            order_id=0,
            client_id=request.client_id,
            symbol=request.symbol,
            side=request.side,
            ticks=ticks,
            lots=lots,
            tif=request.tif,
            reduce_only=request.reduce_only,
            created_ns=self.now_ns,
            updated_ns=self.now_ns,
            label=request.label,
        )

    def _check(self, market: Market, order: Order) -> None:
        if order.client_id in self._client_ids:
            raise Reject(Reason.DUPLICATE_ID)
        if len(market.matcher.resting) >= MAX_OPEN_ORDERS:
            raise Reject(Reason.TOO_MANY_ORDERS)
        if order.reduce_only and self.account.reducible(order.symbol, order.side) == 0:
            raise Reject(Reason.REDUCE_ONLY)
        market.matcher.check(order)
        self._check_margin(order)

    def _check_margin(self, order: Order) -> None:
        """Free margin covers the order; an order of the same id is replaced by it."""
        resting = {symbol: list(market.matcher.resting.values()) for symbol, market in self.markets.items()}
        orders = resting[order.symbol]
        others = [other for other in orders if other.order_id != order.order_id]
        before = self.account.initial_margin(order.symbol, orders)
        after = self.account.initial_margin(order.symbol, [*others, order])
        if after > before and after - before > self.account.available(resting):
            raise Reject(Reason.MARGIN)

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

    def cancel_all(self, symbol: str) -> list[Order]:
        """Cancel every open order of a symbol."""
        return [self.cancel(symbol, order_id, None) for order_id in list(self.market(symbol).matcher.resting)]

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
        self._check_margin(msgspec.structs.replace(order, ticks=ticks, lots=lots))
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
        return self.account.available({s: list(m.matcher.resting.values()) for s, m in self.markets.items()})

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Change a symbol's initial leverage, if the margin then still suffices."""
        self.market(symbol)
        before, self.account.leverage[symbol] = self.account.leverage[symbol], leverage
        if leverage < before and self.available() < ZERO:
            self.account.leverage[symbol] = before
            raise Reject(Reason.MARGIN)

    # -- the dead-man's switch ----------------------------------------------------------------------------------------

    def arm(self, symbol: str, due_ns: int | None) -> None:
        """Cancel all orders of a symbol at ``due_ns`` (the clock given to ``expire``); None disarms."""
        self.market(symbol)
        self._countdowns.pop(symbol, None)
        if due_ns is not None:
            self._countdowns[symbol] = due_ns

    def expire(self, now_ns: int) -> None:
        """Run the countdowns that are due."""
        for symbol in [s for s, due_ns in self._countdowns.items() if due_ns <= now_ns]:
            del self._countdowns[symbol]
            self.cancel_all(symbol)

    # -- what the matcher calls back ----------------------------------------------------------------------------------

    def _allowance(self, order: Order) -> int:
        return self.account.reducible(order.symbol, order.side) if order.reduce_only else order.left_lots

    def _on_fill(self, order: Order, ticks: int, lots: int, is_maker: bool) -> None:
        order.fill(ticks, lots, self.now_ns)
        fee, pnl = self.account.fill(order.symbol, order.side, ticks, lots, is_maker, self.now_ns)
        ids = (next(self._trade_ids), order.order_id, order.symbol, order.side)
        fill = Fill(*ids, ticks, lots, is_maker, fee, pnl, self.now_ns)
        self.fills.append(fill)
        self.emit(AccountReport(order.symbol, False, ZERO, self.now_ns))
        self.emit(OrderReport(order, Execution.TRADE, fill, self.now_ns))
        held = self.account.positions[order.symbol].lots
        self.markets[order.symbol].matcher.end_unreducing((held < 0) - (held > 0) or None)

    def _on_end(self, order: Order) -> None:
        order.updated_ns = self.now_ns
        self._report(order, Execution.EXPIRED)

    def _report(self, order: Order, execution: Execution) -> None:
        self.emit(OrderReport(order, execution, None, self.now_ns))
