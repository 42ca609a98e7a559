"""One listed instrument: its recorded ladder, our open orders in it, and what was seen of it so far."""

from decimal import Decimal

from market.events import Mark
from market.instruments import Instrument
from market.simulator.candles import Candles
from market.simulator.matching import Matcher
from market.simulator.stats import Stats


class Market:
    """State of one instrument.

    ``open_interest`` is in base units as the recording states it, None when it does not. ``settled`` holds the mark
    messages that preceded each funding settlement.
    """

    def __init__(self, instrument: Instrument, matcher: Matcher) -> None:
        self.instrument = instrument
        self.matcher = matcher
        self.ladder = matcher.ladder
        self.stats = Stats()
        self.mark: Mark | None = None
        self.open_interest: float | None = None
        self.settled: list[Mark] = []
        self.candles, self.mark_candles, self.index_candles = Candles(), Candles(), Candles()
        self.prints_trades = False

    def mark_px(self) -> Decimal:
        """Mark price as published, else the middle of the visible book, else the last trade; 0 when nothing is."""
        if self.mark is not None:
            return Decimal(repr(self.mark.mark_px))
        bid, ask = self.ladder.best(1), self.ladder.best(-1)
        if bid is not None and ask is not None:
            return self.instrument.tick_size * (bid + ask) / 2
        return Decimal(repr(self.stats.last_px))
