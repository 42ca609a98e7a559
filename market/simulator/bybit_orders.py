"""Order calls of Bybit v5: place, amend, cancel, batches. An acknowledgement says that a request was taken."""

import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final

from market.simulator import bybit_stops
from market.simulator.bybit_auth import BybitError
from market.simulator.bybit_calls import Route, api_error, linear_symbol
from market.simulator.bybit_messages import LEGS, TIFS, Json, label, link_id, number_of, public_id
from market.simulator.bybit_params import boolean, check_linear, decimal, require
from market.simulator.errors import Reason, Reject
from market.simulator.orders import BUY, SELL, Order, OrderRequest, Tif
from market.simulator.reports import Stop
from market.simulator.rules import PX_BAND

if TYPE_CHECKING:
    from market.simulator.bybit_face import BybitFace

Call = Callable[["BybitFace", dict[str, Any]], Json]
LINK: Final = re.compile(r"[0-9A-Za-z_-]{1,36}")
SIDES: Final = {"Buy": BUY, "Sell": SELL}
MAX_BATCH: Final = 20


def _choice(params: dict[str, Any], name: str, choices: dict[str, Any], message: str) -> Any:
    value = require(params, name)
    if value not in choices:
        raise BybitError(10001, message)
    return choices[value]


def new_link(face: "BybitFace", symbol: str, params: dict[str, Any]) -> str:
    """The client's own order id, never used before; one of ours when it gave none."""
    link = str(params.get("orderLinkId") or "")
    if not link:
        return face.unnamed()
    if LINK.fullmatch(link) is None:
        raise BybitError(10001, "params error: OrderLinkedID invalid")
    if link in face.stops or _order_of(face, symbol, None, link) is not None:
        raise BybitError(110072, "OrderLinkedID is duplicate")
    return link


def order_request(face: "BybitFace", params: dict[str, Any]) -> OrderRequest:
    """An order as sent to ``order/create``. A market order becomes an IOC limit at the edge of the price band."""
    symbol = linear_symbol(face, params)
    side = _choice(params, "side", SIDES, "Side invalid")
    order_type = require(params, "orderType")
    if order_type not in ("Market", "Limit"):
        raise BybitError(10001, "params error: orderType invalid")
    is_limit, waits = order_type == "Limit", bool(params.get("triggerPrice"))
    qty = decimal(params, "qty")
    closes = boolean(params, "reduceOnly") and waits and qty == 0
    if qty <= 0 and not closes:
        raise BybitError(10001, "Qty invalid")
    tif = _choice(params, "timeInForce", TIFS, "timeInForce invalid") if params.get("timeInForce") else Tif.GTC
    px = decimal(params, "price") if is_limit else None if waits else bound_px(face, symbol, side)
    return OrderRequest(
        symbol=symbol,
        side=side,
        qty=qty,
        px=px,
        tif=tif if is_limit else Tif.IOC,
        reduce_only=boolean(params, "reduceOnly"),
        client_id=new_link(face, symbol, params),
        label=label(order_type, "Stop" if waits else ""),
        leg=_choice({"positionIdx": str(params.get("positionIdx") or 0)}, "positionIdx", LEGS, "positionIdx invalid"),
    )


def bound_px(face: "BybitFace", symbol: str, side: int) -> Decimal:
    """Worst price a market order may take: the last tick inside the band around the mark price."""
    market = face.exchange.market(symbol)
    tick, mark_px = market.instrument.tick_size, market.mark_px()
    if mark_px <= 0:
        raise BybitError(110003, "Order price exceeds the allowable range.")
    edge = mark_px * (1 + side * PX_BAND) / tick
    inward = ROUND_FLOOR if side == BUY else ROUND_CEILING
    return max(tick, tick * edge.to_integral_value(inward))


def place(face: "BybitFace", params: dict[str, Any]) -> Json:
    request = order_request(face, params)
    if params.get("triggerPrice"):
        stop = bybit_stops.place(face, request, params)
        return {"orderId": public_id(stop.stop_id), "orderLinkId": link_id(request.client_id)}
    limits = {name: params[name] for name in bybit_stops.ATTACHED if params.get(name)}
    if limits:
        face.attached[request.client_id] = limits
    try:
        return _ack(face, face.exchange.place(request))
    except Reject:
        face.attached.pop(request.client_id, None)
        raise


def _ack(face: "BybitFace", order: Order) -> Json:
    return {"orderId": face.order_id(order), "orderLinkId": link_id(order.client_id)}


def _order_of(face: "BybitFace", symbol: str, number: int | None, link: str) -> Order | None:
    try:
        return face.exchange.find(symbol, number, link, Reason.NO_SUCH_ORDER)
    except Reject:
        return None


def find(face: "BybitFace", params: dict[str, Any]) -> Order | Stop | None:
    """The order an id means: the order a conditional one placed, the conditional one itself, or a plain one."""
    symbol, name, link = linear_symbol(face, params), str(params.get("orderId") or ""), params.get("orderLinkId")
    if not name and not link:
        raise BybitError(10001, "params error: orderId or orderLinkId is required")
    number = number_of(name) if name else None
    if name and number is None:
        return None
    stop = face.exchange.stops.all.get(number) if number is not None else face.stops.get(str(link))
    if stop is None:
        return _order_of(face, symbol, number, str(link))
    if stop.request.symbol != symbol:
        return None
    return face.exchange.orders[stop.order_id] if stop.order_id else stop


