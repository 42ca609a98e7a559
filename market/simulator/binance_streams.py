"""Streams of Binance USD-M that show a market's state: partial books, tickers, candles, and all symbols at once.

Recorded frames go out byte for byte (``BinanceSource``); these are made from the exchange as it stands after a frame,
no more often, in market time, than the venue sends them.
"""

from collections.abc import Iterator, Sequence
from math import isnan
from typing import Any, Final

import msgspec

from market.events import Depth, Event, Liquidation, Mark, Quote, Trade
from market.simulator.binance_candles import row as candle_row
from market.simulator.binance_hub import BinanceHub
from market.simulator.binance_market import ticker_row
from market.simulator.binance_messages import ms, text
from market.simulator.exchange import Exchange, Market
from market.simulator.hub import Topic
from market.simulator.source import BinanceSource
from market.simulator.wire import ALL, PARTIAL
from market.tape import Frame

PARTIAL_NS: Final = 100_000_000
CANDLE_NS: Final = 250_000_000
TICKER_NS: Final = {"ticker": 2_000_000_000, "miniTicker": 500_000_000}
ARRAY_NS: Final = 1_000_000_000
Message = tuple[Topic, bytes]


class BinanceStreams(BinanceSource):
    """Everything clients of Binance USD-M can subscribe to."""

    def __init__(self, exchange: Exchange, hub: BinanceHub) -> None:
        super().__init__(hub.wants)
        self._exchange, self._hub = exchange, hub
        self._sent_ns: dict[Topic, int] = {}

    def messages(self, frame: Frame, events: Sequence[Event]) -> Iterator[Message]:
        for event in events:
            if isinstance(event, Depth):
                self._hub.take_reset(event)
        for topic, data in super().messages(frame, events):
            yield topic, self._shifted(topic, data)
        for event in events:
            yield from self._derived(event, frame)

    def _shifted(self, topic: Topic, data: bytes) -> bytes:
        shift = self._hub.shifts.get(topic[0], 0)
        if not shift or topic[1] not in ("depth", "bookTicker"):
            return data
        fields = msgspec.json.decode(data)
        return msgspec.json.encode(fields | {name: fields[name] - shift for name in ("U", "u", "pu") if name in fields})

    def _derived(self, event: Event, frame: Frame) -> Iterator[Message]:
        market = self._exchange.markets[event.symbol]
        if isinstance(event, Quote):
            yield from self._all("bookTicker", event.symbol, frame)
        elif isinstance(event, Liquidation):
            yield from self._all("forceOrder", event.symbol, frame)
        elif isinstance(event, Mark):
            yield from self._mark_array()
        elif isinstance(event, Depth) and not event.is_snapshot:
            yield from self._partial(market, event)
        elif isinstance(event, Trade):
            yield from self._candles(market)
        if isinstance(event, Trade | Quote):
            yield from self._tickers(market)

    def _is_due(self, topic: Topic, every_ns: int) -> bool:
        """Somebody listens and the last message is long enough ago."""
        if not self._hub.wants(topic) or self._exchange.now_ns - self._sent_ns.get(topic, 0) < every_ns:
            return False
        self._sent_ns[topic] = self._exchange.now_ns
        return True

    def _all(self, channel: str, symbol: str, frame: Frame) -> Iterator[Message]:
        """The recorded message again, on the stream of all symbols."""
        if self._hub.wants((ALL, channel)):
            for topic, data in super().messages(frame, self.read(frame)):
                if topic == (symbol, channel):
                    yield (ALL, channel), self._shifted(topic, data)

    def _partial(self, market: Market, depth: Depth) -> Iterator[Message]:
        instrument, shift = market.instrument, self._hub.shifts.get(depth.symbol, 0)
        ids = {"U": depth.first_id - shift, "u": depth.last_id - shift, "pu": depth.prev_id - shift}
        for channel, levels in PARTIAL.items():
            if self._is_due((depth.symbol, channel), PARTIAL_NS):
                sides = {
                    name: [(text(instrument.px(px)), text(instrument.qty(lots))) for px, lots in ladder_side]
                    for name, ladder_side in (("b", market.ladder.top(1, levels)), ("a", market.ladder.top(-1, levels)))
                }
                yield (depth.symbol, channel), self._encoded("depthUpdate", {"s": depth.symbol, **ids, **sides})

    def _encoded(self, kind: str, fields: dict[str, Any]) -> bytes:
        now_ms = ms(self._exchange.now_ns)
        return msgspec.json.encode({"e": kind, "E": now_ms, "T": now_ms, **fields})

    def _candles(self, market: Market) -> Iterator[Message]:
        symbol, instrument = market.instrument.symbol, market.instrument
        for channel in [one for of, one in self._hub.topics() if of == symbol and one.startswith("kline_")]:
            interval = channel.removeprefix("kline_")
            candle = market.candles.last(interval)
            if candle is None or not self._is_due((symbol, channel), CANDLE_NS):
                continue
            start, o, h, low, c, v, end, q, n, bought, bought_quote, _ = candle_row(instrument, interval, candle)
            fields = {"t": start, "T": end, "s": symbol, "i": interval, "f": candle.first_id, "L": candle.last_id}
            fields |= {"o": o, "c": c, "h": h, "l": low, "v": v, "n": n, "x": False, "q": q, "V": bought}
            yield (symbol, channel), self._encoded("kline", {"s": symbol, "k": fields | {"Q": bought_quote, "B": "0"}})

    def _tickers(self, market: Market) -> Iterator[Message]:
        symbol = market.instrument.symbol
        if market.stats.trades == 0:
            return  # no price yet
        for channel, every_ns in TICKER_NS.items():
            if self._is_due((symbol, channel), every_ns):
                yield (symbol, channel), msgspec.json.encode(self._ticker(market, channel))
            if self._is_due((ALL, channel), ARRAY_NS):
                rows = [self._ticker(one, channel) for one in self._exchange.markets.values() if one.stats.trades]
                yield (ALL, channel), msgspec.json.encode(rows)

    def _ticker(self, market: Market, channel: str) -> dict[str, Any]:
        stats = ticker_row(market)
        names = {"s": "symbol", "c": "lastPrice", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume"}
        names["q"] = "quoteVolume"
        if channel == "ticker":
            names |= {"p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "Q": "lastQty"}
            names |= {"O": "openTime", "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count"}
        kind = "24hrTicker" if channel == "ticker" else "24hrMiniTicker"
        return {"e": kind, "E": ms(self._exchange.now_ns), **{short: stats[name] for short, name in names.items()}}

    def _mark_array(self) -> Iterator[Message]:
        if not self._is_due((ALL, "markPrice"), ARRAY_NS):
            return
        marks = [market.mark for market in self._exchange.markets.values() if market.mark is not None]
        rows = [
            {
                "e": "markPriceUpdate",
                "E": ms(mark.ts_event),
                "s": mark.symbol,
                "p": f"{mark.mark_px:.8f}",
                "i": _decimal(mark.index_px),
                "P": f"{mark.mark_px:.8f}",
                "r": _decimal(mark.funding_rate),
                "T": ms(mark.next_funding_ns),
            }
            for mark in marks
        ]
        yield (ALL, "markPrice"), msgspec.json.encode(rows)


def _decimal(value: float) -> str:
    """Eight decimals; empty where the recording states none, as the venue's own message is for such contracts."""
    return "" if isnan(value) else f"{value:.8f}"
