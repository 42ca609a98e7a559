"""Broken frames of every venue: only FrameError comes out, and no book changes without saying so.

``CRYPTOSCALP_FUZZ=100000`` sets the number of examples per test (`make fuzz`); the default is small.
"""

import contextlib
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.book import Applied, Book, rule_of
from market.codecs import decode_all, event_type, exact_tops
from market.errors import FrameError
from market.events import Depth
from tests.market.test_binance_codec import CASES as BINANCE
from tests.market.test_bybit_codec import CASES as BYBIT
from tests.market.test_okx_codec import CASES as OKX
from tests.market.venue_frames import bybit_book, okx_book
from tests.market.wire import depth_frame, snapshot_frame

EXAMPLES = int(os.environ.get("CRYPTOSCALP_FUZZ", "300"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
pytestmark = pytest.mark.timeout(0 if EXAMPLES > 1_000 else 300)
FRAMES = [case[0] for cases in (BINANCE, OKX, BYBIT) for case in cases]
BIDS, ASKS = [("1.00", "5"), ("0.99", "7")], [("1.01", "4"), ("1.02", "6")]
BOOKS = {
    "binanceusdm": (
        snapshot_frame(100, BIDS, ASKS),
        depth_frame(99, 101, 98, [("1.00", "6")], []),
        depth_frame(102, 105, 101, [("0.98", "1.5")], [("1.01", "0")]),
    ),
    "okx": (
        okx_book(-1, 100, BIDS, ASKS, "snapshot"),
        okx_book(100, 101, [("1.00", "6")], []),
        okx_book(101, 105, [("0.98", "1.5")], [("1.01", "0")]),
    ),
    "bybit": (
        bybit_book(100, 7, BIDS, ASKS, "snapshot"),
        bybit_book(101, 8, [("1.00", "6")], []),
        bybit_book(102, 9, [("0.98", "1.5")], [("1.01", "0")]),
    ),
}


def keys_of(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def texts_of(value):
    if isinstance(value, dict | list):
        return set().union(*map(texts_of, value.values() if isinstance(value, dict) else value))
    return {value} if isinstance(value, str) else set()


PARSED = [json.loads(raw) for raw in FRAMES if raw[:1] == b"{"]
KEYS = sorted(set().union(*map(keys_of, PARSED)))
TEXTS = sorted(set().union(*map(texts_of, PARSED)))
ODD = ["nan", "inf", "-1", "1e400", "0", "", "9" * 70, "1_0", "٣", "\ud800", "null"]
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(TEXTS + ODD)
    | st.text(max_size=6)
)
JSON = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner), max_leaves=14
)
BITS = st.binary(max_size=5) | st.sampled_from([b'"', b"-", b"9", b"[]"])
EDITS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 6), BITS), min_size=1, max_size=4)


def edited(raw, edits):
    changed = bytearray(raw)
    for at, length, new in edits:
        at %= len(changed) + 1
        changed[at : at + length] = new
    return bytes(changed)


READERS = [read for venue in ("binance", "okx", "bybit") for read in (event_type(venue), exact_tops(venue))]
DECODERS = [decode_all(venue) for venue in ("binance", "okx", "bybit")]


def assert_only_frame_error(raw):
    for read in READERS:
        with contextlib.suppress(FrameError):
            read(raw)
    for decode in DECODERS:
        with contextlib.suppress(FrameError):
            decode(raw, 5)


@fuzz
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_frame_error(raw):
    assert_only_frame_error(raw)


@fuzz
@given(JSON)
def test_random_json_raises_nothing_but_frame_error(value):
    assert_only_frame_error(json.dumps(value).encode())


@fuzz
@given(st.sampled_from(FRAMES), EDITS)
def test_edited_frames_raise_nothing_but_frame_error(raw, edits):
    assert_only_frame_error(edited(raw, edits))


@fuzz
@given(st.sampled_from(PARSED), st.data())
def test_frames_with_one_value_replaced_raise_nothing_but_frame_error(payload, data):
    changed = json.loads(json.dumps(payload))
    place, key = holder(changed, data)
    place[key] = data.draw(VALUES)
    assert_only_frame_error(json.dumps(changed).encode())


def holder(value, data):
    """A container inside ``value`` and one of its keys or indices."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = data.draw(st.sampled_from(keys))
    deeper = isinstance(value[key], dict | list) and len(value[key]) > 0 and data.draw(st.integers(0, 4)) > 0
    return holder(value[key], data) if deeper else (value, key)


def state(book):
    return book.levels(1, 99), book.levels(-1, 99), book.last_id, book.tradable


@fuzz
@given(st.sampled_from(sorted(BOOKS)), st.integers(0, 2), EDITS)
def test_an_edited_frame_never_changes_a_book_silently(venue, which, edits):
    """It is refused, or the book says that it applied it or saw a gap; ids that break the chain never pass."""
    book, frames = Book("XYZ", rule_of(venue)), BOOKS[venue]
    broken = edited(frames[which], edits)
    for index, raw in enumerate(frames):
        feed(book, decode_all(venue), broken if index == which else raw)
    if book.tradable:
        assert not book.crossed
        assert all(qty > 0 for side in (1, -1) for _, qty in book.levels(side, 99))


def feed(book, decode, raw):
    before = state(book)
    try:
        depths = [event for event in decode(raw, 5) if isinstance(event, Depth)]
        outcomes = [(depth, book.apply(depth)) for depth in depths]
    except FrameError:
        outcomes = []
    if not any(done in (Applied.APPLIED, Applied.SNAPSHOT) for _, done in outcomes):
        assert state(book)[:3] == before[:3]
        assert not book.tradable or before[3]
    for depth, done in outcomes:
        if done is Applied.APPLIED and len(outcomes) == 1 and before[3]:
            chained = {"futures": depth.prev_id == before[2], "okx": depth.prev_id == before[2]}
            assert chained.get(book.rule, depth.last_id > before[2])
