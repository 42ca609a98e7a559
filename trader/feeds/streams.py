"""Which stream a raw frame belongs to, read from its first bytes, and the numbers that order it within that stream.

Nothing is decoded here: a stream is recognised by the name the venue repeats in every frame, and each name is parsed
once. Frames without a name (acknowledgements, notices, errors) belong to no stream.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from market.errors import FrameError
from market.units import time_ns

_HEAD: Final = 256
COUNTS: Final = b"+1"
"""In place of the field that names the id before: ids count by one."""
Fields = tuple[str, bytes, bytes, bool, bytes]
_INSTRUMENT: Final = re.compile(rb'"instId":"([^"]+)"')
_TOPIC: Final = re.compile(rb'"topic":"([^"]+)"')
_SNAPSHOT: Final = re.compile(rb'"(?:action|type)":"snapshot"')


class Stream:
    """One stream of one symbol. ``is_ordered``: its ids only grow, so two copies of it can be joined by id.

    ``names_before``: each frame names the id that it continues. ``frames`` counts what arrived on any socket.
    ``is_due`` asks for one sample of the clocks' difference.
    """

    __slots__ = (
        "_before",
        "_counts",
        "_event",
        "_id",
        "frames",
        "is_due",
        "is_ordered",
        "key",
        "kind",
        "names_before",
        "samples",
        "symbol",
    )

    def __init__(
        self,
        symbol: str,
        kind: str,
        id_field: bytes,
        event_field: bytes,
        is_ordered: bool = True,
        before_field: bytes = b"",
    ) -> None:
        self.symbol, self.kind, self.is_ordered = symbol, kind, is_ordered
        self.key = symbol, kind
        self._counts = before_field == COUNTS
        self.names_before = before_field not in (b"", COUNTS)
        self._before = re.compile(before_field + rb'"?(-?\d+)') if self.names_before else None
        self.frames = 0
        self.is_due = False
        self.samples: list[float] = []
        self._id = (
            re.compile(id_field + rb'"?(-?\d+)' if is_ordered else id_field + rb'"([^"]+)"') if id_field else None
        )
        self._event = re.compile(event_field + rb'"?(\d+)')

    def __repr__(self) -> str:
        return f"{self.kind} of {self.symbol}"

    def number(self, raw: bytes) -> int:
        """Id of a frame of an ordered stream; -1 when it has none."""
        found = None if self._id is None else self._id.search(raw)
        return -1 if found is None else int(found[1])

    def before(self, raw: bytes, number: int) -> int | None:
        """The id that frame ``number`` continues, as it says or as it counts; None where neither tells."""
        if self._before is None:
            return number - 1 if self._counts else None
        found = self._before.search(raw)
        return None if found is None else int(found[1])

    def identity(self, raw: bytes) -> int:
        """What two copies of one frame share: the venue's id of it, or all its bytes."""
        found = None if self._id is None else self._id.search(raw)
        return hash(raw if found is None else found[1])

    def event_ns(self, raw: bytes) -> int:
        """The venue's time of a frame (ns UTC); 0 when it states none."""
        found = self._event.search(raw)
        try:
            return 0 if found is None else time_ns(int(found[1]))
        except FrameError:
            return 0


def is_snapshot(raw: bytes) -> bool:
    """Whether a frame of an OKX or Bybit stream is the snapshot that opens (or resets) it."""
    return _SNAPSHOT.search(raw, 0, _HEAD) is not None


_BINANCE: Final = {
    "depth": ("depth", b'"u":', b'"T":', True, b'"pu":'),
    "bookTicker": ("quote", b'"u":', b'"T":', True, b""),
    "aggTrade": ("trade", b'"a":', b'"T":', True, COUNTS),
    "trade": ("trade", b'"t":', b'"T":', True, COUNTS),
    "markPrice": ("mark", b'"E":', b'"E":', True, b""),
    "forceOrder": ("liquidation", b"", b'"T":', False, b""),
}
_OKX: Final = {
    "books": ("depth", b'"seqId":', b'"ts":', True, b'"prevSeqId":'),
    "bbo-tbt": ("quote", b'"seqId":', b'"ts":', True, b""),
    "trades": ("trade", b'"tradeId":', b'"ts":', True, b""),
    "mark-price": ("mark", b'"ts":', b'"ts":', True, b""),
    "index-tickers": ("index", b"", b'"ts":', False, b""),
    "funding-rate": ("funding", b"", b'"ts":', False, b""),
    "open-interest": ("open_interest", b"", b'"ts":', False, b""),
    "liquidation-orders": ("liquidation", b"", b'"ts":', False, b""),
}
_BYBIT: Final = {
    "orderbook": ("depth", b'"u":', b'"cts":', True, COUNTS),
    "orderbook.1": ("quote", b'"u":', b'"cts":', True, b""),
    "publicTrade": ("trade", b'"i":', b'"T":', False, b""),
    "tickers": ("ticker", b'"cs":', b'"ts":', True, b""),
    "allLiquidation": ("liquidation", b"", b'"T":', False, b""),
}
Router = Callable[[bytes], Stream | None]


