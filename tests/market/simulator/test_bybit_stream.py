"""Bybit's public topics: what a client builds from them is the exchange's own market, at the venue's pace."""

import json
from random import Random

import pytest

from market.book import Book
from market.codecs.bybit import decode
from market.events import Depth, Liquidation, Mark, OpenInterest, Quote, Trade
from market.simulator import bybit_topics as topics
from tests.market.simulator.bybit_case import face, listen
from tests.market.simulator.cases import MS, SYMBOL, delta, quote, trade

SECOND_MS = 1_000
NOW_NS = 1_700_000_000_000_000_000


def events_of(messages):
    return [event for message in messages for event in decode(json.dumps(message).encode(), 1)]


def mark(at_ms, px=100.0, rate=0.0001, next_ms=10_000):
    return Mark(SYMBOL, at_ms * MS, at_ms * MS, px, px, rate, next_ms * MS)


def random_market(made, rng, steps):
    """Deltas and best quotes of a market that wanders; each changes the book."""
    last, bid = 10, 1000
    for step in range(steps):
        at_ms = 100 + step * 7
        if rng.random() < 0.3:
            bid = max(900, min(1100, bid + rng.randint(-1, 1)))
            made.exchange.on_event(
                quote(last + 1, (bid, rng.randint(1, 900)), (bid + 1, rng.randint(1, 900)), at_ms=at_ms)
            )
            continue
        bids = [(bid - rng.randint(0, 30), rng.choice([0, rng.randint(1, 999)])) for _ in range(3)]
        asks = [(bid + 1 + rng.randint(0, 30), rng.choice([0, rng.randint(1, 999)])) for _ in range(3)]
        made.exchange.on_event(delta(last + 1, last + 2, last, bids, asks, at_ms=at_ms))
        last += 2


@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_snapshot_and_deltas_build_the_exchanges_own_book(depth):
    made, rng = face(), Random(depth)
    socket = listen(made, f"orderbook.{depth}.{SYMBOL}")
    random_market(made, rng, 400)
    made.stream.flush(10**12)
    book = Book(SYMBOL, "bybit")
    depths = events_of(socket.messages)
    assert depths[0].is_snapshot
    assert [d.last_id for d in depths] == list(range(depths[0].last_id, depths[0].last_id + len(depths)))
    for event in depths:
        assert isinstance(event, Depth)
        book.apply(event)
    ladder = made.exchange.markets[SYMBOL].ladder
    for side in (1, -1):
        held = [(int(px * 10), int(qty * 1000)) for px, qty in book.levels(side, depth)]
        assert held == sorted(topics.top(ladder, side, depth).items(), reverse=side > 0)
    assert book.tradable and len(depths) > 5


def test_tops_of_all_depths_agree_at_the_same_seq():
    made, rng = face(), Random(3)
    socket = listen(made, f"orderbook.50.{SYMBOL}", f"orderbook.1.{SYMBOL}")
    random_market(made, rng, 600)
    events = events_of(socket.messages)
    tops = {e.update_id: (e.bid_px, e.bid_qty, e.ask_px, e.ask_qty) for e in events if isinstance(e, Quote)}
    book, compared = Book(SYMBOL, "bybit"), 0
    for event in events:
        if isinstance(event, Depth):
            book.apply(event)
            assert (book.tradable, book.doubt) == (True, "")
            if event.seq in tops:
                best = (*book.levels(1, 1)[0], *book.levels(-1, 1)[0])
                assert tuple(float(number) for number in best) == tops[event.seq]
                compared += 1
    assert compared > 50


def test_a_depth_shows_as_many_levels_as_its_name_says():
    made = face()
    socket = listen(made, f"orderbook.50.{SYMBOL}")
    made.exchange.on_event(delta(11, 12, 10, [(900 - n, 1) for n in range(80)], at_ms=100))
    made.stream.flush(10**12)
    book = Book(SYMBOL, "bybit")
    for event in events_of(socket.messages):
        book.apply(event)
    assert len(book.levels(1, 1000)) == 50
    made.exchange.on_event(delta(13, 14, 12, [(1000, 0), (999, 0)], at_ms=200))
    made.stream.flush(2 * 10**12)
    for event in events_of(socket.messages[-1:]):
        book.apply(event)
    assert len(book.levels(1, 1000)) == 50, "levels that move up into view are sent"


