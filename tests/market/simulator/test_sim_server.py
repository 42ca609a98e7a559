"""The simulated exchange from outside: a process, its sockets, and unmodified ccxt trading on it."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import aiohttp
import ccxt.async_support as ccxt
import ccxt.pro
import pytest

from market.book import Book
from market.codecs.binance import decode
from market.events import Depth
from market.simulator.__main__ import main
from market.tape import TapeWriter
from tests.market.simulator.server import START_NS, STEP_NS, SYMBOL, client, frames, running, small_tape, wrapped

pytestmark = pytest.mark.integration
LIMIT_BUY = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
UNIFIED = "XY/USDT:USDT"
ALL = f"?streams={SYMBOL.lower()}@depth@0ms/{SYMBOL.lower()}@bookTicker/{SYMBOL.lower()}@trade"


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    return small_tape(tmp_path_factory.mktemp("tape"))


@pytest.fixture(scope="module")
def long_tape(tmp_path_factory):
    return small_tape(tmp_path_factory.mktemp("long"), seconds=120.0)


@pytest.fixture(scope="module")
def server(long_tape):
    """One exchange for the tests that leave it as they found it."""
    with running("--tape", long_tape, "--latency-ms", 2) as (ready, _):
        yield ready


@pytest.fixture
def fresh(long_tape):
    """An exchange of the test's own."""
    with running("--tape", long_tape, "--latency-ms", 2) as (ready, _):
        yield ready


@asynccontextmanager
async def connected(ready):
    """A ccxt client and a plain HTTP session."""
    exchange = client(ready)
    async with aiohttp.ClientSession() as session:
        try:
            yield exchange, session
        finally:
            await exchange.close()


async def user_stream(exchange, session, ready):
    key = (await exchange.fapiPrivatePostListenKey())["listenKey"]
    return await session.ws_connect(f"{ready['ws']}/private/ws/{key}")


async def next_events(ws, count, within_s=5.0):
    return [json.loads((await ws.receive(within_s)).data) for _ in range(count)]


async def state(session, ready):
    async with session.get(f"{ready['rest']}/sim/state") as response:
        return await response.json()


async def plant(session, ready, **fault):
    async with session.post(f"{ready['rest']}/sim/faults", json=fault) as response:
        return response.status, await response.json()


async def test_stream_is_the_tape_byte_for_byte_and_ends_with_it(tape):
    recorded = [raw for _, raw in frames(3.0) if b'"stream"' in raw]
    with running("--tape", tape, "--speed", 20) as (ready, _):
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{ready['ws']}/public/stream{ALL}") as ws:
            received = [message.data.encode() async for message in ws]
            assert received == recorded
            assert ws.close_code == 1000
            async with session.ws_connect(f"{ready['ws']}/public/stream{ALL}") as late:
                message = await late.receive(5)
                assert (message.data, message.extra) == (1000, "tape ended")
            assert (await state(session, ready))["finished"] is True


async def test_tape_plays_in_real_time(tape):
    with running("--tape", tape, "--speed", 3) as (ready, _):
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{ready['ws']}/stream{ALL}") as ws:
            started = time.monotonic()
            count = sum([1 async for _ in ws])
            assert count > 300
            assert 0.9 < time.monotonic() - started < 5.0


async def test_client_aligns_a_book_from_rest_and_deltas(server):
    """Binance's own procedure: buffer deltas, take the REST snapshot, go on from it without a gap."""
    async with connected(server) as (exchange, session):
        await exchange.load_markets()
        async with session.ws_connect(f"{server['ws']}/public/stream?streams=xyusdt@depth@100ms") as ws:
            for pause_s in (0.0, 0.1, 0.3):
                await asyncio.sleep(pause_s)
                book = Book(SYMBOL, "futures")
                snapshot = await exchange.fapiPublicGetDepth({"symbol": SYMBOL, "limit": 1000})
                book.apply(decode(json.dumps(snapshot).encode(), 0))
                applied = [book.apply(await next_delta(ws)).value for _ in range(40)]
                assert book.tradable, book.reason
                stale = applied.count("STALE")
                assert applied == ["STALE"] * stale + ["APPLIED"] * (40 - stale)
                assert [float(px) for px, _ in book.levels(1, 2)] == [100.0, 99.9]


async def next_delta(ws) -> Depth:
    message = await ws.receive(5)
    assert message.data.startswith('{"stream":"xyusdt@depth@100ms","data":{"e":"depthUpdate"')
    return decode(message.data.encode(), 0)


