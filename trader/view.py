"""What a strategy sees: one symbol at one instant, nothing else. Strategies are pure functions of it."""

import msgspec

from risk.types import Regime


class Score(msgspec.Struct, frozen=True):
    """Calibrated probabilities of the next mid move (down, flat, up; they sum to 1) and who computed them.

    ``source`` is "triton" or "local" (the in-process copy of the same bundle).
    """

    down: float
    flat: float
    up: float
    model: str
    version: int
    source: str

    @property
    def direction(self) -> float:
        """``up - down``, in [-1, 1]."""
        return self.up - self.down

    def confidence(self, side: int) -> float:
        """Probability that the mid moves in the direction of ``side`` (+1 buy, -1 sell); flats count against it."""
        return self.up if side > 0 else self.down


class PositionState(msgspec.Struct, frozen=True):
    """An open position as exits need it: signed base quantity, average entry, when it opened, best mid seen since."""

    qty: float
    entry_px: float
    opened_ns: int
    best_px: float


class View(msgspec.Struct, frozen=True):
    """``ts_ns`` is the event clock. ``features`` follows ``features.schema.NAMES``. Quantities in base units, money in
    quote.

    ``score`` is None when no fresh score exists: strategies then want nothing, exits still work.
    """

    symbol: str
    ts_ns: int
    bid_px: float
    bid_qty: float
    ask_px: float
    ask_qty: float
    tick_size: float
    lot_size: float
    min_qty: float
    features: tuple[float, ...]
    score: Score | None
    regime: Regime
    position: PositionState | None
    equity: float
    volume_24h_usd: float | None
