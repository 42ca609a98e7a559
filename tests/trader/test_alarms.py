from math import inf, nan
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from trader.alarms import NAMES, AlarmParams, Sample, init_alarms, update_alarms

SECOND = 1_000_000_000
STEP = SECOND // 10
START = 1_700_000_000 * SECOND
CALM = Sample(
    ts_ns=START,
    bid_px=99.99,
    bid_qty=5.0,
    ask_px=100.01,
    ask_qty=5.0,
    traded_qty=0.0,
    faults=0,
    depth_usd=1e6,
    vol_day=0.02,
    lag_ms=5.0,
)


def run(samples, state=None):
    """Feed samples; every set of alarms raised on the way, the last raised, and the state."""
    state, seen, raised = state or init_alarms(), set(), ()
    for sample in samples:
        state, raised = update_alarms(state, sample)
        seen.update(raised)
    return seen, raised, state


def calm(seconds, start=START, **changes):
    return [replace(CALM, ts_ns=start + i * STEP, **changes) for i in range(1, int(seconds * 10) + 1)]


def at(px, **changes):
    return replace(CALM, bid_px=px * 0.9999, ask_px=px * 1.0001, **changes)


def moving(start_px, end_px, seconds, start):
    steps = int(seconds * 10)
    return [at(start_px + (end_px - start_px) * i / steps, ts_ns=start + i * STEP) for i in range(1, steps + 1)]


@pytest.fixture
def warm():
    return run(calm(60))[2]


def test_a_calm_market_raises_nothing():
    rng, samples = Random(3), []
    for i, sample in enumerate(calm(600)):
        px = 100.0 + rng.gauss(0, 0.02)
        size = rng.expovariate(0.2) + 0.01
        samples.append(
            replace(at(px, ts_ns=sample.ts_ns), bid_qty=size, ask_qty=rng.expovariate(0.2) + 0.01, traded_qty=i)
        )
    assert run(samples)[0] == set()


def test_a_fall_over_minutes_is_a_crash_but_no_flash_crash(warm):
    assert run(moving(100.0, 96.5, 240, warm.ts_ns), warm)[0] == {"crash"}
    assert run(moving(100.0, 97.1, 240, warm.ts_ns), warm)[0] == set()


def test_a_rise_over_minutes_is_no_crash(warm):
    assert run(moving(100.0, 103.5, 240, warm.ts_ns), warm)[0] == set()


@pytest.mark.parametrize(("end_px", "raised"), [(98.9, {"flash_crash"}), (101.2, {"flash_crash"}), (99.1, set())])
def test_a_leap_within_seconds_is_a_flash_crash(warm, end_px, raised):
    assert run(moving(100.0, end_px, 5, warm.ts_ns), warm)[0] == raised


@pytest.mark.parametrize(
    ("vol_day", "raised"), [(0.079, set()), (0.081, {"volatility_spike"}), (None, set()), (nan, set())]
)
def test_volatility_far_above_its_average_is_a_spike(warm, vol_day, raised):
    assert run(calm(5, warm.ts_ns, vol_day=vol_day), warm)[0] == raised


def test_low_volatility_that_multiplies_is_no_spike():
    quiet = run(calm(60, vol_day=0.002))[2]
    assert run(calm(5, quiet.ts_ns, vol_day=0.02), quiet)[0] == set()


@pytest.mark.parametrize(
    ("seconds", "changes", "raised"),
    [
        (4, {"bid_px": 99.8, "ask_px": 100.2}, {"liquidity_crisis"}),
        (1, {"bid_px": 99.8, "ask_px": 100.2}, set()),
        (4, {"bid_px": 99.95, "ask_px": 100.05}, set()),
        (4, {"depth_usd": 9e4}, {"liquidity_crisis"}),
        (4, {"depth_usd": 2e5}, set()),
        (4, {"depth_usd": None}, set()),
    ],
)
def test_a_wide_or_shallow_market_that_stays_so_is_a_liquidity_crisis(warm, seconds, changes, raised):
    assert run(calm(seconds, warm.ts_ns, **changes), warm)[0] == raised


def walls(start, count, traded_into=False, stays=False, life_steps=3):
    """``count`` walls on the bid, each shown for ``life_steps`` samples, then gone."""
    samples, ts_ns, traded = [], start, 0.0
    for _ in range(count):
        for step in range(life_steps + 5):
            ts_ns += STEP
            shown = stays or step < life_steps
            if traded_into and step == life_steps:
                traded += 90.0
            samples.append(replace(CALM, ts_ns=ts_ns, bid_qty=100.0 if shown else 5.0, traded_qty=traded))
    return samples


