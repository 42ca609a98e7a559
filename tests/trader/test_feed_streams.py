"""What each venue's frames are told by, what is subscribed to, and what is said of silence and clocks."""

import json

import pytest

from trader.errors import ConfigError
from trader.feeds.merger import Merger
from trader.feeds.plans import PROTOCOLS, book_requests, feed_plan
from trader.feeds.skew import sample, take
from trader.feeds.streams import Streams, is_snapshot
from trader.feeds.watchdog import Watchdog

OKX_BOOK = (
    b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update","data":[{"asks":[],"bids":[],'
    b'"ts":"1700000000123","checksum":0,"seqId":124,"prevSeqId":123}]}'
)
OKX_FORCED = (
    b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"ts":"1700000000001"}],'
    b'"instId":"IOST-USDT-SWAP","instType":"SWAP"}]}'
)
BYBIT_BOOK = (
    b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1700000000005,"data":{"s":"BTCUSDT","b":[],"a":[],'
    b'"u":18521288,"seq":7961638724},"cts":1700000000001}'
)
BINANCE_DEPTH = (
    b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1700000000009,"T":1700000000004,"s":"BTCUSDT",'
    b'"U":157,"u":160,"pu":149,"b":[],"a":[]}}'
)


@pytest.mark.parametrize(
    ("venue", "raw", "symbol", "kind", "number", "event_ms"),
    [
        ("binanceusdm", BINANCE_DEPTH, "BTCUSDT", "depth", 160, 1_700_000_000_004),
        (
            "binanceusdm",
            b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1700000000000,"T":1700003600000}}',
            "BTCUSDT",
            "mark",
            1_700_000_000_000,
            1_700_000_000_000,
        ),
        (
            "binanceusdm",
            b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1,"a":5933014,"s":"BTCUSDT","T":1700000000000}}',
            "BTCUSDT",
            "trade",
            5_933_014,
            1_700_000_000_000,
        ),
        ("okx", OKX_BOOK, "BTC-USDT-SWAP", "depth", 124, 1_700_000_000_123),
        ("okx", OKX_FORCED, "IOST-USDT-SWAP", "liquidation", -1, 1_700_000_000_001),
        ("bybit", BYBIT_BOOK, "BTCUSDT", "depth", 18_521_288, 1_700_000_000_001),
        (
            "bybit",
            b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT"},"cs":24987956059,"ts":1700000000002}',
            "BTCUSDT",
            "ticker",
            24_987_956_059,
            1_700_000_000_002,
        ),
    ],
)
def test_a_frame_names_its_stream_its_id_and_its_time(venue, raw, symbol, kind, number, event_ms):
    streams = Streams(venue)
    stream = streams.of(raw)
    assert (stream.symbol, stream.kind) == (symbol, kind)
    assert stream.number(raw) == number
    assert stream.event_ns(raw) == event_ms * 1_000_000
    assert streams.of(raw) is stream


@pytest.mark.parametrize(
    ("venue", "raw"),
    [
        ("binanceusdm", b'{"result":null,"id":1}'),
        ("okx", b'{"event":"subscribe","arg":{"channel":"books","instId":"X"},"connId":"a"}'),
        ("okx", b'{"event":"notice","code":"64008"}'),
        ("bybit", b'{"success":true,"ret_msg":"subscribe","conn_id":"a","op":"subscribe"}'),
        ("bybit", b'{"op":"pong"}'),
    ],
)
def test_acknowledgements_belong_to_no_stream(venue, raw):
    assert Streams(venue).of(raw) is None


