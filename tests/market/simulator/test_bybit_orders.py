"""Orders the way Bybit takes them: acknowledgements, cancellations in place of refusals, modes, conditional orders."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.events import Mark
from market.simulator import bybit_account, bybit_orders, bybit_queries
from market.simulator.bybit_auth import BybitError
from market.simulator.bybit_rest import ROUTES
from market.simulator.errors import Reason, Reject
from tests.market.simulator.bybit_case import face, order, user
from tests.market.simulator.cases import MS, SYMBOL, delta, trade

AT = {"category": "linear", "symbol": SYMBOL}


def rows(socket, topic):
    return [row for message in socket.messages if message["topic"] == topic for row in message["data"]]


def statuses(socket):
    return [row["orderStatus"] for row in rows(socket, "order")]


def refused(call, *arguments):
    with pytest.raises((BybitError, Reject)) as caught:
        call(*arguments)
    error = caught.value
    return error.reason if isinstance(error, Reject) else error.code


def held(made, symbol=SYMBOL):
    return [(row["positionIdx"], row["side"], row["size"]) for row in bybit_account.positions(made, AT)["list"]]


def test_a_market_order_becomes_an_ioc_limit_inside_the_price_band():
    made = face()
    mine = user(made, "order", "execution", "position", "wallet")
    bybit_orders.place(made, order(orderType="Market", qty="0.9"))
    assert statuses(mine) == ["New", "PartiallyFilled", "Filled"]
    last = rows(mine, "order")[-1]
    assert (last["orderType"], last["timeInForce"], last["price"]) == ("Market", "IOC", "105.0")
    assert [(row["execPrice"], row["execQty"], row["leavesQty"]) for row in rows(mine, "execution")] == [
        ("100.1", "0.800", "0.100"),
        ("100.2", "0.100", "0.000"),
    ]
    assert [(row["side"], row["size"]) for row in rows(mine, "position")] == [("Buy", "0.800"), ("Buy", "0.900")]
    assert len(rows(mine, "wallet")) == 2


def test_a_market_order_takes_no_more_than_the_book_shows_inside_its_band():
    made = face(wallet=1_000_000)
    mine = user(made, "order")
    bybit_orders.place(made, order(orderType="Market", side="Sell", qty="50"))
    assert statuses(mine)[-1] == "Cancelled"
    assert rows(mine, "order")[-1]["cumExecQty"] == "6.500"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"timeInForce": "PostOnly", "price": "100.1"}, "EC_PostOnlyWillTakeLiquidity"),
        ({"timeInForce": "FOK", "price": "100.1", "qty": "0.9"}, "EC_NoEnoughQtyToFill"),
        ({"timeInForce": "IOC", "price": "100.0"}, "EC_NoImmediateQtyToFill"),
    ],
    ids=["post-only takes", "fill-or-kill cannot", "nothing to take"],
)
def test_what_cannot_stand_is_acknowledged_then_cancelled(fields, why):
    made = face()
    mine = user(made, "order")
    ack = bybit_orders.place(made, order(**fields, orderLinkId="mine"))
    last = rows(mine, "order")[-1]
    assert (last["orderId"], last["orderStatus"], last["rejectReason"]) == (ack["orderId"], "Cancelled", why)
    assert refused(bybit_orders.cancel, made, AT | ack) is Reason.UNKNOWN_ORDER
    assert refused(bybit_orders.place, made, order(orderLinkId="mine")) == 110072
    assert made.exchange.open_orders() == []


def test_post_only_amended_into_the_book_is_cancelled():
    made = face()
    ack = bybit_orders.place(made, order(timeInForce="PostOnly", price="99.0"))
    bybit_orders.amend(made, AT | ack | {"price": "100.1"})
    done = bybit_queries.history(made, AT)["list"][0]
    assert (done["orderStatus"], done["rejectReason"]) == ("Cancelled", "EC_PostOnlyWillTakeLiquidity")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"category": "spot"}, 10001),
        ({"symbol": "NOPE"}, 10001),
        ({"side": "buy"}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "0.0001"}, Reason.PRECISION),
        ({"price": "100.05"}, Reason.PRECISION),
        ({"price": "106"}, Reason.PX_BAND),
        ({"price": "94", "side": "Sell"}, Reason.PX_BAND_LOW),
        ({"qty": "0.001"}, Reason.NOTIONAL),
        ({"qty": "1000"}, Reason.MARGIN),
        ({"qty": "5000"}, Reason.QTY_MAX),
        ({"positionIdx": 1}, Reason.POSITION_SIDE),
        ({"positionIdx": 3}, 10001),
        ({"reduceOnly": True}, Reason.REDUCE_ONLY),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"orderLinkId": "a b"}, 10001),
        ({"timeInForce": "GTX"}, 10001),
        ({"orderType": "Stop"}, 10001),
        ({"triggerPrice": "101"}, 10001),
        ({"triggerPrice": "101", "triggerDirection": 1, "triggerBy": "IndexPrice"}, 10001),
    ],
)
def test_bad_orders_are_refused(fields, code):
    made = face(wallet=1_000)
    assert refused(bybit_orders.place, made, order(**fields)) == code
    assert made.exchange.orders == {}


def test_hedge_mode_asks_for_an_index_and_holds_two_positions():
    made = face()
    bybit_account.switch_mode(made, AT | {"mode": 3})
    assert refused(bybit_account.switch_mode, made, AT | {"mode": 3}) == 110025
    assert refused(bybit_orders.place, made, order()) is Reason.POSITION_SIDE
    for side, index in (("Buy", 1), ("Sell", 2)):
        bybit_orders.place(made, order(orderType="Market", side=side, positionIdx=index))
    assert held(made) == [(1, "Buy", "0.100"), (2, "Sell", "0.100")]
    assert refused(bybit_account.switch_mode, made, AT | {"mode": 0}) is Reason.OPEN_POSITIONS
    bybit_orders.place(made, order(orderType="Market", side="Sell", positionIdx=1, reduceOnly=True))
    assert held(made) == [(1, "", "0.000"), (2, "Sell", "0.100")]


def test_closed_size_tells_how_much_of_a_fill_reduced():
    made = face()
    bybit_orders.place(made, order(orderType="Market", qty="0.2"))
    bybit_orders.place(made, order(orderType="Market", side="Sell", qty="0.3"))
    found = bybit_queries.executions(made, AT)["list"]
    assert [(row["side"], row["execQty"], row["closedSize"]) for row in found] == [
        ("Sell", "0.300", "0.200"),
        ("Buy", "0.200", "0.000"),
    ]
    assert held(made) == [(0, "Sell", "0.100")]


def conditional(**fields):
    return order(orderType="Market", triggerPrice="101", triggerDirection=1) | fields


def test_a_conditional_order_keeps_its_id_when_it_triggers():
    made = face()
    mine = user(made, "order")
    made.exchange.on_event(trade(1000, 1, 1, at_ms=2))
    ack = bybit_orders.place(made, conditional(orderLinkId="stop-1"))
    assert bybit_queries.realtime(made, AT)["list"][0]["orderStatus"] == "Untriggered"
    made.exchange.on_event(trade(1010, 1, 1, at_ms=3))
    assert statuses(mine) == ["Untriggered", "Triggered", "New", "Filled"]
    assert {row["orderId"] for row in rows(mine, "order")} == {ack["orderId"]}
    assert {row["orderLinkId"] for row in rows(mine, "order")} == {"stop-1"}
    found = bybit_queries.realtime(made, AT | {"orderId": ack["orderId"]})["list"]
    assert [(row["orderStatus"], row["triggerPrice"], row["stopOrderType"]) for row in found] == [
        ("Filled", "101.0", "Stop")
    ]
    assert refused(bybit_orders.place, made, order(orderLinkId="stop-1")) == 110072


def test_conditional_orders_refuse_a_price_that_is_reached_and_the_eleventh():
    made = face()
    made.exchange.on_event(trade(1000, 1, 1, at_ms=2))
    assert refused(bybit_orders.place, made, conditional(triggerPrice="99")) is Reason.WOULD_TRIGGER
    for _ in range(10):
        bybit_orders.place(made, conditional())
    assert refused(bybit_orders.place, made, conditional()) == 110009
    assert len(bybit_orders.cancel_all(made, AT | {"orderFilter": "StopOrder"})["list"]) == 10


def test_limits_of_a_position_are_set_replaced_removed_and_end_with_it():
    made = face()
    assert refused(bybit_account.trading_stop, made, AT | {"takeProfit": "105"}) == 10001
    bybit_orders.place(made, order(orderType="Market", qty="0.2", stopLoss="98", takeProfit="104"))
    made.hub.flush()
    assert position(made) == ("104.0", "98.0")
    bybit_account.trading_stop(made, AT | {"takeProfit": "105", "stopLoss": "0"})
    assert position(made) == ("105.0", "")
    bybit_account.trading_stop(made, AT | {"stopLoss": "97", "tpslMode": "Partial", "slSize": "0.1"})
    assert [row["stopOrderType"] for row in bybit_queries.realtime(made, AT)["list"]] == [
        "PartialStopLoss",
        "TakeProfit",
    ]
    bybit_orders.cancel_all(made, AT)
    bybit_account.trading_stop(made, AT | {"takeProfit": "105"})
    bybit_orders.place(made, order(orderType="Market", side="Sell", qty="0.2", reduceOnly=True))
    made.hub.flush()
    assert bybit_queries.realtime(made, AT)["list"] == []


def position(made):
    row = bybit_account.positions(made, AT)["list"][0]
    return row["takeProfit"], row["stopLoss"]


def test_a_stop_loss_closes_the_position():
    made = face()
    made.exchange.on_event(trade(1000, 1, 1, at_ms=2))
    bybit_orders.place(made, order(orderType="Market", qty="0.2"))
    bybit_account.trading_stop(made, AT | {"stopLoss": "99.5"})
    made.exchange.on_event(delta(11, 12, 10, [(1000, 0), (999, 0)], at_ms=3))
    made.exchange.on_event(trade(990, 1, -1, at_ms=4))
    assert held(made) == [(0, "", "0.000")]
    assert bybit_queries.executions(made, AT)["list"][0]["stopOrderType"] == "StopLoss"


def test_a_batch_refuses_one_and_takes_the_other():
    made = face()
    entries = [order(price="99.0"), order(price="200")]
    answer = bybit_orders.ROUTES["POST", "/v5/order/create-batch"].handler(
        made, {"category": "linear", "request": entries}
    )
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0, 110003]
    assert [bool(row["orderId"]) for row in answer["list"]] == [True, False]
    assert len(made.exchange.open_orders()) == 1


def test_only_topics_asked_for_are_told():
    made = face()
    orders, linear, none = user(made, "order"), user(made, "execution.linear"), user(made)
    bybit_orders.place(made, order(orderType="Market"))
    assert {message["topic"] for message in orders.messages} == {"order"}
    assert {message["topic"] for message in linear.messages} == {"execution"}
    assert none.messages == []


def test_leverage_is_set_once_and_within_the_tiers():
    made = face()
    wanted = AT | {"buyLeverage": "10", "sellLeverage": "10"}
    bybit_account.set_leverage(made, wanted)
    assert refused(bybit_account.set_leverage, made, wanted) == 110043
    assert refused(bybit_account.set_leverage, made, AT | {"buyLeverage": "9", "sellLeverage": "8"}) == 10001
    assert (
        refused(bybit_account.set_leverage, made, AT | {"buyLeverage": "200", "sellLeverage": "200"}) is Reason.LEVERAGE
    )


def test_a_liquidation_is_told_as_the_venues_own():
    made = face(wallet=100)
    mine = user(made, "order", "execution", "position")
    bybit_account.set_leverage(made, AT | {"buyLeverage": "100", "sellLeverage": "100"})
    bybit_orders.place(made, order(orderType="Market", qty="6"))
    made.exchange.on_event(delta(11, 12, 10, [(1000, 0), (999, 0), (990, 0), (850, 9000)], at_ms=2_000))
    made.exchange.on_event(Mark(SYMBOL, 4_000 * MS, 4_000 * MS, 84.0, 84.0, 0.0001, 0))
    assert rows(mine, "order")[-1]["createType"] == "CreateByLiq"
    assert rows(mine, "execution")[-1]["execType"] == "BustTrade"
    assert rows(mine, "position")[-1]["size"] == "0.000"


def test_funding_is_told_among_the_executions():
    made = face()
    mine = user(made, "execution", "wallet")
    bybit_orders.place(made, order(orderType="Market", side="Sell", qty="0.2"))
    for at_ms, next_ms in ((5_000, 10_000), (11_000, 20_000)):
        made.exchange.on_event(Mark(SYMBOL, at_ms * MS, at_ms * MS, 100.0, 100.0, 0.001, next_ms * MS))
    paid = rows(mine, "execution")[-1]
    assert (paid["execType"], paid["execFee"], paid["feeRate"], paid["side"]) == (
        "Funding",
        "-0.02000000",
        "0.001",
        "Sell",
    )
    assert bybit_queries.executions(made, AT | {"execType": "Funding"})["list"] == [paid]
    before, after = (row["coin"][0]["walletBalance"] for row in rows(mine, "wallet"))
    assert round(float(after) - float(before), 8) == 0.02


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "-1", "0", "99"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = (
    "symbol", "side", "orderType", "qty", "price", "timeInForce", "reduceOnly", "orderLinkId", "positionIdx", "orderId",
    "triggerPrice", "triggerDirection", "triggerBy", "takeProfit", "stopLoss", "trailingStop", "tpslMode", "tpSize",
    "buyLeverage", "sellLeverage", "mode", "request", "limit", "cursor", "settleCoin", "interval", "startTime",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(ROUTES)), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_whatever_is_sent_is_answered_or_refused(key, changes):
    made = face()
    bybit_orders.place(made, order(orderType="Market"))
    with suppress(BybitError, Reject):
        ROUTES[key].handler(made, order() | changes)
    assert abs(made.exchange.account.positions[SYMBOL].lots) <= 6_600, "no more than the book ever showed"


def test_the_dead_mans_switch_is_refused():
    handler = bybit_orders.ROUTES["POST", "/v5/order/disconnected-cancel-all"].handler
    assert refused(handler, face(), {"timeWindow": 10}) == 10005
