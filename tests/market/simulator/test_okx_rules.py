"""OKX's own rules around the exchange: signing, limits, contract sizes, the chain of book messages, candles."""

import base64
import hashlib
import hmac
import json
from decimal import Decimal as D

import pytest

from market.book import Applied, Book
from market.codecs.okx import decode
from market.events import Depth
from market.instruments import btcusdt_example
from market.simulator.candles import Candles
from market.simulator.errors import Reason, Reject
from market.simulator.okx_auth import ApiError, Credentials, Login, check_login, check_request, credentials_of
from market.simulator.okx_candles import bar_of, joined
from market.simulator.okx_contracts import contract_of, inst_id, renamed_frames
from market.simulator.okx_exchange import OkxExchange
from market.simulator.okx_face import CODES
from market.simulator.okx_hub import BookChain, OkxHub
from market.simulator.okx_limits import Limits
from market.simulator.okx_messages import delta_rows, plain_size
from market.simulator.okx_rest import envelope, parse
from market.simulator.okx_source import RecordedSource
from market.simulator.orders import BUY, OrderRequest, Tif
from market.tape import Frame
from tests.market.simulator import cases

KEYS = Credentials("the-key", "the-secret", "the-phrase")
NOW_S = 1_700_000_000.0
STAMP = "2023-11-14T22:13:20.000Z"
PATH = "/api/v5/account/balance?ccy=USDT"


def signature(text, secret="the-secret"):
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def headers(**changes):
    good = {
        "OK-ACCESS-KEY": "the-key",
        "OK-ACCESS-PASSPHRASE": "the-phrase",
        "OK-ACCESS-TIMESTAMP": STAMP,
        "OK-ACCESS-SIGN": signature(STAMP + "GET" + PATH),
    }
    return good | {name.replace("_", "-"): value for name, value in changes.items()}


def code_of(call, *arguments):
    with pytest.raises(ApiError) as caught:
        call(*arguments)
    return caught.value.code


def test_signed_requests_are_accepted():
    check_request(KEYS, headers(), "GET", PATH, "", NOW_S + 29)
    body = '{"instId":"BTC-USDT-SWAP"}'
    signed = {"OK-ACCESS-SIGN": signature(STAMP + "POST" + "/api/v5/trade/order" + body)}
    check_request(KEYS, headers() | signed, "POST", "/api/v5/trade/order", body, NOW_S)


@pytest.mark.parametrize(
    ("changes", "now_s", "code"),
    [
        pytest.param({"OK_ACCESS_KEY": ""}, NOW_S, "50103", id="no key"),
        pytest.param({"OK_ACCESS_PASSPHRASE": ""}, NOW_S, "50104", id="no passphrase"),
        pytest.param({"OK_ACCESS_SIGN": ""}, NOW_S, "50106", id="no signature"),
        pytest.param({"OK_ACCESS_TIMESTAMP": ""}, NOW_S, "50107", id="no timestamp"),
        pytest.param({"OK_ACCESS_TIMESTAMP": "1700000000"}, NOW_S, "50112", id="timestamp is no ISO time"),
        pytest.param({"OK_ACCESS_TIMESTAMP": "2023-11-14T22:13:20"}, NOW_S, "50112", id="timestamp has no zone"),
        pytest.param({}, NOW_S + 30.5, "50102", id="too old"),
        pytest.param({}, NOW_S - 30.5, "50102", id="from the future"),
        pytest.param({"OK_ACCESS_KEY": "other"}, NOW_S, "50111", id="another key"),
        pytest.param({"OK_ACCESS_PASSPHRASE": "other"}, NOW_S, "50105", id="another passphrase"),
        pytest.param({"OK_ACCESS_SIGN": signature(STAMP + "GET" + PATH, "x")}, NOW_S, "50113", id="another secret"),
        pytest.param({"OK_ACCESS_SIGN": "ünicode"}, NOW_S, "50113", id="a signature that is no ascii"),
    ],
)
def test_bad_requests_are_refused_in_the_venues_codes(changes, now_s, code):
    assert code_of(check_request, KEYS, headers(**changes), "GET", PATH, "", now_s) == code


def test_the_query_is_signed():
    assert code_of(check_request, KEYS, headers(), "GET", PATH.replace("USDT", "BTC"), "", NOW_S) == "50113"


def test_logins_are_signed_over_seconds():
    good = Login("the-key", "the-phrase", "1700000000", signature("1700000000GET/users/self/verify"))
    check_login(KEYS, good, NOW_S + 1)
    assert code_of(check_login, KEYS, good, NOW_S + 31) == "60006"
    nan = Login("the-key", "the-phrase", "nan", signature("nanGET/users/self/verify"))
    assert code_of(check_login, KEYS, nan, NOW_S) == "60006"