def test_an_unknown_channel_passes_under_its_own_name():
    stream = Streams("okx").of(b'{"arg":{"channel":"price-limit","instId":"X-SWAP"},"data":[]}')
    assert (stream.symbol, stream.kind, stream.is_ordered) == ("X-SWAP", "price-limit", False)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"arg":{', b'{"stream":"', b'{"topic":"x', b"\xff\xfe", b'{"arg":{}}'])
@pytest.mark.parametrize("venue", list(PROTOCOLS))
def test_broken_frames_never_raise(venue, raw):
    stream = Streams(venue).of(raw)
    assert stream is None or stream.number(raw) == -1


def test_snapshots_are_told_from_updates():
    assert is_snapshot(BYBIT_BOOK) and not is_snapshot(OKX_BOOK)


def test_binance_splits_paths_and_keeps_to_two_hundred_streams_a_socket():
    plans = feed_plan("binanceusdm", "wss://x/", [f"S{n}USDT" for n in range(150)])
    assert {plan.name.partition("-")[0] for plan in plans} == {"public", "market"}
    for plan in plans:
        path, _, names = plan.url.removeprefix("wss://x/").partition("/stream?streams=")
        kinds = {name.split("@")[1] for name in names.split("/")}
        assert names.count("/") < 200
        assert kinds == ({"depth", "bookTicker"} if path == "public" else {"aggTrade", "markPrice", "forceOrder"})
    assert sum(len(plan.symbols) for plan in plans if plan.name.startswith("public")) == 150


@pytest.mark.parametrize(("venue", "most"), [("okx", 50), ("bybit", 10)])
def test_subscriptions_keep_to_the_venue_limits(venue, most):
    plans = feed_plan(venue, "wss://x", [f"S{n}" for n in range(90)])
    asked = [json.loads(message) for plan in plans for message in plan.subscribe]
    assert all(len(request["args"]) <= most for request in asked)
    assert all(sum(len(json.loads(m)["args"]) for m in plan.subscribe) <= 200 for plan in plans)
    assert all(len(plan.subscribe) < 480 for plan in plans)
    assert all(request["op"] == "subscribe" for request in asked)


def test_a_fresh_book_is_asked_for_by_leaving_and_returning():
    (plan,) = feed_plan("bybit", "wss://x", ["BTCUSDT"])
    first, second = (json.loads(message) for message in book_requests(plan, "BTCUSDT"))
    assert (first["op"], second["op"]) == ("unsubscribe", "subscribe")
    assert first["args"] == second["args"] == ["orderbook.50.BTCUSDT"]


def test_an_unknown_venue_is_refused():
    with pytest.raises(ConfigError, match="nowhere"):
        feed_plan("nowhere", "wss://x", ["A"])


def depth(n, kind=b"update"):
    return b'{"arg":{"channel":"books","instId":"X"},"action":"%s","data":[{"ts":"1","seqId":%d}]}' % (kind, n)


class Passed:
    def __init__(self):
        self.numbers = []
        self.merger = Merger(lambda stream, raw: self.numbers.append(stream.number(raw)))
        self.streams = Streams("okx")

    def old(self, *numbers):
        for n in numbers:
            self.merger.old(self.streams.of(depth(n)), depth(n))

    def new(self, *numbers, kind=b"update"):
        for n in numbers:
            self.merger.new(self.streams.of(depth(n)), depth(n, kind))


def test_a_successor_ahead_of_the_old_socket_waits_for_it():
    passed = Passed()
    passed.merger.begin()
    passed.old(1, 2)
    passed.new(5, 6, 7)
    assert passed.merger.is_waiting and passed.numbers == [1, 2]
    passed.old(3, 4, 5)
    assert not passed.merger.is_waiting
    passed.new(8)
    passed.old(6, 7, 8, 9)
    passed.new(9, 10)
    assert passed.numbers == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_a_successor_behind_the_old_socket_adds_nothing_twice():
    passed = Passed()
    passed.merger.begin()
    passed.old(1, 2, 3, 4)
    passed.new(2, kind=b"snapshot")
    passed.new(3, 4, 5)
    assert passed.numbers == [1, 2, 3, 4, 5]
    assert passed.merger.dropped == 3


def test_ids_that_begin_anew_pass_once():
    passed = Passed()
    passed.merger.begin()
    passed.old(100, 101)
    passed.new(101, 102)
    passed.new(1, kind=b"snapshot")
    passed.new(2, 3)
    passed.merger.new(passed.streams.of(depth(1)), depth(1, b"snapshot"))
    assert passed.numbers == [100, 101, 102, 1, 2, 3]


def test_giving_up_on_the_old_socket_releases_what_was_held():
    passed = Passed()
    passed.merger.begin()
    passed.old(1)
    passed.new(5, 6, kind=b"snapshot")
    passed.merger.join()
    assert passed.numbers == [1, 5, 6]


def test_silence_is_told_once_and_ends_with_the_next_frame():
    streams = Streams("okx")
    book, trades = streams.expect(["X"], ["depth", "trade"])
    watchdog = Watchdog({"depth": 2.0}, [book])
    assert watchdog.check([book, trades], 1.5) == ([], [])
    assert watchdog.check([book, trades], 1.5) == ([book], [])
    assert watchdog.check([book, trades], 9.0) == ([], [])
    book.frames += 1
    assert watchdog.check([book, trades], 1.0) == ([], [book])
    assert watchdog.silent == set()


def test_a_stream_without_connection_is_not_blamed():
    (book,) = Streams("okx").expect(["X"], ["depth"])
    watchdog = Watchdog({"depth": 2.0}, [book])
    for _ in range(5):
        watchdog.forgive([book])
        assert watchdog.check([book], 1.5) == ([], [])


def test_skew_is_the_least_and_the_median_of_a_window():
    stream = Streams("bybit").of(BYBIT_BOOK)
    for late_ms in (30, 10, 20):
        sample(stream, BYBIT_BOOK, (1_700_000_000_001 + late_ms) * 1_000_000)
    skew = take(stream)
    assert (skew.min_ms, skew.median_ms, skew.samples) == (10.0, 20.0, 3)
    assert take(stream) is None


def test_a_clock_behind_the_venue_gives_a_negative_skew():
    stream = Streams("bybit").of(BYBIT_BOOK)
    sample(stream, BYBIT_BOOK, 1_699_999_999_001 * 1_000_000)
    assert take(stream).min_ms == -1000.0
