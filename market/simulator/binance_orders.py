"""Order calls of Binance USD-M: place, amend, cancel, query, batches, and the dead-man's switch."""

import re
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from market.simulator.binance_auth import ApiError
from market.simulator.binance_face import BinanceFace, Route, api_error, boolean, decimal, integer, require
from market.simulator.binance_messages import LEGS, TIFS, Json, order_ack, order_record, user_trade
from market.simulator.binance_pages import page
from market.simulator.errors import Reason, Reject
from market.simulator.orders import BUY, SELL, Leg, Order, OrderRequest, Status, Tif

CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
MAX_BATCH: Final = 5
MAX_CANCELS: Final = 10
SIDES: Final = {"BUY": BUY, "SELL": SELL}
CONDITIONAL: Final = {
    "STOP": False,
    "STOP_MARKET": True,
    "TAKE_PROFIT": False,
    "TAKE_PROFIT_MARKET": True,
    "TRAILING_STOP_MARKET": True,
}
ALL_CANCELLED: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}


def quantity(params: dict[str, str]) -> Decimal:
    value = decimal(params, "quantity")
    if value <= 0:
        raise ApiError(-4003, "Quantity less than or equal to zero.")
    return value


def price(params: dict[str, str]) -> Decimal:
    value = decimal(params, "price")
    if value <= 0:
        raise ApiError(-4001, "Price less than or equal to zero.")
    return value


def choice(params: dict[str, str], name: str, choices: dict[str, Any], code: int, what: str) -> Any:
    value = require(params, name)
    if value not in choices:
        raise ApiError(code, f"Invalid {what}.")
    return choices[value]


def client_id(params: dict[str, str], name: str) -> str:
    """A client's own order id, or "" when it gave none."""
    value = params.get(name, "")
    if value and CLIENT_ID.fullmatch(value) is None:
        raise ApiError(-4015, "Client order id is not valid.")
    return value


def leg_of(face: BinanceFace, params: dict[str, str]) -> Leg:
    """The position an order works on. Hedge mode demands a side and accepts no ``reduceOnly``: the side tells it."""
    name = params.get("positionSide") or "BOTH"
    if name not in LEGS:
        raise ApiError(-1130, "Data sent for parameter 'positionSide' is not valid.")
    if face.exchange.account.is_hedged and "reduceOnly" in params:
        raise ApiError(-1106, "Parameter 'reduceOnly' sent when not required.")
    return LEGS[name]


def order_request(face: BinanceFace, params: dict[str, str]) -> OrderRequest:
    """A plain order as sent to ``/fapi/v1/order``."""
    kind = require(params, "type")
    if kind in CONDITIONAL:
        raise ApiError(
            -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        )
    if kind not in ("LIMIT", "MARKET"):
        raise ApiError(-1116, "Invalid orderType.")
    is_limit = kind == "LIMIT"
    return OrderRequest(
        symbol=require(params, "symbol"),
        side=choice(params, "side", SIDES, -1117, "side"),
        qty=quantity(params),
        px=price(params) if is_limit else None,
        tif=choice(params, "timeInForce", TIFS, -1115, "timeInForce") if is_limit else Tif.GTC,
        reduce_only=boolean(params, "reduceOnly"),
        client_id=client_id(params, "newClientOrderId"),
        leg=leg_of(face, params),
    )


def place(face: BinanceFace, params: dict[str, str]) -> Json:
    order = face.exchange.place(order_request(face, params))
    ack = order_ack(face.exchange.market(order.symbol).instrument, order)
    if params.get("newOrderRespType", "ACK") == "ACK":
        ack |= {"status": Status.NEW.value, "executedQty": "0", "cumQty": "0"}
    return ack


def _ids(params: dict[str, str]) -> tuple[str, int | None, str | None]:
    order_id = integer(params, "orderId") if params.get("orderId") else None
    if order_id is None and not params.get("origClientOrderId"):
        raise ApiError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return require(params, "symbol"), order_id, params.get("origClientOrderId")


def amend(face: BinanceFace, params: dict[str, str]) -> Json:
    ids = _ids(params)
    order = face.exchange.amend(*ids, price(params), quantity(params))
    return order_ack(face.exchange.market(order.symbol).instrument, order)


def cancel(face: BinanceFace, params: dict[str, str]) -> Json:
    order = face.exchange.cancel(*_ids(params))
    return order_ack(face.exchange.market(order.symbol).instrument, order)


def cancel_all(face: BinanceFace, params: dict[str, str]) -> Json:
    face.exchange.cancel_all(require(params, "symbol"))
    return ALL_CANCELLED


