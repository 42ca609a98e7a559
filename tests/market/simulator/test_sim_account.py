"""Money: fees, realised profit, margin, reduce-only, funding; filters and ids; stops; the dead-man's switch."""

from decimal import Decimal as D

import pytest

from market.simulator.errors import Reason, Reject
from market.simulator.orders import BUY, SELL, OrderRequest, Tif
from tests.market.simulator.cases import SYMBOL, Venue, mark, quote, trade


def refused(call, *arguments, **named):
    with pytest.raises(Reject) as caught:
        call(*arguments, **named)
    return caught.value.reason


def test_taker_pays_the_taker_fee_and_maker_the_maker_fee():
    venue = Venue()
    venue.place("take", BUY, 200)
    assert venue.account.fees_paid == D("100.1") * D("0.2") * 5 / 10_000
    venue.place("make", SELL, 200, 1001)
    venue.feed(trade(1001, 800, BUY))
    maker_fee = D("100.1") * D("0.2") * 2 / 10_000
    assert venue.exchange.fills[-1].fee == maker_fee
    assert venue.account.wallet == 10_000 - venue.account.fees_paid


@pytest.mark.parametrize(
    ("trades", "lots", "entry", "pnl"),
    [
        pytest.param([(1, 100, 1000)], 100, "100.0", "0", id="open"),
        pytest.param([(1, 100, 1000), (1, 300, 1004)], 400, "100.3", "0", id="add: the entry is the mean"),
        pytest.param([(1, 100, 1000), (-1, 40, 1010)], 60, "100.0", "0.04", id="part of it closed"),
        pytest.param([(1, 100, 1000), (-1, 100, 990)], 0, "0", "-0.1", id="closed at a loss"),
        pytest.param([(-1, 100, 1000), (1, 100, 990)], 0, "0", "0.1", id="short closed at a profit"),
        pytest.param([(1, 100, 1000), (-1, 150, 1010)], -50, "101.0", "0.1", id="turned: the rest opens anew"),
    ],
)
def test_position_books_profit_like_a_one_way_account(trades, lots, entry, pnl):
    venue = Venue()
    for side, size, ticks in trades:
        venue.account.fill(SYMBOL, side, ticks, size, is_maker=True, now_ns=0)
    assert (venue.position.lots, venue.position.entry_px) == (lots, D(entry))
    assert venue.position.realized_pnl == D(pnl)
    assert venue.account.wallet == 10_000 + D(pnl) - venue.account.fees_paid


@pytest.mark.parametrize(
    ("wallet", "leverage", "lots", "fits"),
    [(51, 1, 500, True), (49, 1, 500, False), (49, 2, 500, True), (5, 10, 499, True), (5, 10, 600, False)],
)
def test_margin_must_cover_the_order_at_the_accounts_leverage(wallet, leverage, lots, fits):
    venue = Venue(wallet=wallet, leverage=leverage)
    if fits:
        assert venue.place("mine", BUY, lots, 1000).is_open
    else:
        assert refused(venue.place, "mine", BUY, lots, 1000) is Reason.MARGIN
        assert venue.exchange.open_orders() == []


def test_margin_counts_open_orders_and_frees_them_on_cancel():
    venue = Venue(wallet=51, leverage=1)
    venue.place("a", BUY, 300, 1000)
    assert refused(venue.place, "b", BUY, 300, 1000) is Reason.MARGIN
    assert venue.place("c", SELL, 300, 1005).is_open, "an order on the other side adds no worst case"
    venue.exchange.cancel(SYMBOL, None, "a")
    assert venue.place("d", BUY, 300, 1000).is_open


def test_amending_upward_needs_margin_too():
    venue = Venue(wallet=51, leverage=1)
    venue.place("a", BUY, 300, 1000)
    assert refused(venue.exchange.amend, SYMBOL, None, "a", D("100.0"), D("0.6")) is Reason.MARGIN
    assert venue.exchange.amend(SYMBOL, None, "a", D("100.0"), D("0.5")).lots == 500


def test_losses_shrink_what_is_available():
    venue = Venue(wallet=50, leverage=2)
    venue.hold(400)
    before = venue.exchange.available()
    venue.feed(mark(90.0))
    assert venue.exchange.available() == before - D("0.4") * (D("100.05") - 90) + D("0.4") * (D("100.05") - 90) / 2


def test_closing_is_possible_without_free_margin():
    venue = Venue(wallet=21, leverage=2)
    venue.hold(400)
    venue.feed(mark(98.0))
    assert venue.exchange.available() < 5
    venue.place("close", SELL, 400)
    assert venue.position.lots == 0


