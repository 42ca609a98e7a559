"""The account at OKX: linear swaps in net mode, cross margin. The venue counts in contracts, we in base units."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import ccxt.async_support as ccxt
import msgspec
import orjson

from market.errors import CryptoScalpError
from market.instruments import Instrument
from trader.budget import Budget, Limit
from trader.errors import ModeRefused
from trader.records import AccountSnapshot, OpenOrder, Order, OrderReply, OrderUpdate
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
from trader.venues.okx_messages import (
    OkxStream,
    client_id_of,
    contract_size,
    order_params,
    order_update,
    parse_instrument,
    side_of,
    trade_update,
)

# the venue limits each endpoint; the tightest ones stand for all
LIMITS: Final = (
    Limit("weight", 2_000, 20),
    Limit("orders", 2_000, 60, "account"),
    Limit("cancels", 2_000, 60, "account"),
)
# 50001 unavailable, 50004 timed out ("does not mean that the request failed"), 50013 busy, 50026 system error; 51016
# duplicate client id
CODES: Final = Codes(unknown=frozenset({"50001", "50004", "50013", "50026", "51016"}), absent=frozenset({"51603"}))
PUBLIC_WS: Final = "wss://ws.okx.com:8443"
PATH: Final = "/ws/v5/private"
DEAD_MAN_S: Final = (10, 120)
BATCH: Final = 20
PAGE: Final = 100


class OkxVenue:
    """OKX swaps. Its answers to orders only acknowledge: the stream confirms."""

    name = "okx"
    has_dead_man = True

    def __init__(self, addresses: Addresses, keys: Keys, budget: Budget, now_ns: NowNs) -> None:
        self._client = ccxt.okx({"apiKey": keys.api_key, "secret": keys.secret, "password": keys.password})
        self._rest = Rest(self._client, addresses, budget, CODES, lambda *_: None)
        self._ws = addresses.ws or PUBLIC_WS
        self._keys = keys
        self._now_ns = now_ns
        self._instruments: dict[str, Instrument] = {}
        self._contracts: dict[str, Decimal] = {}
        self._quote = "USDT"

    async def open(self) -> None:
        """Connect; refuses an account in long/short mode.

        Raises
        ------
        ConnectionRefused
            The venue does not answer.
        ModeRefused
            The account is in long/short mode: orders here name no position side.
        """
        await self._rest.open()
        config = (await self._rest.ask(self._client.privateGetAccountConfig, 1))["data"][0]
        if config.get("posMode") == "long_short_mode":
            raise ModeRefused("the account is in long/short mode", "switch it to net mode, then start again")

    async def instruments(self, symbols: Sequence[str]) -> list[Instrument]:
        found = (await self._ask(self._client.publicGetPublicInstruments, {"instType": "SWAP"}))["data"]
        listed = {row["instId"]: row for row in found}
        for symbol in symbols:
            row = listed.get(symbol)
            if row is None or row["ctType"] != "linear":
                raise CryptoScalpError(
                    f"{self._rest.where} lists no linear swap {symbol}", "pass --symbols that it lists"
                )
            family = {"instType": "SWAP", "instFamily": row["instFamily"]}
            rates = (await self._ask(self._client.privateGetAccountTradeFee, family))["data"][0]
            self._instruments[symbol] = parse_instrument(row, rates)
            self._contracts[symbol] = contract_size(row)
            self._quote = row["settleCcy"]
        return [self._instruments[s] for s in symbols]

    async def account(self) -> AccountSnapshot:
        balance = (await self._ask(self._client.privateGetAccountBalance, {"ccy": self._quote}))["data"][0]
        rows = (await self._ask(self._client.privateGetAccountPositions, {"instType": "SWAP"}))["data"]
        held = [r for r in rows if number(r["pos"]) != 0]
        return AccountSnapshot(
            ts_ns=self._now_ns(),
            balance=sum((number(d["cashBal"]) for d in balance["details"] if d["ccy"] == self._quote), ZERO),
            positions={r["instId"]: self._qty(r["instId"], r["pos"]) for r in held},
            entries={r["instId"]: number(r["avgPx"]) for r in held},
        )

    async def open_orders(self, symbols: Sequence[str]) -> list[OpenOrder]:
        rows: list[Any] = []
        for symbol in symbols:
            rows += await self._pending(symbol)
        return [
            OpenOrder(
                client_id=client_id_of(r),
                symbol=r["instId"],
                side=side_of(r["side"]),
                qty=self._qty(r["instId"], r["sz"]) - self._qty(r["instId"], r["accFillSz"]),
            )
            for r in rows
        ]

    async def fills(self, symbol: str, since_ms: int) -> list[OrderUpdate]:
        """The account's trades of the last three days, oldest first."""
        params = {"instType": "SWAP", "instId": symbol} | ({"begin": str(since_ms)} if since_ms else {})
        page = rows = (await self._ask(self._client.privateGetTradeFills, params))["data"]
        while since_ms and len(page) == PAGE:
            earlier = params | {"after": page[-1]["billId"]}
            page = (await self._ask(self._client.privateGetTradeFills, earlier))["data"]
            rows = rows + page
        return self._trades(rows)

    async def depth_snapshot(self, symbol: str) -> bytes:
        """400 levels as raw JSON."""
        return orjson.dumps(await self._ask(self._client.publicGetMarketBooks, {"instId": symbol, "sz": "400"}))

    async def open_interest(self, symbol: str) -> bytes | None:
        """Told by the market streams."""
        return None

    async def volume_24h_usd(self, symbol: str) -> float:
        """``volCcy24h`` of a swap is in base units."""
        row = (await self._ask(self._client.publicGetMarketTicker, {"instId": symbol}))["data"][0]
        return float(row["volCcy24h"]) * float(row["last"])

    async def place(self, order: Order, sent: Callable[[], None]) -> Outcome:
        """Send ``order``; "acknowledged" when the venue took it in. ``sent`` is called when it is on the socket."""
        instrument = lots_of(self._instruments, order.symbol, self.name)
        params = order_params(order, instrument, self._contracts[order.symbol])
        with telling_when_sent(sent):
            return await self._rest.act(
                lambda: self._client.privatePostTradeOrder(params),
                {"orders": 1},
                order.reduce_only,
                ("acknowledged", "rejected", "unknown"),
            )

    async def cancel(self, client_id: str, symbol: str) -> Outcome:
        return await self._rest.act(
            lambda: self._client.privatePostTradeCancelOrder({"instId": symbol, "clOrdId": client_id}),
            {"cancels": 1},
            True,
            ("cancel_accepted", "cancel_rejected", "unknown"),
        )

    async def cancel_all(self, symbol: str) -> None:
        """There is no such call for swaps: list, then cancel in batches."""
        ids = [{"instId": symbol, "ordId": r["ordId"]} for r in await self._pending(symbol, essential=True)]
        call = self._client.privatePostTradeCancelBatchOrders
        for at in range(0, len(ids), BATCH):
            await self._rest.ask(lambda at=at: call(ids[at : at + BATCH]), 1, essential=True)  # type: ignore[misc]

    async def query(self, client_id: str, symbol: str) -> list[OrderUpdate] | OrderReply:
        """What became of an order: its fills and state, or an "absent" reply when the venue has no such order."""
        ids = {"instId": symbol, "clOrdId": client_id}
        found = await self._rest.look(lambda: self._client.privateGetTradeOrder(ids), 1, client_id, self._now_ns)
        if isinstance(found, OrderReply):
            return found
        order = found["data"][0]
        wanted = {"instType": "SWAP", "instId": symbol, "ordId": order["ordId"]}
        trades = await self._rest.look(lambda: self._client.privateGetTradeFills(wanted), 1, client_id, self._now_ns)
        if isinstance(trades, OrderReply):
            return trades
        state = order_update(order, self._contracts[symbol], ZERO, self._now_ns())
        state = msgspec.structs.replace(state, fill_qty=ZERO, fill_px=ZERO, fee=ZERO, trade_id=0)
        return [msgspec.structs.replace(t, client_id=state.client_id) for t in self._trades(trades["data"])] + [state]

    async def user_stream(self) -> "OkxStream":
        url = f"{self._ws.rstrip('/')}{PATH}"
        return OkxStream(url, self._keys, self._contracts, self._venue_s, self._quote)

    async def keep_alive(self) -> None:
        """Nothing to extend: the stream lives by its pings."""

    async def arm_dead_man(self, symbols: Sequence[str], countdown_ms: int) -> None:
        """All orders of the account are cancelled unless this is called again in the countdown (0 disarms).

        The venue takes 10 to 120 whole seconds, and covers the account rather than ``symbols``.
        """
        fewest, most = DEAD_MAN_S
        timeout_s = min(max(-(-countdown_ms // 1_000), fewest), most) if countdown_ms else 0
        await self._ask(self._client.privatePostTradeCancelAllAfter, {"timeOut": str(timeout_s)})

    async def close(self) -> None:
        await self._rest.close()

    async def _pending(self, symbol: str, essential: bool = False) -> list[Any]:
        params = {"instType": "SWAP", "instId": symbol}
        call = self._client.privateGetTradeOrdersPending
        rows: list[Any] = (await self._rest.ask(lambda: call(params), 1, essential))["data"]
        return rows

    async def _ask(self, call: Any, params: Mapping[str, Any]) -> Any:
        return await self._rest.ask(lambda: call(params), 1)

    def _qty(self, symbol: str, contracts: str) -> Decimal:
        """Base units; of a symbol that is not traded here the number of contracts, which no ledger agrees with."""
        return number(contracts) * self._contracts.get(symbol, Decimal(1))

    def _trades(self, rows: Sequence[Mapping[str, Any]]) -> list[OrderUpdate]:
        known = [r for r in rows if r["instId"] in self._contracts]
        return [trade_update(r, self._contracts[r["instId"]], self._now_ns()) for r in reversed(known)]

    def _venue_s(self) -> int:
        """The venue's clock: ours less the offset that ccxt learned."""
        return (self._now_ns() // MS - int(self._client.options["timeDifference"])) // 1_000
