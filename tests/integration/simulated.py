"""Simulated exchanges as processes of their own, and this project's account clients for them."""

import contextlib
import json
import sys
import time
import urllib.request

from infra.processes import start
from trader.clock import Clock
from trader.venues import Addresses, Keys, make_venue

SYMBOLS = {"binanceusdm": "BTCUSDT", "okx": "BTC-USDT-SWAP", "bybit": "BTCUSDT"}


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10) as reply:
        return json.loads(reply.read())


@contextlib.contextmanager
def exchange(venue, tape, start_ns, home, speed=1):
    """A running exchange; its ready line."""
    log = home / f"{venue}.log"
    command = [sys.executable, "-m", "market.simulator", "--venue", venue, "--tape", tape, "--start-ns", start_ns]
    process = start([str(p) for p in (*command, "--speed", speed)], name=venue, log=log)
    try:
        process.wait_ready(lambda: log.exists() and '{"rest"' in log.read_text(), 60)
        yield json.loads(next(line for line in log.read_text().splitlines() if line.startswith('{"rest"')))
    finally:
        process.stop()


def keys(told):
    return Keys(told["api_key"], told["secret"], told["password"] or "")


@contextlib.asynccontextmanager
async def account(venue, told):
    """A connected client of that exchange."""
    client, budget = make_venue(venue, Addresses(told["rest"], told["ws"]), keys(told), Clock().now_ns)
    try:
        await client.open()
        yield client
    finally:
        await client.close()
        await budget.close()


def wait_until(condition, limit_s, what):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)
