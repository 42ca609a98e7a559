"""Binance stream frames as bytes: which topic a recorded frame belongs to, and its payload untouched."""

from typing import Final

import msgspec

from market.events import Depth, Event, Mark, Quote, Trade
from market.simulator.candles import INTERVALS

Topic = tuple[str, str]

_HEAD: Final = b'{"stream":"'
CHANNELS: Final = ("depth", "bookTicker", "trade", "aggTrade", "markPrice", "forceOrder")
PARTIAL: Final = {"depth5": 5, "depth10": 10, "depth20": 20}
DERIVED: Final = ("ticker", "miniTicker")
ALL: Final = "*"
# streams of all symbols, and whether their names end in "@arr"
ALL_CHANNELS: Final = {"bookTicker": False, "markPrice": True, "ticker": True, "miniTicker": True, "forceOrder": True}


class _Wrapped(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _Print(msgspec.Struct):
    s: str
    t: int
    p: str
    q: str
    m: bool
    E: int = 0
    T: int = 0
    X: str = "MARKET"


class _Aggregate(msgspec.Struct, tag_field="e", tag="aggTrade"):
    E: int
    s: str
    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741 (the venue's field name)
    T: int
    m: bool
    nq: str


_wrapped: Final = msgspec.json.Decoder(_Wrapped)
_print: Final = msgspec.json.Decoder(_Print)
_encoder: Final = msgspec.json.Encoder()


def payload(raw: bytes) -> bytes:
    """The event's own bytes, without the combined-stream wrapper a recorder may have kept.

    >>> payload(b'{"stream":"xy@trade","data":{"e":"trade"}}')
    b'{"e":"trade"}'
    """
    if raw.startswith(_HEAD):
        end = raw.find(b'"', len(_HEAD))
        if raw[end : end + 9] == b'","data":':
            return raw[end + 9 : -1]
    return bytes(_wrapped.decode(raw).data) if raw.startswith(b'{"stream"') else raw


def channel(event: Event, raw: bytes) -> str | None:
    """Channel an event is published on; None for REST answers, which no client can subscribe to."""
    if isinstance(event, Quote):
        return "bookTicker"
    if isinstance(event, Depth):
        return None if event.is_snapshot else "depth"
    if isinstance(event, Trade):
        return "aggTrade" if b'"aggTrade"' in raw else "trade"
    return "markPrice" if isinstance(event, Mark) else "forceOrder"


def topic_of(name: str) -> Topic | None:
    """(symbol, channel) of a stream name, its update speed ignored since a tape has one; None if we lack it.

    >>> topic_of("btcusdt@depth@100ms"), topic_of("!markPrice@arr@1s"), topic_of("btcusdt@compositeIndex")
    (('BTCUSDT', 'depth'), ('*', 'markPrice'), None)
    """
    if name.startswith("!"):
        kind, _, rest = name[1:].partition("@")
        is_array = rest.partition("@")[0] == "arr"
        return (ALL, kind) if kind in ALL_CHANNELS and is_array == ALL_CHANNELS[kind] else None
    symbol, _, rest = name.partition("@")
    kind = rest.partition("@")[0]
    is_known = kind in (*CHANNELS, *PARTIAL, *DERIVED) or kind.removeprefix("kline_") in INTERVALS
    return (symbol.upper(), kind) if symbol and is_known else None


def aggregate(data: bytes) -> bytes | None:
    """An ``aggTrade`` payload of one recorded ``trade`` (1:1); None for prints that are no market trade."""
    trade = _print.decode(data)
    if trade.X != "MARKET":
        return None
    ids = (trade.t, trade.p, trade.q, trade.t, trade.t)
    return _encoder.encode(_Aggregate(trade.E, trade.s, *ids, trade.T, trade.m, trade.q))
