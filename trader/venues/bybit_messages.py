"""Bybit's account messages: requests, answers and private frames, as the engine's records."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
import orjson

from market.errors import FrameError
from market.instruments import Instrument
from trader.records import AccountUpdate, Order, OrderUpdate, WalletChange
from trader.venues.common import (
    MS,
    ZERO,
    Keys,
    Received,
    number,
    plain,
    trade_number,
)

TOPICS: Final = ("execution", "position", "wallet", "order")
# a fill ends an order by its execution, which carries price and fee; the order's own "Filled" would come without them
STATES: Final = {
    "New": "NEW",
    "Untriggered": "NEW",
    "Cancelled": "CANCELED",
    "PartiallyFilledCanceled": "CANCELED",
    "Deactivated": "CANCELED",
    "Rejected": "REJECTED",
}
TRADES: Final = frozenset({"Trade", "AdlTrade", "BustTrade", "BlockTrade", "Delivery", "Settle", "MovePosition"})


class BybitStream:
    """Authentication, then the four private topics; complete once the subscription is confirmed."""

    ping = b'{"op":"ping"}'

    def __init__(self, url: str, keys: Keys, venue_ms: Callable[[], int]) -> None:
        self.url = url
        self._keys = keys
        self._venue_ms = venue_ms

    def hello(self) -> list[bytes]:
        return [login(self._keys, self._venue_ms() + 10_000)]

    def receive(self, raw: bytes, ts_ns: int) -> Received:
        try:
            frame = _decoder.decode(raw)
            if frame.op:
                return self._on_answer(frame)
            return Received(events=_events(frame, ts_ns))
        except (msgspec.DecodeError, msgspec.ValidationError, ArithmeticError) as error:
            raise FrameError(f"user stream: {error}") from error

    def _on_answer(self, frame: "_Frame") -> Received:
        if frame.success is False:
            return Received(lost=f"{frame.op} refused: {frame.retMsg or frame.ret_msg}")
        if frame.op == "auth":
            return Received(send=(orjson.dumps({"op": "subscribe", "args": TOPICS}),))
        return Received(ready=frame.op == "subscribe")


def login(keys: Keys, expires_ms: int) -> bytes:
    """The authentication request, valid until the venue's time ``expires_ms``."""
    signed = hmac.new(keys.secret.encode(), f"GET/realtime{expires_ms}".encode(), hashlib.sha256).hexdigest()
    return orjson.dumps({"op": "auth", "args": [keys.api_key, expires_ms, signed]})


class _Frame(msgspec.Struct):
    topic: str = ""
    op: str = ""
    success: bool | None = None
    retMsg: str = ""
    ret_msg: str = ""
    creationTime: int = 0
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _Order(msgspec.Struct):
    symbol: str
    orderId: str
    side: str
    orderStatus: str
    cumExecQty: str
    updatedTime: str
    orderLinkId: str = ""
    createType: str = ""
    category: str = "linear"


class Execution(msgspec.Struct):
    symbol: str
    orderId: str
    side: str
    execId: str
    execPrice: str
    execQty: str
    execType: str
    execFee: str
    execTime: str
    orderQty: str
    leavesQty: str
    isMaker: bool
    orderLinkId: str = ""
    category: str = "linear"


class _Position(msgspec.Struct):
    symbol: str
    side: str
    size: str
    positionIdx: int = 0
    category: str = "linear"


_decoder = msgspec.json.Decoder(_Frame)
_orders = msgspec.json.Decoder(tuple[_Order, ...])
_executions = msgspec.json.Decoder(tuple[Execution, ...])
_positions = msgspec.json.Decoder(tuple[_Position, ...])


def _events(frame: _Frame, ts_ns: int) -> tuple[OrderUpdate | AccountUpdate | WalletChange, ...]:
    """Inputs of one data frame; the wallet topic only repeats what executions and positions told."""
    match frame.topic:
        case "order":
            told = [o for o in _orders.decode(frame.data) if o.category == "linear" and o.orderStatus in STATES]
            return tuple(order_update(msgspec.structs.asdict(o), ts_ns, STATES) for o in told)
        case "execution":
            rows = [x for x in _executions.decode(frame.data) if x.category == "linear"]
            return tuple(event for x in rows if (event := _execution_event(x, ts_ns)) is not None)
        case "position":
            held = [p for p in _positions.decode(frame.data) if p.category == "linear" and p.positionIdx == 0]
            qty = {p.symbol: side_of(p.side) * number(p.size) for p in held}
            return (AccountUpdate(ts_ns=ts_ns, ts_event=frame.creationTime * MS, reason="position", positions=qty),)
    return ()


