"""The 25 served features with talib.stream, and numpy and the standard library for what TA-Lib has not.

TA-Lib gives RSI, MACD, BBANDS, STOCH, WILLR and ATR: nine of the 25. ``OnArrays`` calls it on arrays of bars that end
with the running one, which is all that its streaming interface did before 0.8; ``WithHandles`` keeps the handles of
0.8, updates them when a bar closes and peeks at the running bar. Decayed sums are one numpy vector. ``Classic`` is 20
calls of TA-Lib alone, in both ways.
"""

from math import log, nan, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from talib import stream

from market.events import QUOTE

Floats = npt.NDArray[np.float64]

MS = 1_000_000
BAR = 100 * MS
CELL = 10 * MS
RING = 256
KEPT = 400
"""Bars that TA-Lib's recursive averages are begun from: what is older weighs less than 1e-12."""
OPENED = 64
"""Closed bars at which handles are opened."""
EMPTY = 1e-9
BPS = 1e4
TYPICAL_MS = 30_000.0
TAUS_MS = np.array([5e3, 250.0, 1e3, 5e3, 1e3, 1e3, 1e3, 100.0, 100.0, 200.0, 200.0] + [TYPICAL_MS] * 5 + [500.0])
SQUARES, QUARTER, SECOND, FIVE, PAID_LOG, PAID_QTY, PAID_TRADES, FLOW, FLOW_QTY, OFI, OFI_SIZE = range(11)
USUAL_QTY, USUAL_TRADES, USUAL_SIZE, USUAL_SPREAD, USUAL_QUOTES, MEAN_MID = range(11, 17)
TRADED = np.array([QUARTER, SECOND, FIVE, PAID_QTY, FLOW_QTY, USUAL_QTY])
COUNTED = np.array([PAID_TRADES, USUAL_TRADES])


