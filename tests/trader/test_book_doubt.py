"""A book that may have missed a delta (Bybit), or whose stream says nothing, is not traded and asked for anew."""

import msgspec
import pytest
from harness import instrument, start_record
from test_market_control import okx_book, resyncs, standing_engine

from trader.engine import Engine
from trader.records import Control, FrameIn, Timer

SECOND = 1_000_000_000
SYMBOL = "AAAUSDT"


def bybit_book(kind, update_id):
    data = b'{"s":"%s","b":[["100","5"]],"a":[["101","5"]],"u":%d,"seq":%d}' % (SYMBOL.encode(), update_id, update_id)
    return b'{"topic":"orderbook.50.%s","type":"%s","ts":1,"data":%s,"cts":1}' % (SYMBOL.encode(), kind.encode(), data)


def bybit_engine():
    engine = Engine(start_record([msgspec.structs.replace(instrument(SYMBOL), venue="bybit")]))
    engine.step(Control(2, "market_up", ""))
    engine.step(FrameIn(SECOND, SYMBOL, bybit_book("snapshot", 7)))
    engine.step(FrameIn(SECOND + 1, SYMBOL, bybit_book("delta", 8)))
    return engine, engine.books.markets[SYMBOL]


def test_a_step_above_one_stops_trading_until_a_fresh_book_stands():
    engine, market = bybit_engine()
    assert market.tradable and resyncs(engine.step(Timer(2 * SECOND))) == []
    engine.step(FrameIn(3 * SECOND, SYMBOL, bybit_book("delta", 10)))
    assert market.book.tradable and not market.tradable
    (asked,) = engine.step(Timer(3 * SECOND + 1))
    assert asked.symbol == SYMBOL and "from 8 to 10" in asked.reason
    engine.step(FrameIn(3 * SECOND + 2, SYMBOL, bybit_book("snapshot", 11)))
    assert market.tradable


def test_doubts_that_come_back_are_asked_about_less_and_less_often():
    engine, _ = bybit_engine()
    asked, update_id = [], 10
    for second in range(3, 200):
        engine.step(FrameIn(second * SECOND, SYMBOL, bybit_book("delta", update_id)))
        if resyncs(engine.step(Timer(second * SECOND + 1))):
            asked.append(second)
            engine.step(FrameIn(second * SECOND + 2, SYMBOL, bybit_book("snapshot", update_id + 1)))
        update_id += 3
    assert asked == [3, 13, 33, 73, 153]


def okx_engine():
    engine = Engine(start_record([msgspec.structs.replace(instrument(SYMBOL), venue="okx")]))
    engine.step(Control(2, "market_up", ""))
    engine.step(FrameIn(SECOND, SYMBOL, okx_book(b"snapshot", 7, -1)))
    return engine, engine.books.markets[SYMBOL]


def binance_engine():
    engine, markets = standing_engine()
    return engine, markets[SYMBOL]


@pytest.mark.parametrize(("standing", "limit_s"), [(binance_engine, 30), (okx_engine, 90), (bybit_engine, 60)])
def test_a_silent_book_is_not_tradable_once_the_venues_own_limit_has_passed(standing, limit_s):
    engine, market = standing()
    limit_ns = market.book.last_recv_ns + limit_s * SECOND
    engine.step(Timer(limit_ns))
    assert market.tradable
    assert SYMBOL in resyncs(engine.step(Timer(limit_ns + 1)))
    assert not market.tradable and market.book.reason.startswith("silent for")
