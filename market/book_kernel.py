"""One side of a book in sorted arrays, changed by compiled loops.

Places with quantity 0 are empty, and keep most insertions short: what stands up to the nearest one moves.
"""

from typing import Final

import numba as nb
import numpy as np
import numpy.typing as npt

from market.delta_kernel import HEADS, parse_delta

Ints = npt.NDArray[np.int64]
# how far an insertion looks for an empty place before all of them are spread anew
REACH: Final = 64


@nb.njit
def _place(keys: Ints, n: int, key: int) -> int:
    """First index of ``keys[:n]`` whose key is not below ``key``; looks near the best (the end) first."""
    low, high, step = 0, n, 8
    while step < n and keys[n - step] >= key:
        high = n - step
        step *= 2
    low = max(0, n - step)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@nb.njit
def _empty_near(values: Ints, at: int, n: int, reach: int) -> int:
    """The empty place nearest to the gap before ``at``, ``n`` (new) included; -1 when none is within ``reach``."""
    for step in range(reach):
        if at + step >= n or values[at + step] == 0:
            return min(at + step, n)
        if at - 1 - step >= 0 and values[at - 1 - step] == 0:
            return at - 1 - step
    return -1


@nb.njit
def _insert(keys: Ints, values: Ints, at: int, empty: int, key: int, value: int) -> None:
    """Put a new level before ``at``; what stands from there to the ``empty`` place moves by one."""
    if empty < at:
        at -= 1
        for k in range(empty, at):
            keys[k], values[k] = keys[k + 1], values[k + 1]
    for k in range(empty, at, -1):
        keys[k], values[k] = keys[k - 1], values[k - 1]
    keys[at], values[at] = key, value


@nb.njit(cache=True)
def set_levels(keys: Ints, values: Ints, n: int, px: Ints, qty: Ints, start: int, stop: int, sign: int) -> int:
    """Set absolute quantities ``qty[start:stop]`` at ``px`` in a side of ``n`` places; 0 removes. The new ``n``.

    ``keys`` are ``sign * px`` ascending, so that the best is last; both need room for ``n + stop - start``. A place
    with quantity 0 is empty: a removed level keeps its own, since prices come back, until a new level nearby takes it.
    Only the best is never 0.
    """
    for k in range(start, stop):
        key, value = px[k] * sign, qty[k]
        at = _place(keys, n, key)
        if at < n and keys[at] == key:
            values[at] = value
        elif value != 0:
            empty = _empty_near(values, at, n, REACH)
            if empty < 0:
                n = spread(keys, values, n, len(keys) - (stop - k))
                at = _place(keys, n, key)
                empty = _empty_near(values, at, n, n + 1)
            _insert(keys, values, at, empty, key, value)
            n = max(n, empty + 1)
    while n > 0 and values[n - 1] == 0:
        n -= 1
    return n


@nb.njit(cache=True)
def squeeze(keys: Ints, values: Ints, n: int) -> int:
    """Drop empty places; returns the new ``n``."""
    kept = 0
    for k in range(n):
        if values[k] != 0:
            keys[kept], values[kept] = keys[k], values[k]
            kept += 1
    return kept


@nb.njit(cache=True)
def spread(keys: Ints, values: Ints, n: int, room: int) -> int:
    """Leave an empty place after every second level, where ``room`` places suffice; returns the new ``n``.

    An empty place has the key of the level before it, so that keys never descend.
    """
    kept = squeeze(keys, values, n)
    gaps = min(kept // 2, room - kept)
    above = kept + gaps
    for k in range(kept - 1, -1, -1):
        at = k + k * gaps // kept
        keys[at], values[at] = keys[k], values[k]
        if above - at == 2:
            keys[at + 1], values[at + 1] = keys[k], 0
        above = at
    return kept + gaps - (gaps > 0)


def warm_up() -> None:
    """Compile, or load from the cache, all that the first live delta would otherwise wait for."""
    frame = b'{"e":"depthUpdate","s":"X","U":1,"u":1,"pu":0,"b":[["1","1"]],"a":[]}'
    heads, px, qty = np.zeros(HEADS + 1, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64)
    parse_delta(frame, b'"X"', 0, 0, heads, px, qty)
    set_levels(np.zeros(4, np.int64), np.zeros(4, np.int64), 0, px, qty, 0, 1, 1)
    squeeze(px, qty, 0)
