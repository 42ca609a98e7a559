from math import isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from risk.gate import check
from risk.layers import (
    check_correlation,
    check_drawdown,
    check_emergency,
    check_portfolio_exposure,
    check_position_size,
    check_value_at_risk,
    check_volatility,
)
from risk.profiles import CONSERVATIVE, HIGH_LEVERAGE, PROFILES, Limits
from risk.types import LAYERS, AccountView, Allow, Deny, Intent, MarketView, PositionView, Regime, Resize
from tests.risk.cases import account, intent, market, position

LAWS = (
    check_position_size,
    check_portfolio_exposure,
    check_value_at_risk,
    check_drawdown,
    check_volatility,
    check_correlation,
    check_emergency,
)

# ---- what the gate does ----------------------------------------------------------------------------------------------


def test_an_ordinary_entry_passes_seven_layers_in_order():
    decision = check(intent(), account(), market(), CONSERVATIVE)
    assert tuple(v.layer for v in decision.verdicts) == LAYERS
    assert (decision.allowed, decision.qty) == (True, 1.0)


def test_the_first_denial_ends_the_walk():
    decision = check(intent(), account(consecutive_losses=5), market(tradable=False), CONSERVATIVE)
    assert [type(v) for v in decision.verdicts] == [Allow, Allow, Allow, Deny]
    assert (decision.allowed, decision.qty) == (False, 0.0)


def test_later_layers_judge_what_earlier_ones_left():
    decision = check(intent(qty=1e6), account(), market(depth_usd=5_000.0), CONSERVATIVE)
    resized = {v.layer: v.code for v in decision.verdicts if isinstance(v, Resize)}
    assert resized == {"position_size": "MAX_POSITION", "volatility": "DEPTH_SHARE"}
    assert decision.qty == pytest.approx(5.0)


@pytest.mark.parametrize("limits", [CONSERVATIVE, HIGH_LEVERAGE])
def test_the_whole_gate_lets_a_true_exit_pass_blind(limits):
    book = account(equity=None, synced=False, positions={"AAA": position(2.0)})
    seen = market(tradable=False, age_ms=nan, bid_px=None, ask_px=None, vol_day=None, vols_day={}, alarms=None)
    leave = intent(side=-1, qty=2.0, reduce_only=True, confidence=None, stop_bps=None)
    assert check(leave, book, seen, limits).qty == 2.0


# ---- properties ------------------------------------------------------------------------------------------------------

SYMBOLS = ("AAA", "BBB", "CCC")
PAIRS = ("AAA|BBB", "AAA|CCC", "BBB|CCC")
ANY = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 5e-324, 1e308, -1e308])
SIDES = st.sampled_from([1, -1])
SIZE = st.floats(0.001, 200.0)
SOME = st.floats(-60.0, 60.0)
RATIO = st.floats(1e-6, 2.0)


def broken_positions():
    held = st.builds(PositionView, st.floats(), st.floats(), st.floats(), st.floats())
    return st.dictionaries(st.sampled_from(SYMBOLS), held, max_size=3)


BROKEN_INTENTS = st.builds(
    Intent,
    symbol=st.sampled_from(SYMBOLS),
    side=st.integers(-2, 2),
    qty=st.floats(),
    px=st.floats(),
    post_only=st.booleans(),
    reduce_only=st.booleans(),
    strategy=st.just(""),
    reason=st.just(""),
    confidence=ANY,
    stop_bps=ANY,
)
BROKEN_ACCOUNTS = st.builds(
    AccountView, ANY, ANY, ANY, broken_positions(), st.none() | st.integers(), st.none() | st.integers(), st.booleans()
)
BROKEN_MARKETS = st.builds(
    MarketView,
    tradable=st.booleans(),
    age_ms=ANY,
    bid_px=ANY,
    ask_px=ANY,
    spread_bps=ANY,
    depth_usd=ANY,
    volume_24h_usd=ANY,
    vol_day=ANY,
    vols_day=st.dictionaries(st.sampled_from(SYMBOLS), st.floats()),
    correlations=st.dictionaries(st.sampled_from(PAIRS), st.floats()),
    regime=st.sampled_from(Regime),
    alarms=st.none() | st.tuples() | st.tuples(st.text()),
)
BROKEN_LIMITS = st.builds(
    Limits,
    **{
        name: st.floats()
        for name in Limits.__struct_fields__
        if name not in ("profiles", "max_trades_day", "max_consecutive_losses")
    },
)

