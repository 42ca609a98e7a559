"""Hedge mode, isolated margin, stepped brackets and liquidation: what is held, what it costs, and when it ends."""

import itertools
from decimal import Decimal as D

import pytest

from market.simulator.brackets import DEFAULT, cap_of, maintenance
from market.simulator.errors import Reason, Reject
from market.simulator.orders import BUY, SELL, Leg, OrderRequest, Tif
from market.simulator.reports import AccountReport, Cause, ConfigReport, Execution, OrderReport
from tests.market.simulator.cases import SYMBOL, Venue, mark, px, qty, snapshot, trade

DEEP = {"bids": [(1000 - i, 20_000) for i in range(200)], "asks": [(1001 + i, 20_000) for i in range(200)]}


def refused(call, *arguments, **named):
    with pytest.raises(Reject) as caught:
        call(*arguments, **named)
    return caught.value.reason


def order(venue, name, side, lots, leg, ticks=None, reduce_only=False):
    price = None if ticks is None else D(px(ticks))
    request = OrderRequest(SYMBOL, side, D(qty(lots)), price, Tif.GTC, reduce_only, name, leg=leg)
    return venue.exchange.place(request)


def hedged(**named):
    venue = Venue(**named)
    assert venue.exchange.settings.set_hedged(True)
    return venue


def lots(venue):
    return {leg: position.lots for leg, position in venue.account.legs(SYMBOL)}


# -- hedge mode -------------------------------------------------------------------------------------------------------


def test_hedge_mode_keeps_long_and_short_apart():
    venue = hedged()
    order(venue, "a", BUY, 300, Leg.LONG)
    order(venue, "b", SELL, 200, Leg.SHORT)
    assert lots(venue) == {Leg.LONG: 300, Leg.SHORT: -200}
    order(venue, "c", SELL, 100, Leg.LONG)
    assert lots(venue) == {Leg.LONG: 200, Leg.SHORT: -200}
    assert venue.account.positions[SYMBOL].lots == 0
    assert venue.account.notional(SYMBOL) == D("0.4") * D("100.05")


def test_closing_order_of_a_leg_never_turns_it():
    venue = hedged()
    order(venue, "a", BUY, 200, Leg.LONG)
    closing = order(venue, "b", SELL, 300, Leg.LONG)
    assert (closing.reduce_only, closing.filled_lots, closing.status) == (True, 200, "EXPIRED")
    assert refused(order, venue, "c", SELL, 100, Leg.LONG) is Reason.REDUCE_ONLY
    assert refused(order, venue, "d", BUY, 100, Leg.LONG, reduce_only=True) is Reason.REDUCE_ONLY


def test_resting_orders_end_with_their_own_leg_only():
    venue = hedged()
    order(venue, "a", BUY, 100, Leg.LONG)
    order(venue, "b", SELL, 100, Leg.SHORT)
    order(venue, "long out", SELL, 100, Leg.LONG, ticks=1004)
    order(venue, "short out", BUY, 100, Leg.SHORT, ticks=995)
    order(venue, "c", SELL, 100, Leg.LONG)
    assert [o.client_id for o in venue.exchange.open_orders()] == ["short out"]


@pytest.mark.parametrize(("is_hedged", "leg"), [(False, Leg.LONG), (False, Leg.SHORT), (True, Leg.NET)])
def test_orders_must_fit_the_position_mode(is_hedged, leg):
    venue = Venue()
    venue.exchange.settings.set_hedged(is_hedged)
    assert refused(order, venue, "a", BUY, 100, leg) is Reason.POSITION_SIDE


def test_position_mode_changes_only_while_nothing_is_open():
    venue = Venue()
    assert venue.exchange.settings.set_hedged(False) is False
    resting = venue.place("a", BUY, 100, 1000)
    assert refused(venue.exchange.settings.set_hedged, True) is Reason.OPEN_ORDERS
    venue.exchange.cancel(SYMBOL, resting.order_id, None)
    venue.hold(100)
    assert refused(venue.exchange.settings.set_hedged, True) is Reason.OPEN_POSITIONS


