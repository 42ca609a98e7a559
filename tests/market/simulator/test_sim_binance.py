"""Binance's own rules around the exchange: signing, limits, stream names, wire bytes, what a recording teaches."""

import hashlib
import hmac
from decimal import Decimal as D

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from market.simulator import wire
from market.simulator.binance_auth import ApiError, Credentials, check_key, check_signature, parse
from market.simulator.binance_limits import Limits
from market.simulator.hub import text_frame
from market.simulator.scan import Fees, Steps, _instrument, learn, split_symbol
from market.tape import Frame
from tests.market.simulator.cases import delta, quote, trade

KEYS = Credentials("the-key", "the-secret")
NOW_MS = 1_700_000_000_000


def signed(text, secret="the-secret"):
    return text + "&signature=" + hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def code_of(call, *arguments):
    with pytest.raises(ApiError) as caught:
        call(*arguments)
    return caught.value.code, caught.value.status


def test_signature_of_the_venues_own_documentation_is_accepted():
    """Example of Binance's documents ("SIGNED Endpoint Examples for POST /fapi/v1/order")."""
    keys = Credentials(
        "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83",
        "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
    )
    query = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
        "&timestamp=1591702613943"
    )
    expected = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    check_signature(keys, f"{query}&signature={expected}", "", 1_591_702_613_943)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (signed(f"symbol=XYUSDT&timestamp={NOW_MS}"), ""),
        ("", signed(f"symbol=XYUSDT&timestamp={NOW_MS}")),
        (signed(f"newClientOrderId=a%2Fb&timestamp={NOW_MS}&recvWindow=1000"), ""),
        (f"signature={signed(f'timestamp={NOW_MS}').split('=')[-1]}&timestamp={NOW_MS}", ""),
    ],
    ids=["query", "body", "escaped", "signature first"],
)
def test_signed_requests_are_accepted(query, body):
    check_signature(KEYS, query, body, NOW_MS + 500)


def test_query_and_body_are_signed_together():
    query, body = "symbol=XYUSDT", f"timestamp={NOW_MS}"
    signature = hmac.new(b"the-secret", (query + body).encode(), hashlib.sha256).hexdigest()
    check_signature(KEYS, query, f"{body}&signature={signature}", NOW_MS)
    assert parse(query, body)["symbol"] == "XYUSDT"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param(signed(f"symbol=A&timestamp={NOW_MS}").replace("symbol=A", "symbol=B"), -1022, id="altered"),
        pytest.param(signed(f"timestamp={NOW_MS}", "another secret"), -1022, id="another secret"),
        pytest.param(f"timestamp={NOW_MS}", -1102, id="unsigned"),
        pytest.param(signed("symbol=A"), -1102, id="no timestamp"),
        pytest.param(signed("timestamp=soon"), -1102, id="timestamp is no number"),
        pytest.param(signed(f"timestamp={NOW_MS - 5_001}"), -1021, id="too old"),
        pytest.param(signed(f"timestamp={NOW_MS - 101}&recvWindow=100"), -1021, id="older than its own window"),
        pytest.param(signed(f"timestamp={NOW_MS + 1_001}"), -1021, id="from the future"),
        pytest.param(signed(f"timestamp={NOW_MS}&recvWindow=60001"), -1131, id="window too wide"),
        pytest.param(f"timestamp={NOW_MS}&signature=ünicode", -1022, id="a signature that is no ascii"),
    ],
)
def test_bad_signatures_are_refused(query, code):
    assert code_of(check_signature, KEYS, query, "", NOW_MS) == (code, 400)


@pytest.mark.parametrize(("key", "code"), [(None, -2014), ("", -2014), ("other", -2015)])
def test_unknown_keys_are_refused(key, code):
    assert code_of(check_key, KEYS, key) == (code, 401)


def test_secret_never_shows_in_a_repr():
    assert "the-secret" not in repr(KEYS)


def test_weight_runs_out_then_bans_those_who_go_on_and_recovers():
    limits = Limits(weight_limit=100)
    for _ in range(10):
        limits.spend(10, 0.0)
    assert limits.headers(0.0)["X-MBX-USED-WEIGHT-1M"] == "100"
    assert code_of(limits.spend, 1, 59.0) == (-1003, 429)
    limits.spend(1, 60.0)
    for _ in range(9):
        limits.spend(11, 61.0)
    for _ in range(100):
        assert code_of(limits.spend, 11, 62.0) == (-1003, 429)
    assert code_of(limits.spend, 11, 62.0) == (-1003, 418)
    assert code_of(limits.spend, 1, 180.0) == (-1003, 418)
    limits.spend(1, 183.0)


