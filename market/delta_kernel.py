"""A Binance depth delta from raw bytes to scaled integers, compiled.

Only the common spelling is read here (compact JSON, plain decimals, known keys). Anything else gives a code, nothing is
changed, and the caller takes the general path through ``market.codecs`` with the same result.
"""

from typing import Any, Final

import numba as nb
import numpy as np
import numpy.typing as npt

from market import digits, native
from market.digits import compiled, last_window, mantissa
from market.native import WINDOW, byte, data_of, drawn_from, load

Ints = npt.NDArray[np.int64]
UNUSUAL: Final = -1
MOST_DIGITS: Final = 18
# what a frame has of use to a book, by key; the first HEADS have a place in the heads
FIELDS: Final = {"U": 0, "u": 1, "pu": 2, "T": 3, "E": 4, "b": 5, "a": 6, "s": 7, "e": 8}
FIRST_ID, LAST_ID, PREV_ID, TRADE_MS, EVENT_MS, BIDS, ASKS, SYMBOL, NAME = FIELDS.values()
OTHER: Final = len(FIELDS)
HEADS: Final = 6

_U: Final = np.uint64
_QUOTE, _COLON, _DOT, _OPEN, _CLOSE, _COMMA, _BACKSLASH, _BRACE, _CLOSING_BRACE = (ord(c) for c in '":.[],\\{}')
_ZERO: Final = ord("0")
_KEYS = np.array([int.from_bytes(key.encode(), "big") for key in FIELDS], dtype=np.uint64)
_NEEDED: Final = sum(1 << field for field in (FIRST_ID, LAST_ID, BIDS, ASKS, SYMBOL, NAME))
_BETWEEN, _THREE = _U(int.from_bytes(b'","', "little")), _U(0xFFFFFF)
_WRAPPER = np.frombuffer(b'{"stream":"', np.uint8)
_DATA = np.frombuffer(b',"data":', np.uint8)
_EVENT_NAME = np.frombuffer(b'"depthUpdate"', np.uint8)
_TENS = np.array([10**k for k in range(MOST_DIGITS + 1)], dtype=np.int64)


@nb.njit
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


@nb.njit
def _long_decimal(at: int, end: int, decimals: int, out: Ints, slot: int) -> int:
    """As ``_decimal``, digit by digit: for what ``mantissa`` does not take."""
    value, digits, fraction = 0, 0, -1
    while at < end and digits <= MOST_DIGITS:
        letter = byte(at)
        if letter == _DOT and fraction < 0 and digits > 0:
            fraction = 0
        elif letter < _ZERO or letter > _ZERO + 9:
            break
        else:
            value = value * 10 + letter - _ZERO
            digits += 1
            fraction += fraction >= 0
        at += 1
    finer = decimals - max(fraction, 0)
    if at >= end or digits == 0 or fraction == 0 or finer < 0 or digits + finer > MOST_DIGITS:
        return end
    out[slot] = value * _TENS[finer]
    return at


@compiled
def _decimal(at: int, end: int, decimals: int, out: Ints, slot: int) -> int:
    """Plain decimal at ``at`` times ``10**decimals`` into ``out[slot]``; the address after it, or ``end`` when none."""
    value, fraction, size = mantissa(at, last_window(at, end))
    finer = decimals - fraction
    if size == 0 or finer < 0 or size + finer > MOST_DIGITS:
        return _long_decimal(at, end, decimals, out, slot)
    out[slot] = value * _TENS[_U(finer)]
    return at + size


@nb.njit
def read_levels(at: int, end: int, px_decimals: int, qty_decimals: int, px: Ints, qty: Ints, n: int) -> tuple[int, int]:
    """``[["px","qty"],…]`` at ``at`` into ``px[n:]`` and ``qty[n:]``; (address after it or ``end``, levels so far).

    Reads nothing from ``end`` on; WINDOW bytes must stand before ``end``.
    """
    if at + 2 > end or byte(at) != _OPEN:
        return end, n
    at += 1
    if byte(at) == _CLOSE:
        return at + 1, n
    while n < len(px) and at + 2 <= end and byte(at) == _OPEN and byte(at + 1) == _QUOTE:
        at = _decimal(at + 2, end, px_decimals, px, n)
        if at + 8 > end or load(at) & _THREE != _BETWEEN:
            return end, n
        at = _decimal(at + 3, end, qty_decimals, qty, n)
        if at + 3 > end or byte(at) != _QUOTE or byte(at + 1) != _CLOSE:
            return end, n
        n += 1
        if byte(at + 2) == _CLOSE:
            return at + 3, n
        if byte(at + 2) != _COMMA:
            return end, n
        at += 3
    return end, n


