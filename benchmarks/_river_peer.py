"""The 25 served features with river, event by event.

river's own statistics where it has them (rolling extremes, rolling mean and variance, exponential means, shift). Sums
decayed in uneven time and Wilder's smoothing it has not: they are statistics written in its way.
"""

from collections import deque
from math import exp, log, sqrt

from river import stats, utils

from market.events import QUOTE

MS = 1_000_000
SECOND = 1_000 * MS
TYPICAL = 30 * SECOND
BAR = 100 * MS
CELL = 10 * MS
FLAT = 1e-10
EMPTY = 1e-9
BPS = 1e4


class DecayedSum(stats.base.Statistic):
    """Sum of values, each decayed by ``exp(-age / tau)``."""

    def __init__(self, tau_ns: int) -> None:
        self.rate, self.total, self.now_ns = 1.0 / tau_ns, 0.0, 0

    def update(self, x: float, t: int) -> None:
        self.total = self.at(t) + x
        self.now_ns = t

    def at(self, t: int) -> float:
        """The sum at time ``t``."""
        return self.total * exp((self.now_ns - t) * self.rate)

    def get(self) -> float:
        return self.total


class TimeMean(stats.base.Statistic):
    """Mean over time of a value that stands until the next, decayed by ``exp(-age / tau)``."""

    def __init__(self, tau_ns: int) -> None:
        self.rate, self.mean, self.value, self.now_ns = 1.0 / tau_ns, 0.0, 0.0, 0

    def update(self, x: float, t: int) -> None:
        if self.now_ns == 0:
            self.mean = x
        self.mean += (self.value - self.mean) * (1.0 - exp((self.now_ns - t) * self.rate)) if self.now_ns else 0.0
        self.value, self.now_ns = x, t

    def get(self) -> float:
        return self.mean


class Wilder(stats.base.Univariate):
    """Wilder's smoothing: a plain mean until ``window`` values were seen."""

    def __init__(self, window: int) -> None:
        self.window, self.seen, self.mean = window, 0, 0.0

    def update(self, x: float) -> None:
        self.mean, self.seen = self.then(x), self.seen + 1

    def then(self, x: float) -> float:
        """The mean if ``x`` came next."""
        return self.mean + (x - self.mean) / min(self.seen + 1, self.window)

    def get(self) -> float:
        return self.mean


class ValueBefore(stats.base.Statistic):
    """The value of the last update in or before the cell that lies ``lag`` before the current one."""

    def __init__(self, lag_ns: int) -> None:
        self.cells, self.past = lag_ns // CELL, deque[tuple[int, float]]()

    def update(self, x: float, t: int) -> None:
        cell, past = t // CELL, self.past
        if past and past[-1][0] == cell:
            past.pop()
        past.append((cell, x))
        while len(past) > 1 and past[1][0] <= cell - self.cells:
            past.popleft()

    def get(self) -> float:
        return self.past[0][1]


