"""What was seen of a market so far: last price, volume, recent trades. Nothing is extrapolated."""

from collections import deque

from market.events import Trade


class Stats:
    """Sums over the trades seen since the exchange started (its warm-up included), not over 24 hours."""

    def __init__(self) -> None:
        self.open_px = self.high_px = self.low_px = self.last_px = 0.0
        self.volume = self.quote_volume = 0.0
        self.trades = 0
        self.first_ns = self.last_ns = 0
        self.recent: deque[Trade] = deque(maxlen=1_000)

    def update(self, trade: Trade) -> None:
        px = trade.px
        if self.trades == 0:
            self.open_px = self.high_px = self.low_px = px
            self.first_ns = trade.ts_event
        elif px > self.high_px:
            self.high_px = px
        elif px < self.low_px:
            self.low_px = px
        self.last_px, self.last_ns = px, trade.ts_event
        self.trades += 1
        self.volume += trade.qty
        self.quote_volume += px * trade.qty
        self.recent.append(trade)
