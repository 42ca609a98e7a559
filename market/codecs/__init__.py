"""One decoder per venue, chosen by name: ``decode_all`` (frame to events), ``event_type`` (frame to its name)."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from market.codecs import binance, bybit, okx
from market.codecs.numbers import Top
from market.errors import CryptoScalpError
from market.events import Event

Decoder = Callable[[bytes, int], Sequence[Event]]


class _Codec(msgspec.Struct, frozen=True):
    decode: Decoder
    event_type: Callable[[bytes], str]
    exact_tops: Callable[[bytes], Sequence[Top]]


def _binance_all(raw: bytes, ts_recv: int) -> Sequence[Event]:
    event = binance.decode(raw, ts_recv)
    return () if event is None else (event,)


_BINANCE: Final = _Codec(_binance_all, binance.event_type, lambda raw: (binance.exact_top(raw),))
_CODECS: Final = {
    "binanceusdm": _BINANCE,
    "binancecoinm": _BINANCE,
    "binance": _BINANCE,
    "okx": _Codec(okx.decode, okx.event_type, okx.exact_tops),
    "bybit": _Codec(bybit.decode, bybit.event_type, bybit.exact_tops),
}
VENUES: Final = tuple(_CODECS)


def _codec(venue: str) -> _Codec:
    codec = _CODECS.get(venue)
    if codec is None:
        raise CryptoScalpError(f"venue {venue!r} has no decoder", f"use one of {', '.join(VENUES)}")
    return codec


def decode_all(venue: str) -> Decoder:
    """Decoder of ``venue``: ``(raw, ts_recv) -> events`` (OKX and Bybit send several in one frame; often none).

    The decoder raises ``FrameError`` and nothing else.

    Raises
    ------
    CryptoScalpError
        No venue of that name.

    >>> decode_all("binanceusdm")(b'{"result":null,"id":1}', 5)
    ()
    """
    return _codec(venue).decode


def event_type(venue: str) -> Callable[[bytes], str]:
    """Namer of ``venue``'s frames, for counting them; it raises ``FrameError`` for bytes that are none of its frames.

    >>> event_type("okx")(b'{"arg":{"channel":"books","instId":"X-SWAP"},"action":"update","data":[]}')
    'books'
    """
    return _codec(venue).event_type


def exact_tops(venue: str) -> Callable[[bytes], Sequence[Top]]:
    """Reader of the exact decimal strings of a quote frame, one per ``Quote`` that ``decode_all`` gives for it."""
    return _codec(venue).exact_tops