def test_funding_is_settled_per_leg():
    venue = hedged()
    order(venue, "a", BUY, 300, Leg.LONG)
    order(venue, "b", SELL, 200, Leg.SHORT)
    wallet = venue.account.wallet
    venue.feed(mark(100.0, rate=0.01, next_ms=1_000), mark(100.0, rate=0.01, next_ms=2_000, at_ms=5))
    assert venue.account.wallet == wallet - D("0.1") * 100 * D("0.01")


# -- brackets ---------------------------------------------------------------------------------------------------------


def test_maintenance_is_continuous_and_its_rate_grows():
    for lower, upper in itertools.pairwise(DEFAULT):
        assert lower.cap == upper.floor
        assert lower.cap * lower.rate - lower.cum == upper.floor * upper.rate - upper.cum
        assert (lower.rate < upper.rate, lower.leverage > upper.leverage) == (True, True)
    assert maintenance(D(0)) == 0


def test_position_may_not_outgrow_the_cap_of_its_leverage():
    venue = Venue(wallet=10**9, leverage=125, max_lots=10**9)
    cap_lots = int(cap_of(125) / 100 * 1000)
    assert venue.place("fits", BUY, cap_lots - 1_000, 1000).is_open
    assert refused(venue.place, "over", BUY, 10_000, 1000) is Reason.POSITION_CAP
    assert venue.place("other side", SELL, cap_lots - 20_000, 1005).is_open


def test_leverage_is_bounded_and_told():
    venue, told = Venue(), []
    venue.exchange.emit = told.append
    for leverage in (0, 126):
        assert refused(venue.exchange.set_leverage, SYMBOL, leverage) is Reason.LEVERAGE
    venue.exchange.set_leverage(SYMBOL, 50)
    assert [(r.symbol, r.leverage) for r in told if isinstance(r, ConfigReport)] == [(SYMBOL, 50)]


# -- isolated margin --------------------------------------------------------------------------------------------------


def isolated(wallet=10_000, leverage=10):
    venue = Venue(wallet=wallet, leverage=leverage, **DEEP)
    assert venue.exchange.settings.set_isolated(SYMBOL, True)
    return venue


def test_isolated_margin_leaves_the_cross_wallet_and_returns_with_the_position():
    venue = isolated()
    venue.place("in", BUY, 400, 1001)
    assert venue.position.margin == D("0.4") * D("100.1") / 10
    assert venue.account.cross_wallet() == venue.account.wallet - venue.position.margin
    venue.place("half", SELL, 200)
    assert venue.position.margin == D("0.2") * D("100.1") / 10
    venue.place("out", SELL, 200)
    assert (venue.position.margin, venue.account.cross_wallet()) == (0, venue.account.wallet)


def test_margin_is_moved_within_what_is_free():
    venue = isolated(wallet=20)
    assert refused(venue.exchange.settings.add_margin, SYMBOL, Leg.NET, D(1)) is Reason.ADD_MARGIN
    venue.place("in", BUY, 400, 1001)
    before = venue.position.margin
    venue.exchange.settings.add_margin(SYMBOL, Leg.NET, D(5))
    assert venue.position.margin == before + 5
    assert refused(venue.exchange.settings.add_margin, SYMBOL, Leg.NET, D(500)) is Reason.ADD_MARGIN
    assert refused(venue.exchange.settings.add_margin, SYMBOL, Leg.NET, D(-9)) is Reason.ADD_MARGIN
    venue.exchange.settings.add_margin(SYMBOL, Leg.NET, D(-4))
    assert venue.position.margin == before + 1


def test_isolated_liquidation_costs_its_own_margin_at_most():
    venue = isolated()
    venue.place("in", BUY, 2_000, 1001)
    free = venue.account.cross_wallet()
    venue.feed(snapshot(200, [(850 - i, 5_000) for i in range(50)], [(860, 5_000)], at_ms=5), mark(85.0, at_ms=6))
    assert venue.position.lots == 0
    assert venue.account.cross_wallet() == free
    assert venue.account.insured > 0
    assert venue.reports[-1][0].startswith("autoclose-")