class BarArrays:
    """The newest ``kept`` bars of 100 ms as arrays; the last one runs."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept, self.end, self.cell = kept, 0, -1
        self.columns = np.zeros((4, 8 * kept))

    def update(self, mid: float, t: int) -> bool:
        """True when a bar closed: it is then the last but one."""
        cell, columns = t // BAR, self.columns
        is_new = cell != self.cell
        if is_new:
            if self.end == columns.shape[1]:
                columns[:, : self.kept] = columns[:, -self.kept :]
                self.end = self.kept
            self.cell, self.end = cell, self.end + 1
            columns[:, self.end - 1] = mid, mid, mid, 0.0
        last = self.end - 1
        if mid > columns[0, last]:
            columns[0, last] = mid
        if mid < columns[1, last]:
            columns[1, last] = mid
        columns[2, last] = mid
        return is_new and self.end > 1

    def arrays(self) -> Floats:
        """High, low, close and quantity, oldest first, ``[4, bars]``."""
        return self.columns[:, max(self.end - self.kept, 0) : self.end]


class _Features:
    """One call an event; ``update`` gives the row at a quote, in the order of the served set, else None."""

    def __init__(self) -> None:
        self.first_px = 0.0
        self.now_ns = self.quotes = 0
        self.quote = (0.0, 0.0, 0.0, 0.0)
        self.mid = self.spread = 0.0
        self.sums, self.rates = np.zeros(TAUS_MS.size), -1.0 / (TAUS_MS * MS)
        self.cells, self.cell = np.zeros(RING), 0
        self.last_mids = np.zeros(64)
        self.bars = BarArrays()

    def update(self, kind: int, ts_ns: int, a: float, b: float, c: float, d: float) -> list[float] | None:
        if self.first_px == 0.0:
            self.first_px, self.now_ns = a, ts_ns
        if ts_ns > self.now_ns:
            keep = np.exp((ts_ns - self.now_ns) * self.rates)
            mean = self.sums[MEAN_MID]
            self.sums *= keep
            self.sums[MEAN_MID] = self.mid + (mean - self.mid) * keep[MEAN_MID]
            self.now_ns = ts_ns
        if kind == QUOTE:
            self._take_quote(a, b, c, d)
            return self._row()
        self.sums[TRADED] += b
        self.sums[COUNTED] += 1.0
        self.sums[PAID_LOG] += log(a / self.first_px) * b
        self.sums[FLOW] += b * c
        return None

    def _change(self, bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> float:
        last_bid, last_bid_qty, last_ask, last_ask_qty = self.quote
        change = (bid_qty if bid_px >= last_bid else 0.0) - (last_bid_qty if bid_px <= last_bid else 0.0)
        return change - (ask_qty if ask_px <= last_ask else 0.0) + (last_ask_qty if ask_px >= last_ask else 0.0)

    def _take_quote(self, bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> None:
        sums, spread = self.sums, log(ask_px / bid_px)
        mid, change, step = log(bid_px / self.first_px) + 0.5 * spread, 0.0, 0.0
        if self.quotes:
            change, step = self._change(bid_px, bid_qty, ask_px, ask_qty), mid - self.mid
        else:
            self.cells[:], self.last_mids[:], sums[MEAN_MID], self.cell = mid, mid, mid, self.now_ns // CELL
        self._take_cell(mid)
        self.quote, self.mid, self.spread = (bid_px, bid_qty, ask_px, ask_qty), mid, spread
        self.last_mids[self.quotes & 63] = mid
        self.quotes += 1
        sums[SQUARES] += step * step
        sums[OFI] += change
        sums[OFI_SIZE] += abs(change)
        sums[USUAL_SIZE] += 0.5 * (bid_qty + ask_qty)
        sums[USUAL_SPREAD] += spread
        sums[USUAL_QUOTES] += 1.0
        if self.bars.update(BPS * mid, self.now_ns):
            self._close_bar()

    def _take_cell(self, mid: float) -> None:
        cell = self.now_ns // CELL
        for skipped in range(max(self.cell + 1, cell - RING + 1), cell):
            self.cells[skipped % RING] = self.mid
        self.cells[cell % RING], self.cell = mid, cell

    def _volumes(self, sums: list[float]) -> list[float]:
        if sums[USUAL_TRADES] <= EMPTY:
            return [0.0] * 5
        usual = sums[USUAL_QTY] / sums[USUAL_TRADES]
        second, quarter = sums[SECOND], sums[QUARTER]
        expected, typical = sums[FIVE] / 5.0, sums[USUAL_QTY] * (250.0 / TYPICAL_MS)
        vwap = BPS * (self.mid - sums[PAID_LOG] / sums[PAID_QTY]) if sums[PAID_TRADES] > EMPTY else 0.0
        return [
            second / (second + usual),
            (second - expected) / (second + expected + 2.0 * usual),
            vwap,
            sums[FLOW] / (sums[FLOW_QTY] + usual),
            (quarter - typical) / (quarter + typical + 2.0 * usual),
        ]

    def _book(self, sums: list[float]) -> list[float]:
        _, bid_qty, _, ask_qty = self.quote
        size = sums[USUAL_SIZE] / sums[USUAL_QUOTES]
        relative = self.spread / (sums[USUAL_SPREAD] / sums[USUAL_QUOTES])
        imbalance = (bid_qty - ask_qty) / (bid_qty + ask_qty)
        return [
            (bid_qty - size) / (bid_qty + size),
            (ask_qty - size) / (ask_qty + size),
            (relative - 1.0) / (relative + 1.0),
            imbalance,
            0.5 * relative * imbalance,
            sums[OFI] / (sums[OFI_SIZE] + size),
        ]

    def _close_bar(self) -> None:
        pass

    def _technical(self) -> list[float]:
        raise NotImplementedError

    def _row(self) -> list[float]:
        mid, sums = self.mid, self.sums.tolist()
        at_500ms, at_1s = self.cells[(self.cell - 50) % RING], self.cells[(self.cell - 100) % RING]
        return [
            BPS * (mid - at_1s),
            BPS * (mid - self.last_mids[(self.quotes - 51) & 63]),
            BPS * (mid - sums[MEAN_MID]),
            BPS * sqrt(sums[SQUARES]),
            BPS * (mid - 2.0 * at_500ms + at_1s),
            *self._volumes(sums),
            *self._book(sums),
            *self._technical(),
        ]


class OnArrays(_Features):
    """TA-Lib called on arrays at every quote."""

    def _technical(self) -> list[float]:
        if self.bars.end < OPENED:
            return [nan] * 9
        high, low, close, _ = self.bars.arrays()
        macd, signal, _ = stream.MACD(close, 12, 26, 9).value
        k, d = stream.STOCH(high, low, close, 14, 3, 0, 3, 0).value
        return [
            stream.RSI(close, 14).value,
            macd,
            signal,
            *_bollinger(stream.BBANDS(close, 20, 2.0, 2.0).value, close[-1]),
            k,
            d,
            stream.WILLR(high, low, close, 40).value,
            stream.ATR(high, low, close, 14).value,
        ]


class WithHandles(_Features):
    """TA-Lib's handles peek at the running bar at every quote."""

    is_open = False
    rsi: Any
    macd: Any
    bands: Any
    stochastic: Any
    williams: Any
    range: Any

    def _close_bar(self) -> None:
        high, low, close, _ = self.bars.arrays()[:, :-1]
        if self.is_open:
            bar = high[-1], low[-1], close[-1]
            for handle in (self.rsi, self.macd, self.bands):
                handle.update(bar[2])
            for handle in (self.stochastic, self.williams, self.range):
                handle.update(*bar)
        elif close.size == OPENED:
            self.rsi, self.macd = stream.RSI(close, 14), stream.MACD(close, 12, 26, 9)
            self.bands = stream.BBANDS(close, 20, 2.0, 2.0)
            self.stochastic = stream.STOCH(high, low, close, 14, 3, 0, 3, 0)
            self.williams, self.range = stream.WILLR(high, low, close, 40), stream.ATR(high, low, close, 14)
            self.is_open = True

    def _technical(self) -> list[float]:
        if not self.is_open:
            return [nan] * 9
        high, low, close = self.bars.columns[:3, self.bars.end - 1].tolist()
        macd, signal, _ = self.macd.peek(close)
        k, d = self.stochastic.peek(high, low, close)
        return [
            self.rsi.peek(close),
            macd,
            signal,
            *_bollinger(self.bands.peek(close), close),
            k,
            d,
            self.williams.peek(high, low, close),
            self.range.peek(high, low, close),
        ]


