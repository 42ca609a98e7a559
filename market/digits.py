"""Digits of a text to numbers, eight at a time, by address: the callers check what is read and where it ends."""

from typing import Any, Final

import numba as nb
import numpy as np

from market.native import WINDOW, byte, load, non_digits, store, trailing_zeros

# part of the functions that call it, which are cached
compiled = nb.njit(forceinline=True, error_model="numpy")
U: Final = np.uint64
ZEROS: Final = U(0x3030303030303030)
_ONES: Final = U(0xFFFFFFFFFFFFFFFF)
_TEN: Final = U(10)
_PAIRS: Final = U(0x000000FF000000FF)
_HUNDREDS: Final = U(100 + (1_000_000 << 32))
_UNITS: Final = U(1 + (10_000 << 32))
_OVER_NINE: Final = U(0x7676767676767676)
_TOP_BITS: Final = U(0x8080808080808080)
_EIGHT: Final = U(100_000_000)
_ZERO, _DOT = ord("0"), ord(".")
MOST: Final = 8
_TENS = np.array([10**k for k in range(MOST + 1)], dtype=np.uint64)
_POWERS = np.array([10.0**k for k in range(MOST + 1)])


@compiled
def value_of(word: np.uint64) -> np.uint64:
    """Number of eight digits, each a byte of 0 to 9, the first one lowest: pairs, then fours, then all at once."""
    pairs = word * _TEN + (word >> U(8))
    return ((pairs & _PAIRS) * _HUNDREDS + ((pairs >> U(16)) & _PAIRS) * _UNITS) >> U(32)


@compiled
def are_no_digits(word: np.uint64) -> np.uint64:
    """0 when each byte of ``word`` is 0 to 9."""
    return ((word + _OVER_NINE) | word) & _TOP_BITS


@compiled
def last_digits(end: int, n: int) -> np.uint64:
    """Number of the ``n`` digits, 1 to 8, before ``end``; reads 8 bytes."""
    return value_of((load(end - 8) ^ ZEROS) & (_ONES << U(64 - 8 * n)))


@compiled
def whole_number(end: int, n: int) -> np.uint64:
    """Number of the ``n`` digits, 1 to 16, before ``end``; reads 8 bytes, or 16 where ``n`` is above 8."""
    if n <= MOST:
        return last_digits(end, n)
    return last_digits(end, MOST) + _EIGHT * last_digits(end - MOST, n - MOST)


@compiled
def window(at: int, end: int) -> np.uint64:
    """``non_digits(at)``, or no digit at all where fewer than WINDOW bytes stand from ``at`` to ``end``."""
    return non_digits(at) if at + WINDOW <= end else U(1)


@compiled
def last_window(at: int, end: int) -> np.uint64:
    """``window`` that sees all of a frame of WINDOW bytes or more, but no digit with fewer than 8 bytes to ``end``."""
    if at + WINDOW <= end:
        return non_digits(at)
    return non_digits(end - WINDOW) >> U(at + WINDOW - end) if at + 8 <= end else U(1)


@compiled
def _joined(at: int, n: int, stop: int) -> np.uint64:
    """Number of the digits from ``at`` to ``at + stop`` without the point after ``n`` of them."""
    if stop > MOST:
        fraction = stop - n - 1
        return last_digits(at + n, n) * _TENS[U(fraction)] + last_digits(at + stop, fraction)
    text, whole = load(at) ^ ZEROS, (U(1) << U(8 * n)) - U(1)
    return value_of(((text & whole) | ((text >> U(8)) & ~whole)) << U(72 - 8 * stop))


@compiled
def mantissa(at: int, others: np.uint64) -> Any:
    """Plain decimal at ``at`` as a whole number.

    Parameters
    ----------
    at
        Address; 7 bytes before it are read too.
    others
        ``window`` or ``last_window`` of ``at``.

    Returns
    -------
    value, fraction, size
        The number without its point, the digits after the point, and the length of the text. The length is 0 when it is
        no decimal, does not end in the window (14 digits and a point do), or has more than 8 digits on one side of the
        point.
    """
    n = trailing_zeros(others)
    if n < 1 or n > MOST:
        return 0, 0, 0
    if byte(at + n) != _DOT:
        return np.int64(last_digits(at + n, n)), 0, n
    stop = trailing_zeros(others & (others - U(1)))
    fraction = stop - n - 1
    if fraction < 1 or fraction > MOST:
        return 0, 0, 0
    return np.int64(_joined(at, n, stop)), fraction, stop


@compiled
def decimal(at: int, others: np.uint64, out: int) -> int:
    """``mantissa`` without needless zeros before it, as the nearest double into ``out``; the address after it, or 0.

    A mantissa below 2**53 over a power of ten up to 1e22 is one correctly rounded division (Clinger 1990), so that the
    double is the one that ``float`` gives.
    """
    value, fraction, size = mantissa(at, others)
    if size == 0 or (byte(at) == _ZERO and size > 1 and byte(at + 1) != _DOT):
        return 0
    store(out, np.float64(value) / _POWERS[U(fraction)])
    return at + size


@compiled
def milliseconds(at: int, out: int) -> np.uint64:
    """Unix time of 13 digits, the first 1 to 8, into ``out``; not 0 when it is none. Reads 13 bytes."""
    first, last = load(at) ^ ZEROS, (load(at + 5) ^ ZEROS) & (_ONES << U(24))
    high = value_of(first)
    store(out, np.int64(high * U(100_000) + value_of(last)))
    odd = U(high - U(10_000_000) >= U(80_000_000))
    return odd | are_no_digits(first) | are_no_digits(last)
