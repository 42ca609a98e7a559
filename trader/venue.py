"""The account at the venue: metadata and signed REST through ccxt, our own parsing of the user stream.

An answer that does not say what became of an order is *unknown*, never "failed": timeouts, lost connections, 5xx, -1006
and -1007. Only an explicit refusal by the venue is a rejection.
"""

import contextvars
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

import aiohttp
import ccxt.async_support as ccxt
import msgspec
import orjson

from market.errors import CryptoScalpError, FrameError
from market.instruments import Instrument
from trader.budget import Budget
from trader.errors import ConnectionRefused
from trader.records import AccountSnapshot, Order, OrderReply, OrderUpdate

UNKNOWN_CODES: Final = ("-1006", "-1007")
NO_SUCH_ORDER: Final = "-2013"
_MS: Final = 1_000_000
_sent_hook: contextvars.ContextVar[Callable[[], None] | None] = contextvars.ContextVar("sent_hook", default=None)


class Keys(msgspec.Struct, frozen=True):
    """API credentials; the secret never appears in a repr."""

    api_key: str
    secret: str

    def __repr__(self) -> str:
        return "Keys(api_key=…, secret=…)"


class Venue(Protocol):
    """What the live loop needs of an exchange account."""

    async def instruments(self, symbols: Sequence[str]) -> list[Instrument]: ...
    async def account(self, now_ns: Callable[[], int]) -> AccountSnapshot: ...
    async def depth_snapshot(self, symbol: str) -> bytes: ...
    async def volume_24h_usd(self, symbol: str) -> float: ...
    async def place(self, order: Order, sent: Callable[[], None]) -> tuple[str, str, str]: ...
    async def cancel(self, client_id: str, symbol: str) -> tuple[str, str, str]: ...
    async def query(
        self, client_id: str, symbol: str, now_ns: Callable[[], int]
    ) -> "list[OrderUpdate] | OrderReply": ...
    async def listen_key(self) -> str: ...
    async def keep_alive(self) -> None: ...
    async def arm_dead_man(self, symbol: str, countdown_ms: int) -> None: ...
    async def close(self) -> None: ...


