"""Exact books: sequence rules, buffering, gaps, crosses, scales, and equality with a naive decimal book."""

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.book import STALE_RUN, Applied, Book
from market.errors import FrameError
from market.events import Depth
from tests.market.wire import delta, snapshot

D = Decimal
BIDS = [("1.00", "5"), ("0.99", "7.5")]
ASKS = [("1.01", "4"), ("1.02", "6")]


def synced(last=100, rule="futures"):
    book = Book("XYZUSDT", rule)
    book.apply(snapshot(last, BIDS, ASKS))
    return book


def test_a_new_book_is_empty_and_not_tradable():
    book = Book("XYZUSDT")
    assert not book.tradable and book.reason
    assert book.best_bid() is None and book.best_ask() is None
    assert book.depth_usd(10) == 0.0 and book.levels(1, 5) == []


def test_snapshot_waits_for_the_delta_that_continues_it():
    book = synced()
    assert not book.tradable and "delta" in book.reason
    assert book.apply(delta(99, 101, 98, [("1.00", "6")])) is Applied.APPLIED
    assert book.tradable and book.reason == "" and book.last_id == 101
    assert book.best_bid() == (D("1.00"), D(6))


def test_deltas_before_the_snapshot_are_buffered_then_dropped_or_applied():
    book = Book("XYZUSDT")
    assert book.apply(delta(80, 90, 79, [("0.50", "1")])) is Applied.BUFFERED
    assert book.apply(delta(91, 100, 90, [("0.60", "1")])) is Applied.BUFFERED
    assert book.apply(delta(101, 110, 100, [("1.00", "0")])) is Applied.BUFFERED
    assert book.apply(snapshot(100, BIDS, ASKS)) is Applied.SNAPSHOT
    assert book.tradable and book.last_id == 110
    assert book.best_bid() == (D("0.99"), D("7.5"))
    assert [px for px, _ in book.levels(1, 9)] == [D("0.99"), D("0.60")]


@pytest.mark.parametrize(
    ("rule", "event", "expected"),
    [
        ("futures", delta(90, 99, 89), Applied.STALE),
        ("futures", delta(90, 100, 89), Applied.APPLIED),
        ("futures", delta(101, 105, 100), Applied.APPLIED),
        ("futures", delta(102, 105, 101), Applied.GAP),
        ("spot", delta(90, 100, -1), Applied.STALE),
        ("spot", delta(90, 101, -1), Applied.APPLIED),
        ("spot", delta(101, 105, -1), Applied.APPLIED),
        ("spot", delta(102, 105, -1), Applied.GAP),
    ],
)
def test_first_delta_after_a_snapshot(rule, event, expected):
    book = synced(rule=rule)
    assert book.apply(event) is expected
    assert book.tradable is (expected is Applied.APPLIED)


@pytest.mark.parametrize(
    ("rule", "event", "expected"),
    [
        ("futures", delta(105, 120, 110), Applied.APPLIED),
        ("futures", delta(111, 120, 109), Applied.GAP),
        ("futures", delta(111, 120, 111), Applied.GAP),
        ("futures", delta(101, 110, 100), Applied.STALE),
        ("futures", delta(90, 95, 89), Applied.STALE),
        ("spot", delta(111, 120, -1), Applied.APPLIED),
        ("spot", delta(112, 120, -1), Applied.GAP),
        ("spot", delta(110, 120, -1), Applied.GAP),
        ("spot", delta(101, 110, -1), Applied.STALE),
    ],
)
def test_later_deltas_must_continue_exactly(rule, event, expected):
    book = synced(rule=rule)
    book.apply(delta(101, 110, 100))
    assert book.apply(event) is expected
    assert book.tradable is (expected is not Applied.GAP)


def test_a_gap_names_both_ids_and_heals_with_the_next_snapshot():
    book = synced()
    book.apply(delta(101, 110, 100))
    assert book.apply(delta(131, 140, 130, [("0.98", "1")])) is Applied.GAP
    assert "110" in book.reason and "130" in book.reason
    assert book.apply(delta(141, 150, 140, [("0.97", "1")])) is Applied.BUFFERED
    assert book.apply(snapshot(120, BIDS, ASKS)) is Applied.GAP
    assert book.apply(snapshot(135, BIDS, ASKS)) is Applied.SNAPSHOT
    assert book.tradable and book.last_id == 150
    assert [px for px, _ in book.levels(1, 9)] == [D("1.00"), D("0.99"), D("0.98"), D("0.97")]


