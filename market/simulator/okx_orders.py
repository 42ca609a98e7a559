"""Order calls of OKX: place, amend, cancel (single and in batches), queries, fills, and the dead-man's switch."""

import re
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any, Final

from market.simulator import okx_rows as rows
from market.simulator.errors import Reason, Reject
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
    require,
    value,
)
from market.simulator.okx_contracts import Contract
from market.simulator.okx_face import CODES, PARAMETER, OkxFace
from market.simulator.okx_messages import ms
from market.simulator.orders import BUY, SELL, Fill, Leg, Order, OrderRequest, Tif

CLIENT_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")
SIDES: Final = {"buy": BUY, "sell": SELL}
TIFS: Final = {
    "market": Tif.GTC,
    "limit": Tif.GTC,
    "post_only": Tif.POST,
    "fok": Tif.FOK,
    "ioc": Tif.IOC,
    "optimal_limit_ioc": Tif.IOC,
}
WITHOUT_PX: Final = ("market", "optimal_limit_ioc")
MARGIN_MODES: Final = {"cross": False, "isolated": True}
MAX_BATCH: Final = 20
COUNTDOWN_S: Final = (10, 120)
AMEND_FAILED: Final = ("51503", "Order modification failed as the order has been filled, canceled or does not exist.")
_ids: Final = count(1)
LATE: Final = ("51149", "Order timed out. Please try again.")
Action = Callable[[OkxFace, Json], tuple[str, str]]


def client_id(params: Json, name: str) -> str:
    """A client's own order id, or "" when it gave none."""
    given = value(params, name)
    if given and CLIENT_ID.fullmatch(given) is None:
        raise ApiError(PARAMETER, f"Parameter {name} error")
    return given


def leg_of(face: OkxFace, params: Json) -> Leg:
    """The position an order works on; in long/short mode it must be named."""
    default = "" if face.exchange.account.is_hedged else "net"
    leg: Leg = choice(params, "posSide", rows.LEGS, default)
    return leg


def use_margin_mode(face: OkxFace, contract: Contract, params: Json) -> None:
    """Trade in the mode the order names. A symbol is in one mode at a time: it changes while nothing of it is open."""
    face.exchange.settings.set_isolated(contract.inst_id, choice(params, "tdMode", MARGIN_MODES))


def order_request(face: OkxFace, params: Json) -> OrderRequest:
    """A plain order as sent to ``/trade/order``."""
    contract, kind = contract_of(face, params), value(params, "ordType")
    tif: Tif = choice(params, "ordType", TIFS)
    return OrderRequest(
        symbol=contract.inst_id,
        side=choice(params, "side", SIDES),
        qty=contract.qty(decimal(params, "sz")),
        px=None if kind in WITHOUT_PX else decimal(params, "px"),
        tif=tif,
        reduce_only=flag(params, "reduceOnly"),
        client_id=client_id(params, "clOrdId") or f"okx-{next(_ids)}",
        label=kind,
        leg=leg_of(face, params),
    )


def place_one(face: OkxFace, params: Json) -> tuple[str, str]:
    request = order_request(face, params)
    use_margin_mode(face, face.contract(request.symbol), params)
    if value(params, "tag"):
        face.tags[request.client_id] = value(params, "tag")
    attached = attached_of(params)
    order = face.exchange.place(request)
    if attached:
        face.attach(order, attached)
    return str(order.order_id), value(params, "clOrdId")


def attached_of(params: Json) -> list[Json]:
    """Stop-loss and take-profit orders to be placed once the order itself is done."""
    given = params.get("attachAlgoOrds") or []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise ApiError(PARAMETER, "Parameter attachAlgoOrds error")
    return given


def order_ids(face: OkxFace, params: Json) -> tuple[str, int | None, str | None]:
    """Symbol and either id of an order."""
    symbol = contract_of(face, params).inst_id
    order_id = integer(params, "ordId") if value(params, "ordId") else None
    if order_id is None and not value(params, "clOrdId"):
        raise ApiError(PARAMETER, "Parameter ordId or clOrdId error")
    return symbol, order_id, value(params, "clOrdId")


