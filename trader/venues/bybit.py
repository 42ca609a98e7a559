"""The account at Bybit v5: linear perpetuals in one-way mode of a unified account."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import ccxt.async_support as ccxt
import msgspec
import orjson

from market.errors import CryptoScalpError
from market.instruments import Instrument
from trader.budget import Budget, Limit
from trader.errors import ModeRefused
from trader.records import AccountSnapshot, OpenOrder, Order, OrderReply, OrderUpdate
from trader.venues.bybit_messages import (
    STATES,
    TRADES,
    BybitStream,
    Execution,
    client_id_of,
    execution_update,
    order_params,
    order_update,
    parse_instrument,
    side_of,
)
from trader.venues.common import (
    MS,
    ZERO,
    Addresses,
    Codes,
    Keys,
    NowNs,
    Outcome,
    Rest,
    lots_of,
    number,
    telling_when_sent,
)

LIMITS: Final = (Limit("weight", 5_000, 600), Limit("orders", 1_000, 10, "account"))
# 10000 timed out, 10016 internal error, 10429 and 10019 system protection and restart; 110072 duplicate orderLinkId
CODES: Final = Codes(unknown=frozenset({"10000", "10016", "10019", "10429", "110072"}), absent=frozenset({"110001"}))
PUBLIC_WS: Final = "wss://stream.bybit.com"
PATH: Final = "/v5/private"
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
            positions={r["symbol"]: side_of(r["side"]) * number(r["size"]) for r in held},
            entries={r["symbol"]: number(r["avgPrice"]) for r in held},
        )

    async def open_orders(self, symbols: Sequence[str]) -> list[OpenOrder]:
        rows: list[Any] = []
        for symbol in symbols:
            rows += await self._pages(
                self._client.privateGetV5OrderRealtime, {"symbol": symbol, "openOnly": "0", "limit": str(LIST_LIMIT)}
            )
        return [
            OpenOrder(
                client_id=client_id_of(r), symbol=r["symbol"], side=side_of(r["side"]), qty=number(r["leavesQty"])
            )
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

    async def open_interest(self, symbol: str) -> bytes | None:
        """Told by the market streams."""
        return None

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
        fills = [msgspec.convert(r, Execution, strict=False) for r in reversed(rows) if r["execType"] in TRADES]
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
