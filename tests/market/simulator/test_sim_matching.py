"""The rules by which recorded volume reaches our orders, as tables. ``Venue`` shows 500 lots at bid 1000."""

import pytest

from market.simulator.errors import Reason, Reject
from market.simulator.orders import BUY, SELL, Status, Tif
from tests.market.simulator.cases import Venue, delta, quote, snapshot, trade

WHOLE_SIDE = [(1001, 400, False), (1002, 600, False), (1003, 800, False), (1010, 2000, False)]
RESTING = [
    pytest.param(1000, [trade(1000, 499, SELL)], [], id="the queue ahead goes first"),
    pytest.param(1000, [trade(1000, 500, SELL)], [], id="exactly the queue fills nothing"),
    pytest.param(1000, [trade(1000, 530, SELL)], [(1000, 30, True)], id="what is left of the trade fills us"),
    pytest.param(1000, [trade(1000, 900, SELL)], [(1000, 100, True)], id="never more than we asked"),
    pytest.param(
        1000,
        [trade(1000, 300, SELL), trade(1000, 250, SELL, at_ms=4)],
        [(1000, 50, True)],
        id="the queue is used up over several trades",
    ),
    pytest.param(1000, [trade(1000, 900, BUY)], [], id="buyers do not fill a bid"),
    pytest.param(1000, [trade(999, 60, SELL)], [(1000, 60, True)], id="a trade through fills up to its size"),
    pytest.param(1000, [trade(1001, 900, SELL)], [], id="a trade above the bid does not reach it"),
    pytest.param(1000, [trade(1000, 900, SELL, is_market=False)], [], id="an insurance-fund print is no market trade"),
    pytest.param(1000, [trade(1000, 900, SELL, at_ms=1)], [], id="a print from before we joined is not ours"),
    pytest.param(
        1000,
        [delta(101, 102, 100, [(1000, 200)]), trade(1000, 230, SELL)],
        [(1000, 30, True)],
        id="cancels ahead shorten the queue to what is visible",
    ),
    pytest.param(
        1000,
        [delta(101, 102, 100, [(1000, 900)]), trade(1000, 530, SELL)],
        [(1000, 30, True)],
        id="newcomers queue behind us",
    ),
    pytest.param(
        1000,
        [quote(105, (1000, 200), (1001, 400), at_ms=3), trade(1000, 300, SELL, at_ms=3)],
        [],
        id="a print that the quote already shows does not shorten the queue twice",
    ),
    pytest.param(
        1000,
        [quote(105, (999, 700), (1000, 50), at_ms=3), trade(1000, 540, SELL, at_ms=3)],
        [(1000, 50, True), (1000, 40, True)],
        id="the quote crosses us, then the late print reaches past the queue it explains",
    ),
    pytest.param(1001, [], [(1001, 100, False)], id="a bid at the ask takes"),
    pytest.param(995, [trade(995, 30, SELL)], [(995, 30, True)], id="an empty level inside the book has no queue"),
    pytest.param(980, [trade(980, 900, SELL)], [], id="a level beyond the known book lets no trade at it through"),
    pytest.param(980, [trade(979, 30, SELL)], [(980, 30, True)], id="but a trade through it does"),
    pytest.param(
        980,
        [delta(101, 102, 100, [(980, 300)]), trade(980, 320, SELL)],
        [(980, 20, True)],
        id="once the unknown level is shown, all of it is ahead",
    ),
    pytest.param(
        1000,
        [quote(105, (998, 10), (999, 70))],
        [(1000, 70, True)],
        id="an ask through our bid fills us at our price, up to its size",
    ),
    pytest.param(
        1000,
        [quote(105, (998, 10), (1000, 70)), quote(106, (998, 10), (1000, 70))],
        [(1000, 70, True)],
        id="the same crossing size fills only once",
    ),
    pytest.param(
        1000,
        [quote(105, (998, 10), (1000, 70)), quote(106, (998, 10), (1000, 90))],
        [(1000, 70, True), (1000, 20, True)],
        id="size added to it is new",
    ),
]


