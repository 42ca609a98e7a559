"""The account at Bybit v5: linear perpetuals in one-way mode of a unified account."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import ccxt.async_support as ccxt
import msgspec
import orjson

from market.errors import CryptoScalpError, FrameError
from market.instruments import Instrument
from trader.budget import Budget, Limit
from trader.errors import ModeRefused
from trader.records import AccountSnapshot, AccountUpdate, OpenOrder, Order, OrderReply, OrderUpdate, WalletChange
from trader.venues.common import (
    MS,
    ZERO,
    Addresses,
    Codes,
    Keys,
    NowNs,
    Outcome,
    Received,
    Rest,
    lots_of,
    number,
    plain,
    telling_when_sent,
    trade_number,
)

LIMITS: Final = (Limit("weight", 5_000, 600), Limit("orders", 1_000, 10, "account"))
# 10000 timed out, 10016 internal error, 10429 and 10019 system protection and restart; 110072 duplicate orderLinkId
CODES: Final = Codes(unknown=frozenset({"10000", "10016", "10019", "10429", "110072"}), absent=frozenset({"110001"}))
PUBLIC_WS: Final = "wss://stream.bybit.com"
PATH: Final = "/v5/private"
TOPICS: Final = ("execution", "position", "wallet", "order")
# a fill ends an order by its execution, which carries price and fee; the order's own "Filled" would come without them
STATES: Final = {
    "New": "NEW",
    "Untriggered": "NEW",
    "Cancelled": "CANCELED",
    "PartiallyFilledCanceled": "CANCELED",
    "Deactivated": "CANCELED",
    "Rejected": "REJECTED",
}
TRADES: Final = frozenset({"Trade", "AdlTrade", "BustTrade", "BlockTrade", "Delivery", "Settle", "MovePosition"})
BANNED_MS: Final = 600_000
LIST_LIMIT: Final = 50


class BybitVenue:
    """Bybit linear. Its answers to orders only acknowledge, and it offers ordinary accounts no dead-man's switch."""

    name = "bybit"
    has_dead_man = False

    def __init__(self, addresses: Addresses, keys: Keys, budget: Budget, now_ns: NowNs) -> None:
        self._client = ccxt.bybit({"apiKey": keys.api_key, "secret": keys.secret})
        self._budget = budget
        self._rest = Rest(self._client, addresses, budget, CODES, self._on_response)
        self._ws = addresses.ws or PUBLIC_WS
        self._keys = keys
        self._now_ns = now_ns
        self._instruments: dict[str, Instrument] = {}
        self._quote = "USDT"
        self._noting: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect; raises ConnectionRefused when the venue does not answer."""
        await self._rest.open()

    async def instruments(self, symbols: Sequence[str]) -> list[Instrument]:
        for symbol in symbols:
            params = {"symbol": symbol}
            rows = (await self._ask(self._client.publicGetV5MarketInstrumentsInfo, params))["list"]
            if not rows:
                raise CryptoScalpError(f"{self._rest.where} does not list {symbol}", "pass --symbols that it lists")
            rates = (await self._ask(self._client.privateGetV5AccountFeeRate, params))["list"]
            self._instruments[symbol] = parse_instrument(rows[0], rates[0])
            self._quote = rows[0]["settleCoin"]
        return [self._instruments[s] for s in symbols]

    async def account(self) -> AccountSnapshot:
        """Raises ModeRefused when a position belongs to hedge mode."""
        wallet = await self._rest.ask(
            lambda: self._client.privateGetV5AccountWalletBalance({"accountType": "UNIFIED", "coin": self._quote}), 1
        )
        coins = [c for account in wallet["result"]["list"] for c in account["coin"] if c["coin"] == self._quote]
        rows = (await self._ask(self._client.privateGetV5PositionList, {"settleCoin": self._quote, "limit": "200"}))[
            "list"
        ]
        held = [r for r in rows if number(r["size"]) != 0]
        if any(int(r["positionIdx"]) != 0 for r in held):
            raise ModeRefused("the account is in hedge mode", "switch it to one-way mode, then start again")
        return AccountSnapshot(
            ts_ns=self._now_ns(),
            balance=sum((number(c["walletBalance"]) for c in coins), ZERO),
            positions={r["symbol"]: _side(r["side"]) * number(r["size"]) for r in held},
            entries={r["symbol"]: number(r["avgPrice"]) for r in held},
        )

    async def open_orders(self, symbols: Sequence[str]) -> list[OpenOrder]:
        rows: list[Any] = []
        for symbol in symbols:
            rows += await self._pages(
                self._client.privateGetV5OrderRealtime, {"symbol": symbol, "openOnly": "0", "limit": str(LIST_LIMIT)}
            )
        return [
            OpenOrder(client_id=client_id_of(r), symbol=r["symbol"], side=_side(r["side"]), qty=number(r["leavesQty"]))
            for r in rows
            if r["orderStatus"] in ("New", "PartiallyFilled", "Untriggered")
        ]

    async def fills(self, symbol: str, since_ms: int) -> list[OrderUpdate]:
        """The account's trades of at most the last week, oldest first."""
        params = {"symbol": symbol, "limit": "100"} | ({"startTime": str(since_ms)} if since_ms else {})
        return self._trades(await self._pages(self._client.privateGetV5ExecutionList, params))

    async def depth_snapshot(self, symbol: str) -> bytes:
        """200 levels as raw JSON."""
        return orjson.dumps(
            await self._rest.ask(
                lambda: self._client.publicGetV5MarketOrderbook({"category": "linear", "symbol": symbol, "limit": 200}),
                1,
            )
        )

    async def volume_24h_usd(self, symbol: str) -> float:
        return float(
            (await self._ask(self._client.publicGetV5MarketTickers, {"symbol": symbol}))["list"][0]["turnover24h"]
        )

    async def place(self, order: Order, sent: Callable[[], None]) -> Outcome:
        """Send ``order``; "acknowledged" when the venue took it in. ``sent`` is called when it is on the socket."""
        params = order_params(order, lots_of(self._instruments, order.symbol, self.name))
        with telling_when_sent(sent):
            return await self._rest.act(
                lambda: self._client.privatePostV5OrderCreate(params),
                {"orders": 1, "weight": 1},
                order.reduce_only,
                ("acknowledged", "rejected", "unknown"),
            )

    async def cancel(self, client_id: str, symbol: str) -> Outcome:
        params = {"category": "linear", "symbol": symbol, "orderLinkId": client_id}
        return await self._rest.act(
            lambda: self._client.privatePostV5OrderCancel(params),
            {"orders": 1, "weight": 1},
            True,
            ("cancel_accepted", "cancel_rejected", "unknown"),
        )

    async def cancel_all(self, symbol: str) -> None:
        params = {"category": "linear", "symbol": symbol}
        await self._rest.ask(lambda: self._client.privatePostV5OrderCancelAll(params), 1, essential=True)

    async def query(self, client_id: str, symbol: str) -> list[OrderUpdate] | OrderReply:
        """What became of an order: its fills and state, or an "absent" reply when the venue has no such order."""
        params = {"category": "linear", "symbol": symbol, "orderLinkId": client_id}
        for find in (self._client.privateGetV5OrderRealtime, self._client.privateGetV5OrderHistory):
            found = await self._rest.look(lambda find=find: find(params), 1, client_id, self._now_ns)  # type: ignore[misc]
            if isinstance(found, OrderReply):
                return found
            if found["result"]["list"]:
                return await self._history(found["result"]["list"][0], params)
        return OrderReply(self._now_ns(), client_id, "absent", "110001", "neither open nor in the history")

    async def user_stream(self) -> "BybitStream":
        return BybitStream(f"{self._ws.rstrip('/')}{PATH}", self._keys, self._venue_ms)

    async def keep_alive(self) -> None:
        """Nothing to extend: the stream lives by its pings."""

    async def arm_dead_man(self, symbols: Sequence[str], countdown_ms: int) -> None:
        """Only institutional accounts have one: `trader.watchdog` stands in."""

    async def close(self) -> None:
        await self._rest.close()

    async def _history(self, order: Mapping[str, Any], params: Mapping[str, str]) -> list[OrderUpdate] | OrderReply:
        client_id = params["orderLinkId"]
        trades = await self._rest.look(
            lambda: self._client.privateGetV5ExecutionList(dict(params)), 1, client_id, self._now_ns
        )
        if isinstance(trades, OrderReply):
            return trades
        state = order_update(
            order, self._now_ns(), {**STATES, "PartiallyFilled": "PARTIALLY_FILLED", "Filled": "FILLED"}
        )
        return [*self._trades(trades["result"]["list"]), state]

    def _trades(self, rows: Sequence[Mapping[str, Any]]) -> list[OrderUpdate]:
        """Executions that are trades, oldest first; a listing shows nothing of what is still to fill."""
        fills = [msgspec.convert(r, _Execution, strict=False) for r in reversed(rows) if r["execType"] in TRADES]
        return [msgspec.structs.replace(execution_update(x, self._now_ns()), status="PARTIALLY_FILLED") for x in fills]

    async def _pages(self, call: Any, params: Mapping[str, str]) -> list[Any]:
        rows: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self._ask(call, {**params, **cursor})
            rows += page["list"]
            if not page.get("nextPageCursor") or len(page["list"]) < int(params["limit"]):
                return rows
            cursor = {"cursor": page["nextPageCursor"]}

    async def _ask(self, call: Any, params: Mapping[str, Any]) -> Any:
        return (await self._rest.ask(lambda: call({"category": "linear", **params}), 1))["result"]

    def _on_response(self, status: int, _headers: Mapping[str, str]) -> None:
        """403 is the address's limit: the venue asks for ten minutes of silence."""
        if status == 403:
            task = asyncio.get_running_loop().create_task(self._budget.hold(BANNED_MS))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    def _venue_ms(self) -> int:
        """The venue's clock: ours less the offset that ccxt learned."""
        return self._now_ns() // MS - int(self._client.options["timeDifference"])


