"""The exchange with what OKX adds: orders accepted, then cancelled; why an order ended."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from market.instruments import Instrument
from market.simulator.errors import Reason, Reject
from market.simulator.exchange import Exchange
from market.simulator.orders import Order, OrderRequest, Status, Tif
from market.simulator.reports import Execution, OrderReport, Report
from market.simulator.rules import sized

BY_USER, FOK, IOC, COUNTDOWN, POST_ONLY, UNREDUCING = "1", "13", "14", "20", "31", "17"
ENDED_BY: Final = {Reason.POST_ONLY: POST_ONLY, Reason.FILL_OR_KILL: FOK}


class OkxExchange(Exchange):
    """Post-only and fill-or-kill orders that cannot stand are accepted, then cancelled: an acknowledgement is no proof.

    ``cancel_source`` holds the venue's reason code for every order that ended without being filled.
    """

    max_open_orders = 500

    def __init__(
        self, instruments: list[Instrument], wallet: Decimal, leverage: int, emit: Callable[[Report], None]
    ) -> None:
        super().__init__(instruments, wallet, leverage, emit)
        self.cancel_source: dict[int, str] = {}
        self._why = ""

    def place(self, request: OrderRequest) -> Order:
        """Accept an order and match it; one that post-only or fill-or-kill forbids is cancelled at once."""
        try:
            return super().place(request)
        except Reject as reject:
            if reject.reason not in ENDED_BY:
                raise
            return self._accept_cancelled(request, ENDED_BY[reject.reason])

    def _accept_cancelled(self, request: OrderRequest, why: str) -> Order:
        ticks, lots = sized(self.market(request.symbol).instrument, request, self.account.mark_px[request.symbol])
        order = self._draft(request, ticks, lots)
        order.order_id = next(self._order_ids)
        order.client_id = order.client_id or f"sim{order.order_id}"
        self.orders[order.order_id] = order
        self._client_ids[order.client_id] = order.order_id
        self.cancel_source[order.order_id] = why
        self.emit(OrderReport(order, Execution.NEW, None, self.now_ns))
        order.status = Status.CANCELED
        self.emit(OrderReport(order, Execution.CANCELED, None, self.now_ns))
        return order

    def expire(self, now_ns: int) -> None:
        """Run the countdowns that are due; what they cancel says so."""
        self._why = COUNTDOWN
        super().expire(now_ns)
        self._why = ""

    def source_of(self, order: Order) -> str:
        """The venue's reason code for the end of an order, "" while it is open or when it was filled."""
        if order.is_open or order.status is Status.FILLED:
            return ""
        known = self.cancel_source.get(order.order_id)
        if known is None:
            known = self.cancel_source[order.order_id] = self._why or _ended_by(order)
        return known


def _ended_by(order: Order) -> str:
    if order.status is Status.CANCELED:
        return BY_USER
    if order.ticks is None or order.tif is Tif.IOC:
        return IOC
    return FOK if order.tif is Tif.FOK else UNREDUCING
