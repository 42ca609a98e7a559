"""One simulated order book in integer ticks and lots, and the crowd that trades on it.

The crowd follows the queue-reactive idea (Huang, Lehalle, Rosenbaum 2015): what arrives depends on the book's state.
Takers and makers lean towards the hidden fair price and pressure of ``market.simulator.flow``; wide spreads attract
quotes, so the spread reverts; each market order excites the next for a moment.
"""

import math
from random import Random
from typing import Final

from market.simulator.flow import Spec

_TOUCH_USD: Final = 130_000.0
_TAKER_USD: Final = 3_500.0
_FARTHEST_SCAN: Final = 5_000
_OPENING_LEVELS: Final = 1_000
_MAX_SWEPT_LEVELS: Final = 3
_LEARNED: Final = 0.5

Print = tuple[int, int, int]


class Street:
    """State of one market. ``update_id`` grows with every level change; ``pending`` are those of the next depth frame.

    Sides are indexed 0 bids, 1 asks; ``best`` are their best ticks.
    """

    def __init__(self, spec: Spec, rng: Random) -> None:
        self.spec, self.rng = spec, rng
        self.tick, self.lot = float(spec.tick), float(spec.lot)
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.pending: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.update_id = rng.randrange(10**12, 9 * 10**12)
        self.first_id = self.update_id + 1
        middle = round(spec.open_px / self.tick)
        self.width = max(1.5, spec.open_px / self.tick * 8e-6)
        self.best = [middle, middle + 1]
        self.thinness, self.pressure, self.fair = 1.0, 0.0, float(middle)
        self.last_taker, self.impact = 1, 0.0
        for side in (0, 1):
            self._open(side)

    def _open(self, side: int) -> None:
        tick, away = self.best[side], (-1, 1)[side]
        for _ in range(_OPENING_LEVELS):
            self.levels[side][tick] = self._lots(_TOUCH_USD * 0.4, 1.2)
            tick += away * (1 + int(self.rng.expovariate(0.7)))

    def _lots(self, usd: float, sigma: float) -> int:
        size = usd / (self.best[0] * self.tick * self.lot) * math.exp(self.rng.gauss(0.0, sigma))
        return max(1, int(size))

    def set_level(self, side: int, tick: int, lots: int) -> None:
        """Set the absolute quantity of one level (0 removes it), as one numbered change of the book."""
        book = self.levels[side]
        if lots > 0:
            book[tick] = lots
            best = self.best[side]
            if (tick > best) if side == 0 else (tick < best):
                self.best[side] = tick
        elif book.pop(tick, None) is None:
            return
        self.pending[side][tick] = lots
        self.update_id += 1 + int(self.rng.random() * 40)
        if tick == self.best[side] and lots <= 0:
            self._find_best(side)

    def _find_best(self, side: int) -> None:
        book, away, tick = self.levels[side], (-1, 1)[side], self.best[side]
        for _ in range(_FARTHEST_SCAN):
            tick += away
            if tick in book:
                self.best[side] = tick
                return
        # nobody left within sight: one maker quotes far out, as emergency makers do
        self.best[side] = max(1, self.best[side] + away * max(1, int(self.width * 4)))
        self.set_level(side, self.best[side], self._lots(_TOUCH_USD * 0.2, 0.8))

    def act(self) -> list[Print]:
        """One action of the crowd; returns the trades it caused as (tick, lots, taker side +1/-1)."""
        rng, spread = self.rng, self.best[1] - self.best[0]
        gap = (self.fair - 0.5 * (self.best[0] + self.best[1])) / self.width
        if abs(gap) > 1.0 + spread / (2 * self.width) and rng.random() < 0.6:
            return self._chase(1 if gap > 0 else -1)
        if spread > 1 and rng.random() < 0.7:
            self._improve(gap, spread)
            return []
        up = 1.0 / (1.0 + math.exp(-(0.7 * self.pressure + 0.35 * max(-2.0, min(2.0, gap)))))
        before, prints, draw = tuple(self.best), [], rng.random()
        if draw < 0.17:
            prints = self._take(self._taker_side(up), self._lots(_TAKER_USD, 1.2), _MAX_SWEPT_LEVELS)
        elif draw < 0.58:
            self._join(0 if rng.random() < up else 1)
        else:
            self._leave(1 if rng.random() < up else 0)
        self._learn(before)
        return prints

    def _learn(self, before: tuple[int, ...]) -> None:
        """A queue that ran out was information: often the fair price follows the touch (price impact)."""
        if self.rng.random() >= _LEARNED:
            return
        if self.best[0] < before[0]:
            self.impact += min(0.0, self.best[0] + 0.5 - self.fair)
        if self.best[1] > before[1]:
            self.impact += max(0.0, self.best[1] - 0.5 - self.fair)

    def _taker_side(self, up: float) -> int:
        """Takers split large orders, so signs persist (Lillo, Farmer 2004)."""
        if self.rng.random() > 0.45:
            self.last_taker = 1 if self.rng.random() < up else -1
        return self.last_taker

    def _take(self, taker: int, lots: int, most_levels: int) -> list[Print]:
        side, prints = (1 if taker > 0 else 0), []
        for _ in range(most_levels):
            tick = self.best[side]
            standing = self.levels[side][tick]
            filled = min(lots, standing)
            prints += self._split(tick, filled, taker)
            self.set_level(side, tick, standing - filled)
            lots -= filled
            if lots <= 0:
                break
        return prints

    def _split(self, tick: int, lots: int, taker: int) -> list[Print]:
        """A fill against one level meets one or two resting orders there."""
        if lots > 1 and self.rng.random() < 0.3:
            part = self.rng.randrange(1, lots)
            return [(tick, part, taker), (tick, lots - part, taker)]
        return [(tick, lots, taker)]

    def _chase(self, sign: int) -> list[Print]:
        """The price is stale: takers sweep, or makers pull, what stands on the wrong side of the fair price."""
        side, rng = (1 if sign > 0 else 0), self.rng
        sweeping, prints = rng.random() < 0.45, []
        for _ in range(1 + int(rng.expovariate(0.12))):
            tick = self.best[side]
            if (self.fair - tick) * sign <= 0:
                break
            if sweeping:
                prints += self._take(sign, self.levels[side][tick], 1)
            else:
                self.set_level(side, tick, 0)
        if sweeping:
            self.last_taker = sign
        return prints

    def _improve(self, gap: float, spread: int) -> None:
        rng = self.rng
        side = 0 if rng.random() < 1.0 / (1.0 + math.exp(-max(-5.0, min(5.0, gap * self.width)))) else 1
        inward = (1, -1)[side]
        depth = spread - 1 if rng.random() < 0.6 else 1 + int(rng.random() * (spread - 1))
        self.set_level(side, self.best[side] + inward * depth, self._touch_lots(side, 0.5))

    def _touch_lots(self, side: int, share: float) -> int:
        lean = 0.5 * self.pressure * (1 if side == 0 else -1)
        return self._lots(_TOUCH_USD * share * math.exp(lean) / self.thinness, 1.0)

    def _join(self, side: int) -> None:
        tick = self.best[side]
        self.set_level(side, tick, self.levels[side][tick] + self._touch_lots(side, 0.15))

    def _leave(self, side: int) -> None:
        tick = self.best[side]
        standing = self.levels[side][tick]
        small = standing * self.best[0] * self.tick * self.lot < 0.06 * _TOUCH_USD / self.thinness
        left = (
            0
            if self.rng.random() < (0.1 if small else 0.01)
            else standing - max(1, int(standing * self.rng.random() ** 4))
        )
        self.set_level(side, tick, left)

    def stir(self) -> None:
        """Makers behind the touch come and go: a few changes on each side, mostly near, some far."""
        rng = self.rng
        for side in (0, 1):
            away, book = (-1, 1)[side], self.levels[side]
            for _ in range(3 + int(rng.random() * 6)):
                mean = self.width * (2.0, 12.0, 150.0)[int(rng.random() * 3)] * self.thinness
                tick = self.best[side] + away * (1 + int(rng.expovariate(1.0 / mean)))
                if tick <= 0:
                    continue
                gone = tick in book and rng.random() < 0.55
                self.set_level(side, tick, 0 if gone else self._lots(_TOUCH_USD * 0.35 / self.thinness, 1.2))