class BybitStream:
    """Authentication, then the four private topics; complete once the subscription is confirmed."""

    ping = b'{"op":"ping"}'

    def __init__(self, url: str, keys: Keys, venue_ms: Callable[[], int]) -> None:
        self.url = url
        self._keys = keys
        self._venue_ms = venue_ms

    def hello(self) -> list[bytes]:
        return [login(self._keys, self._venue_ms() + 10_000)]

    def receive(self, raw: bytes, ts_ns: int) -> Received:
        try:
            frame = _decoder.decode(raw)
            if frame.op:
                return self._on_answer(frame)
            return Received(events=_events(frame, ts_ns))
        except (msgspec.DecodeError, msgspec.ValidationError, ArithmeticError) as error:
            raise FrameError(f"user stream: {error}") from error

    def _on_answer(self, frame: "_Frame") -> Received:
        if frame.success is False:
            return Received(lost=f"{frame.op} refused: {frame.retMsg or frame.ret_msg}")
        if frame.op == "auth":
            return Received(send=(orjson.dumps({"op": "subscribe", "args": TOPICS}),))
        return Received(ready=frame.op == "subscribe")


def login(keys: Keys, expires_ms: int) -> bytes:
    """The authentication request, valid until the venue's time ``expires_ms``."""
    signed = hmac.new(keys.secret.encode(), f"GET/realtime{expires_ms}".encode(), hashlib.sha256).hexdigest()
    return orjson.dumps({"op": "auth", "args": [keys.api_key, expires_ms, signed]})


