"""Binance USD-M's JSON: orders, fills, account and stream events, in its documents' field names and number formats."""

from decimal import Decimal
from typing import Any, Final

from market.instruments import Instrument
from market.simulator.errors import Reason
from market.simulator.exchange import Exchange
from market.simulator.orders import BUY, Fill, Leg, Order, Tif
from market.simulator.reports import AccountReport, Cause, ConfigReport, Execution, OrderReport

Json = dict[str, Any]

CODES: Final[dict[Reason, tuple[int, str]]] = {
    Reason.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    Reason.PRECISION: (-1111, "Precision is over the maximum defined for this asset."),
    Reason.PX_TICK: (-4014, "Price not increased by tick size."),
    Reason.PX_RANGE: (-4013, "Price less than min price."),
    Reason.PX_BAND: (-4016, "Limit price can't be beyond the mark price multiplier (PERCENT_PRICE)."),
    Reason.PX_BAND_LOW: (-4024, "Limit price can't be lower than {low}."),
    Reason.QTY_STEP: (-4023, "Qty not increased by step size."),
    Reason.QTY_MIN: (-1013, "Filter failure: LOT_SIZE"),
    Reason.QTY_MAX: (-4005, "Quantity greater than max quantity."),
    Reason.NOTIONAL: (-4164, "Order's notional must be no smaller than {notional} (unless you choose reduce only)."),
    Reason.MARGIN: (-2019, "Margin is insufficient."),
    Reason.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    Reason.POST_ONLY: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    ),
    Reason.FILL_OR_KILL: (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. "
        "The order will not be recorded in the order history",
    ),
    Reason.DUPLICATE_ID: (-4116, "ClientOrderId is duplicated."),
    Reason.TOO_MANY_ORDERS: (-2025, "Reach max open order limit."),
    Reason.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    Reason.NO_SUCH_ORDER: (-2013, "Order does not exist."),
    Reason.WOULD_TRIGGER: (-2021, "Order would immediately trigger."),
    Reason.NOT_AMENDABLE: (-4197, "The order quantity must stay above what is already executed."),
    Reason.NO_CHANGE: (-5027, "No need to modify the order."),
    Reason.LEVERAGE: (-4028, "Leverage is not valid."),
    Reason.OPEN_ORDERS: (-4067, "Position side cannot be changed if there exists open orders."),
    Reason.OPEN_POSITIONS: (-4068, "Position side cannot be changed if there exists position."),
    Reason.POSITION_SIDE: (-4061, "Order's position side does not match user's setting."),
    Reason.POSITION_CAP: (-2027, "Exceeded the maximum allowable position at current leverage."),
    Reason.ADD_MARGIN: (-4051, "Isolated balance insufficient."),
}
TIFS: Final = {"GTC": Tif.GTC, "IOC": Tif.IOC, "FOK": Tif.FOK, "GTX": Tif.POST}
LEGS: Final = {"BOTH": Leg.NET, "LONG": Leg.LONG, "SHORT": Leg.SHORT}
LEG_NAMES: Final = {leg: name for name, leg in LEGS.items()}
TIF_NAMES: Final = {tif: name for name, tif in TIFS.items()}
EXECUTIONS: Final = {Execution.AMENDED: "AMENDMENT"}


def text(value: Decimal) -> str:
    """A decimal in plain notation."""
    return format(value, "f")


def money(value: Decimal) -> str:
    """An amount of the quote asset, eight decimals."""
    return format(value, ".8f")


def ms(time_ns: int) -> int:
    """Milliseconds of an exchange time."""
    return time_ns // 1_000_000


def side_name(side: int) -> str:
    return "BUY" if side == BUY else "SELL"


def kind_name(order: Order) -> str:
    return "MARKET" if order.ticks is None else "LIMIT"


def price(instrument: Instrument, order: Order) -> str:
    return "0" if order.ticks is None else text(instrument.px(order.ticks))


def average(instrument: Instrument, order: Order) -> str:
    """Mean fill price with a few digits beyond the tick."""
    return text(round(order.average_px(instrument), 8).normalize()) if order.filled_lots else "0"


def order_ack(instrument: Instrument, order: Order) -> Json:
    """Answer to a new, amended or cancelled order, without average price and quote total: fills come as events."""
    filled = text(instrument.qty(order.filled_lots))
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status.value,
        "clientOrderId": order.client_id,
        "price": price(instrument, order),
        "origQty": text(instrument.qty(order.lots)),
        "executedQty": filled,
        "cumQty": filled,
        "timeInForce": TIF_NAMES[order.tif],
        "type": kind_name(order),
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": side_name(order.side),
        "positionSide": LEG_NAMES[order.leg],
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.label or kind_name(order),
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": ms(order.updated_ns),
    }


def order_record(instrument: Instrument, order: Order) -> Json:
    """An order as queries return it."""
    spent = instrument.tick_size * instrument.lot_size * order.filled_value
    return order_ack(instrument, order) | {
        "avgPrice": average(instrument, order),
        "cumQuote": text(spent),
        "time": ms(order.created_ns),
    }


