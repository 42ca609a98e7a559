"""OKX pushes to events: every channel, every spelling, acknowledgements, and what is broken."""

import json
import math

import pytest

from market.codecs import decode_all, event_type, exact_tops
from market.codecs.okx import decode
from market.errors import FrameError
from market.events import Depth, Liquidation, Mark, OpenInterest, Quote, Trade
from tests.market.venue_frames import MS, OKX_SYMBOL, okx_bbo, okx_book, okx_push, okx_trade, packed
from tests.market.wire import NS, data_dir

S = OKX_SYMBOL
TICKER = {"instId": S, "last": "2", "askPx": "1.1", "askSz": "3", "bidPx": "1.0", "bidSz": "2", "ts": f"{MS}"}
FUNDING = {"instId": S, "fundingRate": "-0.0002", "nextFundingRate": "", "fundingTime": f"{MS + 5}", "ts": f"{MS}"}
FORCED = {"bkLoss": "0", "bkPx": "9.5", "ccy": "", "posSide": "short", "side": "buy", "sz": "40", "ts": f"{MS}"}
FORCED_GROUP = {"details": [FORCED, FORCED | {"side": "sell"}], "instFamily": "A-USDT", "instId": "A-USDT-SWAP"}
BIDS, ASKS = [("1.00", "5")], [("1.01", "4"), ("1.02", "0")]

CASES = [
    (okx_book(-1, 9, BIDS, ASKS, "snapshot"), "books", [Depth(S, NS, 5, True, 9, 9, -1, BIDS, ASKS)]),
    (okx_book(9, 12, BIDS, []), "books", [Depth(S, NS, 5, False, 12, 12, 9, BIDS, [])]),
    (okx_book(12, 12, [], []), "books", [Depth(S, NS, 5, False, 12, 12, 12, [], [])]),
    (
        okx_book(9, 12, BIDS, ASKS, channel="books-l2-tbt"),
        "books-l2-tbt",
        [Depth(S, NS, 5, False, 12, 12, 9, BIDS, ASKS)],
    ),
    (okx_book(9, 12, BIDS, ASKS, "", "books5"), "books5", [Depth(S, NS, 5, True, 12, 12, -1, BIDS, ASKS)]),
    (okx_bbo(7, "1.0", "2", "1.1", "3"), "bbo-tbt", [Quote(S, NS, 5, 1.0, 2.0, 1.1, 3.0, 7)]),
    (okx_push("tickers", [TICKER]), "tickers", [Quote(S, NS, 5, 1.0, 2.0, 1.1, 3.0, -1)]),
    (okx_push("tickers", [TICKER | {"askPx": "", "askSz": ""}]), "tickers", []),
    (okx_trade(4), "trades-all", [Trade(S, NS, 5, 1.5, 2.0, -1, 4, 2.0, True)]),
    (okx_trade(4, side="buy", source="1"), "trades-all", [Trade(S, NS, 5, 1.5, 2.0, 1, 4, 0.0, True)]),
    (
        okx_trade(4).replace(b"trades-all", b"trades").replace(b'"source":"0"', b'"count":"3"'),
        "trades",
        [Trade(S, NS, 5, 1.5, 2.0, -1, 4, 2.0, True)],
    ),
    (
        okx_push("open-interest", [{"instId": S, "oi": "22", "oiCcy": "2", "oiUsd": "99.5", "ts": f"{MS}"}]),
        "open-interest",
        [OpenInterest(S, NS, 5, 22.0, 99.5)],
    ),
    (
        packed({"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": [FORCED_GROUP]}),
        "liquidation-orders",
        [Liquidation("A-USDT-SWAP", NS, 5, 9.5, 40.0, side) for side in (1, -1)],
    ),
    (okx_push("mark-price-candle1D", [{"o": "1"}]), "mark-price-candle1D", []),
    (okx_push("orders", [{"ordId": "1"}]), "orders", []),
    (packed({"event": "subscribe", "arg": {"channel": "books", "instId": S}, "connId": "a4"}), "subscribe", []),
    (packed({"event": "error", "code": "60012", "msg": "Invalid", "connId": "a4"}), "error", []),
    (b'{"event":"notice","code":"64008","msg":"restart","connId":"a4"}', "notice", []),
    (b'{"id":"1","op":"order","data":[],"code":"0","msg":""}', "order", []),
    (b"pong", "pong", []),
]


@pytest.mark.parametrize(("raw", "name", "events"), CASES)
def test_each_channel_decodes_exactly(raw, name, events):
    assert list(decode(raw, 5)) == events
    assert event_type("okx")(raw) == name