def test_a_periodic_snapshot_replaces_the_book_and_an_older_one_is_ignored():
    book = synced()
    book.apply(delta(101, 110, 100, [("0.90", "3")]))
    assert book.apply(snapshot(105, [("0.1", "1")], ASKS)) is Applied.STALE
    assert book.best_bid() == (D("1.00"), D(5))
    assert book.apply(snapshot(115, [("0.98", "1")], ASKS)) is Applied.SNAPSHOT
    assert book.tradable and book.levels(1, 9) == [(D("0.98"), D(1))]
    assert book.apply(delta(111, 120, 110, [("0.97", "2")])) is Applied.APPLIED


def test_a_crossed_book_is_not_tradable_until_resynced():
    book = synced()
    book.apply(delta(101, 102, 100, [("1.01", "1")]))
    assert book.crossed and not book.tradable and "crossed" in book.reason
    book.apply(delta(103, 104, 102, [("1.01", "0")]))
    assert not book.crossed and not book.tradable
    book.apply(snapshot(104, BIDS, ASKS))
    book.apply(delta(105, 106, 104))
    assert book.tradable


def test_reset_distrusts_the_book_until_a_snapshot():
    book = synced()
    book.apply(delta(101, 102, 100))
    book.reset("silent for 5 s")
    assert not book.tradable and book.reason == "silent for 5 s"
    assert book.apply(delta(103, 104, 102)) is Applied.BUFFERED
    assert book.apply(snapshot(103, BIDS, ASKS)) is Applied.SNAPSHOT
    assert book.tradable and book.last_id == 104


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", "1e3", "nan", "1_0", " 1", "1.2.3", "٣", "9" * 61])
@pytest.mark.parametrize("loaded", [True, False])
def test_a_malformed_level_changes_nothing_and_shows_as_a_gap(text, loaded):
    book = synced() if loaded else Book("XYZUSDT")
    before = book.levels(1, 9), book.levels(-1, 9), book.last_id
    for levels in ([("1.00", "9"), (text, "1")], [("1.00", "9"), ("0.5", text)]):
        with pytest.raises(FrameError, match="decimal"):
            book.apply(delta(99, 101, 98, levels))
    assert (book.levels(1, 9), book.levels(-1, 9), book.last_id) == before
    if loaded:
        assert book.apply(delta(102, 103, 101)) is Applied.GAP


def test_values_stay_exact_when_finer_decimals_appear():
    book = synced()
    book.apply(delta(99, 101, 98, [("1.000000000000000000001", "0.1234567890123456789")]))
    assert book.best_bid() == (D("1.000000000000000000001"), D("0.1234567890123456789"))
    assert book.levels(1, 2)[1] == (D("1.00"), D(5))
    book.apply(delta(102, 103, 101, [("1.000000000000000000001", "0.0"), ("1", "8")]))
    assert book.levels(1, 9) == [(D(1), D(8)), (D("0.99"), D("7.5"))]


def test_depth_usd_counts_both_sides_within_the_band_of_their_touch():
    book = Book("XYZUSDT")
    book.apply(snapshot(1, [("100", "1"), ("99.9", "2"), ("99.8", "50")], [("101", "3"), ("101.1", "4"), ("102", "9")]))
    assert book.depth_usd(0) == pytest.approx(100 * 1 + 101 * 3)
    assert book.depth_usd(10) == pytest.approx(100 * 1 + 99.9 * 2 + 101 * 3 + 101.1 * 4)


