"""The simulated Bybit from outside: sockets, headers, planted faults, and a tape of its own frames played back."""

import asyncio
import hashlib
import hmac
import json
import time
from contextlib import asynccontextmanager
from itertools import pairwise

import aiohttp
import pytest

from market.book import Book
from market.codecs.bybit import decode
from market.events import Depth, Trade
from market.tape import TapeWriter, find_tapes
from tests.market.simulator.server import START_NS, SYMBOL, running, small_tape

pytestmark = pytest.mark.integration
ORDER = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.5", "price": "99.0"}
BOOK, TOP, TRADES = (f"{channel}.{SYMBOL}" for channel in ("orderbook.50", "orderbook.1", "publicTrade"))


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    return small_tape(tmp_path_factory.mktemp("tape"), seconds=120.0)


@pytest.fixture(scope="module")
def server(tape):
    with running("--venue", "bybit", "--tape", tape, "--latency-ms", 2) as (ready, _):
        yield ready


@pytest.fixture
def fresh(tape):
    """An exchange of the test's own."""
    with running("--venue", "bybit", "--tape", tape, "--latency-ms", 2) as (ready, _):
        yield ready


@asynccontextmanager
async def public(session, ready, *names):
    """A market socket with its topics; the acknowledgement is read already."""
    async with session.ws_connect(f"{ready['ws']}/v5/public/linear") as ws:
        await ws.send_json({"op": "subscribe", "args": list(names), "req_id": "1"})
        assert (await ws.receive_json())["success"]
        yield ws


def signature(ready, payload):
    return hmac.new(ready["secret"].encode(), payload.encode(), hashlib.sha256).hexdigest()


async def log_in(ws, ready):
    expires = str(int(time.time() * 1000) + 5_000)
    await ws.send_json({"op": "auth", "args": [ready["api_key"], expires, signature(ready, f"GET/realtime{expires}")]})
    return await ws.receive_json()


async def post(session, ready, path, fields):
    """A signed call: (status, headers, answer)."""
    body, stamp = json.dumps(fields), str(int(time.time() * 1000))
    head = {
        "X-BAPI-API-KEY": ready["api_key"],
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": signature(ready, f"{stamp}{ready['api_key']}5000{body}"),
    }
    async with session.post(ready["rest"] + path, data=body, headers=head) as response:
        return response.status, response.headers, await response.json()


async def plant(session, ready, **fault):
    async with session.post(f"{ready['rest']}/sim/faults", json=fault) as response:
        return await response.json()


async def depths(ws, count):
    """The next book messages of a socket, as events."""
    found = []
    while len(found) < count:
        found += [e for e in decode((await ws.receive(5)).data.encode(), 1) if isinstance(e, Depth)]
    return found


async def test_a_tape_of_our_own_frames_plays_as_the_same_market(tmp_path, tape):
    """Record what the exchange sends of three seconds, then serve the exchange from that recording."""
    file = tmp_path / "xyusdt_20231114.gz"
    with running("--venue", "bybit", "--tape", tape) as (ready, _):
        async with aiohttp.ClientSession() as session, public(session, ready, BOOK, TOP, TRADES) as ws:
            started = time.monotonic_ns()
            with TapeWriter(file) as writer:
                while time.monotonic_ns() - started < 3e9:
                    writer.write(START_NS + time.monotonic_ns() - started, (await ws.receive(5)).data.encode())
    assert [(one.venue, one.symbol) for one in find_tapes(tmp_path)] == [("bybit", SYMBOL)]
    with running("--venue", "bybit", "--tape", tmp_path, "--speed", 3) as (ready, _):
        async with aiohttp.ClientSession() as session, public(session, ready, BOOK, TRADES) as ws:
            events = [event async for message in ws for event in decode(message.data.encode(), 1)]
            assert ws.close_code == 1000
            book = Book(SYMBOL, "bybit")
            for event in events:
                if isinstance(event, Depth):
                    book.apply(event)
            assert book.tradable
            assert [float(px) for px, _ in book.levels(1, 3)] == [100.0, 99.9, 99.0]
            trades = [event for event in events if isinstance(event, Trade)]
            assert len(trades) > 40 and {(t.px, t.qty, t.side) for t in trades} == {(100.0, 0.2, -1)}
            async with session.get(f"{ready['rest']}/sim/state") as response:
                state = await response.json()
            assert (state["frames_quarantined"], state["book_gaps"]) == (0, {SYMBOL: 0})


