"""The account at Binance USD-M."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import ccxt.async_support as ccxt
import orjson

from market.errors import CryptoScalpError
from market.instruments import Instrument
from trader.budget import Budget, Limit
from trader.errors import ModeRefused
from trader.records import AccountSnapshot, OpenOrder, Order, OrderReply, OrderUpdate
from trader.venues.binance_messages import (
    BinanceStream,
    order_params,
    parse_instrument,
    query_updates,
    side_of,
    trade_update,
)
from trader.venues.common import (
    Addresses,
    Codes,
    Keys,
    NowNs,
    Outcome,
    Rest,
    lots_of,
    telling_when_sent,
)

LIMITS: Final = (
    Limit("weight", 60_000, 2_400),
    Limit("orders", 10_000, 300, "account"),
    Limit("orders", 60_000, 1_200, "account"),
)
# -1000 is what 503 "Unknown error" carries; -1001, -1006, -1007 and -1016 leave the execution open; a duplicate id
# (-4116) says that the order is there already
CODES: Final = Codes(
    unknown=frozenset({"-1000", "-1001", "-1006", "-1007", "-1016", "-4116", "503"}),
    absent=frozenset({"-2013"}),
)
HEADERS: Final = (
    ("X-MBX-USED-WEIGHT-1M", "weight", 60_000),
    ("X-MBX-ORDER-COUNT-10S", "orders", 10_000),
    ("X-MBX-ORDER-COUNT-1M", "orders", 60_000),
)
PAGE: Final = 1_000
HOLD_S: Final = {429: 10, 418: 120}
PUBLIC_WS: Final = "wss://fstream.binance.com"


class BinanceVenue:
    """Binance USD-M, one-way mode."""

    name = "binanceusdm"
    has_dead_man = True

    def __init__(self, addresses: Addresses, keys: Keys, budget: Budget, now_ns: NowNs) -> None:
        self._client = ccxt.binanceusdm({"apiKey": keys.api_key, "secret": keys.secret})
        self._budget = budget
        self._rest = Rest(self._client, addresses, budget, CODES, self._on_response)
        self._ws = addresses.ws or PUBLIC_WS
        self._now_ns = now_ns
        self._instruments: dict[str, Instrument] = {}
        self._noting: set[asyncio.Task[None]] = set()
        self._told: dict[tuple[str, int], int] = {}

    async def open(self) -> None:
        """Connect; refuses an account in hedge mode.

        Raises
        ------
        ConnectionRefused
            The venue does not answer.
        ModeRefused
            The account is in hedge mode: orders here name no position side.
        """
        await self._rest.open()
        mode = await self._rest.ask(self._client.fapiPrivateGetPositionSideDual, 30)
        if mode.get("dualSidePosition") in (True, "true"):
            raise ModeRefused("the account is in hedge mode", "switch it to one-way mode, then start again")

    async def instruments(self, symbols: Sequence[str]) -> list[Instrument]:
        info = await self._rest.ask(self._client.fapiPublicGetExchangeInfo, 1)
        listed = {row["symbol"]: row for row in info["symbols"]}
        missing = [s for s in symbols if s not in listed]
        if missing:
            raise CryptoScalpError(
                f"{self._rest.where} does not list {', '.join(missing)}", "pass --symbols that it lists"
            )
        for symbol in symbols:
            rates = await self._ask(self._client.fapiPrivateGetCommissionRate, {"symbol": symbol}, 20)
            self._instruments[symbol] = parse_instrument(listed[symbol], rates)
        return [self._instruments[s] for s in symbols]

    async def account(self) -> AccountSnapshot:
        raw = await self._rest.ask(self._client.fapiPrivateV2GetAccount, 5)
        held = [p for p in raw["positions"] if Decimal(p["positionAmt"]) != 0]
        return AccountSnapshot(
            ts_ns=self._now_ns(),
            balance=Decimal(raw["totalWalletBalance"]),
            positions={p["symbol"]: Decimal(p["positionAmt"]) for p in held},
            entries={p["symbol"]: Decimal(p["entryPrice"]) for p in held},
        )

    async def open_orders(self, symbols: Sequence[str]) -> list[OpenOrder]:
        rows: list[Any] = []
        for symbol in symbols:
            rows += await self._ask(self._client.fapiPrivateGetOpenOrders, {"symbol": symbol}, 1)
        return [
            OpenOrder(
                client_id=r["clientOrderId"],
                symbol=r["symbol"],
                side=side_of(r["side"]),
                qty=Decimal(r["origQty"]) - Decimal(r["executedQty"]),
            )
            for r in rows
        ]

    async def fills(self, symbol: str, since_ms: int) -> list[OrderUpdate]:
        """The account's trades, oldest first, without client ids: the venue gives none here."""
        params = {"symbol": symbol, "limit": PAGE} | ({"startTime": since_ms} if since_ms else {})
        page = trades = await self._ask(self._client.fapiPrivateGetUserTrades, params, 5)
        while since_ms and len(page) == PAGE:
            following = {"symbol": symbol, "limit": PAGE, "fromId": int(page[-1]["id"]) + 1}
            page = await self._ask(self._client.fapiPrivateGetUserTrades, following, 5)
            trades = trades + page
        return [trade_update(t, "", symbol, self._now_ns()) for t in trades]

    async def depth_snapshot(self, symbol: str) -> bytes:
        """The REST snapshot as raw JSON, so that the tape keeps it like any frame."""
        return orjson.dumps(await self._ask(self._client.fapiPublicGetDepth, {"symbol": symbol, "limit": 1000}, 20))

    async def open_interest(self, symbol: str) -> bytes | None:
        """The answer as raw JSON for the tape: Binance has no stream of it."""
        return orjson.dumps(await self._ask(self._client.fapiPublicGetOpenInterest, {"symbol": symbol}, 1))

    async def volume_24h_usd(self, symbol: str) -> float:
        return float((await self._ask(self._client.fapiPublicGetTicker24hr, {"symbol": symbol}, 1))["quoteVolume"])

    async def place(self, order: Order, sent: Callable[[], None]) -> Outcome:
        """Send ``order``; returns (outcome, code, reason). ``sent`` is called when the request is on the socket."""
        params = order_params(order, lots_of(self._instruments, order.symbol, self.name))
        with telling_when_sent(sent):
            return await self._rest.act(
                lambda: self._client.fapiPrivatePostOrder(params),
                {"orders": 1},
                order.reduce_only,
                ("accepted", "rejected", "unknown"),
            )

    async def cancel(self, client_id: str, symbol: str) -> Outcome:
        return await self._rest.act(
            lambda: self._client.fapiPrivateDeleteOrder({"symbol": symbol, "origClientOrderId": client_id}),
            {"weight": 1},
            True,
            ("cancel_accepted", "cancel_rejected", "unknown"),
        )

    async def cancel_all(self, symbol: str) -> None:
        call = self._client.fapiPrivateDeleteAllOpenOrders
        await self._rest.ask(lambda: call({"symbol": symbol}), 1, essential=True)

    async def query(self, client_id: str, symbol: str) -> list[OrderUpdate] | OrderReply:
        """What became of an order: its fills and state, or an "absent" reply when the venue has no such order."""
        order = await self._rest.look(
            lambda: self._client.fapiPrivateGetOrder({"symbol": symbol, "origClientOrderId": client_id}),
            1,
            client_id,
            self._now_ns,
        )
        if isinstance(order, OrderReply):
            return order
        trades = await self._rest.look(
            lambda: self._client.fapiPrivateGetUserTrades({"symbol": symbol, "orderId": order["orderId"]}),
            5,
            client_id,
            self._now_ns,
        )
        return trades if isinstance(trades, OrderReply) else query_updates(order, trades, self._now_ns)

    async def user_stream(self) -> "BinanceStream":
        key = (await self._rest.ask(self._client.fapiPrivatePostListenKey, 1))["listenKey"]
        return BinanceStream(f"{self._ws.rstrip('/')}/private/ws?listenKey={key}")

    async def keep_alive(self) -> None:
        await self._rest.ask(self._client.fapiPrivatePutListenKey, 1)

    async def arm_dead_man(self, symbols: Sequence[str], countdown_ms: int) -> None:
        """All orders of ``symbols`` are cancelled unless this is called again in ``countdown_ms`` (0 disarms)."""
        for symbol in symbols:
            params = {"symbol": symbol, "countdownTime": str(countdown_ms)}
            await self._ask(self._client.fapiPrivatePostCountdownCancelAll, params, 10)

    async def close(self) -> None:
        await self._rest.close()

    async def _ask(self, call: Any, params: Mapping[str, Any], weight: int) -> Any:
        return await self._rest.ask(lambda: call(params), weight)

    def _on_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Hand the venue's own counts and refusals to the budget; a count is passed on only when it has grown."""
        if status in HOLD_S:
            after = headers.get("Retry-After", "")
            self._note(self._budget.hold(1_000 * int(after if after.isdigit() else HOLD_S[status])))
        for header, what, span_ms in HEADERS:
            used = headers.get(header, "")
            if used.isdigit() and int(used) != self._told.get((what, span_ms)):
                self._told[what, span_ms] = int(used)
                self._note(self._budget.observe(what, span_ms, int(used)))

    def _note(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)