class Bars:
    """Indicators over bars of 100 ms, the running bar counted as the newest."""

    def __init__(self) -> None:
        self.cell, self.bars = -1, 0
        self.high = self.low = self.close = self.previous = 0.0
        self.rise, self.fall, self.range = Wilder(14), Wilder(14), Wilder(14)
        self.fast, self.slow, self.signal = (stats.EWMean(2.0 / (n + 1)) for n in (12, 26, 9))
        self.mean, self.var = utils.Rolling(stats.Mean, 19), utils.Rolling(stats.Var, 19, ddof=0)
        self.extremes = {n: (stats.RollingMax(n), stats.RollingMin(n)) for n in (13, 39)}
        self.raw_k, self.slow_k = deque([50.0, 50.0], 2), deque([50.0, 50.0], 2)

    def update(self, mid: float, t: int) -> None:
        cell = t // BAR
        if cell != self.cell:
            if self.cell >= 0:
                self._close()
            self.cell, self.high, self.low = cell, mid, mid
        self.high, self.low, self.close = max(self.high, mid), min(self.low, mid), mid

    def _close(self) -> None:
        close = self.close
        raw, slow = self._stochastic()[:2]
        self.range.update(self._true_range())
        if self.bars:
            self.rise.update(max(close - self.previous, 0.0))
            self.fall.update(max(self.previous - close, 0.0))
        self.fast.update(close)
        self.slow.update(close)
        self.signal.update(self.fast.get() - self.slow.get())
        self.mean.update(close)
        self.var.update(close)
        for high, low in self.extremes.values():
            high.update(self.high)
            low.update(self.low)
        self.raw_k.append(raw)
        self.slow_k.append(slow)
        self.previous, self.bars = close, self.bars + 1

    def _true_range(self) -> float:
        if not self.bars:
            return self.high - self.low
        return max(self.high, self.previous) - min(self.low, self.previous)

    def _position(self, bars: int) -> float:
        if not self.bars:
            return 0.5
        highest, lowest = self.extremes[bars]
        high, low = max(highest.get(), self.high), min(lowest.get(), self.low)
        return (self.close - low) / (high - low) if high - low > FLAT else 0.5

    def _stochastic(self) -> tuple[float, float, float]:
        raw = 100.0 * self._position(13)
        slow = (raw + sum(self.raw_k)) / 3.0
        return raw, slow, (slow + sum(self.slow_k)) / 3.0

    def _macd(self) -> tuple[float, float]:
        if not self.bars:
            return 0.0, 0.0
        fast, slow, signal = self.fast.get(), self.slow.get(), self.signal.get()
        macd = fast + (self.close - fast) * (2.0 / 13.0) - slow - (self.close - slow) * (2.0 / 27.0)
        return macd, signal + (macd - signal) * 0.2

    def _rsi(self) -> float:
        if not self.bars:
            return 50.0
        change = self.close - self.previous
        rise, fall = self.rise.then(max(change, 0.0)), self.fall.then(max(-change, 0.0))
        return 100.0 * rise / (rise + fall) if rise + fall > FLAT else 50.0

    def _bollinger(self) -> tuple[float, float]:
        """Mean and variance of 19 closed bars, and the running one taken in."""
        before = min(self.bars, 19)
        share = before / (before + 1.0)
        step = self.close - self.mean.get() if before else 0.0
        squares = before * max(self.var.get() or 0.0, 0.0)
        deviation = sqrt((squares + step * step * share) / (before + 1.0))
        return (step * share / (2.0 * deviation) if deviation > FLAT else 0.0), BPS * 4.0 * deviation

    def get(self) -> list[float]:
        macd, signal = self._macd()
        _, slow, d = self._stochastic()
        williams = 100.0 * (self._position(39) - 1.0)
        rows = [self._rsi(), BPS * macd, BPS * signal, *self._bollinger(), slow, d, williams]
        return [*rows, BPS * self.range.then(self._true_range())]


