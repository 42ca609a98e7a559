"""Generated ticks that every benchmark of features takes: one symbol, a fifth of the events are trades."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from market.events import QUOTE, TRADE

START_NS = 1_700_000_000_000_000_000
MEAN_STEP_NS = 8_000_000
TICK_PX = 0.1
Call = tuple[int, int, float, float, float, float]


class Ticks(NamedTuple):
    """What ``features.kernel.fold`` takes: kinds [n], event clock in ns [n], values [n, 4]."""

    kinds: npt.NDArray[np.int8]
    ts: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def calls(self) -> list[Call]:
        """The same events as arguments of one call each, as Python numbers."""
        rows = zip(self.kinds.tolist(), self.ts.tolist(), self.values.tolist(), strict=True)
        return [(kind, ts_ns, a, b, c, d) for kind, ts_ns, (a, b, c, d) in rows]

    def part(self, start: int, stop: int) -> "Ticks":
        """Events ``start`` up to ``stop``."""
        return Ticks(self.kinds[start:stop], self.ts[start:stop], self.values[start:stop])


def generate(n: int, seed: int = 7) -> Ticks:
    """A seeded market on a tick grid: 8 ms a tick on average, half of the ticks share the time of the one before.

    The mid moves at 8 in 100 ticks, one spread in twenty is wider than a tick, sizes are skewed, and takers lean the
    way the price goes.
    """
    rng = np.random.default_rng(seed)
    moves = rng.choice([-2, -1, 0, 1, 2], n, p=[0.01, 0.03, 0.92, 0.03, 0.01])
    bid = 640_000 + np.cumsum(moves)
    ask = bid + 1 + (rng.random(n) < 0.05) * rng.integers(1, 9, n)
    sizes = np.round(0.001 + rng.lognormal(0.0, 1.5, (n, 2)), 3)
    side = np.where(rng.random(n) < 0.5 + 0.2 * np.sign(moves), 1.0, -1.0)
    traded = np.round(0.001 + rng.lognormal(-2.0, 1.5, n), 3)
    is_trade = rng.random(n) < 0.2
    quotes = np.column_stack([bid * TICK_PX, sizes[:, 0], ask * TICK_PX, sizes[:, 1]])
    trades = np.column_stack([np.where(side > 0, ask, bid) * TICK_PX, traded, side, np.zeros(n)])
    steps = np.where(rng.random(n) < 0.5, rng.exponential(2 * MEAN_STEP_NS, n), 0.0)
    ts = START_NS + np.cumsum(steps.astype(np.int64) // 1_000_000 * 1_000_000)
    kinds = np.where(is_trade, TRADE, QUOTE).astype(np.int8)
    return Ticks(kinds, ts, np.where(is_trade[:, None], trades, quotes))
