"""Conditional (algo) orders of Binance USD-M: stops, take-profits, trailing stops."""

import time
from decimal import Decimal
from typing import Final

from market.simulator.binance_algo_messages import stop_record
from market.simulator.binance_auth import ApiError
from market.simulator.binance_face import BinanceFace, Route, boolean, decimal, integer, require
from market.simulator.binance_messages import TIFS, Json
from market.simulator.binance_orders import (
    ALL_CANCELLED,
    CONDITIONAL,
    SIDES,
    choice,
    client_id,
    leg_of,
    price,
    quantity,
)
from market.simulator.orders import BUY, OrderRequest, Tif
from market.simulator.reports import Stop

TRAILING: Final = "TRAILING_STOP_MARKET"
MIN_CALLBACK, MAX_CALLBACK = Decimal("0.1"), Decimal(10)


def place_algo(face: BinanceFace, params: dict[str, str]) -> Json:
    if require(params, "algoType") != "CONDITIONAL":
        raise ApiError(-1130, "Data sent for parameter 'algoType' is not valid.")
    request, closes = _request(face, params), boolean(params, "closePosition")
    label = request.label
    rises = (request.side == BUY) == (label.startswith("STOP") or label == TRAILING)
    on_mark = params.get("workingType", "CONTRACT_PRICE") == "MARK_PRICE"
    if label == TRAILING:
        starts = next((name for name in ("activatePrice", "activationPrice") if params.get(name)), None)
        activation = Decimal(0) if starts is None else decimal(params, starts)
        stop = face.exchange.stops.place(request, activation, rises, on_mark, closes, trail=_callback(params) / 100)
    else:
        stop = face.exchange.stops.place(request, decimal(params, "triggerPrice"), rises, on_mark, closes)
    return _algo(face, stop)


def _callback(params: dict[str, str]) -> Decimal:
    """How far a trailing stop follows, in percent."""
    rate = decimal(params, "callbackRate")
    if not MIN_CALLBACK <= rate <= MAX_CALLBACK:
        raise ApiError(-2007, "Invalid callBack rate.")
    return rate


def _request(face: BinanceFace, params: dict[str, str]) -> OrderRequest:
    """The order that the trigger places."""
    label, is_market = require(params, "type"), choice(params, "type", CONDITIONAL, -1116, "orderType")
    closes = boolean(params, "closePosition")
    if closes and (not is_market or label == TRAILING):
        raise ApiError(-4136, "Target strategy invalid for orderType, closePosition=true.")
    return OrderRequest(
        symbol=require(params, "symbol"),
        side=choice(params, "side", SIDES, -1117, "side"),
        qty=Decimal(0) if closes else quantity(params),
        px=None if is_market else price(params),
        tif=TIFS.get(params.get("timeInForce", "GTC"), Tif.GTC),
        reduce_only=boolean(params, "reduceOnly"),
        client_id=client_id(params, "clientAlgoId") or f"algo{time.time_ns()}",
        label=label,
        leg=leg_of(face, params),
    )


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
    ("POST", "/fapi/v1/algoOrder"): Route(place_algo, 0, travels=True, new_orders=True),
    ("DELETE", "/fapi/v1/algoOrder"): Route(cancel_algo, 1, travels=True),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(cancel_all_algo, 1, travels=True),
    ("GET", "/fapi/v1/algoOrder"): Route(query_algo, 1),
    ("GET", "/fapi/v1/openAlgoOrders"): Route(open_algo, 1, weight_all=40),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(all_algo, 5),
}
