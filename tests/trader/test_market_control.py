"""Outages told by symbol: one symbol's lost socket takes down that symbol's book and quotes, and no other's."""

import msgspec
from harness import instrument, start_record

from trader.engine import Engine
from trader.journal import encode
from trader.records import Control, FrameIn, Resync, Timer

SNAPSHOT = b'{"lastUpdateId":10,"E":1,"T":1,"bids":[["100.0","5"]],"asks":[["100.5","5"]]}'


def delta(symbol):
    stream = f"{symbol.lower()}@depth@0ms".encode()
    data = b'{"e":"depthUpdate","E":2,"T":2,"s":"%s","U":9,"u":11,"pu":8,"b":[["99.5","1"]],"a":[]}' % symbol.encode()
    return b'{"stream":"%s","data":%s}' % (stream, data)


def standing_engine():
    engine = Engine(start_record([instrument("AAAUSDT"), instrument("BBBUSDT")]))
    engine.step(Control(2, "market_up", "", ("AAAUSDT", "BBBUSDT")))
    for place, symbol in enumerate(("AAAUSDT", "BBBUSDT")):
        engine.step(FrameIn(3 + 2 * place, symbol, SNAPSHOT))
        engine.step(FrameIn(4 + 2 * place, symbol, delta(symbol)))
    return engine, engine.books.markets


def okx_book(action, seq_id, prev_id):
    arg = b'{"channel":"books","instId":"BTC-USDT-SWAP"}'
    levels = b'"bids":[["100","5","0","1"]],"asks":[["101","5","0","1"]],"ts":"1700000000000"'
    ids = b'"seqId":%d,"prevSeqId":%d' % (seq_id, prev_id)
    return b'{"arg":%s,"action":"%s","data":[{%s,%s}]}' % (arg, action, levels, ids)


def resyncs(outputs):
    return [output.symbol for output in outputs if isinstance(output, Resync)]


def test_a_lost_socket_takes_down_only_the_symbols_it_carried():
    engine, markets = standing_engine()
    assert markets["AAAUSDT"].tradable and markets["BBBUSDT"].tradable
    engine.step(Control(10, "market_down", "public-0: lost", ("AAAUSDT",)))
    assert not markets["AAAUSDT"].tradable and markets["BBBUSDT"].tradable


def test_a_symbol_that_is_down_asks_for_no_snapshot_until_it_is_up():
    engine, markets = standing_engine()
    engine.step(Control(10, "market_down", "silent: depth of AAAUSDT", ("AAAUSDT",)))
    assert resyncs(engine.step(Timer(2_000_000_000))) == []
    engine.step(Control(2_000_000_001, "market_up", "heard again", ("AAAUSDT",)))
    assert not markets["AAAUSDT"].tradable
    assert resyncs(engine.step(Timer(4_000_000_000))) == ["AAAUSDT"]


def test_an_outage_that_names_no_symbol_is_everyones():
    engine, markets = standing_engine()
    engine.step(Control(10, "market_down", ""))
    assert not any(market.tradable for market in markets.values())


def test_an_outage_of_a_stranger_changes_nothing():
    engine, markets = standing_engine()
    assert engine.step(Control(10, "market_down", "", ("ZZZUSDT",))) == []
    assert all(market.tradable for market in markets.values())


def test_the_journal_keeps_the_symbols_of_an_outage():
    event = Control(10, "market_down", "lost", ("AAAUSDT",))
    assert msgspec.msgpack.decode(encode(event), type=Control) == event


def test_every_venue_brings_its_own_decoder_and_book_rule():
    okx = msgspec.structs.replace(instrument("BTC-USDT-SWAP"), venue="okx")
    engine = Engine(start_record([okx]))
    market = engine.books.markets["BTC-USDT-SWAP"]
    engine.step(Control(2, "market_up", ""))
    engine.step(FrameIn(3, market.symbol, okx_book(b"snapshot", 7, -1)))
    assert market.tradable
    engine.step(FrameIn(4, market.symbol, okx_book(b"update", 9, 8)))
    assert not market.tradable and market.gaps == 1


def test_bad_frames_are_counted_by_reason_and_unknown_ones_by_type():
    engine, markets = standing_engine()
    for ts_ns, raw in ((11, b"{"), (12, b"["), (13, b'{"e":"kline","s":"AAAUSDT"}')):
        engine.step(FrameIn(ts_ns, "AAAUSDT", raw))
    market = markets["AAAUSDT"]
    assert market.quarantined == sum(market.reasons.values()) == 2
    assert dict(market.unknown) == {"kline": 1}
    assert market.tradable
