"""Conditional orders: they wait outside the book for a price, then place an ordinary order. None is lost silently."""

from itertools import count
from typing import TYPE_CHECKING

import msgspec

from market.simulator.errors import Reason, Reject
from market.simulator.orders import OrderRequest
from market.simulator.reports import Stop, StopReport, StopStatus
from market.simulator.rules import to_lots, to_ticks

if TYPE_CHECKING:
    from decimal import Decimal

    from market.simulator.exchange import Exchange

MAX_STOPS = 200
FIRST_STOP_ID = 2_000_000_001


class Stops:
    """All conditional orders of the account, open and done."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self._ids = count(FIRST_STOP_ID)
        self.all: dict[int, Stop] = {}
        self.waiting: dict[int, Stop] = {}

    @property
    def is_watching(self) -> bool:
        return bool(self.waiting)

    def place(self, request: OrderRequest, trigger_px: "Decimal", rises: bool, on_mark: bool, closes: bool) -> Stop:
        """Accept a conditional order; refused when its price is already reached or its client id is in use."""
        market = self._exchange.market(request.symbol)
        trigger_ticks = to_ticks(market.instrument, trigger_px)
        if not closes:
            to_lots(market.instrument, request.qty)
        if any(stop.request.client_id == request.client_id for stop in self.all.values()):
            raise Reject(Reason.DUPLICATE_ID)
        if len(self.waiting) >= MAX_STOPS:
            raise Reject(Reason.TOO_MANY_ORDERS)
        now_ns = self._exchange.now_ns
        stop = Stop(next(self._ids), request, trigger_ticks, rises, on_mark, closes, now_ns, now_ns)
        if self._is_reached(stop):
            raise Reject(Reason.WOULD_TRIGGER)
        self.all[stop.stop_id] = self.waiting[stop.stop_id] = stop
        self._report(stop, StopStatus.NEW)
        return stop

    def _is_reached(self, stop: Stop) -> bool:
        market = self._exchange.market(stop.request.symbol)
        px = market.mark_px() if stop.on_mark else market.instrument.px(self._last_ticks(stop.request.symbol))
        return px > 0 and reached(stop, round(px / market.instrument.tick_size))

    def _last_ticks(self, symbol: str) -> int:
        market = self._exchange.market(symbol)
        return round(market.stats.last_px / float(market.instrument.tick_size))

    def on_price(self, symbol: str, ticks: int, is_mark: bool) -> None:
        """A trade or mark price came: place the orders of the stops it reaches, oldest first."""
        for stop in [s for s in self.waiting.values() if s.request.symbol == symbol and s.on_mark == is_mark]:
            if reached(stop, ticks):
                self._trigger(stop)

    def _trigger(self, stop: Stop) -> None:
        del self.waiting[stop.stop_id]
        self._report(stop, StopStatus.TRIGGERED)
        try:
            order = self._exchange.place(self._sized(stop))
        except Reject as reject:
            stop.failure = reject.reason.value
            self._report(stop, StopStatus.REJECTED)
            return
        stop.order_id = order.order_id
        self._report(stop, StopStatus.FINISHED)

    def _sized(self, stop: Stop) -> OrderRequest:
        if not stop.closes:
            return stop.request
        symbol = stop.request.symbol
        lots = self._exchange.account.reducible(symbol, stop.request.side)
        if lots == 0:
            raise Reject(Reason.REDUCE_ONLY)
        qty = self._exchange.market(symbol).instrument.qty(lots)
        return msgspec.structs.replace(stop.request, qty=qty, reduce_only=True)

    def cancel(self, stop_id: int | None, client_id: str | None) -> Stop:
        """Cancel one waiting conditional order, named by either id."""
        stop = self.find(stop_id, client_id)
        if self.waiting.pop(stop.stop_id, None) is None:
            raise Reject(Reason.UNKNOWN_ORDER)
        self._report(stop, StopStatus.CANCELED)
        return stop

    def cancel_all(self, symbol: str) -> list[Stop]:
        """Cancel every waiting conditional order of a symbol."""
        return [self.cancel(s.stop_id, None) for s in list(self.waiting.values()) if s.request.symbol == symbol]

    def find(self, stop_id: int | None, client_id: str | None) -> Stop:
        """A conditional order, waiting or done."""
        for stop in self.all.values():
            if stop.stop_id == stop_id or (stop_id is None and stop.request.client_id == client_id):
                return stop
        raise Reject(Reason.UNKNOWN_ORDER)

    def _report(self, stop: Stop, status: StopStatus) -> None:
        stop.status, stop.updated_ns = status, self._exchange.now_ns
        self._exchange.emit(StopReport(stop, self._exchange.now_ns))


def reached(stop: Stop, ticks: int) -> bool:
    """Whether a price triggers the stop."""
    return ticks >= stop.trigger_ticks if stop.rises else ticks <= stop.trigger_ticks