@pytest.mark.parametrize(
    ("samples", "raised"),
    [
        ({"count": 7}, {"manipulation_suspected"}),
        ({"count": 3}, set()),
        ({"count": 7, "traded_into": True}, set()),
        ({"count": 7, "stays": True}, set()),
        ({"count": 7, "life_steps": 30}, set()),
    ],
)
def test_walls_that_vanish_untraded_are_suspected(warm, samples, raised):
    assert run(walls(warm.ts_ns, **samples), warm)[0] == raised


def test_walls_whose_price_leaves_with_them_are_suspected_too(warm):
    samples = []
    for i in range(1, 29):
        shown = {"ask_qty": 100.0} if i % 4 else {"ask_px": 100.02}
        samples.append(replace(CALM, ts_ns=warm.ts_ns + i * STEP, **shown))
    assert run(samples, warm)[0] == {"manipulation_suspected"}


@pytest.mark.parametrize(("faults", "raised"), [(4, set()), (5, {"system_instability"})])
def test_faults_in_short_order_are_instability(warm, faults, raised):
    assert run(calm(1, warm.ts_ns, faults=faults), warm)[0] == raised


def test_rare_faults_are_not_instability(warm):
    samples = [s for n in range(1, 20) for s in calm(60, warm.ts_ns + (n - 1) * 60 * SECOND, faults=n)]
    assert run(samples, warm)[0] == set()


@pytest.mark.parametrize(
    ("lag_ms", "raised"), [(2_000.0, False), (2_000.1, True), (nan, True), (inf, True), (None, False)]
)
def test_being_late_is_instability(warm, lag_ms, raised):
    assert run(calm(1, warm.ts_ns, lag_ms=lag_ms), warm)[0] == ({"system_instability"} if raised else set())


@pytest.mark.parametrize(
    "broken",
    [{"bid_px": nan}, {"ask_px": inf}, {"bid_px": 100.02}, {"bid_qty": 0.0}, {"ask_qty": nan}, {"bid_px": 0.0}],
)
def test_broken_quotes_are_faults_and_feed_nothing_else(warm, broken):
    seen, _, state = run(calm(1, warm.ts_ns, **broken), warm)
    assert seen == {"system_instability"}
    assert (state.falls, state.vol_day, state.liquidity, state.walls) == (
        warm.falls,
        warm.vol_day,
        warm.liquidity,
        warm.walls,
    )


def test_an_alarm_outlasts_its_cause_by_the_hold(warm):
    _, raised, state = run(calm(1, warm.ts_ns, vol_day=0.2), warm)
    assert raised == ("volatility_spike",)
    assert run(calm(59, state.ts_ns), state)[1] == ("volatility_spike",)
    assert run(calm(61, state.ts_ns), state)[1] == ()


def test_an_emergency_does_not_become_the_usual(warm):
    assert run(calm(1_800, warm.ts_ns, vol_day=0.2), warm)[1] == ("volatility_spike",)
    assert run(calm(1_800, warm.ts_ns, bid_px=99.5), warm)[1] == ("liquidity_crisis",)


def test_what_lasts_for_hours_becomes_the_usual(warm):
    hours = [replace(CALM, ts_ns=warm.ts_ns + i * 10 * SECOND, vol_day=0.2) for i in range(1, 2_000)]
    assert run(hours, warm)[1] == ()


def test_a_clock_set_far_back_is_followed(warm):
    back = replace(CALM, ts_ns=warm.ts_ns - 3_600 * SECOND)
    assert update_alarms(warm, back)[0].ts_ns == back.ts_ns
    assert update_alarms(warm, replace(CALM, ts_ns=warm.ts_ns - SECOND))[0] is warm


@pytest.mark.parametrize("scale", [1e-8, 1e6])
def test_alarms_do_not_depend_on_price_or_size_level(warm, scale):
    def scaled(sample):
        prices = {name: getattr(sample, name) * scale for name in ("bid_px", "ask_px")}
        sizes = {name: getattr(sample, name) / scale for name in ("bid_qty", "ask_qty", "traded_qty")}
        return replace(sample, **prices, **sizes)

    path = [*calm(60), *walls(warm.ts_ns, 7), *moving(100.0, 96.0, 30, warm.ts_ns + 10 * SECOND)]
    assert run(path)[0] == run([scaled(s) for s in path])[0] == {"manipulation_suspected", "crash", "flash_crash"}


SAMPLES = st.builds(
    Sample,
    st.integers(-(2**62), 2**62),
    st.floats(),
    st.floats(),
    st.floats(),
    st.floats(),
    st.floats(),
    st.integers(0, 2**31),
    st.none() | st.floats(),
    st.none() | st.floats(),
    st.none() | st.floats(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(SAMPLES, max_size=20))
def test_no_input_raises(samples):
    _, raised, _ = run(samples)
    assert set(raised) <= set(NAMES)


def test_parameters_refuse_unknown_names():
    with pytest.raises(TypeError):
        AlarmParams(crash=1.0)
