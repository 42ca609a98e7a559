from math import exp, inf, log, nan, sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader.risk_inputs import RiskInputParams, init_inputs, update_inputs, vol_day

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def walk(seconds, vol=0.03, rho=0.0, every_s=1, seed=5):
    """Correlated random walks of A and B on the second, B's prices far below A's; only every ``every_s`` is shown."""
    rng, sigma, a, b = Random(seed), vol / sqrt(86_400), 100.0, 1e-6
    for t in range(seconds):
        x, y = rng.gauss(0, 1), rng.gauss(0, 1)
        a *= exp(sigma * x)
        b *= exp(sigma * (rho * x + sqrt(1 - rho * rho) * y))
        if t % every_s == 0:
            yield START + t * SECOND, a, b


def fed(path, params=None):
    state = init_inputs(params)
    for ts_ns, a, b in path:
        update_inputs(state, "A", a, ts_ns)
        update_inputs(state, "B", b, ts_ns)
    return state


LONG = RiskInputParams(half_life_s=3_600.0)


@pytest.mark.parametrize("every_s", [1, 5])
@pytest.mark.parametrize("vol", [0.005, 0.08])
def test_volatility_is_that_of_the_walk_however_often_it_is_quoted(vol, every_s):
    state = fed(walk(20_000, vol=vol, every_s=every_s), LONG)
    assert vol_day(state, "A") == pytest.approx(vol, rel=0.1)
    assert vol_day(state, "B") == pytest.approx(vol, rel=0.1)


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.6, 1.0])
def test_correlation_is_that_of_the_walks(rho):
    assert fed(walk(20_000, rho=rho), LONG).correlations["A|B"] == pytest.approx(rho, abs=0.06)


def test_the_estimates_are_the_batch_formula_exactly():
    path = list(walk(100))
    state = fed(path)
    keep = 0.5 ** (1.0 / 300.0)
    returns = [log(path[i][1] / path[i - 1][1]) for i in range(1, 99)]
    weights = [keep ** (len(returns) - 1 - i) for i in range(len(returns))]
    mean = sum(w * r * r for w, r in zip(weights, returns, strict=True)) / sum(weights)
    assert vol_day(state, "A") == pytest.approx(sqrt(mean * 86_400), rel=1e-9)


def test_nothing_is_said_until_warmed():
    assert vol_day(fed(walk(31)), "A") is None
    assert fed(walk(31)).correlations == {}
    assert vol_day(fed(walk(33)), "A") is not None
    assert "A|B" in fed(walk(33)).correlations
    assert vol_day(fed(walk(33)), "ZZZ") is None


def test_a_constant_price_has_no_volatility_and_no_correlation():
    state = fed((START + i * SECOND, 100.0, 1.0) for i in range(100))
    assert (vol_day(state, "A"), state.correlations["A|B"]) == (0.0, 0.0)


def test_many_quotes_within_a_step_count_once():
    state, dense = init_inputs(), init_inputs()
    for ts_ns, a, _ in walk(100):
        update_inputs(dense, "A", a * 1.5, ts_ns)
        update_inputs(dense, "A", a, ts_ns + 1_000)
        update_inputs(state, "A", a, ts_ns)
    assert vol_day(state, "A") == pytest.approx(vol_day(dense, "A"))


def test_a_symbol_that_falls_silent_becomes_unknown():
    state = fed(walk(100))
    for t in range(100, 500):
        update_inputs(state, "A", 100.0, START + t * SECOND)
    assert vol_day(state, "A") is not None
    assert vol_day(state, "B") is None
    assert state.correlations == {}


@pytest.mark.parametrize("jump_s", [3_600, -3_600])
def test_a_long_step_of_the_clock_begins_anew(jump_s):
    state = fed(walk(100))
    update_inputs(state, "A", 500.0, START + (100 + jump_s) * SECOND)
    assert state.vols_day == {}
    for t in range(101, 140):
        update_inputs(state, "A", 500.0, START + (t + jump_s) * SECOND)
    assert vol_day(state, "A") == 0.0


def test_a_short_step_back_is_waited_out():
    state = fed(walk(100))
    before = dict(state.vols_day)
    update_inputs(state, "A", 100.0, START + 50 * SECOND)
    assert state.vols_day == before


@pytest.mark.parametrize("broken", [nan, inf, -inf, 0.0, -1.0])
def test_broken_prices_are_ignored(broken):
    state = fed(walk(100))
    before = vol_day(state, "A")
    update_inputs(state, "A", broken, START + 200 * SECOND)
    assert vol_day(state, "A") == before


def test_a_published_snapshot_never_changes():
    state = fed(walk(100))
    snapshot, copy = state.vols_day, dict(state.vols_day)
    update_inputs(state, "A", 200.0, START + 101 * SECOND)
    update_inputs(state, "A", 200.0, START + 102 * SECOND)
    assert snapshot == copy != state.vols_day


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABC"), st.floats(), st.integers(-(2**62), 2**62) | st.integers(0, 10**11))))
def test_no_input_raises_and_estimates_are_in_range(inputs):
    state = init_inputs(RiskInputParams(warmup_steps=1))
    for symbol, mid_px, ts_ns in inputs:
        update_inputs(state, symbol, mid_px, ts_ns)
        assert all(0.0 <= vol < inf for vol in state.vols_day.values())
        assert all(-1.0 <= rho <= 1.0 for rho in state.correlations.values())