class RiverFeatures:
    """One call an event; ``update`` gives the row at a quote, in the order of the served set, else None."""

    def __init__(self) -> None:
        self.first_px = 0.0
        self.now_ns = 0
        self.quote = (0.0, 0.0, 0.0, 0.0)
        self.mid = self.first_mid = 0.0
        self.quotes = 0
        self.mid_1s, self.mid_500ms = ValueBefore(SECOND), ValueBefore(500 * MS)
        self.mid_50q = stats.Shift(50)
        self.mean_mid, self.squares = TimeMean(500 * MS), DecayedSum(5 * SECOND)
        self.volume = {tau: DecayedSum(tau) for tau in (250 * MS, SECOND, 5 * SECOND)}
        self.paid, self.paid_qty, self.paid_trades = (DecayedSum(SECOND) for _ in range(3))
        self.flow, self.flow_qty = DecayedSum(100 * MS), DecayedSum(100 * MS)
        self.ofi, self.ofi_size = DecayedSum(200 * MS), DecayedSum(200 * MS)
        self.usual_qty, self.usual_trades = DecayedSum(TYPICAL), DecayedSum(TYPICAL)
        self.usual_size, self.usual_spread, self.usual_quotes = (DecayedSum(TYPICAL) for _ in range(3))
        self.bars = Bars()

    def update(self, kind: int, ts_ns: int, a: float, b: float, c: float, d: float) -> list[float] | None:
        t = self.now_ns = max(self.now_ns, ts_ns)
        if self.first_px == 0.0:
            self.first_px = a
        if kind == QUOTE:
            self._take_quote(t, a, b, c, d)
            return self._row(t)
        self._take_trade(t, a, b, c)
        return None

    def _take_trade(self, t: int, px: float, qty: float, side: float) -> None:
        for total in self.volume.values():
            total.update(qty, t)
        self.paid.update(log(px / self.first_px) * qty, t)
        self.paid_qty.update(qty, t)
        self.paid_trades.update(1.0, t)
        self.flow.update(side * qty, t)
        self.flow_qty.update(qty, t)
        self.usual_qty.update(qty, t)
        self.usual_trades.update(1.0, t)

    def _change(self, bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> float:
        last_bid, last_bid_qty, last_ask, last_ask_qty = self.quote
        change = (bid_qty if bid_px >= last_bid else 0.0) - (last_bid_qty if bid_px <= last_bid else 0.0)
        return change - (ask_qty if ask_px <= last_ask else 0.0) + (last_ask_qty if ask_px >= last_ask else 0.0)

    def _take_quote(self, t: int, bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> None:
        spread = log(ask_px / bid_px)
        mid = log(bid_px / self.first_px) + 0.5 * spread
        step, change = 0.0, 0.0
        if self.quotes:
            step, change = mid - self.mid, self._change(bid_px, bid_qty, ask_px, ask_qty)
        else:
            self.first_mid = mid
        self.quote, self.mid, self.spread = (bid_px, bid_qty, ask_px, ask_qty), mid, spread
        self.quotes += 1
        self.mid_1s.update(mid, t)
        self.mid_500ms.update(mid, t)
        self.mid_50q.update(mid)
        self.mean_mid.update(mid, t)
        self.squares.update(step * step, t)
        self.ofi.update(change, t)
        self.ofi_size.update(abs(change), t)
        self.usual_size.update(0.5 * (bid_qty + ask_qty), t)
        self.usual_spread.update(spread, t)
        self.usual_quotes.update(1.0, t)
        self.bars.update(mid, t)

    def _volumes(self, t: int) -> list[float]:
        trades = self.usual_trades.at(t)
        usual_qty = self.usual_qty.at(t)
        if trades <= EMPTY:
            return [0.0] * 5
        usual = usual_qty / trades
        quarter, second, five = (total.at(t) for total in self.volume.values())
        expected, typical = five / 5.0, usual_qty * (250 * MS / TYPICAL)
        vwap = 0.0
        if self.paid_trades.at(t) > EMPTY:
            vwap = BPS * (self.mid - self.paid.at(t) / self.paid_qty.at(t))
        return [
            second / (second + usual),
            (second - expected) / (second + expected + 2.0 * usual),
            vwap,
            self.flow.at(t) / (self.flow_qty.at(t) + usual),
            (quarter - typical) / (quarter + typical + 2.0 * usual),
        ]

    def _book(self) -> list[float]:
        _, bid_qty, _, ask_qty = self.quote
        size, spread = (s.get() / self.usual_quotes.get() for s in (self.usual_size, self.usual_spread))
        relative = self.spread / spread if spread > FLAT else 0.0
        imbalance = (bid_qty - ask_qty) / (bid_qty + ask_qty)
        return [
            (bid_qty - size) / (bid_qty + size),
            (ask_qty - size) / (ask_qty + size),
            (relative - 1.0) / (relative + 1.0),
            imbalance,
            0.5 * relative * imbalance,
            self.ofi.get() / (self.ofi_size.get() + size),
        ]

    def _row(self, t: int) -> list[float]:
        mid, before = self.mid, self.mid_50q.get()
        at_500ms, at_1s = self.mid_500ms.get(), self.mid_1s.get()
        return [
            BPS * (mid - at_1s),
            BPS * (mid - (self.first_mid if before is None else before)),
            BPS * (mid - self.mean_mid.get()),
            BPS * sqrt(self.squares.get()),
            BPS * (mid - 2.0 * at_500ms + at_1s),
            *self._volumes(t),
            *self._book(),
            *self.bars.get(),
        ]
