"""Small Binance frames and tapes for tests, spelled as the venue spells them."""

import ctypes
import gzip
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from market.events import Depth

MS = 1_700_000_000_000
NS = MS * 1_000_000
Levels = Sequence[tuple[str, str]]


def data_dir() -> Path:
    return Path(os.environ.get("DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))


def ticker(u: int, bid: str, bid_qty: str, ask: str, ask_qty: str, symbol: str = "XYZUSDT") -> bytes:
    return (
        f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"e":"bookTicker","u":{u},"s":"{symbol}","b":"{bid}",'
        f'"B":"{bid_qty}","a":"{ask}","A":"{ask_qty}","T":{MS},"E":{MS + 1}}}}}'
    ).encode()


def trade(trade_id: int, px: str = "1.50", qty: str = "2", kind: str = "MARKET") -> bytes:
    return (
        f'{{"stream":"xyzusdt@trade","data":{{"e":"trade","E":{MS + 1},"T":{MS},"s":"XYZUSDT","t":{trade_id},'
        f'"p":"{px}","q":"{qty}","X":"{kind}","m":true}}}}'
    ).encode()


def depth_frame(first: int, last: int, prev: int, bids: Levels, asks: Levels, symbol: str = "XYZUSDT") -> bytes:
    return (
        f'{{"stream":"{symbol.lower()}@depth@0ms","data":{{"e":"depthUpdate","E":{MS + 1},"T":{MS},"s":"{symbol}",'
        f'"U":{first},"u":{last},"pu":{prev},"b":[{levels(bids)}],"a":[{levels(asks)}]}}}}'
    ).encode()


def snapshot_frame(last: int, bids: Levels, asks: Levels) -> bytes:
    return f'{{"lastUpdateId":{last},"E":{MS},"T":{MS},"bids":[{levels(bids)}],"asks":[{levels(asks)}]}}'.encode()


def levels(pairs: Levels) -> str:
    return ",".join(f'["{px}","{qty}"]' for px, qty in pairs)


def delta(first: int, last: int, prev: int, bids: Levels = (), asks: Levels = ()) -> Depth:
    return Depth("XYZUSDT", NS, NS, False, first, last, prev, list(bids), list(asks))


def snapshot(last: int, bids: Levels, asks: Levels) -> Depth:
    return Depth("", NS, NS, True, last, last, -1, list(bids), list(asks))


def write_tape(path: Path, frames: Sequence[bytes], start: int = NS, step: int = 1_000_000) -> Path:
    lines = b"".join(b"%d %s\n" % (start + index * step, raw) for index, raw in enumerate(frames))
    path.write_bytes(gzip.compress(lines, mtime=0))
    return path


def plain(whole: int, places: int, fraction: int) -> str:
    """A plain decimal of so many places."""
    return f"{whole}.{fraction % 10**places:0{places}d}" if places else str(whole)


@contextmanager
def guarded_page() -> Iterator[tuple[int, int]]:
    """Address and size of a page of memory between two that nobody may touch."""
    memory = mmap.mmap(-1, 3 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (start, start + 2 * mmap.PAGESIZE):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), mmap.PAGESIZE, 0) == 0
    yield start + mmap.PAGESIZE, mmap.PAGESIZE
    memory.close()
