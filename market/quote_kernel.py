"""A Binance bookTicker frame from raw bytes to numbers, in one compiled pass over the venue's own spelling.

The venue writes keys in one order without spaces, so a frame is a template with seven numbers in it. Words of the
template are compared where the last number ended; any other spelling is left to ``market.codecs`` with the same result.
"""

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any, Final

import msgspec
import numba as nb
import numpy as np

from market import digits, native
from market.digits import U, compiled, decimal, last_window, milliseconds, whole_number, window
from market.events import Quote
from market.native import WINDOW, address_of, as_bool, builtin, byte, drawn_from, load, room_of, size_of, trailing_zeros
from market.native import store as put

Read = Callable[[bytes, int], Quote | None]
RECORD: Final = Struct("<4d3q")
BID_PX, BID_QTY, ASK_PX, ASK_QTY, UPDATE_ID, TRADE_MS, EVENT_MS, _STAMPED = range(0, 64, 8)
_SLOT: Final = 128
_BARE, _WRAPPED, _MIDDLE = (64 + _SLOT * k for k in range(3))
_PLAN_SIZE: Final = 64 + _SLOT * 3
_MOST_ID_DIGITS: Final = 15
_NEVER: Final = 2**40
_IS_STAMPED: Final = {"binanceusdm": True, "binance": False}
_S, _QUOTE, _ZERO, _CLOSING_BRACE = (ord(c) for c in 's"0}')
_STAMPS_SIZE: Final = len('","T":1700000000000,"E":1700000000000')


def _word(text: bytes) -> tuple[np.uint64, np.uint64]:
    """Up to eight bytes of template as a word, and the mask of what it covers."""
    return U(int.from_bytes(text, "little")), U((1 << 8 * len(text)) - 1)


_BETWEEN = np.array([_word(text)[0] for text in (b'","B":"', b'","a":"', b'","A":"')])
(_TO_TRADE_MS, _SIX), (_TO_EVENT_MS, _FIVE) = _word(b'","T":'), _word(b',"E":')
_SEVEN: Final = _word(bytes(7))[1]


@compiled
def _differs(at: int, slot: int, n: int) -> np.uint64:
    """0 when the ``n`` bytes at ``at``, 8 or more, are the text of ``slot``."""
    k = 8
    while k < n:
        if load(at + k - 8) != load(slot + k):
            return U(1)
        k += 8
    return load(at + n - 8) ^ load(slot + n)


@compiled
def _id_end(at: int, start: int, end: int, out: int) -> int:
    """Address after the id at ``at``, which goes to ``out``; 0 when it is spelt otherwise."""
    n = trailing_zeros(window(at, end))
    if n < 1 or n > _MOST_ID_DIGITS or at + n - WINDOW < start or (n > 1 and byte(at) == _ZERO):
        return 0
    put(out, np.int64(whole_number(at + n, n)))
    return at + n


@compiled
def _closes(at: int, end: int, braces: int) -> bool:
    """Whether one or two closing braces stand at ``at`` and end the frame."""
    return at + braces == end and byte(end - 1) == _CLOSING_BRACE and byte(end - braces) == _CLOSING_BRACE


@compiled
def _stamps(at: int, end: int, braces: int, plan: int) -> bool:
    """Whether both times and the end of the frame stand at ``at``."""
    if not _closes(at + _STAMPS_SIZE, end, braces):
        return False
    odd = (load(at) & _SIX) ^ _TO_TRADE_MS
    odd |= milliseconds(at + 6, plan + TRADE_MS)
    odd |= (load(at + 19) & _FIVE) ^ _TO_EVENT_MS
    odd |= milliseconds(at + 24, plan + EVENT_MS)
    return odd == U(0)


@compiled
def _sides_end(at: int, end: int, plan: int) -> int:
    """Address after the four decimals from ``at`` on, which go to ``plan``; 0 when they are spelt otherwise."""
    odd = U(0)
    for k in range(len(_BETWEEN)):
        at = decimal(at, window(at, end), plan + 8 * k)
        if at == 0 or at + 8 > end:
            return 0
        odd |= (load(at) & _SEVEN) ^ _BETWEEN[k]
        at += 7
    at = decimal(at, last_window(at, end), plan + ASK_QTY)
    return 0 if odd or load(plan + BID_PX) == U(0) or load(plan + ASK_PX) == U(0) else at


