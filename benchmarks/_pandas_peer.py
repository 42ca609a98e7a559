"""The 25 served features and NLk labels of a stretch of ticks, as a straightforward pandas script computes them.

Whole columns at a time: decayed sums by weighted cumulative sums in blocks, bars by groups, what looks back over bars
by rolling and exponential windows. No formula is shared with the kernel, so it is its oracle too.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from market.events import QUOTE

MS = 1_000_000
SECOND = 1_000 * MS
TYPICAL = 30 * SECOND
BAR = 100 * MS
CELL = 10 * MS
FLAT = 1e-10
EMPTY = 1e-9
BPS = 1e4
BLOCK_TAUS = 16.0
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def decayed(x: Floats, t: Ints, tau_ns: int) -> Floats:
    """At every row the sum of ``x`` so far, each decayed by ``exp(-age / tau)``."""
    age = (t - t[0]) / tau_ns
    block = (age // BLOCK_TAUS).astype(np.int64)
    weight = np.exp(age - BLOCK_TAUS * block)
    inside = pd.Series(x * weight).groupby(block).cumsum().to_numpy()
    ends = np.flatnonzero(np.diff(block, append=block[-1] + 1))
    blocks, totals = block[ends].tolist(), inside[ends].tolist()
    carried, before, carry = [], blocks[0], 0.0
    for at, total in zip(blocks, totals, strict=True):
        carry *= float(np.exp(-BLOCK_TAUS * (at - before)))
        carried.append(carry)
        carry, before = carry + total, at
    lengths = np.diff(ends, prepend=-1)
    return np.asarray((inside + np.repeat(carried, lengths)) / weight)


def ratio(above: Floats, below: Floats, where: npt.NDArray[np.bool_], other: float) -> Floats:
    """``above / below``, ``other`` where not ``where``."""
    return np.divide(above, below, out=np.full(len(above), other), where=where)


def log_prices(ticks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Quotes with log mid and spread, and all ticks with what was traded; prices over the first one seen."""
    ticks = ticks.assign(t=ticks["ts"].cummax())
    first_px = ticks["a"].iloc[0]
    quotes = ticks[ticks["kind"] == QUOTE]
    spread = np.log(quotes["c"] / quotes["a"])
    quotes = quotes.assign(mid=np.log(quotes["a"] / first_px) + 0.5 * spread, spread=spread)
    traded = ticks["kind"] != QUOTE
    qty = ticks["b"].where(traded, 0.0)
    logs = np.log(ticks["a"] / first_px)
    return quotes, ticks.assign(qty=qty, signed=qty * ticks["c"], paid=qty * logs, trades=traded.astype(float))


