"""What the three accounts share: the protocol the live loop needs, ccxt by address alone, and how answers are judged.

An answer that does not say what became of an order is *unknown*, never "failed": timeouts, lost connections, answers
without a code of the venue, and the codes of its ``UNKNOWN`` table. Only an explicit refusal is a rejection.
"""

import asyncio
import contextvars
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final, Protocol

import aiohttp
import ccxt.async_support as ccxt
import msgspec
import orjson

from market.errors import CryptoScalpError
from market.instruments import Instrument
from trader.budget import Budget
from trader.errors import ConnectionRefused
from trader.records import AccountSnapshot, AccountUpdate, OpenOrder, Order, OrderReply, OrderUpdate, WalletChange

MS: Final = 1_000_000
ZERO: Final = Decimal(0)
BUDGET_WAIT_S: Final = 20.0
TIMEOUT_MS: Final = 5_000
_sent_hook: contextvars.ContextVar[Callable[[], None] | None] = contextvars.ContextVar("sent_hook", default=None)

NowNs = Callable[[], int]
Outcome = tuple[str, str, str]


class Keys(msgspec.Struct, frozen=True):
    """API credentials; secret and password (OKX's passphrase) never appear in a repr."""

    api_key: str
    secret: str
    password: str = ""

    def __repr__(self) -> str:
        return "Keys(api_key=…, secret=…, password=…)"


class Addresses(msgspec.Struct, frozen=True):
    """Scheme and host of REST and WebSocket; None keeps the venue's own. Paths are always the venue's."""

    rest: str | None = None
    ws: str | None = None


class Received(msgspec.Struct, frozen=True):
    """What one private frame means: inputs for the engine, answers to send, and the state of the stream.

    ``ready``: from now on events are complete. ``lost``: reconnect with a new stream, for this reason.
    """

    events: tuple[OrderUpdate | AccountUpdate | WalletChange, ...] = ()
    send: tuple[bytes, ...] = ()
    ready: bool = False
    lost: str = ""


class UserStream(Protocol):
    """One private socket: where it is, what to say on connecting, how to read it. ``ping`` is b"" where none is due."""

    @property
    def url(self) -> str: ...
    @property
    def ping(self) -> bytes: ...
    def hello(self) -> list[bytes]: ...
    def receive(self, raw: bytes, ts_ns: int) -> Received: ...


class Venue(Protocol):
    """What the live loop and the watchdog need of an exchange account.

    ``has_dead_man``: the venue itself cancels our orders when we fall silent. ``open_interest`` is None where the
    market streams tell it.
    """

    name: str
    has_dead_man: bool

    async def open(self) -> None: ...
    async def instruments(self, symbols: Sequence[str]) -> list[Instrument]: ...
    async def account(self) -> AccountSnapshot: ...
    async def open_orders(self, symbols: Sequence[str]) -> list[OpenOrder]: ...
    async def fills(self, symbol: str, since_ms: int) -> list[OrderUpdate]: ...
    async def depth_snapshot(self, symbol: str) -> bytes: ...
    async def open_interest(self, symbol: str) -> bytes | None: ...
    async def volume_24h_usd(self, symbol: str) -> float: ...
    async def place(self, order: Order, sent: Callable[[], None]) -> Outcome: ...
    async def cancel(self, client_id: str, symbol: str) -> Outcome: ...
    async def cancel_all(self, symbol: str) -> None: ...
    async def query(self, client_id: str, symbol: str) -> "list[OrderUpdate] | OrderReply": ...
    async def user_stream(self) -> UserStream: ...
    async def keep_alive(self) -> None: ...
    async def arm_dead_man(self, symbols: Sequence[str], countdown_ms: int) -> None: ...
    async def close(self) -> None: ...


class Codes(msgspec.Struct, frozen=True):
    """A venue's codes that are no plain refusal.

    ``unknown``: the order may or may not have been taken; a duplicate client id belongs here, since it says that the
    order is there. ``absent``: it has no such order.
    """

    unknown: frozenset[str]
    absent: frozenset[str]