@pytest.mark.parametrize(
    ("held", "side", "lots", "filled"),
    [(100, SELL, 60, 60), (100, SELL, 300, 100), (-100, BUY, 300, 100)],
    ids=["within the position", "capped at the position", "capped short"],
)
def test_reduce_only_closes_at_most_the_position(held, side, lots, filled):
    venue = Venue()
    venue.hold(held)
    order = venue.place("out", side, lots, reduce_only=True)
    assert order.filled_lots == filled
    assert order.status == ("FILLED" if filled == lots else "EXPIRED")
    assert abs(venue.position.lots) == 100 - filled


@pytest.mark.parametrize(("held", "side"), [(0, SELL), (0, BUY), (100, BUY), (-100, SELL)])
def test_reduce_only_is_refused_when_it_would_not_reduce(held, side):
    venue = Venue()
    if held:
        venue.hold(held)
    assert refused(venue.place, "out", side, 100, reduce_only=True) is Reason.REDUCE_ONLY


def test_resting_reduce_only_orders_end_with_the_position():
    venue = Venue()
    venue.hold(100)
    venue.place("tp1", SELL, 100, 1003, reduce_only=True)
    venue.place("tp2", SELL, 100, 1004, reduce_only=True)
    venue.place("out", SELL, 100)
    assert [r[:3] for r in venue.reports[-2:]] == [("tp1", "EXPIRED", "EXPIRED"), ("tp2", "EXPIRED", "EXPIRED")]
    assert venue.exchange.open_orders() == []


def test_one_trade_cannot_reduce_twice():
    venue = Venue()
    venue.hold(100)
    venue.place("tp1", SELL, 80, 1003, reduce_only=True)
    venue.place("tp2", SELL, 80, 1003, reduce_only=True)
    venue.feed(trade(1004, 500, BUY))
    assert venue.position.lots == 0
    assert [r[0] for r in venue.reports if r[1] == "TRADE"] == ["hold100", "tp1", "tp2"]
    assert venue.reports[-1][:3] == ("tp2", "EXPIRED", "EXPIRED")


@pytest.mark.parametrize(
    ("price", "size", "reason"),
    [
        ("100.05", "0.1", Reason.PRECISION),
        ("100.0", "0.1005", Reason.PRECISION),
        ("100.0", "0.01", Reason.NOTIONAL),
        ("105.2", "0.1", Reason.PX_BAND),
        ("100.0", "1000.1", Reason.QTY_MAX),
        ("NaN", "0.1", Reason.PRECISION),
        ("0", "0.1", Reason.PX_RANGE),
    ],
)
def test_filters_refuse(price, size, reason):
    venue = Venue()
    request = OrderRequest(SYMBOL, BUY, D(size), D(price), Tif.GTC, False, "mine")
    assert refused(venue.exchange.place, request) is reason


def test_steps_that_are_no_power_of_ten_are_kept():
    venue = Venue(tick_size=D("0.5"), bids=[(200, 10)], asks=[(202, 10)])
    request = OrderRequest(SYMBOL, BUY, D(1), D("3.7"), Tif.GTC, False, "mine")
    assert refused(venue.exchange.place, request) is Reason.PX_TICK


def test_price_band_leaves_low_buys_and_high_sells_alone():
    venue = Venue()
    assert venue.place("far buy", BUY, 1000, 500).is_open
    assert venue.place("far sell", SELL, 1000, 2000).is_open


def test_client_ids_are_unique_for_good_and_unknown_symbols_refused():
    venue = Venue()
    venue.place("mine", BUY, 100, 1000)
    assert refused(venue.place, "mine", BUY, 100, 999) is Reason.DUPLICATE_ID
    venue.exchange.cancel(SYMBOL, None, "mine")
    assert refused(venue.place, "mine", BUY, 100, 999) is Reason.DUPLICATE_ID
    assert refused(venue.exchange.market, "NOPE") is Reason.UNKNOWN_SYMBOL


def test_open_orders_are_limited():
    venue = Venue(wallet=10**9)
    for index in range(200):
        venue.place(f"o{index}", BUY, 100, 900)
    assert refused(venue.place, "one more", BUY, 100, 900) is Reason.TOO_MANY_ORDERS


