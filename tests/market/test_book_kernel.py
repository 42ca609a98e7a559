"""The compiled paths of the book equal the general ones: packed sides the plain side, raw frames decoded frames."""

import ctypes
import json
import os
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.book import Applied, Book
from market.book_kernel import set_levels
from market.codecs.binance import decode
from market.delta_kernel import read_levels
from market.errors import FrameError
from market.events import Depth
from market.levels import PackedSide, Side, widened
from market.simulator.generator import generate
from market.tape import find_tapes, merge
from tests.market.wire import guarded_page, plain

RECORDED = Path(os.environ.get("DATA_DIR", Path(__file__).parents[3] / "shared" / "data")) / "binance_usdm_ws"
EXAMPLES = int(os.environ.get("CRYPTOSCALP_FUZZ", "400"))
pytestmark = pytest.mark.timeout(0 if EXAMPLES > 1_000 else 300)
levels = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)), max_size=12)


@pytest.fixture(scope="module")
def guarded():
    with guarded_page() as page:
        yield page


def equal(a, b):
    return (a.quantities(), a.best_key(), a.top(7)) == (b.quantities(), b.best_key(), b.top(7))


@settings(deadline=None)
@given(st.sampled_from([1, -1]), levels, st.lists(levels, max_size=30))
def test_packed_side_equals_plain_side(sign, start, updates):
    packed, plain = PackedSide(sign), Side(sign)
    for side in (packed, plain):
        side.load(start)
    for update in updates:
        packed.update(update)
        plain.update(update)
        assert equal(packed, plain)
        assert packed.value_within(5_000) == pytest.approx(plain.value_within(5_000))
    packed.rescale(10, 100)
    plain.rescale(10, 100)
    assert equal(packed, plain)


def test_packed_side_grows_and_drops_removed_places():
    packed, plain = PackedSide(-1), Side(-1)
    rng = random.Random(3)
    for _ in range(300):
        update = [(rng.randrange(1, 20_000), rng.randrange(0, 3)) for _ in range(50)]
        packed.update(update)
        plain.update(update)
    assert equal(packed, plain)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("step", [-1, 1, 7])
def test_packed_side_takes_many_levels_in_one_place(sign, step):
    """Empty places near it run out again and again, also at either end and where the market moves away."""
    packed, plain = PackedSide(sign), Side(sign)
    start = [(1_000 * k, 1) for k in range(1, 500)]
    rng = random.Random(5)
    for side in (packed, plain):
        side.load(start)
    for begin in (0, 100_000, 250_500, 499_000):
        for k in range(0, 900, 3):
            update = [(begin + 1_000 + step * (k + j), rng.randrange(0, 4)) for j in range(3)]
            update = [(px, qty) for px, qty in update if px > 0]
            packed.update(update)
            plain.update(update)
            assert packed.best_key() == plain.best_key()
            assert packed.top(20) == plain.top(20)
        assert equal(packed, plain)


def test_a_side_without_room_for_empty_places_takes_what_it_has_room_for():
    keys, values = np.zeros(203, np.int64), np.zeros(203, np.int64)
    keys[:200], values[:200] = np.arange(1_000, 1_200), 1
    px, qty = np.array([5, 3, 4], np.int64), np.array([7, 8, 9], np.int64)
    n = set_levels(keys, values, 200, px, qty, 0, 3, 1)
    assert n == 203
    assert keys[:203].tolist() == [3, 4, 5, *range(1_000, 1_200)]
    assert values[:203].tolist() == [8, 9, 7] + [1] * 200


def test_values_beyond_64_bits_change_nothing_until_widened():
    packed = PackedSide(1)
    packed.load([(5, 7)])
    with pytest.raises(OverflowError):
        packed.update([(6, 1), (7, 2**63)])
    assert packed.quantities() == {5: 7}
    assert not packed.fits(2**62, 1)
    wide = widened(packed)
    wide.update([(7, 2**63)])
    assert wide.quantities() == {5: 7, 7: 2**63}


def test_a_book_goes_on_when_a_quantity_outgrows_64_bits():
    book = Book("X")
    book.apply(Depth("X", 1, 1, True, 1, 1, -1, [("1.5", "2")], [("2", "3")]))
    book.apply(Depth("X", 1, 1, False, 1, 2, 1, [("1.4", "99999999999999999999")], []))
    assert book.levels(1, 2)[1][1] == 10**20 - 1


def depth_frame(first, last, prev, bids, asks, symbol="ABCUSDT", wrapped=True):
    data = {"e": "depthUpdate", "E": 9, "T": 8, "s": symbol, "U": first, "u": last, "pu": prev, "b": bids, "a": asks}
    frame = {"stream": f"{symbol.lower()}@depth@0ms", "data": data} if wrapped else data
    return json.dumps(frame, separators=(",", ":")).encode()


def standing(symbol="ABCUSDT"):
    book = Book(symbol)
    book.apply(Depth(symbol, 1, 1, True, 10, 10, -1, [("1.50", "2.000")], [("1.60", "3.000")]))
    book.apply(Depth(symbol, 1, 1, False, 10, 11, 9, [("1.49", "1.000")], []))
    return book


def state(book):
    return book.levels(1, 99), book.levels(-1, 99), book.last_id, book.tradable


GOOD = depth_frame(12, 13, 11, [["1.50", "0.000"], ["1.48", "5.125"]], [["1.61", "4.000"]])


