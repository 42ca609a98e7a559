from math import inf, nan

import pytest
from msgspec.structs import replace

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
from risk.types import Allow, Deny, Regime, Resize
from risk.var import Z_95
from tests.risk.cases import EQUITY, account, intent, market, position

LAWS = {
    "position_size": check_position_size,
    "portfolio_exposure": check_portfolio_exposure,
    "value_at_risk": check_value_at_risk,
    "drawdown": check_drawdown,
    "volatility": check_volatility,
    "correlation": check_correlation,
    "emergency": check_emergency,
}
BROKEN = (None, nan, inf, -inf)


def judge(layer, wanted=None, book=None, seen=None, limits=CONSERVATIVE):
    return LAWS[layer](wanted or intent(), book or account(), seen or market(), limits)


def assert_denied(verdict, layer, code):
    assert isinstance(verdict, Deny), verdict
    assert (verdict.layer, verdict.code) == (layer, code)


@pytest.mark.parametrize("layer", LAWS)
def test_an_ordinary_entry_is_allowed(layer):
    assert judge(layer) == Allow(layer)


# ---- quantity limits: at, just over, far over ------------------------------------------------------------------------

HELD = {
    "MAX_POSITION": (check_position_size, {}, 10.0),
    "MAX_SINGLE_ASSET": (check_portfolio_exposure, {"AAA": position(sells=15.0)}, 5.0),
    "MAX_EXPOSURE": (check_portfolio_exposure, {"BBB": position(40.0), "CCC": position(-35.0)}, 5.0),
    "MAX_VAR": (check_value_at_risk, {}, 0.05 * EQUITY / (Z_95 * 0.02) / 100.0),
    "MAX_TRADE_LOSS": (check_drawdown, {}, 0.02 * EQUITY / (0.004 * 100.0)),
    "DEPTH_SHARE": (check_volatility, {}, 0.1 * 1e6 / 100.0),
    "CONCENTRATION": (check_correlation, {"BBB": position(20.0), "CCC": position(20.0)}, 10.0),
}


@pytest.mark.parametrize("code", HELD)
@pytest.mark.parametrize("excess", [1.0 + 1e-6, 1.5, 1e9])
def test_quantity_above_a_limit_shrinks_to_it(code, excess):
    law, positions, most = HELD[code]
    verdict = law(intent(qty=most * excess), account(positions=positions), market(), CONSERVATIVE)
    assert isinstance(verdict, Resize)
    assert verdict.code == code
    assert verdict.qty == pytest.approx(most, rel=1e-9)
    assert verdict.observed > verdict.limit


@pytest.mark.parametrize("code", HELD)
def test_quantity_at_a_limit_passes(code):
    law, positions, most = HELD[code]
    assert isinstance(law(intent(qty=most * (1 - 1e-12)), account(positions=positions), market(), CONSERVATIVE), Allow)


def test_position_exactly_at_its_limit_passes():
    assert isinstance(judge("position_size", intent(qty=10.0)), Allow)


def test_a_full_position_denies_instead_of_shrinking():
    full = account(positions={"AAA": position(10.0)})
    assert_denied(judge("position_size", book=full), "position_size", "MAX_POSITION")


def test_working_orders_fill_a_position_up():
    working = account(positions={"AAA": position(4.0, buys=5.5)})
    verdict = judge("position_size", book=working)
    assert isinstance(verdict, Resize)
    assert verdict.qty == pytest.approx(0.5)


def test_entries_back_towards_flat_need_no_room():
    book = account(positions={"AAA": position(30.0), "BBB": position(90.0)})
    sell = intent(side=-1, qty=2.0)
    for layer in LAWS:
        assert isinstance(judge(layer, sell, book), Allow), layer


def test_an_entry_through_flat_keeps_its_reducing_part():
    book = account(positions={"AAA": position(5.0), "BBB": position(100.0)})
    verdict = judge("portfolio_exposure", intent(side=-1, qty=8.0), book)
    assert isinstance(verdict, Resize)
    assert verdict.qty == 5.0


