"""Figures of the test window against values worked out by hand; broken scores are named, never averaged away."""

import math

import numpy as np
import pytest

from pipelines.evaluate import (
    brier,
    calibration_error,
    directional,
    evaluate,
    logloss,
    losses,
    parity,
    parity_failures,
    reliability,
    unusable,
)
from trader.bundle import MEMBERS

PROBA = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.75, 0.2, 0.05], [0.1, 0.15, 0.75]])
Y = np.array([0, 1, 1, 2], np.int8)


def test_losses_are_minus_the_log_of_what_was_said_of_the_outcome():
    assert losses(PROBA, Y) == pytest.approx([-math.log(p) for p in (0.8, 0.8, 0.2, 0.75)])
    assert logloss(np.full((9, 3), 1 / 3), np.arange(9, dtype=np.int8) % 3) == pytest.approx(math.log(3))


def test_a_certain_mistake_is_expensive_but_finite_and_nan_stays_nan():
    assert 700 < logloss(np.array([[0.0, 1.0, 0.0]]), np.array([0], np.int8)) < 800
    assert math.isnan(logloss(np.array([[np.nan] * 3]), np.array([0], np.int8)))


def test_brier_sums_squared_distances_over_the_classes():
    assert brier(PROBA[:1], Y[:1]) == pytest.approx(0.2**2 + 0.1**2 + 0.1**2)
    assert brier(np.array([[0.0, 0.0, 1.0]]), np.array([0], np.int8)) == pytest.approx(2)


@pytest.mark.parametrize(
    ("threshold", "accuracy", "coverage"),
    [(0.7, 2 / 3, 0.75), (0.78, 1.0, 0.25), (0.9, None, 0.0)],
)
def test_flats_are_errors_of_a_confident_direction(threshold, accuracy, coverage):
    assert directional(PROBA, Y, threshold) == (pytest.approx(accuracy) if accuracy else None, coverage)


def test_calibration_error_is_zero_when_shares_happen_as_said_and_their_distance_otherwise():
    said = np.tile([0.2, 0.5, 0.3], (1_000, 1))
    as_said = np.repeat([0, 1, 2], [200, 500, 300]).astype(np.int8)
    assert calibration_error(said, as_said) == pytest.approx(0, abs=1e-12)
    never_down = np.repeat([1, 2], [600, 400]).astype(np.int8)
    assert calibration_error(said, never_down) == pytest.approx((0.2 + 0.1 + 0.1) / 3)


def test_reliability_counts_every_sample_once_and_holds_certainty():
    found = reliability(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), np.array([2, 0], np.int8), 2)
    assert found.count.tolist() == [1, 1]
    assert found.said.tolist() == found.seen.tolist() == [0.0, 1.0]


def test_metrics_gather_both_baselines_members_and_weights():
    members = np.repeat(PROBA[:, None], len(MEMBERS), axis=1)
    prior, recent = np.array([0.25, 0.5, 0.25]), np.array([0.2, 0.6, 0.2])
    found = evaluate(PROBA, members, Y, prior, recent, (0.5, 0.5, 0.0, 0.0))
    assert found.rows == 4
    assert found.baseline_logloss == pytest.approx(-np.mean(np.log(prior[Y])))
    assert found.recent_prior_logloss == pytest.approx(-np.mean(np.log(recent[Y])))
    assert found.members == pytest.approx(dict.fromkeys(MEMBERS, found.logloss))
    assert found.weights == dict(zip(MEMBERS, (0.5, 0.5, 0.0, 0.0), strict=True))
    assert found.coverage_p70 == 0.75


@pytest.mark.parametrize(
    ("off_by", "fails"),
    [(0.0, False), (1e-5, False), (2e-4, True), (np.nan, True)],
)
def test_parity_tolerates_rounding_and_nothing_more(off_by, fails):
    native = np.full((6, len(MEMBERS), 3), 0.3)
    graph = native.copy()
    graph[4, 2, 1] += off_by
    assert parity_failures(graph, native) == ([MEMBERS[2]] if fails else [])
    assert parity(graph, native)[MEMBERS[2]] == pytest.approx(off_by, nan_ok=True)


@pytest.mark.parametrize(
    ("proba", "said"),
    [
        (PROBA, ""),
        (np.where(np.arange(4)[:, None] == 2, np.nan, PROBA), "1 of 4 scores are not finite"),
        (PROBA * 1.1, "miss a sum of 1"),
        (PROBA + [[-0.2, 0.1, 0.1]], "no probabilities"),
        (np.tile([0.2, 0.5, 0.3], (4, 1)), "constant (down 0.200, flat 0.500, up 0.300)"),
    ],
)
def test_scores_that_cannot_be_used_are_named(proba, said):
    found = unusable(proba)
    assert found == "" if said == "" else said in found
