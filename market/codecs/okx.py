"""OKX v5 public pushes (books, bbo, trades, mark price, funding, open interest, liquidations, tickers) to events.

A push is ``{"arg": {"channel", "instId"}, "action", "data": [...]}`` and may carry several events. The ``checksum`` of
the book channels is fixed to 0 by the venue and never read; ``seqId``/``prevSeqId`` prove a book.
"""

from collections.abc import Callable
from math import nan
from typing import Any, Final, Generic, TypeVar

import msgspec

from market.codecs.numbers import (
    BROKEN,
    Id,
    Levels,
    Top,
    positive,
    quantity,
    quantity_or_nan,
    ratio,
    side_of,
    two_sided,
)
from market.errors import FrameError
from market.events import Depth, Event, Liquidation, Mark, OpenInterest, Quote, Trade
from market.units import time_ns

T = TypeVar("T")
WireLevels = list[tuple[str, str, str, str]]

PONG: Final = "pong"
_CHANNEL: Final = b'"channel":"'
_ELP: Final = "1"


class _Arg(msgspec.Struct, gc=False):
    channel: str
    instId: str = ""


class _Push(msgspec.Struct, Generic[T], gc=False):
    arg: _Arg
    data: list[T]
    action: str = ""


class _Book(msgspec.Struct, gc=False):
    """Levels are (price, size, a deprecated 0, number of orders)."""

    asks: WireLevels
    bids: WireLevels
    ts: int = 0
    seqId: int = -1
    prevSeqId: int = -1


class _Trade(msgspec.Struct, gc=False):
    tradeId: Id
    px: float
    sz: float
    side: str
    ts: int = 0
    source: str = "0"


class _Ticker(msgspec.Struct, gc=False):
    """Empty prices where a side is empty."""

    bidPx: str
    bidSz: str
    askPx: str
    askSz: str
    ts: int = 0


class _Mark(msgspec.Struct, gc=False):
    markPx: float
    ts: int = 0


class _Funding(msgspec.Struct, gc=False):
    """``fundingTime`` is the next settlement and ``fundingRate`` what it will charge; ``nextFundingTime`` the one
    after."""

    fundingRate: str
    fundingTime: int
    ts: int = 0


class _Interest(msgspec.Struct, gc=False):
    oi: float
    oiUsd: str = ""
    ts: int = 0


class _Forced(msgspec.Struct, gc=False):
    side: str
    bkPx: float
    sz: float
    ts: int = 0


class _Liquidations(msgspec.Struct, gc=False):
    instId: str
    details: list[_Forced]


def _named(push: _Push[Any]) -> str:
    if not push.arg.instId:
        raise FrameError(f"{push.arg.channel}: the push names no instId")
    return push.arg.instId


def _pairs(levels: WireLevels) -> Levels:
    return [(px, qty) for px, qty, _, _ in levels]


def _depths(push: _Push[_Book], ts_recv: int) -> tuple[Event, ...]:
    """``books5`` sends no action: each push is the whole of its five levels."""
    symbol, snapshot = _named(push), push.action != "update"
    return tuple(
        Depth(
            symbol,
            time_ns(w.ts),
            ts_recv,
            snapshot,
            w.seqId,
            w.seqId,
            -1 if snapshot else w.prevSeqId,
            _pairs(w.bids),
            _pairs(w.asks),
        )
        for w in push.data
    )


def _tops(push: _Push[_Book], ts_recv: int) -> tuple[Event, ...]:
    symbol = _named(push)
    return tuple(_top(symbol, w, ts_recv) for w in push.data if w.bids and w.asks)


def _top(symbol: str, w: _Book, ts_recv: int) -> Quote:
    (bid_px, bid_qty, _, _), (ask_px, ask_qty, _, _) = w.bids[0], w.asks[0]
    return _quote(symbol, time_ns(w.ts), ts_recv, (bid_px, bid_qty, ask_px, ask_qty), w.seqId)


def _quote(symbol: str, ts_event: int, ts_recv: int, texts: Top, update_id: int) -> Quote:
    bid_px, bid_qty, ask_px, ask_qty = (ratio(text, "quote") for text in texts)
    if not two_sided(bid_px, bid_qty, ask_px, ask_qty):
        raise FrameError(f"quote of {symbol}: {' '.join(texts)[:80]} is no two-sided quote")
    return Quote(symbol, ts_event, ts_recv, bid_px, bid_qty, ask_px, ask_qty, update_id)


def _tickers(push: _Push[_Ticker], ts_recv: int) -> tuple[Event, ...]:
    symbol = _named(push)
    texts = [((w.bidPx, w.bidSz, w.askPx, w.askSz), time_ns(w.ts)) for w in push.data]
    return tuple(_quote(symbol, ts_event, ts_recv, top, -1) for top, ts_event in texts if top[0] and top[2])


def _trades(push: _Push[_Trade], ts_recv: int) -> tuple[Event, ...]:
    symbol = _named(push)
    return tuple(_trade(symbol, w, ts_recv) for w in push.data)


def _trade(symbol: str, w: _Trade, ts_recv: int) -> Trade:
    """Source 1 traded against the Enhanced Liquidity Program's orders, which the book channels do not show."""
    px, qty = positive(w.px, "trade price"), quantity(w.sz, "trade quantity")
    book_qty = 0.0 if w.source == _ELP else qty
    return Trade(symbol, time_ns(w.ts), ts_recv, px, qty, side_of(w.side, "trade side"), w.tradeId, book_qty, True)


def _marks(push: _Push[_Mark], ts_recv: int) -> tuple[Event, ...]:
    symbol = _named(push)
    return tuple(Mark(symbol, time_ns(w.ts), ts_recv, positive(w.markPx, "mark price"), nan, nan, 0) for w in push.data)


