"""The online feature store as the trader reads and writes it, on a real server; and what its rows are good for."""

import asyncio
import subprocess
import sys
from decimal import Decimal as D

import msgspec
import numpy as np
import pytest
import redis
from harness import instrument, start_record

from features.online import FIELDS, OnlineRow, OnlineRowError, decode_row, encode_row, row_key
from features.schema import COUNT, INDEX, NAMES
from infra.stores import redis_server
from trader.engine import Engine
from trader.online_store import AT_ONCE, OnlineStore
from trader.records import FrameIn, HeldPosition, Order, Timer

NOW_NS = 1_700_000_000_123_456_000
ROW = tuple(float(v) for v in np.linspace(-3, 3, COUNT))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def client(server):
    with redis.Redis.from_url(server.url) as connected:
        connected.flushdb()
        yield connected


async def with_store(url, work):
    store = OnlineStore(url)
    try:
        return await work(store), store
    finally:
        await store.close()


@pytest.mark.integration
async def test_rows_pushed_come_back_to_the_last_bit(server, client):
    rows = {"AAAUSDT": (NOW_NS, ROW), "BBBUSDT": (NOW_NS + 1_000, ROW[::-1])}

    async def work(store):
        await store.push(rows)
        return await store.read(["AAAUSDT", "BBBUSDT", "NEVER"])

    found, store = await with_store(server.url, work)
    assert found == {symbol: OnlineRow(event_ns, tuple(row)) for symbol, (event_ns, row) in rows.items()}
    assert (store.pushed, store.failures) == (2, 0)


@pytest.mark.integration
@pytest.mark.parametrize(
    "spoil",
    [
        lambda client: client.hdel(row_key("AAAUSDT"), FIELDS[3]),
        lambda client: client.hdel(row_key("AAAUSDT"), FIELDS[-1]),
        lambda client: client.hset(row_key("AAAUSDT"), FIELDS[3], b"text"),
        lambda client: client.hset(row_key("AAAUSDT"), mapping=encode_row(NOW_NS, [float("nan")] * COUNT)),
        lambda client: (client.delete(row_key("AAAUSDT")), client.set(row_key("AAAUSDT"), "no hash")),
    ],
)
async def test_a_spoilt_row_is_left_out_and_counted(server, client, spoil):
    client.hset(row_key("AAAUSDT"), mapping=encode_row(NOW_NS, ROW))
    client.hset(row_key("BBBUSDT"), mapping=encode_row(NOW_NS, ROW))
    spoil(client)
    found, store = await with_store(server.url, lambda store: store.read(["AAAUSDT", "BBBUSDT"]))
    assert list(found) == ["BBBUSDT"]
    assert store.failures == 1 and store.trouble


async def test_a_store_that_is_away_costs_a_count_and_nothing_else():
    async def work(store):
        await store.push({"AAAUSDT": (NOW_NS, ROW)})
        return await store.read(["AAAUSDT"])

    found, store = await with_store("redis://127.0.0.1:9/0", work)
    assert found == {} and store.pushed == 0 and store.failures == 2


@pytest.mark.integration
async def test_the_timer_pushes_what_changed_and_in_small_portions(server, client):
    rows = {f"S{i}USDT": (NOW_NS, ROW) for i in range(2 * AT_ONCE + 1)}

    async def work(store):
        task = asyncio.ensure_future(store.keep_fresh(lambda: dict(rows), 0.05))
        while store.pushed < len(rows):
            await asyncio.sleep(0.01)
        rows["S0USDT"] = (NOW_NS + 1_000_000, ROW[::-1])
        while store.pushed < len(rows) + 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    _, store = await asyncio.wait_for(with_store(server.url, work), 10)
    assert store.pushed == len(rows) + 1
    kept = decode_row(client.hmget(row_key("S0USDT"), list(FIELDS)), "S0USDT")
    assert kept == OnlineRow(NOW_NS + 1_000_000, ROW[::-1])


def test_a_row_of_which_a_part_is_missing_names_the_features():
    row = encode_row(NOW_NS, ROW)
    with pytest.raises(OnlineRowError, match=NAMES[2]):
        decode_row([None if field == FIELDS[2] else row[field] for field in FIELDS], "X")


def quote(px, ts_ns):
    data = f'{{"e":"bookTicker","u":{ts_ns},"s":"AAAUSDT","b":"{px}","B":"5","a":"{px + 0.1:.1f}","A":"5"'
    return FrameIn(ts_ns, "AAAUSDT", f'{data},"T":1,"E":{ts_ns // 1_000_000}}}'.encode())


def exits_after_a_crash(**over):
    """Orders sent for an adopted long position when the first quote of the run is 5 % below its entry."""
    held = {"AAAUSDT": HeldPosition(D("1"), D(1_000))}
    engine = Engine(msgspec.structs.replace(start_record([instrument("AAAUSDT")]), positions=held, **over))
    outputs = engine.step(quote(950.0, NOW_NS)) + engine.step(Timer(NOW_NS + 1_000_000))
    return [o for o in outputs if isinstance(o, Order)]


def test_an_adopted_position_has_exits_from_the_first_quote_on_where_its_row_is_known():
    assert exits_after_a_crash() == []
    row = [0.0] * COUNT
    row[INDEX["volatility_5s_bps"]] = 3.0
    (order,) = exits_after_a_crash(online={"AAAUSDT": OnlineRow(NOW_NS - 1_000_000_000, tuple(row))})
    assert order.reduce_only and order.side == -1


def test_reading_the_online_store_needs_no_feast():
    code = "import sys, trader.online_store; sys.exit(any(m.split('.')[0] in ('feast', 'pandas') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
