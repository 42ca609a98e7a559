"""OKX's JSON rows of conditional orders."""

from typing import Any, Final

from market.simulator.okx_contracts import Contract, text
from market.simulator.okx_exchange import OkxExchange
from market.simulator.okx_messages import Json, ms, side_name
from market.simulator.okx_rows import POS_SIDES, margin_mode, shown_id
from market.simulator.reports import Stop, StopStatus

ALGO_STATES: Final = {
    StopStatus.NEW: "live",
    StopStatus.TRIGGERED: "live",
    StopStatus.FINISHED: "effective",
    StopStatus.CANCELED: "canceled",
    StopStatus.REJECTED: "order_failed",
    StopStatus.EXPIRED: "order_failed",
}


def algo_row(exchange: OkxExchange, contract: Contract, stop: Stop) -> Json:
    """A conditional order; its request's label is ``trigger``, ``sl``, ``tp`` or ``move_order_stop``."""
    request, instrument = stop.request, contract.instrument
    order = exchange.orders.get(stop.order_id)
    px = "-1" if request.px is None else text(request.px)
    return {
        "instType": "SWAP",
        "instId": request.symbol,
        "algoId": str(stop.stop_id),
        "algoClOrdId": shown_id(request.client_id),
        "clOrdId": "",
        "ordId": "" if order is None else str(order.order_id),
        "ordIdList": [] if order is None else [str(order.order_id)],
        "ordType": "oco" if stop.group else "conditional" if request.label in ("sl", "tp") else request.label,
        "side": side_name(request.side),
        "posSide": POS_SIDES[request.leg],
        "tdMode": margin_mode(exchange, request.symbol),
        "sz": "" if stop.closes else contract.contracts(request.qty),
        "closeFraction": "1" if stop.closes else "",
        "reduceOnly": "true" if request.reduce_only or stop.closes else "false",
        "state": ALGO_STATES[stop.status],
        "lever": str(exchange.account.leverage[request.symbol]),
        "last": contract.px(round(exchange.market(request.symbol).stats.last_px / float(instrument.tick_size))),
        "actualSz": "0" if order is None else contract.size(order.lots),
        "actualPx": "" if order is None or order.ticks is None else contract.px(order.ticks),
        "actualSide": request.label if request.label in ("sl", "tp") and order is not None else "",
        "failCode": "0" if not stop.failure else "51000",
        "triggerTime": ms(stop.triggered_ns) if stop.triggered_ns else "",
        "cTime": ms(stop.created_ns),
        "uTime": ms(stop.updated_ns),
        **_trigger(contract, stop, px),
    }


def _trigger(contract: Contract, stop: Stop, px: str) -> Json:
    """The fields that say when a conditional order triggers, named by its kind."""
    label, kind = stop.request.label, "mark" if stop.on_mark else "last"
    names = ("triggerPx", "triggerPxType", "ordPx")
    row: dict[str, Any] = dict.fromkeys((*names, "callbackRatio", "callbackSpread", "activePx", "moveTriggerPx"), "")
    for one in ("sl", "tp"):
        row |= dict.fromkeys((f"{one}TriggerPx", f"{one}TriggerPxType", f"{one}OrdPx"), "")
    if stop.trails:
        row["callbackRatio"] = text(stop.trail) if stop.trail else ""
        row["callbackSpread"] = contract.px(stop.trail_ticks) if stop.trail_ticks else ""
        row["activePx"] = contract.px(stop.activation_ticks) if stop.activation_ticks else ""
        row["moveTriggerPx"] = contract.px(stop.trigger_ticks) if stop.is_active else ""
        return row
    prefix = label if label in ("sl", "tp") else ""
    for name, value in zip(names, (contract.px(stop.trigger_ticks), kind, px), strict=True):
        row[prefix + name[0].upper() + name[1:] if prefix else name] = value
    return row
