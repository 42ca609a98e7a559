"""Order calls of Binance USD-M: place, amend, cancel, query, conditional (algo) orders, and the dead-man's switch."""

import re
import time
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from market.simulator.binance_auth import ApiError
from market.simulator.binance_face import BinanceFace, Route, boolean, integer, require
from market.simulator.binance_messages import TIFS, Json, order_ack, order_record, stop_record, user_trade
from market.simulator.errors import Reason
from market.simulator.orders import BUY, SELL, Order, OrderRequest, Status, Tif
from market.simulator.reports import Stop

CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
SIDES: Final = {"BUY": BUY, "SELL": SELL}
CONDITIONAL: Final = {
    "STOP": False,
    "STOP_MARKET": True,
    "TAKE_PROFIT": False,
    "TAKE_PROFIT_MARKET": True,
}
MAX_ROWS: Final = 1_000
ALL_CANCELLED: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}


def decimal(params: dict[str, str], name: str) -> Decimal:
    """A mandatory decimal number."""
    text = require(params, name)
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or len(text) > 40:
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'.")
    return value


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


def _choice(params: dict[str, str], name: str, choices: dict[str, Any], code: int, what: str) -> Any:
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


def check_one_way(params: dict[str, str]) -> None:
    """The account trades in one-way mode: ``positionSide`` is BOTH."""
    if params.get("positionSide", "BOTH") != "BOTH":
        raise ApiError(-4061, "Order's position side does not match user's setting.")


def order_request(params: dict[str, str]) -> OrderRequest:
    """A plain order as sent to ``/fapi/v1/order``."""
    check_one_way(params)
    kind = require(params, "type")
    if kind in CONDITIONAL or kind == "TRAILING_STOP_MARKET":
        raise ApiError(
            -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        )
    if kind not in ("LIMIT", "MARKET"):
        raise ApiError(-1116, "Invalid orderType.")
    is_limit = kind == "LIMIT"
    return OrderRequest(
        symbol=require(params, "symbol"),
        side=_choice(params, "side", SIDES, -1117, "side"),
        qty=quantity(params),
        px=price(params) if is_limit else None,
        tif=_choice(params, "timeInForce", TIFS, -1115, "timeInForce") if is_limit else Tif.GTC,
        reduce_only=boolean(params, "reduceOnly"),
        client_id=client_id(params, "newClientOrderId"),
    )


def place(face: BinanceFace, params: dict[str, str]) -> Json:
    order = face.exchange.place(order_request(params))
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
    return [_record(face, order) for order in _page(orders, params, first > 0, lambda order: order.created_ns)]