async def test_ccxt_places_cancels_and_fills_and_sees_its_events(server):
    async with connected(server) as (exchange, session):
        await exchange.load_markets()
        market = exchange.market(UNIFIED)
        assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
        assert market["limits"]["cost"]["min"] == 5
        user = await user_stream(exchange, session, server)
        async with session.ws_connect(f"{server['ws']}/market/stream?streams=xyusdt@aggTrade") as ws:
            aggregate = (await next_events(ws, 1))[0]["data"]
            assert (aggregate["e"], aggregate["a"], aggregate["p"]) == ("aggTrade", aggregate["f"], "100.00")

            away = await exchange.create_order(UNIFIED, "limit", "buy", 0.1, 99.0, {"postOnly": True})
            assert (await exchange.cancel_order(away["id"], UNIFIED))["status"] == "canceled"
            events = await next_events(user, 2)
            assert [(e["o"]["x"], e["o"]["f"]) for e in events] == [("NEW", "GTX"), ("CANCELED", "GTX")]

            name = {"clientOrderId": "mine-1", "postOnly": True}
            await exchange.create_order(UNIFIED, "limit", "buy", 0.3, 100.0, name)
            events = await next_events(user, 7)
            kinds = [(e["e"], e.get("o", {}).get("X")) for e in events]
            update, lite, trade = ("ACCOUNT_UPDATE", None), ("TRADE_LITE", None), "ORDER_TRADE_UPDATE"
            partly, whole = (trade, "PARTIALLY_FILLED"), (trade, "FILLED")
            assert kinds == [(trade, "NEW"), update, lite, partly, update, lite, whole]
            filled = events[-1]["o"]
            assert (filled["c"], filled["z"], filled["m"], filled["n"]) == ("mine-1", "0.300", True, "0.00400000")
            assert [e["E"] for e in events] == sorted(e["E"] for e in events)

            position = (await exchange.fetch_positions([UNIFIED]))[0]
            assert (position["side"], position["contracts"], position["entryPrice"]) == ("long", 0.3, 100.0)
            closed = await exchange.create_order(UNIFIED, "market", "sell", 0.3, None, {"reduceOnly": True})
            assert (closed["status"], closed["filled"]) == ("closed", 0.3)
            trades = await exchange.fetch_my_trades(UNIFIED)
            assert [t["takerOrMaker"] for t in trades] == ["maker", "maker", "taker"]
            fees = sum(t["fee"]["cost"] for t in trades)
            assert fees == pytest.approx(30 * 0.0002 + 30 * 0.0005)
            balance = await exchange.fetch_balance()
            assert balance["USDT"]["total"] == pytest.approx(10_000 - fees)
            assert (await state(session, server))["open_orders"] == []


async def test_ccxt_understands_every_refusal(server):
    cases = [
        ({"amount": 0.1, "price": 100.1, "params": {"postOnly": True}}, ccxt.InvalidOrder, "-5022"),
        ({"amount": 5.0, "price": 100.1, "params": {"timeInForce": "FOK"}}, ccxt.InvalidOrder, "-5021"),
        ({"amount": 0.01, "price": 100.0}, ccxt.BaseError, "-4164"),
        ({"amount": 9000.0, "price": 100.0}, ccxt.BaseError, "-2019"),
        ({"amount": 0.1, "price": 100.0, "params": {"reduceOnly": True}}, ccxt.BaseError, "-2022"),
        ({"amount": 0.1, "price": 100.0, "params": {"hedged": True}}, ccxt.BaseError, "-4061"),
        ({"amount": 0.1, "price": 100.0, "params": {"clientOrderId": "not a valid id"}}, ccxt.BaseError, "-4015"),
    ]
    async with connected(server) as (exchange, _):
        await exchange.load_markets()
        for order, error, code in cases:
            with pytest.raises(error, match=code):
                await exchange.create_order(UNIFIED, "limit", "buy", **order)
        await exchange.create_order(UNIFIED, "limit", "buy", 0.1, 99.0, {"clientOrderId": "twice"})
        with pytest.raises(ccxt.BaseError, match="-4116"):
            await exchange.create_order(UNIFIED, "limit", "buy", 0.1, 99.0, {"clientOrderId": "twice"})
        await exchange.cancel_all_orders(UNIFIED)
        with pytest.raises(ccxt.OrderNotFound, match="-2011"):
            await exchange.cancel_order("123", UNIFIED)
        for price in ("99.05", "99.123"):
            with pytest.raises(ccxt.BaseError, match="-1111"):
                await exchange.fapiPrivatePostOrder(
                    {
                        "symbol": SYMBOL,
                        "side": "BUY",
                        "type": "LIMIT",
                        "timeInForce": "GTC",
                        "quantity": "1",
                        "price": price,
                    }
                )
        exchange.secret = "wrong"
        with pytest.raises(ccxt.BaseError, match="-1022"):
            await exchange.fetch_balance()
        exchange.apiKey = "wrong"
        with pytest.raises(ccxt.AuthenticationError, match="-2015"):
            await exchange.fetch_balance()


