"""The exchange with what Bybit adds: a listener, numbered events, and orders that are cancelled, not refused."""

from collections.abc import Callable
from math import isnan
from typing import Final

import msgspec

from market.events import Depth, Event, Mark, OpenInterest, Quote, Trade
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
    ``interest`` holds (time ns, open interest) as recorded.
    """

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self.interest: dict[str, list[tuple[int, float]]] = {symbol: [] for symbol in self.markets}
        self.listener: Callable[[Event], None] = lambda _event: None
        self.why: dict[int, str] = {}
        self.seq, self.book_seq = dict.fromkeys(self.markets, 0), dict.fromkeys(self.markets, 0)

    def on_event(self, event: Event, is_aggregate: bool = False) -> None:
        """Take one recorded event and tell the streams."""
        market = self.markets.get(event.symbol)
        if market is None:
            return
        if isinstance(event, Mark):
            event = whole(event, market.mark)
            if isnan(event.mark_px):
                return  # the recording began amid updates: there is no mark price yet
        super().on_event(event, is_aggregate)
        self.seq[event.symbol] += 1
        if isinstance(event, Depth | Quote):
            self.book_seq[event.symbol] = self.seq[event.symbol]
        elif isinstance(event, OpenInterest) and not isnan(event.open_interest):
            self.interest[event.symbol].append((self.now_ns, event.open_interest))
        elif isinstance(event, Trade) and (not event.is_market or is_aggregate == market.prints_trades):
            return
        self.listener(event)

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