@pytest.mark.parametrize(("raw", "name", "events"), CASES)
def test_spacing_key_order_and_unknown_fields_do_not_matter(raw, name, events):
    if raw == b"pong":
        return
    payload = json.loads(raw)
    for spelling in (payload, dict(reversed(payload.items())), payload | {"zz": [{"channel": "x"}]}):
        text = json.dumps(spelling, indent=1).encode()
        assert list(decode(text, 5)) == events
        assert event_type("okx")(text) == name


def test_mark_price_and_funding_come_apart_with_nan_for_the_rest():
    (mark,) = decode(okx_push("mark-price", [{"instId": S, "markPx": "7.5", "ts": f"{MS}"}]), 5)
    assert isinstance(mark, Mark) and mark.mark_px == 7.5
    assert math.isnan(mark.funding_rate) and math.isnan(mark.index_px) and mark.next_funding_ns == 0
    (funding,) = decode(okx_push("funding-rate", [FUNDING]), 5)
    assert isinstance(funding, Mark) and funding.funding_rate == -0.0002
    assert math.isnan(funding.mark_px) and funding.next_funding_ns == NS + 5_000_000


def test_one_push_may_carry_several_events():
    raw = okx_push("trades", [{"tradeId": f"{i}", "px": "1", "sz": "1", "side": "buy", "ts": "0"} for i in range(3)])
    assert [event.trade_id for event in decode(raw, 5)] == [0, 1, 2]


def test_a_dead_or_false_checksum_changes_nothing():
    books = {decode(okx_book(9, 12, BIDS, ASKS).replace(b'"checksum":0', value), 5)[0].last_id for value in CHECKSUMS}
    assert books == {12}


CHECKSUMS = [b'"checksum":0', b'"checksum":-855196043', b'"checksum":"x"', b'"zz":0']


def test_exact_tops_keep_the_venues_decimals():
    assert exact_tops("okx")(okx_bbo(7, "1.00", "2.0", "1.10", "3")) == (("1.00", "2.0", "1.10", "3"),)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"ping",
        b"{",
        b"[]",
        b"3",
        b"{}",
        b'{"e":"trade","s":"X"}',
        b'{"arg":{"channel":"books"},"data":[{"asks":[],"bids":[],"ts":"1"}]}',
        b'{"arg":{"channel":"books","instId":"X"}}',
        b'{"arg":{"channel":5,"instId":"X"},"data":[]}',
        okx_book(1, 2, BIDS, ASKS).replace(b'"4","0","3"', b'"4"'),
        okx_book(1, 2, BIDS, ASKS).replace(b'"seqId":2', b'"seqId":"x"'),
        okx_book(1, 2, BIDS, ASKS).replace(b'"1700000000000"', b'"-3"'),
        okx_bbo(7, "nan", "2", "1.1", "3"),
        okx_bbo(7, "0", "2", "1.1", "3"),
        okx_bbo(7, "1", "-2", "1.1", "3"),
        okx_trade(4, px="0"),
        okx_trade(4, qty="inf"),
        okx_trade(4, side="hold"),
        okx_trade(-4),
        okx_push("mark-price", [{"markPx": "-1"}]),
        okx_push("funding-rate", [FUNDING | {"fundingRate": "infinity"}]),
        okx_push("open-interest", [{"oi": "nan"}]),
        okx_trade(4)[:-9],
        b'{"arg":{"channel":"trades","instId":"X"},"data":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_broken_pushes_raise_frame_error_with_a_reason(raw):
    with pytest.raises(FrameError, match=r"\w"):
        decode(raw, 5)


@pytest.mark.data
def test_examples_of_the_venues_documents_decode():
    folder = data_dir() / "wire_examples" / "okx"
    if not folder.exists():
        pytest.skip("needs the recorded wire examples (DATA_DIR)")
    found = {path.stem: path.read_bytes() for path in folder.glob("ws_*.json")}
    whole = {name: raw for name, raw in found.items() if b'"arg"' in raw}  # some hold only the inside of a frame
    kinds = {name: [type(event) for event in decode(raw, 5)] for name, raw in whole.items()}
    assert kinds["ws_books_snapshot"] == kinds["ws_books_update"] == [Depth]
    assert kinds["ws_bbo_tbt"] == kinds["ws_tickers"] == [Quote]
    assert (kinds["ws_trades"], kinds["ws_funding_rate"]) == ([Trade], [Mark])
    assert sum(map(bool, kinds.values())) == 6 and len(kinds) > 15


def test_the_venue_chooses_the_decoder():
    assert decode_all("okx")(okx_trade(4), 5) == decode(okx_trade(4), 5)
    with pytest.raises(FrameError, match="not a Bybit frame"):
        decode_all("bybit")(okx_trade(4), 5)