def amend_one(face: OkxFace, params: Json) -> tuple[str, str]:
    """New price, new total size, or both."""
    ids = order_ids(face, params)
    contract = face.contract(ids[0])
    try:
        order = face.exchange.find(*ids, Reason.UNKNOWN_ORDER)
        px = decimal(params, "newPx") if value(params, "newPx") else None
        qty = contract.qty(decimal(params, "newSz")) if value(params, "newSz") else None
        _amend(face, contract, order, px, qty)
    except Reject as reject:
        if reject.reason is Reason.UNKNOWN_ORDER:
            raise ApiError(*AMEND_FAILED) from None
        raise
    return str(order.order_id), rows.shown_id(order.client_id)


def _amend(face: OkxFace, contract: Contract, order: Order, px: Decimal | None, qty: Decimal | None) -> None:
    if px is None and qty is None:
        raise Reject(Reason.NO_CHANGE)
    if order.ticks is None:
        raise Reject(Reason.UNKNOWN_ORDER)
    instrument = contract.instrument
    kept_px, kept_qty = instrument.px(order.ticks), instrument.qty(order.lots)
    if order.is_open and (px or kept_px, qty or kept_qty) == (kept_px, kept_qty):
        return  # the venue accepts an amendment that changes nothing
    face.exchange.amend(order.symbol, order.order_id, None, px or kept_px, qty or kept_qty)


def cancel_one(face: OkxFace, params: Json) -> tuple[str, str]:
    order = face.exchange.cancel(*order_ids(face, params))
    return str(order.order_id), rows.shown_id(order.client_id)


def acted(
    action: Action, id_name: str = "ordId", client_name: str = "clOrdId"
) -> Callable[[OkxFace, Call], list[Json]]:
    """A call that does one thing per item and answers each with its own code."""

    def answer_one(face: OkxFace, call: Call, params: Json) -> Json:
        row = {id_name: value(params, id_name), client_name: value(params, client_name), "tag": value(params, "tag")}
        row |= {"ts": ms(face.exchange.now_ns), "sCode": "0", "sMsg": ""}
        try:
            if call.exp_ms and face.player.wall_ns() // 1_000_000 > call.exp_ms:
                raise ApiError(*LATE)
            row[id_name], row[client_name] = action(face, params)
        except Reject as reject:
            row["sCode"], row["sMsg"] = CODES[reject.reason]
        except ApiError as error:
            row["sCode"], row["sMsg"] = error.code, error.message
        return row

    def answer(face: OkxFace, call: Call) -> list[Json]:
        if not 0 < len(call.items) <= MAX_BATCH:
            raise ApiError("50014", f"A batch has 1 to {MAX_BATCH} orders.", 400)
        return [answer_one(face, call, params) for params in call.items]

    return answer


place, amend, cancel = acted(place_one), acted(amend_one), acted(cancel_one)


def query(face: OkxFace, call: Call) -> list[Json]:
    order = face.exchange.find(*order_ids(face, call.params), Reason.NO_SUCH_ORDER)
    return [face.order_row(order.order_id)]


def _listed(face: OkxFace, call: Call, is_open: bool) -> list[Json]:
    symbols = {contract.inst_id for contract in asked(face, call.params)}
    first_ms, last_ms = integer(call.params, "begin"), integer(call.params, "end", 2**63)
    kind, state = value(call.params, "ordType"), value(call.params, "state")
    found = [
        order
        for order in face.exchange.orders.values()
        if order.is_open is is_open and order.symbol in symbols and kind in ("", rows.kind_of(order))
        if state in ("", rows.STATES[order.status]) and first_ms <= order.created_ns // 1_000_000 <= last_ms
    ]
    return [face.order_row(order.order_id) for order in page(found, call.params, lambda order: int(order.order_id))]


def pending(face: OkxFace, call: Call) -> list[Json]:
    return _listed(face, call, is_open=True)


def history(face: OkxFace, call: Call) -> list[Json]:
    return _listed(face, call, is_open=False)


