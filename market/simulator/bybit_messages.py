"""Bybit v5's JSON for one order, execution, position and wallet; the same rows serve REST answers and the streams."""

from decimal import Decimal
from typing import Any, Final

from market.instruments import Instrument
from market.simulator.account import ZERO
from market.simulator.bybit_exchange import BybitExchange
from market.simulator.bybit_topics import plain, side_name
from market.simulator.bybit_topics import text as text
from market.simulator.orders import Fill, Leg, Order, Status, Tif
from market.simulator.reports import Stop, StopStatus

Json = dict[str, Any]

TIFS: Final = {"GTC": Tif.GTC, "IOC": Tif.IOC, "FOK": Tif.FOK, "PostOnly": Tif.POST}
TIF_NAMES: Final = {tif: name for name, tif in TIFS.items()}
INDEX: Final = {Leg.NET: 0, Leg.LONG: 1, Leg.SHORT: 2}
LEGS: Final = {str(index): leg for leg, index in INDEX.items()}
STATUSES: Final = {
    Status.NEW: "New",
    Status.PARTIALLY_FILLED: "PartiallyFilled",
    Status.FILLED: "Filled",
    Status.CANCELED: "Cancelled",
    Status.EXPIRED: "Cancelled",
}
STOP_STATUSES: Final = {
    StopStatus.NEW: "Untriggered",
    StopStatus.TRIGGERED: "Triggered",
    StopStatus.FINISHED: "Triggered",
    StopStatus.CANCELED: "Deactivated",
    StopStatus.REJECTED: "Rejected",
    StopStatus.EXPIRED: "Deactivated",
}
UNNAMED: Final = "~"
_ID_HEAD: Final = "5b6a7c00-1d2e-4f3a-8b4c-"


def money(value: Decimal) -> str:
    """An amount of the settlement coin, eight decimals."""
    return format(value, ".8f")