def price_features(quotes: pd.DataFrame) -> dict[str, Floats]:
    """Returns, momentum, volatility, acceleration."""
    mid, t = quotes["mid"].to_numpy(), quotes["t"].to_numpy()
    cells = t // CELL
    at = {ms: mid[np.clip(np.searchsorted(cells, cells - ms * MS // CELL, "right") - 1, 0, None)] for ms in (500, 1000)}
    keep = np.exp(-np.diff(t, prepend=t[0]) / (500 * MS))
    stood = quotes["mid"].shift(fill_value=0.0).to_numpy() * (1.0 - keep)
    stood[0] = mid[0]
    steps = quotes["mid"].diff().fillna(0.0).to_numpy()
    return {
        "return_1s_bps": BPS * (mid - at[1000]),
        "return_50q_bps": BPS * (mid - quotes["mid"].shift(50).fillna(mid[0]).to_numpy()),
        "momentum_500ms_bps": BPS * (mid - decayed(stood, t, 500 * MS)),
        "volatility_5s_bps": BPS * np.sqrt(decayed(steps * steps, t, 5 * SECOND)),
        "acceleration_500ms_bps": BPS * (mid - 2.0 * at[500] + at[1000]),
    }


def volume_features(ticks: pd.DataFrame, mid: Floats) -> dict[str, Floats]:
    """Volume against what is usual, VWAP, flow; at quotes."""
    t, at = ticks["t"].to_numpy(), (ticks["kind"] == QUOTE).to_numpy()

    def total(column: str, tau_ns: int) -> Floats:
        return decayed(ticks[column].to_numpy(), t, tau_ns)[at]

    usual_qty, usual_trades = total("qty", TYPICAL), total("trades", TYPICAL)
    there = usual_trades > EMPTY
    usual = ratio(usual_qty, usual_trades, there, 0.0)
    quarter, second, five = (total("qty", tau) for tau in (250 * MS, SECOND, 5 * SECOND))
    expected, typical = five / 5.0, usual_qty * (250 * MS / TYPICAL)
    paid = ratio(total("paid", SECOND), second, second > 0.0, 0.0)
    return {
        "volume_1s": ratio(second, second + usual, there, 0.0),
        "volume_change_1s": ratio(second - expected, second + expected + 2.0 * usual, there, 0.0),
        "vwap_distance_1s_bps": np.where(total("trades", SECOND) > EMPTY, BPS * (mid - paid), 0.0),
        "flow_100ms": ratio(total("signed", 100 * MS), total("qty", 100 * MS) + usual, there, 0.0),
        "volume_spike_250ms": ratio(quarter - typical, quarter + typical + 2.0 * usual, there, 0.0),
    }


def book_features(quotes: pd.DataFrame) -> dict[str, Floats]:
    """Sizes, spread, imbalance, order flow."""
    t, bid, ask = quotes["t"].to_numpy(), quotes["b"], quotes["d"]
    usual_quotes = decayed(np.ones(len(quotes)), t, TYPICAL)
    size = decayed((0.5 * (bid + ask)).to_numpy(), t, TYPICAL) / usual_quotes
    spread = decayed(quotes["spread"].to_numpy(), t, TYPICAL) / usual_quotes
    relative = ratio(quotes["spread"].to_numpy(), spread, spread > FLAT, 0.0)
    imbalance = ((bid - ask) / (bid + ask)).to_numpy()
    last = quotes.shift()
    change = bid.where(quotes["a"] >= last["a"], 0.0) - last["b"].where(quotes["a"] <= last["a"], 0.0)
    change += last["d"].where(quotes["c"] >= last["c"], 0.0) - ask.where(quotes["c"] <= last["c"], 0.0)
    change.iloc[0] = 0.0
    flow = decayed(change.to_numpy(), t, 200 * MS)
    return {
        "bid_size": ((bid - size) / (bid + size)).to_numpy(),
        "ask_size": ((ask - size) / (ask + size)).to_numpy(),
        "spread_relative": (relative - 1.0) / (relative + 1.0),
        "imbalance": imbalance,
        "microprice_relative": 0.5 * relative * imbalance,
        "ofi_200ms": flow / (decayed(change.abs().to_numpy(), t, 200 * MS) + size),
    }


def wilder(values: pd.Series, window: int = 14) -> pd.Series:
    """Wilder's smoothing: the mean so far, from ``window`` values on a recursion."""
    seeded = values.expanding().mean().iloc[:window]
    rest = pd.concat([seeded.iloc[-1:], values.iloc[window:]]).ewm(alpha=1.0 / window, adjust=False).mean()
    return pd.concat([seeded, rest.iloc[1:]])


def bar_features(quotes: pd.DataFrame) -> dict[str, Floats]:
    """Indicators over bars of 100 ms; the running bar counts as the newest."""
    groups = quotes.groupby(quotes["t"] // BAR, sort=False)["mid"]
    bar = groups.ngroup().to_numpy()
    now = pd.DataFrame({"high": groups.cummax(), "low": groups.cummin(), "close": quotes["mid"]}).reset_index(drop=True)
    closed = groups.agg(["max", "min", "last"]).set_axis(["high", "low", "close"], axis=1).reset_index(drop=True)
    ends = np.flatnonzero(np.diff(bar, append=bar[-1] + 1))

    def before(series: pd.Series, other: float, bars: int = 1) -> Floats:
        """The value of the bar so many before the running one."""
        return series.shift(bars, fill_value=other).to_numpy()[bar]

    def position(bars: int) -> Floats:
        high = np.fmax(before(closed["high"].rolling(bars - 1, min_periods=1).max(), np.nan), now["high"])
        low = np.fmin(before(closed["low"].rolling(bars - 1, min_periods=1).min(), np.nan), now["low"])
        reach = (high - low).to_numpy()
        return ratio((now["close"] - low).to_numpy(), reach, (reach > FLAT) & (bar > 0), 0.5)

    close = now["close"].to_numpy()
    raw = 100.0 * position(14)
    raws = pd.Series(raw[ends])
    slow = (raw + before(raws, 50.0) + before(raws, 50.0, 2)) / 3.0
    slows = pd.Series(slow[ends])
    return {
        **_rsi(closed, bar, close, before),
        **_macd(closed, bar, close, before),
        **_bollinger(closed, bar, close, before),
        "stochastic_k_14_3x100ms": slow,
        "stochastic_d_14_3x100ms": (slow + before(slows, 50.0) + before(slows, 50.0, 2)) / 3.0,
        "williams_r_40x100ms": 100.0 * (position(40) - 1.0),
        **_atr(closed, bar, now, before),
    }


def _rsi(closed: pd.DataFrame, bar: Ints, close: Floats, before) -> dict[str, Floats]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    change = closed["close"].diff().iloc[1:]
    step = np.where(bar > 0, close - before(closed["close"], 0.0), 0.0)
    seen = np.clip(bar, 1, 14)
    sides = []
    for closes, running in (
        (change.clip(lower=0.0), np.fmax(step, 0.0)),
        (-change.clip(upper=0.0), np.fmax(-step, 0.0)),
    ):
        average = before(wilder(closes).reindex(closed.index, fill_value=0.0), 0.0)
        sides.append(average + (running - average) / seen)
    moved = sides[0] + sides[1]
    return {"rsi_14x100ms": ratio(100.0 * sides[0], moved, moved > FLAT, 50.0)}


def _macd(closed: pd.DataFrame, bar: Ints, close: Floats, before) -> dict[str, Floats]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    fast, slow = (closed["close"].ewm(span=span, adjust=False).mean() for span in (12, 26))
    signal = before((fast - slow).ewm(span=9, adjust=False).mean(), 0.0)
    fast, slow = before(fast, 0.0), before(slow, 0.0)
    macd = np.where(bar > 0, fast + (close - fast) * (2.0 / 13.0) - slow - (close - slow) * (2.0 / 27.0), 0.0)
    return {
        "macd_12_26_9x100ms_bps": BPS * macd,
        "macd_signal_12_26_9x100ms_bps": BPS * (signal + (macd - signal) * 0.2),
    }


def _bollinger(closed: pd.DataFrame, bar: Ints, close: Floats, before) -> dict[str, Floats]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    window = closed["close"].rolling(19, min_periods=1)
    count = np.fmin(bar, 19)
    step = np.where(bar > 0, close - before(window.mean(), 0.0), 0.0)
    share = count / (count + 1.0)
    squares = count * before(window.var(ddof=0).clip(lower=0.0), 0.0) + step * step * share
    deviation = np.sqrt(squares / (count + 1.0))
    return {
        "bollinger_position_20x100ms": ratio(step * share, 2.0 * deviation, deviation > FLAT, 0.0),
        "bollinger_width_20x100ms_bps": 4.0 * BPS * deviation,
    }


def _atr(closed: pd.DataFrame, bar: Ints, now: pd.DataFrame, before) -> dict[str, Floats]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    last = closed["close"].shift()
    ranges = np.fmax(closed["high"], last) - np.fmin(closed["low"], last)
    past = before(closed["close"], np.nan)
    running = (np.fmax(now["high"], past) - np.fmin(now["low"], past)).to_numpy()
    average = before(wilder(ranges), 0.0)
    return {"atr_14x100ms_bps": BPS * (average + (running - average) / np.clip(bar + 1, 1, 14))}


def features(ticks: pd.DataFrame) -> pd.DataFrame:
    """One row per quote with the 25 features, in the order of the default served set."""
    quotes, all_ticks = log_prices(ticks)
    parts = (
        price_features(quotes),
        volume_features(all_ticks, quotes["mid"].to_numpy()),
        book_features(quotes),
        bar_features(quotes),
    )
    return pd.DataFrame({name: column for part in parts for name, column in part.items()})


def labels(quotes: pd.DataFrame, k: int, latency_ns: int) -> pd.Series:
    """NLk: 0 down, 1 flat, 2 up from the last quote ``latency_ns`` on to the one ``k`` quotes after it; -1 unknown."""
    mids = pd.DataFrame({"t": quotes["ts"], "mid": 0.5 * (quotes["a"] + quotes["c"])})
    mids["later"] = mids["mid"].shift(-k)
    asked = pd.DataFrame({"t": mids["t"] + latency_ns})
    found = pd.merge_asof(asked, mids, on="t")
    move = found["later"] / found["mid"] - 1.0
    label = pd.Series(1, index=found.index).mask(move > 1e-12, 2).mask(move < -1e-12, 0)
    return label.mask(found["later"].isna(), -1).astype("int8")