def user_trades(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    instrument = face.exchange.market(require(params, "symbol")).instrument
    first, order_id = integer(params, "fromId", 0), integer(params, "orderId", 0)
    fills = [f for f in face.exchange.fills if f.symbol == instrument.symbol and f.trade_id >= first]
    fills = [f for f in fills if order_id in (0, f.order_id)]
    return [user_trade(instrument, fill) for fill in _page(fills, params, first > 0, lambda fill: fill.ts_ns)]


def _page(rows: list[Any], params: dict[str, str], from_id: bool, time_ns: Callable[[Any], int]) -> list[Any]:
    """Rows in time order inside startTime..endTime: the first ones after a given id, else the latest."""
    start_ms, end_ms = integer(params, "startTime", 0), integer(params, "endTime", 2**60)
    rows = [row for row in rows if start_ms <= time_ns(row) // 1_000_000 <= end_ms]
    limit = min(integer(params, "limit", 500), MAX_ROWS)
    return rows[:limit] if from_id or start_ms else rows[-limit:]


def countdown_cancel_all(face: BinanceFace, params: dict[str, str]) -> Json:
    """The dead-man's switch, on the wall clock as its caller is. It covers orders in the book, not algo orders."""
    symbol, countdown_ms = require(params, "symbol"), integer(params, "countdownTime")
    face.exchange.arm(symbol, time.time_ns() + countdown_ms * 1_000_000 if countdown_ms else None)
    return {"symbol": symbol, "countdownTime": str(countdown_ms)}


def place_algo(face: BinanceFace, params: dict[str, str]) -> Json:
    check_one_way(params)
    if require(params, "algoType") != "CONDITIONAL":
        raise ApiError(-1130, "Data sent for parameter 'algoType' is not valid.")
    label = require(params, "type")
    is_market = _choice(params, "type", CONDITIONAL, -1116, "orderType")
    closes = boolean(params, "closePosition")
    if closes and not is_market:
        raise ApiError(-4136, "Target strategy invalid for orderType, closePosition=true.")
    request = OrderRequest(
        symbol=require(params, "symbol"),
        side=_choice(params, "side", SIDES, -1117, "side"),
        qty=Decimal(0) if closes else quantity(params),
        px=None if is_market else price(params),
        tif=TIFS.get(params.get("timeInForce", "GTC"), Tif.GTC),
        reduce_only=boolean(params, "reduceOnly"),
        client_id=client_id(params, "clientAlgoId") or f"algo{time.time_ns()}",
        label=label,
    )
    rises = (request.side == BUY) == label.startswith("STOP")
    on_mark = params.get("workingType", "CONTRACT_PRICE") == "MARK_PRICE"
    return _algo(face, face.exchange.stops.place(request, decimal(params, "triggerPrice"), rises, on_mark, closes))


def _algo(face: BinanceFace, stop: Stop) -> Json:
    return stop_record(face.exchange.market(stop.request.symbol).instrument, stop)


def _algo_ids(params: dict[str, str]) -> tuple[int | None, str | None]:
    algo_id = integer(params, "algoId") if params.get("algoId") else None
    if algo_id is None and not params.get("clientAlgoId"):
        raise ApiError(-1102, "Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!")
    return algo_id, params.get("clientAlgoId")


def cancel_algo(face: BinanceFace, params: dict[str, str]) -> Json:
    stop = face.exchange.stops.cancel(*_algo_ids(params))
    return {"algoId": stop.stop_id, "clientAlgoId": stop.request.client_id, "code": "200", "msg": "success"}


def cancel_all_algo(face: BinanceFace, params: dict[str, str]) -> Json:
    face.exchange.stops.cancel_all(require(params, "symbol"))
    return ALL_CANCELLED


def query_algo(face: BinanceFace, params: dict[str, str]) -> Json:
    return _algo(face, face.exchange.stops.find(*_algo_ids(params)))


def open_algo(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    waiting = face.exchange.stops.waiting.values()
    return [_algo(face, stop) for stop in waiting if params.get("symbol") in (None, "", stop.request.symbol)]


def all_algo(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    symbol = require(params, "symbol")
    return [_algo(face, stop) for stop in face.exchange.stops.all.values() if stop.request.symbol == symbol]


ROUTES: Final = {
    ("POST", "/fapi/v1/order"): Route(place, 0, travels=True, new_orders=True),
    ("PUT", "/fapi/v1/order"): Route(amend, 1, travels=True, new_orders=True),
    ("DELETE", "/fapi/v1/order"): Route(cancel, 1, travels=True),
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(cancel_all, 1, travels=True),
    ("GET", "/fapi/v1/order"): Route(query, 1),
    ("GET", "/fapi/v1/openOrder"): Route(query_open, 1),
    ("GET", "/fapi/v1/openOrders"): Route(open_orders, 1, weight_all=40),
    ("GET", "/fapi/v1/allOrders"): Route(all_orders, 5),
    ("GET", "/fapi/v1/userTrades"): Route(user_trades, 5),
    ("POST", "/fapi/v1/countdownCancelAll"): Route(countdown_cancel_all, 10),
    ("POST", "/fapi/v1/algoOrder"): Route(place_algo, 0, travels=True, new_orders=True),
    ("DELETE", "/fapi/v1/algoOrder"): Route(cancel_algo, 1, travels=True),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(cancel_all_algo, 1, travels=True),
    ("GET", "/fapi/v1/algoOrder"): Route(query_algo, 1),
    ("GET", "/fapi/v1/openAlgoOrders"): Route(open_algo, 1, weight_all=40),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(all_algo, 5),
}
