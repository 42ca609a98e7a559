"""Books of OKX and Bybit: their sequence rules, resets, doubts, silence, and comparison with a snapshot."""

from decimal import Decimal as D

import msgspec
import pytest

from market.book import Applied, Book, rule_of
from market.errors import CryptoScalpError, FrameError
from market.events import Depth

BIDS, ASKS = [("1.00", "5"), ("0.99", "7")], [("1.01", "4"), ("1.02", "6")]
S = 1_000_000_000


def depth(last, prev=-1, bids=(), asks=(), snapshot=False, recv=0):
    return Depth("XYZ", 0, recv, snapshot, last, last, prev, list(bids), list(asks))


def start(rule, last=100):
    book = Book("XYZ", rule)
    assert book.apply(depth(last, -1, BIDS, ASKS, snapshot=True)) is Applied.SNAPSHOT
    return book


@pytest.mark.parametrize("rule", ["okx", "bybit"])
def test_the_snapshot_alone_makes_the_book_tradable(rule):
    book = Book("XYZ", rule)
    assert not book.tradable and book.apply(depth(99, 98, [("1", "1")])) is Applied.STALE
    assert book.apply(depth(100, -1, BIDS, ASKS, snapshot=True)) is Applied.SNAPSHOT
    assert book.tradable and book.reason == "" and book.last_id == 100
    assert book.best_bid() == (D("1.00"), D(5)) and book.best_ask() == (D("1.01"), D(4))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (depth(105, 100, [("1.00", "6")]), Applied.APPLIED),
        (depth(100, 100), Applied.APPLIED),
        (depth(7, 100, [("1.00", "6")]), Applied.APPLIED),
        (depth(106, 105, [("1.00", "6")]), Applied.GAP),
        (depth(105, 99, [("1.00", "6")]), Applied.GAP),
        (depth(105, 105), Applied.GAP),
        (depth(50, 40, [("1.00", "6")]), Applied.GAP),
        (depth(105, -1, [("1.00", "6")]), Applied.GAP),
    ],
)
def test_an_okx_delta_must_name_the_last_id_before_it(event, expected):
    book = start("okx")
    assert book.apply(event) is expected
    assert book.tradable is (expected is Applied.APPLIED)
    assert ("gap" in book.reason) is (expected is Applied.GAP)
    assert book.best_bid() == (D("1.00"), D(6 if expected is Applied.APPLIED and event.bids else 5))


def test_okx_repeats_are_stale_before_and_after_a_maintenance_reset():
    book = start("okx")
    chain = [depth(105, 100), depth(105, 105), depth(3, 105, [("1.00", "8")]), depth(9, 3)]
    assert [book.apply(delta) for delta in chain] == [Applied.APPLIED] * 4
    assert [book.apply(delta) for delta in (chain[0], chain[2], chain[3], depth(105, 105))] == [Applied.STALE] * 4
    assert book.tradable and book.last_id == 9 and book.best_bid() == (D("1.00"), D(8))


def test_the_rest_of_an_older_connection_is_stale_inside_a_newer_snapshot():
    """Two connections overlap at a reconnect: the new one's snapshot overtakes the old one's last deltas."""
    book = start("okx", 90)
    book.apply(depth(95, 90))
    book.apply(depth(105, -1, BIDS, ASKS, snapshot=True))
    both = [depth(100, 95), depth(105, 100), depth(110, 105), depth(110, 105), depth(115, 110)]
    assert [book.apply(delta) for delta in both] == [
        Applied.STALE,
        Applied.STALE,
        Applied.APPLIED,
        Applied.STALE,
        Applied.APPLIED,
    ]
    assert book.tradable and book.last_id == 115


@pytest.mark.parametrize("rule", ["okx", "bybit"])
def test_after_a_gap_only_a_snapshot_helps_whatever_its_id(rule):
    book = start(rule)
    book.apply(depth(101, 100))
    book.apply(depth(103, 102))
    book.reset("reconnected")
    assert not book.tradable and book.apply(depth(104, 103, [("0.5", "1")])) is Applied.STALE
    assert book.apply(depth(4, -1, BIDS, ASKS, snapshot=True)) is Applied.SNAPSHOT
    assert book.tradable and book.last_id == 4 and book.doubt == ""
    assert book.apply(depth(5, 4, [("1.00", "9")])) is Applied.APPLIED
    assert book.levels(1, 9) == [(D("1.00"), D(9)), (D("0.99"), D(7))]


@pytest.mark.parametrize(
    ("ids", "outcomes", "doubtful"),
    [
        ([101, 102], [Applied.APPLIED] * 2, False),
        ([101, 103], [Applied.APPLIED] * 2, True),
        ([101, 101], [Applied.APPLIED, Applied.STALE], False),
        ([101, 102, 101], [Applied.APPLIED, Applied.APPLIED, Applied.STALE], False),
        ([99, 101], [Applied.STALE, Applied.APPLIED], False),
        ([102, 101], [Applied.APPLIED, Applied.GAP], True),
    ],
)
def test_bybit_ids_rise_skips_raise_doubt_and_disorder_is_a_gap(ids, outcomes, doubtful):
    book = start("bybit")
    assert [book.apply(depth(u)) for u in ids] == outcomes
    assert (book.doubt != "") is doubtful
    assert book.tradable is (Applied.GAP not in outcomes)
    book.apply(depth(900, -1, BIDS, ASKS, snapshot=True))
    assert book.tradable and book.doubt == ""