def test_pace_gathers_changes_of_its_interval():
    made = face()
    socket = listen(made, f"orderbook.200.{SYMBOL}")
    socket.take()
    for step in range(100):
        made.exchange.on_event(delta(11 + step, 11 + step, 10 + step, [(990, 100 + step)], at_ms=100 + step * 5))
    assert 5 <= len(socket.take()) <= 6


def test_level_one_sends_snapshots_only_and_repeats_an_idle_one():
    made = face()
    socket = listen(made, f"orderbook.1.{SYMBOL}")
    made.exchange.on_event(quote(11, (1000, 7), (1001, 9), at_ms=100))
    first, changed = socket.take()
    assert (first["type"], changed["type"], changed["data"]["u"]) == ("snapshot", "snapshot", first["data"]["u"] + 1)
    assert changed["data"]["b"] == [["100.0", "0.007"]]
    made.stream.flush((100 + 2_900) * MS)
    assert socket.take() == []
    made.stream.flush((100 + 3_000) * MS)
    assert socket.take() == [changed]


def test_a_later_subscriber_gets_the_state_the_others_have():
    made = face()
    early = listen(made, f"orderbook.200.{SYMBOL}")
    made.exchange.on_event(delta(11, 12, 10, [(990, 1)], at_ms=100))
    made.exchange.on_event(delta(13, 14, 12, [(990, 2)], at_ms=101))
    late = listen(made, f"orderbook.200.{SYMBOL}")
    made.stream.flush(300 * MS)
    books = [Book(SYMBOL, "bybit"), Book(SYMBOL, "bybit")]
    for book, socket in zip(books, (early, late), strict=True):
        for event in events_of(socket.messages):
            book.apply(event)
    assert books[0].levels(1, 50) == books[1].levels(1, 50)
    assert early.messages[-1]["data"]["u"] == late.messages[-1]["data"]["u"]


def test_reset_starts_anew_with_update_one():
    made = face()
    socket = listen(made, f"orderbook.50.{SYMBOL}")
    made.exchange.on_event(delta(11, 12, 10, [(990, 1)], at_ms=100))
    made.hub.reset(SYMBOL)
    made.exchange.on_event(delta(13, 14, 12, [(990, 2)], at_ms=300))
    reset, after = socket.take()[-2:]
    assert (reset["data"]["u"], after["data"]["u"], after["type"]) == (1, 2, "delta")
    assert ["99.0", "0.001"] in reset["data"]["b"]


def test_a_planted_gap_shows_as_a_missing_update():
    made = face()
    socket = listen(made, f"orderbook.50.{SYMBOL}", f"publicTrade.{SYMBOL}")
    made.hub.faults.gap[SYMBOL] = 2
    made.exchange.on_event(trade(1000, 5, -1, at_ms=90))
    for step in range(5):
        made.exchange.on_event(delta(11 + step, 11 + step, 10 + step, [(990, 100 + step)], at_ms=100 + step * 50))
    kinds = [(m["topic"].split(".")[0], m["data"]["u"] if m["topic"][0] == "o" else 0) for m in socket.take()]
    first = kinds[0][1]
    assert kinds == [("orderbook", first), ("publicTrade", 0), *(("orderbook", first + n) for n in (3, 4, 5))]


def test_trades_are_sent_one_by_one_under_ids_of_their_own():
    made = face()
    socket = listen(made, f"publicTrade.{SYMBOL}")
    for number in (1, 2):
        made.exchange.on_event(Trade(SYMBOL, NOW_NS, NOW_NS, 100.0, 0.2, -1, number, 0.2, True))
    made.exchange.on_event(Trade(SYMBOL, NOW_NS, NOW_NS, 100.0, 0.2, -1, 3, 0.2, False))
    found = events_of(socket.take())
    assert [(t.px, t.qty, t.side, t.ts_event) for t in found] == [(100.0, 0.2, -1, NOW_NS)] * 2
    assert found[0].trade_id != found[1].trade_id


def test_aggregates_are_not_told_twice():
    made = face()
    socket = listen(made, f"publicTrade.{SYMBOL}")
    made.exchange.on_event(trade(1000, 5, -1, at_ms=5))
    made.exchange.on_event(trade(1000, 5, -1, at_ms=5), is_aggregate=True)
    assert len(socket.take()) == 1
    assert sum(c.lots for c in made.exchange.markets[SYMBOL].candles.minutes.values()) == 5