def fills(face: OkxFace, call: Call) -> list[Json]:
    """Executions, newest first."""
    symbols = {contract.inst_id for contract in asked(face, call.params)}
    first_ms, last_ms = integer(call.params, "begin"), integer(call.params, "end", 2**63)
    wanted = integer(call.params, "ordId")
    found = [fill for fill in face.exchange.fills if fill.symbol in symbols and wanted in (0, fill.order_id)]
    found = [fill for fill in found if first_ms <= fill.ts_ns // 1_000_000 <= last_ms]
    return [_fill(face, fill) for fill in page(found, call.params, lambda fill: int(fill.trade_id))]


def _fill(face: OkxFace, fill: Fill) -> Json:
    tag = face.tags.get(face.exchange.orders[fill.order_id].client_id, "")
    return rows.fill_row(face.exchange, face.contracts[fill.symbol], fill, tag)


def close_position(face: OkxFace, call: Call) -> list[Json]:
    """Close a whole position at the market; ``autoCxl`` cancels the orders that would close it first."""
    contract, leg = contract_of(face, call.params), leg_of(face, call.params)
    symbol, account = contract.inst_id, face.exchange.account
    lots = account.position(symbol, leg).lots
    if lots == 0:
        raise ApiError("51023", "Position does not exist")
    if flag(call.params, "autoCxl"):
        face.exchange.cancel_all(symbol)
    name = client_id(call.params, "clOrdId") or f"okx-{next(_ids)}"
    side, qty = (SELL if lots > 0 else BUY), contract.instrument.qty(abs(lots))
    face.exchange.place(OrderRequest(symbol, side, qty, None, Tif.GTC, True, name, "market", leg))
    return [
        {
            "instId": symbol,
            "posSide": rows.POS_SIDES[leg],
            "clOrdId": rows.shown_id(name),
            "tag": value(call.params, "tag"),
        }
    ]


def cancel_all_after(face: OkxFace, call: Call) -> list[Json]:
    """The dead-man's switch over all orders in the book, on the wall clock as its caller is."""
    require(call.params, "timeOut")
    seconds, (least, most) = integer(call.params, "timeOut"), COUNTDOWN_S
    if value(call.params, "tag"):
        raise ApiError(PARAMETER, "Parameter tag error: countdowns by tag are not simulated", 400)
    if seconds and not least <= seconds <= most:
        raise ApiError(PARAMETER, "Parameter timeOut error", 400)
    due_ns = time.time_ns() + seconds * 1_000_000_000
    face.exchange.arm(None, due_ns if seconds else None)
    return [{"triggerTime": ms(due_ns) if seconds else "0", "tag": "", "ts": ms(time.time_ns())}]


_TRADE: Final[dict[str, Any]] = {"limit": 60, "by_instrument": True, "travels": True}
_BATCH: Final[dict[str, Any]] = _TRADE | {"limit": 300}
ROUTES: Final = {
    ("POST", "/api/v5/trade/order"): Route(place, **_TRADE, new_orders=True),
    ("POST", "/api/v5/trade/batch-orders"): Route(place, **_BATCH, new_orders=True),
    ("POST", "/api/v5/trade/amend-order"): Route(amend, **_TRADE, new_orders=True),
    ("POST", "/api/v5/trade/amend-batch-orders"): Route(amend, **_BATCH, new_orders=True),
    ("POST", "/api/v5/trade/cancel-order"): Route(cancel, **_TRADE),
    ("POST", "/api/v5/trade/cancel-batch-orders"): Route(cancel, **_BATCH),
    ("POST", "/api/v5/trade/close-position"): Route(close_position, 20, by_instrument=True, travels=True),
    ("GET", "/api/v5/trade/order"): Route(query, 60, by_instrument=True),
    ("GET", "/api/v5/trade/orders-pending"): Route(pending, 60),
    ("GET", "/api/v5/trade/orders-history"): Route(history, 40),
    ("GET", "/api/v5/trade/orders-history-archive"): Route(history, 20),
    ("GET", "/api/v5/trade/fills"): Route(fills, 60),
    ("GET", "/api/v5/trade/fills-history"): Route(fills, 10),
    ("POST", "/api/v5/trade/cancel-all-after"): Route(cancel_all_after, 1, window_s=1.0),
}