def test_orders_are_counted_per_ten_seconds_and_minute():
    limits = Limits()
    for second in range(0, 40, 10):
        limits.spend_order(second, 300)
        assert code_of(limits.spend_order, second) == (-1015, 429)
    assert code_of(limits.spend_order, 40.0) == (-1015, 429)
    limits.spend_order(60.0)
    assert limits.headers(60.0)["X-MBX-ORDER-COUNT-10S"] == "1"


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("btcusdt@depth", ("BTCUSDT", "depth")),
        ("btcusdt@depth@0ms", ("BTCUSDT", "depth")),
        ("1000pepeusdt@markPrice@1s", ("1000PEPEUSDT", "markPrice")),
        ("btcusdt@depth5@100ms", ("BTCUSDT", "depth5")),
        ("btcusdt@depth7", None),
        ("btcusdt@kline_5m", ("BTCUSDT", "kline_5m")),
        ("btcusdt@kline_7m", None),
        ("!bookTicker", ("*", "bookTicker")),
        ("!ticker@arr", ("*", "ticker")),
        ("!ticker", None),
        ("btcusdt", None),
    ],
)
def test_stream_names(name, topic):
    assert wire.topic_of(name) == topic


@pytest.mark.parametrize(
    "raw",
    [
        b'{"stream":"xyusdt@trade","data":{"e":"trade","p":"1.10"}}',
        b'{"stream": "xyusdt@trade", "data": {"e":"trade","p":"1.10"}}',
        b'{"e":"trade","p":"1.10"}',
    ],
)
def test_payload_is_the_recorded_bytes(raw):
    assert wire.payload(raw) == b'{"e":"trade","p":"1.10"}'


def test_trades_become_aggregates_one_to_one():
    recorded = b'{"e":"trade","E":5,"T":4,"s":"XYUSDT","t":9,"p":"63943.90","q":"0.010","X":"MARKET","m":true}'
    made = msgspec.json.decode(wire.aggregate(recorded))
    assert made == {
        **{"e": "aggTrade", "E": 5, "s": "XYUSDT", "a": 9, "p": "63943.90", "q": "0.010", "nq": "0.010"},
        **{"f": 9, "l": 9, "T": 4, "m": True},
    }
    assert wire.aggregate(recorded.replace(b"MARKET", b"INSURANCE_FUND")) is None


async def test_frames_written_by_hand_are_read_by_a_websocket_client():
    sizes = (0, 125, 126, 65_535, 65_536)

    async def handle(request):
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        for size in sizes:
            request.transport.write(text_frame(b"x" * size))
        await ws.close()
        return ws

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestServer(app) as server, TestClient(server) as client, client.ws_connect("/") as ws:
        assert [len(message.data) async for message in ws] == list(sizes)


@pytest.mark.parametrize(
    ("events", "tick", "lot"),
    [
        ([quote(1, (1000, 500), (1001, 400))], "0.1", "0.1"),
        ([delta(1, 2, 0, [(1000, 5)])], "1", "0.001"),
        ([trade(1001, 12, 1)], "0.1", "0.001"),
    ],
)
def test_steps_are_the_smallest_seen(events, tick, lot):
    steps = Steps()
    for event in events:
        steps.update(event)
    found = _instrument("XYUSDT", steps, Fees())
    assert (found.tick_size, found.lot_size) == (D(tick), D(lot))


def test_steps_of_tiny_prices_are_learned_from_frames():
    raw = b'{"e":"bookTicker","u":1,"s":"PEPEUSDT","b":"0.00000123","B":"1000","a":"0.00000124","A":"5","T":1,"E":1}'
    found = _instrument("PEPEUSDT", learn([Frame(1, raw, "PEPEUSDT")] * 3), Fees())
    assert (found.tick_size, found.lot_size, found.base, found.quote) == (D("0.00000001"), D(1), "PEPE", "USDT")


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [("BTCUSDT", ("BTC", "USDT")), ("ETHUSDC", ("ETH", "USDC")), ("ETHBTC", ("ETH", "BTC")), ("USDT", ("U", "SDT"))],
)
def test_symbols_split_at_the_known_quote(symbol, parts):
    assert split_symbol(symbol) == parts