def _fundings(push: _Push[_Funding], ts_recv: int) -> tuple[Event, ...]:
    symbol = _named(push)
    return tuple(
        Mark(symbol, time_ns(w.ts), ts_recv, nan, nan, ratio(w.fundingRate, "funding rate"), time_ns(w.fundingTime))
        for w in push.data
    )


def _interests(push: _Push[_Interest], ts_recv: int) -> tuple[Event, ...]:
    symbol = _named(push)
    return tuple(
        OpenInterest(symbol, time_ns(w.ts), ts_recv, quantity(w.oi, "open interest"), quantity_or_nan(w.oiUsd, "oiUsd"))
        for w in push.data
    )


def _liquidations(push: _Push[_Liquidations], ts_recv: int) -> tuple[Event, ...]:
    """Subscribed by instrument type, so each datum names its own symbol. ``bkPx`` is the bankruptcy price."""
    return tuple(_liquidation(group.instId, w, ts_recv) for group in push.data for w in group.details)


def _liquidation(symbol: str, w: _Forced, ts_recv: int) -> Liquidation:
    px, qty = positive(w.bkPx, "liquidation price"), quantity(w.sz, "liquidation quantity")
    return Liquidation(symbol, time_ns(w.ts), ts_recv, px, qty, side_of(w.side, "liquidation side"))


Build = Callable[[Any, int], tuple[Event, ...]]


# strict=False reads the venue's quoted numbers straight into int and float; levels are typed str and stay exact.
def _reader(wire: Any, build: Build) -> tuple[Callable[[bytes], Any], Build, Any]:
    return msgspec.json.Decoder(_Push[wire], strict=False).decode, build, _Push[wire]


_BOOK: Final = _reader(_Book, _depths)
_TRADES: Final = _reader(_Trade, _trades)
_READERS: Final = {
    b"books": _BOOK,
    b"books5": _BOOK,
    b"books-l2-tbt": _BOOK,
    b"books50-l2-tbt": _BOOK,
    b"bbo-tbt": _reader(_Book, _tops),
    b"trades": _TRADES,
    b"trades-all": _TRADES,
    b"tickers": _reader(_Ticker, _tickers),
    b"mark-price": _reader(_Mark, _marks),
    b"funding-rate": _reader(_Funding, _fundings),
    b"open-interest": _reader(_Interest, _interests),
    b"liquidation-orders": _reader(_Liquidations, _liquidations),
}


def decode(raw: bytes, ts_recv: int) -> tuple[Event, ...]:
    """The events of one frame, stamped with ``ts_recv`` (ns UTC); none for acks, pongs and channels not ours.

    Raises
    ------
    FrameError
        The bytes are no OKX push, or a number in it is impossible (NaN, negative quantity, price not above zero).

    >>> push = b'{"arg":{"channel":"mark-price","instId":"X-SWAP"},"data":[{"markPx":"7.5","ts":"1600000000000"}]}'
    >>> decode(push, 9)[0].mark_px
    7.5
    """
    start = raw.find(_CHANNEL)
    if start >= 0 and b'"event":' not in raw[:start]:
        start += len(_CHANNEL)
        reader = _READERS.get(raw[start : raw.find(b'"', start)])
        if reader is not None:
            try:
                return reader[1](reader[0](raw), ts_recv)
            except BROKEN:
                pass  # the slow path says what is wrong with it, or reads the unusual shape
    return _decode_slow(raw, ts_recv)


def exact_tops(raw: bytes) -> tuple[Top, ...]:
    """Bid price, bid quantity, ask price, ask quantity of each quote of a ``bbo-tbt`` push, as the venue spells them.

    Raises
    ------
    FrameError
        The bytes are no ``bbo-tbt`` push.
    """
    try:
        push = msgspec.json.decode(raw, type=_Push[_Book], strict=False)
    except BROKEN as error:
        raise FrameError(f"bbo-tbt: {error}") from None
    return tuple((*w.bids[0][:2], *w.asks[0][:2]) for w in push.data if w.bids and w.asks)


def event_type(raw: bytes) -> str:
    """The frame's channel; for frames without data their ``event`` (``subscribe``, ``error``, ``notice``) or ``pong``.

    Raises FrameError as ``decode`` does for bytes that are no OKX frame.

    >>> event_type(b'{"event":"subscribe","arg":{"channel":"trades","instId":"X"},"connId":"a"}')
    'subscribe'
    """
    return PONG if raw.strip() == b"pong" else _type_of(_payload(raw))


def _payload(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except BROKEN as error:
        raise FrameError(f"not JSON: {error}") from None


def _type_of(payload: Any) -> str:
    if not isinstance(payload, dict):
        raise FrameError(f"a frame is a JSON object, not {type(payload).__name__}")
    event = payload.get("event")
    if isinstance(event, str):
        return event
    arg = payload.get("arg")
    channel = arg.get("channel") if isinstance(arg, dict) else None
    if isinstance(channel, str):
        return channel
    if "op" in payload and "code" in payload:
        return str(payload["op"])
    raise FrameError(f"not an OKX frame: keys {', '.join(list(payload)[:6]) or 'none'}")


def _decode_slow(raw: bytes, ts_recv: int) -> tuple[Event, ...]:
    if raw.strip() == b"pong":
        return ()
    payload = _payload(raw)
    name = _type_of(payload)
    reader = None if "event" in payload else _READERS.get(name.encode())
    if reader is None:
        return ()
    try:
        return reader[1](msgspec.convert(payload, reader[2], strict=False), ts_recv)
    except BROKEN as error:
        raise FrameError(f"{name}: {error}") from None