def test_notional_is_valued_at_the_ask_when_a_sell_is_priced_below_it():
    verdict = judge("position_size", intent(side=-1, qty=20.0, px=1.0))
    assert isinstance(verdict, Resize)
    assert verdict.qty == pytest.approx(10.0)


def test_a_resize_to_dust_is_a_denial():
    book = account(positions={"AAA": position(10.0 - 1e-7)})
    assert_denied(judge("position_size", book=book), "position_size", "MAX_POSITION")


def test_leverage_binds_where_it_is_tighter_than_exposure():
    loose = Limits(max_exposure=5.0, max_single_asset=9.0)
    verdict = judge("portfolio_exposure", intent(qty=301.0), limits=loose)
    assert isinstance(verdict, Resize)
    assert (verdict.code, round(verdict.qty, 6)) == ("MAX_LEVERAGE", 300.0)


def test_high_leverage_shares_are_of_margin():
    verdict = judge("position_size", intent(qty=1_000.0), limits=HIGH_LEVERAGE)
    assert isinstance(verdict, Resize)
    assert verdict.qty == pytest.approx(0.02 * 20 * EQUITY / 100.0)


@pytest.mark.parametrize(("regime", "most"), [(r, 10.0 * min(1.0, p.position_x)) for r, p in PROFILES.items()])
def test_a_regime_can_only_tighten_the_position_limit(regime, most):
    verdict = judge("position_size", intent(qty=50.0), seen=market(regime=regime))
    assert isinstance(verdict, Resize)
    assert verdict.qty == pytest.approx(most)


@pytest.mark.parametrize(("regime", "most"), [(r, p.max_positions) for r, p in PROFILES.items()])
def test_the_regime_limits_the_number_of_positions(regime, most):
    def book(count):
        return account(positions={f"S{i}": position(0.01) for i in range(count)})

    assert isinstance(judge("portfolio_exposure", book=book(most - 1), seen=market(regime=regime)), Allow)
    verdict = judge("portfolio_exposure", book=book(most), seen=market(regime=regime))
    assert_denied(verdict, "portfolio_exposure", "MAX_POSITIONS")
    assert (verdict.observed, verdict.limit) == (most + 1, most)


def test_a_regime_can_only_tighten_the_loss_of_a_trade():
    crash = judge("drawdown", intent(qty=1e6), seen=market(regime=Regime.CRASH))
    run = judge("drawdown", intent(qty=1e6), seen=market(regime=Regime.BULL_RUN))
    assert isinstance(crash, Resize)
    assert isinstance(run, Resize)
    assert (crash.limit, run.limit) == (0.005, 0.02)


def test_a_flat_symbol_needs_no_mark():
    book = account(positions={"BBB": position(0.0, mark_px=nan)})
    assert isinstance(judge("portfolio_exposure", book=book), Allow)


# ---- value at risk ---------------------------------------------------------------------------------------------------


def test_var_of_two_correlated_positions_is_the_closed_form():
    book = account(positions={"BBB": position(100.0)})
    verdict = judge("value_at_risk", intent(qty=300.0), book)
    a, b, rho = 300 * 100 * 0.02, 100 * 100 * 0.03, 0.5
    assert isinstance(verdict, Resize)
    assert verdict.observed == pytest.approx(Z_95 * (a * a + b * b + 2 * rho * a * b) ** 0.5 / EQUITY)


def test_var_credits_a_filled_hedge_but_not_a_working_one():
    hedged = account(positions={"BBB": position(-100.0), "AAA": position(100.0)})
    working = account(positions={"BBB": position(0.0, sells=100.0), "AAA": position(100.0)})
    assert isinstance(judge("value_at_risk", intent(), hedged), Allow)
    assert_denied(judge("value_at_risk", intent(), working), "value_at_risk", "MAX_VAR")


