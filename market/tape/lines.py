"""One line of a recording to its receive time and frame, in every format of line that is read.

- tape: ``recv_ns<space>frame``, what ``TapeWriter`` writes;
- recorder: JSON objects with ``t`` (``recv`` a frame in ``data``, ``http`` an answer of REST with its ``url``, others
  are notes about the recording) and ``ts`` in seconds; frames of all symbols in one file;
- bare frames of Bybit without receive times: the frame's own ``ts`` stands in for it.
"""

import re
from typing import Final

import msgspec

from market.errors import FrameError
from market.units import time_ns

_REST_DEPTH: Final = re.compile(r"/depth\?(?:.*&)?symbol=(\w+)")
_OKX: Final = re.compile(rb'"instId"\s*:\s*"([^"]+)"')
_BYBIT: Final = re.compile(rb'"topic"\s*:\s*"[^"]*\.([^".]+)"')
_BINANCE: Final = re.compile(rb'"(?:stream"\s*:\s*"!?(\w+)@|s"\s*:\s*"([^"]+)")')


class Line(msgspec.Struct, frozen=True, gc=False):
    """A frame as a recording holds it. ``owner`` is its symbol ("" when it names none, None when it was not asked),
    ``is_answer`` marks a REST answer, received beside the stream."""

    recv_ns: int
    raw: bytes
    owner: str | None = None
    is_answer: bool = False


class _Record(msgspec.Struct):
    t: str
    ts: float = 0.0
    data: str = ""
    url: str = ""


class _Bare(msgspec.Struct):
    topic: str
    ts: int


_RECORD: Final = msgspec.json.Decoder(_Record)
_BARE: Final = msgspec.json.Decoder(_Bare)


def split_line(line: bytes) -> tuple[int, bytes]:
    """Receive time (ns; s, ms and µs are recognised) and frame of one tape line.

    Raises
    ------
    FrameError
        The line is not ``int json``.

    >>> split_line(b'1680652700423575 {"u":1}')
    (1680652700423575000, b'{"u":1}')
    """
    stamp, _, raw = line.partition(b" ")
    if not stamp.isdigit():
        raise FrameError("no receive time before the frame" if line else "empty line")
    raw = raw.strip()
    if raw[:1] not in (b"{", b"[") or raw[-1:] not in (b"}", b"]"):
        raise FrameError("the frame after the receive time is no whole JSON object")
    if len(stamp) > 19:
        raise FrameError("receive time is out of range")
    value = int(stamp)
    return (value if 10**17 <= value < 2**63 else time_ns(value)), raw


def parse_line(line: bytes) -> Line | None:
    """A line of any format; None for a recorder's note, which is no frame.

    Raises
    ------
    FrameError
        The line is of no format we know.
    """
    if line[:1] != b"{":
        recv_ns, raw = split_line(line)
        return Line(recv_ns, raw)
    try:
        if b'"topic"' in line[:20]:
            return _bare(line)
        return _recorded(_RECORD.decode(line))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise FrameError("no receive time before the frame") from None


def _bare(line: bytes) -> Line:
    raw = line.strip()
    return Line(time_ns(_BARE.decode(raw).ts), raw, symbol_of(raw))


def _recorded(record: _Record) -> Line | None:
    if not 0.0 <= record.ts < 9e9:
        raise FrameError(f"receive time {record.ts} is out of range")
    recv_ns, raw = round(record.ts * 1e6) * 1000, record.data.encode()
    if record.t == "recv":
        return Line(recv_ns, raw, symbol_of(raw))
    asked = _REST_DEPTH.search(record.url) if record.t == "http" else None
    return None if asked is None else Line(recv_ns, raw, asked[1].upper(), is_answer=True)


def family_of(raw: bytes) -> str:
    """``okx``, ``bybit`` or ``binance`` (any of its markets), by what only that venue's frames hold.

    >>> family_of(b'{"topic":"publicTrade.XUSDT","data":[]}')
    'bybit'
    """
    if b'"arg"' in raw or b'"connId"' in raw:
        return "okx"
    return "bybit" if b'"topic"' in raw or b'"ret_msg"' in raw else "binance"


def symbol_of(raw: bytes) -> str:
    """Symbol that a frame names, upper-case; "" when it names none.

    >>> symbol_of(b'{"arg":{"channel":"books","instId":"X-USDT-SWAP"},"data":[]}')
    'X-USDT-SWAP'
    """
    family = family_of(raw)
    found = (_OKX if family == "okx" else _BYBIT if family == "bybit" else _BINANCE).search(raw)
    return "" if found is None else next(group for group in found.groups() if group).decode("utf-8", "replace").upper()
