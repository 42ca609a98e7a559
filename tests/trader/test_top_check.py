"""The sampled truth test while trading: a whole market agrees, one wrong quantity at the top ends trust in a book."""

import msgspec
import pytest
from harness import instrument, simulated_frames, start_record
from test_book_doubt import SECOND, SYMBOL, bybit_engine
from test_market_control import resyncs, standing_engine

from trader.engine import Engine
from trader.records import Control, FrameIn, Timer

QUOTE = '{"e":"bookTicker","u":%d,"s":"AAAUSDT","b":"%s","B":"%s","a":"100.5","A":"5","T":1,"E":1}'


def quote(update_id, bid_px="100.0", bid_qty="5"):
    return (QUOTE % (update_id, bid_px, bid_qty)).encode()


def sampled(*quotes):
    """A book at id 11 with a bid of 5 at 100.0, sampled, then these quotes."""
    engine, markets = standing_engine()
    engine.step(FrameIn(8, SYMBOL, quote(10)))
    engine.step(Timer(2 * SECOND))
    for place, raw in enumerate(quotes):
        engine.step(FrameIn(2 * SECOND + 1 + place, SYMBOL, raw))
    return engine, markets[SYMBOL], engine.tops.by_symbol[SYMBOL]


def test_a_top_that_agrees_is_counted_once_a_younger_quote_has_come():
    _, market, check = sampled(quote(11))
    assert check.sides == 0
    _, market, check = sampled(quote(11), quote(12, "99.0"))
    assert (check.sides, check.differing) == (2, 0) and market.tradable


@pytest.mark.parametrize(
    ("said", "differing", "sides"),
    [
        pytest.param(("100.0", "4"), 1, 2, id="another quantity"),
        pytest.param(("99.0", "5"), 1, 2, id="ours is better: it should be gone"),
        pytest.param(("100.2", "5"), 0, 1, id="ours is worse: the snapshot may never have held it"),
    ],
)
def test_what_the_ticker_says_at_the_books_id_decides(said, differing, sides):
    engine, market, check = sampled(quote(11, *said), quote(12))
    assert (check.sides, check.differing) == (sides, differing)
    assert market.tradable is (differing == 0)
    if differing:
        assert market.book.reason.startswith("the ticker contradicts it: bid 100.0 x 5")
        assert resyncs(engine.step(Timer(3 * SECOND))) == [SYMBOL]


def test_a_quote_younger_than_the_book_begins_no_sample():
    engine, _ = standing_engine()
    engine.step(FrameIn(8, SYMBOL, quote(12, "99.0")))
    engine.step(Timer(2 * SECOND))
    assert not engine.tops.waiting


def test_an_outage_ends_a_sample_unjudged():
    engine, _, check = sampled()
    engine.step(Control(2 * SECOND + 1, "market_down", "", (SYMBOL,)))
    engine.step(FrameIn(2 * SECOND + 2, SYMBOL, quote(12, "99.0")))
    assert check.sides == 0 and not engine.tops.waiting


def bybit_quote(seq, bid_qty="5"):
    levels = b'"b":[["100","%s"]],"a":[["101","5"]]' % bid_qty.encode()
    head = b'{"topic":"orderbook.1.%s","type":"snapshot","ts":1,"cts":1,' % SYMBOL.encode()
    return head + b'"data":{"s":"%s",%s,"u":%d,"seq":%d}}' % (SYMBOL.encode(), levels, seq, seq)


@pytest.mark.parametrize(("seq", "sides"), [(8, 2), (7, 0)])
def test_where_the_top_is_told_now_and_then_only_the_same_id_is_compared(seq, sides):
    engine, market = bybit_engine()
    engine.step(FrameIn(SECOND + 2, SYMBOL, bybit_quote(seq, "5" if sides else "3")))
    engine.step(Timer(3 * SECOND))
    engine.step(FrameIn(3 * SECOND + 1, SYMBOL, bybit_quote(9)))
    check = engine.tops.by_symbol[SYMBOL]
    assert (check.sides, check.differing) == (sides, 0) and market.tradable


def test_a_whole_generated_market_never_differs_and_a_damaged_top_is_caught(tmp_path):
    symbols, frames = simulated_frames(tmp_path, minutes=0.5)
    engine = Engine(start_record([instrument(s) for s in symbols]))
    engine.step(Control(1, "market_up", ""))
    _play(engine, frames)
    checks = engine.tops.by_symbol.values()
    assert sum(c.sides for c in checks) > 80 and not any(c.differing for c in checks)
    symbol, at = symbols[0], frames[-1].recv_ns + 2 * SECOND
    market = engine.books.markets[symbol]
    (px, qty), top = market.book.best_bid(), market.quote
    last, new = market.book.last_id, max(market.book.last_id, top.update_id) + 1
    ids = {"s": symbol, "U": last + 1, "u": new, "pu": last}
    harmed = {"e": "depthUpdate", "E": 1, "T": 1, **ids, "b": [[str(px), str(qty * 2)]], "a": []}
    levels = {"b": str(top.bid_px), "B": str(top.bid_qty), "a": str(top.ask_px), "A": str(top.ask_qty)}
    younger = {"e": "bookTicker", "s": symbol, "u": new + 1, **levels, "T": 1, "E": 1}
    engine.step(FrameIn(at, symbol, msgspec.json.encode(harmed)))
    engine.step(Timer(at + 1))
    engine.step(FrameIn(at + 2, symbol, msgspec.json.encode(younger)))
    assert not market.tradable and "contradicts" in market.book.reason


def _play(engine, frames):
    timer = 0
    for frame in frames:
        engine.step(FrameIn(frame.recv_ns, frame.symbol, frame.raw))
        if frame.recv_ns - timer > SECOND // 10:
            timer = frame.recv_ns
            engine.step(Timer(frame.recv_ns))