async def test_ccxt_reads_and_sets_the_account(fresh):
    async with connected(fresh) as (exchange, _):
        await exchange.load_markets()
        assert (await exchange.set_leverage(5, UNIFIED))["leverage"] == 5
        assert (await exchange.fetch_position_mode())["hedged"] is False
        with pytest.raises(ccxt.BaseError, match="-4059"):
            await exchange.set_position_mode(False)
        fee = await exchange.fetch_trading_fee(UNIFIED)
        assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)
        order = await exchange.create_order(UNIFIED, "limit", "buy", 1.0, 99.0)
        amended = await exchange.edit_order(order["id"], UNIFIED, "limit", "buy", 0.5, 98.0)
        assert (amended["price"], amended["amount"]) == (98.0, 0.5)
        assert [o["id"] for o in await exchange.fetch_open_orders(UNIFIED)] == [order["id"]]
        assert (await exchange.fetch_balance())["USDT"]["used"] == pytest.approx(0.5 * 98 / 5)
        await exchange.cancel_all_orders(UNIFIED)
        assert (await exchange.fetch_order(order["id"], UNIFIED))["status"] == "canceled"
        assert [o["status"] for o in await exchange.fetch_orders(UNIFIED)] == ["canceled"]
        assert (await exchange.fetch_ticker(UNIFIED))["quoteVolume"] == 0
        stop = await exchange.create_order(
            UNIFIED, "market", "sell", 0.5, None, {"triggerPrice": 90, "reduceOnly": True}
        )
        opened = await exchange.fetch_open_orders(UNIFIED, params={"trigger": True})
        assert [o["id"] for o in opened] == [stop["id"]]
        await exchange.cancel_order(stop["id"], UNIFIED, {"trigger": True})


async def test_ccxt_pro_watches_book_trades_and_orders(server):
    exchange = client(server, ccxt.pro)
    try:
        book = await asyncio.wait_for(exchange.watch_order_book(UNIFIED), 10)
        assert (book["bids"][0][0], book["asks"][0][0]) == (100.0, 100.1)
        trades = await asyncio.wait_for(exchange.watch_trades(UNIFIED), 10)
        assert trades[0]["price"] == 100.0
        watching = asyncio.create_task(exchange.watch_orders(UNIFIED))
        await asyncio.sleep(0.5)
        placed = await exchange.create_order(UNIFIED, "limit", "buy", 0.1, 99.0)
        orders = await asyncio.wait_for(watching, 10)
        assert [order["id"] for order in orders] == [placed["id"]]
    finally:
        await exchange.close()


async def test_dead_mans_switch_cancels_when_nobody_renews_it(server):
    async with connected(server) as (exchange, session):
        await exchange.load_markets()
        user = await user_stream(exchange, session, server)
        await exchange.create_order(UNIFIED, "limit", "buy", 0.1, 99.0)
        await exchange.fapiPrivatePostCountdownCancelAll({"symbol": SYMBOL, "countdownTime": 150})
        events = await next_events(user, 2)
        assert [event["o"]["X"] for event in events] == ["NEW", "CANCELED"]