# -- liquidation ------------------------------------------------------------------------------------------------------


def crash(venue, ticks, at_ms, book_lots=50_000):
    """The market is at ``ticks`` now, deep enough to close into."""
    book = snapshot(at_ms * 10, [(ticks - 1, book_lots)], [(ticks + 1, book_lots)], at_ms=at_ms)
    venue.feed(book, mark(ticks / 10, at_ms=at_ms + 1))


def test_position_is_liquidated_where_its_liquidation_price_says():
    venue = Venue(wallet=100, leverage=20, **DEEP)
    venue.place("in", BUY, 10_000, 1001)
    venue.exchange.refresh_marks()
    limit = venue.account.liquidation_px(SYMBOL, Leg.NET)
    assert 90 < limit < 96
    crash(venue, int(limit * 10) + 2, 10)
    assert venue.position.lots == 10_000
    crash(venue, int(limit * 10) - 1, 20)
    assert venue.position.lots == 0


@pytest.mark.parametrize(("side", "ticks"), [(BUY, 900), (SELL, 1_100)])
def test_liquidation_cancels_closes_and_is_reported_as_calculated(side, ticks):
    venue = Venue(wallet=100, leverage=20, **DEEP)
    told = []
    venue.place("in", side, 10_000, 1001 if side == BUY else 1000)
    venue.place("resting", side, 100, 800 if side == BUY else 1_200)
    venue.exchange.emit = told.append
    crash(venue, ticks, 10)
    assert venue.exchange.open_orders() == []
    orders = [r for r in told if isinstance(r, OrderReport)]
    executions = [r.execution for r in orders]
    assert executions == [Execution.CANCELED, Execution.NEW, Execution.CALCULATED]
    assert (orders[-1].order.client_id[:10], orders[-1].order.is_liquidation) == ("autoclose-", True)
    assert venue.position.lots == 0
    assert venue.account.wallet == 0, "the loss beyond the wallet is the insurance fund's"
    insured = [r.change for r in told if isinstance(r, AccountReport) and r.cause is Cause.INSURANCE]
    assert insured == [venue.account.insured]
    assert [row.kind for row in venue.exchange.incomes][-1] == "INSURANCE_CLEAR"


def test_liquidation_takes_no_more_than_the_book_shows_and_goes_on_later():
    venue = Venue(wallet=100, leverage=20, **DEEP)
    venue.place("in", BUY, 10_000, 1001)
    crash(venue, 900, 10, book_lots=4_000)
    assert venue.position.lots == 6_000
    orders = len(venue.exchange.orders)
    venue.feed(mark(90.0, at_ms=15))
    assert len(venue.exchange.orders) == orders, "no order is sent into an empty book"
    crash(venue, 899, 20, book_lots=1)
    assert venue.position.lots == 5_999
    crash(venue, 898, 30)
    assert venue.position.lots == 0
    assert [(f.ticks, f.lots) for f in venue.exchange.fills if f.side == SELL] == [(899, 4_000), (898, 1), (897, 5_999)]


def test_healthy_account_is_left_alone_and_cheaply():
    venue = Venue(**DEEP)
    venue.hold(1_000)
    crash(venue, 900, 10)
    assert venue.position.lots == 1_000
    assert not any(o.is_liquidation for o in venue.exchange.orders.values())


def test_wallet_equals_everything_that_was_booked_through_it():
    venue = Venue(wallet=100, leverage=20, **DEEP)
    venue.place("in", BUY, 10_000, 1001)
    venue.feed(mark(100.0, rate=0.001, next_ms=50), mark(100.0, rate=0.001, next_ms=99, at_ms=60))
    crash(venue, 900, 100)
    assert venue.account.wallet == 100 + sum(row.amount for row in venue.exchange.incomes)