@compiled
def read_quote(start: int, size: int, plan: int) -> bool:
    """Whether the ``size`` bytes at ``start`` are a quote in the spelling of ``plan``, whose record then holds it."""
    if size < WINDOW:
        return False
    end, braces = start + size, 1 + (byte(start + 2) == _S)
    head = plan + (_WRAPPED if braces == 2 else _BARE)
    n = np.int64(load(head))
    if n >= size or _differs(start, head, n):
        return False
    at = _id_end(start + n, start, end, plan + UPDATE_ID)
    n = np.int64(load(plan + _MIDDLE))
    if at == 0 or at + n > end or _differs(at, plan + _MIDDLE, n):
        return False
    at = _sides_end(at + n, end, plan)
    if at == 0:
        return False
    if load(plan + _STAMPED):
        return _stamps(at, end, braces, plan)
    return byte(at) == _QUOTE and _closes(at + 1, end, braces)


@drawn_from(native, digits)
def _parse(plan: int, raw: int) -> int:
    """``read_quote`` of a bytes object into a bytearray, as CPython calls it: a new bool, or 0 after a TypeError."""
    size = size_of(raw)
    if size < 0:
        return 0
    return as_bool(np.int64(read_quote(address_of(raw), size, room_of(plan))))


@cache
def _callback() -> Any:
    """``_parse``, compiled when the first reader is made."""
    return nb.cfunc("int64(int64, int64)", cache=True)(_parse)


def quote_parser(plan: bytearray) -> Callable[[bytes], bool]:
    """Whether a frame is a quote as ``plan`` (of ``plan_of``) has it, whose record then holds the numbers.

    TypeError for anything but bytes.
    """
    return builtin(_callback(), plan, "decode_quote")


def plan_of(symbol: str, is_stamped: bool) -> bytearray:
    """Where a parser finds the spelling of ``symbol``'s quotes and puts the numbers (RECORD, at its beginning).

    ``is_stamped``: with event name and times, as on USD-M; spot has neither, and is read in its wrapper only.
    """
    event = b'{"e":"bookTicker","u":' if is_stamped else b'{"u":'
    wrapper = b'{"stream":"' + symbol.lower().encode() + b'@bookTicker","data":'
    plan = bytearray(_PLAN_SIZE)
    plan[_STAMPED] = is_stamped
    is_plain = msgspec.json.encode(symbol) == b'"' + symbol.encode() + b'"'
    for slot, text in (
        (_BARE, event),
        (_WRAPPED, wrapper + event),
        (_MIDDLE, b',"s":"' + symbol.encode() + b'","b":"'),
    ):
        size = len(text) if is_plain and 8 <= len(text) <= _SLOT - 8 else _NEVER
        plan[slot : slot + _SLOT] = size.to_bytes(8, "little") + text[: _SLOT - 8].ljust(_SLOT - 8)
    return plan


def quote_reader(symbol: str, is_stamped: bool = True) -> Read:
    """Reader of ``symbol``'s quotes: ``(raw, ts_recv)`` to the ``Quote`` that ``market.codecs.binance.decode`` gives.

    It gives None for every frame that is no quote of this symbol in the usual spelling: let the codec read that one.

    >>> read = quote_reader("XYUSDT", is_stamped=False)
    >>> frame = b'{"stream":"xyusdt@bookTicker","data":{"u":4,"s":"XYUSDT","b":"0.5","B":"3.0","a":"0.6","A":"2.0000"}}'
    >>> read(frame, 7).ask_px
    0.6
    >>> read(frame.replace(b":", b": "), 7)
    """
    plan = plan_of(symbol, is_stamped)
    record = memoryview(plan)  # a bytearray that is viewed keeps its size
    is_quote, numbers = quote_parser(plan), RECORD.unpack_from

    def read(raw: bytes, ts_recv: int) -> Quote | None:
        if not is_quote(raw):
            return None
        bid_px, bid_qty, ask_px, ask_qty, update_id, trade_ms, _ = numbers(record)
        return Quote(symbol, trade_ms * 1_000_000, ts_recv, bid_px, bid_qty, ask_px, ask_qty, update_id)

    return read


def fast_quotes(venue: str, symbol: str) -> Read:
    """``quote_reader`` as ``venue`` spells its quotes; it takes no frame of OKX, Bybit and COIN-M."""
    if venue not in _IS_STAMPED:
        return lambda _raw, _ts_recv: None
    return quote_reader(symbol, _IS_STAMPED[venue])
