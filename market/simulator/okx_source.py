"""The market side of the OKX face: a tape of the venue as recorded, or one of Binance format translated."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from market.codecs import okx
from market.events import Depth, Event, Liquidation, Mark, Quote, Trade
from market.simulator import okx_messages as messages
from market.simulator.hub import Topic
from market.simulator.okx_candles import BARS, candle_row, joined
from market.simulator.okx_contracts import Contract, text
from market.simulator.okx_exchange import OkxExchange
from market.simulator.okx_hub import BOOKS, RESET_SEQ, OkxHub, message
from market.simulator.okx_messages import Json
from market.simulator.source import BinanceSource
from market.tape import Frame

LIQUIDATIONS: Final = "liquidation-orders"
VIEW_NS: Final = 100_000_000
CANDLE: Final = "candle"
CANDLES: Final = tuple(CANDLE + bar for bar in BARS)
TIMED: Final = ("tickers", "books5", "open-interest", *CANDLES)
Message = tuple[Topic, bytes]


def open_interest(exchange: OkxExchange, contract: Contract) -> Json:
    """Contracts open in the market, as far as the recording tells; else those open on this exchange, ours alone."""
    symbol = contract.inst_id
    market = exchange.markets[symbol]
    own = sum(abs(position.lots) for _, position in exchange.account.legs(symbol))
    known = market.open_interest
    qty = contract.instrument.qty(own) if known is None else Decimal(repr(known))
    usd = text(round(qty * market.mark_px(), 8))
    row = {"instType": "SWAP", "instId": symbol, "oi": contract.contracts(qty), "oiCcy": text(qty)}
    return row | {"oiUsd": usd, "ts": messages.ms(exchange.now_ns)}


def view(exchange: OkxExchange, hub: OkxHub, symbol: str, channel: str) -> Any:
    """State of a market as a row of a channel: ticker, best levels, mark price, funding rate, candle and so on."""
    contract, market, now_ns = hub.contracts[symbol], exchange.markets[symbol], exchange.now_ns
    if channel == "tickers":
        return messages.ticker_row(contract, market, now_ns)
    if channel == "mark-price":
        return messages.mark_row(contract, market, now_ns)
    if channel == "funding-rate":
        return messages.funding_row(contract, market.mark, now_ns)
    if channel == "open-interest":
        return open_interest(exchange, contract)
    if channel.startswith(CANDLE):
        bar = channel.removeprefix(CANDLE)
        return candle_row(contract, bar, joined(market.candles, bar)[-1], now_ns)
    ids = {"ts": messages.ms(now_ns), "seqId": hub.chains[symbol].seq, "instId": symbol}
    return messages.best_rows(contract, market, 1 if channel == "bbo-tbt" else 5) | ids


def is_shown(exchange: OkxExchange, symbol: str, channel: str) -> bool:
    """Whether there is anything to show: candles begin with the first trade."""
    return not channel.startswith(CANDLE) or bool(exchange.markets[symbol].candles.minutes)


class TimedViews:
    """Channels that show a market's state rather than an event: one message per 100 ms of market time at most."""

    def __init__(self, hub: OkxHub) -> None:
        self._hub = hub
        self._sent_ns = dict.fromkeys(hub.contracts, 0)

    def due(self, symbol: str, recorded: set[str]) -> Iterator[Message]:
        """Messages of the channels that are listened to and not recorded themselves."""
        hub, exchange = self._hub, self._hub.exchange
        if exchange.now_ns - self._sent_ns[symbol] < VIEW_NS:
            return
        for channel in TIMED:
            if channel not in recorded and hub.wants((symbol, channel)) and is_shown(exchange, symbol, channel):
                self._sent_ns[symbol] = exchange.now_ns
                yield (symbol, channel), message(channel, symbol, [view(exchange, hub, symbol, channel)])


