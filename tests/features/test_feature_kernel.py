"""The served kernel as a machine: one body for batch and live, its clock, and what it does not take."""

import time

import numpy as np
import pytest

from features.bank import kernel_of
from features.body import EVENT, INTEREST, LIQUIDATION, MARK, REFERENCE
from features.kernel import SERVED, address_of, clock_ns, encode, init_state, row_of, update, warm_up
from features.schema import COUNT, FEATURES, INDEX, WARMUP_ROWS
from market.events import QUOTE, TRADE, Quote, Trade
from tests.features.streams import (
    SECOND,
    START_NS,
    Stream,
    constant,
    full_market,
    market,
    one_by_one,
    pick,
    run,
)


def fold(stream, state=None):
    return run(SERVED, stream, state)


def test_fold_equals_update_bit_for_bit():
    stream = market(11, 30_000)
    rows, index = fold(stream)
    again, at = one_by_one(SERVED, stream)
    assert rows.tobytes() == again.tobytes()
    assert index.tolist() == at.tolist()


def test_updater_takes_events_from_memory_bit_for_bit():
    """Its state is held by the function itself, so that no address outlives it."""
    stream, event = market(15, 6_000), np.zeros(1, EVENT)
    state = init_state()
    row, take, rows = row_of(state), SERVED.updater(state), []
    del state
    for kind, ts_ns, values in zip(*stream[:3], strict=True):
        event[0] = (kind, ts_ns, *values)
        if take(event.ctypes.data):
            rows.append(row.copy())
    assert np.array(rows).tobytes() == fold(stream)[0].tobytes()


def test_updater_of_another_kernels_state_is_refused():
    with pytest.raises(ValueError, match="no state of this kernel"):
        SERVED.updater(kernel_of(["imbalance"]).init_state())


@pytest.mark.parametrize(
    "arguments",
    [(), (QUOTE, START_NS, 1.0, 1.0, 1.0), (QUOTE, "now", 1.0, 1.0, 1.0, 1.0), (QUOTE, 1, None, 1.0, 1.0, 1.0)],
)
def test_arguments_of_another_number_or_type_are_an_error_and_leave_the_state(arguments):
    state = init_state()
    before = state.tobytes()
    with pytest.raises(TypeError):
        update(address_of(state), *arguments)
    assert state.tobytes() == before


def test_fold_in_pieces_equals_fold_at_once():
    stream, state = market(12, 9_000), init_state()
    pieces = [fold(pick(stream, slice(start, start + 1_234)), state)[0] for start in range(0, 9_000, 1_234)]
    assert np.concatenate(pieces).tobytes() == fold(stream)[0].tobytes()


def test_fold_takes_read_only_and_strided_columns():
    stream = market(13, 2_000)
    wide = np.repeat(stream.values, 2, axis=1)
    wide.flags.writeable = False
    assert SERVED.fold(stream.kinds, stream.ts, wide[:, ::2])[0].tobytes() == fold(stream)[0].tobytes()


def test_fold_of_no_events_is_no_rows():
    rows, index = SERVED.fold(np.empty(0, np.int8), np.empty(0, np.int64), np.empty((0, 4)))
    assert rows.shape == (0, COUNT) and index.shape == (0,)


def test_each_quote_after_warm_up_is_a_decision_point():
    stream = market(14, 3_000)
    _, index = fold(stream)
    assert index.tolist() == np.flatnonzero(stream.kinds == QUOTE)[WARMUP_ROWS:].tolist()


BAD_VALUES = (np.nan, 0.0, -1.0, np.inf, -np.inf, 1e-300, 1e300)


def leaves_the_state(kind, values):
    """Whether an event an hour later gives no row and changes nothing, not even the clock."""
    state = init_state()
    fold(full_market(40, 1_000), state)
    before = state.tobytes()
    gave = update(address_of(state), kind, START_NS + 3_600 * SECOND, *values)
    return not gave and state.tobytes() == before


@pytest.mark.parametrize("field", range(4))
@pytest.mark.parametrize("bad", BAD_VALUES)
def test_one_sided_or_absurd_quote_is_no_decision_point_and_leaves_the_state(field, bad):
    quote = [100.0, 1.0, 101.0, 1.0]
    quote[field] = bad
    assert leaves_the_state(QUOTE, quote)


def test_crossed_quote_is_no_decision_point_and_leaves_the_state():
    assert leaves_the_state(QUOTE, (101.0, 1.0, 100.0, 1.0))


