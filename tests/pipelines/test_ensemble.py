"""The blend keeps to the simplex, drops who hurts, sharpens who is shy, and trusts little data little."""

import numpy as np
import pytest

from pipelines.ensemble import (
    Blend,
    Calibrator,
    apply_blend,
    apply_calibrator,
    fit_blend,
    fit_calibrator,
    fit_weights,
    log_proba,
    pool,
)
from pipelines.evaluate import logloss

UNCHANGED = Calibrator(1.0, (0.0, 0.0, 0.0))


def soft(logits):
    power = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return power / power.sum(axis=-1, keepdims=True)


def world(n=6_000, seed=0):
    """True probabilities and outcomes drawn from them."""
    rng = np.random.default_rng(seed)
    truth = soft(rng.normal(size=(n, 3)) * [1.5, 1.0, 1.5])
    y = (truth.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=2).astype(np.int8)
    return rng, truth, y


def test_weights_are_a_share_each_and_a_noise_member_gets_none():
    rng, truth, y = world()
    noise = soft(rng.normal(size=truth.shape) * 3)
    blend = fit_blend(np.stack([truth, noise, truth]), y, 1)
    assert blend.weights[1] == 0.0
    assert min(blend.weights) >= 0
    assert sum(blend.weights) == pytest.approx(1, abs=1e-12)
    assert blend.weights[0] == pytest.approx(blend.weights[2], abs=0.01)


def test_two_halves_of_the_truth_pool_to_better_than_either():
    rng, truth, y = world()
    views = np.stack([soft(np.log(truth) + rng.normal(size=truth.shape)) for _ in range(2)])
    proba, members = apply_blend(fit_blend(views, y, 1), views)
    assert logloss(proba, y) < min(logloss(m, y) for m in members)


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_a_shy_or_boastful_member_is_set_right(sharpness):
    _, truth, y = world()
    logs = log_proba(soft(sharpness * np.log(truth)))
    fitted = fit_calibrator(logs, y, len(y))
    assert fitted.slope == pytest.approx(1 / sharpness, rel=0.1)
    assert logloss(np.exp(apply_calibrator(fitted, logs)), y) < logloss(np.exp(logs), y)


def test_a_member_that_sees_too_few_flats_is_set_right_without_a_direction():
    _, truth, y = world()
    logs = log_proba(soft(np.log(truth) - [0, 1.0, 0]))
    fitted = fit_calibrator(logs, y, len(y))
    assert fitted.bias[1] == pytest.approx(1.0, abs=0.15)
    assert fitted.bias[0] == fitted.bias[2] == 0.0


def test_few_effective_samples_leave_a_member_and_the_weights_nearly_alone():
    _, truth, y = world()
    logs = log_proba(soft(3 * np.log(truth)))
    timid, bold = fit_calibrator(logs, y, 1), fit_calibrator(logs, y, len(y))
    assert abs(timid.slope - 1) < abs(bold.slope - 1)
    both = np.stack([log_proba(truth), logs])
    assert fit_weights(both, y, 1.0)[1] > fit_weights(both, y, float(len(y)))[1]


def test_an_impossible_outcome_costs_a_finite_price():
    proba = np.array([[[0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]]])
    blend = Blend((UNCHANGED, UNCHANGED), (0.5, 0.5), UNCHANGED)
    blended, members = apply_blend(blend, proba)
    assert 0 < blended[0, 0] < 1e-5
    assert np.allclose(members.sum(axis=-1), 1)


def test_pooling_equal_members_changes_nothing():
    _, truth, _ = world(50)
    logs = np.log(np.stack([truth, truth, truth]))
    assert np.allclose(np.exp(pool(logs, (0.2, 0.3, 0.5))), truth)