class Streams:
    """All streams of one feed, by the name in their frames; ``of`` finds that of a frame, None for control frames."""

    def __init__(self, venue: str) -> None:
        self.by_name: dict[bytes, Stream | None] = {}
        self.by_kind: dict[tuple[str, str], Stream] = {}
        self._fields = {"binanceusdm": _BINANCE, "okx": _OKX, "bybit": _BYBIT}[venue]
        self.of: Router = {"binanceusdm": self._binance, "okx": self._okx, "bybit": self._bybit}[venue]

    def expect(self, symbols: Sequence[str], kinds: Collection[str]) -> list[Stream]:
        """The streams of ``kinds`` of each symbol, known before they speak."""
        fields = [fields for fields in self._fields.values() if fields[0] in kinds]
        return [self.get(symbol, field[0], field) for symbol in symbols for field in fields]

    def get(self, symbol: str, kind: str, fields: Fields) -> Stream:
        """The one stream object of a symbol and kind."""
        key = symbol, kind
        if key not in self.by_kind:
            self.by_kind[key] = Stream(symbol, kind, *fields[1:])
        return self.by_kind[key]

    def _binance(self, raw: bytes) -> Stream | None:
        """``{"stream":"btcusdt@depth@0ms","data":{…}}``."""
        if not raw.startswith(b'{"stream":"'):
            return None
        name = raw[11 : raw.find(b'"', 11)]
        try:
            return self.by_name[name]
        except KeyError:
            symbol, _, channel = name.decode("utf-8", "replace").partition("@")
            return self._learn(name, symbol.upper(), _BINANCE.get(channel.partition("@")[0]), channel)

    def _okx(self, raw: bytes) -> Stream | None:
        """``{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update","data":[…]}``."""
        if not raw.startswith(b'{"arg":{'):
            return None
        name = raw[8 : raw.find(b"}", 8)]
        if b'"liquidation-orders"' in name:
            # one channel for all instruments: the data names them
            found = _INSTRUMENT.search(raw, 8 + len(name))
            name = b"liquidation-orders " + (found[1] if found else b"")
        try:
            return self.by_name[name]
        except KeyError:
            return self._learn_okx(name)

    def _learn_okx(self, name: bytes) -> Stream | None:
        if name.startswith(b"liquidation-orders "):
            return self._learn(name, name[19:].decode("utf-8", "replace"), _OKX["liquidation-orders"], "")
        try:
            arg = msgspec.json.decode(b"{" + name + b"}", type=dict[str, str])
        except msgspec.MsgspecError:
            return None
        channel = arg.get("channel", "")
        return self._learn(name, arg.get("instId", ""), _OKX.get(channel), channel)

    def _bybit(self, raw: bytes) -> Stream | None:
        """``{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":…,"data":{…}}``."""
        found = _TOPIC.search(raw, 0, _HEAD)
        if found is None:
            return None
        name = found[1]
        try:
            return self.by_name[name]
        except KeyError:
            channel, _, symbol = name.decode("utf-8", "replace").rpartition(".")
            fields = _BYBIT.get(channel) or _BYBIT.get(channel.partition(".")[0])
            return self._learn(name, symbol, fields, channel)

    def _learn(self, name: bytes, symbol: str, fields: Fields | None, channel: str) -> Stream | None:
        """Remember what a name means. A channel we do not know keeps its own name and is passed on untouched."""
        if not symbol:
            stream = None
        elif fields is None:
            stream = self.get(symbol, channel, (channel, b"", b'"ts":', False, b""))
        else:
            stream = self.get(symbol, fields[0], fields)
        if len(self.by_name) < 65_536:
            self.by_name[name] = stream
        return stream