# -- stops, and the dead-man's switch ---------------------------------------------------------------------------------


def stop(venue, side, trigger, name, rises, **named):
    request = OrderRequest(SYMBOL, side, D("0.1"), None, Tif.GTC, True, name, "STOP_MARKET")
    return venue.exchange.stops.place(request, D(trigger), rises, False, False, **named)


@pytest.mark.parametrize(
    ("side", "prices", "trigger"),
    [
        (SELL, [1000, 1050, 1030, 1040], 1029),
        (BUY, [1000, 960, 975], 979),
    ],
)
def test_trailing_stop_follows_the_best_price(side, prices, trigger):
    venue = Venue(**DEEP)
    venue.feed(trade(1000, 1, SELL))
    venue.hold(-side * 100)
    placed = stop(venue, side, "0", "trail", rises=side == BUY, trail=D("0.02"))
    for at_ms, ticks in enumerate(prices, 10):
        venue.feed(trade(ticks, 1, SELL, at_ms=at_ms))
        assert placed.status == "NEW"
    assert placed.trigger_ticks == trigger
    venue.feed(trade(trigger, 1, SELL, at_ms=90))
    assert (placed.status, venue.position.lots) == ("FINISHED", 0)


def test_trailing_stop_sleeps_until_its_activation_price():
    venue = Venue(**DEEP)
    venue.feed(trade(1000, 1, SELL))
    venue.hold(100)
    placed = stop(venue, SELL, "103.0", "trail", rises=False, trail_ticks=10)
    venue.feed(trade(950, 1, SELL, at_ms=10))
    assert (placed.status, placed.is_active) == ("NEW", False)
    venue.feed(trade(1030, 1, SELL, at_ms=11))
    assert (placed.is_active, placed.trigger_ticks) == (True, 1020)
    venue.feed(trade(1020, 1, SELL, at_ms=12))
    assert placed.status == "FINISHED"


def test_one_of_a_group_cancels_the_other():
    venue = Venue(**DEEP)
    venue.feed(trade(1000, 1, SELL))
    venue.hold(100)
    low = stop(venue, SELL, "99.0", "sl", rises=False, group="g")
    high = stop(venue, SELL, "101.0", "tp", rises=True, group="g")
    alone = stop(venue, SELL, "98.0", "alone", rises=False)
    venue.feed(trade(1010, 1, BUY, at_ms=10))
    assert (high.status, low.status, alone.status) == ("FINISHED", "CANCELED", "NEW")


def test_stop_can_be_amended_but_not_into_the_market():
    venue = Venue(**DEEP)
    venue.feed(trade(1000, 1, SELL))
    venue.hold(100)
    placed = stop(venue, SELL, "99.0", "sl", rises=False)
    venue.exchange.stops.amend(None, "sl", D("98.0"), D("0.05"))
    assert (placed.trigger_ticks, placed.request.qty) == (980, D("0.05"))
    assert refused(venue.exchange.stops.amend, None, "sl", D("100.5"), D("0.05")) is Reason.WOULD_TRIGGER
    assert placed.trigger_ticks == 980


def test_account_wide_countdown_runs_beside_those_of_symbols():
    venue = Venue()
    venue.place("a", BUY, 100, 1000)
    venue.exchange.arm(None, 1_000)
    venue.exchange.arm(SYMBOL, 5_000)
    venue.exchange.expire(1_000)
    assert venue.exchange.open_orders() == []
    venue.place("b", BUY, 100, 1000)
    venue.exchange.arm(None, 2_000)
    venue.exchange.arm(None, None)
    venue.exchange.expire(4_999)
    assert len(venue.exchange.open_orders()) == 1
    venue.exchange.expire(5_000)
    assert venue.exchange.open_orders() == []


def test_sell_far_below_the_mark_is_refused_by_its_own_reason():
    assert refused(Venue().place, "far", SELL, 100, 900) is Reason.PX_BAND_LOW
