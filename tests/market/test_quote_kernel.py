"""The compiled quote path: what it takes equals the codec and ``json`` bit for bit, and it takes the usual spelling."""

import ctypes
import json
import os
import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.codecs.binance import decode
from market.errors import FrameError
from market.events import Quote
from market.quote_kernel import RECORD, fast_quotes, plan_of, quote_parser, quote_reader, read_quote
from market.tape import find_tapes, merge
from tests.market.wire import data_dir, guarded_page, plain, ticker

EXAMPLES = int(os.environ.get("CRYPTOSCALP_FUZZ", "400"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, database=None)
pytestmark = pytest.mark.timeout(0 if EXAMPLES > 1_000 else 300)

FUTURES = ticker(4984028370881, "63943.90", "46.371", "63944.00", "0.095")
SPOT = (
    b'{"stream":"xyzusdt@bookTicker","data":{"u":36,"s":"XYZUSDT","b":"0.5","B":"31","a":"25.36520000",'
    b'"A":"40.66000000"}}'
)
BARE = FUTURES[FUTURES.index(b'{"e"') : -1]
USUAL = [(FUTURES, True), (BARE, True), (SPOT, False)]
READERS = {is_stamped: quote_reader("XYZUSDT", is_stamped) for is_stamped in (True, False)}


def told(raw):
    """The codec's event; None where it refuses the frame."""
    try:
        return decode(raw, 7)
    except FrameError:
        return None


def bits(quote):
    return struct.pack("<4d", quote.bid_px, quote.bid_qty, quote.ask_px, quote.ask_qty)


def assert_never_misread(raw, is_stamped):
    """What is taken equals the codec's event, and its numbers those of ``json`` and ``float``."""
    quote = READERS[is_stamped](raw, 7)
    if quote is None:
        return
    assert quote == told(raw)
    whole = json.loads(raw)
    data = whole.get("data", whole)
    assert bits(quote) == struct.pack("<4d", *(float(data[key]) for key in "bBaA"))
    assert (quote.symbol, quote.update_id) == (data["s"], data["u"])
    assert quote.ts_event == data.get("T", 0) * 1_000_000


@pytest.mark.parametrize(("raw", "is_stamped"), USUAL)
def test_the_usual_spelling_is_taken(raw, is_stamped):
    assert READERS[is_stamped](raw, 7) == told(raw) is not None
    assert_never_misread(raw, is_stamped)


def test_the_record_holds_every_number_of_the_frame():
    plan = plan_of("XYZUSDT", True)
    assert quote_parser(plan)(FUTURES)
    data = json.loads(FUTURES)["data"]
    assert RECORD.unpack_from(plan) == (63943.9, 46.371, 63944.0, 0.095, data["u"], data["T"], data["E"])


@pytest.mark.parametrize("text", ["5", "0", "0.095", "12345678", "123456.12345678", "99999999.999999", "0.00000001"])
def test_numbers_of_any_usual_length_are_taken(text):
    raw = ticker(1, "1", text, "2", text)
    quote = READERS[True](raw, 7)
    assert quote == told(raw)
    assert quote.bid_qty == quote.ask_qty == float(text)


ODD_NUMBERS = ["", ".5", "5.", "00.5", "01", "-1", "+1", "1e3", "1.2.3", " 1", "1 ", "1_0", "nan", "1,5", "\u0663"]
LONG_NUMBERS = ["123456789", "1.123456789", "1234567.12345678", "1" * 30, "0." + "0" * 30 + "1"]


@pytest.mark.parametrize("text", ODD_NUMBERS + LONG_NUMBERS)
@pytest.mark.parametrize("place", range(4))
def test_other_numbers_are_left_to_the_codec(text, place):
    values = ["1.5"] * 4
    values[place] = text
    assert READERS[True](ticker(1, *values), 7) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'":', b'": '),
        (b'"e":"bookTicker",', b""),
        (b'"bookTicker"', b'"bookticker"'),
        (b'"XYZUSDT"', b'"XYZUSDC"'),
        (b'"XYZUSDT"', b'"XYZ\\u0055SDT"'),
        (b"xyzusdt@", b"xyzusdc@"),
        (b'"b":"63943.90","B":"46.371"', b'"B":"46.371","b":"63943.90"'),
        (b'"b":"63943.90"', b'"b":63943.90'),
        (b'"b":"63943.90"', b'"b":"63943.90","b":"1.0"'),
        (b'"63943.90"', b'"0.00"'),
        (b'"63944.00"', b'"0"'),
        (b'"u":4984028370881', b'"u":04984028370881'),
        (b'"u":4984028370881', b'"u":-4984028370881'),
        (b'"u":4984028370881', b'"u":4984028370881123'),
        (b'"u":4984028370881', b'"u":'),
        (b'"T":1700000000000', b'"T":0700000000000'),
        (b'"T":1700000000000', b'"T":9700000000000'),
        (b'"T":1700000000000', b'"T":170000000000'),
        (b'"T":1700000000000', b'"T":17000000000000'),
        (b'"T":1700000000000', b'"T":17000000.0000'),
        (b'"E":1700000000001', b'"E":0700000000001'),
        (b'"E":1700000000001', b'"E":170000000000e'),
        (b'"E":1700000000001', b'"E":1700000000001,"x":1'),
        (b"}}", b"}"),
        (b"}}", b"}]"),
        (b"}}", b"}}}"),
        (b"}}", b"}} "),
        (b"}}", b',"ps":"XYZ"}}'),
    ],
)
def test_other_spellings_are_left_to_the_codec(old, new):
    assert old in FUTURES
    assert READERS[True](FUTURES.replace(old, new), 7) is None


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"s', b"\0" * 200, SPOT, b'{"result":null,"id":1}'])
def test_other_frames_are_left_to_the_codec(raw):
    assert READERS[True](raw, 7) is None


