"""Bars of the event clock and the technical columns: rings of closed bars, and the running bar as the newest.

What looks back over closed bars is summed afresh whenever a bar closes, so nothing drifts; per quote only the running
bar is entered, in O(1).
"""

from math import sqrt

import numba as nb

from features.state import BARS, Record, Row

BPS = 1e4


@nb.njit
def _smoothed(average: float, value: float, seen: int, window: int) -> float:
    """Wilder's smoothing, a plain mean until ``window`` values were seen."""
    return average + (value - average) / min(seen, window)


@nb.njit
def _ema(average: float, value: float, window: int) -> float:
    return average + (value - average) * (2.0 / (window + 1.0))


@nb.njit
def _rise_fall(s: Record) -> tuple[float, float]:
    """Wilder's smoothed rise and fall of closes, the running bar counted as closed."""
    if s.bars == 0:
        return 0.0, 0.0
    change = s.close - s.previous
    rise = _smoothed(s.rise, max(change, 0.0), s.bars, s.p.rsi_bars)
    return rise, _smoothed(s.fall, max(-change, 0.0), s.bars, s.p.rsi_bars)


@nb.njit
def _emas(s: Record) -> tuple[float, float, float]:
    """Fast and slow EMA and the MACD's signal, the running bar counted as closed."""
    if s.bars == 0:
        return s.close, s.close, 0.0
    fast, slow = _ema(s.ema_fast, s.close, s.p.macd_fast_bars), _ema(s.ema_slow, s.close, s.p.macd_slow_bars)
    return fast, slow, _ema(s.signal, fast - slow, s.p.macd_signal_bars)


@nb.njit
def _true_range(s: Record) -> float:
    """Smoothed true range, the running bar counted as closed."""
    high, low = s.high, s.low
    if s.bars > 0:
        high, low = max(high, s.previous), min(low, s.previous)
    return _smoothed(s.true_range, high - low, s.bars + 1, s.p.atr_bars)


@nb.njit
def _position(s: Record, high: float, low: float) -> float:
    """Where the close stands between ``low`` and ``high`` widened by the running bar, 0 to 1; 0.5 when flat."""
    high, low = max(high, s.high), min(low, s.low)
    return (s.close - low) / (high - low) if high - low > s.p.flat else 0.5


@nb.njit
def _stochastic(s: Record) -> tuple[float, float, float]:
    """Raw K, slow K and D, the running bar counted as closed."""
    raw = 100.0 * _position(s, s.stochastic_high, s.stochastic_low) if s.bars > 0 else 50.0
    k = (raw + s.raw_k.sum()) / s.p.smooth_bars
    return raw, k, (k + s.slow_k.sum()) / s.p.smooth_bars


@nb.njit
def _shift(ring: Row, value: float) -> None:
    for i in range(ring.size - 1, 0, -1):
        ring[i] = ring[i - 1]
    ring[0] = value


@nb.njit
def _sum_closes(s: Record) -> None:
    count = min(s.bars, s.p.bollinger_bars - 1)
    mean, m2 = 0.0, 0.0
    for back in range(1, count + 1):
        mean += s.closes[(s.bars - back) % BARS] / count
    for back in range(1, count + 1):
        m2 += (s.closes[(s.bars - back) % BARS] - mean) ** 2
    s.closes_count, s.closes_mean, s.closes_m2 = float(count), mean, m2


@nb.njit
def _extremes(s: Record, count: int) -> tuple[float, float]:
    newest = (s.bars - 1) % BARS
    high, low = s.highs[newest], s.lows[newest]
    for back in range(2, min(s.bars, count) + 1):
        slot = (s.bars - back) % BARS
        high, low = max(high, s.highs[slot]), min(low, s.lows[slot])
    return high, low


@nb.njit
def _close_bar(s: Record) -> None:
    """The running bar becomes the newest closed one, and the sums over closed bars are taken afresh: no drift."""
    raw, k, _ = _stochastic(s)
    rise, fall = _rise_fall(s)
    fast, slow, signal = _emas(s)
    s.true_range = _true_range(s)
    s.rise, s.fall, s.ema_fast, s.ema_slow, s.signal = rise, fall, fast, slow, signal
    _shift(s.raw_k, raw)
    _shift(s.slow_k, k)
    slot = s.bars % BARS
    s.closes[slot], s.highs[slot], s.lows[slot] = s.close, s.high, s.low
    s.previous = s.close
    s.bars += 1
    _sum_closes(s)
    s.stochastic_high, s.stochastic_low = _extremes(s, s.p.stochastic_bars - 1)
    s.williams_high, s.williams_low = _extremes(s, s.p.williams_bars - 1)


@nb.njit
def record_bar(s: Record) -> None:
    bar = s.now_ns // s.p.bar_ns
    if s.quotes == 0 or bar != s.bar:
        if s.quotes > 0:
            _close_bar(s)
        s.bar, s.high, s.low = bar, s.mid, s.mid
    s.high, s.low, s.close = max(s.high, s.mid), min(s.low, s.mid), s.mid


@nb.njit
def _write_bollinger(s: Record, out: Row) -> None:
    """Population deviation of the closed bars and the running one, by the exact update of both."""
    count = s.closes_count + 1.0
    step = s.close - s.closes_mean if s.bars > 0 else 0.0
    deviation = sqrt((s.closes_m2 + step * step * (s.closes_count / count)) / count)
    out[19] = 0.0
    if deviation > s.p.flat:
        out[19] = step * (s.closes_count / count) / (2.0 * deviation)
    out[20] = BPS * 4.0 * deviation


@nb.njit
def write_technical(s: Record, out: Row) -> None:
    rise, fall = _rise_fall(s)
    fast, slow, signal = _emas(s)
    _, k, d = _stochastic(s)
    out[16] = 100.0 * rise / (rise + fall) if rise + fall > s.p.flat else 50.0
    out[17] = BPS * (fast - slow)
    out[18] = BPS * signal
    _write_bollinger(s, out)
    out[21] = k
    out[22] = d
    out[23] = 100.0 * (_position(s, s.williams_high, s.williams_low) - 1.0) if s.bars > 0 else -50.0
    out[24] = BPS * _true_range(s)
