"""Whatever market and orders come in whatever order, no lot is invented and no cent is lost."""

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import FrameError
from market.events import Depth
from market.simulator.errors import Reject
from market.simulator.ladder import Ladder
from market.simulator.orders import Leg, OrderRequest, Tif
from market.simulator.source import read
from tests.market.simulator.cases import SYMBOL, Venue, delta, mark, quote, trade

TICKS = st.integers(995, 1006)
LOTS = st.integers(60, 900)
SIDE = st.sampled_from([1, -1])
QUOTES = st.tuples(st.just("quote"), TICKS, st.integers(1, 4), LOTS, LOTS)
TRADES = st.tuples(st.just("trade"), TICKS, LOTS, SIDE, st.integers(0, 1))
DELTAS = st.tuples(st.just("delta"), TICKS, st.one_of(st.just(0), LOTS), SIDE)
ORDERS = st.tuples(st.just("order"), SIDE, LOTS, st.one_of(st.none(), TICKS), st.sampled_from(list(Tif)), st.booleans())
CANCELS = st.tuples(st.just("cancel"), st.integers(0, 30))
STEPS = st.lists(st.one_of(QUOTES, TRADES, DELTAS, ORDERS, ORDERS, CANCELS), min_size=5, max_size=60)


class Walk:
    """Feeds random steps to a venue and checks each one's executions against what that step can justify."""

    def __init__(self):
        self.venue = Venue(wallet=1_000_000)
        self.last_id, self.at_ms = 100, 10

    def step(self, kind, *values):
        fills_before = len(self.venue.exchange.fills)
        reachable = getattr(self, kind)(*values)
        new = self.venue.exchange.fills[fills_before:]
        assert sum(fill.lots for fill in new) <= reachable
        for fill in new:
            order = self.venue.exchange.orders[fill.order_id]
            assert fill.lots > 0
            assert order.filled_lots <= order.lots
            if order.ticks is not None:
                assert (order.ticks - fill.ticks) * order.side >= 0, "filled at a worse price than its limit"
            if fill.is_maker:
                assert fill.ticks == order.ticks

    def visible(self, side):
        ladder = self.venue.ladder
        return sum(lots for _, lots in ladder.walk(side, None))

    def quote(self, bid, spread, bid_lots, ask_lots):
        self.last_id, self.at_ms = self.last_id + 1, self.at_ms + 1
        self.venue.feed(quote(self.last_id, (bid, bid_lots), (bid + spread, ask_lots), at_ms=self.at_ms))
        return self.all_visible()

    def delta(self, ticks, lots, side):
        self.last_id, self.at_ms = self.last_id + 1, self.at_ms + 1
        sides = ([(ticks, lots)], []) if side > 0 else ([], [(ticks, lots)])
        self.venue.feed(delta(self.last_id, self.last_id, self.last_id - 1, *sides, at_ms=self.at_ms))
        return self.all_visible()

    def all_visible(self):
        levels = self.venue.ladder.levels
        quoted = 0 if self.venue.ladder._quote is None else sum(self.venue.ladder._quote[2::2])
        return sum(levels[1].values()) + sum(levels[-1].values()) + quoted

    def trade(self, ticks, lots, side, later):
        self.at_ms += later
        self.venue.feed(trade(ticks, lots, side, at_ms=self.at_ms))
        return lots

    def order(self, side, lots, ticks, tif, reduce_only):
        reachable = self.visible(-side)
        tif = tif if ticks is not None else Tif.GTC
        try:
            self.venue.place("", side, lots, ticks, tif, reduce_only)
        except Reject:
            return 0
        return reachable

    def cancel(self, which):
        orders = self.venue.exchange.open_orders()
        if orders:
            self.venue.exchange.cancel(SYMBOL, orders[which % len(orders)].order_id, None)
        return 0


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_random_markets_and_orders_keep_the_books_straight(steps):
    walk = Walk()
    for step in steps:
        walk.step(*step)
    venue = walk.venue
    fills = venue.exchange.fills
    assert venue.position.lots == sum(fill.side * fill.lots for fill in fills)
    paid, earned = sum(fill.fee for fill in fills), sum(fill.realized_pnl for fill in fills)
    assert venue.account.wallet == pytest.approx(1_000_000 + earned - paid)
    cash = sum(-fill.side * D(fill.ticks) / 10 * D(fill.lots) / 1000 for fill in fills)
    held = venue.position.entry_px * D(venue.position.lots) / 1000
    assert earned == pytest.approx(cash + held), "profit is what was received less what was spent"
    for order in venue.exchange.orders.values():
        own = [fill for fill in fills if fill.order_id == order.order_id]
        assert order.filled_lots == sum(fill.lots for fill in own)
        assert order.is_open == (order.order_id in venue.exchange.markets[SYMBOL].matcher.resting)


