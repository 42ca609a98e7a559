"""Two hot lines that drop, stall, lose, repeat, break and lie: what passes is every event once and in order."""

import random
import re

import pytest

from market.book import Applied, Book
from market.codecs import decode_all
from market.events import Depth
from trader.feeds.hot import HotMerger
from trader.feeds.streams import Streams

EVENTS = 3_000
STEP_S = 0.01


def binance_depth(n):
    return (
        f'{{"stream":"xusdt@depth@0ms","data":{{"e":"depthUpdate","E":1,"T":1,"s":"XUSDT","U":{3 * n - 2},"u":{3 * n},'
        f'"pu":{3 * n - 3},"b":[["{100 + n % 7}","1"]],"a":[]}}}}'
    )


def binance_trade(n):
    return (
        f'{{"stream":"xusdt@aggTrade","data":{{"e":"aggTrade","E":1,"a":{n},"s":"XUSDT","p":"9","q":"1","f":{n},"l":{n},'
        f'"T":1,"m":true}}}}'
    )


def okx_depth(n):
    arg = '"arg":{"channel":"books","instId":"X-SWAP"}'
    return (
        f'{{{arg},"action":"update","data":[{{"asks":[],"bids":[],"ts":"1","seqId":{9 * n},"prevSeqId":{9 * n - 9}}}]}}'
    )


def bybit_depth(n):
    return (
        f'{{"topic":"orderbook.50.XUSDT","type":"delta","ts":1,"data":{{"s":"XUSDT","b":[],"a":[],"u":{n},"seq":{n}}},'
        f'"cts":1}}'
    )


def binance_quote(n):
    return (
        f'{{"stream":"xusdt@bookTicker","data":{{"e":"bookTicker","u":{5 * n},"s":"XUSDT","b":"1","B":"1","a":"2",'
        f'"A":"1","T":1,"E":1}}}}'
    )


def binance_forced(n):
    return (
        f'{{"stream":"xusdt@forceOrder","data":{{"e":"forceOrder","E":1,"o":{{"s":"XUSDT","S":"BUY","q":"1","p":"9",'
        f'"T":{n}}}}}}}'
    )


NUMBERED = {
    "binance depth": ("binanceusdm", binance_depth, rb'"u":(\d+)', 3),
    "binance trades": ("binanceusdm", binance_trade, rb'"a":(\d+)', 1),
    "okx depth": ("okx", okx_depth, rb'"seqId":(\d+)', 9),
    "bybit depth": ("bybit", bybit_depth, rb'"u":(\d+)', 1),
    "binance quotes": ("binanceusdm", binance_quote, rb'"u":(\d+)', 5),
    "binance forced orders": ("binanceusdm", binance_forced, rb'"T":(\d+)', 1),
}
PROVEN = ("binance depth", "binance trades", "okx depth", "bybit depth")


class Pair:
    """A merger on a clock of its own, with what passed."""

    def __init__(self, venue):
        self.now_s, self.passed = 0.0, []
        self.merger = HotMerger(lambda _, raw: self.passed.append(raw), decode_all(venue), lambda: self.now_s)
        self.streams = [Streams(venue), Streams(venue)]
        for line in (0, 1):
            self.merger.up(line)

    def take(self, line, raw):
        raw = raw if isinstance(raw, bytes) else raw.encode()
        self.merger.take(line, self.streams[line].of(raw), raw)

    def wait(self, seconds):
        for _ in range(round(seconds / 0.1)):
            self.now_s += 0.1
            self.merger.tick()


