"""Bybit's public topics, built from the exchange's own state: ``orderbook.N``, trades, tickers, candles, liquidations.

A book topic sends the whole book once (``snapshot``), then what changed (``delta``), at its own pace in market time;
``u`` steps by one per message of a topic. Level 1 only ever sends snapshots, and repeats the last one, ``u`` included,
when nothing changed for three seconds.
"""

from typing import Any, Final

import msgspec

from market.events import Event, Liquidation, Trade
from market.simulator import bybit_topics as topics
from market.simulator.bybit_exchange import BybitExchange
from market.simulator.bybit_hub import BybitHub
from market.simulator.bybit_topics import Json
from market.simulator.hub import Socket, Topic

PACE_NS: Final = {"1": 10_000_000, "50": 20_000_000, "200": 100_000_000, "1000": 200_000_000}
TICKER_NS: Final = 100_000_000
CANDLE_NS: Final = 1_000_000_000
IDLE_NS: Final = 3_000_000_000
_encoder: Final = msgspec.json.Encoder()


class _Book:
    """What a book topic last sent."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.update_id = self.sent_ns = self.due_ns = 0
        self.last: Json = {}


class Stream:
    """All public topics of one exchange. Times are the tape's (ns)."""

    def __init__(self, exchange: BybitExchange, hub: BybitHub) -> None:
        self._exchange, self._hub = exchange, hub
        self._books: dict[Topic, _Book] = {}
        self._tickers: dict[str, Json] = {}
        self._due_ns: dict[Topic, int] = {}
        self._dirty: set[str] = set()

    # -- subscribing --------------------------------------------------------------------------------------------------

    def greet(self, socket: Socket, topic: Topic) -> None:
        """Send a new subscriber what later deltas build upon."""
        symbol, channel = topic
        kind, _, detail = channel.partition(".")
        if kind == "orderbook":
            self._write(socket, self._book_snapshot(topic, detail))
        elif kind == "tickers":
            self._write(socket, self._envelope(topic, "snapshot", self._ticker(symbol)))

    def _write(self, socket: Socket, message: Json | None) -> None:
        if message is not None:
            socket.write(_encoder.encode(message))

    def _book_snapshot(self, topic: Topic, depth: str) -> Json | None:
        """The book as its subscribers have it; of a topic nobody listened to, as it is now."""
        book = self._books.get(topic)
        if book is None or not self._hub.is_shared(topic):
            book = self._books.setdefault(topic, _Book())
            book.sides = self._sides(topic[0], depth)
            book.update_id += 1
        book.last = self._snapshot(topic, book)
        return book.last

    def _ticker(self, symbol: str) -> Json:
        return self._tickers.setdefault(symbol, topics.ticker(self._exchange, symbol))

    # -- the market moves ---------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """An event reached the exchange."""
        if isinstance(event, Trade):
            self._on_trade(event)
        elif isinstance(event, Liquidation):
            row = topics.liquidation(self._exchange, event)
            self._publish((event.symbol, "allLiquidation"), "snapshot", [row])
        self._dirty.add(event.symbol)
        self._send_due(event.symbol, event.ts_recv)

    def _on_trade(self, trade: Trade) -> None:
        symbol = trade.symbol
        if self._hub.wants((symbol, "publicTrade")):
            self._publish((symbol, "publicTrade"), "snapshot", [topics.trade(self._exchange, trade)])

    def flush(self, now_ns: int) -> None:
        """Send what became due while no event came."""
        for symbol in self._exchange.markets:
            self._send_due(symbol, now_ns)

    def _send_due(self, symbol: str, now_ns: int) -> None:
        for topic in self._hub.topics_of(symbol):
            kind, _, detail = topic[1].partition(".")
            if kind == "orderbook":
                self._send_book(topic, detail, now_ns)
            elif kind == "tickers":
                self._send_ticker(topic, now_ns)
            elif kind == "kline":
                self._send_candle(topic, detail, now_ns)

    def _is_due(self, topic: Topic, now_ns: int, pace_ns: int) -> bool:
        if now_ns < self._due_ns.get(topic, 0):
            return False
        self._due_ns[topic] = now_ns + pace_ns
        return True

    # -- books --------------------------------------------------------------------------------------------------------

    def _sides(self, symbol: str, depth: str) -> tuple[dict[int, int], dict[int, int]]:
        ladder = self._exchange.markets[symbol].ladder
        return topics.top(ladder, 1, int(depth)), topics.top(ladder, -1, int(depth))

    def _send_book(self, topic: Topic, depth: str, now_ns: int) -> None:
        book = self._books.setdefault(topic, _Book())
        if now_ns < book.due_ns:
            return
        book.due_ns = now_ns + PACE_NS[depth]
        sides = self._sides(topic[0], depth)
        changes = [topics.changed(before, now) for before, now in zip(book.sides, sides, strict=True)]
        if any(changes):
            book.sides, book.sent_ns = sides, now_ns
            book.update_id += 1
            message = self._snapshot(topic, book) if depth == "1" else self._delta(topic, book, changes)
            book.last = message
            self._send(topic, message)
        elif depth == "1" and book.last and now_ns - book.sent_ns >= IDLE_NS:
            book.sent_ns = now_ns
            self._send(topic, book.last)

    def _snapshot(self, topic: Topic, book: _Book) -> Json:
        best = [sorted(side.items(), reverse=reverse) for side, reverse in zip(book.sides, (True, False), strict=True)]
        return self._book_message(topic, "snapshot", book, best)

    def _delta(self, topic: Topic, book: _Book, changes: list[list[tuple[int, int]]]) -> Json:
        return self._book_message(topic, "delta", book, changes)

    def _book_message(self, topic: Topic, kind: str, book: _Book, levels: list[list[tuple[int, int]]]) -> Json:
        market = self._exchange.markets[topic[0]]
        bids, asks = (topics.spelled(market.instrument, side) for side in levels)
        data = {"s": topic[0], "b": bids, "a": asks, "u": book.update_id, "seq": market.ladder.last_id}
        return self._envelope(topic, kind, data) | {"cts": market.ladder.ts_event // 1_000_000}

    def reset(self, symbol: str) -> None:
        """As after a restart of the venue's service: every book of the symbol starts anew with ``u`` 1."""
        for topic in self._hub.topics_of(symbol):
            book = self._books.get(topic)
            if book is not None:
                book.update_id = 1
                book.sides = self._sides(symbol, topic[1].partition(".")[2])
                book.last = self._snapshot(topic, book)
                self._send(topic, book.last)

    # -- tickers and candles ------------------------------------------------------------------------------------------

    def _send_ticker(self, topic: Topic, now_ns: int) -> None:
        symbol = topic[0]
        if symbol not in self._dirty or not self._is_due(topic, now_ns, TICKER_NS):
            return
        self._dirty.discard(symbol)
        before, now = self._tickers.get(symbol, {}), topics.ticker(self._exchange, symbol)
        changes = {name: value for name, value in now.items() if before.get(name) != value}
        if changes:
            self._tickers[symbol] = now
            self._publish(topic, "delta", {"symbol": symbol} | changes)

    def _send_candle(self, topic: Topic, interval: str, now_ns: int) -> None:
        if self._is_due(topic, now_ns, CANDLE_NS):
            rows = topics.candles(self._exchange, topic[0], interval)
            if rows:
                self._publish(topic, "snapshot", rows)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _publish(self, topic: Topic, kind: str, data: Any) -> None:
        if self._hub.wants(topic):
            self._send(topic, self._envelope(topic, kind, data))

    def _envelope(self, topic: Topic, kind: str, data: Any) -> Json:
        name = f"{topic[1]}.{topic[0]}"
        return {"topic": name, "type": kind, "ts": self._exchange.now_ns // 1_000_000, "data": data}

    def _send(self, topic: Topic, message: Json) -> None:
        self._hub.publish(topic, _encoder.encode(message))
