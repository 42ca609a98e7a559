"""The kernel as a machine: one body for batch and live, no look-ahead, mirror symmetry, and nothing odd breaks it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.kernel import encode, fold, init_state, update, warm_up
from features.schema import COUNT, FEATURES, INDEX, NAMES, WARMUP_ROWS, mirror
from market.events import QUOTE, TRADE, Quote, Trade
from tests.features.streams import SECOND, START_NS, Stream, constant, market, mirrored, pick


def one_by_one(stream, state=None):
    """Rows and their event positions, by one ``update`` call per event."""
    state, out, rows, index = init_state() if state is None else state, np.full(COUNT, np.nan), [], []
    for i, (kind, ts_ns, value) in enumerate(zip(stream.kinds, stream.ts, stream.values, strict=True)):
        if update(state, int(kind), int(ts_ns), *value.tolist(), out):
            rows.append(out.copy())
            index.append(i)
    return np.array(rows).reshape(-1, COUNT), np.array(index)


def column(rows, name):
    return rows[:, INDEX[name]]


def test_fold_equals_update_bit_for_bit():
    stream = market(11, 30_000)
    rows, index = fold(*stream)
    again, at = one_by_one(stream)
    assert rows.tobytes() == again.tobytes()
    assert index.tolist() == at.tolist()


def test_fold_in_pieces_equals_fold_at_once():
    stream, state = market(12, 9_000), init_state()
    pieces = [fold(*pick(stream, slice(start, start + 1_234)), state)[0] for start in range(0, 9_000, 1_234)]
    assert np.concatenate(pieces).tobytes() == fold(*stream)[0].tobytes()


def test_fold_takes_read_only_and_strided_columns():
    stream = market(13, 2_000)
    wide = np.repeat(stream.values, 2, axis=1)
    wide.flags.writeable = False
    assert fold(stream.kinds, stream.ts, wide[:, ::2])[0].tobytes() == fold(*stream)[0].tobytes()


def test_fold_of_no_events_is_no_rows():
    rows, index = fold(np.empty(0, np.int8), np.empty(0, np.int64), np.empty((0, 4)))
    assert rows.shape == (0, COUNT) and index.shape == (0,)


def test_each_quote_after_warm_up_is_a_decision_point():
    stream = market(14, 3_000)
    _, index = fold(*stream)
    assert index.tolist() == np.flatnonzero(stream.kinds == QUOTE)[WARMUP_ROWS:].tolist()


@pytest.mark.parametrize("seed", range(4))
def test_truncating_the_input_never_changes_an_earlier_row(seed):
    stream = market(20 + seed, 6_000)
    rows, index = fold(*stream)
    for cut in np.random.default_rng(seed).integers(1, 6_000, 50):
        earlier, at = fold(*pick(stream, slice(0, cut)))
        assert at.tolist() == index[index < cut].tolist()
        assert earlier.tobytes() == rows[: len(at)].tobytes()


@pytest.mark.parametrize("px, qty", [(20_000.0, 2.0), (1e-8, 1e8), (1e8, 1e-8)])
def test_mirrored_market_gives_mirrored_rows(px, qty):
    stream = market(30, 8_000, px, qty)
    rows, _ = fold(*stream)
    flipped, _ = fold(*mirrored(stream))
    np.testing.assert_allclose(flipped, mirror(rows), rtol=1e-9, atol=1e-9)


def test_mirroring_twice_gives_the_rows_back():
    rows = fold(*market(31, 2_000))[0].astype(np.float32)
    np.testing.assert_allclose(mirror(mirror(rows)), rows, rtol=1e-5, atol=1e-5)
    assert mirror(rows).dtype == np.float32


@pytest.mark.parametrize("px, qty", [(1e-8, 1e8), (1e8, 1e-8), (1e-8, 1e-8), (1e8, 1e8)])
def test_rows_do_not_depend_on_the_level_of_prices_and_quantities(px, qty):
    rows, _ = fold(*market(32, 8_000))
    scaled, _ = fold(*market(32, 8_000, px, qty))
    np.testing.assert_allclose(scaled, rows, rtol=1e-8, atol=1e-8)


def test_constant_price_gives_the_stated_zero_values():
    row = fold(*constant(2_000))[0][-1]
    stated = dict.fromkeys(NAMES, 0.0) | {"rsi_14": 50.0, "stochastic_k_14_3": 50.0, "stochastic_d_3": 50.0}
    stated["williams_r_40"] = -50.0
    np.testing.assert_allclose(row, [stated[name] for name in NAMES], atol=1e-9)


def test_locked_book_has_no_spread_and_no_microprice_distance():
    stream = constant(1_000)
    stream.values[:, 2] = stream.values[:, 0]
    row = fold(*stream)[0][-1]
    assert row[INDEX["spread_relative"]] == np.log(0.5)
    assert row[INDEX["microprice_relative"]] == 0.0


BAD_VALUES = (np.nan, 0.0, -1.0, np.inf, -np.inf, 1e-300, 1e300)


@pytest.mark.parametrize("field", range(4))
@pytest.mark.parametrize("bad", BAD_VALUES)
def test_one_sided_or_absurd_quote_is_no_decision_point_and_leaves_the_state(field, bad):
    state, out = init_state(), np.zeros(COUNT)
    fold(*market(40, 1_000), state)
    before, quote = state.tobytes(), [100.0, 1.0, 101.0, 1.0]
    quote[field] = bad
    assert not update(state, QUOTE, START_NS + 3_600 * SECOND, *quote, out)
    assert state.tobytes() == before and not out.any()


def test_crossed_quote_is_no_decision_point_and_leaves_the_state():
    state, out = init_state(), np.zeros(COUNT)
    fold(*market(41, 1_000), state)
    before = state.tobytes()
    assert not update(state, QUOTE, START_NS + SECOND, 101.0, 1.0, 100.0, 1.0, out)
    assert state.tobytes() == before


@pytest.mark.parametrize("field", range(2))
@pytest.mark.parametrize("bad", BAD_VALUES)
def test_trade_without_price_or_quantity_leaves_the_state(field, bad):
    state = init_state()
    fold(*market(42, 1_000), state)
    before, trade = state.tobytes(), [100.0, 1.0]
    trade[field] = bad
    assert not update(state, TRADE, START_NS + SECOND, *trade, 1.0, 0.0, np.zeros(COUNT))
    assert state.tobytes() == before


def test_unknown_kind_leaves_the_state():
    state = init_state()
    before = state.tobytes()
    assert not update(state, 7, START_NS, 100.0, 1.0, 101.0, 1.0, np.zeros(COUNT))
    assert state.tobytes() == before


def test_small_steps_back_of_the_clock_are_held():
    stream = market(43, 4_000)
    held = Stream(stream.kinds, np.maximum.accumulate(stream.ts), stream.values)
    assert (np.diff(stream.ts) < 0).any()
    assert fold(*stream)[0].tobytes() == fold(*held)[0].tobytes()


def test_one_timestamp_from_the_far_future_does_not_stop_the_clock():
    stream = market(44, 12_000)
    clean, _ = fold(*stream)
    stream.ts[3_000] += 400 * 86_400 * SECOND
    rows, _ = fold(*stream)
    assert np.isfinite(rows).all()
    lasting = [i for i, name in enumerate(NAMES) if "macd" not in name]
    np.testing.assert_allclose(rows[-1, lasting], clean[-1, lasting], rtol=0.2, atol=0.2)


def test_silence_empties_the_trade_windows_exactly():
    stream = market(45, 2_000)
    quiet = constant(20_000, px=stream.values[-1, 0], step_ms=1_000)
    state = init_state()
    fold(*stream, state)
    row = fold(quiet.kinds, quiet.ts + (stream.ts[-1] - START_NS), quiet.values, state)[0][-1]
    assert not row[[INDEX[feature.name] for feature in FEATURES if feature.group == "volume"]].any()
    assert state["flow_qty"][0] == 0.0 and state["typical_qty"][0] == 0.0


def test_first_event_may_be_a_trade_and_time_may_start_at_zero():
    stream = market(47, 2_000)
    stream.kinds[0], stream.values[0] = TRADE, (20_000.0, 1.0, 1.0, 0.0)
    rows, _ = fold(stream.kinds, stream.ts - stream.ts.min(), stream.values)
    assert len(rows) > 1_000 and np.isfinite(rows).all()


odd = st.one_of(st.floats(), st.sampled_from([0.0, 1e-8, 1e8, 1e-17, 9e17, 1.0, 1.0001]))
odd_events = st.tuples(st.integers(-1, 3), st.integers(-(2**62), 2**62), odd, odd, odd, odd)


@settings(max_examples=150, deadline=None)
@given(st.lists(odd_events, max_size=40))
def test_rows_are_finite_whatever_arrives(events):
    state, out = init_state(), np.zeros(COUNT)
    state["p"]["warmup_quotes"] = 0
    for event in events:
        if update(state, *event, out):
            assert np.isfinite(out).all()


def test_encode_uses_the_exchange_clock_and_falls_back_to_ours():
    quote = Quote("X", 5, 9, 1.0, 2.0, 3.0, 4.0, 1)
    assert encode(quote) == (QUOTE, 5, 1.0, 2.0, 3.0, 4.0)
    trade = Trade("X", 0, 9, 1.5, 2.5, -1, 1, 2.0, True)
    assert encode(trade) == (TRADE, 9, 1.5, 2.5, -1.0, 0.0)


def test_states_are_independent_and_copies_are_snapshots():
    stream = market(48, 3_000)
    state = init_state()
    fold(*pick(stream, slice(0, 2_000)), state)
    copy, rest = state.copy(), pick(stream, slice(2_000, 3_000))
    assert fold(*rest, state)[0].tobytes() == fold(*rest, copy)[0].tobytes()


def test_update_takes_microseconds_after_warm_up():
    """Bounds far above the usual cost: they catch a compile or an O(n) step on the live path, not noise."""
    warm_up()
    stream, state, out = market(49, 4_000), init_state(), np.zeros(COUNT)
    events = [(int(k), int(t), *v.tolist()) for k, t, v in zip(*stream, strict=True)]
    spent = []
    for event in events:
        begin = time.perf_counter_ns()
        update(state, *event, out)
        spent.append(time.perf_counter_ns() - begin)
    assert np.median(spent) < 100_000
    assert spent[0] < SECOND