def test_funding_is_settled_when_its_time_passes():
    venue = Venue()
    venue.hold(100)
    wallet = venue.account.wallet
    venue.feed(mark(100.0, rate=0.001, next_ms=1_000), mark(100.0, rate=0.001, next_ms=1_000, at_ms=4))
    assert venue.account.wallet == wallet
    venue.feed(mark(101.0, rate=-0.5, next_ms=2_000, at_ms=5))
    assert venue.account.wallet == wallet - D("0.1") * 100 * D("0.001"), "the rate and mark before the settlement count"


def test_dead_mans_switch_cancels_once_and_can_be_renewed_or_disarmed():
    venue = Venue()
    venue.place("a", BUY, 100, 1000)
    venue.exchange.arm(SYMBOL, 1_000)
    venue.exchange.expire(999)
    venue.exchange.arm(SYMBOL, 2_000)
    venue.exchange.expire(1_500)
    assert len(venue.exchange.open_orders()) == 1
    venue.exchange.expire(2_000)
    assert venue.exchange.open_orders() == []
    venue.place("b", BUY, 100, 1000)
    venue.exchange.arm(SYMBOL, 3_000)
    venue.exchange.arm(SYMBOL, None)
    venue.exchange.expire(9_000)
    assert len(venue.exchange.open_orders()) == 1


def test_leverage_cannot_fall_below_what_the_margin_carries():
    venue = Venue(wallet=30, leverage=10)
    venue.hold(400)
    assert refused(venue.exchange.set_leverage, SYMBOL, 1) is Reason.MARGIN
    assert venue.account.leverage[SYMBOL] == 10
    venue.exchange.set_leverage(SYMBOL, 20)
    assert venue.account.leverage[SYMBOL] == 20


def stop(venue, side, trigger, rises, closes=False, on_mark=False, lots=100, name="stop"):
    size = D(0) if closes else D(lots) / 1000
    request = OrderRequest(SYMBOL, side, size, None, Tif.GTC, not closes, name, "STOP_MARKET")
    return venue.exchange.stops.place(request, D(trigger), rises, on_mark, closes)


@pytest.mark.parametrize(("closes", "left"), [(False, 200), (True, 0)])
def test_stop_becomes_a_market_order_at_its_trigger(closes, left):
    venue = Venue()
    venue.feed(trade(1000, 1, SELL))
    venue.hold(300)
    placed = stop(venue, SELL, "99.0", rises=False, closes=closes)
    venue.feed(trade(991, 10, SELL, at_ms=4))
    assert placed.status == "NEW"
    venue.feed(trade(990, 10, SELL, at_ms=5))
    assert (placed.status, venue.position.lots) == ("FINISHED", left)
    assert venue.exchange.orders[placed.order_id].client_id == "stop"


def test_stop_on_mark_ignores_trades_and_a_reached_trigger_is_refused():
    venue = Venue()
    venue.feed(trade(1000, 1, SELL), mark(100.0))
    venue.hold(300)
    placed = stop(venue, SELL, "99.0", rises=False, on_mark=True)
    venue.feed(trade(900, 10, SELL, at_ms=4))
    assert placed.status == "NEW"
    venue.feed(mark(98.9, at_ms=5))
    assert placed.status == "FINISHED"
    assert refused(stop, venue, SELL, "100.5", rises=False, name="other") is Reason.WOULD_TRIGGER


def test_stop_that_cannot_be_carried_out_says_why():
    venue = Venue()
    venue.feed(trade(1000, 1, SELL))
    placed = stop(venue, SELL, "99.0", rises=False, closes=True)
    venue.feed(trade(990, 10, SELL, at_ms=4))
    assert placed.status == "REJECTED"
    assert "reduce" in placed.failure


def test_stop_can_be_cancelled_but_not_twice():
    venue = Venue()
    venue.feed(trade(1000, 1, SELL))
    stop(venue, SELL, "99.0", rises=False)
    assert venue.exchange.stops.cancel(None, "stop").status == "CANCELED"
    assert refused(venue.exchange.stops.cancel, None, "stop") is Reason.UNKNOWN_ORDER
    venue.feed(trade(900, 10, SELL, at_ms=4))
    assert venue.fills() == []


def test_reports_come_in_order_with_growing_time():
    venue = Venue()
    times = []
    venue.exchange.emit = lambda report: times.append(report.ts_ns)
    venue.place("a", BUY, 100, 1000)
    venue.feed(quote(105, (999, 1), (1000, 500), at_ms=7), trade(999, 10, SELL, at_ms=3))
    assert times == sorted(times)
    assert len(times) == 3