def test_secrets_never_show_in_a_repr_and_keys_depend_on_the_seed_alone():
    assert "the-secret" not in repr(KEYS) and "the-phrase" not in repr(KEYS)
    assert credentials_of(3) == credentials_of(3) != credentials_of(4)


def test_limits_count_per_owner_in_a_sliding_window():
    limits = Limits()
    for at in range(60):
        limits.spend("order", "A", 60, 1, at / 100)
    assert code_of(limits.spend, "order", "A", 60, 1, 1.9) == "50011"
    limits.spend("order", "B", 60, 60, 1.9)
    limits.spend("order", "A", 60, 1, 2.0)
    assert code_of(limits.spend, "order", "A", 60, 2, 2.0) == "50011"


def test_the_account_has_a_limit_over_all_instruments():
    limits = Limits()
    limits.spend_orders(1_000, 0.0)
    assert code_of(limits.spend_orders, 1, 1.9) == "50061"
    limits.spend_orders(1, 2.0)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("BTCUSDT", "BTC-USDT-SWAP"), ("1000PEPEUSDT", "1000PEPE-USDT-SWAP"), ("ETH-USDT-SWAP", "ETH-USDT-SWAP")],
)
def test_names_of_swaps(symbol, name):
    assert inst_id(symbol) == name


@pytest.mark.parametrize("spaced", [b"", b" "])
def test_recorded_frames_are_renamed_and_otherwise_untouched(spaced):
    raw = b'{"stream":"xyusdt@trade","data":{"e":"trade","s":' + spaced + b'"XYUSDT","p":"1.10","S":"BUY"}}'
    (frame,) = renamed_frames([Frame(7, raw, "XYUSDT")])
    assert (frame.recv_ns, frame.symbol) == (7, "XY-USDT-SWAP")
    assert frame.raw == raw.replace(b'"XYUSDT"', b'"XY-USDT-SWAP"')


def test_recorded_open_interest_is_renamed_as_well():
    (frame,) = renamed_frames([Frame(7, b'{"symbol":"XYUSDT","openInterest":"5","time":1}', "XYUSDT")])
    assert frame.raw == b'{"symbol":"XY-USDT-SWAP","openInterest":"5","time":1}'


def test_sizes_are_contracts():
    contract = contract_of(btcusdt_example(), D("0.01"))
    assert (contract.size(1), contract.size(1234), contract.contracts(D("0.015"))) == ("0.1", "123.4", "1.5")
    assert contract.qty(D("123.4")) == D("1.234")
    rows = delta_rows(contract, [("63943.90", "0.015"), ("63950.00", "0.000")])
    assert rows == [["63943.9", "1.5", "0", "1"], ["63950", "0", "0", "0"]]
    assert plain_size(1e-7) == "0"


def delta(first, last, prev):
    return Depth("X", 1, 1, False, first, last, prev, [], [])


def test_chain_of_book_messages_follows_the_recording():
    chain = BookChain()
    chain.last_id = 105  # a snapshot was sent
    assert chain.advance(delta(101, 103, 100)) is None  # older than the snapshot
    assert chain.advance(delta(104, 107, 103)) == (105, 107)  # straddles it
    assert chain.advance(delta(108, 110, 107)) == (107, 110)
    assert chain.advance(delta(115, 120, 114)) == (114, 120)  # one was lost: the break shows
    assert chain.advance(delta(121, 123, -1)) == (120, 123)  # recordings without a previous id


def test_a_reset_restarts_the_numbers_once():
    chain = BookChain()
    chain.last_id, chain.resets = 1_000, True
    assert chain.advance(delta(1_001, 1_005, 1_000)) == (1_000, 10)
    assert chain.advance(delta(1_006, 1_008, 1_005)) == (10, 13)


def exchange_with(report):
    exchange = OkxExchange([cases.instrument()], D(10_000), 20, report)
    exchange.on_event(cases.snapshot(100, [(1000, 500)], [(1001, 500)]))
    return exchange


def ends(exchange):
    return [(order.client_id, order.status.value, exchange.source_of(order)) for order in exchange.orders.values()]


def request(name, px, tif, qty="1"):
    return OrderRequest(cases.SYMBOL, BUY, D(qty), D(px), tif, False, name)


def test_dead_mans_switch_says_why_orders_ended():
    exchange = exchange_with(lambda report: None)
    exchange.emit = lambda report: exchange.source_of(report.order)
    exchange.place(request("a", "99.0", Tif.GTC))
    exchange.arm(None, 1_000)
    exchange.expire(999)
    assert ends(exchange) == [("a", "NEW", "")]
    exchange.expire(1_000)
    assert ends(exchange) == [("a", "CANCELED", "20")]


