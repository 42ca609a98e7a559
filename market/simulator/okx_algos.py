"""Conditional orders of OKX: trigger, stop-loss or take-profit (``conditional``), both (``oco``), trailing.

An ``oco`` is kept as two conditional orders, each with its own id, that cancel each other; cancelling one cancels both.
"""

import contextlib
from decimal import Decimal
from itertools import count
from typing import Any, Final

import msgspec

from market.simulator import okx_rows as rows
from market.simulator.account import ZERO
from market.simulator.errors import Reason, Reject
from market.simulator.okx_algo_rows import algo_row
from market.simulator.okx_auth import ApiError
from market.simulator.okx_calls import (
    Call,
    Json,
    Route,
    asked,
    choice,
    contract_of,
    decimal,
    flag,
    integer,
    page,
    value,
)
from market.simulator.okx_face import PARAMETER, OkxFace
from market.simulator.okx_orders import SIDES, acted, client_id, leg_of, use_margin_mode
from market.simulator.orders import BUY, Order, OrderRequest, Tif
from market.simulator.reports import Stop
from market.simulator.rules import to_ticks

KINDS: Final = ("trigger", "conditional", "oco", "move_order_stop")
ON_MARK: Final = {"last": False, "mark": True, "index": True}
_ids: Final = count(1)


def labels_of(params: Json) -> list[str]:
    """What kinds of conditional order this is: ``trigger``, ``move_order_stop``, or ``sl`` and ``tp``."""
    kind = choice(params, "ordType", {one: one for one in KINDS})
    if kind not in ("conditional", "oco"):
        return [str(kind)]
    given = [one for one in ("sl", "tp") if value(params, f"{one}TriggerPx")]
    if not given or (kind == "oco" and len(given) == 1):
        raise ApiError(PARAMETER, "Parameter slTriggerPx or tpTriggerPx error")
    return given


def names_of(label: str) -> tuple[str, str, str]:
    """Parameters of trigger price, its kind, and the order's price.

    >>> names_of("sl"), names_of("trigger")
    (('slTriggerPx', 'slTriggerPxType', 'slOrdPx'), ('triggerPx', 'triggerPxType', 'orderPx'))
    """
    if label in ("sl", "tp"):
        return f"{label}TriggerPx", f"{label}TriggerPxType", f"{label}OrdPx"
    return "triggerPx", "triggerPxType", "orderPx"


def algo_request(face: OkxFace, params: Json, label: str) -> OrderRequest:
    """The order to place once triggered; a price of -1, or none, means market."""
    contract, px_name = contract_of(face, params), names_of(label)[2]
    is_market = label == "move_order_stop" or value(params, px_name, "-1") == "-1"
    closes = value(params, "closeFraction") == "1"
    return OrderRequest(
        symbol=contract.inst_id,
        side=choice(params, "side", SIDES),
        qty=ZERO if closes else contract.qty(decimal(params, "sz")),
        px=None if is_market else decimal(params, px_name),
        tif=Tif.GTC,
        reduce_only=flag(params, "reduceOnly"),
        client_id=client_id(params, "algoClOrdId") or client_id(params, "clOrdId") or f"algo-{next(_ids)}",
        label=label,
        leg=leg_of(face, params),
    )


def rises(face: OkxFace, request: OrderRequest, trigger_px: Decimal, on_mark: bool) -> bool:
    """The direction that triggers: away from the price now for a trigger order, by side for the others."""
    market = face.exchange.market(request.symbol)
    now_px = market.mark_px() if on_mark else Decimal(repr(market.stats.last_px))
    if request.label == "trigger" and now_px > 0:
        return trigger_px > now_px
    return (request.side == BUY) == (request.label != "tp")


def place_one(face: OkxFace, params: Json) -> tuple[str, str]:
    """One conditional order, or two that cancel each other; the answer names the first."""
    labels = labels_of(params)
    requests = [algo_request(face, params, label) for label in labels]
    use_margin_mode(face, face.contract(requests[0].symbol), params)
    group = f"oco{next(_ids)}" if len(labels) > 1 else ""
    first = _place(face, requests[0], params, group)
    for request in requests[1:]:
        other = msgspec.structs.replace(request, client_id=f"{first.request.client_id[:29]}two")
        try:
            _place(face, other, params, group)
        except (Reject, ApiError):
            face.exchange.stops.cancel(first.stop_id, None)
            raise
    return str(first.stop_id), first.request.client_id


def _place(face: OkxFace, request: OrderRequest, params: Json, group: str) -> Stop:
    label, closes = request.label, value(params, "closeFraction") == "1"
    if label == "move_order_stop":
        return _trail(face, request, params, closes)
    px_name, kind_name, _ = names_of(label)
    trigger_px, on_mark = decimal(params, px_name), choice(params, kind_name, ON_MARK, "last")
    up = rises(face, request, trigger_px, on_mark)
    return face.exchange.stops.place(request, trigger_px, up, on_mark, closes, group=group)


