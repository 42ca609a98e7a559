"""A delta lost on the way at Bybit, which no id proves: the book is not traded on, asked for anew, and right again."""

import asyncio
from decimal import Decimal as D

import msgspec
import pytest
from simulated import SYMBOLS, call, exchange

from market.simulator.generator import generate
from market.tape import sessions
from tests.trader.harness import instrument, start_record
from trader.clock import Clock
from trader.engine import Engine
from trader.feed import Feed, FeedListener, FeedSettings
from trader.records import Control, FrameIn, Resync, Timer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


class Live:
    """The engine on a real feed: frames and time in, requests for fresh books out."""

    def __init__(self, venue, told, settings):
        self.clock, self.asked, self.tradable = Clock(), [], []
        self.symbol = SYMBOLS[venue]
        self.engine = Engine(start_record([msgspec.structs.replace(instrument(self.symbol), venue=venue)]))
        self.market = self.engine.books.markets[self.symbol]
        listener = FeedListener(self._on_frame, self._state("market_up"), self._state("market_down"))
        self.feed = Feed(venue, [told["ws"]], [self.symbol], listener, self.clock.now_ns, settings)

    def _state(self, what):
        return lambda symbols, why: self._step(Control(self.clock.now_ns(), what, why, symbols))

    def _on_frame(self, symbol, raw):
        self._step(FrameIn(self.clock.now_ns(), symbol, raw))

    def _step(self, event):
        for output in self.engine.step(event):
            if isinstance(output, Resync):
                self.asked.append(output.reason)
                self.feed.resync(output.symbol)
        if not self.tradable or self.tradable[-1] != self.market.tradable:
            self.tradable.append(self.market.tradable)

    async def until(self, condition, limit_s=20):
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0.05)
                self._step(Timer(self.clock.now_ns()))


@pytest.mark.parametrize("lines", [1, 2])
async def test_a_lost_delta_is_doubted_asked_about_and_made_good(lines, tmp_path):
    generate(tmp_path / "market", 5, minutes=1)
    first_ns = sessions(tmp_path / "market")[-1].first_ns + 15_000_000_000
    with exchange("bybit", tmp_path / "market", first_ns, tmp_path) as told:
        live = Live("bybit", told, FeedSettings(lines=lines))
        feed = asyncio.create_task(live.feed.run())
        try:
            await live.until(lambda: live.market.tradable and live.engine.tops.by_symbol[live.symbol].sides > 0)
            live.tradable.clear()
            live.asked.clear()
            # the top of the book counts among them: several in a row, so that one is a delta
            call(told["rest"] + "/sim/faults", {"kind": "gap", "symbol": live.symbol, "count": 6})
            await live.until(lambda: live.tradable == [True, False, True])
            assert len(live.asked) == 1 and "a delta may be missing" in live.asked[0]
            sides = live.engine.tops.by_symbol[live.symbol].sides
            await live.until(lambda: live.engine.tops.by_symbol[live.symbol].sides >= sides + 6)
        finally:
            feed.cancel()
            await asyncio.gather(feed, return_exceptions=True)
    assert live.market.gaps == 0 and live.market.tradable
    assert live.engine.tops.by_symbol[live.symbol].differing == 0
    assert live.market.book.best_bid()[0] < live.market.book.best_ask()[0] != D(0)