def test_bybit_still_knows_old_ids_long_ago():
    book = start("bybit")
    for u in range(101, 9_000):
        book.apply(depth(u))
    assert book.apply(depth(150)) is book.apply(depth(8_990)) is Applied.STALE and book.tradable


@pytest.mark.parametrize("rule", ["okx", "bybit"])
def test_a_crossed_book_is_not_tradable_until_the_next_snapshot(rule):
    book = start(rule)
    book.apply(depth(101, 100, [("1.01", "1")]))
    assert book.crossed and not book.tradable and "crossed" in book.reason
    book.apply(depth(102, 101, [("1.01", "0")]))
    assert not book.crossed and not book.tradable
    book.apply(depth(103, -1, BIDS, ASKS, snapshot=True))
    assert book.tradable
    book.apply(depth(104, -1, [("1.02", "1")], ASKS, snapshot=True))
    assert not book.tradable


@pytest.mark.parametrize("rule", ["okx", "bybit"])
@pytest.mark.parametrize("loaded", [True, False])
def test_a_malformed_level_changes_nothing(rule, loaded):
    book = start(rule) if loaded else Book("XYZ", rule)
    before = book.levels(1, 9), book.levels(-1, 9), book.last_id
    for snapshot in (True, False):
        with pytest.raises(FrameError, match="decimal"):
            book.apply(depth(101, 100, [("1.00", "9"), ("x", "1")], snapshot=snapshot))
    assert (book.levels(1, 9), book.levels(-1, 9), book.last_id) == before
    if rule == "okx" and loaded:
        assert book.apply(depth(102, 101)) is Applied.GAP


def test_an_okx_book_without_ids_is_kept_but_never_tradable():
    book = start("okx", -1)
    assert not book.tradable and "ids" in book.reason
    assert book.apply(depth(-1, -1, [("1.00", "6")])) is Applied.APPLIED
    assert book.best_bid() == (D("1.00"), D(6)) and not book.tradable


@pytest.mark.parametrize("rule", ["okx", "bybit", "futures"])
def test_silence_makes_the_book_not_tradable_until_resynced(rule):
    book = Book("XYZ", rule)
    assert not book.check_silence(9 * S, S)
    book.apply(depth(100, -1, BIDS, ASKS, snapshot=True, recv=S))
    book.apply(depth(101, 100, recv=2 * S))
    assert book.tradable and not book.check_silence(5 * S, 3 * S)
    assert book.check_silence(5 * S + 1, 3 * S)
    assert not book.tradable and "silent" in book.reason
    assert book.apply(depth(102, 101, recv=6 * S)) is not Applied.APPLIED and not book.tradable


@pytest.mark.parametrize(
    ("bids", "asks", "found"),
    [
        (BIDS, ASKS, 0),
        (BIDS[:1], ASKS[:1], 0),
        ([("1.000", "5.0"), ("0.990", "7")], ASKS, 0),
        ([("1.00", "5"), ("0.99", "8")], ASKS, 1),
        ([("1.00", "5"), ("0.98", "7")], ASKS, 1),
        ([*BIDS, ("0.98", "7")], ASKS, 0),
        ([("1.00", "5"), ("0.995", "1"), ("0.99", "7")], ASKS, 1),
        (BIDS, [("1.011", "4")], 2),
        ([], ASKS, 2),
    ],
)
def test_a_snapshot_of_the_same_id_shows_what_no_sequence_can(bids, asks, found):
    book = start("okx")
    said = depth(100, -1, bids, asks, snapshot=True)
    assert book.differences(said) == found
    assert book.differences(msgspec.structs.replace(said, last_id=101)) is None
    assert book.best_bid() == (D("1.00"), D(5))


def test_bybit_books_of_two_depths_are_compared_by_seq():
    book = Book("XYZ", "bybit")
    book.apply(Depth("XYZ", 0, 0, True, 100, 100, -1, BIDS, ASKS, 70))
    book.apply(Depth("XYZ", 0, 0, False, 101, 101, -1, [("1.00", "8")], [], 75))
    other = Depth("XYZ", 0, 0, True, 9, 9, -1, [("1.00", "8"), ("0.99", "7"), ("0.5", "1")], ASKS, 75)
    assert book.quote_id == 75 and book.differences(other) == 0
    assert book.differences(msgspec.structs.replace(other, seq=74)) is None


@pytest.mark.parametrize(
    ("venue", "rule"),
    [("binanceusdm", "futures"), ("binancecoinm", "futures"), ("binance", "spot"), ("okx", "okx"), ("bybit", "bybit")],
)
def test_each_venue_has_its_rule(venue, rule):
    assert rule_of(venue) == rule


def test_an_unknown_venue_has_none():
    with pytest.raises(CryptoScalpError, match="nowhere"):
        rule_of("nowhere")
