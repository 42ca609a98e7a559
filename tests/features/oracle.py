"""Batch oracle of the served features: every definition of the catalogue by numpy and pandas, over all history.

Nothing is streamed or shared with the kernel: a decayed sum is a weighted sum over all events so far, bars are a pandas
group-by, RSI and the like are pandas' own rolling and ``ewm``.
"""

import numpy as np
import pandas as pd

from features.parameters import PARAMETERS as P
from market.events import QUOTE, TRADE

FORGOTTEN = 45.0


class Oracle:
    """Prepared history of one stream of usable events; ``row(at)`` is the feature row right after event ``at``."""

    def __init__(self, stream):
        kinds, ts, values = stream
        self.now = np.maximum.accumulate(ts)
        self.quote_at, self.trade_at = np.flatnonzero(kinds == QUOTE), np.flatnonzero(kinds == TRADE)
        self.bid_px, self.bid_qty, self.ask_px, self.ask_qty = values[self.quote_at].T
        self.px, self.qty, self.side, _ = values[self.trade_at].T
        self.quote_ns, self.trade_ns = self.now[self.quote_at], self.now[self.trade_at]
        ref = np.log(values[0, 0])
        self.mid = 0.5 * ((np.log(self.bid_px) - ref) + (np.log(self.ask_px) - ref))
        self.log_px = np.log(self.px) - ref
        self.squared = np.diff(self.mid, prepend=self.mid[:1]) ** 2
        self.change = self._book_changes()
        self.bars = self._closed_bars()

    def _book_changes(self):
        b, qb, a, qa = self.bid_px, self.bid_qty, self.ask_px, self.ask_qty
        e = np.zeros(b.size)
        e[1:] = (b[1:] >= b[:-1]) * qb[1:] - (b[1:] <= b[:-1]) * qb[:-1]
        e[1:] += (a[1:] >= a[:-1]) * qa[:-1] - (a[1:] <= a[:-1]) * qa[1:]
        return e

    def _closed_bars(self):
        frame = pd.DataFrame({"bar": self.quote_ns // P.bar_ns, "mid": self.mid, "quote": np.arange(self.mid.size)})
        return frame.groupby("bar").agg(
            high=("mid", "max"), low=("mid", "min"), close=("mid", "last"), first=("quote", "first")
        )

    def row(self, at):
        """Feature values by name after event ``at``, which must be a quote."""
        q, t, now = int(np.searchsorted(self.quote_at, at)), int(np.searchsorted(self.trade_at, at)), self.now[at]
        return self._price(q, now) | self._volume(q, t, now) | self._book(q, now) | self._technical(q, now)

    def _decayed(self, values, stamps, count, now, tau):
        first = int(np.searchsorted(stamps[:count], now - FORGOTTEN * tau))
        return float(np.sum(values[first:count] * np.exp((stamps[first:count] - now) / tau)))

    def _mean_mid(self, q, now, tau):
        """Time-weighted: a mid counts for as long as it stood."""
        edges = np.append(self.quote_ns[1 : q + 1], now)
        older = np.exp((self.quote_ns[: q + 1] - now) / tau)
        weights = np.exp((edges - now) / tau) - older
        return float(np.sum(self.mid[: q + 1] * weights) + self.mid[0] * older[0])

    def _lagged(self, q, now, lag):
        cells = self.quote_ns[: q + 1] // P.grid_ns
        target = now // P.grid_ns - lag // P.grid_ns
        return self.mid[max(int(np.searchsorted(cells, max(target, cells[0]), side="right")) - 1, 0)]

    def _price(self, q, now):
        mid, step = self.mid[q], P.acceleration_ns
        return {
            "return_1s_bps": 1e4 * (mid - self._lagged(q, now, P.return_ns)),
            "return_50q_bps": 1e4 * (mid - self.mid[q - 50]),
            "momentum_500ms_bps": 1e4 * (mid - self._mean_mid(q, now, P.momentum_ns)),
            "volatility_5s_bps": 1e4 * self._decayed(self.squared, self.quote_ns, q + 1, now, P.volatility_ns) ** 0.5,
            "acceleration_500ms_bps": 1e4 * (mid - 2 * self._lagged(q, now, step) + self._lagged(q, now, 2 * step)),
        }

    def _volume(self, q, t, now):
        def decayed(values, tau):
            return self._decayed(values, self.trade_ns, t, now, tau)

        count = decayed(np.ones(self.qty.size), P.typical_ns)
        if count <= P.empty:
            return dict.fromkeys(VOLUME, 0.0)
        typical, volume = decayed(self.qty, P.typical_ns) / count, decayed(self.qty, P.volume_ns)
        expected = decayed(self.qty, P.volume_base_ns) * P.volume_ns / P.volume_base_ns
        usual = decayed(self.qty, P.typical_ns) * P.spike_ns / P.typical_ns
        values = (
            np.log(1 + volume / typical),
            np.log((volume + typical) / (expected + typical)),
            1e4 * (self.mid[q] - self._vwap(t, now)),
            decayed(self.side * self.qty, P.flow_ns) / (decayed(self.qty, P.flow_ns) + typical),
            np.log((decayed(self.qty, P.spike_ns) + typical) / (usual + typical)),
        )
        recent = decayed(np.ones(self.qty.size), P.vwap_ns) > P.empty
        return dict(zip(VOLUME, values, strict=True)) | ({} if recent else {"vwap_distance_1s_bps": 0.0})

    def _vwap(self, t, now):
        weights = self.qty[:t] * np.exp((self.trade_ns[:t] - self.trade_ns[t - 1]) / P.vwap_ns)
        return float(np.average(self.log_px[:t], weights=weights))

    def _book(self, q, now):
        def mean(values):
            return self._decayed(values, self.quote_ns, q + 1, now, P.typical_ns) / count

        count = self._decayed(np.ones(self.mid.size), self.quote_ns, q + 1, now, P.typical_ns)
        size, spreads = mean((self.bid_qty + self.ask_qty) / 2), np.log(self.ask_px / self.bid_px)
        ratio = spreads[q] / mean(spreads) if mean(spreads) > P.flat else 0.0
        imbalance = (self.bid_qty[q] - self.ask_qty[q]) / (self.bid_qty[q] + self.ask_qty[q])
        e = self._decayed(self.change, self.quote_ns, q + 1, now, P.ofi_ns)
        return {
            "bid_size": np.log(self.bid_qty[q] / size),
            "ask_size": np.log(self.ask_qty[q] / size),
            "spread_relative": np.log((1 + ratio) / 2),
            "imbalance": imbalance,
            "microprice_relative": ratio * imbalance / 2,
            "ofi_200ms": e / (self._decayed(np.abs(self.change), self.quote_ns, q + 1, now, P.ofi_ns) + size),
        }

    def _bars_until(self, q, now):
        closed = self.bars.loc[self.bars.index < now // P.bar_ns, ["high", "low", "close"]]
        begun = int(self.bars.loc[now // P.bar_ns, "first"])
        running = self.mid[begun : q + 1]
        last = pd.DataFrame([[running.max(), running.min(), running[-1]]], columns=closed.columns)
        return pd.concat([closed, last], ignore_index=True)

    def _technical(self, q, now):
        bars = self._bars_until(q, now)
        close = bars["close"]
        macd = close.ewm(span=12, adjust=False).mean() - close.ewm(span=26, adjust=False).mean()
        window = close.to_numpy()[-20:]
        deviation = window.std() if np.ptp(window) > P.flat else 0.0
        k = 100 * pd.concat([pd.Series([0.5, 0.5]), position(bars, 14)]).rolling(3).mean().dropna()
        d = pd.concat([pd.Series([50.0, 50.0]), k]).rolling(3).mean()
        return {
            "rsi_14": rsi(close),
            "macd_12_26_bps": 1e4 * macd.iloc[-1],
            "macd_signal_9_bps": 1e4 * macd.ewm(span=9, adjust=False).mean().iloc[-1],
            "bollinger_position_20": (close.iloc[-1] - window.mean()) / (2 * deviation or 1.0),
            "bollinger_width_20_bps": 4e4 * deviation,
            "stochastic_k_14_3": k.iloc[-1],
            "stochastic_d_3": d.iloc[-1],
            "williams_r_40": 100 * (position(bars, 40).iloc[-1] - 1),
            "atr_14_bps": 1e4 * smoothed(true_range(bars)),
        }


VOLUME = ("volume_1s", "volume_change_1s", "vwap_distance_1s_bps", "flow_100ms", "volume_spike_250ms")


def smoothed(values, window=14):
    """Wilder's smoothing of a whole series: the mean of the first ``window`` values, then weight ``1 / window``."""
    if values.size <= window:
        return values.mean()
    seeded = pd.concat([pd.Series([values.iloc[:window].mean()]), values.iloc[window:]])
    return seeded.ewm(alpha=1 / window, adjust=False).mean().iloc[-1]


def rsi(close):
    """Wilder's RSI of the last close; 50 when nothing moved."""
    change = close.diff().dropna()
    if change.empty:
        return 50.0
    rise, fall = smoothed(change.clip(lower=0)), smoothed(-change.clip(upper=0))
    return 100 * rise / (rise + fall) if rise + fall > P.flat else 50.0


def position(bars, window):
    """Close within the range of the last ``window`` bars, 0 to 1; a half in the first bar and where flat."""
    high, low = bars["high"].rolling(window, min_periods=1).max(), bars["low"].rolling(window, min_periods=1).min()
    inside = ((bars["close"] - low) / (high - low).where(high - low > P.flat)).fillna(0.5)
    inside.iloc[0] = 0.5
    return inside


def true_range(bars):
    """High less low, widened to the close before."""
    before = bars["close"].shift()
    return np.fmax(bars["high"], before) - np.fmin(bars["low"], before)
