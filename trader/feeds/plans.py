"""What to open and what to say on it, for each venue: addresses, subscriptions, keep-alive and the venue's own limits.

Sources: Binance USD-M "WebSocket Market Streams" (split paths since 2026-04-23), OKX v5 "WebSocket" (480 requests an
hour per connection, 3 connects a second per IP, text ping within 30 s), Bybit v5 "Connect" (ping every 20 s, 10
arguments a request, 500 connects in 5 minutes).
"""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from trader.errors import ConfigError

T = TypeVar("T")


class Protocol(msgspec.Struct, frozen=True):
    """A venue's habits on a socket.

    ``ping`` is the text sent every ``ping_s`` (b"": WebSocket ping frames do). At most ``connects`` new connections in
    ``connects_s``. ``silence_s`` is, by kind of stream, how long one that spoke may stay silent; ``must_speak`` are the
    kinds that every listed symbol sends at once. ``resubscribes``: a fresh book comes by subscribing anew, not by REST.
    """

    ping: bytes
    ping_s: float
    connects: int
    connects_s: float
    silence_s: dict[str, float]
    must_speak: tuple[str, ...]
    resubscribes: bool


class SocketPlan(msgspec.Struct, frozen=True):
    """One connection: where, what to send once it is open, its name, and what it carries (``kinds`` () is all)."""

    url: str
    subscribe: list[bytes]
    name: str
    venue: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...] = ()


PROTOCOLS: Final = {
    "binanceusdm": Protocol(
        ping=b"",
        ping_s=10.0,
        connects=300,
        connects_s=300.0,
        silence_s={"depth": 30.0, "quote": 30.0, "mark": 30.0},
        must_speak=("depth", "quote"),
        resubscribes=False,
    ),
    "okx": Protocol(
        ping=b"ping",
        ping_s=15.0,
        connects=3,
        connects_s=1.0,
        # a quiet book repeats its sequence id about once a minute
        silence_s={"depth": 90.0, "mark": 60.0},
        must_speak=("depth",),
        resubscribes=True,
    ),
    "bybit": Protocol(
        ping=b'{"op":"ping"}',
        ping_s=20.0,
        connects=500,
        connects_s=300.0,
        # level 1 is repeated after 3 s without change
        silence_s={"quote": 15.0, "depth": 60.0, "ticker": 60.0},
        must_speak=("quote", "depth"),
        resubscribes=True,
    ),
}

BINANCE_STREAMS: Final = {
    "public": ("depth@0ms", "bookTicker"),
    "market": ("aggTrade", "markPrice@1s", "forceOrder"),
}
BINANCE_KINDS: Final = {"public": ("depth", "quote"), "market": ("trade", "mark", "liquidation")}
OKX_CHANNELS: Final = ("books", "bbo-tbt", "trades", "mark-price", "funding-rate", "open-interest")
BYBIT_TOPICS: Final = ("orderbook.50", "orderbook.1", "publicTrade", "tickers", "allLiquidation")
STREAMS_A_SOCKET: Final = 200
OKX_ARGS_A_REQUEST: Final = 50
BYBIT_ARGS_A_REQUEST: Final = 10


def feed_plan(venue: str, ws: str, symbols: Sequence[str]) -> list[SocketPlan]:
    """The sockets that carry all market streams of ``symbols``, as they are spelled by the venue.

    Raises
    ------
    ConfigError
        The venue is not one of ours.

    >>> [plan.name for plan in feed_plan("binanceusdm", "wss://x", ["AUSDT"])]
    ['public-0', 'market-0']
    """
    if venue not in _PLANS:
        raise ConfigError(f"venue {venue!r} has no market feed", f"use one of {', '.join(sorted(_PLANS))}")
    return _PLANS[venue](ws.rstrip("/"), symbols)


def book_requests(plan: SocketPlan, symbol: str) -> list[bytes]:
    """What to send on an OKX or Bybit socket to get a fresh snapshot of one book: leave its stream and return."""
    if plan.venue == "okx":
        args: list[dict[str, str]] = [{"channel": "books", "instId": symbol}]
        return [_request("unsubscribe", args), _request("subscribe", args)]
    topics = [f"{BYBIT_TOPICS[0]}.{symbol}"]
    return [_request("unsubscribe", topics), _request("subscribe", topics)]


def _binance(ws: str, symbols: Sequence[str]) -> list[SocketPlan]:
    plans = []
    for path, streams in BINANCE_STREAMS.items():
        for place, some in enumerate(_chunks(symbols, STREAMS_A_SOCKET // len(streams))):
            names = "/".join(f"{symbol.lower()}@{stream}" for symbol in some for stream in streams)
            url = f"{ws}/{path}/stream?streams={names}"
            plans.append(SocketPlan(url, [], f"{path}-{place}", "binanceusdm", tuple(some), BINANCE_KINDS[path]))
    return plans


def _okx(ws: str, symbols: Sequence[str]) -> list[SocketPlan]:
    plans = []
    for place, some in enumerate(_chunks(symbols, (STREAMS_A_SOCKET - 1) // len(OKX_CHANNELS))):
        args = [{"channel": channel, "instId": symbol} for symbol in some for channel in OKX_CHANNELS]
        if place == 0:
            args.append({"channel": "liquidation-orders", "instType": "SWAP"})
        sends = [_request("subscribe", part) for part in _chunks(args, OKX_ARGS_A_REQUEST)]
        plans.append(SocketPlan(f"{ws}/ws/v5/public", sends, f"public-{place}", "okx", tuple(some)))
    return plans


def _bybit(ws: str, symbols: Sequence[str]) -> list[SocketPlan]:
    plans = []
    for place, some in enumerate(_chunks(symbols, STREAMS_A_SOCKET // len(BYBIT_TOPICS))):
        args = [f"{topic}.{symbol}" for symbol in some for topic in BYBIT_TOPICS]
        sends = [_request("subscribe", part) for part in _chunks(args, BYBIT_ARGS_A_REQUEST)]
        plans.append(SocketPlan(f"{ws}/v5/public/linear", sends, f"linear-{place}", "bybit", tuple(some)))
    return plans


_PLANS: Final = {"binanceusdm": _binance, "okx": _okx, "bybit": _bybit}


def _request(op: str, args: Sequence[str] | Sequence[dict[str, str]]) -> bytes:
    return msgspec.json.encode({"op": op, "args": args})


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