async def test_faults_happen_as_planted(fresh):
    async with connected(fresh) as (exchange, session):
        await exchange.load_markets()
        user = await user_stream(exchange, session, fresh)
        assert (await plant(session, fresh, kind="order_503_unknown"))[0] == 200
        with pytest.raises(ccxt.BaseError, match="Unknown error, please check your request or try again later"):
            await exchange.create_order(UNIFIED, "limit", "buy", 0.1, 99.0, {"clientOrderId": "lost"})
        assert (await exchange.fetch_order(None, UNIFIED, {"clientOrderId": "lost"}))["status"] == "open"
        assert (await next_events(user, 1))[0]["o"]["c"] == "lost"

        async with session.ws_connect(f"{fresh['ws']}/public/stream?streams=xyusdt@depth") as ws:
            last = (await next_events(ws, 1))[0]["data"]["u"]
            await plant(session, fresh, kind="drop", symbol=SYMBOL, count=9)
            chain = []
            for event in await next_events(ws, 30):
                chain.append(event["data"]["pu"] == last)
                last = event["data"]["u"]
            assert chain.count(False) == 1
            await plant(session, fresh, kind="delay_ms", value=300)
            quiet_from = time.monotonic()
            lags = []
            for _ in range(40):
                await ws.receive(5)
                lags.append(time.monotonic() - quiet_from)
                quiet_from = time.monotonic()
            assert max(lags) > 0.2
            await plant(session, fresh, kind="disconnect_market")
            while not ws.closed:
                await ws.receive(5)
            assert ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE

        await plant(session, fresh, kind="expire_listen_key")
        assert (await next_events(user, 1))[0]["e"] == "listenKeyExpired"
        with pytest.raises(ccxt.BaseError, match="-1125"):
            await exchange.fapiPrivatePutListenKey()
        status, answer = await plant(session, fresh, kind="nonsense")
        assert (status, "known:" in answer["error"]) == (400, True)


@pytest.mark.parametrize(
    ("kind", "found"),
    [("drop", "GAP"), ("gap", "GAP"), ("reset", "STALE"), ("reorder", "GAP"), ("duplicate", "STALE")],
)
async def test_client_notices_every_fault_and_its_book_is_right_again(server, kind, found):
    async with connected(server) as (exchange, session):
        await exchange.load_markets()
        async with session.ws_connect(f"{server['ws']}/public/stream?streams=xyusdt@depth@100ms") as ws:
            book = await aligned(exchange, ws)
            assert (await plant(session, server, kind=kind, symbol=SYMBOL))[0] == 200
            results = [""]
            while results[-1] != found and len(results) < 200:  # what was on its way comes first
                results.append(book.apply(await next_delta(ws)).value)
            assert results[-1] == found
            if kind != "duplicate":
                assert kind == "reset" or not book.tradable  # lower ids look like old ones
                book = await aligned(exchange, ws)
            assert [book.apply(await next_delta(ws)).value for _ in range(5)] == ["APPLIED"] * 5


async def aligned(exchange, ws):
    """A book that follows the stream from a fresh snapshot."""
    book = Book(SYMBOL, "futures")
    book.apply(decode(json.dumps(await exchange.fapiPublicGetDepth({"symbol": SYMBOL, "limit": 1000})).encode(), 0))
    results = [book.apply(await next_delta(ws)).value]
    while results[-1] != "APPLIED" and len(results) < 200:
        results.append(book.apply(await next_delta(ws)).value)
    assert book.tradable, book.reason
    return book


async def test_skewed_clock_shows_and_refuses_signatures_made_by_ours(fresh):
    async with connected(fresh) as (exchange, session):
        await plant(session, fresh, kind="clock_skew_ms", value=60_000)
        assert (await exchange.fetch_time()) - time.time() * 1000 > 59_000
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await exchange.fetch_balance()
        await exchange.load_time_difference()
        exchange.options["adjustForTimeDifference"] = True
        assert (await exchange.fetch_balance())["USDT"]["total"] == 10_000


async def test_liquidation_reaches_the_user_stream_as_an_order_of_the_venues_own(tmp_path):
    with TapeWriter(tmp_path / "xyusdt_20231114.gz") as tape:
        for recv_ns, frame in frames(60.0):
            late = recv_ns > START_NS + 2 * 10**9
            tape.write(
                recv_ns, frame.replace(b'"100.00"', b'"90.00"').replace(b'"99.90"', b'"89.90"') if late else frame
            )
            if late and b"depthUpdate" in frame:
                break
        for number in range(1, 200):
            tape.write(recv_ns + number * STEP_NS, crashed(number, frame))
    with running("--tape", tmp_path, "--latency-ms", 1, "--wallet", 20, "--leverage", 50) as (ready, _):
        async with connected(ready) as (exchange, session):
            await exchange.load_markets()
            user = await user_stream(exchange, session, ready)
            async with session.ws_connect(f"{ready['ws']}/public/stream{ALL}"):
                await exchange.create_order(UNIFIED, "market", "buy", 5.0)
                await exchange.create_order(UNIFIED, "limit", "buy", 0.1, 80.0, {"clientOrderId": "mine"})
                events = []
                while not any(e.get("o", {}).get("x") == "CALCULATED" for e in events):
                    events += await next_events(user, 1)
            forced = events[-1]["o"]
            assert (forced["c"][:10], forced["S"], forced["R"]) == ("autoclose-", "SELL", True)
            mine = [e["o"]["x"] for e in events if e.get("o", {}).get("c") == "mine"]
            assert mine[-1] == "CANCELED"
            assert len(await exchange.fetch_my_liquidations(UNIFIED)) >= 1