def batch(face: BinanceFace, params: dict[str, str], one: Callable[[BinanceFace, dict[str, str]], Json]) -> list[Json]:
    """Up to five orders in one call, each answered by its own order or refusal."""
    try:
        orders = msgspec.json.decode(require(params, "batchOrders"), type=list[dict[str, Any]])
    except msgspec.MsgspecError:
        raise ApiError(-1130, "Data sent for parameter 'batchOrders' is not valid.") from None
    if not 1 <= len(orders) <= MAX_BATCH:
        raise ApiError(-4082, "Invalid number of batch orders.")
    return [_answer(face, one, {name: as_text(value) for name, value in order.items()}) for order in orders]


def as_text(value: Any) -> str:
    """A JSON value as the same parameter would be sent in a query string."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _answer(face: BinanceFace, one: Callable[[BinanceFace, dict[str, str]], Json], params: dict[str, str]) -> Json:
    try:
        return one(face, params)
    except ApiError as error:
        return {"code": error.code, "msg": error.message}
    except Reject as reject:
        refusal = api_error(face, reject, params.get("symbol", ""))
        return {"code": refusal.code, "msg": refusal.message}


def place_batch(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    return batch(face, params, place)


def amend_batch(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    return batch(face, params, amend)


def cancel_batch(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Cancel up to ten orders of one symbol, named by id or client id. The lists' names are read in any case."""
    names = (("orderidlist", "orderId"), ("origclientorderidlist", "origClientOrderId"))
    given = {name.lower(): value for name, value in params.items()}
    listed, name = next(((given[many], one) for many, one in names if given.get(many)), ("[]", ""))
    try:
        ids = msgspec.json.decode(listed, type=list[int | str])
    except msgspec.MsgspecError:
        ids = []
    if not 1 <= len(ids) <= MAX_CANCELS:
        raise ApiError(-4082, "Invalid number of batch orders.")
    return [_answer(face, cancel, {"symbol": require(params, "symbol"), name: str(one)}) for one in ids]


def query(face: BinanceFace, params: dict[str, str]) -> Json:
    return _record(face, face.exchange.find(*_ids(params), Reason.NO_SUCH_ORDER))


def query_open(face: BinanceFace, params: dict[str, str]) -> Json:
    order = face.exchange.find(*_ids(params), Reason.NO_SUCH_ORDER)
    if not order.is_open:
        raise ApiError(-2013, "Order does not exist.")
    return _record(face, order)


def _record(face: BinanceFace, order: Order) -> Json:
    return order_record(face.exchange.market(order.symbol).instrument, order)


def open_orders(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    return [_record(face, order) for order in face.exchange.open_orders(params.get("symbol") or None)]


def all_orders(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    symbol = face.exchange.market(require(params, "symbol")).instrument.symbol
    first = integer(params, "orderId", 0)
    orders = [o for o in face.exchange.orders.values() if o.symbol == symbol and o.order_id >= first]
    return [_record(face, order) for order in page(orders, params, first > 0, lambda order: order.created_ns)]


def user_trades(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    instrument = face.exchange.market(require(params, "symbol")).instrument
    first, order_id = integer(params, "fromId", 0), integer(params, "orderId", 0)
    fills = [f for f in face.exchange.fills if f.symbol == instrument.symbol and f.trade_id >= first]
    fills = [f for f in fills if order_id in (0, f.order_id)]
    return [user_trade(instrument, fill) for fill in page(fills, params, first > 0, lambda fill: fill.ts_ns)]


def countdown_cancel_all(face: BinanceFace, params: dict[str, str]) -> Json:
    """The dead-man's switch, on the wall clock as its caller is. It covers orders in the book, not algo orders."""
    symbol, countdown_ms = require(params, "symbol"), integer(params, "countdownTime")
    face.exchange.arm(symbol, time.time_ns() + countdown_ms * 1_000_000 if countdown_ms else None)
    return {"symbol": symbol, "countdownTime": str(countdown_ms)}


ROUTES: Final = {
    ("POST", "/fapi/v1/order"): Route(place, 0, travels=True, new_orders=True),
    ("PUT", "/fapi/v1/order"): Route(amend, 1, travels=True, new_orders=True),
    ("DELETE", "/fapi/v1/order"): Route(cancel, 1, travels=True),
    ("POST", "/fapi/v1/batchOrders"): Route(place_batch, 5, travels=True, new_orders=True),
    ("PUT", "/fapi/v1/batchOrders"): Route(amend_batch, 5, travels=True, new_orders=True),
    ("DELETE", "/fapi/v1/batchOrders"): Route(cancel_batch, 1, travels=True),
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(cancel_all, 1, travels=True),
    ("GET", "/fapi/v1/order"): Route(query, 1),
    ("GET", "/fapi/v1/openOrder"): Route(query_open, 1),
    ("GET", "/fapi/v1/openOrders"): Route(open_orders, 1, weight_all=40),
    ("GET", "/fapi/v1/allOrders"): Route(all_orders, 5),
    ("GET", "/fapi/v1/userTrades"): Route(user_trades, 5),
    ("POST", "/fapi/v1/countdownCancelAll"): Route(countdown_cancel_all, 10),
}
