"""The simulated exchange as a process of its own, on a tape made by hand; and the exchange client that trades on it."""

import json
import select
import subprocess
import sys
from contextlib import contextmanager

import ccxt.async_support as ccxt

from market.tape import TapeWriter

START_NS = 1_700_000_000_000_000_000
STEP_NS = 10_000_000
SYMBOL = "XYUSDT"


def small_tape(folder, seconds=3.0):
    """A quiet market around 100.0 / 100.1: a snapshot, deltas and quotes by turns, a sale of 0.2 every 50 ms."""
    with TapeWriter(folder / "xyusdt_20231114.gz") as tape:
        for recv_ns, frame in frames(seconds):
            tape.write(recv_ns, frame)
    return folder


def frames(seconds):
    yield START_NS, compact({"lastUpdateId": 1000, "E": ms(0), "T": ms(0), **book(bid="0.500")})
    last = 1000
    for step in range(1, int(seconds * 1e9 / STEP_NS)):
        at, first = START_NS + step * STEP_NS, last + 1
        last += 3
        size = f"{0.401 + step % 7 / 10:.3f}"
        if step % 5 == 0:
            yield at, wrapped("trade", {"t": step, "p": "100.00", "q": "0.200", "X": "MARKET", "m": True}, step)
        if step % 2:
            ids = {"U": first, "u": last, "pu": first - 1}
            yield at, wrapped("depth@0ms", {**ids, "b": [["99.90", size]], "a": [["100.20", size]]}, step)
        else:
            last = first - 1
            top = {"u": last, "b": "100.00", "B": "0.500", "a": "100.10", "A": "0.800"}
            yield at, wrapped("bookTicker", top, step)


def book(bid):
    bids = [["100.00", bid], ["99.90", "1.000"], ["99.00", "5.000"], ["90.00", "9.000"]]
    return {"bids": bids, "asks": [["100.10", "0.800"], ["100.20", "1.000"], ["101.00", "5.000"], ["110.00", "9.000"]]}


def ms(step):
    return (START_NS + step * STEP_NS) // 1_000_000


def wrapped(stream, fields, step):
    kind = {"depth@0ms": "depthUpdate"}.get(stream, stream)
    return compact(
        {
            "stream": f"{SYMBOL.lower()}@{stream}",
            "data": {"e": kind, "E": ms(step), "T": ms(step), "s": SYMBOL, **fields},
        }
    )


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


@contextmanager
def running(*options):
    """A running server: (its ready line, its process). Stopped at the end by its own process id."""
    command = [sys.executable, "-m", "market.simulator", *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline() if ready else b""
        if not line:
            process.kill()
            raise AssertionError(f"the server did not start: {process.stderr.read().decode()}")
        yield json.loads(line), process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        process.stdout.close()
        process.stderr.close()


def client(ready, module=ccxt):
    """Unmodified ccxt; only scheme and host of its addresses are replaced."""
    keys = {"apiKey": ready["api_key"], "secret": ready["secret"]}
    exchange = module.binanceusdm({**keys, "enableRateLimit": False, "options": {"fetchCurrencies": False}})
    urls = exchange.urls["api"]
    for name, url in list(urls.items()):
        if isinstance(url, str):
            urls[name] = url.replace("https://fapi.binance.com", ready["rest"])
    if "ws" in urls:
        urls["ws"]["linear"] = urls["ws"]["linear"].replace("wss://fstream.binance.com", ready["ws"])
    return exchange
