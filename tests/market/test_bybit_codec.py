"""Bybit frames to events: every topic, every spelling, acknowledgements, and what is broken."""

import json
import math

import pytest

from market.codecs import event_type, exact_tops
from market.codecs.bybit import decode
from market.errors import FrameError
from market.events import Depth, Liquidation, Mark, OpenInterest, Quote, Trade
from tests.market.venue_frames import BYBIT_SYMBOL, MS, bybit_book, bybit_push, bybit_trade
from tests.market.wire import NS, data_dir

S = BYBIT_SYMBOL
BIDS, ASKS = [("1.00", "5")], [("1.01", "4"), ("1.02", "0")]
FORCED = {"T": MS, "s": S, "S": "Sell", "v": "20", "p": "0.04"}

CASES = [
    (bybit_book(9, 70, BIDS, ASKS, "snapshot"), "orderbook.50", [Depth(S, NS, 5, True, 9, 9, -1, BIDS, ASKS, 70)]),
    (bybit_book(10, 71, BIDS, []), "orderbook.50", [Depth(S, NS, 5, False, 10, 10, -1, BIDS, [], 71)]),
    (bybit_book(10, 71, [], ASKS, depth=1000), "orderbook.1000", [Depth(S, NS, 5, False, 10, 10, -1, [], ASKS, 71)]),
    (bybit_book(1, 71, BIDS, ASKS), "orderbook.50", [Depth(S, NS, 5, True, 1, 1, -1, BIDS, ASKS, 71)]),
    (
        bybit_book(9, 70, BIDS, ASKS[:1], "snapshot", 1),
        "orderbook.1",
        [Quote(S, NS, 5, 1.0, 5.0, 1.01, 4.0, 70)],
    ),
    (bybit_book(9, 70, [], ASKS[:1], "snapshot", 1), "orderbook.1", []),
    (bybit_book(9, 70, BIDS, ASKS[:1], "delta", 1), "orderbook.1", []),
    (bybit_trade("7", side="Buy"), "publicTrade", [Trade(S, NS, 5, 1.5, 2.0, 1, 7, 2.0, True)]),
    (bybit_trade("7", BT=True), "publicTrade", [Trade(S, NS, 5, 1.5, 2.0, -1, 7, 0.0, False)]),
    (bybit_trade("7", RPI=True), "publicTrade", [Trade(S, NS, 5, 1.5, 2.0, -1, 7, 0.0, True)]),
    (bybit_push("allLiquidation", [FORCED]), "allLiquidation", [Liquidation(S, NS, 5, 0.04, 20.0, 1)]),
    (bybit_push("tickers", {"symbol": S, "lastPrice": "1"}, "delta"), "tickers", []),
    (bybit_push("kline.5", [{"start": 1}]), "kline.5", []),
    (bybit_push("orderbook.rpi", {"s": S, "b": [["1", "2", "3"]], "a": []}), "orderbook.rpi", []),
    (b'{"topic":"execution","id":"1","creationTime":1,"data":[]}', "execution", []),
    (b'{"success":true,"ret_msg":"","conn_id":"c","req_id":"1","op":"subscribe"}', "ack", []),
    (b'{"success":true,"ret_msg":"pong","conn_id":"c","req_id":"","op":"ping"}', "pong", []),
    (b'{"req_id":"","op":"pong","args":["1675418560633"],"conn_id":"c"}', "pong", []),
]


@pytest.mark.parametrize(("raw", "name", "events"), CASES)
def test_each_topic_decodes_exactly(raw, name, events):
    assert list(decode(raw, 5)) == events
    assert event_type("bybit")(raw) == name


@pytest.mark.parametrize(("raw", "name", "events"), CASES)
def test_spacing_key_order_and_unknown_fields_do_not_matter(raw, name, events):
    payload = json.loads(raw)
    for spelling in (payload, dict(reversed(payload.items())), payload | {"zz": [{"type": "x"}]}):
        text = json.dumps(spelling, indent=1).encode()
        assert list(decode(text, 5)) == events
        assert event_type("bybit")(text) == name


