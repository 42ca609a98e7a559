"""Bybit v5 public topics (orderbook, publicTrade, tickers, allLiquidation) to events.

``orderbook.1`` is the top of the book, sent whole each time; deeper books are a snapshot and deltas. ``u`` numbers the
messages of one depth, ``seq`` orders the depths among each other. Retail-price-improvement volume is not in the books.
"""

from collections.abc import Callable
from hashlib import blake2b
from math import isnan
from typing import Any, Final, Generic, TypeVar

import msgspec

from market.codecs.numbers import (
    BROKEN,
    Id,
    Levels,
    Top,
    positive,
    price_or_nan,
    quantity,
    ratio,
    side_of,
    two_sided,
)
from market.errors import FrameError
from market.events import Depth, Event, Liquidation, Mark, OpenInterest, Quote, Trade
from market.units import time_ns

T = TypeVar("T")

ACK: Final = "ack"
_TOPIC: Final = b'"topic":"'
_RESTARTED: Final = 1


class _Push(msgspec.Struct, Generic[T], gc=False):
    topic: str
    data: T
    type: str = "snapshot"
    ts: int = 0
    cts: int = 0


class _Book(msgspec.Struct, gc=False):
    s: str
    b: Levels
    a: Levels
    u: Id
    seq: int = -1


class _Trade(msgspec.Struct, gc=False):
    """``BT``: a block trade, ``RPI``: against retail-price-improvement orders; neither touches the public book."""

    T: int
    s: str
    S: str
    v: float
    p: float
    i: str
    BT: bool = False
    RPI: bool = False


class _Ticker(msgspec.Struct, gc=False):
    """A delta holds only what changed."""

    symbol: str
    markPrice: str = ""
    indexPrice: str = ""
    fundingRate: str = ""
    nextFundingTime: str = ""
    openInterest: str = ""
    openInterestValue: str = ""


class _Forced(msgspec.Struct, gc=False):
    T: int
    s: str
    S: str
    v: float
    p: float


def _depths(push: _Push[_Book], ts_recv: int) -> tuple[Event, ...]:
    """``u`` of 1 says that the venue's service restarted: a snapshot whatever the type."""
    w = push.data
    if push.type not in ("snapshot", "delta"):
        raise FrameError(f"{push.topic}: type {push.type!r} is neither snapshot nor delta")
    snapshot = push.type == "snapshot" or w.u == _RESTARTED
    return (Depth(w.s, time_ns(push.cts or push.ts), ts_recv, snapshot, w.u, w.u, -1, w.b, w.a, w.seq),)


def _tops(push: _Push[_Book], ts_recv: int) -> tuple[Event, ...]:
    w = push.data
    if push.type != "snapshot" or not (w.b and w.a):
        return ()
    bid_px, bid_qty, ask_px, ask_qty = (ratio(text, "quote") for text in (*w.b[0], *w.a[0]))
    if not two_sided(bid_px, bid_qty, ask_px, ask_qty):
        raise FrameError(f"{push.topic}: {w.b[0]} / {w.a[0]} is no two-sided quote")
    update_id = w.u if w.seq < 0 else w.seq
    return (Quote(w.s, time_ns(push.cts or push.ts), ts_recv, bid_px, bid_qty, ask_px, ask_qty, update_id),)


def _trades(push: _Push[list[_Trade]], ts_recv: int) -> tuple[Event, ...]:
    return tuple(_trade(w, ts_recv) for w in push.data)


def _trade(w: _Trade, ts_recv: int) -> Trade:
    px, qty, side = positive(w.p, "trade price"), quantity(w.v, "trade quantity"), side_of(w.S, "trade side")
    book_qty = 0.0 if w.RPI or w.BT else qty
    return Trade(w.s, time_ns(w.T), ts_recv, px, qty, side, _trade_id(w.i), book_qty, not w.BT)


def _trade_id(text: str) -> int:
    """Numeric ids as they are; UUIDs as a 63-bit digest: equal ids stay equal, order means nothing."""
    if text.isdecimal() and text.isascii() and len(text) < 19:
        return int(text)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1


def _ticks(push: _Push[_Ticker], ts_recv: int) -> tuple[Event, ...]:
    """Mark price with funding, and open interest, each only when the frame says something of it."""
    w, ts_event = push.data, time_ns(push.ts)
    found: list[Event] = []
    if w.markPrice or w.indexPrice or w.fundingRate or w.nextFundingTime:
        mark_px, index_px = price_or_nan(w.markPrice, "mark price"), price_or_nan(w.indexPrice, "index price")
        rate, due_ns = ratio(w.fundingRate, "funding rate"), _time(w.nextFundingTime)
        found.append(Mark(w.symbol, ts_event, ts_recv, mark_px, index_px, rate, due_ns))
    if w.openInterest or w.openInterestValue:
        interest = (_amount(w.openInterest, "open interest"), _amount(w.openInterestValue, "open interest value"))
        found.append(OpenInterest(w.symbol, ts_event, ts_recv, *interest))
    return tuple(found)


