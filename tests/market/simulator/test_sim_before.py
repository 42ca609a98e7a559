"""How many orders a venue lets rest; and marks and open interest of which a recording has said nothing yet."""

from decimal import Decimal
from math import nan

import pytest

from market.events import Mark, OpenInterest
from market.simulator.bybit_exchange import BybitExchange
from market.simulator.errors import Reason, Reject
from market.simulator.exchange import Exchange
from market.simulator.okx_exchange import OkxExchange
from market.simulator.orders import BUY, OrderRequest, Tif
from tests.market.simulator.cases import MS, SYMBOL, instrument, mark, snapshot

DUE_MS = 10_000


def exchange_of(kind, wallet=10_000):
    exchange = kind([instrument()], Decimal(wallet), 20, lambda _report: None)
    exchange.on_event(snapshot(100, [(1000, 500)], [(1001, 500)]))
    return exchange


def request(name):
    return OrderRequest(SYMBOL, BUY, Decimal("0.1"), Decimal(96), Tif.GTC, False, name)


@pytest.mark.parametrize(("kind", "most"), [(Exchange, 200), (OkxExchange, 500), (BybitExchange, 500)])
def test_each_venue_lets_its_own_number_of_orders_rest(kind, most):
    exchange = exchange_of(kind, wallet=10**9)
    for index in range(most):
        exchange.place(request(f"o{index}"))
    with pytest.raises(Reject) as refused:
        exchange.place(request("one more"))
    assert refused.value.reason is Reason.TOO_MANY_ORDERS
    exchange.cancel(SYMBOL, None, "o0")
    assert exchange.place(request("room again")).is_open


@pytest.mark.parametrize("kind", [Exchange, OkxExchange, BybitExchange])
def test_funding_that_is_told_before_any_mark_price_waits_for_it(kind):
    exchange = exchange_of(kind)
    market = exchange.market(SYMBOL)
    for at_ms in (3, 4):
        exchange.on_event(Mark(SYMBOL, at_ms * MS, at_ms * MS, nan, nan, 0.0003, DUE_MS * MS))
    exchange.on_event(OpenInterest(SYMBOL, 5 * MS, 5 * MS, nan, nan))
    assert (market.mark, market.open_interest, market.mark_px()) == (None, None, Decimal("100.05"))
    assert exchange.place(request("without a mark price")).is_open
    exchange.on_event(Mark(SYMBOL, 6 * MS, 6 * MS, 100.2, nan, nan, 0))
    assert (market.mark.mark_px, market.mark.funding_rate, market.mark.next_funding_ns) == (100.2, 0.0003, DUE_MS * MS)
    assert not market.index_candles.minutes
    exchange.on_event(mark(100.3, rate=0.0004, next_ms=2 * DUE_MS, at_ms=DUE_MS))
    assert [(one.funding_rate, one.mark_px) for one in market.settled] == [(0.0003, 100.2)]


@pytest.mark.parametrize("kind", [Exchange, OkxExchange, BybitExchange])
def test_a_settlement_of_which_no_rate_was_heard_is_none(kind):
    exchange = exchange_of(kind)
    for due_ms, at_ms in ((DUE_MS, 5), (2 * DUE_MS, DUE_MS)):
        exchange.on_event(Mark(SYMBOL, at_ms * MS, at_ms * MS, 100.0, nan, nan, due_ms * MS))
    assert exchange.market(SYMBOL).settled == []


def test_open_interest_is_kept_with_the_mark_price_of_its_time():
    exchange = exchange_of(Exchange)
    exchange.on_event(mark(100.5, at_ms=5))
    exchange.on_event(OpenInterest(SYMBOL, 6 * MS, 6 * MS, 40.0, nan))
    exchange.on_event(OpenInterest(SYMBOL, 7 * MS, 7 * MS, nan, 5.0))
    assert [(one.ts_ns, one.qty, one.px) for one in exchange.market(SYMBOL).interest] == [(6 * MS, 40.0, 100.5)]