def pair_of(kind):
    venue, frame, field, scale = NUMBERED[kind]
    pair = Pair(venue)
    return pair, frame, lambda: [int(re.search(field, raw)[1]) // scale for raw in pair.passed]


def arrivals(rng, harm):
    """(time, line, event number or None while the line is down): both lines with lags of their own, ``harm`` done."""
    rows = []
    for line in (0, 1):
        at_s = 0.0
        lag_s = rng.uniform(0, 0.02)
        for n in range(1, EVENTS + 1):
            at_s = max(at_s, n * STEP_S + lag_s + rng.expovariate(300))
            at_s, kept = harm(line, n, at_s)
            rows += [(at_s, line, kind) for kind in kept]
    return sorted(rows, key=lambda row: row[0])


def play(pair, frame, rows):
    """Feed arrivals; "down" and "up" are the line's, text is sent as it is."""
    ticked_s = 0.0
    for at_s, line, what in rows:
        pair.now_s = at_s
        if at_s - ticked_s > 0.1:
            ticked_s = at_s
            pair.merger.tick()
        if what == "down":
            pair.merger.down(line)
        elif what == "up":
            pair.merger.up(line)
        else:
            pair.take(line, frame(what) if isinstance(what, int) else what)
    pair.wait(2.0)


def one_at_a_time(rng, kinds):
    """Trouble in windows that belong to one line: the other is whole meanwhile."""

    def harm(line, n, at_s):
        window, place = divmod(n, 60)
        mine = random.Random(window).randrange(2) == line and 20 < place < 40
        kind = random.Random(window + 0.5).choice(kinds)
        if not mine:
            return at_s, ["up", n] if place == 40 and kind == "cut" and random.Random(window).randrange(
                2
            ) == line else [n]
        if kind == "lose":
            return at_s, [] if rng.random() < 0.3 else [n]
        if kind == "repeat":
            return at_s, [n, n] if rng.random() < 0.3 else [n]
        if kind == "stall":
            return at_s + (0.3 if place == 21 else 0.0), [n]
        return at_s, ["down"] if place == 21 else []

    return harm


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", PROVEN)
def test_whatever_one_line_suffers_every_event_passes_once_in_order(kind, seed):
    pair, frame, numbers = pair_of(kind)
    rng = random.Random(seed)
    play(pair, frame, arrivals(rng, one_at_a_time(rng, ("lose", "repeat", "stall", "cut"))))
    assert numbers() == list(range(1, EVENTS + 1))
    assert pair.merger.dropped > EVENTS / 2


@pytest.mark.parametrize("kind", ["binance quotes", "binance forced orders"])
def test_streams_whose_ids_prove_nothing_outlive_cuts_and_stalls(kind):
    pair, frame, numbers = pair_of(kind)
    rng = random.Random(7)
    play(pair, frame, arrivals(rng, one_at_a_time(rng, ("stall", "cut", "repeat"))))
    found = numbers()
    assert sorted(found) == list(range(1, EVENTS + 1))
    assert kind == "binance forced orders" or found == sorted(found)


@pytest.mark.parametrize("kind", PROVEN)
def test_a_frame_that_says_nothing_takes_no_id_from_the_other_line(kind):
    pair, frame, numbers = pair_of(kind)
    for n in range(1, 60):
        whole = frame(n)
        broken = re.sub(r'"(U|p|bids|b)":', r'"\1_":', whole) if n % 10 == 0 else whole
        pair.take(0, broken)
        pair.take(1, whole)
    assert pair.merger.tally(pair.streams[0].of(frame(1).encode()).key, 0).broken == 5
    assert [n for n in range(1, 60) if n % 10] == [n for n in numbers() if n % 10]
    assert all(numbers().count(n) == 2 for n in range(10, 60, 10)), "the broken copy is kept for the record"


@pytest.mark.parametrize("kind", PROVEN)
@pytest.mark.parametrize("fate", ["goes on", "is cut", "outlives the other"])
def test_ids_far_ahead_of_everything_capture_nothing(kind, fate):
    pair, frame, numbers = pair_of(kind)
    for n in range(1, 500):
        pair.now_s = n * STEP_S
        pair.merger.tick()
        pair.take(0, frame(n + 10**6 if n == 100 else n))
        if fate == "is cut" and n == 101:
            pair.merger.down(0)
        if fate == "outlives the other" and n == 200:
            pair.merger.down(1)
        if not (fate == "outlives the other" and n >= 200):
            pair.take(1, frame(n))
    assert numbers() == list(range(1, 500))
    assert pair.merger.strayed == (1 if fate != "is cut" else 0) or fate == "is cut"


def test_a_lying_quote_id_is_forgotten_as_soon_as_no_line_stands_there():
    pair, frame, numbers = pair_of("binance quotes")
    for n in range(1, 50):
        pair.take(0, frame(10**6 if n == 20 else n))
        pair.take(1, frame(n))
    assert [n for n in numbers() if n < 10**6] == [*range(1, 20), *range(21, 50)]


def test_a_quote_that_only_the_line_behind_has_is_laid_to_the_one_ahead():
    pair, frame, numbers = pair_of("binance quotes")
    for n in range(1, 30):
        if n != 20:
            pair.take(0, frame(n))
        if n > 1:
            pair.take(1, frame(n - 1))
    assert numbers() == [*range(1, 20), *range(21, 30)]
    assert [pair.merger.tally(("XUSDT", "quote"), line).gaps for line in (0, 1)] == [1, 0]


def test_ids_that_begin_anew_are_followed_and_late_copies_from_before_dropped():
    pair, frame, numbers = pair_of("binance quotes")
    told = [(0, range(100, 121)), (1, range(100, 119)), (0, range(1, 4)), (1, range(119, 121)), (1, range(1, 6))]
    for line, ids in told:
        for n in ids:
            pair.take(line, frame(n))
    assert numbers() == [*range(100, 121), *range(1, 6)]


@pytest.mark.parametrize("kind", PROVEN)
def test_what_neither_line_has_is_passed_over_at_once(kind):
    pair, frame, numbers = pair_of(kind)
    for n in (*range(1, 20), *range(21, 40)):
        pair.take(0, frame(n))
        pair.take(1, frame(n))
    assert numbers() == [*range(1, 20), *range(21, 40)]


@pytest.mark.parametrize("kind", PROVEN)
def test_a_gap_is_passed_over_once_the_other_line_has_been_still_too_long(kind):
    pair, frame, numbers = pair_of(kind)
    for n in range(1, 10):
        pair.take(0, frame(n))
        pair.take(1, frame(n))
    for n in (11, 12):
        pair.take(0, frame(n))
    assert numbers()[-1] == 9
    pair.wait(0.6)
    assert numbers()[-2:] == [11, 12]


def test_ids_that_do_not_count_are_learned_and_then_wait_for_nobody():
    pair, frame, numbers = pair_of("bybit depth")
    for n in range(2, 40, 2):
        pair.take(0, frame(n))
        pair.take(1, frame(n))
    pair.take(0, frame(44))
    assert numbers()[-1] == 44


def okx_book(action, seq, before, ts=1):
    arg = '"arg":{"channel":"books","instId":"X-SWAP"}'
    levels = '"asks":[["101","1","0","1"]],"bids":[["100","1","0","1"]]'
    return f'{{{arg},"action":"{action}","data":[{{{levels},"ts":"{ts}","seqId":{seq},"prevSeqId":{before}}}]}}'


def book_of(pair):
    """A book after all that passed, and what it said of each depth event."""
    book, verdicts = Book("X-SWAP", "okx"), []
    for raw in pair.passed:
        verdicts += [book.apply(event) for event in decode_all("okx")(raw, 1) if isinstance(event, Depth)]
    return book, verdicts


def test_a_fresh_book_of_one_line_passes_and_the_sequence_goes_on_from_it():
    """The asked line's snapshot is older than what passed: what follows it passes again, or the book would gape."""
    pair = Pair("okx")
    for line in (0, 1):
        pair.take(line, okx_book("snapshot", 10, -1))
    for seq in range(11, 20):
        for line in (0, 1):
            pair.take(line, okx_book("update", seq, seq - 1))
    pair.merger.expect("X-SWAP", 1)
    for seq in range(20, 26):
        pair.take(0, okx_book("update", seq, seq - 1))
    pair.take(1, okx_book("snapshot", 22, -1))
    for seq in range(23, 30):
        pair.take(1, okx_book("update", seq, seq - 1))
        if seq > 25:
            pair.take(0, okx_book("update", seq, seq - 1))
    book, verdicts = book_of(pair)
    assert book.tradable and book.last_id == 29
    assert Applied.GAP not in verdicts and verdicts.count(Applied.SNAPSHOT) == 2
    tallies = [pair.merger.tally(("X-SWAP", "depth"), line) for line in (0, 1)]
    assert [(tally.gaps, tally.duplicates, tally.broken) for tally in tallies] == [(0, 0, 0)] * 2


def test_a_maintenance_reset_passes_once_and_late_copies_from_before_it_do_not():
    pair = Pair("okx")
    for line in (0, 1):
        pair.take(line, okx_book("snapshot", 100, -1))
    for seq in range(101, 110):
        pair.take(0, okx_book("update", seq, seq - 1))
    pair.take(0, okx_book("update", 5, 109))
    pair.take(0, okx_book("update", 6, 5))
    for seq in range(101, 110):
        pair.take(1, okx_book("update", seq, seq - 1))
    pair.take(1, okx_book("update", 5, 109))
    pair.take(1, okx_book("update", 6, 5))
    pair.take(1, okx_book("update", 7, 6))
    book, verdicts = book_of(pair)
    assert book.tradable and book.last_id == 7
    assert verdicts == [Applied.SNAPSHOT] + [Applied.APPLIED] * 12


def test_a_quiet_book_is_kept_alive_by_one_line_and_then_by_the_other():
    pair = Pair("okx")
    for line in (0, 1):
        pair.take(line, okx_book("snapshot", 100, -1))
    for minute in range(2, 5):
        for line in (0, 1):
            pair.take(line, okx_book("update", 100, 100, ts=minute))
    assert len(pair.passed) == 4
    pair.merger.down(0)
    pair.take(1, okx_book("update", 100, 100, ts=6))
    assert len(pair.passed) == 5


def test_the_snapshot_of_a_line_that_came_back_is_no_event():
    pair = Pair("okx")
    for line in (0, 1):
        pair.take(line, okx_book("snapshot", 100, -1))
    pair.merger.down(1)
    pair.merger.up(1)
    pair.take(1, okx_book("snapshot", 105, -1))
    pair.take(1, okx_book("update", 106, 105))
    for seq in range(101, 108):
        pair.take(0, okx_book("update", seq, seq - 1))
    book, verdicts = book_of(pair)
    assert verdicts == [Applied.SNAPSHOT] + [Applied.APPLIED] * 7 and book.last_id == 107


def test_without_any_line_the_next_one_begins_anew():
    pair = Pair("okx")
    pair.take(0, okx_book("snapshot", 100, -1))
    pair.merger.down(0)
    pair.merger.down(1)
    pair.merger.up(1)
    pair.take(1, okx_book("snapshot", 50, -1))
    book, _ = book_of(pair)
    assert book.last_id == 50 and book.tradable
