"""The anomaly model: scikit-learn's own scores from plain arrays, planted anomalies found, false alarms rare."""

import os
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.schema import COUNT, SCHEMA_ID, WINDOW
from market.simulator.generator import generate
from pipelines.anomaly import (
    PARAMS,
    describe_anomaly,
    export_forest,
    fit_anomaly,
    fit_view,
    longest_runs,
    mean_path_length,
    views,
    watched,
)
from pipelines.dataset import TEST, TRAIN, SymbolRows, build_dataset
from pipelines.feature_frames import feature_rows, feature_table
from pipelines.labels import nl_labels
from pipelines.quality import split_clean
from pipelines.ticks import chosen_sessions, read_session
from tests.pipelines.small_data import make_dataset
from trader.anomaly import RowWatch, from_bytes, look, score, to_bytes
from trader.bundle import ANOMALY_FILE, BundleError

DATA_DIR = Path(os.environ.get("DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
SEED = 7


def dataset_of(path):
    """Every decision row of the latest session of a tape, split as the pipeline splits it."""
    (session,), _ = chosen_sessions([path], "latest", 3600.0, None)
    parts = []
    for symbol, taken in sorted(read_session(session, None, 2_000_000).symbols.items()):
        table = feature_table(split_clean(taken.ticks.table())[0])
        ts_ns, bid_px, ask_px = (table[name].to_numpy() for name in ("ts_ns", "bid_px", "ask_px"))
        label, end_ns = nl_labels(ts_ns, bid_px, ask_px, k=50, latency_ns=10_000_000)
        parts.append(SymbolRows(symbol, feature_rows(table).astype(np.float32), ts_ns, label, end_ns))
    shares = {"train_share": 0.6, "calibrate_share": 0.15, "max_samples": 40_000}
    return build_dataset(parts, schema_id=SCHEMA_ID, window=WINDOW, **shares)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    generate(folder, 11, ("BTCUSDT",), minutes=3.0)
    dataset = dataset_of(folder)
    return dataset, fit_anomaly(dataset, SEED)


@pytest.fixture(scope="module")
def small():
    dataset = make_dataset()
    return dataset, fit_anomaly(dataset, SEED)


@pytest.mark.parametrize(("trees", "sample"), [(20, 64), (100, 256), (5, 1_000)])
def test_scores_equal_those_of_scikit_learn(trees, sample):
    from sklearn.ensemble import IsolationForest

    dataset = make_dataset()
    rows, view = dataset.rows, fit_view(dataset.rows)
    forest = IsolationForest(n_estimators=trees, max_samples=sample, random_state=1).fit(views(view, rows))
    model = export_forest(forest, view, 0.5, np.zeros(COUNT, np.int64), SCHEMA_ID)
    strange = np.random.default_rng(2).normal(size=(200, COUNT)).astype(np.float32) * 1e4
    tried = np.concatenate([rows[:500], strange])
    theirs = -forest.score_samples(views(view, tried))
    assert np.abs(np.array([score(model, row) for row in tried]) - theirs).max() < 1e-9


def test_path_lengths_are_those_of_the_paper():
    by_hand = [2 * sum(1 / k for k in range(1, n)) - 2 * (n - 1) / n for n in (64, 256, 4_096)]
    assert mean_path_length(np.array([64, 256, 4_096])) == pytest.approx(by_hand, rel=3e-3)


def test_the_view_is_finite_for_columns_that_never_move():
    rows = np.zeros((100, COUNT), np.float32)
    rows[:, 0] = np.arange(100)
    view = fit_view(rows)
    assert np.isfinite(views(view, rows)).all()
    assert np.isfinite(look(view, np.full(COUNT, 1e30, np.float32))).all()


def test_generated_market_planted_anomalies_are_found_and_false_alarms_are_rare(generated):
    dataset, model = generated
    about = describe_anomaly(model, "", dataset, SEED)
    assert about.false_alarms < 0.05
    assert about.found["frozen"] == 1.0
    assert about.found["jump"] > 0.9
    assert about.found["permuted"] > 0.8


@pytest.mark.data
@pytest.mark.parametrize("folder", ["binance_usdm_ws", "binance_spot_ws"])
def test_recorded_market_planted_anomalies_are_found_and_false_alarms_are_few(folder):
    if not (DATA_DIR / folder).is_dir():
        pytest.skip(f"no recorded data at {DATA_DIR / folder} (set DATA_DIR)")
    dataset = dataset_of(DATA_DIR / folder)
    about = describe_anomaly(fit_anomaly(dataset, SEED), "", dataset, SEED)
    assert about.false_alarms < 0.05
    assert min(about.found.values()) > 0.95


def test_the_limit_is_the_stated_quantile_of_the_calibrate_split(small):
    dataset, model = small
    ends = dataset.ends[dataset.split == 1]
    rows = np.concatenate(
        [dataset.rows[(e := ends[dataset.symbol_id[dataset.split == 1] == s]).min() : e.max() + 1] for s in (0, 1)]
    )
    above = np.mean([score(model, row) > model.limit for row in rows])
    assert above == pytest.approx(1 - PARAMS.quantile, abs=2 / len(rows))


def test_one_column_that_freezes_is_noticed_after_its_patience(small):
    dataset, model = small
    rows = dataset.rows[dataset.ends[dataset.split == TEST]][:200].copy()
    rows[50:, 3] = rows[50, 3]
    watch = RowWatch(model)
    frozen = [watch.update(row) and watch.frozen > 0 for row in rows]
    assert model.longest[3] == PARAMS.least_run
    assert frozen.index(True) == 50 + PARAMS.least_run + 1
    assert all(frozen[50 + PARAMS.least_run + 1 :])


def test_columns_that_often_stand_still_are_not_watched():
    dataset = make_dataset()
    dataset.rows[:, 4] = 0.0
    longest = longest_runs(dataset, PARAMS)
    assert longest[4] == 0
    assert (np.delete(longest, 4) == PARAMS.least_run).all()


def test_bytes_hold_the_whole_model_and_no_pickle(small):
    dataset, model = small
    data = to_bytes(model)
    assert data == to_bytes(model)
    assert len(data) < 400_000
    again = from_bytes(data, SCHEMA_ID)
    rows = dataset.rows[:300]
    assert (watched(again, rows) == watched(model, rows)).all()
    assert [score(again, row) for row in rows] == [score(model, row) for row in rows]


def swap(model, name, value):
    return to_bytes(msgspec.structs.replace(model, **{name: value}))


def test_a_damaged_model_is_refused_in_one_sentence(small):
    _, model = small
    data = to_bytes(model)
    damaged = {
        "torn": data[: len(data) // 2],
        "empty": b"",
        "a loop": swap(model, "left", np.zeros_like(model.left)),
        "a far child": swap(model, "right", model.right + 10_000_000),
        "no roots": swap(model, "roots", model.roots[:0]),
        "a foreign column": swap(model, "feature", np.where(model.feature >= 0, 99, -1)),
        "no length": swap(model, "length", np.full_like(model.length, np.nan)),
        "fewer columns": swap(model, "longest", model.longest[:3]),
    }
    for name, changed in damaged.items():
        with pytest.raises(BundleError, match=ANOMALY_FILE):
            pytest.fail(f"{name}: {from_bytes(changed, SCHEMA_ID)}")
    with pytest.raises(BundleError, match="schema_id"):
        from_bytes(data, "another")


def test_one_row_is_judged_in_less_than_50_us(small):
    dataset, model = small
    watch = RowWatch(model)
    spent = []
    for row in dataset.rows[:1_000]:
        started = time.perf_counter_ns()
        watch.update(row)
        spent.append(time.perf_counter_ns() - started)
    assert np.median(spent) < 50_000


def test_training_rows_alone_shape_the_forest(small):
    dataset, model = small
    other = msgspec.structs.replace(dataset, rows=dataset.rows.copy())
    other.rows[~_train_rows(dataset)] *= 3.0
    changed = fit_anomaly(other, SEED)
    assert (changed.threshold == model.threshold).all()
    assert changed.limit != model.limit


def _train_rows(dataset):
    train = np.zeros(len(dataset.rows), bool)
    for symbol in range(len(dataset.symbols)):
        ends = dataset.ends[(dataset.split == TRAIN) & (dataset.symbol_id == symbol)]
        train[ends.min() : ends.max() + 1] = True
    return train
