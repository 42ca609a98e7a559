"""What the exchange tells an account, venue-neutral; a protocol face turns each into its venue's message at once."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from market.simulator.orders import Fill, Order, OrderRequest


class Execution(StrEnum):
    """What happened to an order."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    AMENDED = "AMENDED"


class OrderReport(msgspec.Struct, frozen=True):
    """An order changed. ``order`` is live: read it before the next call into the exchange."""

    order: Order
    execution: Execution
    fill: Fill | None
    ts_ns: int


class AccountReport(msgspec.Struct, frozen=True):
    """Wallet or position changed. ``change`` is money in or out that is no trade (funding), else 0."""

    symbol: str
    is_funding: bool
    change: Decimal
    ts_ns: int


class StopStatus(StrEnum):
    """Life of a conditional order."""

    NEW = "NEW"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class Stop(msgspec.Struct):
    """A conditional order: once the watched price reaches ``trigger_ticks`` from its side, ``request`` is placed.

    ``rises`` tells the direction that triggers; ``on_mark`` watches the mark price instead of the last trade.
    ``closes`` takes the whole position of that moment instead of ``request.qty``.
    """

    stop_id: int
    request: OrderRequest
    trigger_ticks: int
    rises: bool
    on_mark: bool
    closes: bool
    created_ns: int
    updated_ns: int
    status: StopStatus = StopStatus.NEW
    order_id: int = 0
    failure: str = ""


class StopReport(msgspec.Struct, frozen=True):
    """A conditional order changed."""

    stop: Stop
    ts_ns: int


Report = OrderReport | AccountReport | StopReport