class BinanceVenue:
    """Binance USD-M by ccxt; ``rest`` replaces scheme and host of every path (None keeps the venue's own)."""

    def __init__(self, rest: str | None, keys: Keys, budget: Budget) -> None:
        self._client = ccxt.binanceusdm({"apiKey": keys.api_key, "secret": keys.secret, "timeout": 5_000})
        # our own budget knows which requests matter; ccxt's throttle would delay cancels behind polls
        self._client.enableRateLimit = False
        if rest is not None:
            _redirect(self._client, rest)
        self._budget = budget
        self._instruments: dict[str, Instrument] = {}
        self._where = rest or "the venue"

    async def open(self) -> None:
        """Connect and learn the clock offset; raises ConnectionRefused when the venue does not answer."""
        self._client.session = aiohttp.ClientSession(
            trace_configs=[_trace_sent()], connector=aiohttp.TCPConnector(limit=32, keepalive_timeout=60)
        )
        try:
            await self._client.load_time_difference()
        except ccxt.BaseError as error:
            await self.close()
            raise ConnectionRefused(
                f"{self._where} does not answer ({type(error).__name__})",
                "check the address, the network and that it runs",
            ) from error

    async def instruments(self, symbols: Sequence[str]) -> list[Instrument]:
        info = await self._ask(self._client.fapiPublicGetExchangeInfo())
        listed = {row["symbol"]: row for row in info["symbols"]}
        missing = [s for s in symbols if s not in listed]
        if missing:
            raise CryptoScalpError(f"{self._where} does not list {', '.join(missing)}", "pass --symbols that it lists")
        rates = [await self._ask(self._client.fapiPrivateGetCommissionRate({"symbol": s})) for s in symbols]
        self._instruments = {s: parse_instrument(listed[s], r) for s, r in zip(symbols, rates, strict=True)}
        return list(self._instruments.values())

    async def account(self, now_ns: Callable[[], int]) -> AccountSnapshot:
        raw = await self._ask(self._client.fapiPrivateV2GetAccount())
        positions = {p["symbol"]: Decimal(p["positionAmt"]) for p in raw["positions"] if Decimal(p["positionAmt"]) != 0}
        return AccountSnapshot(ts_ns=now_ns(), balance=Decimal(raw["totalWalletBalance"]), positions=positions)

    async def depth_snapshot(self, symbol: str) -> bytes:
        """The REST snapshot as raw JSON, so that the tape keeps it like any frame."""
        return orjson.dumps(await self._ask(self._client.fapiPublicGetDepth({"symbol": symbol, "limit": 1000})))

    async def volume_24h_usd(self, symbol: str) -> float:
        return float((await self._ask(self._client.fapiPublicGetTicker24hr({"symbol": symbol})))["quoteVolume"])

    async def place(self, order: Order, sent: Callable[[], None]) -> tuple[str, str, str]:
        """Send ``order``; returns (outcome, code, reason). ``sent`` is called when the request is on the socket."""
        if not self._budget.take(orders=1, essential=order.reduce_only):
            return "rejected", "RATE_BUDGET", "our own order budget is used up"
        token = _sent_hook.set(sent)
        try:
            return await _outcome(
                self._client.fapiPrivatePostOrder(self._order_params(order)), ("accepted", "rejected", "unknown")
            )
        finally:
            _sent_hook.reset(token)

    async def cancel(self, client_id: str, symbol: str) -> tuple[str, str, str]:
        self._budget.take(orders=1, essential=True)
        return await _outcome(
            self._client.fapiPrivateDeleteOrder({"symbol": symbol, "origClientOrderId": client_id}),
            ("cancel_accepted", "cancel_rejected", "unknown"),
        )

    async def query(self, client_id: str, symbol: str, now_ns: Callable[[], int]) -> list[OrderUpdate] | OrderReply:
        """What became of an order: its fills and state, or a "rejected" reply when the venue never had it."""
        try:
            order = await self._client.fapiPrivateGetOrder({"symbol": symbol, "origClientOrderId": client_id})
            trades = await self._client.fapiPrivateGetUserTrades({"symbol": symbol, "orderId": order["orderId"]})
        except ccxt.OrderNotFound as error:
            return OrderReply(now_ns(), client_id, "rejected", NO_SUCH_ORDER, _reason(error))
        except ccxt.BaseError as error:
            return OrderReply(now_ns(), client_id, "unknown", type(error).__name__, _reason(error))
        return query_updates(order, trades, now_ns)

    async def listen_key(self) -> str:
        return str((await self._ask(self._client.fapiPrivatePostListenKey()))["listenKey"])

    async def keep_alive(self) -> None:
        await self._ask(self._client.fapiPrivatePutListenKey())

    async def arm_dead_man(self, symbol: str, countdown_ms: int) -> None:
        """All orders of ``symbol`` are cancelled unless this is called again in ``countdown_ms`` (0 disarms)."""
        await self._ask(
            self._client.fapiPrivatePostCountdownCancelAll({"symbol": symbol, "countdownTime": str(countdown_ms)})
        )

    async def close(self) -> None:
        await self._client.close()
        if self._client.session is not None:
            await self._client.session.close()

    def _order_params(self, order: Order) -> dict[str, str]:
        instrument = self._instruments[order.symbol]
        params = {
            "symbol": order.symbol,
            "side": "BUY" if order.side > 0 else "SELL",
            "quantity": format(instrument.qty(order.lots).normalize(), "f"),
            "newClientOrderId": order.client_id,
            "newOrderRespType": "ACK",
        }
        if order.reduce_only:
            params["reduceOnly"] = "true"
        if order.px_ticks is None:
            return params | {"type": "MARKET"}
        price = format(instrument.px(order.px_ticks).normalize(), "f")
        return params | {"type": "LIMIT", "price": price, "timeInForce": "GTX" if order.post_only else "GTC"}

    async def _ask(self, call: Any) -> Any:
        """One REST answer of the start-up and housekeeping kind; a refusal or a dead venue becomes one clear error."""
        try:
            return await call
        except ccxt.AuthenticationError as error:
            raise CryptoScalpError(
                f"{self._where} refuses the API key: {_reason(error)}", "check the key and its rights"
            ) from error
        except (TimeoutError, ccxt.BaseError, aiohttp.ClientError) as error:
            raise ConnectionRefused(f"{self._where}: {_reason(error)}", "check the address and that it runs") from error


async def _outcome(call: Any, names: tuple[str, str, str]) -> tuple[str, str, str]:
    """Sort an order action's answer into (accepted, refused, unknown) ``names``."""
    try:
        await call
    except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
        return names[1], "RATE_LIMIT", _reason(error)
    except ccxt.ExchangeError as error:
        unknown = any(f'"code":{code}' in str(error) for code in UNKNOWN_CODES)
        return names[2 if unknown else 1], _code(error), _reason(error)
    except (TimeoutError, ccxt.BaseError, aiohttp.ClientError, OSError) as error:
        return names[2], type(error).__name__, _reason(error)
    return names[0], "", ""


