"""The whole bank where nothing can be divided by: always finite, always what the oracles say."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bank import BANK, BANK_INDEX, BANK_NAMES, bank_kernel
from features.body import BOOK_LEVELS, INTEREST, LIQUIDATION, MARK, REFERENCE
from features.schema import WARMUP_ROWS
from features.state import LEVELS
from market.events import QUOTE, TRADE
from tests.features.oracles.compare import errors, wrong
from tests.features.oracles.history import History
from tests.features.streams import HOUR, MS, SECOND, START_NS, constant, full_market, market, pick, run, run_late

pytestmark = pytest.mark.timeout(900)  # the whole bank compiles for a minute or more where it was not compiled before


def never_moves():
    """One price throughout, for quotes, trades, marks and the reference alike."""
    stream = full_market(51, 6_000)
    stream.values[stream.kinds == QUOTE] = (100.0, 3.0, 100.01, 3.0)
    stream.values[stream.kinds == TRADE] = (100.0, 1.0, 1.0, 0.0)
    stream.values[stream.kinds == REFERENCE] = (3_000.0, 1.0, 3_000.5, 1.0)
    stream.values[stream.kinds == MARK] = (100.0, 100.0, 0.0, 0.0)
    stream.values[stream.kinds == INTEREST, 0] = 1e6
    stream.values[stream.kinds == LIQUIDATION] = (100.0, 1.0, 1.0, 0.0)
    stream.levels[:] = stream.levels[0]
    return stream


def without(*kinds):
    stream = full_market(52, 6_000)
    return pick(stream, ~np.isin(stream.kinds, kinds))


def one_level_a_side():
    stream = full_market(53, 6_000)
    stream.levels[:, :, 1:] = 0.0
    return stream


def one_sided():
    """Everybody buys, and the book holds ten thousand times more bids than asks."""
    stream = full_market(54, 6_000)
    taken = np.isin(stream.kinds, (TRADE, LIQUIDATION))
    stream.values[taken, 2] = 1.0
    stream.values[stream.kinds == QUOTE, 1] *= 1e4
    stream.levels[:, 1] *= 1e4
    stream.levels[:, 2:, 1:] = 0.0
    return stream


def locked():
    stream = full_market(55, 6_000)
    book = np.isin(stream.kinds, (QUOTE, REFERENCE))
    stream.values[book, 2] = stream.values[book, 0]
    return stream


def after_an_hour():
    """An hour without any event, then six in the same nanosecond, then on."""
    stream = full_market(56, 6_000)
    stream.ts[3_000:] += HOUR
    stream.ts[3_000:3_006] = stream.ts[3_000:3_006].max()
    return stream


def trades_stop():
    stream = full_market(57, 9_000, mean_ms=40.0)
    stream.ts[3_000:] += np.arange(6_000) * 500 * MS
    return pick(stream, (stream.kinds != TRADE) | (np.arange(9_000) < 3_000))


def only_trades_move():
    """A thousand trades between two quotes, and the price only moves at the very end."""
    stream = full_market(58, 6_000)
    quotes = np.flatnonzero(stream.kinds == QUOTE)
    stream.values[quotes[:-50]] = stream.values[quotes[0]]
    return pick(stream, (stream.kinds != QUOTE) | (np.arange(6_000) < 2_000) | (np.arange(6_000) > 5_500))


CASES = {
    "market that never moves": never_moves,
    "quotes that never change, and nothing else": lambda: constant(4_000),
    "no trades": lambda: without(TRADE),
    "no trades, no liquidations, no books": lambda: without(TRADE, LIQUIDATION, BOOK_LEVELS),
    "no reference, no marks, no interest": lambda: without(REFERENCE, MARK, INTEREST),
    "quotes and trades alone": lambda: market(50, 6_000),
    "one level a side": one_level_a_side,
    "one-sided": one_sided,
    "locked book": locked,
    "gap of an hour": after_an_hour,
    "trades stop": trades_stop,
    "only trades move": only_trades_move,
    "slow market": lambda: full_market(59, 4_000, mean_ms=30_000.0),
    "prices 1e-8, quantities 1e8": lambda: full_market(60, 6_000, 1e-8, 1e8),
    "prices 1e8, quantities 1e-8": lambda: full_market(60, 6_000, 1e8, 1e-8),
    "prices and quantities 1e-8": lambda: full_market(60, 6_000, 1e-8, 1e-8),
    "prices and quantities 1e8": lambda: full_market(60, 6_000, 1e8, 1e8),
}


def unlike_oracles(stream, ticks):
    """Features that are wrong at ``ticks`` rows spread over the stream; every row must be finite."""
    rows, index = run(bank_kernel(), stream)
    assert [BANK_NAMES[column] for column in np.flatnonzero(~np.isfinite(rows).all(axis=0))] == []
    picked = np.unique(np.linspace(0, len(index) - 1, ticks).astype(int))
    return wrong(errors(History(stream), BANK, BANK_INDEX, rows, index, picked))


@pytest.mark.parametrize("case", CASES)
def test_bank_is_finite_and_equals_its_oracles(case):
    assert unlike_oracles(CASES[case](), 4) == {}


def test_bank_holds_over_a_million_equal_timestamps():
    stream = full_market(61, 1_020_000)
    stream.ts[20_000:] = stream.ts[20_000:].min()
    rows, index = run_late(bank_kernel(), stream)
    assert wrong(errors(History(stream), BANK, BANK_INDEX, rows, index, [len(index) - 1])) == {}


STATED = {
    "rsi_14x100ms": 50.0,
    "stochastic_k_14_3x100ms": 50.0,
    "stochastic_d_14_3x100ms": 50.0,
    "williams_r_40x100ms": -50.0,
    "spread_relative": 0.0,
    "return_1s_bps": 0.0,
    "volatility_5s_bps": 0.0,
    "volume_1s": 0.0,
    "flow_100ms": 0.0,
    "vwap_distance_1s_bps": 0.0,
    "macd_12_26_9x100ms_bps": 0.0,
    "bollinger_position_20x100ms": 0.0,
    "atr_14x100ms_bps": 0.0,
}


def test_constant_quotes_give_the_stated_zero_values():
    row = run(bank_kernel(), constant(2_000))[0][-1]
    np.testing.assert_allclose(row[[BANK_INDEX[name] for name in STATED]], list(STATED.values()), atol=1e-9)


odd = st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 1e-8, 1e8, 1e-17, 9e17, 1.0, 1.0001, 100.0]))
odd_events = st.tuples(st.integers(-1, 7), st.integers(-(2**62), 2**62), odd, odd, odd, odd)
near_events = st.tuples(
    st.sampled_from([QUOTE, QUOTE, TRADE, MARK, REFERENCE, BOOK_LEVELS, INTEREST, LIQUIDATION]),
    st.integers(START_NS, START_NS + 10 * SECOND),
    *[st.sampled_from([1.0, 1.0001, 2.0, 1e-17, 9e17, np.nan])] * 4,
)


def play(state, events):
    """Feed ``events``; True when every row that was given is finite."""
    kinds, ts, *values = zip(*events, strict=True) if events else [()] * 6
    values = np.array(values, float).T.reshape(-1, 4)
    books = values[np.array(kinds, np.int64) == BOOK_LEVELS]
    levels = books[:, :, None] * (1.0 + 1e-5 * np.arange(LEVELS))
    rows, _ = bank_kernel().fold(np.array(kinds, np.int8), np.array(ts, np.int64), values, state, levels)
    return bool(np.isfinite(rows).all())


def plain_quotes(state, count):
    """Unmoved quotes that come when the clock stands."""
    return [(QUOTE, int(state["now_ns"][0] - state["offset_ns"][0]), 100.0, 1.0, 100.01, 1.0)] * count


@functools.cache
def running():
    state = bank_kernel().init_state()
    run(bank_kernel(), full_market(62, 1_000), state)
    return state


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(odd_events, near_events), max_size=60))
def test_rows_are_finite_whatever_arrives_in_a_running_market(events):
    state = running().copy()
    assert play(state, events)
    assert play(state, plain_quotes(state, 3))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(odd_events, near_events), max_size=60))
def test_rows_are_finite_whatever_arrived_first(events):
    state = bank_kernel().init_state()
    assert play(state, events)
    assert play(state, plain_quotes(state, WARMUP_ROWS + 3))
