"""A simulated OKX on a tape made by hand, and unmodified ccxt.pro on it: only scheme and host are replaced."""

import asyncio
from contextlib import asynccontextmanager, contextmanager

import ccxt.pro

from market.tape import TapeWriter
from tests.market.simulator.server import START_NS, STEP_NS, compact, frames, ms, running

INST_ID = "XY-USDT-SWAP"
SYMBOL = "XY/USDT:USDT"
RATE = "0.00012500"
WITHIN_S = 15
MARK_STEPS = 10
SAW_STEPS = 1_000


def mark_frames(seconds, due_step=28_800_00):
    """Every 100 ms a mark price that climbs from 100 to 101 in ten seconds, over and over; funding falls due once."""
    for step in range(5, int(seconds * 1e9 / STEP_NS), MARK_STEPS):
        px = f"{100 + step % SAW_STEPS / SAW_STEPS:.3f}"
        due_ms = ms(due_step) if step < due_step else ms(due_step) + 28_800_000
        data = {"e": "markPriceUpdate", "E": ms(step), "s": "XYUSDT", "p": px, "i": px, "P": px, "r": RATE, "T": due_ms}
        yield START_NS + step * STEP_NS, compact({"stream": "xyusdt@markPrice@1s", "data": data})


def forced_frames(seconds):
    """A forced sale of 0.3 each second."""
    for step in range(7, int(seconds * 1e9 / STEP_NS), 100):
        order = {"s": "XYUSDT", "S": "SELL", "q": "0.300", "p": "99.90", "ap": "99.95", "T": ms(step)}
        order |= {"o": "LIMIT", "f": "IOC", "X": "FILLED", "l": "0.300", "z": "0.300"}
        data = {"e": "forceOrder", "E": ms(step), "o": order}
        yield START_NS + step * STEP_NS, compact({"stream": "xyusdt@forceOrder", "data": data})


def marked_tape(folder, seconds, **marks):
    """The quiet market of ``server.small_tape`` with mark prices and forced orders."""
    rows = [*frames(seconds), *mark_frames(seconds, **marks), *forced_frames(seconds)]
    with TapeWriter(folder / "xyusdt_20231114.gz") as tape:
        for recv_ns, frame in sorted(rows, key=lambda row: row[0]):
            tape.write(recv_ns, frame)
    return folder


@contextmanager
def okx(folder, *options, seconds=180.0, **marks):
    """A running server: its ready line."""
    with running("--venue", "okx", "--tape", marked_tape(folder, seconds, **marks), *options) as (ready, _):
        yield ready


@asynccontextmanager
async def client(ready, **config):
    """ccxt.pro, which is ccxt's asynchronous client with streams; orders and positions are cleared up behind it."""
    keys = {"apiKey": ready["api_key"], "secret": ready["secret"], "password": ready["password"]}
    exchange = ccxt.pro.okx({**keys, "enableRateLimit": False, **config})
    api = exchange.urls["api"]
    api["rest"] = api["rest"].replace("https://{hostname}", ready["rest"])
    api["ws"] = api["ws"].replace("wss://ws.okx.com:443", ready["ws"])
    try:
        await patiently(exchange.load_markets)
        try:
            yield exchange
        finally:
            await clear(exchange)
    finally:
        await exchange.close()


async def clear(exchange):
    """Cancel and close everything; the venue's limits are waited for."""
    query = {"trigger": True, "ordType": "trigger,conditional,move_order_stop"}
    waiting = await patiently(lambda: exchange.fetch_open_orders(SYMBOL, params=query))
    if waiting:
        await exchange.cancel_orders([order["id"] for order in waiting], SYMBOL, {"trigger": True})
    resting = await patiently(lambda: exchange.fetch_open_orders(SYMBOL))
    if resting:
        await exchange.cancel_orders([order["id"] for order in resting], SYMBOL)
    for position in await patiently(lambda: exchange.fetch_positions([SYMBOL])):
        side = "sell" if position["side"] == "long" else "buy"
        params = {"reduceOnly": True, "hedged": position["hedged"], "marginMode": position["marginMode"]}
        await exchange.create_order(SYMBOL, "market", side, position["contracts"], None, params)


async def patiently(ask):
    """The answer, waited for while the rate limit is reached."""
    for _ in range(10):
        try:
            return await ask()
        except ccxt.pro.RateLimitExceeded:
            await asyncio.sleep(0.3)
    return await ask()


async def within(awaitable):
    return await asyncio.wait_for(awaitable, WITHIN_S)


async def until(watch, condition):
    """Updates of a stream until one row satisfies the condition; that row."""

    async def search():
        while True:
            for row in await watch():
                if condition(row):
                    return row

    return await within(search())
