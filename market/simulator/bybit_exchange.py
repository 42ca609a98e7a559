"""The exchange with what Bybit adds: a listener, numbered events, and orders that are cancelled, not refused."""

from collections import deque
from collections.abc import Callable
from typing import Final

from market.events import Depth, Event, Mark, Quote, Trade
from market.simulator.errors import Reason, Reject
from market.simulator.exchange import Exchange, Market
from market.simulator.orders import Order, OrderRequest, Status
from market.simulator.reports import Execution
from market.simulator.rules import sized

RECENT: Final = 1_000
CANCELLED_FOR: Final = {
    Reason.POST_ONLY: "EC_PostOnlyWillTakeLiquidity",
    Reason.FILL_OR_KILL: "EC_NoEnoughQtyToFill",
}


class BybitExchange(Exchange):
    """Post-only and fill-or-kill orders that cannot stand are accepted, then cancelled.

    ``why`` holds, per order id, the venue's reason for such a cancellation. ``seq`` numbers the events of a symbol,
    ``book_seq`` is that of the last one that could change its book: Bybit orders messages of all depths by it.
    ``recent`` holds the last trades with their ``seq``, all that the venue gives back: it names them by UUID.
    """

    max_open_orders = 500

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self.recent: dict[str, deque[tuple[int, Trade]]] = {symbol: deque(maxlen=RECENT) for symbol in self.markets}
        self.listener: Callable[[Event], None] = lambda _event: None
        self.why: dict[int, str] = {}
        self.seq, self.book_seq = dict.fromkeys(self.markets, 0), dict.fromkeys(self.markets, 0)

    def on_event(self, event: Event, is_aggregate: bool = False) -> None:
        """Take one recorded event and tell the streams."""
        market = self.markets.get(event.symbol)
        if market is None:
            return
        self.seq[event.symbol] += 1
        super().on_event(event, is_aggregate)
        if isinstance(event, Mark):
            if market.mark is None:
                return  # the recording began amid updates: there is no mark price yet
            event = market.mark
        elif isinstance(event, Depth | Quote):
            self.book_seq[event.symbol] = self.seq[event.symbol]
        elif isinstance(event, Trade) and (not event.is_market or is_aggregate == market.prints_trades):
            return
        self.listener(event)

    def remember(self, market: Market, trade: Trade) -> None:
        """Keep the last trades."""
        self.recent[trade.symbol].append((self.seq[trade.symbol], trade))

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