@pytest.mark.parametrize("symbol", ["X" * 90, 'A"B', "A\\B", "A\nB"])
def test_a_symbol_that_has_no_plain_template_is_left_to_the_codec(symbol):
    assert quote_reader(symbol)(ticker(1, "1", "1", "2", "1", symbol), 7) is None


def test_a_symbol_of_any_letters_is_read():
    raw = ticker(1, "1", "1", "2", "1", "币安USDT")
    assert quote_reader("币安USDT")(raw, 7) == told(raw) is not None


@pytest.mark.parametrize(
    ("venue", "raw"),
    [("binanceusdm", FUTURES), ("binance", SPOT), ("binancecoinm", None), ("okx", None), ("bybit", None)],
)
def test_a_venue_without_a_compiled_reader_leaves_all_to_its_codec(venue, raw):
    read = fast_quotes(venue, "XYZUSDT")
    assert [frame for frame in (FUTURES, SPOT) if read(frame, 7) is not None] == [raw] * (raw is not None)


def test_only_bytes_are_taken():
    with pytest.raises(TypeError, match="expected bytes"):
        READERS[True](bytearray(FUTURES), 7)


EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4)


def edited(raw, edits):
    changed = bytearray(raw)
    for at, length, new in edits:
        at %= len(changed) + 1
        changed[at : at + length] = new
    return bytes(changed)


@fuzz
@given(st.sampled_from(USUAL), EDITS)
def test_fuzzed_frames_are_never_misread(usual, edits):
    raw, is_stamped = usual
    assert_never_misread(edited(raw, edits), is_stamped)


number = st.builds(plain, st.integers(0, 10**12 - 1), st.integers(0, 10), st.integers(0, 10**10))


@fuzz
@given(st.integers(0, 10**17), number, number, number, number)
def test_fuzzed_numbers_are_never_misread(update_id, bid_px, bid_qty, ask_px, ask_qty):
    assert_never_misread(ticker(update_id, bid_px, bid_qty, ask_px, ask_qty), True)


@fuzz
@given(st.integers(0, 99_999_999), st.integers(0, 99_999_999), st.integers(1, 8))
def test_fuzzed_decimals_of_up_to_fourteen_digits_are_taken_and_bit_equal(whole, fraction, places):
    text = plain(whole, places, fraction)
    quote = READERS[True](ticker(1, "1", text, "2", "3"), 7)
    assert (quote is None) == (len(text) > 15)
    assert quote is None or struct.pack("<d", quote.bid_qty) == struct.pack("<d", float(text))


@pytest.fixture(scope="module")
def guarded():
    with guarded_page() as page:
        yield page


def assert_reads_nothing_outside(raw, is_stamped, guarded):
    """The frame at both ends of a guarded page: a read outside of it ends the process."""
    start, room = guarded
    plan = plan_of("XYZUSDT", is_stamped)
    own = ctypes.addressof(ctypes.c_char.from_buffer(plan))
    expected = quote_parser(plan)(raw)
    for at in (start, start + room - len(raw)):
        ctypes.memmove(at, raw, len(raw))
        assert read_quote(at, len(raw), own) == expected


@pytest.mark.parametrize(("raw", "is_stamped"), USUAL)
def test_no_part_of_a_frame_makes_it_read_outside(raw, is_stamped, guarded):
    for size in range(len(raw) + 1):
        assert_reads_nothing_outside(raw[:size], is_stamped, guarded)
        assert_reads_nothing_outside(raw[:size] + raw[-1:], is_stamped, guarded)


@fuzz
@given(st.sampled_from(USUAL), EDITS)
def test_no_fuzzed_frame_makes_it_read_outside(guarded, usual, edits):
    raw, is_stamped = usual
    assert_reads_nothing_outside(edited(raw, edits), is_stamped, guarded)


def recorded_frames():
    """Every frame of each recording with the kind of its quotes: the tapes, and the wire frames of several symbols."""
    for name, is_stamped in (("binance_usdm_ws", True), ("binance_spot_ws", False)):
        yield from ((f.raw, is_stamped) for file in find_tapes(data_dir() / name) for f in merge([file]))
    for name, is_stamped in (("BINANCE_FUTURES", True), ("BINANCE", False)):
        path = data_dir() / "wire_frames" / f"{name}.jsonl.zst"
        text = subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout
        lines = (json.loads(line) for line in text.splitlines())
        yield from ((line["data"].encode(), is_stamped) for line in lines if line["t"] == "recv")


@pytest.mark.data
@pytest.mark.skipif(not data_dir().exists() or shutil.which("zstd") is None, reason="needs DATA_DIR and zstd")
def test_every_recorded_quote_is_taken_and_equal():
    readers, quotes = {}, 0
    for raw, is_stamped in recorded_frames():
        event = told(raw)
        symbol = getattr(event, "symbol", "XYZUSDT")
        read = readers.setdefault((symbol, is_stamped), quote_reader(symbol, is_stamped))
        assert read(raw, 7) == (event if isinstance(event, Quote) else None)
        quotes += isinstance(event, Quote)
    assert quotes > 0
