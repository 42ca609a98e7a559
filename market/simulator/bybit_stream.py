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
FIRST_UPDATE_ID: Final = 1_000  # 1 would say that the service restarted
_encoder: Final = msgspec.json.Encoder()


class _Book:
    """What a book topic last sent."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.update_id = FIRST_UPDATE_ID
        self.sent_ns = self.due_ns = self.seq = 0
        self.last: Json = {}


class Stream:
    """All public topics of one exchange. Times are the tape's (ns)."""

    def __init__(self, exchange: BybitExchange, hub: BybitHub) -> None:
        self._exchange, self._hub = exchange, hub
        self._books: dict[Topic, _Book] = {}
        self._tickers: dict[str, Json] = {}
        self._due_ns: dict[Topic, int] = {}
        self._candles: dict[Topic, int] = {}
        self._dirty: set[str] = set()

    # -- subscribing --------------------------------------------------------------------------------------------------

    def greet(self, socket: Socket, topic: Topic) -> None:
        """Send a new subscriber what later deltas build upon: the state its other subscribers have, else today's."""
        symbol, channel = topic
        kind, _, detail = channel.partition(".")
        if kind == "orderbook":
            socket.write(_encoder.encode(self._book_snapshot(topic, detail)))
        elif kind == "tickers":
            if symbol not in self._tickers or not self._hub.is_shared(topic):
                self._tickers[symbol] = topics.ticker(self._exchange, symbol)
            whole = self._envelope(topic, "snapshot", self._tickers[symbol])
            socket.write(_encoder.encode(whole | {"cs": self._exchange.seq[symbol]}))

    def _book_snapshot(self, topic: Topic, depth: str) -> Json:
        book = self._books.setdefault(topic, _Book())
        if not self._hub.is_shared(topic):
            self._advance(topic, depth, book)
            book.update_id += 1
        book.last = self._snapshot(topic, book)
        return book.last

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
        if any(changes := self._advance(topic, depth, book)):
            book.sent_ns, book.due_ns = now_ns, now_ns + PACE_NS[depth]
            book.update_id += 1
            book.last = self._snapshot(topic, book) if depth == "1" else self._delta(topic, book, changes)
            self._send(topic, book.last)
        elif depth == "1" and book.last and now_ns - book.sent_ns >= IDLE_NS:
            book.sent_ns = now_ns
            self._send(topic, book.last)

    def _advance(self, topic: Topic, depth: str, book: _Book) -> list[list[tuple[int, int]]]:
        """Bring what a topic knows up to the market; per side what changed."""
        if book.seq == self._exchange.book_seq[topic[0]]:
            return []
        book.seq, before = self._exchange.book_seq[topic[0]], book.sides
        book.sides = self._sides(topic[0], depth)
        return [topics.changed(old, new) for old, new in zip(before, book.sides, strict=True)]

    def _snapshot(self, topic: Topic, book: _Book) -> Json:
        best = [sorted(side.items(), reverse=reverse) for side, reverse in zip(book.sides, (True, False), strict=True)]
        return self._book_message(topic, "snapshot", book, best)

    def _delta(self, topic: Topic, book: _Book, changes: list[list[tuple[int, int]]]) -> Json:
        return self._book_message(topic, "delta", book, changes)

    def _book_message(self, topic: Topic, kind: str, book: _Book, levels: list[list[tuple[int, int]]]) -> Json:
        market = self._exchange.markets[topic[0]]
        bids, asks = (topics.spelled(market.instrument, side) for side in levels)
        data = {"s": topic[0], "b": bids, "a": asks, "u": book.update_id, "seq": self._exchange.book_seq[topic[0]]}
        return self._envelope(topic, kind, data) | {"cts": market.ladder.ts_event // 1_000_000}

    def reset(self, symbol: str) -> None:
        """As after a restart of the venue's service: every book of the symbol starts anew with ``u`` 1."""
        for topic in self._hub.topics_of(symbol):
            book = self._books.get(topic)
            if book is not None:
                book.update_id = 1
                self._advance(topic, topic[1].partition(".")[2], book)
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
            message = self._envelope(topic, "delta", {"symbol": symbol} | changes)
            self._send(topic, message | {"cs": self._exchange.seq[symbol]})

    def _send_candle(self, topic: Topic, interval: str, now_ns: int) -> None:
        if self._is_due(topic, now_ns, CANDLE_NS):
            rows = topics.candles(self._exchange, topic[0], interval)
            if rows:
                started_ms = self._candles.get(topic, 0)
                self._candles[topic] = rows[-1]["start"]
                self._publish(topic, "snapshot", [row for row in rows[:-1] if row["start"] == started_ms] + rows[-1:])

    # -- sending ------------------------------------------------------------------------------------------------------

    def _publish(self, topic: Topic, kind: str, data: Any) -> None:
        if self._hub.wants(topic):
            self._send(topic, self._envelope(topic, kind, data))

    def _envelope(self, topic: Topic, kind: str, data: Any) -> Json:
        name = f"{topic[1]}.{topic[0]}"
        return {"topic": name, "type": kind, "ts": self._exchange.now_ns // 1_000_000, "data": data}

    def _send(self, topic: Topic, message: Json) -> None:
        self._hub.publish(topic, _encoder.encode(message))