MARKS = st.tuples(st.just("mark"), st.integers(930, 1070))
LEGS = st.sampled_from([Leg.LONG, Leg.SHORT])
LEG_ORDERS = st.tuples(st.just("leg_order"), SIDE, LOTS, st.one_of(st.none(), TICKS), LEGS)
RISKY = st.lists(st.one_of(QUOTES, TRADES, DELTAS, MARKS, LEG_ORDERS, LEG_ORDERS), min_size=5, max_size=60)


class RiskyWalk(Walk):
    """A small account at high leverage, in either position mode and with either margin: it is liquidated often."""

    def __init__(self, is_hedged, is_isolated):
        super().__init__()
        self.venue = Venue(wallet=20, leverage=100)
        self.venue.exchange.settings.set_hedged(is_hedged)
        self.venue.exchange.settings.set_isolated(SYMBOL, is_isolated)

    def mark(self, ticks):
        self.at_ms += 1
        self.venue.feed(mark(ticks / 10, at_ms=self.at_ms))
        return self.all_visible()

    def leg_order(self, side, lots, ticks, leg):
        reachable = self.visible(-side)
        price = None if ticks is None else D(ticks) / 10
        leg = leg if self.venue.account.is_hedged else Leg.NET
        try:
            self.venue.exchange.place(OrderRequest(SYMBOL, side, D(lots) / 1000, price, Tif.GTC, False, "", leg=leg))
        except Reject:
            return 0
        return reachable


@pytest.mark.parametrize("is_isolated", [False, True], ids=["cross", "isolated"])
@pytest.mark.parametrize("is_hedged", [False, True], ids=["one-way", "hedge"])
@settings(max_examples=60, deadline=None)
@given(steps=RISKY)
def test_liquidation_invents_nothing_and_loses_no_more_than_the_wallet(is_hedged, is_isolated, steps):
    walk = RiskyWalk(is_hedged, is_isolated)
    for step in steps:
        walk.step(*step)
    venue, account = walk.venue, walk.venue.account
    for leg, position in account.legs(SYMBOL):
        assert position.lots == sum(fill.side * fill.lots for fill in venue.exchange.fills if fill.leg is leg)
        assert position.lots * {Leg.LONG: 1, Leg.SHORT: -1}.get(leg, 0) >= 0, "a hedge leg never turns"
        assert position.lots or position.margin == 0
    assert account.wallet == pytest.approx(20 + sum(row.amount for row in venue.exchange.incomes))
    assert account.insured == pytest.approx(
        sum(row.amount for row in venue.exchange.incomes if row.kind == "INSURANCE_CLEAR")
    )
    liquidated = any(order.is_liquidation for order in venue.exchange.orders.values())
    if liquidated and not account.held():
        assert account.wallet >= 0


@pytest.mark.data
def test_ladder_equals_the_verified_book_on_recorded_data():
    from market.book import Book
    from market.simulator.scan import Fees, instruments
    from market.tape import session_frames, sessions
    from tests.market.simulator.data import recorded

    session = sessions(recorded("binance_usdm_ws"))[-1]
    listed = {i.symbol: i for i in instruments(session.files, Fees())}
    ladders = {symbol: Ladder(i) for symbol, i in listed.items()}
    books = {symbol: Book(symbol, "futures") for symbol in listed}
    compared = 0
    for count, frame in zip(range(40_000), session_frames(session), strict=False):
        try:
            event = read(frame)
        except FrameError:
            continue
        if isinstance(event, Depth):
            ladders[event.symbol].apply(event)
            books[event.symbol].apply(event)
            if count % 20 == 0 and books[event.symbol].tradable:
                compared += 1
                for side in (1, -1):
                    levels = ladders[event.symbol].top(side, 100)
                    listing = listed[event.symbol]
                    exact = [(listing.px(px), listing.qty(lots)) for px, lots in levels]
                    assert exact == books[event.symbol].levels(side, 100)
    assert compared > 100
