"""Live rules of data quality: each trips on its fault only, marks the symbol, reaches the gate, and replays."""

from math import inf, nan

import msgspec
import pytest
from harness import Recorded, instrument, simulated_frames, start_record

from market.events import Depth, Quote, Trade
from risk.layers import ALLOW, check_emergency
from risk.types import Intent
from trader.accounts import account_view, market_view
from trader.detectors import AlarmParams
from trader.quality import ALARMS, CODES, PARAMS, SymbolQuality
from trader.records import Control, FrameIn
from trader.replay import Replay

S = 1_000_000_000
START = 1_700_000_000 * S


def quote(at_s, mid=100.0, half=0.005, event_s=None, **changes):
    event_ns = START + int((at_s if event_s is None else event_s) * S)
    plain = Quote("X", event_ns, START + int(at_s * S), mid - half, 1.0, mid + half, 1.0, 1)
    return msgspec.structs.replace(plain, **changes)


def trade(at_s, trade_id, qty=1.0):
    return Trade("X", START + int(at_s * S), START + int(at_s * S), 100.0, qty, 1, trade_id, qty, True)


def depth(at_s):
    return Depth("X", START + int(at_s * S), START + int(at_s * S), False, 1, 2, 0, [], [])


def calm(venue="binanceusdm", until_s=30.0, px=100.0):
    """A market that quotes and trades every 100 ms, moving to and fro by half a basis point."""
    quality = SymbolQuality(venue)
    for i in range(int(until_s * 10)):
        quality.on_quote(quote(i / 10, px * (1 + 5e-5 * (i % 2)), px * 5e-5))
        quality.on_trade(trade(i / 10, i + 1))
    return quality


def raised(quality, at_s):
    return quality.suspect(START + int(at_s * S))


@pytest.mark.parametrize("px", [1e-8, 100.0, 1e8])
def test_a_calm_market_trips_nothing_at_any_price(px):
    quality = calm(px=px, until_s=60)
    assert quality.faults == 0
    assert raised(quality, 59.9) == ()


FAULTS = {
    "PRICE_JUMP": lambda q: q.on_quote(quote(30, 101.0)),
    "WIDE_SPREAD": lambda q: q.on_quote(quote(30, 100.0, 0.5)),
    "EVENT_ORDER": lambda q: q.on_quote(quote(30, event_s=20)),
    "STALE_STREAM": lambda q: q.on_trade(trade(36, 301)),
    "VOLUME_SPIKE": lambda q: q.on_trade(trade(30, 301, qty=2_000.0)),
    "MISSING_TRADES": lambda q: q.on_trade(trade(30, 304)),
    "DUPLICATE_TRADES": lambda q: [q.on_trade(trade(30, 250)) for _ in range(60)],
    "CROSSED_BOOK": lambda q: q.on_depth(depth(30), 0.5),
    "BROKEN_QUOTE": lambda q: q.on_quote(quote(30, ask_qty=nan)),
}


@pytest.mark.parametrize("code", CODES)
def test_each_fault_trips_its_rule_once_and_is_over_after_a_stated_time(code):
    quality = calm()
    FAULTS[code](quality)
    assert quality.faults == 1
    (told,) = quality.last.values()
    assert told.code == code
    assert not told.observed <= told.limit
    at_s = (told.ts_ns - START) / S
    quiet = (quote(at_s, event_s=30.0), depth(at_s + 0.01))
    quality.on_quote(quiet[0])
    assert ALARMS[code] in raised(quality, at_s + PARAMS.suspect_s - 0.1)
    quality.on_quote(quote(at_s + PARAMS.suspect_s, event_s=31.0))
    if code != "CROSSED_BOOK":
        assert ALARMS[code] not in raised(quality, at_s + PARAMS.suspect_s + 0.01)