def test_tickers_send_the_whole_then_changes_only():
    made = face()
    socket = listen(made, f"tickers.{SYMBOL}")
    made.exchange.on_event(trade(1000, 5, -1, at_ms=200))
    made.exchange.on_event(mark(400, 100.04))
    made.exchange.on_event(mark(600, 100.04))
    whole, traded, marked = socket.take()
    assert (whole["type"], whole["data"]["bid1Price"], whole["data"]["lastPrice"]) == ("snapshot", "100.0", "0.0")
    assert (traded["type"], traded["data"]["lastPrice"], traded["data"]["volume24h"]) == ("delta", "100.0", "0.005")
    assert "bid1Price" not in traded["data"]
    assert (marked["data"]["markPrice"], marked["data"]["fundingRate"]) == ("100.04", "0.0001")


def test_partial_marks_keep_what_they_leave_out():
    made, nan = face(), float("nan")
    made.exchange.on_event(Mark(SYMBOL, 90 * MS, 90 * MS, nan, 99.0, nan, 0))
    assert made.exchange.markets[SYMBOL].mark is None
    made.exchange.on_event(mark(100, 100.04))
    made.exchange.on_event(Mark(SYMBOL, 200 * MS, 200 * MS, nan, 99.0, nan, 0))
    held = made.exchange.markets[SYMBOL].mark
    assert (held.mark_px, held.index_px, held.funding_rate, held.next_funding_ns) == (100.04, 99.0, 0.0001, 10_000 * MS)


def test_funding_and_open_interest_are_remembered():
    made = face()
    made.exchange.on_event(mark(100, rate=0.0003))
    made.exchange.on_event(mark(11_000, rate=0.0005, next_ms=10_000 + 28_800_000))
    made.exchange.on_event(OpenInterest(SYMBOL, 12_000 * MS, 12_000 * MS, 55.5, float("nan")))
    settled = made.exchange.markets[SYMBOL].settled
    assert [(f.next_funding_ns, f.funding_rate) for f in settled] == [(10_000 * MS, 0.0003)]
    assert [one.qty for one in made.exchange.markets[SYMBOL].interest] == [55.5]
    assert topics.funding_minutes(made.exchange, SYMBOL) == 480
    assert topics.ticker(made.exchange, SYMBOL)["openInterest"] == "55.5"


def test_liquidations_name_the_position_that_was_closed():
    made = face()
    socket = listen(made, f"allLiquidation.{SYMBOL}")
    made.exchange.on_event(Liquidation(SYMBOL, 5 * MS, 5 * MS, 99.5, 0.3, -1))
    (message,) = socket.take()
    assert message["data"][0]["S"] == "Buy"
    assert [(e.side, e.px, e.qty) for e in events_of([message])] == [(-1, 99.5, 0.3)]


def test_a_candle_is_confirmed_once():
    made = face()
    socket = listen(made, f"kline.1.{SYMBOL}")
    for second in (1, 30, 59, 61, 63, 65):
        made.exchange.on_event(trade(1000 + second, 2, 1, at_ms=second * SECOND_MS))
    sent = [[(row["start"], row["close"], row["confirm"]) for row in m["data"]] for m in socket.take()]
    assert sent == [
        [(0, "100.1", False)],
        [(0, "103.0", False)],
        [(0, "105.9", False)],
        [(0, "105.9", True), (60_000, "106.1", False)],
        [(60_000, "106.3", False)],
        [(60_000, "106.5", False)],
    ]


def test_unsubscribed_topics_are_silent():
    made = face()
    socket = listen(made, f"publicTrade.{SYMBOL}", f"orderbook.1.{SYMBOL}")
    for name in list(socket.names):
        made.hub.unsubscribe(socket, name)
    socket.take()
    made.exchange.on_event(trade(1000, 5, -1, at_ms=200))
    made.exchange.on_event(quote(11, (1000, 7), (1001, 9), at_ms=300))
    assert (socket.take(), made.hub.topics_of(SYMBOL)) == ([], [])


def test_quotes_of_the_codec_agree_with_the_exchange():
    made = face()
    socket = listen(made, f"orderbook.1.{SYMBOL}")
    made.exchange.on_event(quote(11, (1000, 7), (1001, 9), at_ms=100))
    found = events_of(socket.take())[-1]
    assert isinstance(found, Quote)
    assert (found.bid_px, found.bid_qty, found.ask_px, found.ask_qty) == (100.0, 0.007, 100.1, 0.009)
