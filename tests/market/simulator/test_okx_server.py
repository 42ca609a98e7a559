"""The simulated OKX from outside: raw sockets, faults, and a recorded market translated into the venue's messages."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from itertools import pairwise

import aiohttp
import pytest

from market.book import Applied, Book
from market.codecs import decode_all
from market.events import Depth, Quote
from market.simulator.okx_auth import sign
from market.tape import TapeWriter
from tests.market.simulator.data import recorded
from tests.market.simulator.okx_server import INST_ID, SYMBOL, client, marked_tape, okx
from tests.market.simulator.server import START_NS, running

pytestmark = pytest.mark.integration
DECODE = decode_all("okx")
BOOKS = {"channel": "books", "instId": INST_ID}
WITHIN_S = 15


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    return marked_tape(tmp_path_factory.mktemp("tape"), 120.0, due_step=250)


@pytest.fixture(scope="module")
def server(tape):
    """One exchange for the tests that leave it as they found it."""
    with running("--venue", "okx", "--tape", tape, "--latency-ms", 2) as (ready, _):
        yield ready


@pytest.fixture
def fresh(tape):
    """An exchange of the test's own."""
    with running("--venue", "okx", "--tape", tape, "--latency-ms", 2) as (ready, _):
        yield ready


@asynccontextmanager
async def socket(ready, section, *args):
    """A raw connection, subscribed; ``receive`` gives its JSON messages."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{ready['ws']}/ws/v5/{section}") as ws:
        if args:
            await ws.send_json({"op": "subscribe", "args": list(args)})
        yield ws


async def receive(ws):
    return await asyncio.wait_for(ws.receive_json(), WITHIN_S)


async def fault(ready, **fields):
    async with aiohttp.ClientSession() as session, session.post(f"{ready['rest']}/sim/faults", json=fields) as answer:
        assert answer.status == 200, await answer.text()


async def state(ready):
    async with aiohttp.ClientSession() as session, session.get(f"{ready['rest']}/sim/state") as answer:
        return await answer.json()


async def pushes(ws, count):
    """Raw market messages."""
    found = []
    while len(found) < count:
        message = await asyncio.wait_for(ws.receive(), WITHIN_S)
        if b'"data"' in message.data.encode():
            found.append(message.data.encode())
    return found


def login(ready, **changes):
    """A login request, signed unless changed."""
    now = str(time.time())
    signed = sign(ready["secret"], now, "GET", "/users/self/verify", "")
    arg = {"apiKey": ready["api_key"], "passphrase": ready["password"], "timestamp": now, "sign": signed}
    return {"op": "login", "args": [arg | changes]}


async def test_ready_line_carries_the_passphrase(server):
    assert server["password"] and server["rest"].startswith("http://127.0.0.1:")


async def test_ping_subscribe_unsubscribe_and_their_errors(server):
    async with socket(server, "public", {"channel": "tickers", "instId": INST_ID}) as ws:
        subscribed, first = await receive(ws), await receive(ws)
        assert subscribed["event"] == "subscribe" and subscribed["arg"]["channel"] == "tickers"
        assert first["data"][0]["instId"] == INST_ID
        await ws.send_str("ping")
        while (message := await asyncio.wait_for(ws.receive(), WITHIN_S)).data != "pong":
            assert json.loads(message.data)["arg"]["channel"] == "tickers"
        for arg, code in (
            ({"channel": "books", "instId": "NO-USDT-SWAP"}, "60018"),
            ({"channel": "nonsense", "instId": INST_ID}, "60018"),
            ({"channel": "books-l2-tbt", "instId": INST_ID}, "64003"),
        ):
            await ws.send_json({"op": "subscribe", "args": [arg]})
            while (answer := await receive(ws)).get("event") != "error":
                pass
            assert answer["code"] == code
        await ws.send_json({"op": "unsubscribe", "args": [{"channel": "tickers", "instId": INST_ID}]})
        while (answer := await receive(ws)).get("event") != "unsubscribe":
            pass
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.receive(), 0.5)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sign": "wrong"}, "60007"),
        ({"apiKey": "wrong"}, "60005"),
        ({"passphrase": "wrong"}, "60024"),
        ({"timestamp": "1500000000"}, "60006"),
        ({"timestamp": "soon"}, "60004"),
    ],
)
async def test_bad_logins_are_refused(server, changes, code):
    async with socket(server, "private") as ws:
        await ws.send_json(login(server, **changes))
        assert (await receive(ws))["code"] == code


async def test_account_channels_need_a_login(server):
    async with socket(server, "private", {"channel": "orders", "instType": "ANY"}) as ws:
        assert (await receive(ws))["code"] == "60011"
        await ws.send_json(login(server))
        assert (await receive(ws))["event"] == "login"
        await ws.send_json({"op": "subscribe", "args": [{"channel": "balance_and_position"}]})
        assert (await receive(ws))["event"] == "subscribe"
        assert (await receive(ws))["data"][0]["eventType"] == "snapshot"


async def book_after(ready, count, *faults):
    """What our own book says of each depth message while faults are planted after the first few."""
    book, verdicts = Book(INST_ID, "okx"), []
    async with socket(ready, "public", BOOKS) as ws:
        for at in range(count):
            if at == 5:
                for planted in faults:
                    await fault(ready, symbol=INST_ID, **planted)
            (raw,) = await pushes(ws, 1)
            for event in DECODE(raw, 1):
                verdicts.append(book.apply(event))
    return book, verdicts


async def test_books_start_with_a_snapshot_and_chain(server):
    book, verdicts = await book_after(server, 40)
    assert verdicts[0] is Applied.SNAPSHOT and set(verdicts[1:]) == {Applied.APPLIED}
    assert book.tradable
    assert (float(book.best_bid()[0]), float(book.best_ask()[0])) == (100.0, 100.1)


@pytest.mark.parametrize("kind", ["gap", "drop"])
async def test_lost_book_messages_break_the_chain(fresh, kind):
    book, verdicts = await book_after(fresh, 30, {"kind": kind, "count": 2})
    assert Applied.GAP in verdicts and not book.tradable


async def test_maintenance_reset_is_legal_and_goes_on(fresh):
    book, verdicts = await book_after(fresh, 30, {"kind": "reset"})
    assert Applied.GAP not in verdicts and book.tradable
    assert book.last_id < 1_000


async def test_a_late_subscriber_joins_the_running_chain(server):
    async with socket(server, "public", BOOKS) as early:
        await pushes(early, 10)
        book, verdicts = await book_after(server, 20)
        assert book.tradable and Applied.GAP not in verdicts
        seqs = [json.loads(raw)["data"][0] for raw in await pushes(early, 30)]
        assert all(row["prevSeqId"] == before["seqId"] for before, row in pairwise(seqs))
        assert {row["checksum"] for row in seqs} == {0}


async def test_service_upgrades_are_announced(server):
    async with socket(server, "public") as ws:
        await asyncio.sleep(0.2)
        await fault(server, kind="expire_listen_key")
        notice = await receive(ws)
        assert (notice["event"], notice["code"]) == ("notice", "64008")


async def test_an_order_with_an_unknown_outcome_stands(fresh):
    async with client(fresh) as exchange:
        await fault(fresh, kind="order_503_unknown")
        with pytest.raises(Exception, match="50004"):
            await exchange.create_order(SYMBOL, "limit", "buy", 1, 99.0, {"clientOrderId": "maybe"})
        assert (await exchange.fetch_order(None, SYMBOL, {"clientOrderId": "maybe"}))["status"] == "open"


async def test_requests_beyond_the_limit_are_refused_with_429(fresh):
    async with aiohttp.ClientSession() as session:
        url = f"{fresh['rest']}/api/v5/public/time"
        answers = []
        for _ in range(14):
            async with session.get(url) as answer:
                answers.append((answer.status, (await answer.json())["code"]))
    assert answers[:10] == [(200, "0")] * 10 and (429, "50011") in answers


async def test_funding_is_paid_at_its_time_and_is_in_the_bills(fresh):
    async with client(fresh) as exchange:
        await exchange.create_order(SYMBOL, "market", "buy", 10)
        await exchange.watch_trades(SYMBOL)
        for _ in range(60):
            await asyncio.sleep(0.25)
            rows = await exchange.fetch_funding_history(SYMBOL)
            if rows:
                break
        (row,) = rows
        assert row["amount"] == pytest.approx(-10 * 0.01 * 100.5 * 0.000125, rel=0.01)


async def test_requests_past_their_expiry_time_die(server):
    async with client(server) as exchange:
        exchange.headers = {"expTime": "1000"}
        with pytest.raises(Exception, match="51149"):
            await exchange.create_order(SYMBOL, "limit", "buy", 1, 99.0)
        exchange.headers = {}
        assert await exchange.fetch_open_orders(SYMBOL) == []


async def test_a_tape_of_the_venue_itself_is_played_as_recorded(fresh, tmp_path):
    """Recorded off one exchange and played by another: same bytes, same chain, one base unit in a contract."""
    args = [{"channel": channel, "instId": INST_ID} for channel in ("books", "bbo-tbt", "trades", "mark-price")]
    async with socket(fresh, "public", *args) as ws:
        sent = await pushes(ws, 400)
    with TapeWriter(tmp_path / f"{INST_ID.lower()}_20231114.gz") as tape:
        for at, raw in enumerate(sent):
            tape.write(START_NS + at * 5_000_000, raw)
    with running("--venue", "okx", "--tape", tmp_path, "--latency-ms", 1) as (ready, _):
        async with client(ready) as exchange:
            assert exchange.market(SYMBOL)["contractSize"] == 1.0
            book, verdicts = await book_after(ready, 30)
            assert book.tradable and set(verdicts[1:]) == {Applied.APPLIED}
            order = await exchange.create_order(SYMBOL, "market", "buy", 1)
            assert (await exchange.fetch_order(order["id"], SYMBOL))["average"] == 100.1


async def test_tape_end_closes_market_sockets(tmp_path):
    with okx(tmp_path, seconds=1.0) as ready:
        async with socket(ready, "public", BOOKS) as ws:
            while (message := await asyncio.wait_for(ws.receive(), WITHIN_S)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (message.data, message.extra) == (1000, "tape ended")


@pytest.mark.data
async def test_recorded_market_keeps_its_book_in_translation():
    """Ids decide: after each update the book's top equals the best quote of the greatest id not beyond the update's."""
    folder = recorded("binance_usdm_ws")
    with running("--venue", "okx", "--tape", folder / "btcusdt_20230404.dat.gz", "--speed", 40) as (ready, _):
        inst_id = "BTC-USDT-SWAP"
        args = [{"channel": channel, "instId": inst_id} for channel in ("books", "bbo-tbt")]
        async with socket(ready, "public", *args) as ws:
            events = [event for raw in await pushes(ws, 6_000) for event in DECODE(raw, START_NS)]
    quotes = sorted((e for e in events if isinstance(e, Quote)), key=lambda quote: quote.update_id)
    depths = [event for event in events if isinstance(event, Depth)]
    compared = compare(Book(inst_id, "okx"), depths, quotes)
    assert len(depths) > 200 and compared > 200


def compare(book, depths, quotes):
    """Updates whose top was compared and agreed; raises when one differs."""
    compared, place = 0, 0
    for depth in depths:
        assert book.apply(depth) in (Applied.SNAPSHOT, Applied.APPLIED)
        while place < len(quotes) and quotes[place].update_id <= depth.last_id:
            place += 1
        last = quotes[place - 1] if place else None
        if last is not None and not depth.is_snapshot and place < len(quotes):
            best = (*book.best_bid(), *book.best_ask())
            assert tuple(map(float, best)) == (last.bid_px, last.bid_qty, last.ask_px, last.ask_qty), depth.last_id
            compared += 1
    return compared