class TranslatedSource(BinanceSource):
    """Tapes in Binance's frame format, symbols renamed already. Update ids become the ``books`` channel's chain."""

    def __init__(self, hub: OkxHub) -> None:
        super().__init__(hub.wants)
        self._hub, self._views = hub, TimedViews(hub)

    def messages(self, frame: Frame, events: Sequence[Event]) -> Iterator[Message]:
        """The venue's messages about a frame; waiting book subscribers join right after the update they go on from."""
        for event in events:
            if isinstance(event, Depth):
                if not event.is_snapshot:
                    yield from self._depth(event)
                self._hub.serve_waiting(event.symbol)
            else:
                yield from self._other(event, self.is_aggregate(frame.raw))
            yield from self._views.due(event.symbol, set())

    def _depth(self, depth: Depth) -> Iterator[Message]:
        ids = self._hub.chains[depth.symbol].advance(depth)
        if ids is not None and self._hub.wants((depth.symbol, BOOKS)):
            row = messages.book_update(self._hub.contracts[depth.symbol], depth, *ids)
            yield (depth.symbol, BOOKS), message(BOOKS, depth.symbol, [row], "update")

    def _other(self, event: Event, is_aggregate: bool) -> Iterator[Message]:
        for channel, inst_id, row in self._rows(event, is_aggregate):
            yield (inst_id, channel), message(channel, inst_id, [row])

    def _rows(self, event: Event, is_aggregate: bool) -> Iterator[tuple[str, str, Json]]:
        symbol = event.symbol
        contract, market = self._hub.contracts[symbol], self._hub.exchange.markets[symbol]
        if isinstance(event, Trade):
            if event.is_market and is_aggregate != market.prints_trades:
                row = messages.trade_row(contract, event)
                yield from ((channel, symbol, row) for channel in ("trades", "trades-all"))
        elif isinstance(event, Quote):
            if self._hub.wants((symbol, "bbo-tbt")):
                yield "bbo-tbt", symbol, messages.bbo_row(contract, event)
        elif isinstance(event, Mark):
            yield "mark-price", symbol, messages.mark_row(contract, market, event.ts_event)
            yield "funding-rate", symbol, messages.funding_row(contract, event, event.ts_event)
        elif isinstance(event, Liquidation):
            yield LIQUIDATIONS, "", messages.liquidation_row(contract, event)


class RecordedSource:
    """Tapes of the venue itself, published byte for byte; states that were not recorded are shown all the same."""

    def __init__(self, hub: OkxHub) -> None:
        self._hub, self._views = hub, TimedViews(hub)
        self._recorded: dict[str, set[str]] = {symbol: set() for symbol in hub.contracts}

    def read(self, frame: Frame) -> Sequence[Event]:
        return okx.decode(frame.raw, frame.recv_ns)

    def is_aggregate(self, raw: bytes) -> bool:
        """``trades`` sums the fills that ``trades-all`` tells one by one; a recording may hold both."""
        return b'"channel":"trades"' in raw

    def may_be_depth(self, raw: bytes) -> bool:
        return b'"books' in raw

    def messages(self, frame: Frame, events: Sequence[Event]) -> Iterator[Message]:
        """The frame itself; ``books`` only reaches those who have a book to put it on."""
        channel, symbol = okx.event_type(frame.raw), events[0].symbol
        if symbol not in self._hub.contracts:
            return
        self._recorded[symbol].add(channel)
        if channel != BOOKS:
            yield ("" if channel == LIQUIDATIONS else symbol, channel), frame.raw
        elif not self._is_known(events[0]):
            yield (symbol, channel), self._sequenced(frame.raw, events)
        self._hub.serve_waiting(symbol)
        yield from self._views.due(symbol, self._recorded[symbol])

    def _is_known(self, event: Event) -> bool:
        """Whether this is the snapshot that subscribers were given already."""
        if not isinstance(event, Depth) or not event.is_snapshot:
            return False
        return event.last_id == self._hub.chains[event.symbol].last_id

    def _sequenced(self, raw: bytes, events: Sequence[Event]) -> bytes:
        """A ``books`` message, its numbers moved after a planted reset."""
        for event in events:
            if isinstance(event, Depth):
                chain = self._hub.chains[event.symbol]
                chain.last_id, before = event.last_id, chain.shift
                if chain.resets:
                    chain.resets, chain.shift = False, event.last_id - RESET_SEQ
                if chain.shift:
                    return shifted(raw, before, chain.shift)
        return raw


def shifted(raw: bytes, prev_shift: int, shift: int) -> bytes:
    """A recorded ``books`` message with its sequence numbers moved down.

    >>> shifted(b'{"data":[{"seqId":9,"prevSeqId":7}]}', 0, 8)
    b'{"data":[{"seqId":1,"prevSeqId":7}]}'
    """
    push = msgspec.json.decode(raw)
    for row in push["data"]:
        row["seqId"] -= shift
        row["prevSeqId"] -= prev_shift if row["prevSeqId"] >= 0 else 0
    return msgspec.json.encode(push)