class _Frame(msgspec.Struct):
    topic: str = ""
    op: str = ""
    success: bool | None = None
    retMsg: str = ""
    ret_msg: str = ""
    creationTime: int = 0
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _Order(msgspec.Struct):
    symbol: str
    orderId: str
    side: str
    orderStatus: str
    cumExecQty: str
    updatedTime: str
    orderLinkId: str = ""
    createType: str = ""
    category: str = "linear"


class _Execution(msgspec.Struct):
    symbol: str
    orderId: str
    side: str
    execId: str
    execPrice: str
    execQty: str
    execType: str
    execFee: str
    execTime: str
    orderQty: str
    leavesQty: str
    isMaker: bool
    orderLinkId: str = ""
    category: str = "linear"


class _Position(msgspec.Struct):
    symbol: str
    side: str
    size: str
    positionIdx: int = 0
    category: str = "linear"


_decoder = msgspec.json.Decoder(_Frame)
_orders = msgspec.json.Decoder(tuple[_Order, ...])
_executions = msgspec.json.Decoder(tuple[_Execution, ...])
_positions = msgspec.json.Decoder(tuple[_Position, ...])


def _events(frame: _Frame, ts_ns: int) -> tuple[OrderUpdate | AccountUpdate | WalletChange, ...]:
    """Inputs of one data frame; the wallet topic only repeats what executions and positions told."""
    match frame.topic:
        case "order":
            told = [o for o in _orders.decode(frame.data) if o.category == "linear" and o.orderStatus in STATES]
            return tuple(order_update(msgspec.structs.asdict(o), ts_ns, STATES) for o in told)
        case "execution":
            rows = [x for x in _executions.decode(frame.data) if x.category == "linear"]
            return tuple(event for x in rows if (event := _execution_event(x, ts_ns)) is not None)
        case "position":
            held = [p for p in _positions.decode(frame.data) if p.category == "linear" and p.positionIdx == 0]
            qty = {p.symbol: _side(p.side) * number(p.size) for p in held}
            return (AccountUpdate(ts_ns=ts_ns, ts_event=frame.creationTime * MS, reason="position", positions=qty),)
    return ()


