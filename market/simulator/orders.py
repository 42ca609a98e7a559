"""Orders and fills as every venue has them: integer ticks and lots, one side, one time in force."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from market.instruments import Instrument

BUY = 1
SELL = -1


class Tif(StrEnum):
    """Time in force: POST rests or is refused, IOC takes what it can, FOK all or nothing, GTC takes, then rests."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST = "POST"


class Leg(StrEnum):
    """Which position an order works on: the one net position (one-way mode), or one of two (hedge mode)."""

    NET = "NET"
    LONG = "LONG"
    SHORT = "SHORT"


LEG_SIDE: Final = {Leg.LONG: BUY, Leg.SHORT: SELL}


class Status(StrEnum):
    """Life of an order. The last three are final."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


OPEN = (Status.NEW, Status.PARTIALLY_FILLED)


class Order(msgspec.Struct, gc=False):
    """One order. ``ticks`` is None for a market order.

    ``ahead_lots`` is the recorded size queued before this order at its price, None while that level is unknown.
    ``shrinks`` holds (exchange time, lots) by which the visible book shortened that queue: a trade print that is not
    newer is its cause, and must not shorten the queue twice. ``joined_ns`` is the newest exchange time seen when the
    order joined; prints not newer than that happened before it.
    """

    order_id: int
    client_id: str
    symbol: str
    side: int
    ticks: int | None
    lots: int
    tif: Tif
    reduce_only: bool
    created_ns: int
    updated_ns: int
    label: str = ""
    status: Status = Status.NEW
    filled_lots: int = 0
    filled_value: int = 0
    ahead_lots: int | None = 0
    joined_ns: int = 0
    shrinks: list[tuple[int, int]] = []
    leg: Leg = Leg.NET
    is_liquidation: bool = False

    @property
    def left_lots(self) -> int:
        """Lots still to fill."""
        return self.lots - self.filled_lots

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def average_px(self, instrument: Instrument) -> Decimal:
        """Exact mean fill price, 0 when nothing was filled."""
        if self.filled_lots == 0:
            return Decimal(0)
        return instrument.tick_size * self.filled_value / self.filled_lots

    def fill(self, ticks: int, lots: int, now_ns: int) -> None:
        self.filled_lots += lots
        self.filled_value += ticks * lots
        self.status = Status.FILLED if self.left_lots == 0 else Status.PARTIALLY_FILLED
        self.updated_ns = now_ns


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One execution. ``fee`` and ``realized_pnl`` in quote units, fee positive when paid."""

    trade_id: int
    order_id: int
    symbol: str
    side: int
    ticks: int
    lots: int
    is_maker: bool
    fee: Decimal
    realized_pnl: Decimal
    ts_ns: int
    leg: Leg = Leg.NET


class OrderRequest(msgspec.Struct, frozen=True):
    """What a client asks for, not yet checked. ``px`` None means market. ``label`` is the face's own type name."""

    symbol: str
    side: int
    qty: Decimal
    px: Decimal | None
    tif: Tif
    reduce_only: bool
    client_id: str
    label: str = ""
    leg: Leg = Leg.NET


def draft(request: OrderRequest, ticks: int | None, lots: int, is_reducing: bool, now_ns: int) -> Order:
    """The order of a request, not yet accepted: it has no id."""
    return Order(
        order_id=0,
        client_id=request.client_id,
        symbol=request.symbol,
        side=request.side,
        ticks=ticks,
        lots=lots,
        tif=request.tif,
        reduce_only=request.reduce_only or is_reducing,
        created_ns=now_ns,
        updated_ns=now_ns,
        label=request.label,
        leg=request.leg,
    )
