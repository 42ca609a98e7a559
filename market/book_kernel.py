"""The book's inner loops, compiled: a Binance depth delta from raw bytes to scaled integers, and into sorted levels.

Only the common spelling is read here (compact JSON, plain decimals, known keys). Anything else gives a code, nothing is
changed, and the caller takes the general path through ``market.codecs`` with the same result.
"""

from typing import Any, Final

import numba as nb
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
UNUSUAL: Final = -1
HEADS: Final = 6
FIRST_ID, LAST_ID, PREV_ID, TRADE_MS, EVENT_MS, BIDS = range(HEADS)
MOST_DIGITS: Final = 18

_U: Final = np.uint64
_QUOTE, _COLON, _DOT, _OPEN, _CLOSE, _COMMA, _BACKSLASH, _BRACE, _CLOSING_BRACE = (ord(c) for c in '":.[],\\{}')
_FIRST, _LAST, _TRADE, _EVENT, _BID_SIDE, _ASK_SIDE, _SYMBOL, _NAME = (_U(ord(c)) for c in "UuTEbase")
_PREV: Final = _U(ord("p") * 256 + ord("u"))
_ZERO: Final = ord("0")
_NEEDED: Final = 1 | 2 | 32 | 64 | 128 | 256
_WRAPPER = np.frombuffer(b'{"stream":"', np.uint8)
_DATA = np.frombuffer(b',"data":', np.uint8)
_EVENT_NAME = np.frombuffer(b'"depthUpdate"', np.uint8)
_TENS = np.array([10**k for k in range(MOST_DIGITS + 1)], dtype=np.int64)


@nb.njit(cache=True)
def _integer(raw: Any, i: Any, end: Any, out: Ints, slot: int) -> Any:
    """Plain integer at ``i`` into ``out[slot]``; the index after it, or ``end`` when it is none."""
    value, start = _U(0), i
    while i < end:
        digit = _U(raw[i]) - _U(48)
        if digit >= _U(10):
            break
        value = value * _U(10) + digit
        i += _U(1)
    digits = i - start
    if digits == _U(0) or digits > _U(MOST_DIGITS) or (digits > _U(1) and raw[start] == _ZERO):
        return end
    out[slot] = np.int64(value)
    return i


@nb.njit(cache=True)
def _decimal(raw: Any, i: Any, end: Any, decimals: int, out: Ints, slot: int) -> Any:
    """Quoted plain decimal at ``i`` times ``10**decimals`` into ``out[slot]``; the index after it, or ``end``."""
    if raw[i] != _QUOTE:
        return end
    i += _U(1)
    value, digits, fraction = _U(0), 0, -1
    while i < end:
        digit = _U(raw[i]) - _U(48)
        if digit < _U(10):
            value = value * _U(10) + digit
            digits += 1
            if fraction >= 0:
                fraction += 1
        elif raw[i] == _DOT and fraction < 0 and digits > 0:
            fraction = 0
        else:
            break
        i += _U(1)
    finer = decimals - max(fraction, 0)
    if i >= end or raw[i] != _QUOTE or digits == 0 or fraction == 0 or finer < 0 or digits + finer > MOST_DIGITS:
        return end
    out[slot] = np.int64(value) * _TENS[finer]
    return i + _U(1)


@nb.njit(cache=True)
def _levels(raw: Any, i: Any, end: Any, px_decimals: int, qty_decimals: int, px: Ints, qty: Ints, n: int) -> Any:
    """``[["px","qty"],…]`` at ``i`` into ``px[n:]`` and ``qty[n:]``; (index after it or ``end``, levels so far)."""
    if raw[i] != _OPEN:
        return end, n
    i += _U(1)
    if i < end and raw[i] == _CLOSE:
        return i + _U(1), n
    while i + _U(2) < end and raw[i] == _OPEN and n < len(px):
        i = _decimal(raw, i + _U(1), end, px_decimals, px, n)
        if i + _U(1) >= end or raw[i] != _COMMA:
            return end, n
        i = _decimal(raw, i + _U(1), end, qty_decimals, qty, n)
        if i + _U(1) >= end or raw[i] != _CLOSE:
            return end, n
        n += 1
        if raw[i + _U(1)] == _CLOSE:
            return i + _U(2), n
        if raw[i + _U(1)] != _COMMA:
            return end, n
        i += _U(2)
    return end, n


@nb.njit(cache=True)
def _text_end(raw: Any, i: Any, end: Any) -> Any:
    """Index of the quote that closes the printable, unescaped string whose first byte is ``i``; else ``end``."""
    while i < end and raw[i] != _QUOTE:
        if raw[i] == _BACKSLASH or raw[i] < 32 or raw[i] > 126:
            return end
        i += _U(1)
    return i


@nb.njit(cache=True)
def _literal(raw: Any, i: Any, end: Any, text: Any) -> Any:
    """Index after ``text`` when it stands at ``i``, else ``end``."""
    if i + _U(len(text)) >= end:
        return end
    same = True
    for k in range(len(text)):
        same &= raw[i + _U(k)] == text[k]
    return i + _U(len(text)) if same else end


@nb.njit(cache=True)
def _skip(raw: Any, i: Any, end: Any, heads: Ints) -> Any:
    """Index after a plain string or integer at ``i``, else ``end``."""
    if raw[i] == _QUOTE:
        return min(_text_end(raw, i + _U(1), end) + _U(1), end)
    return _integer(raw, i, end, heads, HEADS)


@nb.njit(cache=True)
def _body(raw: Any, end: Any) -> Any:
    """Index of the event's opening brace, after the combined-stream wrapper if there is one."""
    i = _literal(raw, _U(0), end, _WRAPPER)
    if i >= end:
        return _U(0)
    return _literal(raw, min(_text_end(raw, i, end) + _U(1), end), end, _DATA)