def _execution_event(x: _Execution, ts_ns: int) -> OrderUpdate | WalletChange | None:
    """A trade, or funding (whose "quantity" is the position's); other kinds move nothing."""
    if x.execType in TRADES:
        return execution_update(x, ts_ns)
    if x.execType != "Funding":
        return None
    return WalletChange(
        ts_ns=ts_ns, ts_event=int(x.execTime) * MS, reason="FUNDING_FEE", symbol=x.symbol, change=-number(x.execFee)
    )


def _side(name: str) -> int:
    return 1 if name == "Buy" else -1


def client_id_of(row: Mapping[str, Any]) -> str:
    """The client's id; orders of the venue (liquidation, ADL) and of people have none and get their creator and id."""
    return str(row.get("orderLinkId") or f"{row.get('createType') or 'order'}-{row['orderId']}")


def parse_instrument(row: Mapping[str, Any], rates: Mapping[str, Any]) -> Instrument:
    """Instrument from one instruments-info row; the most lots are those of a market order: exits are market orders."""
    lots = row["lotSizeFilter"]
    step = Decimal(lots["qtyStep"])
    return Instrument(
        venue="bybit",
        symbol=row["symbol"],
        base=row["baseCoin"],
        quote=row["settleCoin"],
        tick_size=Decimal(row["priceFilter"]["tickSize"]),
        lot_size=step,
        min_lots=int(Decimal(lots["minOrderQty"]) / step),
        max_lots=int(
            min(Decimal(lots["maxOrderQty"]), number(lots.get("maxMktOrderQty") or lots["maxOrderQty"])) / step
        ),
        min_notional=number(lots.get("minNotionalValue", "")),
        maker_fee_bps=Decimal(rates["makerFeeRate"]) * 10_000,
        taker_fee_bps=Decimal(rates["takerFeeRate"]) * 10_000,
    )


def order_params(order: Order, instrument: Instrument) -> dict[str, Any]:
    """The request of a new order."""
    params: dict[str, Any] = {
        "category": "linear",
        "symbol": order.symbol,
        "side": "Buy" if order.side > 0 else "Sell",
        "qty": plain(instrument.qty(order.lots)),
        "orderLinkId": order.client_id,
        "positionIdx": 0,
    }
    if order.reduce_only:
        params["reduceOnly"] = True
    if order.px_ticks is None:
        return params | {"orderType": "Market"}
    price = plain(instrument.px(order.px_ticks))
    return params | {"orderType": "Limit", "price": price, "timeInForce": "PostOnly" if order.post_only else "GTC"}


def order_update(row: Mapping[str, Any], ts_ns: int, states: Mapping[str, str]) -> OrderUpdate:
    """An order's state without its fills."""
    return OrderUpdate(
        ts_ns=ts_ns,
        ts_event=int(row["updatedTime"]) * MS,
        client_id=client_id_of(row),
        symbol=row["symbol"],
        side=_side(row["side"]),
        status=states.get(row["orderStatus"], row["orderStatus"]),
        cum_qty=number(row["cumExecQty"]),
        fill_qty=ZERO,
        fill_px=ZERO,
        fee=ZERO,
        maker=False,
        trade_id=0,
    )


def execution_update(x: _Execution, ts_ns: int) -> OrderUpdate:
    """One execution; the last one of an order says that nothing is left."""
    left = number(x.leavesQty)
    return OrderUpdate(
        ts_ns=ts_ns,
        ts_event=int(x.execTime) * MS,
        client_id=str(x.orderLinkId or f"{x.execType}-{x.orderId}"),
        symbol=x.symbol,
        side=_side(x.side),
        status="FILLED" if left == 0 else "PARTIALLY_FILLED",
        cum_qty=number(x.orderQty) - left,
        fill_qty=number(x.execQty),
        fill_px=number(x.execPrice),
        fee=number(x.execFee),
        maker=x.isMaker,
        trade_id=trade_number(x.execId),
    )
