"""Recalibration finds a shift of base rates and of confidence, leaves what is right alone, and never breaks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader.recalibration import (
    FLAT_BOUNDS,
    SCALE_BOUNDS,
    Recalibration,
    RecalibrationParams,
    learn,
    recalibrated,
)

PARAMS = RecalibrationParams(memory=4_000, weight=0.02, prior=1.0)


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def world(seed, n, flat=0.0, scale=1.0):
    """Scores, and outcomes of a world in which they need ``flat`` and ``scale`` to be right."""
    rng = np.random.default_rng(seed)
    direction, still = rng.normal(0, 1.5, n), rng.normal(0.5, 0.5, n)
    said = softmax(np.column_stack([-direction / 2, still, direction / 2]))
    true = softmax(np.column_stack([-scale * direction / 2, still + flat, scale * direction / 2]))
    y = (rng.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1)
    return list(map(tuple, said.tolist())), np.minimum(y, 2).tolist(), true


def after(said, y, params=PARAMS):
    state = Recalibration(params)
    for proba, label in zip(said, y, strict=True):
        learn(state, proba, label)
    return state


@pytest.mark.parametrize("flat, scale", [(1.2, 1.0), (-1.0, 0.5), (0.0, 1.6), (0.7, 0.3)])
def test_a_shifted_world_is_found(flat, scale):
    said, y, _ = world(1, 30_000, flat, scale)
    state = after(said, y)
    assert state.flat == pytest.approx(flat, abs=0.15)
    assert state.scale == pytest.approx(scale, abs=0.15)


def test_a_world_that_is_as_the_scores_say_changes_little():
    said, y, _ = world(2, 30_000)
    state = after(said, y)
    assert abs(state.flat) < 0.1 and abs(state.scale - 1.0) < 0.1


def test_a_new_regime_replaces_the_old_one():
    said, y, _ = world(3, 20_000, flat=1.5)
    later, outcome, _ = world(4, 20_000, flat=-1.5)
    assert after(said + later, y + outcome).flat == pytest.approx(-1.5, abs=0.3)


def test_log_loss_comes_close_to_the_true_one():
    said, y, true = world(5, 20_000, flat=1.0, scale=0.6)
    state, ours = Recalibration(PARAMS), []
    for proba, label in zip(said, y, strict=True):
        ours.append(-math.log(recalibrated(state, proba)[label]))
        learn(state, proba, label)
    best = -np.log(true[np.arange(len(y)), y])
    untouched = -np.log(np.array(said)[np.arange(len(y)), y])
    assert np.mean(ours) - best.mean() < 0.05 * (untouched.mean() - best.mean())


def test_nothing_is_learned_about_up_against_down():
    """Mirrored scores and outcomes teach the same: one hundred rises in a row do not make the next rise likelier."""
    said, y, _ = world(6, 2_000, flat=0.5)
    mirrored = after([p[::-1] for p in said], [2 - label for label in y])
    state = after(said, y)
    assert (mirrored.flat, mirrored.scale) == pytest.approx((state.flat, state.scale), abs=1e-9)
    always_up = after([(0.25, 0.5, 0.25)] * 500, [2] * 500)
    down, _, up = recalibrated(always_up, (0.25, 0.5, 0.25))
    assert down == up


proba = st.tuples(*[st.floats(0, 1)] * 3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(proba, st.integers(0, 2)), max_size=60), proba)
def test_scores_stay_probabilities_whatever_is_learned(labels, last):
    state = Recalibration(RecalibrationParams(memory=10, weight=1.0, prior=0.1))
    for said, y in labels:
        learn(state, said, y)
    out = recalibrated(state, last)
    assert sum(out) == pytest.approx(1.0) and min(out) >= 0.0
    assert FLAT_BOUNDS[0] <= state.flat <= FLAT_BOUNDS[1] and SCALE_BOUNDS[0] <= state.scale <= SCALE_BOUNDS[1]


def test_the_same_labels_give_the_same_bits():
    said, y, _ = world(7, 3_000, flat=0.4)
    assert after(said, y) == after(said, y)
