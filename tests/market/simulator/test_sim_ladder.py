import pytest

from market.simulator.ladder import Ladder
from tests.market.simulator.cases import delta, instrument, quote, snapshot

BIDS, ASKS = [(1000, 5), (999, 7)], [(1001, 4), (1002, 6)]


def ladder(*events):
    book = Ladder(instrument())
    for event in events:
        if hasattr(event, "is_snapshot"):
            book.apply(event)
        else:
            book.quote(event)
    return book


def shown(book):
    return book.best(1), book.visible(1, book.best(1)), book.best(-1), book.visible(-1, book.best(-1))


@pytest.mark.parametrize(
    ("events", "touch"),
    [
        pytest.param([], (1000, 5, 1001, 4), id="snapshot alone"),
        pytest.param([delta(101, 103, 100, [(1000, 0)])], (999, 7, 1001, 4), id="a removed best uncovers the next"),
        pytest.param([delta(101, 103, 100, [], [(1001, 9)])], (1000, 5, 1001, 9), id="quantities are absolute"),
        pytest.param([quote(105, (999, 2), (1000, 3))], (999, 2, 1000, 3), id="a newer quote masks the depth"),
        pytest.param([quote(100, (999, 2), (1000, 3))], (1000, 5, 1001, 4), id="an older quote is ignored"),
        pytest.param(
            [quote(105, (999, 2), (1000, 3)), delta(101, 104, 100, [(999, 8)])],
            (999, 2, 1000, 3),
            id="an older delta does not lift the mask",
        ),
        pytest.param(
            [quote(105, (999, 2), (1000, 3)), delta(101, 105, 100, [(1000, 0), (999, 8)], [(1000, 3)])],
            (999, 8, 1000, 3),
            id="a delta that covers the quote does",
        ),
        pytest.param(
            [quote(106, (999, 2), (1000, 3)), quote(105, (998, 1), (1001, 1))],
            (999, 2, 1000, 3),
            id="late quotes are ignored",
        ),
        pytest.param([delta(90, 99, 80, [(1000, 0)])], (1000, 5, 1001, 4), id="deltas before the snapshot are old"),
    ],
)
def test_ladder_shows_the_newest_touch(events, touch):
    assert shown(ladder(snapshot(100, BIDS, ASKS), *events)) == touch


def test_ladder_replays_buffered_deltas_over_a_late_snapshot():
    early = delta(95, 99, 90, [(1000, 1)])
    across = delta(100, 110, 99, [(1000, 3)])
    after = delta(111, 115, 110, [], [(1001, 2)])
    book = ladder(early, across, after, snapshot(105, BIDS, ASKS))
    assert shown(book) == (1000, 3, 1001, 2)
    assert (book.last_id, book.synced, book.gaps) == (115, True, 0)


def test_ladder_counts_a_gap_and_drops_levels_the_newer_side_disproves():
    book = ladder(snapshot(100, BIDS, ASKS), delta(200, 210, 150, [(1002, 8)]))
    assert (book.gaps, book.synced) == (1, False)
    assert shown(book)[:2] == (1002, 8)
    assert book.best(-1) is None


@pytest.mark.parametrize(
    ("ticks", "known"), [(1000, True), (1001, True), (999, True), (995, True), (990, True), (989, False)]
)
def test_ladder_knows_what_lies_inside_the_snapshot(ticks, known):
    assert ladder(snapshot(100, [(1000, 5), (990, 1)], ASKS)).knows(1, ticks) is known


def test_ladder_without_snapshot_knows_mentioned_levels_and_better_ones_only():
    book = ladder(delta(1, 2, 0, [(1000, 5)], [(1003, 1)]))
    assert book.knows(1, 1000)
    assert book.knows(1, 1002)
    assert not book.knows(1, 999)


@pytest.mark.parametrize(
    ("later", "available"),
    [
        pytest.param([], 0, id="unchanged"),
        pytest.param([delta(101, 102, 100, [], [(1001, 4)])], 0, id="the same size again"),
        pytest.param([delta(101, 102, 100, [], [(1001, 9)])], 5, id="grown by five: five are new"),
        pytest.param([delta(101, 102, 100, [], [(1001, 3)])], 0, id="shrunk: what is left is what we took"),
        pytest.param(
            [delta(101, 102, 100, [], [(1001, 9)]), delta(103, 104, 102, [], [(1001, 6)])], 5, id="oldest lots go first"
        ),
        pytest.param(
            [delta(101, 102, 100, [], [(1001, 0)]), delta(103, 104, 102, [], [(1001, 4)])], 4, id="gone and come back"
        ),
    ],
)
def test_ladder_never_offers_taken_lots_again(later, available):
    book = ladder(snapshot(100, BIDS, ASKS))
    book.take(-1, 1001, 4)
    for event in later:
        book.apply(event)
    assert book.available(-1, 1001) == available


def test_ladder_walk_goes_outward_and_stops_at_the_limit():
    book = ladder(snapshot(100, BIDS, [(1001, 4), (1002, 6), (1005, 1)]))
    assert list(book.walk(-1, None)) == [(1001, 4), (1002, 6), (1005, 1)]
    assert list(book.walk(-1, 1002)) == [(1001, 4), (1002, 6)]
    assert list(book.walk(-1, 1000)) == []
    assert list(book.walk(1, None)) == [(1000, 5), (999, 7)]


def test_ladder_is_exact_for_tiny_and_huge_prices():
    from decimal import Decimal as D

    tiny = Ladder(instrument(tick_size=D("0.00000001"), lot_size=D(1)))
    tiny.apply(snapshot(1, [], []))
    tiny._set(1, tiny._convert([("0.00000123", "98765432")]))
    assert tiny.best(1) == 123
    assert tiny.visible(1, 123) == 98765432
    huge = Ladder(instrument(tick_size=D("0.1"), lot_size=D("0.00000001")))
    huge._set(-1, huge._convert([("99999999.9", "0.12345678")]))
    assert (huge.best(-1), huge.visible(-1, 999_999_999)) == (999_999_999, 12_345_678)
