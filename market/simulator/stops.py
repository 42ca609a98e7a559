"""Conditional orders: they wait outside the book for a price, then place an ordinary order. None is lost silently."""

from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from market.simulator.errors import Reason, Reject
from market.simulator.orders import Leg, OrderRequest
from market.simulator.reports import Stop, StopReport, StopStatus
from market.simulator.rules import to_lots, to_ticks

if TYPE_CHECKING:
    from market.simulator.exchange import Exchange

ZERO = Decimal(0)
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

    def place(
        self,
        request: OrderRequest,
        trigger_px: Decimal,
        rises: bool,
        on_mark: bool,
        closes: bool,
        *,
        trail: Decimal = ZERO,
        trail_ticks: int = 0,
        group: str = "",
    ) -> Stop:
        """Accept a conditional order; refused when its price is already reached or its client id is in use.

        With ``trail`` (a ratio) or ``trail_ticks`` it trails: ``trigger_px`` is then the price that activates it, from
        the other side than it triggers, and 0 activates it at once.
        """
        self._check(request, closes)
        now_ns, instrument = self._exchange.now_ns, self._exchange.market(request.symbol).instrument
        trails = trail > 0 or trail_ticks > 0
        ticks = 0 if trails and trigger_px == 0 else to_ticks(instrument, trigger_px)
        stop = Stop(next(self._ids), request, ticks, rises, on_mark, closes, now_ns, now_ns, group=group)
        if trails:
            stop.trail, stop.trail_ticks, stop.activation_ticks = trail, trail_ticks, ticks
            stop.is_active, stop.trigger_ticks = False, 0
            self._follow(stop, self._ticks_now(stop))
        elif self._is_reached(stop):
            raise Reject(Reason.WOULD_TRIGGER)
        self.all[stop.stop_id] = self.waiting[stop.stop_id] = stop
        self._report(stop, StopStatus.NEW)
        return stop

    def _check(self, request: OrderRequest, closes: bool) -> None:
        market = self._exchange.market(request.symbol)
        if (request.leg is Leg.NET) is self._exchange.account.is_hedged:
            raise Reject(Reason.POSITION_SIDE)
        if not closes:
            to_lots(market.instrument, request.qty)
        if any(stop.request.client_id == request.client_id for stop in self.all.values()):
            raise Reject(Reason.DUPLICATE_ID)
        if len(self.waiting) >= MAX_STOPS:
            raise Reject(Reason.TOO_MANY_ORDERS)

    def _is_reached(self, stop: Stop) -> bool:
        ticks = self._ticks_now(stop)
        return ticks > 0 and reached(stop, ticks)

    def _ticks_now(self, stop: Stop) -> int:
        """The price the stop watches, 0 when there is none yet."""
        market = self._exchange.market(stop.request.symbol)
        px = market.mark_px() if stop.on_mark else Decimal(repr(market.stats.last_px))
        return round(px / market.instrument.tick_size)

    @staticmethod
    def _follow(stop: Stop, ticks: int) -> None:
        """Activate a trailing stop at its price, and move its trigger with the best price since."""
        away = -1 if stop.rises else 1
        if ticks <= 0 or (not stop.is_active and (ticks - stop.activation_ticks) * away < 0 < stop.activation_ticks):
            return
        distance = stop.trail_ticks or int(stop.trail * ticks)
        trigger = ticks - away * distance
        if not stop.is_active or (trigger - stop.trigger_ticks) * away > 0:
            stop.trigger_ticks = trigger
        stop.is_active = True

    def on_price(self, symbol: str, ticks: int, is_mark: bool) -> None:
        """A trade or mark price came: place the orders of the stops it reaches, oldest first."""
        for stop in [s for s in self.waiting.values() if s.request.symbol == symbol and s.on_mark == is_mark]:
            if stop.trails:
                self._follow(stop, ticks)
            if stop.is_active and stop.stop_id in self.waiting and reached(stop, ticks):
                self._trigger(stop)

    def _trigger(self, stop: Stop) -> None:
        del self.waiting[stop.stop_id]
        stop.triggered_ns = self._exchange.now_ns
        self._report(stop, StopStatus.TRIGGERED)
        for other in [s for s in self.waiting.values() if stop.group and s.group == stop.group]:
            self.cancel(other.stop_id, None)
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
        lots = self._exchange.account.reducible(symbol, stop.request.side, stop.request.leg)
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

    def cancel_all(self, symbol: str | None) -> list[Stop]:
        """Cancel every waiting conditional order of a symbol, or (None) of the account."""
        waiting = list(self.waiting.values())
        return [self.cancel(s.stop_id, None) for s in waiting if symbol in (None, s.request.symbol)]

    def amend(self, stop_id: int | None, client_id: str | None, trigger_px: Decimal, qty: Decimal) -> Stop:
        """New trigger price and quantity of a waiting conditional order that does not trail."""
        stop = self.find(stop_id, client_id)
        if stop.stop_id not in self.waiting:
            raise Reject(Reason.UNKNOWN_ORDER)
        if stop.trails:
            raise Reject(Reason.NOT_AMENDABLE)
        instrument, before = self._exchange.market(stop.request.symbol).instrument, stop.trigger_ticks
        if not stop.closes:
            to_lots(instrument, qty)
        stop.trigger_ticks = to_ticks(instrument, trigger_px)
        if self._is_reached(stop):
            stop.trigger_ticks = before
            raise Reject(Reason.WOULD_TRIGGER)
        stop.request = msgspec.structs.replace(stop.request, qty=qty)
        self._report(stop, StopStatus.NEW)
        return stop

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
