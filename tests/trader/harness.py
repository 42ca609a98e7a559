"""A run without sockets: a generated tape drives the engine, a hand-written venue answers, all is recorded."""

from decimal import Decimal
from pathlib import Path

import numpy as np

from market.codecs.binance import decode
from market.events import Quote
from market.instruments import Instrument
from market.simulator.generator import generate
from market.tape import TapeWriter, find_tapes, merge, tape_name
from trader.config import TraderConfig
from trader.engine import Engine
from trader.journal import JournalWriter, Run
from trader.records import (
    AccountSnapshot,
    CancelOrder,
    Control,
    FrameIn,
    MarketInfo,
    Order,
    OrderReply,
    OrderUpdate,
    RequestScore,
    ScoreIn,
    Start,
    Timer,
)
from trader.view import Score

ZERO = Decimal(0)


def instrument(symbol="AAAUSDT", tick="0.1", lot="0.001"):
    return Instrument(
        "binanceusdm",
        symbol,
        symbol[:-4],
        "USDT",
        Decimal(tick),
        Decimal(lot),
        1,
        10**9,
        Decimal(5),
        Decimal(2),
        Decimal(4),
    )


def start_record(instruments, config=None, promoted=True):
    config = config or TraderConfig(symbols=tuple(i.symbol for i in instruments))
    return Start(1, "t1", config, list(instruments), "schema", "scalper", 1, "0" * 64, promoted, Decimal(10_000))


def simulated_frames(folder: Path, minutes=1.0, seed=3):
    generate(folder, seed, minutes=minutes)
    files = find_tapes(folder)
    return sorted({f.symbol for f in files}), list(merge(files))


class FakeVenue:
    """Accepts every order; fills it whole once the touch it joined has gone, a market order at the touch."""

    def __init__(self, instruments):
        self.instruments = {i.symbol: i for i in instruments}
        self.orders = {}
        self.trades = 0

    def on_output(self, output, ts):
        if isinstance(output, Order):
            self.orders[output.client_id] = output
            return [OrderReply(ts, output.client_id, "accepted", "", "")]
        if isinstance(output, CancelOrder) and self.orders.pop(output.client_id, None) is not None:
            return [
                OrderUpdate(ts, ts, output.client_id, output.symbol, 1, "CANCELED", ZERO, ZERO, ZERO, ZERO, False, 0)
            ]
        return []

    def on_quote(self, symbol, bid_px, ask_px, ts):
        for order in [o for o in self.orders.values() if o.symbol == symbol]:
            instrument = self.instruments[symbol]
            own, opposite = (bid_px, ask_px) if order.side > 0 else (ask_px, bid_px)
            px = Decimal(repr(opposite)) if order.px_ticks is None else instrument.px(order.px_ticks)
            if order.px_ticks is None or (Decimal(repr(own)) - px) * order.side < 0:
                del self.orders[order.client_id]
                self.trades += 1
                qty = instrument.qty(order.lots)
                fee = qty * px * Decimal("0.0002")
                return [
                    OrderUpdate(
                        ts, ts, order.client_id, symbol, order.side, "FILLED", qty, qty, px, fee, True, self.trades
                    )
                ]
        return []


def pseudo_score(x: bytes) -> Score:
    """A score that leans on the window's own numbers, so that different windows give different decisions."""
    lean = float(np.tanh(np.frombuffer(x, dtype=np.float32).reshape(16, 25)[-1, 13]))
    return Score(down=0.3 - 0.25 * lean, flat=0.4, up=0.3 + 0.25 * lean, model="scalper", version=1, source="local")


class Recorded:
    """Feeds the engine while writing tape and journal, the way the live loop does."""

    def __init__(self, folder: Path, start: Start):
        self.engine = Engine(start)
        self.run = Run(folder)
        self.venue = FakeVenue(start.instruments)
        self.journal = JournalWriter(self.run.journal)
        self.journal.append(start)
        self.tapes = {}
        self.ts = 10
        self.outputs = []

    def now(self):
        self.ts += 1
        return self.ts

    def feed(self, event):
        self.journal.append(event)
        self.apply(self.engine.step(event))

    def frame(self, symbol, recv_ns, raw):
        self.ts = max(self.ts + 1, recv_ns)
        if symbol not in self.tapes:
            self.tapes[symbol] = TapeWriter(self.run.tape / tape_name(symbol, recv_ns))
        self.tapes[symbol].write(self.ts, raw)
        self.apply(self.engine.step(FrameIn(self.ts, symbol, raw)))

    def apply(self, outputs):
        self.outputs += outputs
        for output in outputs:
            if not isinstance(output, RequestScore):
                self.journal.append(output)
        for output in outputs:
            if isinstance(output, RequestScore):
                self.feed(ScoreIn(self.now(), output.request_id, output.symbol, pseudo_score(output.x), "", 1000))
            for answer in self.venue.on_output(output, self.now()):
                self.feed(answer)

    def play(self, frames):
        (self.run.tape).mkdir(parents=True, exist_ok=True)
        self.feed(Control(self.now(), "market_up", ""))
        self.feed(AccountSnapshot(self.now(), Decimal(10_000), {}))
        for symbol in self.engine.books.markets:
            self.feed(MarketInfo(self.now(), symbol, 1e9))
        last_timer = 0
        for frame in frames:
            quote = decode(frame.raw, frame.recv_ns)
            if isinstance(quote, Quote):
                for fill in self.venue.on_quote(frame.symbol, quote.bid_px, quote.ask_px, self.now()):
                    self.feed(fill)
            self.frame(frame.symbol, frame.recv_ns, frame.raw)
            if frame.recv_ns - last_timer > 100_000_000:
                last_timer = frame.recv_ns
                self.feed(Timer(self.now()))

    def close(self):
        self.journal.close()
        for tape in self.tapes.values():
            tape.close()
