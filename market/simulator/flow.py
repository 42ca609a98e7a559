"""The weather of the simulated market: regimes, shared shocks and hidden pressure, on a 10 ms grid for every symbol.

News arrives in bursts (a Hawkes process: each arrival makes the next likelier) and moves all symbols together in part.
A slow hidden pressure leans on each price; the order flow of ``market.simulator.street`` shows it only through noise,
so that books carry some information about the next move, as real ones do, and no more.
"""

import math
import zlib
from decimal import Decimal
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

STEP_NS: Final = 10_000_000
_STEPS_PER_S: Final = 1_000_000_000 // STEP_NS
_CRASH_DEPTH: Final = 0.022
_REBOUND: Final = 0.6
_FULL_MINUTES: Final = 10.0
_NEWS_PER_S: Final = 0.2
_EXCITATION: Final = 0.55
_NEWS_MEMORY_S: Final = 0.4
_PRESSURE_MEMORY_S: Final = 4.0
_COMMON_SHARE: Final = 0.65
_LEAN: Final = 0.5

Floats = NDArray[np.float64]


class Climate(msgspec.Struct, frozen=True):
    """One regime: volatility (bps per root minute), drift (bps per minute), and ratios to an ordinary market.

    ``activity`` is of orders per second, ``thinness`` how little stands in the book, ``news`` of arrivals per second.
    """

    vol_bps: float
    drift_bps: float
    activity: float
    thinness: float
    news: float


CALM: Final = Climate(1.6, 0.0, 0.85, 1.0, 0.7)
TRENDING: Final = Climate(2.4, 4.0, 1.0, 1.1, 1.0)
VOLATILE: Final = Climate(5.0, 0.0, 1.25, 1.5, 2.0)
CRASH: Final = Climate(24.0, 0.0, 1.5, 3.0, 8.0)
RECOVERY: Final = Climate(10.0, 0.0, 1.2, 2.0, 4.0)


class Spec(msgspec.Struct, frozen=True):
    """A simulated contract: opening price, tick and lot size, decimals on the wire, share of common moves."""

    symbol: str
    open_px: float
    tick: Decimal
    lot: Decimal
    px_decimals: int
    beta: float


class Path(msgspec.Struct, frozen=True):
    """What drives one symbol, one value per 10 ms: fair log price, pressure (unit variance), activity, thinness."""

    fair: Floats
    pressure: Floats
    activity: Floats
    thinness: Floats


_KNOWN: Final = (
    Spec("BTCUSDT", 63_000.0, Decimal("0.1"), Decimal("0.001"), 2, 1.0),
    Spec("ETHUSDT", 3_400.0, Decimal("0.01"), Decimal("0.001"), 2, 1.15),
    Spec("SOLUSDT", 150.0, Decimal("0.01"), Decimal("1"), 4, 1.3),
)


def spec_of(symbol: str) -> Spec:
    """Contract rules of ``symbol``; unknown symbols get rules drawn from their name, the same every time.

    >>> spec_of("BTCUSDT").tick, spec_of("ETHUSDT").tick
    (Decimal('0.1'), Decimal('0.01'))
    """
    known = next((spec for spec in _KNOWN if spec.symbol == symbol), None)
    if known is not None:
        return known
    draw = zlib.crc32(symbol.encode()) / 2**32
    open_px = 10 ** (-1 + 4 * draw)
    exponent = math.floor(math.log10(open_px)) - 4
    tick = Decimal(1).scaleb(exponent)
    lot = Decimal(1).scaleb(min(0, max(-3, -math.floor(math.log10(open_px)))))
    return Spec(symbol, open_px, tick, lot, max(0, -exponent), 0.8 + draw)


def paths(seed: int, symbols: int, minutes: float, betas: list[float]) -> list[Path]:
    """Driving paths of ``symbols`` correlated symbols over ``minutes``; the same arguments give the same arrays."""
    rng = np.random.Generator(np.random.PCG64(seed))
    steps = max(1, round(minutes * 60 * _STEPS_PER_S))
    climate = _climate(rng, steps)
    news = _news(rng, climate["news"])
    common = rng.standard_normal(steps)
    crash = _crash(minutes, news / climate["news"], float(climate["crash_at"][0]))
    return [_path(rng, climate, news, common, crash, betas[index]) for index in range(symbols)]