@pytest.mark.parametrize(
    ("px", "tif", "end"),
    [
        ("100.1", Tif.POST, ("CANCELED", "31")),
        ("99.0", Tif.IOC, ("EXPIRED", "14")),
        ("99.0", Tif.FOK, ("CANCELED", "13")),
        ("99.0", Tif.POST, ("NEW", "")),
    ],
)
def test_what_cannot_stand_is_accepted_then_cancelled(px, tif, end):
    reports = []
    exchange = exchange_with(lambda report: reports.append(report.execution.value))
    exchange.place(request("a", px, tif))
    assert ends(exchange) == [("a", *end)]
    assert reports[0] == "NEW"
    with pytest.raises(Reject, match="in use"):
        exchange.place(request("a", "99.0", Tif.GTC))


def test_candles_join_into_wider_ones():
    series = Candles()
    for minute in (3, 4, 5):
        for number, ticks in enumerate((10 + minute, 12 + minute, 9 - minute, 11 + minute)):
            series.add(minute * 60_000_000_000, ticks, 2, 1, 10 * minute + number)
    first, second = joined(series, "5m")
    assert (first.start_ms, first.open, first.high, first.low, first.close) == (0, 13, 16, 5, 15)
    assert (first.lots, second.start_ms, second.lots) == (16, 300_000, 8)


@pytest.mark.parametrize(
    ("channels", "counted"), [(("trades",), 1), (("trades-all",), 1), (("trades-all", "trades"), 1)]
)
def test_a_recording_of_both_trade_channels_counts_each_trade_once(channels, counted):
    exchange, source = exchange_with(lambda report: None), RecordedSource(OkxHub({}))
    for channel in channels:
        row = {"tradeId": "7", "px": "100.0", "sz": "0.2", "side": "buy", "ts": "5"}
        raw = json.dumps({"arg": {"channel": channel, "instId": cases.SYMBOL}, "data": [row]}, separators=(",", ":"))
        frame = Frame(7, raw.encode(), cases.SYMBOL)
        for event in source.read(frame):
            exchange.on_event(event, is_aggregate=source.is_aggregate(frame.raw))
    assert exchange.market(cases.SYMBOL).stats.trades == counted


def test_long_bars_begin_by_the_clock_of_hong_kong_unless_they_say_utc():
    series, hour_ms = Candles(), 3_600_000
    for hour in (23, 25, 41):
        series.add(hour * hour_ms * 1_000_000, hour, 1, 1, hour)
    starts = {
        bar: [candle.start_ms // hour_ms for candle in joined(series, bar)] for bar in ("1Dutc", "1D", "12H", "4H")
    }
    assert starts == {"1Dutc": [0, 24], "1D": [16, 40], "12H": [16, 40], "4H": [20, 24, 40]}


@pytest.mark.parametrize("bar", ["", "0m", "1x", "m", "1m2", "7m", "4Hutc"])
def test_unknown_bars_are_refused(bar):
    assert code_of(bar_of, bar) == "51000"


def test_envelopes_say_how_many_operations_failed():
    good, bad = {"sCode": "0"}, {"sCode": "51008"}
    assert [envelope(rows)["code"] for rows in ([], [good], [bad], [good, bad])] == ["0", "0", "1", "2"]


@pytest.mark.parametrize("body", ["{", "[1]", '"text"'])
def test_bodies_that_are_no_json_objects_are_refused(body):
    assert code_of(parse, {}, body, "") == "50002"


def test_every_refusal_of_the_exchange_has_a_code():
    assert set(CODES) == set(Reason)


class Listener:
    """A socket that keeps what it is sent."""

    is_wrapped = False

    def __init__(self):
        self.sent, self.names = [], set()

    def write(self, payload):
        self.sent.append(payload)


def test_quiet_books_are_kept_alive_without_a_change():
    exchange, listener = exchange_with(lambda report: None), Listener()
    hub = OkxHub({cases.SYMBOL: contract_of(cases.instrument(), D("0.01"))})
    hub.attach(exchange, None)
    hub.join_book(listener, cases.SYMBOL)
    hub.keep_alive(cases.SYMBOL)
    snapshot, alive = (decode(payload, 1)[0] for payload in listener.sent)
    assert (snapshot.is_snapshot, snapshot.last_id, alive.prev_id, alive.last_id) == (True, 100, 100, 100)
    assert alive.bids == alive.asks == []
    book = Book(cases.SYMBOL, "okx")
    book.apply(snapshot)
    before = book.levels(1, 10)
    assert book.apply(alive) is not Applied.GAP and book.tradable and book.levels(1, 10) == before