@pytest.mark.parametrize(("ticks", "events", "fills"), RESTING)
def test_bid_of_100_lots_is_filled_by(ticks, events, fills):
    venue = Venue()
    venue.place("mine", BUY, 100, ticks)
    venue.feed(*events)
    assert venue.fills() == fills


@pytest.mark.parametrize(("ticks", "events", "fills"), RESTING)
def test_ask_mirrors_the_bid(ticks, events, fills):
    """The same tables upside down: prices mirrored around 2001, sides and levels swapped."""

    def turn(event):
        if hasattr(event, "is_snapshot"):
            bids, asks = [], []
            for px, size in event.bids:
                asks.append((2001 - round(float(px) * 10), round(float(size) * 1000)))
            for px, size in event.asks:
                bids.append((2001 - round(float(px) * 10), round(float(size) * 1000)))
            return delta(event.first_id, event.last_id, event.prev_id, bids, asks)
        if hasattr(event, "bid_px"):
            bid = (2001 - round(event.ask_px * 10), round(event.ask_qty * 1000))
            ask = (2001 - round(event.bid_px * 10), round(event.bid_qty * 1000))
            return quote(event.update_id, bid, ask, at_ms=event.ts_event // 1_000_000)
        at_ms = event.ts_event // 1_000_000
        ticks = 2001 - round(event.px * 10)
        return trade(ticks, round(event.qty * 1000), -event.side, at_ms, is_market=event.is_market)

    asks = [(1001, 500), (1002, 700), (1003, 900), (1011, 2_000)]
    bids = [(1000, 400), (999, 600), (998, 800), (991, 2_000)]
    venue = Venue(bids=bids, asks=asks)
    venue.place("mine", SELL, 100, 2001 - ticks)
    venue.feed(*(turn(event) for event in events))
    assert venue.fills() == [(2001 - px, lots, maker) for px, lots, maker in fills]


@pytest.mark.parametrize(
    ("tif", "lots", "ticks", "fills", "status"),
    [
        (Tif.GTC, 300, None, [(1001, 300, False)], Status.FILLED),
        (Tif.GTC, 700, None, [(1001, 400, False), (1002, 300, False)], Status.FILLED),
        (
            Tif.GTC,
            5000,
            None,
            [(1001, 400, False), (1002, 600, False), (1003, 800, False), (1010, 2000, False)],
            "EXPIRED",
        ),
        (Tif.GTC, 700, 1001, [(1001, 400, False)], Status.PARTIALLY_FILLED),
        (Tif.IOC, 700, 1001, [(1001, 400, False)], Status.EXPIRED),
        (Tif.IOC, 700, 1000, [], Status.EXPIRED),
        (Tif.FOK, 1000, 1002, [(1001, 400, False), (1002, 600, False)], Status.FILLED),
        (Tif.POST, 700, 1000, [], Status.NEW),
    ],
    ids=["market", "market over levels", "market beyond the book", "limit rests", "ioc", "ioc unfilled", "fok", "post"],
)
def test_order_takes_visible_levels_in_price_order(tif, lots, ticks, fills, status):
    venue = Venue()
    order = venue.place("mine", BUY, lots, ticks, tif)
    assert venue.fills() == fills
    assert order.status == status


@pytest.mark.parametrize(
    ("tif", "lots", "ticks", "reason"),
    [(Tif.POST, 100, 1001, Reason.POST_ONLY), (Tif.FOK, 1001, 1002, Reason.FILL_OR_KILL)],
)
def test_order_is_refused_at_the_door_and_leaves_no_trace(tif, lots, ticks, reason):
    venue = Venue()
    with pytest.raises(Reject) as refused:
        venue.place("mine", BUY, lots, ticks, tif)
    assert refused.value.reason is reason
    assert venue.exchange.orders == {}
    assert venue.reports == []
    assert venue.place("mine", BUY, 100, 1000).client_id == "mine"


def test_same_visible_lots_are_not_taken_twice():
    venue = Venue()
    venue.place("a", BUY, 400)
    venue.place("b", BUY, 400)
    assert venue.fills() == [(1001, 400, False), (1002, 400, False)]


def test_remainder_of_a_taking_limit_waits_for_new_size():
    venue = Venue()
    venue.place("mine", BUY, 500, 1001)
    venue.feed(quote(105, (1000, 500), (1001, 400)))
    assert venue.fills() == [(1001, 400, False)]
    venue.feed(quote(106, (1000, 500), (1001, 430)))
    assert venue.fills() == [(1001, 400, False), (1001, 30, True)]


def test_one_trade_is_shared_by_price_then_time():
    venue = Venue()
    for name, ticks in (("late", 999), ("first", 1000), ("second", 1000)):
        venue.place(name, BUY, 100, ticks)
    venue.feed(trade(1000, 650, SELL))
    assert [r for r in venue.reports if r[1] == "TRADE"] == [
        ("first", "TRADE", "FILLED", 100),
        ("second", "TRADE", "PARTIALLY_FILLED", 50),
    ]
    venue.feed(trade(998, 70, SELL, at_ms=4))
    assert [r[0] for r in venue.reports if r[1] == "TRADE"][2:] == ["second", "late"]
    assert sum(lots for _, lots, _ in venue.fills()) == 150 + 70


def test_own_orders_never_match_each_other():
    venue = Venue(bids=[(900, 10)], asks=[(1100, 10)])
    venue.place("bid", BUY, 100, 1000)
    venue.place("ask", SELL, 100, 1000)
    assert venue.fills() == []


def test_order_that_improves_the_touch_has_nobody_ahead():
    venue = Venue(asks=[(1005, 400)])
    venue.place("mine", BUY, 100, 1003)
    venue.feed(trade(1003, 40, SELL))
    assert venue.fills() == [(1003, 40, True)]


def test_cancel_takes_the_order_out_and_only_once():
    venue = Venue()
    order = venue.place("mine", BUY, 100, 1000)
    assert venue.exchange.cancel("XYUSDT", None, "mine").status is Status.CANCELED
    venue.feed(trade(999, 900, SELL))
    assert venue.fills() == []
    with pytest.raises(Reject, match="no such open order"):
        venue.exchange.cancel("XYUSDT", order.order_id, None)


@pytest.mark.parametrize(
    ("ticks", "lots", "filled"),
    [(1000, 60, 30), (1000, 200, 0), (999, 100, 0)],
    ids=["smaller keeps its place", "larger goes to the back", "another price goes to the back"],
)
def test_amend_keeps_the_place_only_when_it_shrinks(ticks, lots, filled):
    from decimal import Decimal as D

    venue = Venue()
    venue.place("mine", BUY, 100, 1000)
    venue.feed(trade(1000, 400, SELL))
    venue.exchange.amend("XYUSDT", None, "mine", D(ticks) / 10, D(lots) / 1000)
    venue.feed(trade(1000, 130, SELL, at_ms=4))
    assert sum(lots for _, lots, _ in venue.fills()) == filled


def test_aggregates_are_not_counted_beside_single_trades():
    venue = Venue()
    venue.place("mine", BUY, 100, 1000)
    venue.feed(trade(1000, 300, SELL))
    venue.exchange.on_event(trade(1000, 300, SELL, at_ms=4), is_aggregate=True)
    assert venue.fills() == []
    assert venue.exchange.markets["XYUSDT"].stats.trades == 1


def test_aggregates_alone_do_fill():
    venue = Venue()
    venue.place("mine", BUY, 100, 1000)
    venue.exchange.on_event(trade(1000, 530, SELL), is_aggregate=True)
    assert venue.fills() == [(1000, 30, True)]


def test_new_snapshot_in_the_recording_keeps_our_orders():
    venue = Venue()
    venue.place("mine", BUY, 100, 1000)
    venue.feed(snapshot(300, [(1000, 40)], [(1001, 10)], at_ms=2), trade(1000, 60, SELL))
    assert venue.fills() == [(1000, 20, True)]
