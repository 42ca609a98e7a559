"""The exchange with what Bybit adds: a past to ask about, a listener, and orders that are cancelled, not refused."""

from collections.abc import Callable
from math import isnan
from typing import Final

import msgspec

from market.events import Depth, Event, Mark, Quote, Trade
from market.simulator import bybit_history
from market.simulator.bybit_history import Funding, History
from market.simulator.errors import Reason, Reject
from market.simulator.exchange import Exchange
from market.simulator.orders import Order, OrderRequest, Status
from market.simulator.reports import Execution
from market.simulator.rules import sized

CANCELLED_FOR: Final = {
    Reason.POST_ONLY: "EC_PostOnlyWillTakeLiquidity",
    Reason.FILL_OR_KILL: "EC_NoImmediateQtyToFill",
}


class BybitExchange(Exchange):
    """Post-only and fill-or-kill orders that cannot stand are accepted, then cancelled.

    ``why`` holds, per order id, the venue's reason for such a cancellation. ``seq`` numbers the events of a symbol,
    ``book_seq`` is that of the last one that could change its book: Bybit orders messages of all depths by it.
    """

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self.history = {symbol: History() for symbol in self.markets}
        self.listener: Callable[[Event], None] = lambda _event: None
        self.why: dict[int, str] = {}
        self.seq, self.book_seq = dict.fromkeys(self.markets, 0), dict.fromkeys(self.markets, 0)

    def on_event(self, event: Event, is_aggregate: bool = False) -> None:
        """Take one recorded event, remember it, and tell the streams."""
        market = self.markets.get(event.symbol)
        if market is None:
            return
        before = market.mark
        if isinstance(event, Mark):
            event = whole(event, before)
        super().on_event(event, is_aggregate)
        self.seq[event.symbol] += 1
        if isinstance(event, Depth | Quote):
            self.book_seq[event.symbol] = self.seq[event.symbol]
        if isinstance(event, Trade):
            if not event.is_market or is_aggregate == market.prints_trades:
                return
            self._remember_trade(event)
        elif isinstance(event, Mark):
            self._remember_mark(event, before)
        if market.open_interest is not None and market.open_interest != self._last_open_interest(event.symbol):
            self.history[event.symbol].open_interest.append((self.now_ns, market.open_interest))
        self.listener(event)

    def _last_open_interest(self, symbol: str) -> float | None:
        seen = self.history[symbol].open_interest
        return seen[-1][1] if seen else None

    def _remember_trade(self, trade: Trade) -> None:
        instrument = self.markets[trade.symbol].instrument
        ticks, lots = instrument.ticks(trade.px), round(trade.qty / float(instrument.lot_size))
        bybit_history.add(self.history[trade.symbol].candles, self.now_ns, ticks, lots)

    def _remember_mark(self, mark: Mark, before: Mark | None) -> None:
        past = self.history[mark.symbol]
        bybit_history.add(past.marks, self.now_ns, self.markets[mark.symbol].instrument.ticks(mark.mark_px), 0)
        if before is not None and 0 < before.next_funding_ns < mark.next_funding_ns:
            past.funding.append(Funding(before.next_funding_ns, before.funding_rate))

    def place(self, request: OrderRequest) -> Order:
        """Accept an order and match it; one that post-only or fill-or-kill forbids is cancelled at once."""
        try:
            return super().place(request)
        except Reject as reject:
            why = CANCELLED_FOR.get(reject.reason)
            if why is None:
                raise
        return self._accept_cancelled(request, why)

    def _accept_cancelled(self, request: OrderRequest, why: str) -> Order:
        instrument = self.market(request.symbol).instrument
        ticks, lots = sized(instrument, request, self.account.mark_px[request.symbol])
        order = self._draft(request, ticks, lots)
        order.order_id = next(self._order_ids)
        order.client_id = order.client_id or f"sim{order.order_id}"
        self.orders[order.order_id] = order
        self._client_ids[order.client_id] = order.order_id
        order.status, self.why[order.order_id] = Status.CANCELED, why
        self._report(order, Execution.CANCELED)
        return order

    def cancel_taking(self, order: Order) -> None:
        """A post-only order amended to a price at which it would take is cancelled."""
        self.why[order.order_id] = CANCELLED_FOR[Reason.POST_ONLY]
        self.cancel(order.symbol, order.order_id, None)


def whole(mark: Mark, before: Mark | None) -> Mark:
    """A mark with what it leaves out (NaN, 0) taken from the one before; the venue's updates hold only changes."""
    if before is None:
        return mark
    return msgspec.structs.replace(
        mark,
        mark_px=before.mark_px if isnan(mark.mark_px) else mark.mark_px,
        index_px=before.index_px if isnan(mark.index_px) else mark.index_px,
        funding_rate=before.funding_rate if isnan(mark.funding_rate) else mark.funding_rate,
        next_funding_ns=mark.next_funding_ns or before.next_funding_ns,
    )