def _redirect(client: Any, rest: str) -> None:
    """Point every USD-M path at ``rest``: only scheme and host change."""
    for name, url in client.urls["api"].items():
        if isinstance(url, str):
            client.urls["api"][name] = rest.rstrip("/") + "/" + url.split("/", 3)[3]


def _trace_sent() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def on_sent(*_: object) -> None:
        hook = _sent_hook.get()
        if hook is not None:
            hook()

    trace.on_request_headers_sent.append(on_sent)
    return trace


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _code(error: BaseException) -> str:
    """The venue's numeric code inside a ccxt error text, or the error's type."""
    text = str(error)
    at = text.find('"code":')
    return text[at + 7 :].split(",", 1)[0].strip(" }") if at >= 0 else type(error).__name__


def parse_instrument(row: Mapping[str, Any], rates: Mapping[str, Any]) -> Instrument:
    """Instrument from one exchangeInfo row; filters, never the row's precision fields, give tick and lot."""
    filters = {f["filterType"]: f for f in row["filters"]}
    lot = filters["LOT_SIZE"]
    step = Decimal(lot["stepSize"])
    return Instrument(
        venue="binanceusdm",
        symbol=row["symbol"],
        base=row["baseAsset"],
        quote=row["quoteAsset"],
        tick_size=Decimal(filters["PRICE_FILTER"]["tickSize"]),
        lot_size=step,
        min_lots=int(Decimal(lot["minQty"]) / step),
        max_lots=int(Decimal(lot["maxQty"]) / step),
        min_notional=Decimal(filters["MIN_NOTIONAL"]["notional"]),
        maker_fee_bps=Decimal(rates["makerCommissionRate"]) * 10_000,
        taker_fee_bps=Decimal(rates["takerCommissionRate"]) * 10_000,
    )


def query_updates(
    order: Mapping[str, Any], trades: Sequence[Mapping[str, Any]], now_ns: Callable[[], int]
) -> list[OrderUpdate]:
    """One update per trade of a queried order, then its present state."""
    side = 1 if order["side"] == "BUY" else -1
    base = {"client_id": order["clientOrderId"], "symbol": order["symbol"], "side": side}
    updates = [
        OrderUpdate(
            ts_ns=now_ns(),
            ts_event=int(t["time"]) * _MS,
            status="PARTIALLY_FILLED",
            cum_qty=Decimal(order["executedQty"]),
            fill_qty=Decimal(t["qty"]),
            fill_px=Decimal(t["price"]),
            fee=Decimal(t["commission"]),
            maker=bool(t["maker"]),
            trade_id=int(t["id"]),
            **base,
        )
        for t in trades
    ]
    zero = Decimal(0)
    state = OrderUpdate(
        ts_ns=now_ns(),
        ts_event=int(order["updateTime"]) * _MS,
        status=order["status"],
        cum_qty=Decimal(order["executedQty"]),
        fill_qty=zero,
        fill_px=zero,
        fee=zero,
        maker=False,
        trade_id=0,
        **base,
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
    fee: Decimal = Decimal(0)


class _UserEvent(msgspec.Struct):
    e: str
    o: _OrderEvent | None = None


_user_decoder = msgspec.json.Decoder(_UserEvent)


def parse_user_event(raw: bytes, ts_ns: int) -> OrderUpdate | str:
    """An ORDER_TRADE_UPDATE as an OrderUpdate; any other event as its name.

    Raises
    ------
    FrameError
        When the frame is not what the venue documents.
    """
    try:
        event = _user_decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise FrameError(f"user stream: {error}") from error
    o = event.o
    if event.e != "ORDER_TRADE_UPDATE" or o is None:
        return event.e
    return OrderUpdate(
        ts_ns=ts_ns,
        ts_event=o.time_ms * _MS,
        client_id=o.client_id,
        symbol=o.symbol,
        side=1 if o.side == "BUY" else -1,
        status=o.status,
        cum_qty=o.cum_qty,
        fill_qty=o.fill_qty,
        fill_px=o.fill_px,
        fee=o.fee,
        maker=o.maker,
        trade_id=o.trade_id,
    )