def test_a_full_ticker_gives_mark_funding_and_open_interest():
    ticker = {"symbol": S, "markPrice": "1.5", "indexPrice": "1.4", "fundingRate": "-0.0002"}
    more = {"nextFundingTime": f"{MS + 5}", "openInterest": "68.5", "openInterestValue": "99.25", "bid1Price": "1.4"}
    assert decode(bybit_push("tickers", ticker | more), 5) == (
        Mark(S, NS + 2_000_000, 5, 1.5, 1.4, -0.0002, NS + 5_000_000),
        OpenInterest(S, NS + 2_000_000, 5, 68.5, 99.25),
    )


def test_a_ticker_delta_says_only_what_changed():
    (mark,) = decode(bybit_push("tickers", {"symbol": S, "fundingRate": "0.0001"}, "delta"), 5)
    assert isinstance(mark, Mark) and mark.funding_rate == 0.0001 and mark.next_funding_ns == 0
    assert math.isnan(mark.mark_px) and math.isnan(mark.index_px)
    (interest,) = decode(bybit_push("tickers", {"symbol": S, "openInterest": "3"}, "delta"), 5)
    assert isinstance(interest, OpenInterest) and math.isnan(interest.open_interest_usd)


def test_uuid_trade_ids_become_stable_numbers_that_tell_trades_apart():
    uuids = [f"20f43950-d8dd-5b31-9112-a178eb6023{index:02x}" for index in range(200)]
    ids = [decode(bybit_trade(uuid), 5)[0].trade_id for uuid in uuids]
    assert len(set(ids)) == 200 and ids[0] == decode(bybit_trade(uuids[0]), 6)[0].trade_id
    assert all(0 <= trade_id < 2**63 for trade_id in ids)


def test_exact_tops_keep_the_venues_decimals():
    assert exact_tops("bybit")(bybit_book(9, 70, BIDS, ASKS[:1], "snapshot", 1)) == (("1.00", "5", "1.01", "4"),)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"arg":{"channel":"trades","instId":"X"},"data":[]}',
        b'{"topic":"orderbook.50.X","type":"delta"}',
        b'{"topic":"orderbook.50.X","type":"delta","data":{"s":"X","b":[],"a":[]}}',
        bybit_book(9, 70, BIDS, ASKS, "partial"),
        bybit_book(-9, 70, BIDS, ASKS),
        bybit_book(9, 70, BIDS, ASKS).replace(b'["1.00","5"]', b'["1.00"]'),
        bybit_book(9, 70, [("nan", "5")], ASKS, "snapshot", 1),
        bybit_book(9, 70, [("0", "5")], ASKS, "snapshot", 1),
        bybit_trade("7", px="0"),
        bybit_trade("7", qty="-1"),
        bybit_trade("7", side="None"),
        bybit_push("tickers", {"symbol": S, "markPrice": "0"}),
        bybit_push("tickers", {"symbol": S, "fundingRate": "inf"}),
        bybit_push("tickers", {"symbol": S, "nextFundingTime": "soon"}),
        bybit_push("tickers", {"symbol": S, "openInterest": "-1"}),
        bybit_push("allLiquidation", [FORCED | {"p": "0"}]),
        bybit_trade("7")[:-9],
        b'{"topic":"tickers.X","data":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_broken_frames_raise_frame_error_with_a_reason(raw):
    with pytest.raises(FrameError, match=r"\w"):
        decode(raw, 5)


@pytest.mark.data
def test_examples_of_the_venues_documents_decode():
    folder = data_dir() / "wire_examples" / "bybit"
    if not folder.exists():
        pytest.skip("needs the recorded wire examples (DATA_DIR)")
    found = {path.stem: path.read_bytes() for path in folder.glob("ws_*.json")}
    whole = {name: raw for name, raw in found.items() if b'"topic"' in raw}  # some hold only the inside of a frame
    kinds = {name: [type(event) for event in decode(raw, 5)] for name, raw in whole.items()}
    assert kinds["ws_orderbook_snapshot"] == [Quote]
    assert kinds["ws_ticker_linear"] == [Mark, OpenInterest]
    assert len(kinds) > 20