PX = st.integers(90, 110).map(lambda n: f"{n / 100:.2f}")
QTY = st.sampled_from(["0", "0.000", "1", "2.5", "0.125"])
SIDE = st.lists(st.tuples(PX, QTY), max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(SIDE, SIDE), max_size=12))
def test_book_equals_a_naive_decimal_book(updates):
    book, naive = synced(), ({D(px): D(qty) for px, qty in BIDS}, {D(px): D(qty) for px, qty in ASKS})
    last = 100
    for bids, asks in updates:
        assert book.apply(delta(last + 1, last + 5, last, bids, asks)) is Applied.APPLIED
        last += 5
        for side, changes in zip(naive, (bids, asks), strict=True):
            for px, qty in changes:
                side[D(px)] = D(qty)
    kept = [{px: qty for px, qty in side.items() if qty} for side in naive]
    assert book.levels(1, 99) == sorted(kept[0].items(), reverse=True)
    assert book.levels(-1, 99) == sorted(kept[1].items())


def stream(length, rng):
    """A chained delta stream with the id jumps of a shared venue counter."""
    last, deltas = 100, []
    for _ in range(length):
        first = last + rng.randrange(1, 40)
        end = first + rng.randrange(0, 60)
        px = f"{rng.randrange(80, 100) / 100:.2f}"
        deltas.append(delta(first, end, last, [(px, str(rng.randrange(5)))]))
        last = end
    return deltas


@pytest.mark.parametrize("fault", ["dropped", "duplicated", "swapped", "late"])
def test_planted_faults_are_each_detected_and_heal(fault):
    rng = random.Random(11)
    for _ in range(1000):
        deltas = stream(12, rng)
        at = rng.randrange(1, 9)
        planted = list(deltas)
        if fault == "dropped":
            del planted[at]
        elif fault == "duplicated":
            planted.insert(at, planted[at])
        elif fault == "swapped":
            planted[at], planted[at + 1] = planted[at + 1], planted[at]
        else:
            planted.insert(at + 2, planted.pop(at))
        book = synced()
        seen = [book.apply(event) for event in planted]
        if fault == "duplicated":
            assert seen.count(Applied.STALE) == 1 and Applied.GAP not in seen and book.tradable
        else:
            assert seen.count(Applied.GAP) == 1 and seen.index(Applied.GAP) == at and not book.tradable
        clean = synced()
        for event in deltas:
            clean.apply(event)
        exact = [[(str(px), str(qty)) for px, qty in clean.levels(side, 999)] for side in (1, -1)]
        book.reset("resync")
        assert book.apply(snapshot(deltas[-1].last_id, *exact)) is Applied.SNAPSHOT
        end = deltas[-1].last_id
        assert book.apply(delta(end + 1, end + 2, end)) is Applied.APPLIED
        assert book.tradable and book.levels(1, 999) == clean.levels(1, 999)


def test_a_stream_whose_ids_begin_anew_is_a_gap_and_heals():
    """A venue that resets its ids sends only deltas from the past: after a run of them the book is distrusted."""
    book = Book("ABCUSDT")
    book.apply(Depth("ABCUSDT", 1, 1, True, 1000, 1000, -1, [("1.0", "1")], [("1.1", "1")]))
    book.apply(Depth("ABCUSDT", 1, 1, False, 1000, 1001, 999, [], []))
    told = [book.apply(Depth("ABCUSDT", 1, 1, False, i, i, i - 1, [], [])) for i in range(1, STALE_RUN + 1)]
    assert told == [Applied.STALE] * (STALE_RUN - 1) + [Applied.GAP]
    assert not book.tradable
    book.apply(Depth("ABCUSDT", 1, 1, True, STALE_RUN, STALE_RUN, -1, [("2.0", "1")], [("2.1", "1")]))
    assert book.apply(Depth("ABCUSDT", 1, 1, False, 21, 21, STALE_RUN, [], [])) is Applied.APPLIED
    assert book.tradable


def test_late_and_repeated_deltas_among_good_ones_are_only_stale():
    book = Book("ABCUSDT")
    book.apply(Depth("ABCUSDT", 1, 1, True, 10, 10, -1, [("1.0", "1")], [("1.1", "1")]))
    for i in range(10, 200):
        assert book.apply(Depth("ABCUSDT", 1, 1, False, i, i + 1, i, [], [])) is Applied.APPLIED
        assert book.apply(Depth("ABCUSDT", 1, 1, False, 3, 4, 2, [], [])) is Applied.STALE
    assert book.tradable