def user_trade(instrument: Instrument, fill: Fill) -> Json:
    """One of the account's executions."""
    px, qty = instrument.px(fill.ticks), instrument.qty(fill.lots)
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": side_name(fill.side),
        "price": text(px),
        "qty": text(qty),
        "realizedPnl": money(fill.realized_pnl),
        "quoteQty": text(px * qty),
        "commission": money(fill.fee),
        "commissionAsset": instrument.quote,
        "time": ms(fill.ts_ns),
        "positionSide": LEG_NAMES[fill.leg],
        "buyer": fill.side == BUY,
        "maker": fill.is_maker,
    }


def order_event(exchange: Exchange, report: OrderReport) -> Json:
    """``ORDER_TRADE_UPDATE``."""
    order, fill = report.order, report.fill
    instrument = exchange.markets[order.symbol].instrument
    event: Json = {
        "s": order.symbol,
        "c": order.client_id,
        "S": side_name(order.side),
        "o": kind_name(order),
        "f": TIF_NAMES[order.tif],
        "q": text(instrument.qty(order.lots)),
        "p": price(instrument, order),
        "ap": average(instrument, order),
        "sp": "0",
        "x": EXECUTIONS.get(report.execution, report.execution.value),
        "X": order.status.value,
        "i": order.order_id,
        "l": "0" if fill is None else text(instrument.qty(fill.lots)),
        "z": text(instrument.qty(order.filled_lots)),
        "L": "0" if fill is None else text(instrument.px(fill.ticks)),
        "n": "0" if fill is None else money(fill.fee),
        "N": instrument.quote,
        "T": ms(report.ts_ns),
        "t": 0 if fill is None else fill.trade_id,
        "b": "0",
        "a": "0",
        "m": fill is not None and fill.is_maker,
        "R": order.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.label or kind_name(order),
        "ps": LEG_NAMES[order.leg],
        "cp": False,
        "rp": "0" if fill is None else money(fill.realized_pnl),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
    }
    return {"e": "ORDER_TRADE_UPDATE", "E": ms(report.ts_ns), "T": ms(report.ts_ns), "o": event}


CAUSES: Final = {
    Cause.TRADE: "ORDER",
    Cause.FUNDING: "FUNDING_FEE",
    Cause.MARGIN: "MARGIN_TRANSFER",
    Cause.INSURANCE: "INSURANCE_CLEAR",
    Cause.MARGIN_MODE: "MARGIN_TYPE_CHANGE",
}


def account_event(exchange: Exchange, report: AccountReport) -> Json:
    """``ACCOUNT_UPDATE`` after a trade, a funding settlement, or margin moved. Cross funding names no position."""
    exchange.refresh_marks()
    account, symbol = exchange.account, report.symbol
    is_isolated, position = account.is_isolated[symbol], account.position(symbol, report.leg)
    quote = exchange.markets[symbol].instrument.quote
    entry = text(round(position.entry_px, 12).normalize())
    held = {
        "s": symbol,
        "pa": text(account.instruments[symbol].qty(position.lots)),
        "ep": entry,
        "bep": entry,
        "cr": money(position.realized_pnl),
        "up": money(account.unrealized_pnl(symbol, report.leg)),
        "mt": "isolated" if is_isolated else "cross",
        "iw": money(position.margin) if is_isolated else "0",
        "ps": LEG_NAMES[report.leg],
        "ma": quote,
    }
    wallets = {"wb": money(account.wallet), "cw": money(account.cross_wallet())}
    is_silent = report.cause is Cause.FUNDING and not is_isolated
    update = {"m": CAUSES[report.cause], "B": [{"a": quote, **wallets, "bc": money(report.change)}]}
    update["P"] = [] if is_silent else [held]
    return {"e": "ACCOUNT_UPDATE", "E": ms(report.ts_ns), "T": ms(report.ts_ns), "a": update}


def lite_event(exchange: Exchange, order: Order, fill: Fill) -> Json:
    """``TRADE_LITE``: an execution in few words, sent ahead of ``ORDER_TRADE_UPDATE``."""
    instrument = exchange.markets[order.symbol].instrument
    px, qty = text(instrument.px(fill.ticks)), text(instrument.qty(fill.lots))
    head = {"e": "TRADE_LITE", "E": ms(fill.ts_ns), "T": ms(fill.ts_ns), "s": order.symbol}
    size = {"q": text(instrument.qty(order.lots)), "p": price(instrument, order), "m": fill.is_maker}
    ids = {"c": order.client_id, "S": side_name(order.side), "L": px, "l": qty, "t": fill.trade_id}
    return {**head, **size, **ids, "i": order.order_id}


def config_event(report: ConfigReport) -> Json:
    """``ACCOUNT_CONFIG_UPDATE``: the leverage of a symbol changed."""
    changed = {"s": report.symbol, "l": report.leverage}
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": ms(report.ts_ns), "T": ms(report.ts_ns), "ac": changed}
