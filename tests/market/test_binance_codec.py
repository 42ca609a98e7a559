"""Frames to events: every event type, every spelling, and nothing but FrameError for what is broken."""

import contextlib
import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.codecs.binance import decode, event_type, exact_top
from market.errors import FrameError
from market.events import Depth, Liquidation, Mark, OpenInterest, Quote, Trade
from tests.market.wire import MS, NS, depth_frame, snapshot_frame, ticker, trade

AGG = (
    b'{"e":"aggTrade","E":1700000000005,"a":59,"s":"XY","p":"0.5","q":"100","nq":"40","f":1,"l":2,"T":1700000000000,'
    b'"m":false}'
)
MARK = (
    b'{"stream":"xy@markPrice@1s","data":{"e":"markPriceUpdate","E":1700000000000,"s":"XY","p":"11.5","i":"11.4",'
    b'"P":"11.6","r":"0.0003","T":1700006400000}}'
)
FORCED = (
    b'{"e":"forceOrder","E":1700000000001,"o":{"s":"XY","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910",'
    b'"ap":"9910.1","X":"FILLED","l":"0.014","z":"0.014","T":1700000000000}}'
)
SPOT_TICKER = b'{"stream":"xy@bookTicker","data":{"u":7,"s":"XY","b":"1.0","B":"2","a":"1.1","A":"3"}}'
SPOT_DEPTH = b'{"e":"depthUpdate","E":1700000000000,"s":"XY","U":5,"u":7,"b":[["1.0","0"]],"a":[]}'

CASES = [
    (ticker(9, "1.0", "2", "1.1", "3"), "bookTicker", Quote("XYZUSDT", NS, 5, 1.0, 2.0, 1.1, 3.0, 9)),
    (SPOT_TICKER, "bookTicker", Quote("XY", 0, 5, 1.0, 2.0, 1.1, 3.0, 7)),
    (trade(4), "trade", Trade("XYZUSDT", NS, 5, 1.5, 2.0, -1, 4, 2.0, True)),
    (trade(4, kind="INSURANCE_FUND"), "trade", Trade("XYZUSDT", NS, 5, 1.5, 2.0, -1, 4, 2.0, False)),
    (trade(4, px="0", qty="0", kind="NA"), "trade", Trade("XYZUSDT", NS, 5, 0.0, 0.0, -1, 4, 0.0, False)),
    (AGG, "aggTrade", Trade("XY", NS, 5, 0.5, 100.0, 1, 59, 40.0, True)),
    (MARK, "markPriceUpdate", Mark("XY", NS, 5, 11.5, 11.4, 0.0003, 1_700_006_400_000_000_000)),
    (FORCED, "forceOrder", Liquidation("XY", NS, 5, 9910.0, 0.014, -1)),
    (
        depth_frame(2, 4, 1, [("1.00", "3")], []),
        "depthUpdate",
        Depth("XYZUSDT", NS, 5, False, 2, 4, 1, [("1.00", "3")], []),
    ),
    (SPOT_DEPTH, "depthUpdate", Depth("XY", NS, 5, False, 5, 7, -1, [("1.0", "0")], [])),
    (
        snapshot_frame(8, [("1.0", "2")], [("1.1", "3")]),
        "depthSnapshot",
        Depth("", NS, 5, True, 8, 8, -1, [("1.0", "2")], [("1.1", "3")]),
    ),
]


@pytest.mark.parametrize(("raw", "name", "event"), CASES)
def test_each_event_type_decodes_exactly(raw, name, event):
    assert decode(raw, 5) == event
    assert event_type(raw) == name


@pytest.mark.parametrize(("raw", "name", "event"), CASES)
def test_spacing_key_order_and_wrapping_do_not_matter(raw, name, event):
    payload = json.loads(raw)
    bare = payload.get("data", payload)
    spaced = json.dumps(payload, indent=1).encode()
    backwards = json.dumps({"data": dict(reversed(bare.items())), "stream": "x@y"}).encode()
    unknown_field = json.dumps(bare | {"st": 1, "ps": "XY", "zz": [{}]}, separators=(",", ":")).encode()
    for spelling in (spaced, backwards, unknown_field):
        assert decode(spelling, 5) == event
        assert event_type(spelling) == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"e":"kline","E":1,"s":"XY","k":{"t":1}}', "kline"),
        (b'{"stream":"x","data":{"e":"somethingNew","E":1}}', "somethingNew"),
        (b'{"result":null,"id":3}', "ack"),
        (b'{"stream":"!markPrice@arr","data":[{"e":"markPriceUpdate","s":"XY","p":"1"}]}', "array"),
    ],
)
def test_frames_without_our_events_are_none_and_named(raw, name):
    assert decode(raw, 5) is None
    assert event_type(raw) == name