def _climate(rng: np.random.Generator, steps: int) -> dict[str, Floats]:
    """Per-step regime parameters: spells of calm, trend and volatility, and one crash with its recovery."""
    rows = np.empty((steps, 5))
    start = 0
    while start < steps:
        end = min(steps, start + int(rng.uniform(0.05, 0.12) * steps) + 1)
        rows[start:end] = _draw_climate(rng)
        start = end
    crash_at = rng.uniform(0.56, 0.62)
    fall, rise, over = (int(steps * (crash_at + part)) for part in (0.0, 0.08, 0.2))
    rows[fall:rise] = _row(CRASH, 0.0)
    rows[rise:over] = _row(RECOVERY, 0.0)
    late = int(steps * rng.uniform(0.84, 0.88))
    rows[late : late + steps // 20] = _row(VOLATILE, 0.0)
    names = ("vol_bps", "drift_bps", "activity", "thinness", "news")
    return {name: rows[:, column] for column, name in enumerate(names)} | {"crash_at": np.array([crash_at])}


def _draw_climate(rng: np.random.Generator) -> list[float]:
    kind = rng.choice(3, p=[0.45, 0.3, 0.25])
    return _row((CALM, TRENDING, VOLATILE)[kind], rng.choice([-1.0, 1.0]))


def _row(climate: Climate, sign: float) -> list[float]:
    return [climate.vol_bps, climate.drift_bps * sign, climate.activity, climate.thinness, climate.news]


def _news(rng: np.random.Generator, rate: Floats) -> Floats:
    """News arrivals (1.0 or 0.0 per step), self-exciting: mean rate ``_NEWS_PER_S * rate / (1 - _EXCITATION)``."""
    base, decay = (rate * _NEWS_PER_S / _STEPS_PER_S).tolist(), math.exp(-1 / (_NEWS_MEMORY_S * _STEPS_PER_S))
    kick = _EXCITATION / (_NEWS_MEMORY_S * _STEPS_PER_S)
    draws, arrivals, excited = rng.random(len(base)).tolist(), [0.0] * len(base), 0.0
    for step, draw in enumerate(draws):
        hit = draw < base[step] + excited
        arrivals[step] = float(hit)
        excited = excited * decay + (kick if hit else 0.0)
    return np.array(arrivals)


def _crash(minutes: float, news: Floats, crash_at: float) -> Floats:
    """Log price of the fall and the partial rebound, in the steps of the ``news`` (arrivals per expected one).

    Shorter markets fall less, as volatility scales.
    """
    depth = _CRASH_DEPTH * min(1.0, math.sqrt(minutes / _FULL_MINUTES))
    where = np.arange(len(news)) / len(news)
    fall = _moves(news, (where >= crash_at) & (where < crash_at + 0.08))
    rise = _moves(news, (where >= crash_at + 0.085) & (where < crash_at + 0.2))
    return np.cumsum(depth * (_REBOUND * rise - fall))


def _moves(news: Floats, window: NDArray[np.bool_]) -> Floats:
    """Shares of a whole move, one per arrival within the window; nothing moves when nothing arrives."""
    inside = news * window
    return inside / max(float(inside.sum()), 1e-9)


def _path(
    rng: np.random.Generator, climate: dict[str, Floats], news: Floats, common: Floats, crash: Floats, beta: float
) -> Path:
    steps = len(news)
    own = rng.standard_normal(steps)
    shock = beta * (math.sqrt(_COMMON_SHARE) * common + math.sqrt(1 - _COMMON_SHARE) * own)
    pressure = _ornstein_uhlenbeck(rng, steps)
    per_s = climate["news"] * _NEWS_PER_S / (1.0 - _EXCITATION)
    jump = climate["vol_bps"] * 1e-4 / np.sqrt(60 * per_s) * (shock + _LEAN * pressure)
    drift = climate["drift_bps"] * 1e-4 / (60 * per_s)
    return Path(np.cumsum(news * (jump + drift)) + crash, pressure, climate["activity"], climate["thinness"])


def _ornstein_uhlenbeck(rng: np.random.Generator, steps: int) -> Floats:
    keep = math.exp(-1 / (_PRESSURE_MEMORY_S * _STEPS_PER_S))
    noise = (rng.standard_normal(steps) * math.sqrt(1 - keep * keep)).tolist()
    level, out = 0.0, [0.0] * steps
    for step, push in enumerate(noise):
        level = level * keep + push
        out[step] = level
    return np.array(out)