class Rest:
    """ccxt, unmodified, behind our own rate budget. ``place``-like calls end in an outcome, others in an error."""

    def __init__(
        self,
        client: Any,
        addresses: Addresses,
        budget: Budget,
        codes: Codes,
        on_response: Callable[[int, Mapping[str, str]], None],
    ) -> None:
        self.client = client
        # our own budget knows which requests matter; ccxt's throttle would delay cancels behind polls
        client.enableRateLimit = False
        client.timeout = TIMEOUT_MS
        if addresses.rest is not None:
            redirect(client.urls["api"], addresses.rest)
        self.where = addresses.rest or client.id
        self._budget = budget
        self._codes = codes
        self._on_response = on_response

    async def open(self) -> None:
        """Connect and learn the clock offset; raises ConnectionRefused when the venue does not answer."""
        self.client.session = aiohttp.ClientSession(
            trace_configs=[self._trace()], connector=aiohttp.TCPConnector(limit=32, keepalive_timeout=60)
        )
        try:
            await self.client.load_time_difference()
        except ccxt.BaseError as error:
            await self.close()
            raise ConnectionRefused(
                f"{self.where} does not answer ({type(error).__name__})",
                "check the address, the network and that it runs",
            ) from error

    async def ask(self, call: Callable[[], Awaitable[Any]], weight: int, essential: bool = False) -> Any:
        """One answer of the start-up and housekeeping kind; a refusal or a dead venue becomes one clear error.

        Raises
        ------
        CryptoScalpError
            The venue refuses the key, does not answer or refuses the call, or the rate budget stays used up.
        """
        await self._wait(weight, essential)
        try:
            return await call()
        except ccxt.AuthenticationError as error:
            raise CryptoScalpError(
                f"{self.where} refuses the API key: {reason_of(error)}", "check the key and its rights"
            ) from error
        except (TimeoutError, ccxt.BaseError, aiohttp.ClientError, OSError) as error:
            raise ConnectionRefused(
                f"{self.where}: {reason_of(error)}", "check the address and that it runs"
            ) from error

    async def act(
        self, call: Callable[[], Awaitable[Any]], costs: Mapping[str, int], essential: bool, names: tuple[str, str, str]
    ) -> Outcome:
        """An order action, as (accepted, refused, unknown) ``names`` with the venue's code and reason."""
        if not await self._budget.take(costs, essential):
            return names[1], "RATE_BUDGET", "our own rate budget is used up"
        try:
            await call()
        except (TimeoutError, ccxt.BaseError, aiohttp.ClientError, OSError) as error:
            return names[1 if self.is_refusal(error) else 2], code_of(error) or type(error).__name__, reason_of(error)
        return names[0], "", ""

    async def look(self, call: Callable[[], Awaitable[Any]], weight: int, client_id: str, now_ns: NowNs) -> Any:
        """The answer to a query of one order, or an OrderReply: "absent" when the venue has no such order."""
        if not await self._budget.take({"weight": weight}, essential=True):
            return OrderReply(now_ns(), client_id, "unknown", "RATE_BUDGET", "our own rate budget is used up")
        try:
            return await call()
        except (TimeoutError, ccxt.BaseError, aiohttp.ClientError, OSError) as error:
            code = code_of(error)
            outcome = "absent" if code in self._codes.absent else "unknown"
            return OrderReply(now_ns(), client_id, outcome, code or type(error).__name__, reason_of(error))

    def is_refusal(self, error: BaseException) -> bool:
        """Whether the venue itself said no, in a code that means no."""
        code = code_of(error)
        if code:
            return code not in self._codes.unknown
        return isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection)

    async def close(self) -> None:
        await self.client.close()
        if self.client.session is not None:
            await self.client.session.close()

    async def _wait(self, weight: int, essential: bool) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + BUDGET_WAIT_S
        while not await self._budget.take({"weight": weight}, essential):
            if loop.time() > end:
                raise ConnectionRefused(
                    f"{self.where}: our rate budget has been used up for {BUDGET_WAIT_S:g} s",
                    "trade fewer symbols, or run fewer processes behind this address",
                )
            await asyncio.sleep(0.25)

    def _trace(self) -> aiohttp.TraceConfig:
        trace = aiohttp.TraceConfig()

        async def on_sent(*_: object) -> None:
            hook = _sent_hook.get()
            if hook is not None:
                hook()

        async def on_end(_: object, __: object, params: aiohttp.TraceRequestEndParams) -> None:
            self._on_response(params.response.status, params.response.headers)

        trace.on_request_headers_sent.append(on_sent)
        trace.on_request_end.append(on_end)
        return trace


@contextmanager
def telling_when_sent(sent: Callable[[], None]) -> Iterator[None]:
    """``sent`` is called when a request made inside is on the socket."""
    token = _sent_hook.set(sent)
    try:
        yield
    finally:
        _sent_hook.reset(token)


def redirect(urls: dict[str, Any], rest: str) -> None:
    """Point every path at ``rest``: only scheme and host change."""
    for name, url in urls.items():
        if isinstance(url, str):
            path = url.split("/", 3)[3:]
            urls[name] = "/".join([rest.rstrip("/"), *path])


def reason_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def code_of(error: BaseException) -> str:
    """The venue's own code inside a ccxt error text (OKX: of the order, not of the request); "" when there is none.

    >>> code_of(ValueError('bybit {"retCode":110007,"retMsg":"ab not enough"}'))
    '110007'
    """
    text = str(error)
    at = text.find("{")
    try:
        body = orjson.loads(text[at:]) if at >= 0 else {}
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(body, dict):
        return ""
    rows = body.get("data")
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    code = row.get("sCode") or body.get("retCode", body.get("code", ""))
    return "" if code in (None, "", 0, "0") else str(code)


def plain(value: Decimal) -> str:
    """A decimal without exponent or trailing zeros.

    >>> plain(Decimal("1E-8") * 100), plain(Decimal("1200"))
    ('0.000001', '1200')
    """
    return format(value.normalize(), "f")


def lots_of(instruments: Mapping[str, Instrument], symbol: str, venue: str) -> Instrument:
    """The instrument of ``symbol``, or one clear error."""
    if symbol not in instruments:
        raise CryptoScalpError(f"{venue} does not list {symbol}", "pass --symbols that it lists")
    return instruments[symbol]


def number(text: str) -> Decimal:
    """A venue's number; OKX and Bybit write "" for none."""
    return Decimal(text) if text else ZERO


def trade_number(execution_id: str) -> int:
    """A 63-bit number of a venue's trade id: the id itself where it is one, else a digest of its text."""
    if execution_id.isascii() and execution_id.isdigit() and len(execution_id) < 19:
        return int(execution_id)
    return int.from_bytes(hashlib.blake2b(execution_id.encode(), digest_size=8).digest(), "big") >> 1