def test_the_rest_answer_of_open_interest_is_an_event_of_its_own():
    raw = b'{"openInterest":"10659.509","symbol":"XY","time":1700000000000}'
    interest = decode(raw, 5)
    assert isinstance(interest, OpenInterest) and event_type(raw) == "openInterest"
    assert (interest.symbol, interest.ts_event, interest.open_interest) == ("XY", NS, 10659.509)
    assert math.isnan(interest.open_interest_usd)
    with pytest.raises(FrameError, match="open interest"):
        decode(raw.replace(b"10659.509", b"-1"), 5)


def test_delivery_contracts_without_funding_or_index_have_nan():
    mark = decode(b'{"e":"markPriceUpdate","E":1700000000000,"s":"XYUSD_300927","p":"10.9","P":"10.9","r":"","T":0}', 5)
    assert isinstance(mark, Mark)
    assert math.isnan(mark.index_px) and math.isnan(mark.funding_rate)
    assert mark.next_funding_ns == 0


def test_microsecond_event_times_are_recognised():
    raw = trade(4).replace(str(MS).encode(), str(MS * 1000 + 7).encode())
    event = decode(raw, 5)
    assert event is not None and event.ts_event == NS + 7000


def test_exact_top_keeps_the_venues_decimals():
    assert exact_top(ticker(1, "0.00000010", "1.000", "0.0000002", "5")) == ("0.00000010", "1.000", "0.0000002", "5")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"{",
        b"[1,",
        b"\xff\xfe",
        b"3",
        b"{}",
        b'{"arg":{"channel":"books","instId":"BTC-USDT"},"data":[{"asks":[],"bids":[]}]}',
        b'{"topic":"orderbook.50.XYZ","type":"delta","data":{"s":"XYZ","b":[],"a":[]}}',
        b'{"e":5,"s":"XY"}',
        ticker(1, "nan", "1", "2", "1"),
        ticker(1, "inf", "1", "2", "1"),
        ticker(1, "0", "0", "2", "1"),
        ticker(1, "1", "-1", "2", "1"),
        ticker(-1, "1", "1", "2", "1"),
        ticker(2**63, "1", "1", "2", "1"),
        trade(1, px="0"),
        trade(1, px="-3"),
        trade(1, qty="NaN"),
        trade(1, px="1.5x"),
        trade(1)[:-9],
        trade(1).replace(str(MS).encode(), str(10**30).encode()),
        trade(1).replace(str(MS).encode(), b"-5"),
        depth_frame(5, 4, 1, [], []),
        depth_frame(5, 6, 1, [], []).replace(b'"b":[]', b'"b":[["1"]]'),
        FORCED.replace(b"SELL", b"HOLD"),
        MARK.replace(b"0.0003", b"infinity"),
        b'{"stream":"xy@trade","data":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_broken_frames_raise_frame_error_with_a_reason(raw):
    with pytest.raises(FrameError, match=r"\w"):
        decode(raw, 5)


def test_another_venues_frame_names_the_venue():
    with pytest.raises(FrameError, match="OKX"):
        decode(b'{"arg":{"channel":"trades"},"data":[]}', 5)


def assert_only_frame_error(raw):
    for read in (lambda: decode(raw, 5), lambda: event_type(raw), lambda: exact_top(raw)):
        with contextlib.suppress(FrameError):
            read()


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_frame_error(raw):
    assert_only_frame_error(raw)


@settings(max_examples=400, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["e", "stream", "data", "s", "u", "b", "B", "a", "A", "T", "p", "o"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_random_json_raises_nothing_but_frame_error(value):
    assert_only_frame_error(json.dumps(value).encode())


def test_mutated_frames_raise_nothing_but_frame_error():
    rng = random.Random(5)
    originals = [raw for raw, _, _ in CASES]
    for _ in range(20_000):
        raw = bytearray(rng.choice(originals))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3)) or b'"'
        assert_only_frame_error(bytes(raw))


@settings(max_examples=300, deadline=None)
@given(st.decimals(min_value="0.00000001", max_value="100000000", allow_nan=False, allow_infinity=False, places=8))
def test_prices_of_any_size_decode_to_the_nearest_float(px):
    event = decode(trade(1, px=f"{px:f}"), 5)
    assert isinstance(event, Trade)
    assert event.px == float(px)