@nb.njit
def _text_end(raw: Any, i: Any, end: Any) -> Any:
    """Index of the quote that closes the printable, unescaped string whose first byte is ``i``; else ``end``."""
    while i < end and raw[i] != _QUOTE:
        if raw[i] == _BACKSLASH or raw[i] < 32 or raw[i] > 126:
            return end
        i += _U(1)
    return i


@nb.njit
def _literal(raw: Any, i: Any, end: Any, text: Any) -> Any:
    """Index after ``text`` when it stands at ``i``, else ``end``."""
    if i + _U(len(text)) >= end:
        return end
    same = True
    for k in range(len(text)):
        same &= raw[i + _U(k)] == text[k]
    return i + _U(len(text)) if same else end


@nb.njit
def _skip(raw: Any, i: Any, end: Any, heads: Ints) -> Any:
    """Index after a plain string or integer at ``i``, else ``end``."""
    if raw[i] == _QUOTE:
        return min(_text_end(raw, i + _U(1), end) + _U(1), end)
    return _integer(raw, i, end, heads, HEADS)


@nb.njit
def _body(raw: Any, end: Any) -> Any:
    """Index of the event's opening brace, after the combined-stream wrapper if there is one."""
    i = _literal(raw, _U(0), end, _WRAPPER)
    if i >= end:
        return _U(0)
    return _literal(raw, min(_text_end(raw, i, end) + _U(1), end), end, _DATA)


@nb.njit
def _key(raw: Any, i: Any, end: Any) -> Any:
    """(key as a number of its one or two bytes, index of its value) of ``"key":`` at ``i``; (0, end) when longer."""
    stop = _text_end(raw, i + _U(1), end) if raw[i] == _QUOTE else end
    size = stop - i - _U(1)
    if stop + _U(2) >= end or raw[stop + _U(1)] != _COLON or size == _U(0) or size > _U(2):
        return _U(0), end
    low = _U(raw[stop - _U(1)])
    return (low if size == _U(1) else _U(raw[i + _U(1)]) * _U(256) + low), stop + _U(2)


@nb.njit
def _field_of(key: Any) -> int:
    """Field of a key as ``_key`` tells it; OTHER for one that no book needs."""
    for field in range(OTHER):
        if key == _KEYS[field]:
            return field
    return OTHER


@nb.njit
def _value_end(
    raw: Any, field: int, at: Any, end: Any, symbol: Any, decimals: Any, heads: Ints, px: Ints, qty: Ints, n: int
) -> Any:
    """Take the value of ``field`` at ``at``; (index after it or ``end``, levels so far)."""
    if field < BIDS:
        return _integer(raw, at, end, heads, field), n
    if field in (BIDS, ASKS):
        start = data_of(raw)
        stop, n = read_levels(start + np.int64(at), start + np.int64(end), decimals[0], decimals[1], px, qty, n)
        return _U(stop - start), n
    if field == SYMBOL:
        return _literal(raw, at, end, symbol), n
    if field == NAME:
        return _literal(raw, at, end, _EVENT_NAME), n
    return _skip(raw, at, end, heads), n


@nb.njit
def _in_order(field: int, seen: int) -> bool:
    """Whether ``field`` may follow those ``seen``: each once, asks after bids."""
    return field == OTHER or (seen >> field & 1 == 0 and (field != ASKS or seen >> BIDS & 1 == 1))


@nb.njit(cache=True)
@drawn_from(native, digits)
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
    if i + _U(2) >= end or end < _U(WINDOW) or raw[i] != _BRACE:
        return UNUSUAL
    heads[PREV_ID], heads[TRADE_MS], heads[EVENT_MS], heads[BIDS] = -1, 0, 0, 0
    n, seen = 0, 0
    while True:
        key, at = _key(raw, i + _U(1), end)
        field = _field_of(key)
        if at >= end or not _in_order(field, seen):
            return UNUSUAL
        i, n = _value_end(raw, field, at, end, symbol, (px_decimals, qty_decimals), heads, px, qty, n)
        if i >= end:
            return UNUSUAL
        if field == BIDS:
            heads[BIDS] = n
        seen |= 1 << field
        if raw[i] == _CLOSING_BRACE:
            break
        if raw[i] != _COMMA:
            return UNUSUAL
    whole = i + closing == end and raw[end - _U(1)] == _CLOSING_BRACE
    return n if whole and seen & _NEEDED == _NEEDED else UNUSUAL
