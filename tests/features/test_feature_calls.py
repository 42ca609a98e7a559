"""The kernel's calls from Python: by arguments, by the address of an event, in stretches; and what they refuse."""

import numpy as np
import pytest

from features.bank import kernel_of
from features.body import EVENT
from features.kernel import SERVED, address_of, init_state
from market.events import QUOTE, TRADE
from tests.features.streams import START_NS, market, pick

MARKET = market(61, 3_000)
STREAM = pick(MARKET, MARKET.kinds <= TRADE)[:3]


def events(stream):
    """The stream as a decoder would leave it in memory."""
    kinds, ts, values = stream
    held = np.zeros(len(ts), EVENT)
    held["kind"], held["ts_ns"] = kinds, ts
    for name, column in zip("abcd", values.T, strict=True):
        held[name] = column
    return held


def test_events_taken_by_address_give_the_rows_of_a_replay_bit_for_bit():
    held, state = events(STREAM), SERVED.init_state()
    update, row = SERVED.updater(state), SERVED.row(state)
    start = held.ctypes.data
    rows = [row.copy() for i in range(len(held)) if update(start + i * EVENT.itemsize)]
    assert np.array(rows).tobytes() == SERVED.fold(*STREAM)[0].tobytes()


def test_an_updater_keeps_its_state_alive():
    update, held = SERVED.updater(SERVED.init_state()), events(STREAM)
    taken = [update(held.ctypes.data + i * EVENT.itemsize) for i in range(400)]
    assert any(taken)


def test_an_updater_refuses_the_state_of_another_kernel():
    with pytest.raises(ValueError, match="no state of this kernel"):
        SERVED.updater(kernel_of(["imbalance"]).init_state())


@pytest.mark.parametrize("arguments", [(), (1, 2, 3), (0, QUOTE, START_NS, 1.0, 1.0, 1.0, "1.0")])
def test_update_refuses_other_arguments(arguments):
    address = address_of(init_state())
    with pytest.raises(TypeError):
        SERVED.update(*([address, *arguments[1:]] if arguments else []))


def test_update_takes_what_counts_as_an_integer_or_a_number():
    state = init_state()
    SERVED.update(np.int64(address_of(state)), np.int8(QUOTE), np.int64(START_NS), 100, np.float64(1.0), 101, 2)
    assert (state["bid_px"][0], state["ask_px"][0], state["ask_qty"][0]) == (100.0, 101.0, 2.0)


def test_minus_one_is_a_number_and_no_error():
    state = init_state()
    assert SERVED.update(address_of(state), QUOTE, -1, 1.0, 1.0, 1.0, -1.0) is False
    assert SERVED.update(address_of(state), QUOTE, -1, 1.0, 1.0, 1.0, 1.0) is False
    assert state["now_ns"][0] == -1


def test_fold_writes_to_the_room_it_is_given_and_refuses_too_little():
    quotes = int((STREAM[0] == QUOTE).sum())
    room = np.empty((quotes, len(SERVED.plan.features))), np.empty(quotes, np.int64)
    rows, index = SERVED.fold(*STREAM, out=room)
    assert rows.base is room[0] and rows.tobytes() == SERVED.fold(*STREAM)[0].tobytes()
    assert index.tolist() == SERVED.fold(*STREAM)[1].tolist()
    with pytest.raises(ValueError, match="room"):
        SERVED.fold(*STREAM, out=(room[0][1:], room[1][1:]))


def test_fold_leaves_the_last_row_in_the_state():
    state = SERVED.init_state()
    rows, _ = SERVED.fold(*STREAM, state)
    assert SERVED.row(state).tobytes() == rows[-1].tobytes()