def test_var_counts_a_missing_correlation_as_the_worst():
    book = account(positions={"BBB": position(-100.0), "AAA": position(100.0)})
    blind = market(correlations={})
    assert_denied(judge("value_at_risk", intent(), book, blind), "value_at_risk", "MAX_VAR")


@pytest.mark.parametrize("broken", [nan, inf, -0.01])
def test_var_denies_when_a_held_symbols_volatility_is_broken(broken):
    book = account(positions={"BBB": position(1.0)})
    seen = market(vols_day={"AAA": 0.02, "BBB": broken})
    assert_denied(judge("value_at_risk", book=book, seen=seen), "value_at_risk", "UNKNOWN_VOLATILITY")


def test_var_denies_when_a_held_symbols_volatility_is_missing():
    book = account(positions={"ZZZ": position(1.0)})
    assert_denied(judge("value_at_risk", book=book), "value_at_risk", "UNKNOWN_VOLATILITY")


# ---- account and market facts ----------------------------------------------------------------------------------------

FACTS = [
    # layer, code, what to change, at the limit, just over, far over
    ("drawdown", "MAX_DRAWDOWN", "peak_equity", EQUITY / 0.85 * (1 - 1e-12), EQUITY / 0.8499, EQUITY * 100),
    ("drawdown", "DAILY_LOSS", "day_start_equity", EQUITY / 0.95 * (1 - 1e-12), EQUITY / 0.9499, EQUITY * 100),
    ("drawdown", "TRADES_PER_DAY", "trades_today", 99, 100, 10**400),
    ("drawdown", "CONSECUTIVE_LOSSES", "consecutive_losses", 4, 5, 10**400),
    ("volatility", "STALE_MARKET", "age_ms", 2_000.0, 2_000.1, 1e12),
    ("volatility", "VOLATILITY_CAP", "vol_day", 0.05, 0.0500001, 9.0),
    ("volatility", "SPREAD_CAP", "spread_bps", 10.0, 10.0001, 1e4),
    ("volatility", "VOLUME_FLOOR", "volume_24h_usd", 1e6, 999_999.0, 0.0),
]


def with_fact(name, value):
    if hasattr(account(), name):
        return account(**{name: value}), market()
    return account(), market(**{name: value})


@pytest.mark.parametrize(("layer", "code", "name", "at", "over", "far"), FACTS)
def test_a_fact_at_its_limit_passes_and_beyond_it_denies(layer, code, name, at, over, far):
    assert isinstance(judge(layer, None, *with_fact(name, at)), Allow)
    for value in (over, far):
        verdict = judge(layer, None, *with_fact(name, value))
        assert_denied(verdict, layer, code)
        assert verdict.headroom < 0


@pytest.mark.parametrize(("layer", "code", "name"), [fact[:3] for fact in FACTS])
@pytest.mark.parametrize("broken", BROKEN)
def test_a_fact_that_is_unknown_denies(layer, code, name, broken):
    if isinstance(broken, float) and name in ("trades_today", "consecutive_losses"):
        broken = -1
    assert_denied(judge(layer, None, *with_fact(name, broken)), layer, code)


@pytest.mark.parametrize("layer", [name for name in LAWS if name != "emergency"])
@pytest.mark.parametrize("broken", [*BROKEN, 0.0, -5.0])
def test_unknown_equity_denies_everywhere(layer, broken):
    assert_denied(judge(layer, book=account(equity=broken)), layer, "UNKNOWN_EQUITY")


@pytest.mark.parametrize("broken", [*BROKEN, 0.0, -1.0])
@pytest.mark.parametrize("name", ["bid_px", "ask_px"])
def test_unknown_touch_denies(name, broken):
    assert_denied(judge("volatility", seen=market(**{name: broken})), "volatility", "UNKNOWN_PRICE")


