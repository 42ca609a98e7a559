"""Bybit's conditional orders: orders with a trigger price, and the limits of a position (``trading-stop``)."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from market.simulator.bybit_auth import BybitError
from market.simulator.bybit_messages import label
from market.simulator.bybit_params import decimal, require
from market.simulator.orders import BUY, SELL, Leg, OrderRequest, Tif
from market.simulator.reports import Stop

if TYPE_CHECKING:
    from market.simulator.bybit_face import BybitFace

MAX_CONDITIONAL: Final = 10
ON_MARK: Final = {"": False, "LastPrice": False, "MarkPrice": True}
ATTACHED: Final = ("takeProfit", "stopLoss", "tpTriggerBy", "slTriggerBy")
LIMITS: Final = {"takeProfit": "TakeProfit", "stopLoss": "StopLoss", "trailingStop": "TrailingStop"}


def on_mark(params: dict[str, Any], name: str) -> bool:
    """Which price triggers. No index price is recorded apart from the mark's, so none can be watched."""
    chosen = str(params.get(name) or "")
    if chosen not in ON_MARK:
        raise BybitError(10001, f"params error: {name} {chosen} is not simulated; use LastPrice or MarkPrice")
    return ON_MARK[chosen]


def place(face: "BybitFace", request: OrderRequest, params: dict[str, Any]) -> Stop:
    """A conditional order as sent to ``order/create`` with a trigger price."""
    waiting = face.exchange.stops.waiting.values()
    if sum(stop.request.symbol == request.symbol for stop in waiting) >= MAX_CONDITIONAL:
        raise BybitError(110009, "The number of stop orders exceeds the maximum allowable limit.")
    direction = require(params, "triggerDirection")
    if direction not in ("1", "2"):
        raise BybitError(10001, "params error: triggerDirection invalid")
    closes = str(params.get("qty")) == "0"
    trigger_px = decimal(params, "triggerPrice")
    return face.exchange.stops.place(request, trigger_px, direction == "1", on_mark(params, "triggerBy"), closes)


def set_limits(face: "BybitFace", symbol: str, leg: Leg, params: dict[str, Any]) -> None:
    """Take-profit, stop-loss and trailing stop of the whole position, or of a part of it (``tpslMode`` Partial).

    A price of 0 removes the limit; a new one replaces the old.
    """
    held = face.exchange.account.position(symbol, leg).lots
    if held == 0:
        raise BybitError(10001, "can not set tp/sl/ts for zero position")
    side = SELL if held > 0 else BUY
    for name, kind in LIMITS.items():
        if params.get(name) is None or params[name] == "":
            continue
        is_partial = params.get("tpslMode") == "Partial" and name != "trailingStop"
        if not is_partial:
            _remove(face, symbol, leg, kind)
        if decimal(params, name) > 0:
            _add(face, symbol, leg, side, name, params, is_partial)


def _remove(face: "BybitFace", symbol: str, leg: Leg, kind: str) -> None:
    for stop in list(face.exchange.stops.waiting.values()):
        same = stop.request.symbol == symbol and stop.request.leg is leg
        if same and stop.closes and stop.request.label.endswith(f"|{kind}"):
            face.exchange.stops.cancel(stop.stop_id, None)


def _add(
    face: "BybitFace", symbol: str, leg: Leg, side: int, name: str, params: dict[str, Any], is_partial: bool
) -> None:
    short = {"takeProfit": "tp", "stopLoss": "sl"}.get(name, "")
    is_limit = bool(short) and params.get(f"{short}OrderType") == "Limit"
    request = OrderRequest(
        symbol=symbol,
        side=side,
        qty=decimal(params, f"{short}Size") if is_partial else Decimal(0),
        px=decimal(params, f"{short}LimitPrice") if is_limit else None,
        tif=Tif.GTC,
        reduce_only=True,
        client_id=face.unnamed(),
        label=label("Limit" if is_limit else "Market", ("Partial" if is_partial else "") + LIMITS[name]),
        leg=leg,
    )
    if name == "trailingStop":
        _trail(face, request, params)
        return
    rises = (side == SELL) == (name == "takeProfit")
    marked = on_mark(params, f"{short}TriggerBy")
    face.exchange.stops.place(request, decimal(params, name), rises, marked, closes=not is_partial)


def _trail(face: "BybitFace", request: OrderRequest, params: dict[str, Any]) -> None:
    instrument = face.exchange.market(request.symbol).instrument
    distance = instrument.ticks(decimal(params, "trailingStop"))
    active = decimal(params, "activePrice") if params.get("activePrice") else Decimal(0)
    face.exchange.stops.place(request, active, request.side == BUY, on_mark=False, closes=True, trail_ticks=distance)
