from math import erfc, exp, inf, log, nan, pi, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.profiles import CONSERVATIVE, HIGH_LEVERAGE, PROFILES
from risk.sizing import SizingParams, base_qty, confidence_weight, kelly, volatility_weight
from risk.types import Regime
from risk.var import Z_95, Z_99, correlation, expected_shortfall, scaled, sigma, undiversified, value_at_risk, variance

NUMBERS = st.floats(-1e6, 1e6)
RHOS = {"A|B": 0.3, "A|C": -0.4, "B|C": 0.9}


@pytest.mark.parametrize(("z", "tail"), [(Z_95, 0.05), (Z_99, 0.01)])
def test_quantiles_leave_the_tail_they_claim(z, tail):
    assert 0.5 * erfc(z / sqrt(2)) == pytest.approx(tail, rel=1e-12)


@pytest.mark.parametrize(("z", "tail"), [(Z_95, 0.05), (Z_99, 0.01)])
def test_expected_shortfall_is_the_mean_beyond_the_var(z, tail):
    step = 1e-4
    losses = [z + (i + 0.5) * step for i in range(100_000)]
    mean = sum(x * exp(-x * x / 2) for x in losses) * step / sqrt(2 * pi) / tail
    assert expected_shortfall(2.0, z, tail) == pytest.approx(2.0 * mean, rel=1e-6)
    assert expected_shortfall(1.0, z, tail) > value_at_risk(1.0, z)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_variance_of_points_is_the_quadratic_form(a, b, c):
    legs = [("A", a, a), ("B", b, b), ("C", c, c)]
    exact = a * a + b * b + c * c + 2 * (0.3 * a * b - 0.4 * a * c + 0.9 * b * c)
    assert variance(legs, RHOS) == pytest.approx(exact, rel=1e-9, abs=1e-3)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=3), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_variance_of_ranges_bounds_every_point_in_them(bounds, at):
    legs = [(s, min(b), max(b)) for s, b in zip("ABC", bounds, strict=True)]
    points = [(s, p, p) for (s, low, high), t in zip(legs, at, strict=True) for p in [low + t * (high - low)]]
    slack = 1e-3 + 1e-9 * variance(legs, RHOS)
    assert variance(points, RHOS) <= variance(legs, RHOS) + slack
    assert sigma(variance(legs, RHOS)) <= undiversified(legs) * (1 + 1e-9) + 1e-6


def test_full_correlation_adds_up():
    legs = [("A", 3.0, 3.0), ("B", 4.0, 4.0)]
    assert sigma(variance(legs, {"A|B": 1.0})) == 7.0
    assert sigma(variance(legs, {"A|B": 0.0})) == 5.0
    assert sigma(variance(legs, {"A|B": -1.0})) == 1.0
    assert sigma(variance(legs, {})) == 7.0


@pytest.mark.parametrize("rho", [nan, inf, -1.001, 1.001])
def test_a_broken_correlation_is_unknown(rho):
    assert correlation({"A|B": rho}, "B", "A") is None


@pytest.mark.parametrize("vol", [nan, inf, -0.1])
def test_a_broken_volatility_is_unknown(vol):
    assert scaled([("A", 1.0, 1.0)], {"A": vol}) is None
    assert scaled([("A", 1.0, 1.0)], {}) is None


def test_rounding_below_zero_variance_is_zero():
    assert sigma(-1e-18) == 0.0


# ---- sizing ----------------------------------------------------------------------------------------------------------


def size(**changes):
    given_ = {
        "equity": 10_000.0,
        "px": 100.0,
        "confidence": 0.8,
        "win_bps": 20.0,
        "loss_bps": 40.0,
        "vol_day": 0.02,
        "profile": PROFILES[Regime.NORMAL],
        "limits": CONSERVATIVE,
    }
    return base_qty(**given_ | changes)


@pytest.mark.parametrize(
    ("p", "win", "loss", "share"),
    [(0.6, 1.0, 1.0, 0.2), (0.5, 2.0, 1.0, 0.25), (0.6, 20.0, 40.0, 0.0), (1.0, 1.0, 9.0, 1.0)],
)
def test_kelly_share(p, win, loss, share):
    assert kelly(p, win, loss) == pytest.approx(share)


def test_kelly_share_is_the_best_long_run_growth():
    def growth(share):
        return 0.6 * log(1 + share * 1.5) + 0.4 * log(1 - share)

    best = kelly(0.6, 30.0, 20.0)
    assert growth(best) > max(growth(best - 0.01), growth(best + 0.01))


@pytest.mark.parametrize("name", ["equity", "px", "confidence", "win_bps", "loss_bps", "vol_day"])
@pytest.mark.parametrize("broken", [nan, inf, -1.0])
def test_an_unknown_input_sizes_to_nothing(name, broken):
    assert size(**{name: broken}) == 0.0


@pytest.mark.parametrize("confidence", [0.0, 0.5, 0.6])
def test_no_size_at_or_below_the_minimum_confidence(confidence):
    assert size(confidence=confidence) == 0.0


def test_size_grows_with_confidence_and_falls_with_volatility():
    assert 0 < size(confidence=0.7) < size(confidence=0.8) < size(confidence=0.95)
    assert size(vol_day=0.06) == pytest.approx(size(vol_day=0.03) / 2)


@pytest.mark.parametrize("regime", list(Regime))
def test_size_follows_the_profile_but_never_passes_the_position_limit(regime):
    profile = PROFILES[regime]
    assert size(profile=profile) <= CONSERVATIVE.max_position * 10_000.0 / 100.0
    if profile.position_x <= 1.0:
        assert size(profile=profile) == pytest.approx(size() * profile.position_x)
    assert size(profile=profile, confidence=1.0) <= 10.0


def test_a_far_stop_is_risked_less_on():
    timid = SizingParams(kelly_share=0.001)
    assert size(loss_bps=39.0, params=timid) > size(loss_bps=45.0, params=timid) > 0


def test_high_leverage_sizes_on_margin():
    assert size(limits=HIGH_LEVERAGE) == pytest.approx(size() * 4)


def test_weights_at_their_ends():
    assert (confidence_weight(1.0, 0.6), confidence_weight(0.6, 0.6)) == (1.0, 0.0)
    assert (volatility_weight(0.0, 0.03), volatility_weight(0.3, 0.03)) == (1.0, pytest.approx(0.1))
