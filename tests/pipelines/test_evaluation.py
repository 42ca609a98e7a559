"""Evaluation of a bundle on unseen tapes: causal recalibration, labels, intervals, and the figures that are printed."""

import json

import numpy as np
import pytest
from msgspec.structs import replace

from pipelines.baselines import feature_proba, fit_baselines, prior_proba
from pipelines.evaluate import losses
from pipelines.evaluation import (
    Scored,
    adapt,
    block_ids,
    parse_label,
    rank_ic,
    report,
    verdict,
)
from pipelines.labels import directions, horizon_moves, nl_labels
from pipelines.settings import PipelineError
from tests.pipelines.small_data import make_dataset
from trader.bundle import MEMBERS
from trader.recalibration import RecalibrationParams

S = 1_000_000_000


def said_and_seen(seed, n, flat=0.0):
    rng = np.random.default_rng(seed)
    logits = np.column_stack([rng.normal(0, 1, n), rng.normal(0.3, 0.3, n), rng.normal(0, 1, n)])
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = np.exp(logits + [0, flat, 0])
    true /= true.sum(axis=1, keepdims=True)
    y = np.minimum((rng.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1), 2).astype(np.int8)
    return said, y, np.cumsum(rng.integers(1, 40_000_000, n)).astype(np.int64)


def test_adapting_uses_no_label_before_it_is_known():
    said, y, ts_ns = said_and_seen(1, 3_000, flat=1.0)
    end_ns = ts_ns + 700_000_000
    whole = adapt(said, y, ts_ns, end_ns, RecalibrationParams())
    rng = np.random.default_rng(2)
    for cut in rng.integers(1, 3_000, 40):
        unknown = end_ns > ts_ns[cut]
        altered = np.where(unknown, (y + 1) % 3, y).astype(np.int8)
        again = adapt(said, altered, ts_ns, end_ns, RecalibrationParams())
        assert again[: cut + 1].tobytes() == whole[: cut + 1].tobytes()


def test_adapting_repairs_a_shifted_base_rate():
    said, y, ts_ns = said_and_seen(3, 20_000, flat=1.5)
    adapted = adapt(said, y, ts_ns, ts_ns + S, RecalibrationParams())
    assert losses(adapted, y).mean() < losses(said, y).mean() - 0.1


@pytest.mark.parametrize("text, k, horizon_ns", [("nl50", 50, 0), ("NL7", 7, 0), ("1s", 0, S), ("500ms", 0, S // 2)])
def test_labels_are_spelled_by_quotes_or_by_time(text, k, horizon_ns):
    label = parse_label(text, 10.0)
    assert (label.k, label.horizon_ns, label.latency_ns) == (k, horizon_ns, 10_000_000)


@pytest.mark.parametrize("text", ["", "nl0", "nl", "50", "1h", "-1s", "nl-3"])
def test_a_label_that_is_none_is_refused(text):
    with pytest.raises(PipelineError, match="label"):
        parse_label(text, 10.0)


def test_time_labels_look_from_the_latency_on_and_are_known_one_quote_later():
    ts_ns = np.array([0, 100, 200, 300, 400], np.int64)
    bid = np.array([10.0, 10.0, 11.0, 9.0, 9.0])
    move, told_by = horizon_moves(ts_ns, bid, bid + 1, horizon_ns=150, latency_ns=60)
    assert directions(move).tolist() == [2, 0, -1, -1, -1]
    assert told_by.tolist() == [3, 4, 5, 5, 5]


def test_directions_of_moves_are_the_labels():
    rng = np.random.default_rng(5)
    ts_ns = np.cumsum(rng.integers(0, 5_000_000, 500)).astype(np.int64)
    bid = 100 + np.cumsum(rng.choice([-0.1, 0, 0.1], 500))
    label, _ = nl_labels(ts_ns, bid, bid + 0.1, k=20, latency_ns=10_000_000)
    reference = np.searchsorted(ts_ns, ts_ns + 10_000_000, side="right") - 1
    known = reference + 20 < 500
    expected = np.sign(np.round((bid[(reference + 20)[known]] - bid[reference[known]]) * 1e6)) + 1
    assert label[known].tolist() == expected.tolist() and (label[~known] == -1).all()


def scored(n=4_000, better=0.5):
    """An ensemble that is sharper than its members by ``better``."""
    said, y, ts_ns = said_and_seen(6, n)
    truth = np.eye(3)[y]
    proba = dict.fromkeys((*MEMBERS, "adapted_prior", "adapted_imbalance"), said)
    proba["ensemble"] = (1 - better) * said + better * truth
    return Scored(y, (y - 1.0) * 1e-4, ts_ns, np.arange(n) % 2, ("AAA", "BBB"), proba)


def test_the_report_has_every_figure_and_is_json():
    told = json.loads(json.dumps(report(scored(), "nl50")))
    assert told["n"] == 4_000 and told["blocks"] == len(np.unique(scored().ts_ns // (15 * S)))
    for name in ("ensemble", *MEMBERS, "adapted_prior", "adapted_imbalance", "adapted_logistic"):
        assert set(told[name]) == {"logloss", "logloss_ci", "ece", "coverage_p70", "accuracy_p70", "rank_ic"}
        low, high = told[name]["logloss_ci"]
        assert low <= told[name]["logloss"] <= high
    assert set(told["ratios"]) == {"adapted_prior", "adapted_imbalance", "adapted_logistic", "best_member"}
    assert all(low <= ratio <= high < 1 for ratio, low, high in told["ratios"].values())
    assert told["verdict"].startswith("the ensemble beats every baseline")
    parts = told["by_symbol"]
    assert sum(part["n"] for part in parts.values()) == 4_000
    mixed = sum(part["n"] * part["logloss"]["ensemble"] for part in parts.values()) / 4_000
    assert mixed == pytest.approx(told["ensemble"]["logloss"])


def test_equal_models_have_a_ratio_of_one_and_no_praise():
    told = report(scored(better=0.0), "nl50")
    assert told["ratios"]["adapted_prior"] == [1.0, 1.0, 1.0]
    assert "does not beat" in told["verdict"]


def test_the_verdict_names_what_is_wrong():
    good = {"adapted_prior": (0.8, 0.7, 0.9), "adapted_imbalance": (0.9, 0.8, 1.01), "best_member": (1.02, 1.0, 1.04)}
    told = verdict(good, 0.05)
    assert "does not beat adapted_imbalance" in told and "worse than its best member" in told and "0.050" in told


def test_blocks_are_absolute_and_numbered_without_holes():
    assert block_ids(np.array([0, 14 * S, 16 * S, 500 * S, 501 * S]), 15.0).tolist() == [0, 0, 1, 2, 2]


def test_rank_correlation_is_none_where_nothing_is_said():
    assert rank_ic(np.full((10, 3), 1 / 3), np.arange(10.0)) is None


def test_baselines_are_the_class_shares_and_one_feature():
    data = make_dataset()
    baselines = fit_baselines(data)
    assert sum(baselines.prior) == pytest.approx(1.0)
    # the mirror image stands beside every sample: neither direction can be likelier
    assert baselines.prior[0] == pytest.approx(baselines.prior[2])
    rows = data.rows[data.ends]
    said = feature_proba(baselines, rows)
    np.testing.assert_allclose(said.sum(axis=1), 1.0)
    better, plain = losses(said, data.y).mean(), losses(prior_proba(baselines, len(data.y)), data.y).mean()
    assert better < plain
    assert feature_proba(replace(baselines, weight=(0.0, 0.0, 0.0)), rows).std(axis=0).max() < 1e-12
