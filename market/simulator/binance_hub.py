"""Binance USD-M's subscriptions, and its update ids after a planted reset."""

from market.events import Depth
from market.simulator.hub import Hub


class BinanceHub(Hub):
    """Subscriptions by symbol and channel. After a reset a symbol's update ids count anew, everywhere alike."""

    def __init__(self) -> None:
        super().__init__()
        self.shifts: dict[str, int] = {}
        self._resetting: set[str] = set()

    def reset(self, symbol: str) -> None:
        """From the next depth message on, update ids of the symbol start low, as after maintenance."""
        self._resetting.add(symbol)

    def take_reset(self, depth: Depth) -> None:
        """Let a reset that was asked for begin with this depth event."""
        if depth.symbol in self._resetting and not depth.is_snapshot:
            self._resetting.discard(depth.symbol)
            self.shifts[depth.symbol] = max(0, (depth.first_id if depth.prev_id < 0 else depth.prev_id) - 1)
