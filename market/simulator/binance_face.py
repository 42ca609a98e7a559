"""What Binance's REST and WebSocket faces share: the exchange, its time, the account's keys, and planted faults."""

import secrets
import time
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from random import Random
from typing import Any, Final

import msgspec
from aiohttp import web

from market.simulator import binance_algo_messages as algo_messages
from market.simulator import binance_messages as messages
from market.simulator.binance_auth import ApiError, Credentials
from market.simulator.binance_hub import BinanceHub
from market.simulator.binance_limits import Limits
from market.simulator.errors import Reject
from market.simulator.exchange import Exchange
from market.simulator.orders import Order
from market.simulator.player import Player
from market.simulator.reports import AccountReport, OrderReport, Report, Stop, StopReport
from market.simulator.rules import PX_BAND

LISTEN_KEY_S: Final = 3_600.0
KEY_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def wall_ms() -> int:
    """Wall clock in milliseconds: what request signatures are checked against."""
    return time.time_ns() // 1_000_000


def credentials_of(seed: int) -> Credentials:
    """The key pair of the simulated account, the same for the same seed; it opens nothing but this loopback server."""
    random = Random(f"credentials {seed}")
    return Credentials(*("".join(random.choices(KEY_CHARACTERS, k=64)) for _ in range(2)))


class BinanceFace:
    """State of the Binance USD-M protocol around one exchange."""

    def __init__(self, exchange: Exchange, player: Player, hub: BinanceHub, credentials: Credentials) -> None:
        self.exchange, self.player, self.hub, self.credentials = exchange, player, hub, credentials
        self.limits = Limits()
        self.unknown_orders = 0
        self.listen_key: str | None = None
        self.listen_key_due_s = 0.0
        self.events_sent: dict[str, int] = {}
        self.margin_moves: list[dict[str, Any]] = []
        exchange.emit = self.report

    # -- user stream --------------------------------------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """Send a report of the exchange to the user stream."""
        if isinstance(report, OrderReport):
            if report.fill is not None:
                self._tell(messages.lite_event(self.exchange, report.order, report.fill))
            self._tell(messages.order_event(self.exchange, report))
        elif isinstance(report, AccountReport):
            self._tell(messages.account_event(self.exchange, report))
        elif isinstance(report, StopReport):
            self._tell(algo_messages.stop_event(self.exchange, report))
        else:
            self._tell(messages.config_event(report))

    def _tell(self, event: dict[str, Any]) -> None:
        self.events_sent[event["e"]] = self.events_sent.get(event["e"], 0) + 1
        self.hub.tell_users(msgspec.json.encode(event))

    def open_listen_key(self) -> str:
        """The account's listen key, valid for an hour from now; a live one is extended."""
        if self.listen_key is None or time.monotonic() >= self.listen_key_due_s:
            self.listen_key = secrets.token_hex(32)
        self.listen_key_due_s = time.monotonic() + LISTEN_KEY_S
        return self.listen_key

    def keep_listen_key(self) -> str:
        """Extend the listen key; one that expired is gone."""
        if self.listen_key is None:
            raise ApiError(-1125, "This listenKey does not exist.")
        return self.open_listen_key()

    def expire_sessions(self) -> None:
        """End the listen key: its sockets are told."""
        key, self.listen_key = self.listen_key, None
        if key is not None:
            self._tell({"e": "listenKeyExpired", "E": wall_ms(), "listenKey": key})

    def tick(self) -> None:
        """Let time-outs happen."""
        if self.listen_key is not None and time.monotonic() >= self.listen_key_due_s:
            self.expire_sessions()

    # -- what the server asks of every face ---------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """Every path of the venue."""
        from market.simulator import binance_rest, binance_ws  # they need this class

        ws = binance_ws.handler(self)
        sockets = [web.get(path if path.startswith("/") else f"/{path}", ws) for path in binance_ws.PATHS]
        rest = binance_rest.handler(self)
        return [*sockets, *(web.route("*", path, rest) for path in ("/fapi/{tail:.*}", "/futures/data/{tail:.*}"))]

    def keys(self) -> dict[str, str | None]:
        """What a client signs with."""
        return {"api_key": self.credentials.api_key, "secret": self.credentials.secret, "password": None}

    def order_record(self, order: Order) -> dict[str, Any]:
        """An order as queries return it."""
        return messages.order_record(self.exchange.market(order.symbol).instrument, order)

    def stop_record(self, stop: Stop) -> dict[str, Any]:
        """A conditional order as the algo endpoints return it."""
        return algo_messages.stop_record(self.exchange.market(stop.request.symbol).instrument, stop)


def api_error(face: BinanceFace, reject: Reject, symbol: str) -> ApiError:
    """A refusal of the exchange in Binance's codes."""
    code, message = messages.CODES[reject.reason]
    market = face.exchange.markets.get(symbol)
    if market is not None:
        low = round(market.mark_px() * (1 - PX_BAND), 8).normalize()
        message = message.format(notional=messages.text(market.instrument.min_notional), low=messages.text(low))
    return ApiError(code, message)


class Route(msgspec.Struct, frozen=True):
    """One REST call. ``handler`` runs when the request reaches the exchange if it ``travels``, else at once.

    ``security`` is ``none``, ``key`` or ``signed``; ``weight_all`` is the weight without a symbol when that differs.
    ``pool`` names a limit of its own that the call counts against instead of the weight.
    """

    handler: Callable[[BinanceFace, dict[str, str]], Any]
    weight: int
    security: str = "signed"
    travels: bool = False
    new_orders: bool = False
    weight_all: int | None = None
    pool: str = ""


def require(params: dict[str, str], name: str) -> str:
    """A mandatory parameter."""
    value = params.get(name)
    if not value:
        raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def boolean(params: dict[str, str], name: str) -> bool:
    """An optional ``true`` or ``false``."""
    value = params.get(name, "false").lower()
    if value not in ("true", "false"):
        raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return value == "true"


def integer(params: dict[str, str], name: str, default: int | None = None) -> int:
    """A whole number, not negative."""
    text = params.get(name, "")
    if not text and default is not None:
        return default
    text = require(params, name)
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return int(text)


def decimal(params: dict[str, str], name: str) -> Decimal:
    """A mandatory decimal number."""
    text = require(params, name)
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or len(text) > 40:
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'.")
    return value
