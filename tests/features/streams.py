"""Seeded event streams for the feature tests: bursts, equal and slightly disordered timestamps, every kind of event."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.body import BOOK_LEVELS, INTEREST, LIQUIDATION, MARK, REFERENCE
from features.state import LEVELS
from market.events import QUOTE, TRADE

START_NS = 1_700_000_000_123_456_789
MS = 1_000_000
SECOND = 1_000 * MS
HOUR = 3_600 * SECOND

_SHARES = {QUOTE: 0.6, TRADE: 0.16, REFERENCE: 0.12, BOOK_LEVELS: 0.06, MARK: 0.02, INTEREST: 0.02, LIQUIDATION: 0.02}
_REFERENCE_PX = 3_000.0


class Stream(NamedTuple):
    """Kinds ``[n]``, event clock in ns ``[n]``, values ``[n, 4]``, levels ``[m, 4, 10]`` of the ``BOOK_LEVELS``."""

    kinds: npt.NDArray[np.int8]
    ts: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    levels: npt.NDArray[np.float64] = np.zeros((0, 4, LEVELS))


def run(kernel, stream, state=None):
    """Rows and their events, by ``kernel.fold``."""
    return kernel.fold(stream.kinds, stream.ts, stream.values, state, stream.levels)


def pieces(stream, size=4_000):
    """The stream in stretches of ``size`` events: rows of the whole bank are 16 kB each."""
    return [pick(stream, slice(start, start + size)) for start in range(0, len(stream.kinds), size)]


def run_late(kernel, stream, last=1_000):
    """Rows of the ``last`` events after all before them, and their events in ``stream``; every row must be finite."""
    state, before = kernel.init_state(), max(len(stream.kinds) - last, 0)
    for piece in pieces(pick(stream, slice(0, before))):
        rows, _ = run(kernel, piece, state)
        assert np.isfinite(rows).all()
    rows, index = run(kernel, pick(stream, slice(before, None)), state)
    assert np.isfinite(rows).all()
    return rows, index + before


def one_by_one(kernel, stream, state=None):
    """Rows and their events, by one ``update`` per event."""
    state, rows, index, levels = kernel.init_state() if state is None else state, [], [], iter(stream.levels)
    address, row = state.ctypes.data, kernel.row(state)
    events = zip(stream.kinds.tolist(), stream.ts.tolist(), stream.values.tolist(), strict=True)
    for i, (kind, ts_ns, values) in enumerate(events):
        if kind == BOOK_LEVELS:
            kernel.update_levels(address, ts_ns, next(levels))
        elif kernel.update(address, kind, ts_ns, *values):
            rows.append(row.copy())
            index.append(i)
    return np.array(rows).reshape(-1, row.size), np.array(index)


def pick(stream, part):
    """The events of a slice, mask or index array."""
    of_book = np.cumsum(stream.kinds == BOOK_LEVELS) - 1
    kinds = stream.kinds[part]
    books = of_book[part][kinds == BOOK_LEVELS]
    return Stream(kinds, stream.ts[part], stream.values[part], stream.levels[books])


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


def full_market(seed, n, px=20_000.0, qty=2.0, mean_ms=8.0):
    """As ``market``, but every kind of event is there, a correlated reference symbol too; a quote comes first."""
    rng = np.random.default_rng([seed, 1])
    plain = market(seed, n, px, qty, mean_ms)
    kinds = rng.choice(list(_SHARES), n, p=list(_SHARES.values())).astype(np.int8)
    kinds[0] = QUOTE
    quotes = _quotes_throughout(plain, rng, qty)
    made = {
        QUOTE: quotes,
        TRADE: _trades(quotes, rng, qty),
        REFERENCE: _reference(quotes, rng),
        MARK: _marks(quotes, plain.ts, rng),
        INTEREST: _alone(1e6 * qty * np.exp(np.cumsum(rng.normal(0.0, 1e-3, n)))),
        LIQUIDATION: _trades(quotes, rng, 5 * qty),
        BOOK_LEVELS: np.zeros((n, 4)),
    }
    values = np.choose(kinds[:, None], [made[kind] for kind in sorted(made)])
    return Stream(kinds, plain.ts, values, _levels(quotes[kinds == BOOK_LEVELS], rng, px * 1e-5, qty))


def _quotes_throughout(plain, rng, qty):
    """A quote at every event: those of ``plain``, and where it has a trade the quote before, of other sizes."""
    at = np.maximum.accumulate(np.where(plain.kinds == QUOTE, np.arange(plain.kinds.size), 0))
    quotes = plain.values[np.maximum(at, int(np.argmax(plain.kinds == QUOTE)))]
    quotes[:, 1::2] = np.where(
        (plain.kinds == QUOTE)[:, None], quotes[:, 1::2], qty * rng.lognormal(0, 1, (at.size, 2))
    )
    return quotes


def _trades(quotes, rng, qty):
    """On the touch; runs of one side, some of which shove a tick through."""
    n = len(quotes)
    side = np.where(np.sin(np.cumsum(rng.normal(0.0, 0.3, n))) + rng.normal(0.0, 0.5, n) > 0, 1.0, -1.0)
    px = np.where(side > 0, quotes[:, 2], quotes[:, 0]) * (1 + side * 1e-5 * (rng.random(n) < 0.1))
    return np.column_stack([px, qty * rng.lognormal(-2.0, 1.5, n), side, np.zeros(n)])


def _reference(quotes, rng):
    """A symbol of another price level that shares most moves, some of them earlier."""
    own = np.diff(np.log(quotes[:, 0]), prepend=np.log(quotes[0, 0]))
    moves = 0.5 * own + 0.4 * np.roll(own, -7) + rng.normal(0.0, 2e-6, len(own))
    bid = 0.01 * np.round(100 * _REFERENCE_PX * np.exp(np.cumsum(moves)))
    return np.column_stack(
        [bid, rng.lognormal(1, 1, len(own)), bid + 0.01 * rng.integers(1, 4, len(own)), rng.lognormal(1, 1, len(own))]
    )


def _marks(quotes, ts, rng):
    """Mark and index near the mid, funding that changes sign, seconds until it is due; some frames say less (NaN)."""
    n, mid = len(quotes), 0.5 * (quotes[:, 0] + quotes[:, 2])
    index = mid * np.exp(2e-4 * np.sin(np.cumsum(rng.normal(0.0, 0.02, n))))
    mark = mid * np.exp(rng.normal(0.0, 2e-5, n))
    funding = 1e-4 * np.sin(np.cumsum(rng.normal(0.0, 0.01, n)))
    due_s = 28_800.0 - (ts // SECOND) % 28_800
    said = np.column_stack([mark, index, funding, due_s])
    return np.where(rng.random((n, 4)) < 0.1, np.nan, said)


def _levels(quotes, rng, tick, qty):
    """Ten levels a side from the touch outwards, with gaps between some; now and then the deepest are missing."""
    steps = np.cumsum(rng.choice([1, 1, 1, 2, 5], (len(quotes), 2, LEVELS)), axis=2) - 1.0
    steps[:, :, 1:] = np.maximum(steps[:, :, 1:], 1.0)
    steps -= steps[:, :, :1]
    sizes = qty * rng.lognormal(0.5, 1.0, (len(quotes), 2, LEVELS))
    bids, asks = quotes[:, :1] - steps[:, 0] * tick, quotes[:, 2:3] + steps[:, 1] * tick
    book = np.stack([bids, sizes[:, 0], asks, sizes[:, 1]], axis=1)
    there = np.where(rng.random((len(quotes), 2)) < 0.1, rng.integers(1, LEVELS, (len(quotes), 2)), LEVELS)
    missing = np.arange(LEVELS) >= np.repeat(there, 2, axis=1)[:, :, None]
    return np.where(missing, 0.0, book)


def _alone(values):
    return np.column_stack([values, np.zeros((len(values), 3))])


def constant(n, px=100.0, step_ms=5):
    """Quotes that never change."""
    values = np.tile([px, 3.0, px * 1.0001, 3.0], (n, 1))
    return Stream(np.zeros(n, np.int8), START_NS + np.arange(n) * step_ms * MS, values)


def mirrored(stream):
    """The market upside down: prices inverted about the first one, bid and ask swapped, buyers and sellers swapped."""
    about, about_reference = stream.values[0, 0] ** 2, _REFERENCE_PX**2
    kinds, values = stream.kinds, stream.values.copy()
    for kind, middle in ((QUOTE, about), (REFERENCE, about_reference)):
        swapped = values[kinds == kind][:, [2, 3, 0, 1]]
        swapped[:, 0::2] = middle / swapped[:, 0::2]
        values[kinds == kind] = swapped
    taken, marks = np.isin(kinds, (TRADE, LIQUIDATION)), kinds == MARK
    values[taken, 0], values[taken, 2] = about / values[taken, 0], -values[taken, 2]
    values[marks, :2], values[marks, 2] = about / values[marks, :2], -values[marks, 2]
    levels = stream.levels[:, [2, 3, 0, 1]]
    there = levels[:, 0::2] > 0.0
    levels[:, 0::2] = np.where(there, about / np.where(there, levels[:, 0::2], 1.0), 0.0)
    return Stream(kinds, stream.ts, values, levels)