def _time(text: str) -> int:
    if not text:
        return 0
    if not (text.isdecimal() and text.isascii() and len(text) < 20):
        raise FrameError(f"time {text[:40]!r} is not a number")
    return time_ns(int(text))


def _amount(text: str, what: str) -> float:
    value = ratio(text, what)
    return value if isnan(value) else quantity(value, what)


def _liquidations(push: _Push[list[_Forced]], ts_recv: int) -> tuple[Event, ...]:
    """``S`` is the side of the position that was liquidated, so the forced order goes the other way."""
    return tuple(
        Liquidation(
            w.s,
            time_ns(w.T),
            ts_recv,
            positive(w.p, "liquidation price"),
            quantity(w.v, "liquidation quantity"),
            -side_of(w.S, "liquidation side"),
        )
        for w in push.data
    )


Build = Callable[[Any, int], tuple[Event, ...]]
Reader = tuple[Callable[[bytes], Any], Build, Any]


# strict=False reads the venue's quoted numbers straight into int and float; levels are typed str and stay exact.
def _reader(wire: Any, build: Build) -> Reader:
    return msgspec.json.Decoder(_Push[wire], strict=False).decode, build, _Push[wire]


_DEPTH: Final = _reader(_Book, _depths)
_TOP: Final = _reader(_Book, _tops)
_READERS: Final = {
    b"publicTrade": _reader(list[_Trade], _trades),
    b"tickers": _reader(_Ticker, _ticks),
    b"allLiquidation": _reader(list[_Forced], _liquidations),
}


def _reader_of(name: bytes) -> Reader | None:
    """Reader of a topic without its symbol, such as ``orderbook.50``."""
    reader = _READERS.get(name)
    if reader is None and name.startswith(b"orderbook.") and name[10:].isdigit():
        return _TOP if name == b"orderbook.1" else _DEPTH
    return reader


def decode(raw: bytes, ts_recv: int) -> tuple[Event, ...]:
    """The events of one frame, stamped with ``ts_recv`` (ns UTC); none for acks, pongs and topics not ours.

    Raises
    ------
    FrameError
        The bytes are no Bybit frame, or a number in it is impossible (NaN, negative quantity, price not above zero).

    >>> push = (
    ...     b'{"topic":"allLiquidation.XUSDT","type":"snapshot","ts":1600000000001,"data":[{"T":1600000000000,'
    ...     b'"s":"XUSDT","S":"Buy","v":"20","p":"0.04"}]}'
    ... )
    >>> decode(push, 9)[0].side
    -1
    """
    start = raw.find(_TOPIC)
    if start >= 0:
        start += len(_TOPIC)
        reader = _reader_of(raw[start : raw.find(b'"', start)].rpartition(b".")[0])
        if reader is not None:
            try:
                return reader[1](reader[0](raw), ts_recv)
            except BROKEN:
                pass  # the slow path says what is wrong with it, or reads the unusual shape
    return _decode_slow(raw, ts_recv)


def exact_tops(raw: bytes) -> tuple[Top, ...]:
    """Bid price, bid quantity, ask price, ask quantity of an ``orderbook.1`` frame as the venue spells them.

    Raises
    ------
    FrameError
        The bytes are no ``orderbook.1`` frame.
    """
    try:
        w = msgspec.json.decode(raw, type=_Push[_Book], strict=False).data
    except BROKEN as error:
        raise FrameError(f"orderbook.1: {error}") from None
    return ((*w.b[0], *w.a[0]),) if w.b and w.a else ()


def event_type(raw: bytes) -> str:
    """The frame's topic without its symbol (``orderbook.50``); ``ack`` or ``pong`` for frames without a topic.

    Raises FrameError as ``decode`` does for bytes that are no Bybit frame.

    >>> event_type(b'{"success":true,"ret_msg":"","conn_id":"a","op":"subscribe"}')
    'ack'
    """
    return _type_of(_payload(raw))


def _payload(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except BROKEN as error:
        raise FrameError(f"not JSON: {error}") from None


def _type_of(payload: Any) -> str:
    if not isinstance(payload, dict):
        raise FrameError(f"a frame is a JSON object, not {type(payload).__name__}")
    topic = payload.get("topic")
    if isinstance(topic, str):
        return topic.rpartition(".")[0] or topic
    if "op" in payload or "success" in payload:
        pong = payload.get("op") == "pong" or payload.get("ret_msg") == "pong"
        return "pong" if pong else ACK
    raise FrameError(f"not a Bybit frame: keys {', '.join(list(payload)[:6]) or 'none'}")


def _decode_slow(raw: bytes, ts_recv: int) -> tuple[Event, ...]:
    payload = _payload(raw)
    name = _type_of(payload)
    reader = _reader_of(name.encode())
    if reader is None:
        return ()
    try:
        return reader[1](msgspec.convert(payload, reader[2], strict=False), ts_recv)
    except BROKEN as error:
        raise FrameError(f"{name}: {error}") from None
