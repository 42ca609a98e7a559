from itertools import pairwise
from math import exp, inf, nan, sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.types import Regime
from trader.regime import RegimeParams, init_regime, update_regime

SECOND = 1_000_000_000
STEP = SECOND // 4
START = 1_700_000_000 * SECOND


def run(path, vol_day=0.02, state=None, start=START):
    """Feed one price per quarter second; ``vol_day`` may be a function of the step. Regimes, last state, time."""
    regimes, ts_ns = [], start
    state = state or init_regime()
    for i, px in enumerate(path):
        ts_ns += STEP
        state, regime = update_regime(state, px, vol_day(i) if callable(vol_day) else vol_day, ts_ns)
        regimes.append(regime)
    return regimes, state, ts_ns


def random_walk(steps, vol_day=0.02, seed=1, drift_bps_s=0.0, px=100.0):
    rng, sigma = Random(seed), vol_day * sqrt(0.25 / 86_400)
    for _ in range(steps):
        px *= exp(rng.gauss(0.0, sigma) + drift_bps_s * 0.25e-4)
        yield px


def line(start, end, seconds):
    steps = int(seconds * 4)
    return [start + (end - start) * (i + 1) / steps for i in range(steps)]


def transitions(regimes):
    return [b for a, b in pairwise(regimes) if a is not b]


def test_a_quiet_random_walk_is_normal_and_does_not_flicker():
    regimes, _, _ = run(random_walk(4 * 3_600 * 3))
    assert regimes.count(Regime.NORMAL) / len(regimes) > 0.9
    assert len(transitions(regimes)) / 3 < 12


@pytest.mark.parametrize(("drift", "path"), [(0.15, [Regime.TRENDING, Regime.BULL_RUN]), (-0.15, [Regime.TRENDING])])
def test_a_steady_drift_is_a_trend_and_upwards_becomes_a_run(drift, path):
    regimes, _, _ = run(random_walk(4 * 600, vol_day=0.01, drift_bps_s=drift), 0.01)
    assert transitions(regimes) == path


def test_a_long_rise_is_a_bull_run_and_a_long_fall_is_not():
    up, _, _ = run(random_walk(4 * 3_600, vol_day=0.01, drift_bps_s=0.15), 0.01)
    down, _, _ = run(random_walk(4 * 3_600, vol_day=0.01, drift_bps_s=-0.15), 0.01)
    assert up[-1] is Regime.BULL_RUN
    assert Regime.BULL_RUN not in down


def test_volatility_above_its_own_average_must_last_to_count():
    flat = [100.0] * 4_000
    blip, _, _ = run(flat, lambda i: 0.03 if 2_000 <= i < 2_016 else 0.01)
    risen, _, _ = run(flat, lambda i: 0.03 if i >= 2_000 else 0.01)
    assert transitions(blip) == []
    assert transitions(risen[:2_100]) == [Regime.VOLATILE]
    assert risen.index(Regime.VOLATILE) == 2_000 + 20


def test_volatility_around_its_threshold_does_not_flicker():
    regimes, _, _ = run([100.0] * 4_000, lambda i: (0.021 if (i // 40) % 2 else 0.019) if i >= 2_000 else 0.01)
    assert len(transitions(regimes)) <= 2


def test_a_high_level_is_volatile_without_any_history():
    regimes, _, _ = run([100.0] * 100, 0.06)
    assert regimes[-1] is Regime.VOLATILE


def test_low_volatility_that_doubles_is_still_low():
    regimes, _, _ = run([100.0] * 4_000, lambda i: 0.008 if i >= 2_000 else 0.003)
    assert set(regimes) == {Regime.NORMAL}


@pytest.mark.parametrize("vol_day", [0.02, None, nan])
def test_a_crash_counts_at_once_then_recovers_then_ends(vol_day):
    calm, state, ts_ns = run([100.0] * 400, vol_day)
    fall, state, ts_ns = run(line(100.0, 98.0, 20), vol_day, state, ts_ns)
    first = fall.index(Regime.CRASH)
    assert line(100.0, 98.0, 20)[first] == pytest.approx(98.5, abs=0.03)
    after, _, _ = run([98.0] * 4 * 600, vol_day, state, ts_ns)
    assert transitions(after) == [Regime.RECOVERY, Regime.NORMAL]
    assert set(calm) == {Regime.NORMAL}
    assert 4 * 299 <= after.count(Regime.RECOVERY) <= 4 * 310


def test_a_slow_fall_is_no_crash():
    regimes, _, _ = run(line(100.0, 97.0, 1_800))
    assert Regime.CRASH not in regimes


def test_a_fall_usual_for_the_market_is_no_crash():
    _, state, ts_ns = run([100.0] * 400, 0.2)
    fall, _, _ = run(line(100.0, 98.0, 20), 0.2, state, ts_ns)
    assert Regime.CRASH not in fall


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_regimes_do_not_depend_on_the_price_level(scale):
    path = [*random_walk(4_000), *line(100.0, 97.0, 20), *random_walk(2_000, seed=2, px=97.0)]
    assert run(path)[0] == run([px * scale for px in path])[0]


def test_within_a_bucket_nothing_is_computed():
    _, state, ts_ns = run([100.0] * 10)
    again, _ = update_regime(state, 50.0, 0.02, ts_ns + STEP - 1)
    assert again is state


@pytest.mark.parametrize("broken", [nan, inf, -inf, 0.0, -1.0])
def test_a_broken_price_changes_nothing(broken):
    _, state, ts_ns = run([100.0] * 10)
    again, _ = update_regime(state, broken, 0.02, ts_ns + SECOND)
    assert again is state


def test_a_small_step_back_of_the_clock_is_waited_out_a_large_one_followed():
    _, state, ts_ns = run([100.0] * 10)
    assert update_regime(state, 100.0, 0.02, ts_ns - 60 * SECOND)[0] is state
    assert update_regime(state, 100.0, 0.02, ts_ns - 3_600 * SECOND)[0].ts_ns == ts_ns - 3_600 * SECOND


def test_a_long_silence_begins_anew():
    _, state, ts_ns = run([100.0] * 400)
    regimes, _, _ = run([50.0] * 40, 0.02, state, ts_ns + 3_600 * SECOND)
    assert set(regimes) == {Regime.NORMAL}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.none() | st.floats(), st.integers(-(2**62), 2**62)), max_size=30))
def test_no_input_raises(inputs):
    state = init_regime()
    for mid_px, vol_day, ts_ns in inputs:
        state, regime = update_regime(state, mid_px, vol_day, ts_ns)
        assert isinstance(regime, Regime)


def test_parameters_refuse_unknown_names():
    with pytest.raises(TypeError):
        RegimeParams(crash_bp=1.0)
