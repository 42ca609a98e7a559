"""Binance USD-M's account messages: requests, answers and private frames, as the engine's records."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from market.errors import FrameError
from market.instruments import Instrument
from trader.records import AccountUpdate, Order, OrderUpdate, WalletChange
from trader.venues.common import (
    MS,
    ZERO,
    Received,
    plain,
)


class BinanceStream:
    """The private socket of one listen key. It needs no login: events are complete once it is connected."""

    ping = b""

    def __init__(self, url: str) -> None:
        self.url = url

    def hello(self) -> list[bytes]:
        return []

    def receive(self, raw: bytes, ts_ns: int) -> Received:
        event = parse_user_event(raw, ts_ns)
        if isinstance(event, str):
            return Received(lost=event if event == "listenKeyExpired" else "")
        return Received(events=event)


def order_params(order: Order, instrument: Instrument) -> dict[str, str]:
    """The request of a new order; GTX is the venue's post-only."""
    params = {
        "symbol": order.symbol,
        "side": "BUY" if order.side > 0 else "SELL",
        "quantity": plain(instrument.qty(order.lots)),
        "newClientOrderId": order.client_id,
        "newOrderRespType": "ACK",
    }
    if order.reduce_only:
        params["reduceOnly"] = "true"
    if order.px_ticks is None:
        return params | {"type": "MARKET"}
    price = plain(instrument.px(order.px_ticks))
    return params | {"type": "LIMIT", "price": price, "timeInForce": "GTX" if order.post_only else "GTC"}


def parse_instrument(row: Mapping[str, Any], rates: Mapping[str, Any]) -> Instrument:
    """Instrument from one exchangeInfo row; filters, never the row's precision fields, give tick and lot.

    The most lots are those of a market order where they are fewer: exits are market orders.
    """
    filters = {f["filterType"]: f for f in row["filters"]}
    lot = filters["LOT_SIZE"]
    step = Decimal(lot["stepSize"])
    most = min(Decimal(f["maxQty"]) for f in (lot, filters.get("MARKET_LOT_SIZE", lot)))
    return Instrument(
        venue="binanceusdm",
        symbol=row["symbol"],
        base=row["baseAsset"],
        quote=row["quoteAsset"],
        tick_size=Decimal(filters["PRICE_FILTER"]["tickSize"]),
        lot_size=step,
        min_lots=int(Decimal(lot["minQty"]) / step),
        max_lots=int(most / step),
        min_notional=Decimal(filters["MIN_NOTIONAL"]["notional"]),
        maker_fee_bps=Decimal(rates["makerCommissionRate"]) * 10_000,
        taker_fee_bps=Decimal(rates["takerCommissionRate"]) * 10_000,
    )


def side_of(name: str) -> int:
    return 1 if name == "BUY" else -1


def trade_update(trade: Mapping[str, Any], client_id: str, symbol: str, ts_ns: int) -> OrderUpdate:
    """One row of userTrades."""
    return OrderUpdate(
        ts_ns=ts_ns,
        ts_event=int(trade["time"]) * MS,
        client_id=client_id,
        symbol=symbol,
        side=side_of(trade["side"]) if "side" in trade else 0,
        status="PARTIALLY_FILLED",
        cum_qty=ZERO,
        fill_qty=Decimal(trade["qty"]),
        fill_px=Decimal(trade["price"]),
        fee=Decimal(trade["commission"]),
        maker=bool(trade["maker"]),
        trade_id=int(trade["id"]),
    )


