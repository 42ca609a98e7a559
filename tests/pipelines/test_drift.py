"""Evidently calls a shifted column drifted, leaves a quiet one alone, and leaves its report on disk."""

import json

import numpy as np
import pandas as pd
import pytest

from pipelines.drift import PSI_DRIFTED, Drift, measure_drift, save_report, thin


def frame(seed, n=3_000, shift=0.0, spread=1.0):
    rng = np.random.default_rng(seed)
    quiet = rng.normal(size=(n, 3))
    moved = rng.normal(size=n) * spread + shift
    return pd.DataFrame({"a": quiet[:, 0], "b": quiet[:, 1] * 1e6, "c": quiet[:, 2] * 1e-6, "moved": moved})


@pytest.mark.parametrize(("shift", "spread"), [(1.0, 1.0), (0.0, 3.0)])
def test_a_moved_or_widened_column_is_the_only_one_called_drifted(shift, spread):
    drift, _ = measure_drift(frame(0), frame(1, shift=shift, spread=spread))
    assert drift.drifted == ["moved"]
    assert drift.share == 0.25
    assert set(drift.psi) == {"a", "b", "c", "moved"}
    assert max(psi for name, psi in drift.psi.items() if name != "moved") < PSI_DRIFTED / 4


def test_quiet_data_raise_no_alarm():
    drift, _ = measure_drift(frame(0), frame(1))
    assert drift.drifted == []
    assert drift.share == 0.0


def test_current_and_reference_are_not_exchanged(tmp_path):
    _, report = measure_drift(frame(0, n=400), frame(1, n=300, shift=2.0))
    save_report(report, tmp_path / "drift" / "report.html", tmp_path / "drift" / "report.json")
    assert "<html" in (tmp_path / "drift" / "report.html").read_text()[:2_000].lower()
    assert json.loads((tmp_path / "drift" / "report.json").read_bytes())["metrics"]
    assert sorted(p.name for p in (tmp_path / "drift").iterdir()) == ["report.html", "report.json"]


def test_a_constant_column_does_not_end_the_report():
    still = pd.DataFrame({"still": np.ones(500), "a": np.random.default_rng(0).normal(size=500)})
    drift, _ = measure_drift(still, still)
    assert drift.psi["still"] == pytest.approx(0, abs=1e-6)


def test_the_worst_column_comes_first():
    assert Drift(0.5, {"a": 0.3, "b": 0.1, "c": 2.0, "d": 0.0}).drifted == ["c", "a"]


def test_thinning_keeps_short_frames_and_spreads_over_long_ones():
    long = pd.DataFrame({"a": np.arange(10_000)})
    assert thin(long, 100)["a"].tolist() == list(range(0, 10_000, 100))
    assert thin(long[:50], 100) is not None
    assert len(thin(long[:50], 100)) == 50