def ms(time_ns: int) -> str:
    """Milliseconds of an exchange time; Bybit writes them as strings."""
    return str(time_ns // 1_000_000)


def public_id(number: int) -> str:
    """An id as Bybit writes it.

    >>> public_id(7), number_of(public_id(7)), number_of("7")
    ('5b6a7c00-1d2e-4f3a-8b4c-000000000007', 7, None)
    """
    return f"{_ID_HEAD}{number:012x}"


def number_of(name: str) -> int | None:
    """The number behind ``public_id``; None when the id is none of ours."""
    tail = name.removeprefix(_ID_HEAD)
    return int(tail, 16) if len(tail) == 12 and name == _ID_HEAD + tail and tail.isalnum() and _is_hex(tail) else None


def _is_hex(tail: str) -> bool:
    return all(character in "0123456789abcdef" for character in tail)


def link_id(client_id: str) -> str:
    """The client's own id, "" when it gave none."""
    return "" if client_id.startswith(UNNAMED) else client_id


def label(order_type: str, stop_type: str = "") -> str:
    """What the core carries for us in ``OrderRequest.label``."""
    return f"{order_type}|{stop_type}"


def kinds(text_label: str) -> tuple[str, str]:
    """(order type, stop type) of a label; an order without ours is the venue's own, a liquidation at market."""
    order_type, mark, stop_type = text_label.partition("|")
    return (order_type, stop_type) if mark else ("Market", "")


_PLAIN: Final = {
    "blockTradeId": "",
    "isLeverage": "",
    "orderIv": "",
    "marketUnit": "",
    "smpType": "None",
    "smpGroup": 0,
    "smpOrderId": "",
    "tpLimitPrice": "",
    "slLimitPrice": "",
    "takeProfit": "",
    "stopLoss": "",
    "tpTriggerBy": "",
    "slTriggerBy": "",
    "placeType": "",
    "slippageToleranceType": "UNKNOWN",
    "slippageTolerance": "",
    "ocoTriggerBy": "",
    "closeOnTrigger": False,
    "lastPriceOnCreated": "",
}


def _common(exchange: BybitExchange, symbol: str) -> Json:
    quote = exchange.markets[symbol].instrument.quote
    return _PLAIN | {"category": "linear", "symbol": symbol, "feeCurrency": quote}


def _trigger(instrument: Instrument, stop: Stop | None) -> Json:
    """What an order says of the price that released, or will release, it."""
    return {
        "triggerPrice": "" if stop is None else text(instrument.px(stop.trigger_ticks)),
        "triggerDirection": 0 if stop is None else (1 if stop.rises else 2),
        "triggerBy": "" if stop is None else ("MarkPrice" if stop.on_mark else "LastPrice"),
        "tpslMode": "" if stop is None else "Full" if stop.closes else "Partial",
    }


def order_row(exchange: BybitExchange, order: Order, stop: Stop | None, fee: Decimal) -> Json:
    """An order of the book, live or done. ``stop`` is the conditional order it came from; it keeps that one's id."""
    instrument, (order_type, stop_type) = exchange.markets[order.symbol].instrument, kinds(order.label)
    left = instrument.qty(order.left_lots if order.is_open else 0)
    px = ZERO if order.ticks is None else instrument.px(order.ticks)
    spent = instrument.tick_size * instrument.lot_size * order.filled_value
    is_done = order.status in (Status.CANCELED, Status.EXPIRED)
    return (
        _common(exchange, order.symbol)
        | _trigger(instrument, stop)
        | {
            "orderId": public_id(order.order_id if stop is None else stop.stop_id),
            "orderLinkId": link_id(order.client_id),
            "side": side_name(order.side),
            "orderType": order_type,
            "price": text(px),
            "qty": text(instrument.qty(order.lots)),
            "timeInForce": "IOC" if order.ticks is None else TIF_NAMES[order.tif],
            "orderStatus": STATUSES[order.status],
            "cancelType": _cancel_type(exchange, order) if is_done else "",
            "rejectReason": exchange.why.get(order.order_id, "EC_NoError" if not is_done else _why(order)),
            "createType": "CreateByLiq" if order.is_liquidation else "CreateByUser",
            "reduceOnly": order.reduce_only,
            "positionIdx": INDEX[order.leg],
            "leavesQty": text(left),
            "leavesValue": text(left * px),
            "cumExecQty": text(instrument.qty(order.filled_lots)),
            "cumExecValue": text(spent),
            "cumExecFee": money(fee),
            "cumFeeDetail": {instrument.quote: money(fee)} if order.filled_lots else {},
            "avgPrice": plain(order.average_px(instrument)) if order.filled_lots else "",
            "stopOrderType": stop_type,
            "createdTime": ms(order.created_ns if stop is None else stop.created_ns),
            "updatedTime": ms(order.updated_ns),
        }
    )


def _cancel_type(exchange: BybitExchange, order: Order) -> str:
    """Only what somebody asked for is cancelled by the user; what the matching ended is not."""
    by_user = order.status is Status.CANCELED and order.order_id not in exchange.why
    return "CancelByUser" if by_user else "UNKNOWN"


def _why(order: Order) -> str:
    return "EC_PerCancelRequest" if order.status is Status.CANCELED else "EC_NoImmediateQtyToFill"


def stop_row(exchange: BybitExchange, stop: Stop) -> Json:
    """A conditional order that has placed no order (yet)."""
    request = stop.request
    instrument, (order_type, stop_type) = exchange.markets[request.symbol].instrument, kinds(request.label)
    is_waiting = stop.status is StopStatus.NEW
    qty = text(request.qty)
    return (
        _common(exchange, request.symbol)
        | _trigger(instrument, stop)
        | {
            "orderId": public_id(stop.stop_id),
            "orderLinkId": link_id(request.client_id),
            "side": side_name(request.side),
            "orderType": order_type,
            "price": "0" if request.px is None else text(request.px),
            "qty": qty,
            "timeInForce": "IOC" if request.px is None else TIF_NAMES[request.tif],
            "orderStatus": STOP_STATUSES[stop.status],
            "cancelType": "CancelByUser" if stop.status is StopStatus.CANCELED else "",
            "rejectReason": f"EC_{stop.failure}" if stop.failure else "EC_NoError",
            "createType": "CreateByUser" if stop_type == "Stop" else f"CreateBy{stop_type}",
            "reduceOnly": request.reduce_only or stop.closes,
            "closeOnTrigger": stop.closes,
            "positionIdx": INDEX[request.leg],
            "leavesQty": qty if is_waiting else "0",
            "leavesValue": "0",
            "cumExecQty": "0",
            "cumExecValue": "0",
            "cumExecFee": "0",
            "cumFeeDetail": {},
            "avgPrice": "",
            "stopOrderType": stop_type,
            "createdTime": ms(stop.created_ns),
            "updatedTime": ms(stop.updated_ns),
        }
    )


_NO_OPTION: Final = {
    "indexPrice": "",
    "underlyingPrice": "",
    "markIv": "",
    "tradeIv": "",
    "blockTradeId": "",
    "isLeverage": "0",
    "extraFees": "",
}


def execution_row(exchange: BybitExchange, order: Order, fill: Fill, order_id: str, closed_lots: int) -> Json:
    """One execution. ``closed_lots`` of it reduced the position."""
    market = exchange.markets[fill.symbol]
    instrument: Instrument = market.instrument
    px, qty = instrument.px(fill.ticks), instrument.qty(fill.lots)
    fee_bps = instrument.maker_fee_bps if fill.is_maker else instrument.taker_fee_bps
    order_type, stop_type = kinds(order.label)
    return _NO_OPTION | {
        "category": "linear",
        "symbol": fill.symbol,
        "execId": public_id(fill.trade_id),
        "execType": "BustTrade" if order.is_liquidation else "Trade",
        "execPrice": text(px),
        "execQty": text(qty),
        "execValue": text(px * qty),
        "execFee": money(fill.fee),
        "feeRate": text(fee_bps / 10_000),
        "feeCurrency": instrument.quote,
        "execTime": ms(fill.ts_ns),
        "isMaker": fill.is_maker,
        "side": side_name(fill.side),
        "orderId": order_id,
        "orderLinkId": link_id(order.client_id),
        "orderPrice": "0" if order.ticks is None else text(instrument.px(order.ticks)),
        "orderQty": text(instrument.qty(order.lots)),
        "leavesQty": text(instrument.qty(order.left_lots)),
        "orderType": order_type,
        "stopOrderType": stop_type or "UNKNOWN",
        "createType": "CreateByLiq" if order.is_liquidation else "CreateByUser",
        "closedSize": text(instrument.qty(closed_lots)),
        "execPnl": money(fill.realized_pnl),
        "markPrice": plain(market.mark_px()),
        "seq": fill.trade_id,
    }
