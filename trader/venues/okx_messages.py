"""OKX's account messages: requests, answers and private frames, as the engine's records, contracts as base units."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
import orjson

from market.errors import FrameError
from market.instruments import Instrument
from trader.records import AccountUpdate, Order, OrderUpdate, WalletChange
from trader.venues.common import (
    MS,
    ZERO,
    Keys,
    Received,
    number,
    plain,
    trade_number,
)

STATES: Final = {
    "live": "NEW",
    "partially_filled": "PARTIALLY_FILLED",
    "filled": "FILLED",
    "canceled": "CANCELED",
    "mmp_canceled": "CANCELED",
}
# reasons of a push whose money the fills tell, and the state at the start
TRADED: Final = frozenset({"snapshot", "filled", "liquidation", "adl", "delivered", "exercised"})


class OkxStream:
    """Login, then orders, positions and balances; complete once the orders subscription is confirmed.

    The venue states what the cash balance is, never what changed it by how much (``balance_and_position``): funding is
    the step from one push to the next. ``quote`` is the asset that the ledger counts.
    """

    ping = b"ping"

    def __init__(
        self, url: str, keys: Keys, contracts: Mapping[str, Decimal], venue_s: Callable[[], int], quote: str = "USDT"
    ) -> None:
        self.url = url
        self._keys = keys
        self._contracts = contracts
        self._venue_s = venue_s
        self._quote = quote
        self._cash: Decimal | None = None
        self._fees: dict[str, Decimal] = {}

    def hello(self) -> list[bytes]:
        return [login(self._keys, self._venue_s())]

    def receive(self, raw: bytes, ts_ns: int) -> Received:
        if raw == b"pong":
            return Received()
        try:
            frame = _decoder.decode(raw)
            if frame.event:
                return self._on_event(frame)
            return Received(events=self._on_data(frame, ts_ns))
        except (msgspec.DecodeError, msgspec.ValidationError, ArithmeticError) as error:
            raise FrameError(f"user stream: {error}") from error

    def _on_event(self, frame: "_Frame") -> Received:
        match frame.event:
            case "login":
                return Received(send=(SUBSCRIBE,))
            case "subscribe":
                return Received(ready=frame.arg is not None and frame.arg.channel == "orders")
            case "error" | "notice":
                return Received(lost=f"{frame.event} {frame.code} {frame.msg}")
        return Received()

    def _on_data(self, frame: "_Frame", ts_ns: int) -> tuple[OrderUpdate | AccountUpdate | WalletChange, ...]:
        channel = frame.arg.channel if frame.arg is not None else ""
        if channel == "orders":
            rows = [msgspec.json.decode(row, type=_Order) for row in frame.data]
            return tuple(self._on_order(row, ts_ns) for row in rows if row.instId in self._contracts)
        if channel == "positions" and frame.data:
            held = [msgspec.json.decode(row, type=_Position) for row in frame.data]
            qty = {p.instId: number(p.pos) * self._contracts.get(p.instId, Decimal(1)) for p in held}
            ts_event = max(int(p.uTime or 0) for p in held) * MS
            return (AccountUpdate(ts_ns=ts_ns, ts_event=ts_event, reason="positions", positions=qty),)
        if channel == "balance_and_position":
            told = [msgspec.json.decode(row, type=_Balances) for row in frame.data]
            return tuple(change for row in told for change in self._on_balances(row, ts_ns))
        return ()

    def _on_balances(self, row: "_Balances", ts_ns: int) -> list[WalletChange]:
        """Money that moved without a trade. Steps of trades are booked from their fills, and only remembered here."""
        changes = []
        for cash in (number(b.cashBal) for b in row.balData if b.ccy == self._quote):
            before, self._cash = self._cash, cash
            if before is not None and cash != before and row.eventType not in TRADED:
                ts_event, change = int(row.pTime or 0) * MS, cash - before
                changes.append(
                    WalletChange(ts_ns=ts_ns, ts_event=ts_event, reason=row.eventType, symbol="", change=change)
                )
        return changes

    def _on_order(self, row: "_Order", ts_ns: int) -> OrderUpdate:
        """Fees are told per fill, or else as the order's sum so far."""
        before = self._fees.get(row.ordId, ZERO)
        self._fees[row.ordId] = total = number(row.fee)
        if row.state in ("filled", "canceled", "mmp_canceled"):
            del self._fees[row.ordId]
        fee = -number(row.fillFee) if row.fillFee else before - total
        return order_update(msgspec.structs.asdict(row), self._contracts[row.instId], fee, ts_ns)


def login(keys: Keys, venue_s: int) -> bytes:
    """The login request at the venue's time."""
    signed = hmac.new(keys.secret.encode(), f"{venue_s}GET/users/self/verify".encode(), hashlib.sha256).digest()
    row = {
        "apiKey": keys.api_key,
        "passphrase": keys.password,
        "timestamp": str(venue_s),
        "sign": base64.b64encode(signed).decode(),
    }
    return orjson.dumps({"op": "login", "args": [row]})