@pytest.mark.parametrize("kind", [TRADE, LIQUIDATION])
@pytest.mark.parametrize("field", range(2))
@pytest.mark.parametrize("bad", BAD_VALUES)
def test_trade_or_liquidation_without_price_or_quantity_leaves_the_state(kind, field, bad):
    trade = [100.0, 1.0, 1.0, 0.0]
    trade[field] = bad
    assert leaves_the_state(kind, trade)


@pytest.mark.parametrize("bad", BAD_VALUES)
def test_absurd_reference_or_interest_leaves_the_state(bad):
    assert leaves_the_state(REFERENCE, (bad, 1.0, 101.0, 1.0))
    assert leaves_the_state(REFERENCE, (100.0, 1.0, bad, 1.0))
    assert leaves_the_state(INTEREST, (bad, 0.0, 0.0, 0.0))


@pytest.mark.parametrize("kind", [-1, 7, 100])
def test_unknown_kind_leaves_the_state(kind):
    assert leaves_the_state(kind, (100.0, 1.0, 101.0, 1.0))


@pytest.mark.parametrize("kind", [MARK, REFERENCE, INTEREST, LIQUIDATION])
def test_nothing_starts_a_state_but_a_quote_or_a_trade(kind):
    state = init_state()
    before = state.tobytes()
    assert not update(address_of(state), kind, START_NS, 100.0, 1.0, 101.0, 1.0)
    assert state.tobytes() == before


def test_small_steps_back_of_the_clock_are_held():
    stream = market(43, 4_000)
    held = Stream(stream.kinds, np.maximum.accumulate(stream.ts), stream.values)
    assert (np.diff(stream.ts) < 0).any()
    assert fold(stream)[0].tobytes() == fold(held)[0].tobytes()


def test_one_timestamp_from_the_far_future_does_not_stop_the_clock():
    stream, moved = market(44, 6_000), []
    for shift in (0, 400 * 86_400 * SECOND):
        state = init_state()
        stream.ts[3_000] += shift
        fold(pick(stream, slice(0, 3_010)), state)
        before = clock_ns(state)
        rows, _ = fold(pick(stream, slice(3_010, 6_000)), state)
        moved.append(clock_ns(state) - before)
        assert np.isfinite(rows).all()
    assert moved[0] > 10 * SECOND
    assert moved[1] == pytest.approx(moved[0], abs=SECOND)


def test_silence_empties_the_trade_windows_exactly():
    stream = market(45, 2_000)
    quiet = constant(20_000, px=stream.values[-1, 0], step_ms=1_000)
    state = init_state()
    fold(stream, state)
    row = fold(quiet._replace(ts=quiet.ts + (stream.ts[-1] - START_NS)), state)[0][-1]
    assert not row[[INDEX[feature.name] for feature in FEATURES if feature.group == "volume"]].any()
    assert not state["flow_qty"].any() and state["usual_qty"][0] == 0.0


def test_first_event_may_be_a_trade_and_time_may_start_at_zero():
    stream = market(47, 2_000)
    stream.kinds[0], stream.values[0] = TRADE, (20_000.0, 1.0, 1.0, 0.0)
    rows, _ = fold(stream._replace(ts=stream.ts - stream.ts.min()))
    assert len(rows) > 1_000 and np.isfinite(rows).all()


def test_encode_uses_the_exchange_clock_and_falls_back_to_ours():
    quote = Quote("X", 5, 9, 1.0, 2.0, 3.0, 4.0, 1)
    assert encode(quote) == (QUOTE, 5, 1.0, 2.0, 3.0, 4.0)
    trade = Trade("X", 0, 9, 1.5, 2.5, -1, 1, 2.0, True)
    assert encode(trade) == (TRADE, 9, 1.5, 2.5, -1.0, 0.0)


def test_states_are_independent_and_copies_are_snapshots():
    stream = market(48, 3_000)
    state = init_state()
    fold(pick(stream, slice(0, 2_000)), state)
    copy, rest = state.copy(), pick(stream, slice(2_000, 3_000))
    assert fold(rest, state)[0].tobytes() == fold(rest, copy)[0].tobytes()


def test_update_takes_microseconds_after_warm_up():
    """Bounds far above the usual cost: they catch a compile or an O(n) step on the live path, not noise."""
    warm_up()
    stream, state = market(49, 4_000), init_state()
    address = address_of(state)
    events = [(int(k), int(t), *v.tolist()) for k, t, v in zip(*stream[:3], strict=True)]
    spent = []
    for event in events:
        begin = time.perf_counter_ns()
        update(address, *event)
        spent.append(time.perf_counter_ns() - begin)
    assert np.median(spent) < 100_000
    assert spent[0] < SECOND