INTENTS = st.builds(
    lambda side, qty, confidence: intent(side=side, qty=qty, confidence=confidence, px=100.0 if side > 0 else 100.01),
    SIDES,
    SIZE,
    st.floats(0.5, 1.0),
)
HELD = st.builds(position, SOME, st.just(100.0), st.floats(0.0, 30.0), st.floats(0.0, 30.0))
ACCOUNTS = st.builds(
    lambda positions, equity, trades: account(positions=positions, equity=equity, trades_today=trades),
    st.dictionaries(st.sampled_from(SYMBOLS), HELD, max_size=3),
    st.floats(8_000.0, 12_000.0),
    st.integers(0, 120),
)
MARKETS = st.builds(
    lambda vols, rhos, regime, depth: market(
        vol_day=vols["AAA"], vols_day=vols, correlations=rhos, regime=regime, depth_usd=depth
    ),
    st.fixed_dictionaries({s: st.floats(0.0, 0.06) for s in SYMBOLS}),
    st.dictionaries(st.sampled_from(PAIRS), st.floats(-1.0, 1.0), max_size=3),
    st.sampled_from(Regime),
    st.floats(100.0, 1e6),
)
LIMITS = st.builds(
    Limits,
    max_position=RATIO,
    max_single_asset=RATIO,
    max_exposure=RATIO,
    max_var_day=st.floats(1e-4, 0.2),
    max_trade_loss=st.floats(1e-6, 0.1),
    max_concentration=RATIO,
    max_depth_share=RATIO,
    max_pair_correlation=st.floats(0.0, 1.0),
    min_pair_exposure=st.floats(0.0, 0.5),
)
CAPS = tuple(n for n in Limits.__struct_fields__ if n.startswith("max_") or n == "min_pair_exposure")
FLOORS = ("min_confidence", "min_volume_24h_usd")


@settings(max_examples=200, deadline=None)
@given(BROKEN_INTENTS, BROKEN_ACCOUNTS, BROKEN_MARKETS, BROKEN_LIMITS | st.just(CONSERVATIVE))
def test_no_input_raises_and_no_doubt_enlarges(wanted, book, seen, limits):
    for law in LAWS:
        law(wanted, book, seen, limits)
    decision = check(wanted, book, seen, limits)
    assert decision.qty == 0.0 or 0.0 < decision.qty <= wanted.qty


def walk(wanted, book, seen, limits):
    """The seven checks one after the other, each on what the one before left."""
    verdicts = []
    for law in LAWS:
        verdicts.append(law(wanted, book, seen, limits))
        if isinstance(verdicts[-1], Deny):
            return verdicts, 0.0
        if isinstance(verdicts[-1], Resize):
            wanted = replace(wanted, qty=verdicts[-1].qty)
    return verdicts, wanted.qty


@settings(max_examples=150, deadline=None)
@given(INTENTS | BROKEN_INTENTS, ACCOUNTS | BROKEN_ACCOUNTS, MARKETS | BROKEN_MARKETS, LIMITS)
def test_the_gate_is_the_walk_of_the_seven_checks(wanted, book, seen, limits):
    decision = check(wanted, book, seen, limits)
    verdicts, qty = walk(wanted, book, seen, limits)
    assert repr((list(decision.verdicts), decision.qty)) == repr((verdicts, qty))


@settings(max_examples=150, deadline=None)
@given(BROKEN_INTENTS, BROKEN_ACCOUNTS, BROKEN_MARKETS)
def test_what_the_gate_lets_through_had_every_fact_it_needs(wanted, book, seen):
    if wanted.reduce_only or not check(wanted, book, seen, CONSERVATIVE).allowed:
        return
    facts = (book.equity, book.peak_equity, seen.age_ms, seen.bid_px, seen.ask_px, seen.vol_day, wanted.stop_bps)
    assert all(fact is not None and not isnan(fact) for fact in facts)


@settings(max_examples=200, deadline=None)
@given(INTENTS, ACCOUNTS, MARKETS, LIMITS)
def test_resize_never_enlarges_and_its_result_passes(wanted, book, seen, limits):
    for law in LAWS:
        verdict = law(wanted, book, seen, limits)
        if isinstance(verdict, Resize):
            assert 0 < verdict.qty < wanted.qty
            assert isinstance(law(replace(wanted, qty=verdict.qty), book, seen, limits), Allow)
    decision = check(wanted, book, seen, limits)
    if decision.allowed:
        again = check(replace(wanted, qty=decision.qty), book, seen, limits)
        assert (again.qty, {type(v) for v in again.verdicts}) == (decision.qty, {Allow})