def test_an_account_out_of_step_denies():
    assert_denied(judge("position_size", book=account(synced=False)), "position_size", "ACCOUNT_NOT_SYNCED")


@pytest.mark.parametrize("broken", [*BROKEN, 0.5999, 0.0, -1.0])
def test_confidence_unknown_or_low_denies_an_entry(broken):
    assert_denied(judge("position_size", intent(confidence=broken)), "position_size", "LOW_CONFIDENCE")


def test_confidence_at_the_minimum_passes():
    assert isinstance(judge("position_size", intent(confidence=0.6)), Allow)


@pytest.mark.parametrize("broken", [*BROKEN, 0.0, -1.0])
def test_an_entry_without_a_stop_is_denied(broken):
    assert_denied(judge("drawdown", intent(stop_bps=broken)), "drawdown", "UNKNOWN_STOP")


@pytest.mark.parametrize("broken", [nan, inf, -inf, 0.0, -1.0])
@pytest.mark.parametrize("name", ["qty", "px"])
@pytest.mark.parametrize("reduce_only", [False, True])
def test_an_intent_that_is_no_order_is_denied(name, broken, reduce_only):
    bad = intent(**{name: broken, "reduce_only": reduce_only})
    assert_denied(judge("position_size", bad), "position_size", "INVALID_INTENT")


@pytest.mark.parametrize("side", [0, 2, -3])
def test_an_intent_without_a_side_is_denied(side):
    assert_denied(judge("position_size", intent(side=side)), "position_size", "INVALID_INTENT")


@pytest.mark.parametrize("bad", [position(nan), position(inf), position(1.0, buys=nan), position(1.0, sells=inf)])
@pytest.mark.parametrize("symbol", ["AAA", "BBB"])
def test_a_broken_position_denies(symbol, bad):
    for layer in ("position_size", "portfolio_exposure", "value_at_risk", "correlation"):
        assert_denied(judge(layer, book=account(positions={symbol: bad})), layer, "UNKNOWN_POSITION")


@pytest.mark.parametrize("mark_px", [nan, inf, 0.0, -1.0])
def test_another_position_without_a_mark_denies(mark_px):
    book = account(positions={"BBB": position(1.0, mark_px=mark_px)})
    assert_denied(judge("portfolio_exposure", book=book), "portfolio_exposure", "UNKNOWN_POSITION")


@pytest.mark.parametrize("broken", [*BROKEN, 0.0])
def test_unknown_depth_denies(broken):
    assert_denied(judge("volatility", seen=market(depth_usd=broken)), "volatility", "DEPTH_SHARE")


@pytest.mark.parametrize("bid_px", [100.0, 101.0])
def test_a_locked_or_crossed_book_denies(bid_px):
    assert_denied(judge("volatility", seen=market(bid_px=bid_px)), "volatility", "CROSSED_BOOK")


def test_a_regime_without_a_profile_denies():
    limits = Limits(profiles={Regime.NORMAL: PROFILES[Regime.NORMAL]})
    verdict = judge("position_size", seen=market(regime=Regime.CRASH), limits=limits)
    assert_denied(verdict, "position_size", "UNKNOWN_REGIME")


# ---- correlation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rho", "held", "passes"),
    [
        (0.70, 5.0, True),
        (0.7001, 5.0, False),
        (1.0, 5.0, False),
        (-0.9, 5.0, True),
        (-0.9, -5.0, False),
        (0.9, -5.0, True),
        (0.9, 2.0, True),
        (0.9, 2.001, False),
    ],
)
def test_the_same_bet_twice_is_denied(rho, held, passes):
    book = account(positions={"BBB": position(held)})
    verdict = judge("correlation", book=book, seen=market(correlations={"AAA|BBB": rho}))
    if passes:
        assert isinstance(verdict, Allow)
    else:
        assert_denied(verdict, "correlation", "PAIR_CORRELATION")