SUBSCRIBE: Final = orjson.dumps(
    {
        "op": "subscribe",
        "args": [
            {"channel": "positions", "instType": "SWAP"},
            {"channel": "balance_and_position"},
            {"channel": "orders", "instType": "SWAP"},
        ],
    }
)


class _Arg(msgspec.Struct):
    channel: str = ""


class _Frame(msgspec.Struct):
    event: str = ""
    code: str = ""
    msg: str = ""
    arg: _Arg | None = None
    data: tuple[msgspec.Raw, ...] = ()


class _Order(msgspec.Struct):
    instId: str
    ordId: str
    side: str
    state: str
    sz: str
    accFillSz: str
    uTime: str
    clOrdId: str = ""
    category: str = "normal"
    fillPx: str = ""
    fillSz: str = ""
    fillTime: str = ""
    tradeId: str = ""
    execType: str = ""
    fee: str = ""
    fillFee: str = ""


class _Position(msgspec.Struct):
    instId: str
    pos: str
    uTime: str = ""


class _Balance(msgspec.Struct):
    ccy: str
    cashBal: str


class _Balances(msgspec.Struct):
    eventType: str
    pTime: str = ""
    balData: tuple[_Balance, ...] = ()


_decoder = msgspec.json.Decoder(_Frame)


def side_of(name: str) -> int:
    return 1 if name == "buy" else -1


def client_id_of(row: Mapping[str, Any]) -> str:
    """The client's id; orders of the venue (liquidation, ADL) and of people have none and get category and number."""
    return str(row["clOrdId"] or f"{row.get('category', 'order')}-{row['ordId']}")


def contract_size(row: Mapping[str, Any]) -> Decimal:
    """Base units of one contract."""
    return Decimal(row["ctVal"]) * Decimal(row["ctMult"] or 1)


def parse_instrument(row: Mapping[str, Any], rates: Mapping[str, Any]) -> Instrument:
    """Instrument of a linear swap: its lot is ``lotSz`` contracts. Fees are stated as what the account receives."""
    lot, size = Decimal(row["lotSz"]), contract_size(row)
    maker, taker = (number(rates.get(f"{kind}U") or rates[kind]) for kind in ("maker", "taker"))
    return Instrument(
        venue="okx",
        symbol=row["instId"],
        base=row["ctValCcy"],
        quote=row["settleCcy"],
        tick_size=Decimal(row["tickSz"]),
        lot_size=lot * size,
        min_lots=int(Decimal(row["minSz"]) / lot),
        max_lots=int(min(Decimal(row["maxLmtSz"]), Decimal(row["maxMktSz"])) / lot),
        min_notional=ZERO,
        maker_fee_bps=-maker * 10_000,
        taker_fee_bps=-taker * 10_000,
    )


def order_params(order: Order, instrument: Instrument, contract: Decimal) -> dict[str, Any]:
    """The request of a new order, sized in contracts."""
    params: dict[str, Any] = {
        "instId": order.symbol,
        "tdMode": "cross",
        "side": "buy" if order.side > 0 else "sell",
        "sz": plain(instrument.qty(order.lots) / contract),
        "clOrdId": order.client_id,
    }
    if order.reduce_only:
        params["reduceOnly"] = True
    if order.px_ticks is None:
        return params | {"ordType": "market"}
    return params | {"ordType": "post_only" if order.post_only else "limit", "px": plain(instrument.px(order.px_ticks))}


def order_update(row: Mapping[str, Any], contract: Decimal, fee: Decimal, ts_ns: int) -> OrderUpdate:
    """An order as stream and query tell it, with its last fill."""
    return OrderUpdate(
        ts_ns=ts_ns,
        ts_event=int(row.get("fillTime") or row["uTime"] or 0) * MS,
        client_id=client_id_of(row),
        symbol=row["instId"],
        side=side_of(row["side"]),
        status=STATES.get(row["state"], row["state"]),
        cum_qty=number(row["accFillSz"]) * contract,
        fill_qty=number(row.get("fillSz", "")) * contract,
        fill_px=number(row.get("fillPx", "")),
        fee=fee,
        maker=row.get("execType") == "M",
        trade_id=trade_number(row.get("tradeId") or "0"),
    )


def trade_update(row: Mapping[str, Any], contract: Decimal, ts_ns: int) -> OrderUpdate:
    """One row of the account's fills."""
    return OrderUpdate(
        ts_ns=ts_ns,
        ts_event=int(row["ts"]) * MS,
        client_id=client_id_of(row),
        symbol=row["instId"],
        side=side_of(row["side"]),
        status="PARTIALLY_FILLED",
        cum_qty=ZERO,
        fill_qty=number(row["fillSz"]) * contract,
        fill_px=number(row["fillPx"]),
        fee=-number(row["fee"]),
        maker=row.get("execType") == "M",
        trade_id=trade_number(row["tradeId"]),
    )