async def test_planted_faults_of_the_market(fresh):
    async with aiohttp.ClientSession() as session, public(session, fresh, BOOK) as ws:
        first = (await depths(ws, 1))[0]
        await plant(session, fresh, kind="gap", symbol=SYMBOL, count=3)
        ids = [first.last_id, *(event.last_id for event in await depths(ws, 20))]
        steps = [later - earlier for earlier, later in pairwise(ids)]
        assert sorted(set(steps)) == [1, 4]
        await plant(session, fresh, kind="reset", symbol=SYMBOL)
        events = await depths(ws, 10)
        start = next(place for place, event in enumerate(events) if event.last_id == 1)
        assert events[start].is_snapshot and len(events[start].bids) > 3
        assert [event.last_id for event in events[start:]] == list(range(1, len(events) - start + 1))
        await plant(session, fresh, kind="duplicate", symbol=SYMBOL)
        ids = [event.last_id for event in await depths(ws, 10)]
        assert len(ids) - len(set(ids)) == 1
        await plant(session, fresh, kind="disconnect_market")
        while not ws.closed:
            await ws.receive(5)
        assert ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_an_order_may_stand_though_its_answer_said_otherwise(server):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server['ws']}/v5/private") as ws:
        assert (await log_in(ws, server))["success"] is True
        await ws.send_json({"op": "subscribe", "args": ["order"]})
        assert (await ws.receive_json())["success"] is True
        await plant(session, server, kind="order_503_unknown")
        status, _, answer = await post(session, server, "/v5/order/create", ORDER | {"orderLinkId": "lost"})
        assert (status, answer["retCode"]) == (503, 10000)
        told = (await ws.receive_json(timeout=5))["data"][0]
        assert (told["orderLinkId"], told["orderStatus"]) == ("lost", "New")
        cancel = {"category": "linear", "symbol": SYMBOL, "orderLinkId": "lost"}
        status, headers, answer = await post(session, server, "/v5/order/cancel", cancel)
        assert (status, answer["retMsg"], headers["X-Bapi-Limit"]) == (200, "OK", "10")
        assert int(headers["X-Bapi-Limit-Status"]) < 10


async def test_the_acknowledgement_comes_before_the_stream_says_what_became_of_the_order(tape):
    with running("--venue", "bybit", "--tape", tape, "--latency-ms", 150) as (ready, _):
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{ready['ws']}/v5/private") as ws:
            await log_in(ws, ready)
            await ws.send_json({"op": "subscribe", "args": ["order"]})
            await ws.receive_json()
            told = asyncio.ensure_future(ws.receive_json(timeout=5))
            would_take = ORDER | {"price": "100.1", "timeInForce": "PostOnly"}
            _, _, answer = await post(session, ready, "/v5/order/create", would_take)
            assert (answer["retCode"], told.done()) == (0, False)
            order = (await told)["data"][0]
            assert (order["orderId"], order["orderStatus"]) == (answer["result"]["orderId"], "Cancelled")


async def test_a_venue_clock_that_is_off_refuses_signatures(fresh):
    async with aiohttp.ClientSession() as session:
        await plant(session, fresh, kind="clock_skew_ms", value=9_000)
        assert (await post(session, fresh, "/v5/order/create", ORDER))[2]["retCode"] == 10002
        async with session.get(f"{fresh['rest']}/v5/market/time") as response:
            assert int((await response.json())["time"]) > time.time() * 1000 + 8_000


@pytest.mark.parametrize(
    ("door", "command", "expected"),
    [
        (
            "public/linear",
            {"op": "ping", "req_id": "7"},
            {"success": True, "ret_msg": "pong", "req_id": "7", "op": "ping"},
        ),
        ("private", {"op": "ping", "req_id": "7"}, {"op": "pong", "req_id": "7"}),
        ("trade", {"op": "ping"}, {"op": "pong", "retCode": 0}),
        ("public/linear", {"op": "subscribe", "args": ["orderbook.3.XYUSDT"]}, {"success": False}),
        ("public/linear", {"op": "subscribe", "args": ["tickers.NOPE"]}, {"success": False}),
        ("public/linear", {"op": "dance"}, {"success": False}),
        ("private", {"op": "subscribe", "args": ["order"]}, {"success": False, "ret_msg": "Request not authorized"}),
        ("private", {"op": "auth", "args": ["a", "1", "b"]}, {"success": False, "ret_msg": "API key is invalid."}),
        ("trade", {"op": "order.create", "reqId": "9", "args": [ORDER]}, {"retCode": 10019, "reqId": "9"}),
        ("trade", {"op": "auth", "args": []}, {"retCode": 10001, "op": "auth"}),
    ],
)
async def test_commands_are_answered_in_the_doors_own_words(server, door, command, expected):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server['ws']}/v5/{door}") as ws:
        await ws.send_json(command)
        answer = await ws.receive_json(timeout=5)
        assert expected.items() <= answer.items()


async def test_nonsense_on_a_socket_is_answered_and_harms_nobody(server):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server['ws']}/v5/private") as ws:
        for nonsense in ("{", "[]", '{"op": 5}', '{"args": {}}'):
            await ws.send_str(nonsense)
            assert (await ws.receive_json(timeout=5))["success"] is False
        assert (await log_in(ws, server))["success"] is True


async def test_unknown_paths_and_too_many_calls(fresh):
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{fresh['rest']}/v5/nothing/here") as response:
            assert response.status == 404

        async def visit():
            async with session.get(f"{fresh['rest']}/v5/market/time") as response:
                return response.status

        statuses = []
        while 403 not in statuses and len(statuses) < 5_000:
            statuses += await asyncio.gather(*(visit() for _ in range(200)))
        assert statuses.count(200) >= 599
        assert await visit() == 403
