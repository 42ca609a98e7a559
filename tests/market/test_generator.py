"""The simulated market: same seed same bytes, ids and books that hold, trades at the touch, believable statistics."""

from itertools import pairwise

import numpy as np
import pytest

from market.codecs.binance import decode
from market.errors import TapeError
from market.events import Depth, Mark, Quote, Trade
from market.simulator.flow import paths, spec_of
from market.simulator.generator import generate
from market.tape import find_tapes, read_frames
from market.tape_stats import tape_stats


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Four minutes of two symbols, generated once."""
    folder = tmp_path_factory.mktemp("market")
    shares = []
    generate(folder, seed=3, minutes=4.0, progress=shares.append)
    return folder, shares


def events(folder, symbol):
    tape = next(tape for tape in find_tapes(folder) if tape.symbol == symbol)
    return [decode(frame.raw, frame.recv_ns) for frame in read_frames(tape)]


def test_same_seed_same_bytes_and_another_seed_another_market(tmp_path):
    made = [generate(tmp_path / name, seed, minutes=0.3) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    first, again, other = ([path.read_bytes() for path in files] for files in made)
    assert first == again and first != other


def test_the_truth_test_holds_on_a_generated_market(market):
    stats = tape_stats(market[0]).stats
    assert stats.symbols == ["BTCUSDT", "ETHUSDT"]
    assert stats.depth_applied == stats.depth_events > 5000
    assert (stats.chain_breaks, stats.crossed, stats.quarantined) == (0, 0, 0)
    assert (stats.trade_ids_duplicate, stats.trade_ids_missing) == (0, 0)
    found = stats.book_vs_ticker
    assert (found.differing, found.not_comparable) == (0, 0)
    assert found.sides_agreeing == 2 * found.events_compared > 10_000
    assert 0 < stats.recv_minus_event_ms.min < stats.recv_minus_event_ms.median < 10


def test_progress_rises_to_one(market):
    shares = market[1]
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 3


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_snapshot_comes_first_and_the_first_delta_straddles_it(market, symbol):
    found = [event for event in events(market[0], symbol) if isinstance(event, Depth)]
    snapshot, first = found[0], found[1]
    assert snapshot.is_snapshot and len(snapshot.bids) >= 1000 and len(snapshot.asks) >= 1000
    assert first.first_id <= snapshot.last_id <= first.last_id
    assert not any(depth.is_snapshot for depth in found[1:])


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_times_and_ids_only_rise(market, symbol):
    stream = events(market[0], symbol)
    assert all(later.ts_recv > earlier.ts_recv for earlier, later in pairwise(stream))
    assert all(event.ts_recv > event.ts_event for event in stream)
    for kind, key in ((Quote, "update_id"), (Trade, "trade_id")):
        ids = [getattr(event, key) for event in stream if isinstance(event, kind)]
        assert all(later > earlier for earlier, later in pairwise(ids))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_trades_walk_from_the_visible_touch_within_what_stands_there(market, symbol):
    """The first print of an action is at the shown touch, and deeper ones follow only once that is used up."""
    quote, traded = None, 0.0
    for event in events(market[0], symbol):
        if isinstance(event, Quote):
            quote, traded = event, 0.0
        elif isinstance(event, Trade) and quote is not None:
            px, qty = (quote.ask_px, quote.ask_qty) if event.side > 0 else (quote.bid_px, quote.bid_qty)
            if event.px == px:
                traded += event.qty
                assert traded <= qty * (1 + 1e-9)
            else:
                assert traded >= qty * (1 - 1e-9)
                assert (event.px - px) * event.side > 0


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_prices_and_quantities_stand_on_the_contracts_grid(market, symbol):
    spec = spec_of(symbol)
    for event in events(market[0], symbol)[:5000]:
        if isinstance(event, Trade):
            for value, step in ((event.px, float(spec.tick)), (event.qty, float(spec.lot))):
                assert abs(value / step - round(value / step)) < 1e-6


def test_the_market_is_believable(market):
    for symbol in ("BTCUSDT", "ETHUSDT"):
        stream = events(market[0], symbol)
        quotes = [event for event in stream if isinstance(event, Quote)]
        marks = [event for event in stream if isinstance(event, Mark)]
        tick = float(spec_of(symbol).tick)
        spread = np.array([(quote.ask_px - quote.bid_px) / tick for quote in quotes])
        mid = np.array([(quote.bid_px + quote.ask_px) / 2 for quote in quotes])
        assert 60 < len(stream) / 240 < 160 and len(marks) == 239
        assert spread.min() > 0.99 and np.median(spread) < 1.01 and np.quantile(spread, 0.99) > 2
        assert 0.005 < (mid[0] - mid.min()) / mid[0] < 0.08
        low = int(np.argmin(mid))
        assert 0.5 < low / len(mid) < 0.9 and mid[-1] > mid[low] * 1.001


def test_queue_imbalance_tells_something_of_the_next_move_but_not_all(market):
    quotes = [event for event in events(market[0], "BTCUSDT") if isinstance(event, Quote)]
    mid = np.array([(quote.bid_px + quote.ask_px) / 2 for quote in quotes])
    imbalance = np.array([(q.bid_qty - q.ask_qty) / (q.bid_qty + q.ask_qty) for q in quotes])
    moved = np.sign(np.round(mid[50:] - mid[:-50], 9))
    assert 0.15 < np.corrcoef(imbalance[:-50], moved)[0, 1] < 0.75
    assert 0.1 < (moved == 0).mean() < 0.8


def test_order_flow_comes_in_bursts(market):
    stamps = np.array([event.ts_event / 1e9 for event in events(market[0], "BTCUSDT") if isinstance(event, Trade)])
    per_s = np.histogram(stamps, bins=np.arange(stamps[0], stamps[-1], 1.0))[0]
    assert per_s.var() > 2 * per_s.mean()


def test_symbols_move_together_in_part():
    first, second = paths(5, 2, 6.0, [1.0, 1.0])
    returns = [np.diff(path.fair[::100]) for path in (first, second)]
    assert 0.3 < np.corrcoef(*returns)[0, 1] < 0.98


@pytest.mark.parametrize("symbol", ["SOLUSDT", "PEPEUSDT", "ABCUSDT", "Q"])
def test_any_symbol_makes_a_market_whose_book_holds(tmp_path, symbol):
    generate(tmp_path, seed=9, symbols=(symbol,), minutes=0.5)
    stats = tape_stats(tmp_path).stats
    assert stats.symbols == [symbol] and stats.book_vs_ticker.differing == 0
    assert stats.book_vs_ticker.sides_agreeing > 500


def test_a_market_over_midnight_becomes_two_chained_files(tmp_path, monkeypatch):
    monkeypatch.setattr("market.simulator.generator.START_NS", 1_767_657_595_000_000_000)
    files = generate(tmp_path, seed=2, symbols=("BTCUSDT",), minutes=0.3)
    assert [path.name for path in files] == ["btcusdt_20260105.gz", "btcusdt_20260106.gz"]
    stats = tape_stats(tmp_path).stats
    assert stats.chain_breaks == 0 and stats.depth_applied == stats.depth_events


def test_an_interrupted_run_leaves_no_tape_and_can_be_run_again(tmp_path):
    def stop(share):
        if share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, seed=4, minutes=1.0, progress=stop)
    assert not list(tmp_path.glob("*.gz"))
    generate(tmp_path, seed=4, minutes=1.0)
    generate(tmp_path / "clean", seed=4, minutes=1.0)
    for path in (tmp_path / "clean").iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


@pytest.mark.parametrize(
    ("symbols", "minutes"), [((), 1.0), (("BTCUSDT",), 0.0), (("BTCUSDT",), -1.0), (("B",), float("nan"))]
)
def test_nothing_to_generate_is_one_clear_error(tmp_path, symbols, minutes):
    with pytest.raises(TapeError, match="nothing to generate"):
        generate(tmp_path, 1, symbols, minutes)


def test_tapes_that_exist_are_not_overwritten(tmp_path):
    generate(tmp_path, 1, ("BTCUSDT",), 0.05)
    with pytest.raises(TapeError, match="exists already"):
        generate(tmp_path, 1, ("BTCUSDT",), 0.05)
