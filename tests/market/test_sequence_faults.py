"""A thousand dropped, duplicated, late and swapped deltas per venue: each is seen, and the book is right after resync.

What Bybit's fields cannot prove is said in ``test_bybit_cannot_prove_a_loss_when_its_ids_do_not_step_by_one``.
"""

import random
from typing import NamedTuple

import msgspec
import pytest

from market.book import Applied, Book, rule_of
from market.codecs import decode_all
from market.events import Depth
from tests.market.venue_frames import BybitTeller, OkxTeller, market, told

FAULTS = 1_000
SPACING = 6
BAND = 0.008
VENUES = ["binanceusdm", "okx", "bybit"]


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """Per venue: the snapshot and all deltas of one generated market."""
    frames = market(tmp_path_factory.mktemp("market"), minutes=5.3)
    raws = {
        "binanceusdm": [(frame.recv_ns, frame.raw) for frame in frames],
        "okx": told(frames, OkxTeller()),
        "bybit": told(frames, BybitTeller()),
    }
    return {venue: told_truly(venue, list(depths(venue, found))) for venue, found in raws.items()}


class Stream(NamedTuple):
    """A snapshot, its deltas, and what an undisturbed book shows after each."""

    first: Depth
    deltas: list[Depth]
    shown: list[tuple[object, ...]]


def told_truly(venue, events):
    middle = float(events[0].bids[0][0])
    first, *deltas = [near(event, middle * (1 - BAND), middle * (1 + BAND)) for event in events]
    book, shown = Book("XYZ", rule_of(venue)), []
    book.apply(first)
    for delta in deltas:
        assert book.apply(delta) is Applied.APPLIED and book.tradable and not book.doubt
        shown.append(seen_in(book))
    return Stream(first, deltas, shown)


def near(event, low, high):
    """A venue that shows no level outside a band: small snapshots keep this test quick."""
    sides = [[level for level in side if low < float(level[0]) < high] for side in (event.bids, event.asks)]
    return msgspec.structs.replace(event, bids=sides[0], asks=sides[1])


def seen_in(book, n=5):
    return book.last_id, book.levels(1, n), book.levels(-1, n)


def depths(venue, raws):
    decode = decode_all(venue)
    return [event for recv_ns, raw in raws for event in decode(raw, recv_ns) if isinstance(event, Depth)]


def places(count, seed):
    slots = random.Random(seed).sample(range(1, (count - 2 * SPACING) // SPACING), FAULTS)
    return {slot * SPACING for slot in slots}


def arrivals(fault, deltas, at):
    """The deltas around ``at`` in the order they are received."""
    span = deltas[at : at + 4]
    return {
        "dropped": span[1:],
        "duplicated": [span[0], span[0], *span[1:]],
        "late": [*span[1:3], span[0], span[3]],
        "swapped": [span[1], span[0], *span[2:]],
    }[fault]


class Venue:
    """The venue's own book, kept as the strings it sends: where snapshots come from."""

    def __init__(self, snapshot):
        self.sides, self.last = (dict(snapshot.bids), dict(snapshot.asks)), snapshot

    def change(self, deltas):
        for self.last in deltas:
            for side, levels in zip(self.sides, (self.last.bids, self.last.asks), strict=True):
                side.update(levels)
                for px, qty in levels:
                    if not float(qty):
                        del side[px]

    def snapshot(self):
        bids, asks = (list(side.items()) for side in self.sides)
        return Depth("XYZ", 0, 0, True, self.last.last_id, self.last.last_id, -1, bids, asks)


@pytest.mark.parametrize("fault", ["dropped", "duplicated", "late", "swapped"])
@pytest.mark.parametrize("venue", VENUES)
def test_every_planted_fault_is_seen_and_healed(streams, venue, fault):
    first, deltas, shown = streams[venue]
    where = places(len(deltas), f"{venue}{fault}")
    book, venue_book = Book("XYZ", rule_of(venue)), Venue(first)
    book.apply(first)
    seen, proven, index = 0, 0, 0
    while index < len(deltas):
        touched = index in where
        arriving = arrivals(fault, deltas, index) if touched else deltas[index : index + 1]
        outcomes = [book.apply(delta) for delta in arriving]
        step = 4 if touched else 1
        venue_book.change(deltas[index : index + step])
        index += step
        if not touched:
            assert outcomes == [Applied.APPLIED] and book.tradable and not book.doubt
            continue
        seen += is_seen(fault, outcomes, book)
        proven += Applied.GAP in outcomes
        if fault != "duplicated":
            book.apply(venue_book.snapshot())
            venue_book.change(deltas[index : index + 1])
            assert book.apply(deltas[index]) is Applied.APPLIED
            index += 1
        assert book.tradable and not book.doubt and seen_in(book) == shown[index - 1]
    assert seen == FAULTS
    assert proven == (0 if fault == "duplicated" or (venue, fault) == ("bybit", "dropped") else FAULTS)
    assert seen_in(book, 10**6) == seen_in(rebuilt(streams[venue], venue), 10**6)


def rebuilt(stream, venue):
    book = Book("XYZ", rule_of(venue))
    for event in (stream.first, *stream.deltas):
        book.apply(event)
    return book


def is_seen(fault, outcomes, book):
    if fault == "duplicated":
        return outcomes[1] is Applied.STALE and outcomes.count(Applied.APPLIED) == 4
    return not book.tradable or book.doubt != ""


def test_keep_alives_and_a_maintenance_reset_are_no_gap(streams):
    deltas = streams["okx"].deltas
    assert sum(delta.last_id == delta.prev_id and not delta.bids and not delta.asks for delta in deltas) > 30
    assert sum(delta.last_id < delta.prev_id for delta in deltas) == 1


def test_a_missed_maintenance_reset_is_a_gap_and_not_old_news(streams):
    first, deltas, _ = streams["okx"]
    at = next(index for index, delta in enumerate(deltas) if delta.last_id < delta.prev_id)
    book = Book("XYZ", "okx")
    for delta in [first, *deltas[:at]]:
        book.apply(delta)
    assert deltas[at + 1].last_id < book.last_id
    assert book.apply(deltas[at + 1]) is Applied.GAP and not book.tradable


def test_bybit_cannot_prove_a_loss_when_its_ids_do_not_step_by_one(streams):
    """Steps of two throughout: every delta raises a doubt, so a lost one stands out no more; disorder still does."""
    first, *deltas = [
        msgspec.structs.replace(delta, first_id=2 * delta.last_id, last_id=2 * delta.last_id)
        for delta in [streams["bybit"].first, *streams["bybit"].deltas[:200]]
    ]
    book = Book("XYZ", "bybit")
    book.apply(first)
    kept = [delta for index, delta in enumerate(deltas) if index != 50]
    assert {book.apply(delta) for delta in kept} == {Applied.APPLIED}
    assert book.doubt
    assert book.apply(deltas[50]) is Applied.GAP and not book.tradable
