"""What Bybit v5 answers about the account's orders and executions."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from market.simulator.bybit_calls import Route, linear_symbol
from market.simulator.bybit_messages import Json, stop_row
from market.simulator.bybit_orders import find, symbols_of
from market.simulator.bybit_params import integer, page
from market.simulator.orders import Order
from market.simulator.reports import Stop, StopStatus

if TYPE_CHECKING:
    from market.simulator.bybit_face import BybitFace

MAX_PAGE: Final = 50
MAX_CLOSED: Final = 500


def _row(face: "BybitFace", found: Order | Stop) -> Json:
    return face.order_row(found) if isinstance(found, Order) else stop_row(face.exchange, found)


def realtime(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Open orders; one named by id whatever became of it; with ``openOnly`` 1 the last 500 that are done."""
    if str(params.get("category")) != "linear":
        return page([], params, MAX_PAGE)
    if params.get("orderId") or params.get("orderLinkId"):
        found = [_named(face, params)]
        return page([_row(face, one) for one in found if one is not None], params, MAX_PAGE)
    symbols = set(symbols_of(face, params))
    if integer(params, "openOnly", 0):
        return page(_done(face, symbols, params)[:MAX_CLOSED], params, MAX_PAGE)
    rows = [face.order_row(order) for order in face.exchange.open_orders() if order.symbol in symbols]
    stops = [stop for stop in face.exchange.stops.waiting.values() if stop.request.symbol in symbols]
    return page(_filtered(rows, [stop_row(face.exchange, stop) for stop in stops], params), params, MAX_PAGE)


def _named(face: "BybitFace", params: dict[str, Any]) -> Order | Stop | None:
    if params.get("symbol"):
        return find(face, params)
    return next((one for symbol in face.exchange.markets if (one := find(face, params | {"symbol": symbol}))), None)


def _filtered(orders: list[Json], stops: list[Json], params: dict[str, Any]) -> list[Json]:
    """Newest first; ``orderFilter`` Order or StopOrder leaves the others out."""
    which = params.get("orderFilter") or ""
    rows = (orders if which in ("", "Order") else []) + (stops if which != "Order" else [])
    return sorted(rows, key=lambda row: (row["createdTime"], row["orderId"]), reverse=True)


def _done(face: "BybitFace", symbols: set[str], params: dict[str, Any]) -> list[Json]:
    ended = (StopStatus.CANCELED, StopStatus.REJECTED, StopStatus.EXPIRED)
    orders = [o for o in face.exchange.orders.values() if o.symbol in symbols and not o.is_open]
    stops = [s for s in face.exchange.stops.all.values() if s.request.symbol in symbols and s.status in ended]
    rows = [face.order_row(order) for order in orders]
    return _filtered(rows, [stop_row(face.exchange, stop) for stop in stops], params)


def history(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Orders that are done, newest first; optionally one id, one status, or a time range."""
    if str(params.get("category")) != "linear":
        return page([], params, MAX_PAGE)
    symbols = {linear_symbol(face, params)} if params.get("symbol") else set(face.exchange.markets)
    rows = _done(face, symbols, params)
    for name in ("orderId", "orderLinkId", "orderStatus"):
        rows = [row for row in rows if params.get(name) in (None, "", row[name])]
    return page(_in_time(rows, params, lambda row: int(row["createdTime"])), params, MAX_PAGE)


def _in_time(rows: list[Json], params: dict[str, Any], time_ms: Callable[[Json], int]) -> list[Json]:
    start_ms, end_ms = integer(params, "startTime", 0), integer(params, "endTime", 2**60)
    return [row for row in rows if start_ms <= time_ms(row) <= end_ms]


def executions(face: "BybitFace", params: dict[str, Any]) -> Json:
    """The account's executions, newest first."""
    if str(params.get("category")) != "linear":
        return page([], params, 100)
    rows = face.executions[::-1]
    for name in ("symbol", "orderId", "orderLinkId", "execType"):
        rows = [row for row in rows if params.get(name) in (None, "", row[name])]
    return page(_in_time(rows, params, lambda row: int(row["execTime"])), params, 100, 50)


ROUTES: Final = {
    ("GET", "/v5/order/realtime"): Route(realtime, 50),
    ("GET", "/v5/order/history"): Route(history, 50),
    ("GET", "/v5/execution/list"): Route(executions, 50),
}
