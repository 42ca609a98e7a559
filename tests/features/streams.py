"""Seeded event streams for the feature tests: bursts, equal and slightly disordered timestamps."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from market.events import QUOTE, TRADE

START_NS = 1_700_000_000_123_456_789
MS = 1_000_000
SECOND = 1_000 * MS


class Stream(NamedTuple):
    """What ``fold`` takes: kinds ``[n]``, event clock in ns ``[n]``, values ``[n, 4]``."""

    kinds: npt.NDArray[np.int8]
    ts: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def pick(stream, part):
    """The events of a slice, mask or index array."""
    return Stream(stream.kinds[part], stream.ts[part], stream.values[part])


def timestamps(rng, n, mean_ms=8.0):
    """Half of the steps are 0, the others long-tailed; now and then a step back of a few ms, as recorders show them."""
    steps = rng.exponential(2.0 * mean_ms * MS, n) * (rng.random(n) < 0.5)
    jitter = np.where(rng.random(n) < 0.01, -rng.integers(0, 20 * MS, n), 0)
    return START_NS + np.cumsum(steps).astype(np.int64) + jitter


def market(seed, n, px=20_000.0, qty=2.0, mean_ms=8.0):
    """``n`` events of one symbol: prices on a tick grid that move on few quotes, skewed sizes, a fifth trades."""
    rng = np.random.default_rng(seed)
    tick = px * 1e-5
    moves = rng.choice([-2, -1, 0, 1, 2], n, p=[0.01, 0.03, 0.92, 0.03, 0.01])
    ticks = 100_000 + np.cumsum(moves)
    bid, ask = ticks * tick, (ticks + 1 + (rng.random(n) < 0.05) * rng.integers(1, 9, n)) * tick
    sizes = qty * rng.lognormal(0.0, 1.5, (n, 2))
    side = np.where(rng.random(n) < 0.5 + 0.2 * np.sign(moves), 1.0, -1.0)
    traded = qty * rng.lognormal(-2.0, 1.5, n)
    kinds = np.where(rng.random(n) < 0.2, TRADE, QUOTE).astype(np.int8)
    quotes = np.column_stack([bid, sizes[:, 0], ask, sizes[:, 1]])
    trades = np.column_stack([np.where(side > 0, ask, bid), traded, side, np.zeros(n)])
    return Stream(kinds, timestamps(rng, n, mean_ms), np.where((kinds == QUOTE)[:, None], quotes, trades))


def constant(n, px=100.0, step_ms=5):
    """Quotes that never change."""
    values = np.tile([px, 3.0, px * 1.0001, 3.0], (n, 1))
    return Stream(np.zeros(n, np.int8), START_NS + np.arange(n) * step_ms * MS, values)


def mirrored(stream):
    """The market upside down: prices inverted about the first one, bid and ask swapped, buyers and sellers swapped."""
    about = stream.values[0, 0] ** 2
    px_a, qty_a, px_b, last = stream.values.T
    quote = stream.kinds == QUOTE
    flipped = np.where(
        quote[:, None],
        np.column_stack([about / np.where(quote, px_b, 1.0), last, about / px_a, qty_a]),
        np.column_stack([about / px_a, qty_a, -px_b, last]),
    )
    return Stream(stream.kinds, stream.ts, flipped)
