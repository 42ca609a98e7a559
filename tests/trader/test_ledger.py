from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader.ledger import Ledger


def fill(ledger, side, qty, px, fee="0", ts=1):
    ledger.apply_fill("X", side, D(qty), D(px), D(fee), ts)


def test_round_trip_books_profit_minus_fees():
    ledger = Ledger(D(1000))
    fill(ledger, 1, "2", "100", "0.04")
    fill(ledger, -1, "2", "101", "0.04")
    assert ledger.balance == D("1001.92")
    assert ledger.position("X").qty == 0
    assert (ledger.wins, ledger.losses, ledger.consecutive_losses) == (1, 0, 0)


def test_average_cost_and_partial_close():
    ledger = Ledger(D(0))
    fill(ledger, 1, "1", "100")
    fill(ledger, 1, "3", "104")
    assert ledger.position("X").entry_px == D(103)
    fill(ledger, -1, "1", "105")
    assert ledger.realized == D(2)
    assert ledger.position("X").entry_px == D(103)


def test_a_fill_through_zero_closes_and_opens_the_other_side():
    ledger = Ledger(D(0))
    fill(ledger, 1, "1", "100", ts=1)
    fill(ledger, -1, "3", "99", ts=7)
    p = ledger.position("X")
    assert (p.qty, p.entry_px, p.opened_ns) == (D(-2), D(99), 7)
    assert ledger.realized == D(-1)
    assert ledger.consecutive_losses == 1


def test_a_gross_win_smaller_than_its_fees_is_a_loss():
    ledger = Ledger(D(0))
    fill(ledger, 1, "1", "100", "0.1")
    fill(ledger, -1, "1", "100.1", "0.1")
    assert ledger.losses == 1


def test_equity_is_nan_when_a_held_symbol_has_no_mid():
    ledger = Ledger(D(1000))
    fill(ledger, -1, "2", "100")
    assert ledger.equity({"X": 99.0}) == pytest.approx(1002.0)
    assert ledger.equity({}) != ledger.equity({})


lots = st.tuples(st.sampled_from([1, -1]), st.integers(1, 50), st.integers(1, 2000))


@given(st.lists(lots, min_size=1, max_size=40))
def test_cash_flow_identity_holds_for_any_fills(fills):
    """Balance plus the position at entry price equals the sum of all cash flows: nothing is made or lost in booking."""
    ledger = Ledger(D(0))
    cash = D(0)
    for side, qty, px in fills:
        fill(ledger, side, D(qty), D(px))
        cash -= side * qty * D(px)
    p = ledger.position("X")
    assert abs(ledger.balance - (cash + p.qty * p.entry_px)) < D("1e-15")
    assert p.qty == sum(side * qty for side, qty, _ in fills)
