"""Life of an order: a table of named transitions, and the set of orders that may still become a position.

REST answers and user-stream events arrive in any order and more than once; a terminal state is never left, a fill
counts once (by trade id), and an order of unknown outcome stays *unknown* until the venue answers.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final

from trader.records import Order, OrderReply, OrderUpdate


class Status(StrEnum):
    """Where an order stands. UNKNOWN: the request was sent and no answer says whether the venue took it."""

    SENT = "SENT"
    OPEN = "OPEN"
    CANCELING = "CANCELING"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


TERMINAL: Final = frozenset({Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.REJECTED})

# (state, event) -> state; an event not listed leaves the state alone. Terminal states have no row: nothing leaves them.
TRANSITIONS: Final[dict[tuple[Status, str], Status]] = {
    (Status.SENT, "accepted"): Status.OPEN,
    (Status.SENT, "rejected"): Status.REJECTED,
    (Status.SENT, "unknown"): Status.UNKNOWN,
    (Status.SENT, "cancel_requested"): Status.CANCELING,
    (Status.OPEN, "cancel_requested"): Status.CANCELING,
    (Status.UNKNOWN, "rejected"): Status.REJECTED,
    (Status.CANCELING, "rejected"): Status.REJECTED,
    # refused or ambiguous cancels: only the venue knows whether the order still works
    (Status.CANCELING, "cancel_rejected"): Status.UNKNOWN,
    (Status.CANCELING, "unknown"): Status.UNKNOWN,
    **{(s, "NEW"): Status.OPEN for s in (Status.SENT, Status.UNKNOWN)},
    **{(s, "PARTIALLY_FILLED"): Status.OPEN for s in (Status.SENT, Status.UNKNOWN)},
    **{
        (s, end): Status(end)
        for s in (Status.SENT, Status.OPEN, Status.CANCELING, Status.UNKNOWN)
        for end in ("FILLED", "CANCELED", "EXPIRED", "REJECTED")
    },
}


class WorkingOrder:
    """An order with what is known of it: status, filled base quantity, the trade ids counted, when it last moved."""

    __slots__ = ("filled", "moved_ns", "order", "qty", "sent_ns", "status", "trade_ids")

    def __init__(self, order: Order, qty: Decimal, ts_ns: int) -> None:
        self.order = order
        self.qty = qty
        self.status = Status.SENT
        self.filled = Decimal(0)
        self.trade_ids: set[int] = set()
        self.moved_ns = ts_ns
        self.sent_ns = ts_ns

    @property
    def remaining(self) -> Decimal:
        """Base quantity that may still fill: all of it while the outcome is unknown, 0 once terminal."""
        return Decimal(0) if self.status in TERMINAL else self.qty - self.filled

    def move(self, event: str, ts_ns: int) -> None:
        """Apply one named event of the transition table."""
        after = TRANSITIONS.get((self.status, event))
        if after is not None:
            self.status, self.moved_ns = after, ts_ns


class Orders:
    """All orders of the run that are not yet terminal, by client id; terminal ones are kept for late duplicates."""

    def __init__(self) -> None:
        self.live: dict[str, WorkingOrder] = {}
        self.ended: dict[str, WorkingOrder] = {}

    def add(self, order: Order, qty: Decimal, ts_ns: int) -> None:
        self.live[order.client_id] = WorkingOrder(order, qty, ts_ns)

    def get(self, client_id: str) -> WorkingOrder | None:
        return self.live.get(client_id) or self.ended.get(client_id)

    def on_reply(self, reply: OrderReply) -> WorkingOrder | None:
        """Apply a REST answer; returns the order when it is ours."""
        order = self.get(reply.client_id)
        if order is not None:
            order.move(reply.outcome, reply.ts_ns)
            self._retire(order)
        return order

    def on_update(self, update: OrderUpdate) -> tuple[WorkingOrder | None, bool]:
        """Apply a user-stream or query event; returns our order (or None) and whether its fill must be booked."""
        order = self.get(update.client_id)
        if order is None:
            return None, update.fill_qty > 0
        fresh = update.fill_qty > 0 and update.trade_id not in order.trade_ids
        if fresh:
            order.trade_ids.add(update.trade_id)
            order.filled += update.fill_qty
        order.move(update.status, update.ts_ns)
        self._retire(order)
        return order, fresh

    def of(self, symbol: str) -> list[WorkingOrder]:
        return [o for o in self.live.values() if o.order.symbol == symbol]

    def open_qty(self, symbol: str) -> tuple[Decimal, Decimal]:
        """(buy, sell) base quantity that may still fill, unknown orders counted as if they will."""
        buy = sum((o.remaining for o in self.of(symbol) if o.order.side > 0), Decimal(0))
        sell = sum((o.remaining for o in self.of(symbol) if o.order.side < 0), Decimal(0))
        return buy, sell

    def _retire(self, order: WorkingOrder) -> None:
        if order.status in TERMINAL and order.order.client_id in self.live:
            del self.live[order.order.client_id]
            self.ended[order.order.client_id] = order