@pytest.mark.parametrize("changes", [{"bid_px": nan}, {"ask_px": inf}, {"bid_px": 0.0}, {"bid_qty": -1.0}])
def test_broken_quotes_trip_and_poison_no_average(changes):
    quality = calm()
    quality.on_quote(quote(30, **changes))
    assert set(quality.last) == {"BROKEN_QUOTE"}
    quality.on_quote(quote(31, 101.0))
    assert "PRICE_JUMP" in quality.last


def test_a_fault_that_lasts_is_one_fault():
    quality = calm()
    for i in range(40):
        quality.on_quote(quote(30 + i / 10, 100.0, 0.5))
    assert quality.faults == 1


def test_a_crossed_quote_trips():
    quality = calm()
    quality.on_quote(quote(30, half=-0.01))
    assert set(quality.last) == {"CROSSED_BOOK"}


def test_ids_of_venues_that_do_not_count_are_not_judged():
    quality = calm("bybit")
    quality.on_trade(trade(30, 9_000_000))
    quality.on_trade(trade(30, 9_000_000))
    assert quality.faults == 0


def test_a_few_repeats_after_a_reconnect_are_no_fault():
    quality = calm()
    for i in range(20):
        quality.on_trade(trade(30, 280 + i))
    assert quality.faults == 0


def test_silence_is_seen_before_anything_arrives_again():
    quality = calm()
    assert raised(quality, 31) == ()
    assert raised(quality, 40) == ("data_stale_stream",)
    assert quality.faults == 0


def jumped(frame):
    """The frame with its price digits shifted: a quote of ten times the price."""
    head, _, rest = frame.raw.partition(b'"b":"')
    bid, _, rest = rest.partition(b'"')
    return head + b'"b":"' + bid.replace(b".", b"", 1)[:2] + bid[1:] + b'"' + rest


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("q")
    symbols, frames = simulated_frames(folder / "market", minutes=0.7)
    recorded = Recorded(folder / "r", start_record([instrument(s) for s in symbols]))
    at = next(i for i in range(int(0.6 * len(frames)), len(frames)) if b'"bookTicker"' in frames[i].raw)
    frames[at] = msgspec.structs.replace(frames[at], raw=jumped(frames[at]))
    recorded.play(frames)
    recorded.feed(Control(recorded.now(), "stop", "test"))
    recorded.close()
    return recorded, frames[at]


def test_a_suspect_symbol_takes_no_new_risk_and_the_run_replays_byte_for_byte(run):
    recorded, bad = run
    assert recorded.engine.books.markets[bad.symbol].quality.faults >= 1
    books, ts_ns = recorded.engine.books, bad.recv_ns + 1
    intent = Intent(bad.symbol, 1, 0.01, 100.0, True, False, "mm", "", 0.9, 10.0)
    view = market_view(books, intent, ts_ns)
    assert ALARMS["CROSSED_BOOK"] in view.alarms
    assert ALARMS["CROSSED_BOOK"] not in market_view(books, intent, ts_ns + int(PARAMS.suspect_s * S)).alarms
    calm_view = msgspec.structs.replace(view, alarms=(ALARMS["CROSSED_BOOK"],), tradable=True)
    account = account_view(books, None)
    limits = recorded.engine.start.config.limits
    assert check_emergency(intent, account, calm_view, limits).code == "ALARM_DATA_CROSSED_BOOK"
    leaving = msgspec.structs.replace(intent, reduce_only=True)
    assert check_emergency(leaving, account, calm_view, limits) == ALLOW["emergency"]
    result = Replay(recorded.run.journal, recorded.run.tape).run()
    assert result.differing == 0
    assert result.decisions > 300


def test_faults_count_towards_system_instability(run):
    recorded, bad = run
    books = recorded.engine.books
    before = books.risk[bad.symbol].alarm_state.faults.total
    assert before >= books.markets[bad.symbol].quality.faults >= 1
    for i in range(int(AlarmParams().fault_count) + 1):
        at = recorded.ts + (i + 1) * 6 * S
        recorded.engine.step(FrameIn(at, bad.symbol, bad.raw))
    assert books.markets[bad.symbol].quality.faults > before
