"""OKX and Bybit frames for tests, spelled as the venues spell them, and a market of Binance frames told in theirs."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from market.codecs.binance import decode, exact_top
from market.events import Depth, Event, Mark, Quote, Trade
from market.simulator.generator import generate
from market.tape import Frame, find_tapes, read_frames

MS = 1_700_000_000_000
OKX_SYMBOL, BYBIT_SYMBOL = "XYZ-USDT-SWAP", "XYZUSDT"
Levels = Sequence[tuple[str, str]]


def packed(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def okx_push(channel: str, data: list[dict[str, object]], action: str = "") -> bytes:
    head: dict[str, object] = {"arg": {"channel": channel, "instId": OKX_SYMBOL}}
    return packed(head | ({"action": action} if action else {}) | {"data": data})


def okx_book(prev: int, seq: int, bids: Levels, asks: Levels, action: str = "update", channel: str = "books") -> bytes:
    sides = {"asks": [[*level, "0", "3"] for level in asks], "bids": [[*level, "0", "1"] for level in bids]}
    return okx_push(channel, [sides | {"ts": str(MS), "checksum": 0, "seqId": seq, "prevSeqId": prev}], action)


def okx_bbo(seq: int, bid: str, bid_qty: str, ask: str, ask_qty: str) -> bytes:
    sides = {"asks": [[ask, ask_qty, "0", "2"]], "bids": [[bid, bid_qty, "0", "1"]]}
    return okx_push("bbo-tbt", [sides | {"ts": str(MS), "seqId": seq}])


def okx_trade(trade_id: int, px: str = "1.5", qty: str = "2", side: str = "sell", source: str = "0") -> bytes:
    trade = {"instId": OKX_SYMBOL, "tradeId": str(trade_id), "px": px, "sz": qty, "side": side, "ts": str(MS)}
    return okx_push("trades-all", [trade | {"source": source}])


def bybit_push(topic: str, data: object, kind: str = "snapshot", **more: object) -> bytes:
    return packed({"topic": f"{topic}.{BYBIT_SYMBOL}", "type": kind, "ts": MS + 2, "data": data} | more)


def bybit_book(u: int, seq: int, bids: Levels, asks: Levels, kind: str = "delta", depth: int = 50) -> bytes:
    data = {"s": BYBIT_SYMBOL, "b": [list(level) for level in bids], "a": [list(level) for level in asks]}
    return bybit_push(f"orderbook.{depth}", data | {"u": u, "seq": seq}, kind, cts=MS)


def bybit_trade(trade_id: str, px: str = "1.5", qty: str = "2", side: str = "Sell", **more: object) -> bytes:
    trade = {"T": MS, "s": BYBIT_SYMBOL, "S": side, "v": qty, "p": px, "L": "PlusTick", "i": trade_id, "BT": False}
    return bybit_push("publicTrade", [trade | more])


def market(folder: Path, minutes: float, seed: int = 3) -> list[Frame]:
    """Frames of one generated symbol, in Binance's words."""
    generate(folder, seed, ("XYZUSDT",), minutes)
    return list(read_frames(find_tapes(folder)[0]))


class OkxTeller:
    """Binance's ids re-chained as seqId/prevSeqId; a keep-alive now and then, one maintenance reset half-way."""

    def __init__(self, keep_alive_every: int = 97, reset_at: int = 1_500) -> None:
        self.every, self.reset_at = keep_alive_every, reset_at
        self.last = self.deltas = self.offset = 0

    def tell(self, event: Event, top: tuple[str, str, str, str]) -> Iterator[bytes]:
        if isinstance(event, Depth) and event.is_snapshot:
            self.last = event.last_id
            yield okx_book(-1, self.last, event.bids, event.asks, "snapshot")
        elif isinstance(event, Depth):
            yield from self._delta(event, top)
        elif isinstance(event, Trade):
            yield okx_trade(event.trade_id, f"{event.px}", f"{event.qty}", "buy" if event.side > 0 else "sell")
        elif isinstance(event, Mark):
            yield okx_push("mark-price", [{"instId": OKX_SYMBOL, "markPx": f"{event.mark_px}", "ts": str(MS)}])

    def _delta(self, event: Depth, top: tuple[str, str, str, str]) -> Iterator[bytes]:
        self.deltas += 1
        if self.deltas == self.reset_at:
            self.offset = event.last_id - 10
        seq = event.last_id - self.offset
        if top[0]:
            yield okx_bbo(seq, *top)
        yield okx_book(self.last, seq, event.bids, event.asks)
        self.last = seq
        if self.deltas % self.every == 0:
            yield okx_book(seq, seq, [], [])


class BybitTeller:
    """``u`` counted up by one per message, Binance's id as ``seq``; orderbook.1 with the same seq as the book."""

    def __init__(self, step: int = 1) -> None:
        self.u, self.step = 5_000, step

    def tell(self, event: Event, top: tuple[str, str, str, str]) -> Iterator[bytes]:
        if isinstance(event, Depth):
            self.u += self.step
            if not event.is_snapshot and top[0]:
                yield bybit_book(self.u, event.last_id, [top[:2]], [top[2:]], "snapshot", depth=1)
            kind = "snapshot" if event.is_snapshot else "delta"
            yield bybit_book(self.u, event.last_id, event.bids, event.asks, kind)
        elif isinstance(event, Trade):
            yield bybit_trade(f"{event.trade_id:032x}", f"{event.px}", f"{event.qty}", ["Buy", "Sell"][event.side < 0])
        elif isinstance(event, Mark):
            yield bybit_push("tickers", {"symbol": BYBIT_SYMBOL, "markPrice": f"{event.mark_px}"}, "delta")


def told(frames: Sequence[Frame], teller: OkxTeller | BybitTeller) -> list[tuple[int, bytes]]:
    """The same market in another venue's frames. The top is told by the last quote of an id the delta covers."""
    top, found = ("", "", "", ""), []
    for frame in frames:
        event = decode(frame.raw, frame.recv_ns)
        if isinstance(event, Quote):
            top = exact_top(frame.raw)
        elif event is not None:
            found += [(frame.recv_ns, raw) for raw in teller.tell(event, top)]
    return found