def test_a_raw_frame_is_applied_like_its_decoded_event():
    fast, slow = standing(), standing()
    told, event = fast.apply_frame(GOOD, 7), decode(GOOD, 7)
    assert slow.apply(event) is Applied.APPLIED
    assert told == msgspec.structs.replace(event, bids=[], asks=[])
    assert state(fast) == state(slow)
    assert fast.last_recv_ns == slow.last_recv_ns == 7


@pytest.mark.parametrize(
    "frame",
    [
        depth_frame(12, 13, 10, [], []),  # a gap
        depth_frame(10, 11, 9, [], []),  # old
        depth_frame(12, 13, 11, [["1.5000", "1"]], []),  # finer than the book
        depth_frame(12, 13, 11, [["1e3", "1"]], []),
        depth_frame(12, 13, 11, [["-1", "1"]], []),
        depth_frame(12, 13, 11, [["", "1"]], []),
        depth_frame(12, 13, 11, [["1.5", "123456789012345678901"]], []),
        depth_frame(12, 13, 11, [["1.5"]], []),
        depth_frame(12, 13, 11, [], [], symbol="OTHER"),
        depth_frame(14, 13, 11, [], []),
        GOOD.replace(b'":', b'" :'),
        GOOD.replace(b'"b"', b'"\\u0062"'),
        GOOD[:-9],
        GOOD.replace(b'"u":13', b'"u":13,"u":14'),
        GOOD.replace(b'"u":13', b'"u":1.5'),
        b"{}",
        b"",
    ],
)
def test_an_unusual_frame_changes_nothing_and_asks_for_the_general_path(frame):
    book = standing()
    before = state(book)
    assert book.apply_frame(frame, 7) is None
    assert state(book) == before


def general(book, raw):
    try:
        event = decode(raw, 7)
        return book.apply(event) if isinstance(event, Depth) and event.symbol == book.symbol else None
    except FrameError:
        return None


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_fuzzed_frames_never_change_a_book_otherwise_than_the_general_path_would(data):
    frame = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        if not frame:
            break
    fast, slow = standing(), standing()
    if fast.apply_frame(bytes(frame), 7) is not None:
        assert general(slow, bytes(frame)) is Applied.APPLIED
        assert state(fast) == state(slow)
    else:
        assert state(fast) == state(standing())


number = st.builds(plain, st.integers(0, 10**12 - 1), st.integers(0, 10), st.integers(0, 10**10))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(number, number), max_size=5), st.lists(st.tuples(number, number), max_size=5))
def test_fuzzed_levels_become_the_same_numbers(bids, asks):
    fast, slow = standing(), standing()
    for book in (fast, slow):
        book.apply(Depth("ABCUSDT", 1, 1, False, 12, 12, 11, [("1.49000000", "1.00000000")], []))
    raw = depth_frame(13, 13, 12, bids, asks)
    if fast.apply_frame(raw, 7) is None:
        texts = [text for level in bids + asks for text in level]
        assert any(
            len(text) > 15 or len(text.partition(".")[0]) > 8 or len(text.partition(".")[2]) > 8 for text in texts
        )
        return
    assert slow.apply(decode(raw, 7)) is Applied.APPLIED
    assert state(fast) == state(slow)


def test_levels_are_read_from_their_own_bytes_only(guarded):
    """At the end of a guarded page: a read behind it ends the process."""
    start, room = guarded
    px, qty = np.zeros(9, np.int64), np.zeros(9, np.int64)
    text = b'{"u":12,"b":[["1.50","0.000"],["123456789.5","12"],["7","5.125"]]}'
    for size in range(16, len(text) + 1):
        end = start + room
        ctypes.memmove(end - size, text, size)
        at, n = read_levels(end - size + 12, end, 3, 3, px, qty, 0)
        assert n == 3 if at < end else n <= 3
    assert (px[:3].tolist(), qty[:3].tolist()) == ([1_500, 123_456_789_500, 7_000], [0, 12_000, 5_125])


def follow(frames):
    """Every frame through both paths; the books must stand alike after each delta that the raw path took."""
    fast, slow, taken, deltas = {}, {}, 0, 0
    for frame in frames:
        event = decode(frame.raw, frame.recv_ns)
        if not isinstance(event, Depth):
            continue
        a, b = fast.setdefault(frame.symbol, Book(frame.symbol)), slow.setdefault(frame.symbol, Book(frame.symbol))
        deltas += not event.is_snapshot
        applied = None if event.is_snapshot else a.apply_frame(frame.raw, frame.recv_ns)
        taken += applied is not None
        assert (Applied.APPLIED if applied is not None else a.apply(event)) is b.apply(event)
        assert (a.best_bid(), a.best_ask(), a.last_id) == (b.best_bid(), b.best_ask(), b.last_id)
    assert all(state(fast[symbol]) == state(slow[symbol]) for symbol in fast)
    return taken, deltas


def test_both_paths_agree_on_a_generated_market(tmp_path):
    generate(tmp_path, 11, minutes=0.5)
    taken, deltas = follow(merge(find_tapes(tmp_path)))
    assert taken > 0.95 * deltas > 500


@pytest.mark.data
@pytest.mark.skipif(not RECORDED.exists(), reason="recorded data absent (set DATA_DIR)")
def test_both_paths_agree_on_every_recorded_tape():
    files = find_tapes(RECORDED)
    recent = [file for file in files if file.first_recv_ns > 1_700_000_000 * 10**9]
    for group in (recent, [file for file in files if file not in recent]):
        taken, deltas = follow(merge(group))
        assert taken > 0.95 * deltas
