"""One listed instrument: its recorded ladder, our open orders in it, and what was seen of it so far."""

from decimal import Decimal
from math import isnan

from market.events import Mark, OpenInterest, Trade, whole
from market.instruments import Instrument
from market.simulator.candles import Candles
from market.simulator.interest import Reading
from market.simulator.matching import Matcher
from market.simulator.prints import Prints
from market.simulator.stats import Stats


class Market:
    """State of one instrument.

    ``interest`` holds open interest in base units as the recording states it, nothing when it does not. ``settled``
    holds the mark messages that preceded each funding settlement.
    """

    def __init__(self, instrument: Instrument, matcher: Matcher) -> None:
        self.instrument = instrument
        self.matcher = matcher
        self.ladder = matcher.ladder
        self.stats = Stats()
        self.mark: Mark | None = None
        self._heard: Mark | None = None
        self.interest: list[Reading] = []
        self.prints = Prints(instrument.symbol)
        self.settled: list[Mark] = []
        self.candles, self.mark_candles, self.index_candles = Candles(), Candles(), Candles()
        self.prints_trades = False

    @property
    def open_interest(self) -> float | None:
        """Base units open as last stated, None when the recording says nothing of them."""
        return self.interest[-1].qty if self.interest else None

    def take_trade(self, trade: Trade, now_ns: int) -> int:
        """Remember a trade; its price in ticks."""
        time_ns, ticks = trade.ts_event or now_ns, round(trade.px / float(self.instrument.tick_size))
        self.stats.update(trade)
        self.candles.add(time_ns, ticks, self.lots(trade.qty), trade.side, trade.trade_id)
        return ticks

    def lots(self, qty: float) -> int:
        """A recorded quantity in whole lots."""
        return round(qty / float(self.instrument.lot_size))

    def take_mark(self, mark: Mark, now_ns: int) -> bool:
        """Remember a mark price, what it leaves out kept from before; whether a funding settlement lies behind.

        While no frame has stated a mark price yet, there is none: what is heard of funding waits for it.
        """
        self._heard, before = whole(mark, self._heard), self.mark
        if isnan(self._heard.mark_px):
            return False
        self.mark, tick = self._heard, float(self.instrument.tick_size)
        self.mark_candles.add(now_ns, round(self.mark.mark_px / tick))
        if not isnan(self.mark.index_px):
            self.index_candles.add(now_ns, round(self.mark.index_px / tick))
        if before is None or isnan(before.funding_rate) or not 0 < before.next_funding_ns < self.mark.next_funding_ns:
            return False
        self.settled.append(before)
        return True

    def take_interest(self, event: OpenInterest, now_ns: int) -> None:
        """Remember what is open, where the frame says it."""
        if not isnan(event.open_interest):
            self.interest.append(Reading(event.ts_event or now_ns, event.open_interest, float(self.mark_px())))

    def mark_px(self) -> Decimal:
        """Mark price as published, else the middle of the visible book, else the last trade; 0 when nothing is."""
        if self.mark is not None:
            return Decimal(repr(self.mark.mark_px))
        bid, ask = self.ladder.best(1), self.ladder.best(-1)
        if bid is not None and ask is not None:
            return self.instrument.tick_size * (bid + ask) / 2
        return Decimal(repr(self.stats.last_px))