@pytest.mark.parametrize("rho", [nan, inf, 1.1, -1.1])
def test_a_broken_correlation_to_a_real_position_denies(rho):
    book = account(positions={"BBB": position(-5.0)})
    verdict = judge("correlation", book=book, seen=market(correlations={"AAA|BBB": rho}))
    assert_denied(verdict, "correlation", "PAIR_CORRELATION")


def test_a_missing_correlation_to_a_real_position_denies():
    book = account(positions={"BBB": position(0.0, buys=3.0)})
    assert_denied(judge("correlation", book=book, seen=market(correlations={})), "correlation", "PAIR_CORRELATION")


def test_offsetting_legs_are_not_credited_against_concentration():
    legs = {"BBB": position(20.0), "CCC": position(-30.0)}
    alone = judge("correlation", intent(qty=50.0), account(positions={"BBB": position(20.0)}))
    both = judge("correlation", intent(qty=50.0), account(positions=legs))
    assert isinstance(alone, Resize)
    assert alone == both


# ---- emergency -------------------------------------------------------------------------------------------------------


def test_a_book_out_of_step_denies():
    assert_denied(judge("emergency", seen=market(tradable=False)), "emergency", "NOT_TRADABLE")


def test_detectors_that_have_not_run_deny():
    assert_denied(judge("emergency", seen=market(alarms=None)), "emergency", "ALARMS_UNKNOWN")


@pytest.mark.parametrize(
    "name",
    [
        "crash",
        "flash_crash",
        "volatility_spike",
        "liquidity_crisis",
        "manipulation_suspected",
        "system_instability",
        "x",
    ],
)
def test_any_alarm_denies_under_its_name(name):
    assert_denied(judge("emergency", seen=market(alarms=(name,))), "emergency", f"ALARM_{name.upper()}")


# ---- reduce-only -----------------------------------------------------------------------------------------------------


WORST_OF_TIMES = market(
    tradable=False,
    age_ms=None,
    bid_px=None,
    ask_px=None,
    spread_bps=nan,
    depth_usd=None,
    volume_24h_usd=None,
    vol_day=None,
    vols_day={},
    correlations={},
    alarms=("crash", "system_instability"),
)


def close(**changes):
    return intent(**{"side": -1, "qty": 3.0, "reduce_only": True, "confidence": None, "stop_bps": None} | changes)


def ruined(*held):
    return replace(
        account(
            equity=None, peak_equity=nan, day_start_equity=None, trades_today=None, consecutive_losses=99, synced=False
        ),
        positions={"AAA": position(*held), "BBB": position(nan)},
    )


@pytest.mark.parametrize("layer", LAWS)
def test_a_true_exit_passes_in_the_worst_of_times(layer):
    assert judge(layer, close(), ruined(3.0), WORST_OF_TIMES) == Allow(layer)


@pytest.mark.parametrize("layer", LAWS)
def test_a_short_is_closed_by_buying(layer):
    assert judge(layer, close(side=1), ruined(-3.0), WORST_OF_TIMES) == Allow(layer)


@pytest.mark.parametrize("book", [account(), ruined(-3.0), ruined(nan), ruined(0.0), ruined(3.0, 100.0, 0.0, 3.0)])
def test_what_does_not_reduce_is_no_exit(book):
    assert_denied(judge("position_size", close(), book), "position_size", "NOT_REDUCING")


def test_an_exit_shrinks_to_what_no_working_order_closes_yet():
    verdict = judge("position_size", close(), ruined(3.0, 100.0, 7.0, 2.0))
    assert verdict == Resize("position_size", "REDUCE_ONLY_EXCEEDS", 3.0, 1.0, 1.0)


def test_a_denial_reads_as_code_observed_and_limit():
    full = account(positions={"AAA": position(10.0)})
    assert str(judge("position_size", book=full)) == "MAX_POSITION: observed=0.11, limit=0.1"
