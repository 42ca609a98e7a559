"""Thirty hours of one market as a tape, what is true of it, and the three simulated venues that serve it."""

import json
import random
from contextlib import contextmanager
from typing import NamedTuple

from market.tape import TapeWriter
from tests.market.simulator.server import running

DAY_MS = 1_721_260_800_000  # 2024-07-18
SYMBOL = "XYZUSDT"
CCXT_SYMBOL = "XYZ/USDT:USDT"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
START_MS, HOURS = DAY_MS + 10 * MINUTE_MS, 30
END_MS = START_MS + HOURS * HOUR_MS
BUSY_MS = DAY_MS + 12 * HOUR_MS
LAST_MS = END_MS - 40 * MINUTE_MS
VENUES = {"binanceusdm": "XYZUSDT", "okx": "XYZ-USDT-SWAP", "bybit": "XYZUSDT"}
MS_NS = 1_000_000


class Sold(NamedTuple):
    """One trade of the tape: prices in whole tenths, sizes in whole thousandths."""

    number: int
    ts_ms: int
    px: float
    qty: float
    side: int


def times():
    """Every 37 s; a busy hour every 3 s, with a burst of one millisecond larger than any page asked for in the tests,
    and one on the first millisecond of a ten-minute stretch."""
    quiet = range(START_MS, END_MS, 37_000)
    busy = range(BUSY_MS, BUSY_MS + HOUR_MS, 3_000)
    bursts = [BUSY_MS + 700_001] * 130 + [BUSY_MS + 600_000] * 7
    return sorted([*quiet, *busy, *bursts])


def trades():
    draw, ticks, found = random.Random(5), 1_000, []
    for i, ts_ms in enumerate(times()):
        ticks += draw.choice((-1, 0, 1))
        found.append(Sold(70_000 + i, ts_ms, ticks / 10, draw.randint(1, 900) / 1_000, draw.choice((1, -1))))
    return found


TRADES = trades()
RATES = {due: f"{0.0001 + i / 1e6:.8f}" for i, due in enumerate(range(DAY_MS, END_MS + 9 * HOUR_MS, 8 * HOUR_MS))}
INTEREST = {at: 1_000 + i for i, at in enumerate(range(START_MS, END_MS, 5 * MINUTE_MS))}


def frames():
    """(time ms, frame) of the tape: trades, a mark price a minute, open interest every five minutes."""
    for sold in TRADES:
        row = {"t": sold.number, "p": f"{sold.px:.1f}", "q": f"{sold.qty:.3f}", "X": "MARKET", "m": sold.side < 0}
        yield sold.ts_ms, pushed("trade", "trade", sold.ts_ms, T=sold.ts_ms, **row)
    for at in range(START_MS, END_MS, MINUTE_MS):
        due = at - at % (8 * HOUR_MS) + 8 * HOUR_MS
        yield at, pushed("markPrice@1s", "markPriceUpdate", at, p="100.00", i="99.90", P="100.00", r=RATES[due], T=due)
    for at, amount in INTEREST.items():
        yield at, json.dumps({"symbol": SYMBOL, "openInterest": str(amount), "time": at}).encode()
    yield END_MS, pushed("bookTicker", "bookTicker", END_MS, u=9, b="100.0", B="1.000", a="100.1", A="1.000", T=END_MS)


def pushed(stream, kind, at_ms, **fields):
    data = {"e": kind, "E": at_ms, "s": SYMBOL, **fields}
    return json.dumps({"stream": f"{SYMBOL.lower()}@{stream}", "data": data}, separators=(",", ":")).encode()


def tape(folder):
    with TapeWriter(folder / "xyzusdt_20240718.gz") as writer:
        for at_ms, frame in sorted(frames(), key=lambda row: row[0]):
            writer.write(at_ms * MS_NS + 2 * MS_NS, frame)
    return folder


@contextmanager
def served(venue, folder):
    """REST address of a venue that has seen all of the tape but its last frame."""
    start_ns = END_MS * MS_NS + 2 * MS_NS
    with running("--venue", venue, "--tape", folder, "--start-ns", start_ns) as (ready, _):
        yield ready["rest"]


def sold(since_ms, until_ms):
    return [one for one in TRADES if since_ms <= one.ts_ms < until_ms]


def bars(since_ms, until_ms):
    """(open time, open, high, low, close, volume) of every minute that saw a trade."""
    minutes = {}
    for one in sold(since_ms, until_ms):
        minutes.setdefault(one.ts_ms - one.ts_ms % MINUTE_MS, []).append(one)
    rows = []
    for at, parts in minutes.items():
        px = [one.px for one in parts]
        rows.append((at, px[0], max(px), min(px), px[-1], round(sum(one.qty for one in parts), 3)))
    return rows