def crashed(number, last):
    """Deltas after a fall: bids far below, and the old ones gone."""
    first = json.loads(last)["data"]["u"] + number
    bids = [[f"{price:.2f}", "0"] for price in (100.0, 99.9, 99.0)] + [["90.00", "50.000"]]
    asks = [["90.10", f"{40 + number % 3}.000"]]
    fields = {"U": first, "u": first, "pu": first - 1, "b": bids, "a": asks}
    return wrapped("depth@0ms", fields, 201 + number)


async def test_limits_are_told_in_headers_then_enforced(fresh):
    async with aiohttp.ClientSession() as session:
        statuses, refused = [], None
        while refused is None and len(statuses) < 122:  # the minute may turn once on the way
            async with session.get(f"{fresh['rest']}/fapi/v1/ticker/24hr") as response:
                statuses.append((response.status, response.headers["X-MBX-USED-WEIGHT-1M"]))
                if response.status == 429:
                    refused = response.headers["Retry-After"], await response.json()
        assert statuses[0] == (200, "40")
        assert statuses[-1] == (429, "2400")
        assert 0 < int(refused[0]) <= 60
        assert refused[1]["code"] == -1003


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/market/stream?streams=xyusdt@depth", 400),
        ("/public/stream?streams=nope@depth", 400),
        ("/private/ws/unknown", 400),
        ("/public/ws", 101),
    ],
)
async def test_streams_are_refused_on_the_wrong_path(server, path, status):
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(server["ws"] + path):
                assert status == 101
        except aiohttp.WSServerHandshakeError as error:
            assert error.status == status


async def test_subscriptions_can_be_changed_on_the_socket(server):
    async with aiohttp.ClientSession() as session, session.ws_connect(server["ws"] + "/public/ws/0") as ws:
        await ws.send_json({"method": "SUBSCRIBE", "params": ["xyusdt@bookTicker"], "id": 1})
        assert json.loads((await ws.receive(5)).data) == {"result": None, "id": 1}
        assert json.loads((await ws.receive(5)).data)["e"] == "bookTicker"
        for request, answer in [
            ({"method": "SUBSCRIBE", "params": ["xyusdt@aggTrade"], "id": 2}, "served on /market"),
            ({"method": "FLY", "id": 3}, "unknown method"),
            ([1], "Invalid request"),
        ]:
            await ws.send_json(request)
            assert answer in json.dumps(await first_answer(ws))
        await ws.send_json({"method": "UNSUBSCRIBE", "params": ["xyusdt@bookTicker"], "id": 4})
        await first_answer(ws)
        await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 5})
        assert await first_answer(ws) == {"result": [], "id": 5}


async def first_answer(ws):
    while True:
        message = json.loads((await ws.receive(5)).data)
        if "id" in message:
            return message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_it_within_two_seconds_with_sockets_open(long_tape, number):
    with running("--tape", long_tape) as (ready, process):
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{ready['ws']}/public/stream{ALL}") as ws:
            await ws.receive(5)
            started = time.monotonic()
            process.send_signal(number)
            code = await asyncio.to_thread(process.wait, 10)
            assert (code, time.monotonic() - started < 2.0) == (0, True)


def test_used_port_is_one_sentence_and_a_fix(long_tape):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "market.simulator", "--tape", str(long_tape), "--port", str(port)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    message, fix = done.stderr.splitlines()
    assert f"port {port}" in message
    assert fix.startswith("fix: ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tape", "/does/not/exist"], "/does/not/exist"),
        (["--speed", "0"], "speed"),
        (["--speed", "nan"], "speed"),
        (["--venue", "kraken"], "kraken"),
        (["--latency-ms", "-1"], "latency"),
        (["--port", "70000"], "70000"),
        (["--wallet", "0"], "--wallet"),
        (["--wallet", "nan"], "--wallet"),
        (["--start-ns", str(2 * 10**18)], "ends at"),
    ],
)
def test_bad_settings_are_one_sentence_and_a_fix(tape, capsys, options, words):
    assert main(["--tape", str(tape), *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert words in "".join(lines)
    assert lines[1].startswith("fix: ")