def _trail(face: OkxFace, request: OrderRequest, params: Json, closes: bool) -> Stop:
    trail: dict[str, Any] = {}
    if value(params, "callbackRatio"):
        trail["trail"] = decimal(params, "callbackRatio")
    else:
        instrument = face.contract(request.symbol).instrument
        trail["trail_ticks"] = to_ticks(instrument, decimal(params, "callbackSpread"))
    active_px = decimal(params, "activePx") if value(params, "activePx") else ZERO
    return face.exchange.stops.place(request, active_px, request.side == BUY, False, closes, **trail)


def _find(face: OkxFace, params: Json, missing: Reason) -> Stop:
    algo_id = integer(params, "algoId") if value(params, "algoId") else None
    try:
        return face.exchange.stops.find(algo_id, value(params, "algoClOrdId"))
    except Reject:
        raise Reject(missing) from None


def cancel_one(face: OkxFace, params: Json) -> tuple[str, str]:
    stops = face.exchange.stops
    stop = stops.cancel(_find(face, params, Reason.UNKNOWN_ORDER).stop_id, None)
    for other in [one for one in stops.waiting.values() if stop.group and one.group == stop.group]:
        stops.cancel(other.stop_id, None)
    return str(stop.stop_id), stop.request.client_id


def amend_one(face: OkxFace, params: Json) -> tuple[str, str]:
    """New trigger price, new size, or both."""
    stop = _find(face, params, Reason.UNKNOWN_ORDER)
    contract, label = face.contract(stop.request.symbol), stop.request.label
    name = f"new{label.capitalize()}TriggerPx" if label in ("sl", "tp") else "newTriggerPx"
    px = decimal(params, name) if value(params, name) else contract.instrument.px(stop.trigger_ticks)
    qty = contract.qty(decimal(params, "newSz")) if value(params, "newSz") else stop.request.qty
    face.exchange.stops.amend(stop.stop_id, None, px, qty)
    return str(stop.stop_id), stop.request.client_id


place = acted(place_one, "algoId", "algoClOrdId")
amend = acted(amend_one, "algoId", "algoClOrdId")
cancel = acted(cancel_one, "algoId", "algoClOrdId")


def query(face: OkxFace, call: Call) -> list[Json]:
    return [_row(face, _find(face, call.params, Reason.NO_SUCH_ORDER))]


def _row(face: OkxFace, stop: Stop) -> Json:
    return algo_row(face.exchange, face.contracts[stop.request.symbol], stop)


def _listed(face: OkxFace, call: Call, is_waiting: bool) -> list[Json]:
    kinds = value(call.params, "ordType").split(",")
    symbols = {contract.inst_id for contract in asked(face, call.params)}
    stops = face.exchange.stops
    found = [
        s for s in stops.all.values() if (s.stop_id in stops.waiting) is is_waiting and s.request.symbol in symbols
    ]
    listed = [_row(face, stop) for stop in page(found, call.params, lambda stop: int(stop.stop_id))]
    state = value(call.params, "state")
    return [row for row in listed if row["ordType"] in kinds and state in ("", row["state"])]


def pending(face: OkxFace, call: Call) -> list[Json]:
    return _listed(face, call, is_waiting=True)


def history(face: OkxFace, call: Call) -> list[Json]:
    return _listed(face, call, is_waiting=False)


def place_attached(face: OkxFace, order: Order, attached: list[Json]) -> None:
    """Protect what an order got: its attached stop-loss and take-profit, over the size that was filled."""
    contract = face.contracts[order.symbol]
    shared = {
        "instId": order.symbol,
        "tdMode": rows.margin_mode(face.exchange, order.symbol),
        "side": "sell" if order.side == BUY else "buy",
        "posSide": rows.POS_SIDES[order.leg],
        "sz": contract.size(order.filled_lots),
        "reduceOnly": "" if face.exchange.account.is_hedged else "true",
        "ordType": "conditional",
    }
    for one in attached:
        with contextlib.suppress(Reject, ApiError):  # one whose price is reached already comes to nothing
            place_one(face, one | shared | {"algoClOrdId": value(one, "attachAlgoClOrdId")})


_TRADE: Final[dict[str, Any]] = {"limit": 20, "by_instrument": True, "travels": True}
ROUTES: Final = {
    ("POST", "/api/v5/trade/order-algo"): Route(place, **_TRADE, new_orders=True),
    ("POST", "/api/v5/trade/amend-algos"): Route(amend, **_TRADE, new_orders=True),
    ("POST", "/api/v5/trade/cancel-algos"): Route(cancel, **_TRADE),
    ("GET", "/api/v5/trade/order-algo"): Route(query, 20),
    ("GET", "/api/v5/trade/orders-algo-pending"): Route(pending, 20),
    ("GET", "/api/v5/trade/orders-algo-history"): Route(history, 20),
}