@settings(max_examples=150, deadline=None)
@given(INTENTS, ACCOUNTS, MARKETS, LIMITS, st.floats(0.01, 0.99))
def test_rounding_a_passed_quantity_down_still_passes(wanted, book, seen, limits, part):
    decision = check(wanted, book, seen, limits)
    if decision.allowed:
        smaller = check(replace(wanted, qty=decision.qty * part), book, seen, limits)
        assert smaller.qty == decision.qty * part


@settings(max_examples=200, deadline=None)
@given(INTENTS, ACCOUNTS, MARKETS, LIMITS, st.sampled_from(CAPS + FLOORS), st.floats(0.05, 1.0))
def test_tightening_a_limit_never_turns_deny_into_allow(wanted, book, seen, limits, name, factor):
    value = getattr(limits, name)
    tighter = replace(limits, **{name: type(value)(value / factor if name in FLOORS else value * factor)})
    before, after = check(wanted, book, seen, limits), check(wanted, book, seen, tighter)
    assert after.qty <= before.qty * (1 + 1e-9)
    for law in LAWS:
        if isinstance(law(wanted, book, seen, limits), Deny):
            assert isinstance(law(wanted, book, seen, tighter), Deny)


@settings(max_examples=200, deadline=None)
@given(
    INTENTS, ACCOUNTS, MARKETS, LIMITS, st.sampled_from(SYMBOLS), st.floats(0.0, 50.0), st.sampled_from(["buy", "sell"])
)
def test_one_more_working_order_never_loosens(wanted, book, seen, limits, symbol, qty, side):
    held = book.positions.get(symbol, position())
    name = f"open_{side}_qty"
    busier = replace(book, positions={**book.positions, symbol: replace(held, **{name: getattr(held, name) + qty})})
    for law in LAWS:
        before, after = law(wanted, book, seen, limits), law(wanted, busier, seen, limits)
        if isinstance(before, Deny):
            assert isinstance(after, Deny)
        if isinstance(before, Resize):
            assert isinstance(after, Deny) or after.qty <= before.qty * (1 + 1e-9)
    assert check(wanted, busier, seen, limits).qty <= check(wanted, book, seen, limits).qty * (1 + 1e-9)


@settings(max_examples=150, deadline=None)
@given(
    BROKEN_ACCOUNTS, BROKEN_MARKETS, BROKEN_LIMITS, st.floats(1e-6, 1e6), st.floats(0.0, 1.0), st.sampled_from([1, -1])
)
def test_a_true_exit_is_never_blocked(book, seen, limits, held, part, side):
    qty = held * part
    if qty == 0.0:
        return
    book = replace(book, positions={**book.positions, "AAA": position(-side * held)})
    leave = intent(side=side, qty=qty, reduce_only=True, confidence=None, stop_bps=None)
    assert check(leave, book, seen, limits).qty == qty


@settings(max_examples=150, deadline=None)
@given(BROKEN_ACCOUNTS, BROKEN_MARKETS, st.floats(1e-6, 1e6), SIDES, st.floats(0.0, 1e6))
def test_an_exit_never_leaves_more_than_flat(book, seen, qty, side, working):
    leave = intent(side=side, qty=qty, reduce_only=True, confidence=None)
    book = replace(book, positions={**book.positions, "AAA": position(30.0, buys=working / 2, sells=working)})
    left = check(leave, book, seen, CONSERVATIVE).qty
    assert left == 0.0 if side > 0 else left + working <= 30.0 * (1 + 1e-12) or left == 0.0


def test_layers_and_limits_cover_every_regime():
    assert set(PROFILES) == set(Regime) == set(CONSERVATIVE.profiles)


@pytest.mark.parametrize("confidence", [None, 0.1])
def test_confidence_is_not_asked_of_an_exit(confidence):
    book = account(positions={"AAA": position(1.0)})
    leave = intent(side=-1, reduce_only=True, confidence=confidence)
    assert isinstance(check_position_size(leave, book, market(), CONSERVATIVE), Allow)
