"""Small Binance USD-M tapes from a seeded random walk, line by line, for tests of everything above the tape."""

import gzip
import json
import random

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def line(recv_ns, data):
    return f"{recv_ns} {json.dumps({'stream': 'x', 'data': data}, separators=(',', ':'))}\n"


def stamps(recv_ns, skew_ms=3):
    return {"E": recv_ns // MS - skew_ms, "T": recv_ns // MS - skew_ms}


def quote(recv_ns, symbol, u, bid, ask, bid_qty="1.5", ask_qty="2.5"):
    return line(
        recv_ns,
        {"e": "bookTicker", "u": u, "s": symbol, "b": bid, "B": bid_qty, "a": ask, "A": ask_qty, **stamps(recv_ns)},
    )


def trade(recv_ns, symbol, t, px, qty="0.5", sold=False, kind="MARKET"):
    return line(
        recv_ns, {"e": "trade", "s": symbol, "t": t, "p": px, "q": qty, "X": kind, "m": sold, **stamps(recv_ns)}
    )


def depth(recv_ns, symbol, first, last, previous, bid, ask):
    levels = {"b": [[bid, "3"]], "a": [[ask, "4"]]}
    ids = {"U": first, "u": last, "pu": previous}
    return line(recv_ns, {"e": "depthUpdate", "s": symbol, **ids, **levels, **stamps(recv_ns)})


def walk(symbol, n, seed=1, start_ns=START_NS, tick=0.1, level=1000):
    """``n`` quotes 5 ms apart with a trade after every fourth and a depth event after every sixth."""
    rng, lines = random.Random(f"{symbol}{seed}"), []
    for i in range(n):
        now = start_ns + i * 5 * MS
        level += rng.choice((-1, 0, 0, 1))
        bid, ask = f"{level * tick:.9f}", f"{(level + 1) * tick:.9f}"
        sizes = f"{rng.uniform(0.1, 9):.3f}", f"{rng.uniform(0.1, 9):.3f}"
        lines.append(quote(now, symbol, i, bid, ask, *sizes))
        if i % 4 == 0:
            lines.append(trade(now + 1, symbol, i, rng.choice((bid, ask)), sold=rng.random() < 0.5))
        if i % 6 == 0:
            lines.append(depth(now + 2, symbol, i * 10, i * 10 + 5, (i - 6) * 10 + 5, bid, ask))
    return lines


def write(folder, name, lines):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    return path
