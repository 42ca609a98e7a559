"""Binance frames (USD-M, COIN-M and spot; raw or combined stream; REST depth) to typed events.

A cheap byte search finds the event name, then one typed msgspec pass reads the frame: no frame is decoded twice on the
usual path. Unusual spellings (spaces, other key order, spot's nameless bookTicker) take the slow path, same result.
"""

from collections.abc import Callable
from math import nan
from typing import Any, Final, Generic, TypeVar

import msgspec

from market.codecs.numbers import BROKEN, Id, Levels, Top, positive, quantity, ratio, two_sided
from market.errors import FrameError
from market.events import Depth, Event, Liquidation, Mark, OpenInterest, Quote, Trade
from market.units import time_ns

T = TypeVar("T")

SNAPSHOT: Final = "depthSnapshot"
OPEN_INTEREST: Final = "openInterest"
ACK: Final = "ack"
ARRAY: Final = "array"
_WRAPPER: Final = b'{"stream":'
_FOREIGN: Final = (("arg", "OKX"), ("topic", "Bybit"), ("channel", "another venue"))


class _Wrapped(msgspec.Struct, Generic[T], gc=False):
    data: T


class _Ticker(msgspec.Struct, gc=False):
    u: Id
    s: str
    b: float
    B: float
    a: float
    A: float
    T: int = 0
    E: int = 0


class _ExactTop(msgspec.Struct, gc=False):
    b: str
    B: str
    a: str
    A: str


class _Trade(msgspec.Struct, gc=False):
    s: str
    t: Id
    p: float
    q: float
    m: bool
    T: int = 0
    E: int = 0
    X: str = "MARKET"


class _AggTrade(msgspec.Struct, gc=False):
    s: str
    a: Id
    p: float
    q: float
    m: bool
    T: int = 0
    E: int = 0
    nq: float | None = None


class _Depth(msgspec.Struct, gc=False):
    s: str
    U: Id
    u: Id
    b: Levels
    a: Levels
    pu: int = -1
    T: int = 0
    E: int = 0


class _Snapshot(msgspec.Struct, gc=False):
    lastUpdateId: Id
    bids: Levels
    asks: Levels
    T: int = 0
    E: int = 0
    symbol: str = ""


class _Mark(msgspec.Struct, gc=False):
    """``i`` and ``r`` are absent or empty on delivery contracts; ``T`` is the next funding time, not the event's."""

    s: str
    p: float
    E: int = 0
    i: str = ""
    r: str = ""
    T: int = 0


class _Forced(msgspec.Struct, gc=False):
    s: str
    S: str
    q: float
    p: float
    T: int = 0


class _ForceOrder(msgspec.Struct, gc=False):
    o: _Forced
    E: int = 0


class _OpenInterest(msgspec.Struct, gc=False):
    """Answer of GET openInterest; Binance has no stream of it."""

    symbol: str
    openInterest: float
    time: int = 0


def _quote(w: _Ticker, ts_recv: int) -> Quote:
    if not two_sided(w.b, w.B, w.a, w.A):
        raise FrameError(f"bookTicker of {w.s}: {w.b!r} x {w.B!r} / {w.a!r} x {w.A!r} is no two-sided quote")
    return Quote(w.s, time_ns(w.T or w.E), ts_recv, w.b, w.B, w.a, w.A, w.u)


def _trade(w: _Trade, ts_recv: int) -> Trade:
    market, qty = w.X == "MARKET", quantity(w.q, "trade quantity")
    px = positive(w.p, "trade price") if market else quantity(w.p, "trade price")
    return Trade(w.s, time_ns(w.T or w.E), ts_recv, px, qty, -1 if w.m else 1, w.t, qty, market)


def _agg_trade(w: _AggTrade, ts_recv: int) -> Trade:
    px, qty = positive(w.p, "trade price"), quantity(w.q, "trade quantity")
    book_qty = qty if w.nq is None else quantity(w.nq, "trade quantity nq")
    return Trade(w.s, time_ns(w.T or w.E), ts_recv, px, qty, -1 if w.m else 1, w.a, book_qty, True)


def _depth(w: _Depth, ts_recv: int) -> Depth:
    if w.u < w.U:
        raise FrameError(f"depthUpdate of {w.s}: last id {w.u} is below first id {w.U}")
    return Depth(w.s, time_ns(w.T or w.E), ts_recv, False, w.U, w.u, w.pu, w.b, w.a)


def _snapshot(w: _Snapshot, ts_recv: int) -> Depth:
    last = w.lastUpdateId
    return Depth(w.symbol, time_ns(w.T or w.E), ts_recv, True, last, last, -1, w.bids, w.asks)


def _mark(w: _Mark, ts_recv: int) -> Mark:
    px, index = positive(w.p, "mark price"), ratio(w.i, "index price")
    return Mark(w.s, time_ns(w.E), ts_recv, px, index, ratio(w.r, "funding rate"), time_ns(w.T))


def _liquidation(w: _ForceOrder, ts_recv: int) -> Liquidation:
    if w.o.S not in ("BUY", "SELL"):
        raise FrameError(f"forceOrder side {w.o.S!r} is neither BUY nor SELL")
    px, qty = positive(w.o.p, "forceOrder price"), quantity(w.o.q, "forceOrder quantity")
    return Liquidation(w.o.s, time_ns(w.o.T or w.E), ts_recv, px, qty, 1 if w.o.S == "BUY" else -1)