def query_updates(
    order: Mapping[str, Any], trades: Sequence[Mapping[str, Any]], now_ns: Callable[[], int]
) -> list[OrderUpdate]:
    """One update per trade of a queried order, then its present state."""
    client_id, symbol, side = order["clientOrderId"], order["symbol"], side_of(order["side"])
    cum_qty = Decimal(order["executedQty"])
    updates = [
        msgspec.structs.replace(trade_update(t, client_id, symbol, now_ns()), side=side, cum_qty=cum_qty)
        for t in trades
    ]
    state = OrderUpdate(
        ts_ns=now_ns(),
        ts_event=int(order["updateTime"]) * MS,
        client_id=client_id,
        symbol=symbol,
        side=side,
        status=order["status"],
        cum_qty=cum_qty,
        fill_qty=ZERO,
        fill_px=ZERO,
        fee=ZERO,
        maker=False,
        trade_id=0,
    )
    return [*updates, state]


class _OrderEvent(msgspec.Struct, rename={"client_id": "c", "symbol": "s", "side": "S", "status": "X", "cum_qty": "z",
                                          "fill_qty": "l", "fill_px": "L", "fee": "n", "maker": "m", "trade_id": "t",
                                          "time_ms": "T"}):  # fmt: skip
    client_id: str
    symbol: str
    side: str
    status: str
    cum_qty: Decimal
    fill_qty: Decimal
    fill_px: Decimal
    time_ms: int
    trade_id: int
    maker: bool
    fee: Decimal = ZERO


class _Balance(msgspec.Struct, rename={"change": "bc"}):
    change: Decimal = ZERO


class _Position(msgspec.Struct, rename={"symbol": "s", "qty": "pa", "side": "ps"}):
    symbol: str
    qty: Decimal
    side: str = "BOTH"


class _Account(msgspec.Struct, rename={"reason": "m", "balances": "B", "positions": "P"}):
    reason: str = ""
    balances: tuple[_Balance, ...] = ()
    positions: tuple[_Position, ...] = ()


class _UserEvent(msgspec.Struct, rename={"kind": "e", "time_ms": "E", "order": "o", "account": "a"}):
    kind: str
    time_ms: int = 0
    order: _OrderEvent | None = None
    account: _Account | None = None


class _Kind(msgspec.Struct):
    e: str


_kind_decoder = msgspec.json.Decoder(_Kind)
_user_decoder = msgspec.json.Decoder(_UserEvent)


def parse_user_event(raw: bytes, ts_ns: int) -> tuple[OrderUpdate | AccountUpdate | WalletChange, ...] | str:
    """ORDER_TRADE_UPDATE and ACCOUNT_UPDATE as engine inputs; any other event as its name.

    Raises
    ------
    FrameError
        When the frame is not what the venue documents.
    """
    try:
        kind = _kind_decoder.decode(raw).e
        if kind not in ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"):
            return kind
        event = _user_decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise FrameError(f"user stream: {error}") from error
    if event.order is not None:
        return (_order_update(event.order, ts_ns),)
    if event.account is None:
        raise FrameError(f"user stream: {kind} without its content")
    return _account_events(event.account, event.time_ms * MS, ts_ns)


def _account_events(account: _Account, ts_event: int, ts_ns: int) -> tuple[AccountUpdate | WalletChange, ...]:
    """Positions as told, and money that moved for another reason than a trade."""
    positions = {p.symbol: p.qty for p in account.positions if p.side == "BOTH"}
    told = AccountUpdate(ts_ns=ts_ns, ts_event=ts_event, reason=account.reason, positions=positions)
    change = sum((b.change for b in account.balances), ZERO)
    if account.reason == "ORDER" or change == 0:
        return (told,)
    return told, WalletChange(ts_ns=ts_ns, ts_event=ts_event, reason=account.reason, symbol="", change=change)


def _order_update(o: _OrderEvent, ts_ns: int) -> OrderUpdate:
    return OrderUpdate(
        ts_ns=ts_ns,
        ts_event=o.time_ms * MS,
        client_id=o.client_id,
        symbol=o.symbol,
        side=side_of(o.side),
        status=o.status,
        cum_qty=o.cum_qty,
        fill_qty=o.fill_qty,
        fill_px=o.fill_px,
        fee=o.fee,
        maker=o.maker,
        trade_id=o.trade_id,
    )