def amend(face: "BybitFace", params: dict[str, Any]) -> Json:
    """New price or quantity of an open order; new trigger price or quantity of a conditional one."""
    found = find(face, params)
    if isinstance(found, Stop):
        instrument = face.exchange.market(found.request.symbol).instrument
        px = decimal(params, "triggerPrice") if params.get("triggerPrice") else instrument.px(found.trigger_ticks)
        qty = decimal(params, "qty") if params.get("qty") else found.request.qty
        face.exchange.stops.amend(found.stop_id, None, px, qty)
        return {"orderId": public_id(found.stop_id), "orderLinkId": link_id(found.request.client_id)}
    if found is None or not found.is_open or found.ticks is None:
        raise Reject(Reason.UNKNOWN_ORDER)
    instrument = face.exchange.market(found.symbol).instrument
    px = decimal(params, "price") if params.get("price") else instrument.px(found.ticks)
    qty = decimal(params, "qty") if params.get("qty") else instrument.qty(found.lots)
    try:
        face.exchange.amend(found.symbol, found.order_id, None, px, qty)
    except Reject as reject:
        if reject.reason is not Reason.POST_ONLY:
            raise
        face.exchange.cancel_taking(found)
    return _ack(face, found)


def cancel(face: "BybitFace", params: dict[str, Any]) -> Json:
    found = find(face, params)
    if isinstance(found, Stop):
        face.exchange.stops.cancel(found.stop_id, None)
        return {"orderId": public_id(found.stop_id), "orderLinkId": link_id(found.request.client_id)}
    if found is None or not found.is_open:
        raise Reject(Reason.UNKNOWN_ORDER)
    return _ack(face, face.exchange.cancel(found.symbol, found.order_id, None))


def cancel_all(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Plain and conditional orders of a symbol, or of all with the settlement or base coin; ``orderFilter`` narrows."""
    symbols, which = symbols_of(face, params), params.get("orderFilter") or ""
    rows: list[Json] = []
    for symbol in symbols:
        if which in ("", "Order"):
            rows += [_ack(face, order) for order in face.exchange.cancel_all(symbol)]
        if which != "Order":
            stops = face.exchange.stops.cancel_all(symbol)
            rows += [{"orderId": public_id(s.stop_id), "orderLinkId": link_id(s.request.client_id)} for s in stops]
    return {"list": rows, "success": "1"}


def symbols_of(face: "BybitFace", params: dict[str, Any]) -> list[str]:
    if params.get("symbol"):
        return [linear_symbol(face, params)]
    check_linear(params)
    settle, base = params.get("settleCoin"), params.get("baseCoin")
    if not settle and not base:
        raise BybitError(10001, "params error: symbol, settleCoin or baseCoin is required")
    listed = [market.instrument for market in face.exchange.markets.values()]
    return [i.symbol for i in listed if (not settle or i.quote == settle) and (not base or i.base == base)]


# -- batches ----------------------------------------------------------------------------------------------------------


def _batch(call: Call) -> Call:
    """Each entry on its own: one refusal leaves the others alone. Codes come apart, under ``retExtInfo``."""

    def handle(face: "BybitFace", params: dict[str, Any]) -> Json:
        check_linear(params)
        entries = params.get("request")
        is_batch = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
        if not isinstance(entries, list) or not is_batch or not 0 < len(entries) <= MAX_BATCH:
            raise BybitError(10001, f"params error: request needs 1 to {MAX_BATCH} orders")
        rows, codes = zip(*(_one(face, call, entry | {"category": "linear"}) for entry in entries), strict=True)
        return {"list": list(rows), "retExtInfo": {"list": list(codes)}}

    return handle


def _one(
    face: "BybitFace", call: Callable[["BybitFace", dict[str, Any]], Json], entry: dict[str, Any]
) -> tuple[Json, Json]:
    try:
        row, error = call(face, entry), BybitError(0, "OK")
    except Reject as reject:
        row, error = {}, api_error(face, reject, str(entry.get("symbol")))
    except BybitError as refusal:
        row, error = {}, refusal
    named = {"category": "linear", "symbol": entry.get("symbol", ""), "orderId": "", "createAt": ""}
    link = {"orderLinkId": entry.get("orderLinkId", "")}
    return named | link | row, {"code": error.code, "msg": error.message}


def countdown(_face: "BybitFace", _params: dict[str, Any]) -> Json:
    """The dead-man's switch is for institutional clients; an ordinary account has none."""
    raise BybitError(10005, "Permission denied: disconnection protect is for institutional clients only.")


ROUTES: Final = {
    ("POST", "/v5/order/create"): Route(place, 10, travels=True, places=True),
    ("POST", "/v5/order/amend"): Route(amend, 10, travels=True, places=True),
    ("POST", "/v5/order/cancel"): Route(cancel, 10, travels=True),
    ("POST", "/v5/order/cancel-all"): Route(cancel_all, 10, travels=True),
    ("POST", "/v5/order/create-batch"): Route(_batch(place), 10, travels=True, places=True),
    ("POST", "/v5/order/amend-batch"): Route(_batch(amend), 10, travels=True, places=True),
    ("POST", "/v5/order/cancel-batch"): Route(_batch(cancel), 10, travels=True),
    ("POST", "/v5/order/disconnected-cancel-all"): Route(countdown, 5),
}