def _open_interest(w: _OpenInterest, ts_recv: int) -> OpenInterest:
    contracts = quantity(w.openInterest, "open interest")
    return OpenInterest(w.symbol, time_ns(w.time), ts_recv, contracts, nan)


# strict=False reads the venue's quoted decimals straight into floats; levels are typed str and stay exact.
def _reader(wire: Any, build: Callable[[Any, int], Event]) -> tuple[Any, Any, Callable[[Any, int], Event], Any]:
    wrapped = msgspec.json.Decoder(_Wrapped[wire], strict=False)
    return wrapped.decode, msgspec.json.Decoder(wire, strict=False).decode, build, wire


_TICKER: Final = _reader(_Ticker, _quote)
_REST_READERS: Final = {
    SNAPSHOT: _reader(_Snapshot, _snapshot),
    OPEN_INTEREST: _reader(_OpenInterest, _open_interest),
}
_READERS: Final = {
    b"bookTicker": _TICKER,
    b"trade": _reader(_Trade, _trade),
    b"aggTrade": _reader(_AggTrade, _agg_trade),
    b"depthUpdate": _reader(_Depth, _depth),
    b"markPriceUpdate": _reader(_Mark, _mark),
    b"forceOrder": _reader(_ForceOrder, _liquidation),
}


def decode(raw: bytes, ts_recv: int) -> Event | None:
    """One frame as a typed event, stamped with ``ts_recv`` (ns UTC).

    Returns
    -------
    Event or None
        None for a well-formed Binance frame that carries no market event of ours (acks, klines, arrays, unknown types);
        ``event_type`` names it so that it can be counted.

    Raises
    ------
    FrameError
        The bytes are no Binance frame, or a number in it is impossible (NaN, negative quantity, price not above zero).

    >>> decode(b'{"e":"trade","E":2,"T":1600000000000,"s":"XY","t":7,"p":"0.50","q":"3","X":"MARKET","m":true}', 9).side
    -1
    """
    start = raw.find(b'"e":"')
    if start >= 0:
        reader = _READERS.get(raw[start + 5 : raw.find(b'"', start + 5)])
        if reader is not None:
            try:
                if raw.startswith(_WRAPPER):
                    return reader[2](reader[0](raw).data, ts_recv)
                return reader[2](reader[1](raw), ts_recv)
            except BROKEN:
                pass  # the slow path says what is wrong with it, or reads the unusual shape
    return _decode_slow(raw, ts_recv)


def exact_top(raw: bytes) -> Top:
    """Bid price, bid quantity, ask price and ask quantity of a bookTicker frame as the venue's own decimal strings.

    Raises
    ------
    FrameError
        The bytes are no bookTicker.
    """
    try:
        top = msgspec.convert(_payload(raw), _ExactTop)
    except BROKEN as error:
        raise FrameError(f"bookTicker: {error}") from None
    return top.b, top.B, top.a, top.A


def event_type(raw: bytes) -> str:
    """Name of the frame's event as Binance spells it; ``depthSnapshot``, ``openInterest``, ``ack`` and ``array`` for
    frames without one.

    Raises FrameError as ``decode`` does for bytes that are no Binance frame.

    >>> event_type(b'{"result":null,"id":1}')
    'ack'
    """
    start = raw.find(b'"e":"')
    if start >= 0:
        name = raw[start + 5 : raw.find(b'"', start + 5)]
        if name in _READERS and raw[start - 2 : start] != b"[{":
            return name.decode()
    return _type_of(_payload(raw))


def _payload(raw: bytes) -> Any:
    try:
        whole = msgspec.json.decode(raw)
    except BROKEN as error:
        raise FrameError(f"not JSON: {error}") from None
    return whole["data"] if isinstance(whole, dict) and "stream" in whole and "data" in whole else whole


def _type_of(payload: Any) -> str:
    if isinstance(payload, list):
        return ARRAY
    if not isinstance(payload, dict):
        raise FrameError(f"a frame is a JSON object, not {type(payload).__name__}")
    name = payload.get("e")
    if isinstance(name, str):
        return name
    if "lastUpdateId" in payload:
        return SNAPSHOT
    if "openInterest" in payload:
        return OPEN_INTEREST
    if payload.keys() >= {"u", "s", "b", "B", "a", "A"}:
        return "bookTicker"
    if "id" in payload or "result" in payload or "error" in payload:
        return ACK
    raise FrameError(_not_ours(payload))


def _not_ours(payload: dict[str, Any]) -> str:
    venue = next((f" (looks like {name})" for key, name in _FOREIGN if key in payload), "")
    return f"not a Binance frame: keys {', '.join(list(payload)[:6]) or 'none'}{venue}"


def _decode_slow(raw: bytes, ts_recv: int) -> Event | None:
    payload = _payload(raw)
    name = _type_of(payload)
    reader = _REST_READERS.get(name) or _READERS.get(name.encode())
    if reader is None:
        return None
    try:
        return reader[2](msgspec.convert(payload, reader[3], strict=False), ts_recv)
    except BROKEN as error:
        raise FrameError(f"{name}: {error}") from None