def _bollinger(bands: tuple[float, float, float], close: float) -> tuple[float, float]:
    upper, middle, lower = bands
    half = upper - middle
    return (close - middle) / half if half > 0.0 else 0.0, upper - lower


CLOSE, RANGE, ENDS, TRADED_CLOSE, ALL = (2,), (0, 1, 2), (0, 1), (2, 3), (0, 1, 2, 3)
CLASSIC = (
    (stream.RSI, CLOSE, (14,)),
    (stream.EMA, CLOSE, (20,)),
    (stream.SMA, CLOSE, (20,)),
    (stream.MACD, CLOSE, (12, 26, 9)),
    (stream.BBANDS, CLOSE, (20, 2.0, 2.0)),
    (stream.STOCH, RANGE, (14, 3, 0, 3, 0)),
    (stream.WILLR, RANGE, (14,)),
    (stream.ATR, RANGE, (14,)),
    (stream.CCI, RANGE, (14,)),
    (stream.AROON, ENDS, (14,)),
    (stream.STDDEV, CLOSE, (20,)),
    (stream.ROC, CLOSE, (10,)),
    (stream.MOM, CLOSE, (10,)),
    (stream.OBV, TRADED_CLOSE, ()),
    (stream.ADX, RANGE, (14,)),
    (stream.MFI, ALL, (14,)),
    (stream.NATR, RANGE, (14,)),
    (stream.TRIX, CLOSE, (15,)),
    (stream.LINEARREG_SLOPE, CLOSE, (14,)),
    (stream.CMO, CLOSE, (14,)),
)
"""Twenty classic indicators: of which columns of high, low, close and quantity, and their windows."""
CLASSIC_BARS = 46
"""What the longest look back of ``CLASSIC`` needs (TRIX over 15)."""


class Classic:
    """The 20 indicators over bars ``[4, n]``, of which the last ``CLASSIC_BARS`` are looked at."""

    def __init__(self, bars: Floats) -> None:
        columns = np.ascontiguousarray(bars[:, -CLASSIC_BARS:])
        self.calls = [(make, tuple(columns[i] for i in where), windows) for make, where, windows in CLASSIC]
        handles = [make(*arrays, *windows) for make, arrays, windows in self.calls]
        running = columns[:, -1].tolist()
        self.peeks = [
            (handle.peek, tuple(running[i] for i in where))
            for handle, (_, where, _) in zip(handles, CLASSIC, strict=True)
        ]

    def on_arrays(self) -> None:
        for make, arrays, windows in self.calls:
            make(*arrays, *windows).value  # noqa: B018

    def with_handles(self) -> None:
        for peek, bar in self.peeks:
            peek(*bar)
