"""Oracles of ``features.families.depth``, ``features.families.levels`` and ``features.families.depth_flow``."""

from functools import lru_cache

import numpy as np

from features.families.levels import REACHES
from features.parameters import PARAMETERS as P
from features.state import LEVELS
from tests.features.oracles.quoting import added
from tests.features.oracles.usual import sizes, spreads, standing

SAME_LOG = 1e-10
"""Log prices that differ by less are one price: far above rounding, far below a tick."""


def sides_of(book):
    """Prices and quantities of bids, then of asks, each up to its first level that lacks either."""
    for px, qty in (book[:2], book[2:]):
        end = int(np.argmin(np.append((px > 0) & (qty > 0), False)))
        yield px[:end], qty[:end]


def _book(history, at):
    """The last levels with a quote before them, typical spread and size of that time; None when there are none."""
    last = history.upto(history.levels_at, at) - 1
    quote = standing(history, history.levels_at[last]) if last >= 0 else -1
    return None if quote < 0 else (history.levels[last], spreads(history)[quote], sizes(history)[quote])


def _of_book(compute):
    """An oracle of ``compute(bids, asks, n, spread, size)``, where bids and asks are (distances, quantities)."""

    def oracle(history, feature, at):
        found = _book(history, at)
        if found is None:
            return 0.0
        book, spread, size = found
        mid = np.log(book[[0, 2], 0]).mean()
        sides = [(np.abs(np.log(px) - mid), qty) for px, qty in sides_of(book)]
        cut = [(away[: feature.window], qty[: feature.window]) for away, qty in sides]
        return compute(*cut, spread + P.flat, size)

    return oracle


def share(bids, asks):
    return (bids - asks) / (bids + asks)


def depth_imbalance(bids, asks, _spread, _size):
    return share(bids[1].sum(), asks[1].sum())


def near_imbalance(bids, asks, spread, _size):
    return share(*((qty / (1 + away / spread)).sum() for away, qty in (bids, asks)))


def depth_pressure(bids, asks, spread, _size):
    (below, bought), (above, sold) = ((np.average(away, weights=qty), qty.sum()) for away, qty in (bids, asks))
    return (-below * sold + above * bought) / (bought + sold) / spread


def slope(side, spread, size):
    relative, distance = side[1].sum() / size, side[0][-1] / spread
    return relative / (relative + distance)


def gap(side, spread, _size):
    mean = (side[0][-1] - side[0][0]) / max(len(side[0]) - 1, 1)
    return mean / (mean + spread)


def convexity(side, _spread, _size):
    total = np.cumsum(side[1]) / side[1].sum()
    return 1 - 2 * total[:-1].mean() if total.size > 1 else 0.0


def _of_sides(name, compute):
    def bid(bids, _asks, spread, size):
        return compute(bids, spread, size)

    def ask(_bids, asks, spread, size):
        return compute(asks, spread, size)

    return {("depth", f"bid_{name}"): _of_book(bid), ("depth", f"ask_{name}"): _of_book(ask)}


def _level(history, feature, at):
    """Size of the level on both sides, and the typical one."""
    found = _book(history, at)
    if found is None:
        return 0.0, 0.0, 0.0
    bid, ask = (np.append(qty, np.zeros(LEVELS))[feature.window - 1] for _, qty in sides_of(found[0]))
    return bid, ask, found[2]


def level_imbalance(history, feature, at):
    bid, ask, _ = _level(history, feature, at)
    return share(bid, ask) if bid + ask > 0 else 0.0


def _level_size(side):
    def oracle(history, feature, at):
        *both, usual = _level(history, feature, at)
        return share(both[side], usual) if usual > 0 else 0.0

    return oracle


@lru_cache(maxsize=4)
def _within(history):
    """Size near the mid by levels event, reach and side."""
    found = np.zeros((len(history.levels), len(REACHES), 2))
    for event, book in enumerate(history.levels):
        mid = np.log(book[[0, 2], 0]).mean()
        for side, (px, qty) in enumerate(sides_of(book)):
            bps = 1e4 * np.abs(np.log(px) - mid)
            found[event, :, side] = [qty[bps <= reach].sum() for reach in REACHES]
    return found


def _depth_within(reach, side):
    def oracle(history, _feature, at):
        upto = history.upto(history.levels_at, at)
        if upto == 0:
            return 0.0
        found = _within(history)[:upto, reach]
        weights = np.exp((history.levels_ns[:upto] - history.levels_ns[upto - 1]) / P.typical_ns)
        usual = np.average(found.mean(axis=1), weights=weights)
        return share(found[-1, side], usual) if usual > 0 else 0.0

    return oracle


def _touch_share(side):
    def oracle(history, _feature, at):
        upto = history.upto(history.levels_at, at)
        if upto == 0:
            return 0.0
        _, qty = list(sides_of(history.levels[upto - 1]))[side]
        return qty[0] / qty.sum() if qty.size else 0.0

    return oracle


@lru_cache(maxsize=4)
def _changes(history):
    """e of each level, ``[m, 10]``, for levels events with a quote before them, and their times; the first is 0."""
    seen = standing(history, history.levels_at) >= 0
    book = history.levels[seen]
    # prices as numbers of digits that rounding leaves alone
    bids, asks = np.round(np.log(np.where(book[:, [0, 2]] > 0, book[:, [0, 2]], 1.0)) / SAME_LOG).transpose(1, 0, 2)
    bids, asks = np.where(book[:, 0] > 0, bids, -np.inf), -np.where(book[:, 2] > 0, asks, np.inf)
    of_bids = [added(bids[:, level], book[:, 1, level]) for level in range(LEVELS)]
    of_asks = [added(asks[:, level], book[:, 3, level]) for level in range(LEVELS)]
    return np.column_stack(of_bids) - np.column_stack(of_asks), history.levels_ns[seen], history.levels_at[seen]


def _depth_ofi(levels):
    def oracle(history, feature, at):
        found = _book(history, at)
        if found is None:
            return 0.0
        changes, stamps, positions = _changes(history)
        upto = history.upto(positions, at)
        weights = np.exp((stamps[:upto] - stamps[upto - 1]) / feature.window)
        some = changes[:upto, levels]
        return weights @ some.sum(axis=1) / (weights @ np.abs(some).sum(axis=1) + found[2])

    return oracle


ORACLES = {
    ("depth", "depth_imbalance"): _of_book(depth_imbalance),
    ("depth", "near_imbalance"): _of_book(near_imbalance),
    ("depth", "depth_pressure"): _of_book(depth_pressure),
    **_of_sides("slope", slope),
    **_of_sides("gap", gap),
    **_of_sides("convexity", convexity),
    ("level", "level_imbalance"): level_imbalance,
    ("level", "bid_level_size"): _level_size(0),
    ("level", "ask_level_size"): _level_size(1),
    **{("within", f"bid_depth_{bps}bps"): _depth_within(i, 0) for i, bps in enumerate(REACHES)},
    **{("within", f"ask_depth_{bps}bps"): _depth_within(i, 1) for i, bps in enumerate(REACHES)},
    ("touch_share", "bid_touch_share"): _touch_share(0),
    ("touch_share", "ask_touch_share"): _touch_share(1),
    **{("depth_flow", f"ofi_{level + 1}l"): _depth_ofi([level]) for level in range(5)},
    ("depth_flow", "ofi_10l"): _depth_ofi(list(range(LEVELS))),
}
