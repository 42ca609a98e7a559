"""What the exchange tells an account, venue-neutral; a protocol face turns each into its venue's message at once."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from market.simulator.orders import Fill, Leg, Order, OrderRequest


class Execution(StrEnum):
    """What happened to an order. CALCULATED is an execution of a liquidation."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    AMENDED = "AMENDED"
    CALCULATED = "CALCULATED"


class OrderReport(msgspec.Struct, frozen=True):
    """An order changed. ``order`` is live: read it before the next call into the exchange."""

    order: Order
    execution: Execution
    fill: Fill | None
    ts_ns: int


class Cause(StrEnum):
    """Why wallet or position changed."""

    TRADE = "TRADE"
    FUNDING = "FUNDING"
    MARGIN = "MARGIN"
    INSURANCE = "INSURANCE"
    MARGIN_MODE = "MARGIN_MODE"


class AccountReport(msgspec.Struct, frozen=True):
    """Wallet or position changed. ``change`` is money in or out that is no trade (funding, insurance), else 0."""

    symbol: str
    cause: Cause
    change: Decimal
    ts_ns: int
    leg: Leg = Leg.NET


class ConfigReport(msgspec.Struct, frozen=True):
    """The leverage of a symbol was changed."""

    symbol: str
    leverage: int
    ts_ns: int


class Income(msgspec.Struct, frozen=True, gc=False):
    """One change of the wallet, signed: ``amount`` > 0 is received. ``trade_id`` 0 when no trade caused it."""

    symbol: str
    kind: str
    amount: Decimal
    ts_ns: int
    trade_id: int = 0


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
    ``closes`` takes the whole position of that moment instead of ``request.qty``. A trailing stop follows the best
    price since it became active at ``trail_ticks``, or at the ratio ``trail`` of it: ``trigger_ticks`` moves along.
    Stops of one ``group`` cancel each other: the first that triggers ends the others.
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
    group: str = ""
    trail: Decimal = Decimal(0)
    trail_ticks: int = 0
    activation_ticks: int = 0
    is_active: bool = True
    triggered_ns: int = 0

    @property
    def trails(self) -> bool:
        return self.trail > 0 or self.trail_ticks > 0


class StopReport(msgspec.Struct, frozen=True):
    """A conditional order changed."""

    stop: Stop
    ts_ns: int


Report = OrderReport | AccountReport | StopReport | ConfigReport