@nb.njit(cache=True)
def _key(raw: Any, i: Any, end: Any) -> Any:
    """(key as a number of its one or two bytes, index of its value) of ``"key":`` at ``i``; (0, end) when longer."""
    stop = _text_end(raw, i + _U(1), end) if raw[i] == _QUOTE else end
    size = stop - i - _U(1)
    if stop + _U(2) >= end or raw[stop + _U(1)] != _COLON or size == _U(0) or size > _U(2):
        return _U(0), end
    low = _U(raw[stop - _U(1)])
    return (low if size == _U(1) else _U(raw[i + _U(1)]) * _U(256) + low), stop + _U(2)


@nb.njit(cache=True)
def parse_delta(
    raw: bytes, symbol: bytes, px_decimals: int, qty_decimals: int, heads: Ints, px: Ints, qty: Ints
) -> int:
    """One raw ``depthUpdate`` frame (bare or in the combined-stream wrapper) of ``symbol``.

    Parameters
    ----------
    raw, symbol
        The frame, and the symbol it must name, in quotes.
    px_decimals, qty_decimals
        Scale of the book: values come out times ``10**decimals``.
    heads : int64 [HEADS + 1]
        Out: U, u, pu (-1 where absent), T, E (0 where absent), number of bids, and a place for what is skipped.
    px, qty : int64 [room]
        Out: bids, then asks.

    Returns
    -------
    int
        Number of levels, or UNUSUAL when the frame is spelt in any way that is not read here (outs are then undefined).
    """
    end = _U(len(raw))
    i = _body(raw, end)
    closing = _U(1) if i == _U(0) else _U(2)
    if i + _U(2) >= end or raw[i] != _BRACE:
        return UNUSUAL
    heads[PREV_ID], heads[TRADE_MS], heads[EVENT_MS], heads[BIDS] = -1, 0, 0, 0
    n, seen = 0, 0
    while True:
        key, at = _key(raw, i + _U(1), end)
        if at >= end:
            return UNUSUAL
        bit = 0
        if key == _FIRST:
            i, bit = _integer(raw, at, end, heads, FIRST_ID), 1
        elif key == _LAST:
            i, bit = _integer(raw, at, end, heads, LAST_ID), 2
        elif key == _PREV:
            i, bit = _integer(raw, at, end, heads, PREV_ID), 4
        elif key == _TRADE:
            i, bit = _integer(raw, at, end, heads, TRADE_MS), 8
        elif key == _EVENT:
            i, bit = _integer(raw, at, end, heads, EVENT_MS), 16
        elif key == _BID_SIDE and seen & 64 == 0:
            i, n = _levels(raw, at, end, px_decimals, qty_decimals, px, qty, n)
            heads[BIDS], bit = n, 32
        elif key == _ASK_SIDE and seen & 32:
            i, n = _levels(raw, at, end, px_decimals, qty_decimals, px, qty, n)
            bit = 64
        elif key == _SYMBOL:
            i, bit = _literal(raw, at, end, symbol), 128
        elif key == _NAME:
            i, bit = _literal(raw, at, end, _EVENT_NAME), 256
        elif key != _BID_SIDE and key != _ASK_SIDE:
            i = _skip(raw, at, end, heads)
        else:
            return UNUSUAL
        if i >= end or seen & bit:
            return UNUSUAL
        seen |= bit
        if raw[i] == _CLOSING_BRACE:
            break
        if raw[i] != _COMMA:
            return UNUSUAL
    whole = i + closing == end and raw[end - _U(1)] == _CLOSING_BRACE
    return n if whole and seen & _NEEDED == _NEEDED else UNUSUAL


@nb.njit(cache=True)
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


@nb.njit(cache=True)
def _shift(array: Ints, at: int, n: int) -> None:
    """Move ``array[at:n]`` up by one place."""
    for j in range(n, at, -1):
        array[j] = array[j - 1]


@nb.njit(cache=True)
def set_levels(keys: Ints, values: Ints, n: int, px: Ints, qty: Ints, start: int, stop: int, sign: int) -> int:
    """Set absolute quantities ``qty[start:stop]`` at ``px`` in a side of ``n`` levels; 0 removes. The new ``n``.

    ``keys`` are ``sign * px`` ascending, so that the best is last; both need room for ``n + stop - start``. A removed
    level keeps its place with quantity 0, since prices come back; only the best is never 0.
    """
    for k in range(start, stop):
        key, value = px[k] * sign, qty[k]
        at = _place(keys, n, key)
        if at < n and keys[at] == key:
            values[at] = value
        elif value != 0:
            _shift(keys, at, n)
            _shift(values, at, n)
            keys[at], values[at] = key, value
            n += 1
    while n > 0 and values[n - 1] == 0:
        n -= 1
    return n


@nb.njit(cache=True)
def squeeze(keys: Ints, values: Ints, n: int) -> int:
    """Drop the places of removed levels; returns the new ``n``."""
    kept = 0
    for k in range(n):
        if values[k] != 0:
            keys[kept], values[kept] = keys[k], values[k]
            kept += 1
    return kept


def warm_up() -> None:
    """Compile, or load from the cache, all that the first live delta would otherwise wait for."""
    frame = b'{"e":"depthUpdate","s":"X","U":1,"u":1,"pu":0,"b":[["1","1"]],"a":[]}'
    heads, px, qty = np.zeros(HEADS + 1, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64)
    parse_delta(frame, b'"X"', 0, 0, heads, px, qty)
    set_levels(np.zeros(4, np.int64), np.zeros(4, np.int64), 0, px, qty, 0, 1, 1)
    squeeze(px, qty, 0)