def _execution_event(x: Execution, ts_ns: int) -> OrderUpdate | WalletChange | None:
    """A trade, or funding (whose "quantity" is the position's); other kinds move nothing."""
    if x.execType in TRADES:
        return execution_update(x, ts_ns)
    if x.execType != "Funding":
        return None
    return WalletChange(
        ts_ns=ts_ns, ts_event=int(x.execTime) * MS, reason="FUNDING_FEE", symbol=x.symbol, change=-number(x.execFee)
    )


def side_of(name: str) -> int:
    return 1 if name == "Buy" else -1


def client_id_of(row: Mapping[str, Any]) -> str:
    """The client's id; orders of the venue (liquidation, ADL) and of people have none and get their creator and id."""
    return str(row.get("orderLinkId") or f"{row.get('createType') or 'order'}-{row['orderId']}")


def parse_instrument(row: Mapping[str, Any], rates: Mapping[str, Any]) -> Instrument:
    """Instrument from one instruments-info row; the most lots are those of a market order: exits are market orders."""
    lots = row["lotSizeFilter"]
    step = Decimal(lots["qtyStep"])
    return Instrument(
        venue="bybit",
        symbol=row["symbol"],
        base=row["baseCoin"],
        quote=row["settleCoin"],
        tick_size=Decimal(row["priceFilter"]["tickSize"]),
        lot_size=step,
        min_lots=int(Decimal(lots["minOrderQty"]) / step),
        max_lots=int(
            min(Decimal(lots["maxOrderQty"]), number(lots.get("maxMktOrderQty") or lots["maxOrderQty"])) / step
        ),
        min_notional=number(lots.get("minNotionalValue", "")),
        maker_fee_bps=Decimal(rates["makerFeeRate"]) * 10_000,
        taker_fee_bps=Decimal(rates["takerFeeRate"]) * 10_000,
    )


def order_params(order: Order, instrument: Instrument) -> dict[str, Any]:
    """The request of a new order."""
    params: dict[str, Any] = {
        "category": "linear",
        "symbol": order.symbol,
        "side": "Buy" if order.side > 0 else "Sell",
        "qty": plain(instrument.qty(order.lots)),
        "orderLinkId": order.client_id,
        "positionIdx": 0,
    }
    if order.reduce_only:
        params["reduceOnly"] = True
    if order.px_ticks is None:
        return params | {"orderType": "Market"}
    price = plain(instrument.px(order.px_ticks))
    return params | {"orderType": "Limit", "price": price, "timeInForce": "PostOnly" if order.post_only else "GTC"}


def order_update(row: Mapping[str, Any], ts_ns: int, states: Mapping[str, str]) -> OrderUpdate:
    """An order's state without its fills."""
    return OrderUpdate(
        ts_ns=ts_ns,
        ts_event=int(row["updatedTime"]) * MS,
        client_id=client_id_of(row),
        symbol=row["symbol"],
        side=side_of(row["side"]),
        status=states.get(row["orderStatus"], row["orderStatus"]),
        cum_qty=number(row["cumExecQty"]),
        fill_qty=ZERO,
        fill_px=ZERO,
        fee=ZERO,
        maker=False,
        trade_id=0,
    )


def execution_update(x: Execution, ts_ns: int) -> OrderUpdate:
    """One execution; the last one of an order says that nothing is left."""
    left = number(x.leavesQty)
    return OrderUpdate(
        ts_ns=ts_ns,
        ts_event=int(x.execTime) * MS,
        client_id=str(x.orderLinkId or f"{x.execType}-{x.orderId}"),
        symbol=x.symbol,
        side=side_of(x.side),
        status="FILLED" if left == 0 else "PARTIALLY_FILLED",
        cum_qty=number(x.orderQty) - left,
        fill_qty=number(x.execQty),
        fill_px=number(x.execPrice),
        fee=number(x.execFee),
        maker=x.isMaker,
        trade_id=trade_number(x.execId),
    )
