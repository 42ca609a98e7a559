from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader.execution import TERMINAL, TRANSITIONS, Orders, Status
from trader.records import Order, OrderReply, OrderUpdate

ORDER = Order("c-1", "X", 1, 10, 100, True, False, "market_making")


def orders():
    book = Orders()
    book.add(ORDER, D(10), 0)
    return book


def update(status, fill="0", trade_id=0, client_id="c-1"):
    return OrderUpdate(1, 1, client_id, "X", 1, status, D(fill), D(fill), D(100), D(0), True, trade_id)


def reply(outcome):
    return OrderReply(1, "c-1", outcome, "", "")


@pytest.mark.parametrize(
    ("events", "status", "open_buy"),
    [
        ([], Status.SENT, "10"),
        ([reply("accepted")], Status.OPEN, "10"),
        ([reply("rejected")], Status.REJECTED, "0"),
        ([reply("unknown")], Status.UNKNOWN, "10"),
        ([reply("unknown"), update("NEW")], Status.OPEN, "10"),
        ([update("NEW"), reply("accepted")], Status.OPEN, "10"),
        ([update("PARTIALLY_FILLED", "4", 1)], Status.OPEN, "6"),
        ([update("FILLED", "10", 1)], Status.FILLED, "0"),
        ([update("FILLED", "10", 1), reply("accepted")], Status.FILLED, "0"),
        ([update("FILLED", "10", 1), update("NEW")], Status.FILLED, "0"),
        ([reply("unknown"), reply("rejected")], Status.REJECTED, "0"),
        ([update("EXPIRED")], Status.EXPIRED, "0"),
        ([update("PARTIALLY_FILLED", "4", 1), update("CANCELED")], Status.CANCELED, "0"),
    ],
)
def test_replies_and_updates_in_any_order(events, status, open_buy):
    book = orders()
    for event in events:
        (book.on_reply if isinstance(event, OrderReply) else book.on_update)(event)
    assert book.get("c-1").status is status
    assert book.open_qty("X") == (D(open_buy), 0)


def test_a_trade_counts_once():
    book = orders()
    assert book.on_update(update("PARTIALLY_FILLED", "4", 1))[1]
    assert not book.on_update(update("PARTIALLY_FILLED", "4", 1))[1]
    assert book.get("c-1").filled == D(4)


def test_a_foreign_fill_is_booked_but_owns_no_order():
    assert orders().on_update(update("FILLED", "1", 9, client_id="autoclose-1")) == (None, True)


def test_a_late_fill_after_cancel_is_still_booked():
    book = orders()
    book.on_update(update("CANCELED"))
    assert book.on_update(update("PARTIALLY_FILLED", "2", 5))[1]


@given(st.lists(st.sampled_from(sorted({event for _, event in TRANSITIONS})), max_size=30))
def test_nothing_leaves_a_terminal_state(events):
    order = orders().get("c-1")
    ended = None
    for event in events:
        order.move(event, 1)
        if ended is not None:
            assert order.status is ended
        elif order.status in TERMINAL:
            ended = order.status
