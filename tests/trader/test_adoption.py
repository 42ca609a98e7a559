"""What the engine makes of an account that it did not leave as it finds it."""

from decimal import Decimal as D

import msgspec
import pytest
from harness import instrument, start_record

from trader.accounts import account_view
from trader.engine import Engine
from trader.journal import encode
from trader.records import (
    AccountSnapshot,
    AccountUpdate,
    CancelOrder,
    Control,
    FetchFills,
    HeldPosition,
    OpenOrder,
    Order,
    OrderReply,
    OrderUpdate,
    QueryOrder,
    Timer,
    WalletChange,
)

S = 1_000_000_000
SYMBOL = "AAAUSDT"


def engine(**over):
    return Engine(msgspec.structs.replace(start_record([instrument(SYMBOL)]), **over))


def fill(ts_ns, client_id, side, qty, trade_id, status="FILLED"):
    return OrderUpdate(ts_ns, ts_ns, client_id, SYMBOL, side, status, D(qty), D(qty), D(100), D("0.1"), False, trade_id)


def snapshot(ts_ns, qty="0", orders=None):
    held = {SYMBOL: D(qty)} if D(qty) else {}
    return AccountSnapshot(ts_ns, D(10_000), held, open_orders=orders)


def place(e, name, ts_ns):
    order = Order(name, SYMBOL, 1, 10, 1000, True, False, "test")
    e.books.orders.add(order, D("0.010"), ts_ns)
    return order


def test_a_held_position_is_adopted_at_the_venues_entry_price():
    e = engine(positions={SYMBOL: HeldPosition(D("0.5"), D(90))})
    e.step(snapshot(2, "0.5"))
    assert e.books.synced
    e.step(fill(3, "t1x1", -1, "0.5", 7))
    assert e.books.ledger.realized == D(5)
    assert e.books.flat


@pytest.mark.parametrize("client_id", ["autoclose-1", "adl_autoclose", "settlement_autoclose-1", "byhand", ""])
def test_fills_of_orders_that_are_not_ours_are_booked_once(client_id):
    e = engine()
    for ts_ns in (2, 3, 4):
        e.step(fill(ts_ns, client_id, 1, "0.2", 9))
    assert e.books.ledger.position(SYMBOL).qty == D("0.2")


def test_a_trade_known_by_its_order_is_not_booked_again_from_a_listing():
    e = engine()
    place(e, "t1x1", 1)
    e.step(fill(2, "", 1, "0.010", 5, "PARTIALLY_FILLED"))
    e.step(fill(3, "t1x1", 1, "0.010", 5))
    assert e.books.ledger.position(SYMBOL).qty == D("0.010")
    assert e.books.flat is False and not e.books.orders.live


def test_trades_from_before_the_start_are_never_booked():
    e = engine(trades_seen={SYMBOL: [5]})
    e.step(fill(2, "", 1, "1", 5))
    assert e.books.ledger.position(SYMBOL).qty == 0


def test_foreign_open_orders_count_as_if_they_fill():
    e = engine(foreign_orders=[OpenOrder("byhand", SYMBOL, 1, D("0.3"))])
    assert account_view(e.books, None).positions[SYMBOL].open_buy_qty == pytest.approx(0.3)
    e.step(snapshot(2, orders=[OpenOrder("byhand", SYMBOL, -1, D("0.4"))]))
    view = account_view(e.books, None).positions[SYMBOL]
    assert (view.open_buy_qty, view.open_sell_qty) == (0.0, pytest.approx(0.4))


def test_a_differing_position_stops_new_risk_and_asks_for_missed_trades():
    e = engine()
    e.step(fill(100 * S, "t1x1", 1, "0.1", 1))
    outputs = e.step(snapshot(101 * S, "0.3"))
    assert not e.books.synced
    assert outputs == [FetchFills(SYMBOL, 40_000)]
    assert e.step(snapshot(102 * S, "0.3")) == []
    e.step(fill(103 * S, "", 1, "0.2", 2))
    assert e.step(snapshot(104 * S, "0.3")) == []
    assert e.books.synced


def test_a_position_told_by_the_stream_is_doubted_only_after_a_while():
    e = engine()
    e.step(snapshot(1))
    e.step(AccountUpdate(1 * S, 1, "ORDER", {SYMBOL: D(1)}))
    e.step(Timer(2 * S))
    assert e.books.synced
    e.step(Timer(4 * S))
    assert not e.books.synced


def test_ours_that_the_venue_no_longer_lists_is_asked_about_and_ended_ones_still_listed_are_cancelled():
    e = engine()
    place(e, "t1x1", 1)
    e.step(OrderReply(2, "t1x1", "accepted", "", ""))
    listed = [OpenOrder("t1x9", SYMBOL, 1, D(1)), OpenOrder("byhand", SYMBOL, 1, D(1))]
    assert e.step(snapshot(10 * S, orders=listed)) == [QueryOrder("t1x1", SYMBOL), CancelOrder("t1x9", SYMBOL)]


@pytest.mark.parametrize(("age_s", "live"), [(1, True), (5, True), (7, False)])
def test_no_such_order_counts_only_once_the_request_can_no_longer_arrive(age_s, live):
    e = engine()
    place(e, "t1x1", 1)
    e.step(OrderReply(2, "t1x1", "unknown", "", ""))
    e.step(OrderReply(age_s * S, "t1x1", "absent", "-2013", ""))
    assert ("t1x1" in e.books.orders.live) is live


def test_an_acknowledged_order_is_unconfirmed_until_the_stream_says_so_and_asked_about_when_it_does_not():
    e = engine()
    place(e, "t1x1", 1 * S)
    e.step(OrderReply(2 * S, "t1x1", "acknowledged", "", ""))
    assert e.books.orders.live["t1x1"].status.value == "SENT"
    assert QueryOrder("t1x1", SYMBOL) in e.step(Timer(7 * S))


def test_a_returning_stream_asks_about_orders_and_missed_trades():
    e = engine()
    assert e.step(Control(1, "user_up", "")) == []
    place(e, "t1x1", 2 * S)
    e.step(Control(3 * S, "user_down", ""))
    assert e.step(Control(9 * S, "user_up", "")) == [QueryOrder("t1x1", SYMBOL), FetchFills(SYMBOL, 0)]


def test_funding_changes_the_balance_and_nothing_else():
    e = engine()
    e.step(WalletChange(2, 2, "FUNDING_FEE", SYMBOL, D("-1.5")))
    assert e.books.ledger.balance == D("9998.5")
    assert (e.books.ledger.fees, e.books.ledger.realized) == (0, 0)


def test_account_records_keep_every_digit_in_the_journal():
    from trader.journal import _decoder

    for record in (
        engine(positions={SYMBOL: HeldPosition(D("0.100"), D("1E-8"))}).start,
        snapshot(1, "0.30", [OpenOrder("c", SYMBOL, 1, D("1.0"))]),
        AccountUpdate(1, 2, "r", {SYMBOL: D("-0.10")}),
        WalletChange(1, 2, "r", "", D("1E-8")),
    ):
        assert encode(_decoder.decode(encode(record))) == encode(record)
