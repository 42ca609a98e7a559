"""Members learn, keep every decision of the library that trained them, and survive a trip to disk."""

import msgspec
import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestClassifier

from features.schema import COUNT, INDEX, mirror
from pipelines.candidate import ARTEFACTS, fit_member, row_samples
from pipelines.dataset import CALIBRATE, TEST, TRAIN, windows
from pipelines.evaluate import logloss
from pipelines.lstm import Budget, fit_lstm
from pipelines.members import (
    CLIP,
    Samples,
    Trees,
    boosted_trees,
    evaluated,
    fit_forest,
    fit_logistic,
    fit_scaler,
    forest_trees,
    last_rows,
    load_artefact,
    samples,
    save_artefact,
    scale,
    shares,
    with_mirror,
)
from pipelines.settings import PipelineError
from tests.pipelines.model_data import SEED, make_dataset, trained
from trader.bundle import MEMBERS


def walk(trees: Trees, rows):
    """Every tree followed node by node, as the docstring of ``Trees`` says."""
    total = np.tile(trees.base.astype(np.float64), (len(rows), 1))
    for i, row in enumerate(rows):
        for node in trees.roots:
            while trees.feature[node] >= 0:
                value, threshold = row[trees.feature[node]], trees.threshold[node]
                goes_left = value < threshold if trees.strict else value <= threshold
                node = (trees.left if goes_left else trees.right)[node]
            total[i] += trees.value[node]
    if not trees.margins:
        return total
    power = np.exp(total - total.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)


def rows_at_thresholds(trees: Trees, rows):
    """Rows whose values lie on thresholds, one float32 below, or one above."""
    rng = np.random.default_rng(1)
    rows = rows.copy()
    for feature in range(rows.shape[1]):
        at = trees.threshold[trees.feature == feature]
        if len(at):
            chosen = rng.choice(at, len(rows)).astype(np.float32)
            towards = rng.choice([-np.inf, np.inf], len(rows)).astype(np.float32)
            rows[:, feature] = np.where(rng.random(len(rows)) < 0.5, chosen, np.nextafter(chosen, towards))
    return rows


def uneven(n=1_500, features=6):
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(n, features)) * [1e-7, 0.1, 1, 7, 1e4, 1e8]).astype(np.float32)
    y = np.digitize(x[:, 2] + x[:, 3] / 7 + rng.logistic(size=n), [-1, 1])
    return x, y


def test_forest_arrays_decide_like_the_library_even_on_the_thresholds():
    x, y = uneven()
    model = RandomForestClassifier(9, max_depth=6, random_state=0).fit(x, y)
    trees = forest_trees(model)
    probe = rows_at_thresholds(trees, x[:400])
    assert np.allclose(walk(trees, probe), model.predict_proba(probe), atol=1e-6)


def test_boosted_arrays_decide_like_the_library_even_on_the_thresholds():
    x, y = uneven()
    settings = {"objective": "multi:softprob", "num_class": 3, "tree_method": "hist", "max_depth": 4, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(x, label=y), 6)
    trees = boosted_trees(booster)
    probe = rows_at_thresholds(trees, x[:400])
    assert np.allclose(walk(trees, probe), booster.predict(xgboost.DMatrix(probe)), atol=1e-6)


@pytest.mark.parametrize("member", MEMBERS)
def test_every_member_beats_the_class_shares(member):
    t = trained()
    tested = t.dataset.y[t.dataset.split == TEST]
    answers = t.native[MEMBERS.index(member)][t.dataset.split[evaluated(t.dataset)] == TEST]
    prior = shares(t.dataset.y[t.dataset.split == TRAIN])
    assert logloss(answers, tested) < 0.95 * logloss(np.tile(prior, (len(tested), 1)), tested)


@pytest.mark.parametrize("member", MEMBERS)
def test_the_same_seed_gives_the_same_artefact(member):
    again = fit_member(member, make_dataset(), SEED).artefact
    for one, two in zip(
        msgspec.structs.astuple(again), msgspec.structs.astuple(trained().artefacts[member]), strict=True
    ):
        assert np.array_equal(one, two)


def test_only_the_lstm_can_learn_what_is_no_longer_in_the_last_row():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2_000, 4, 2)).astype(np.float32)
    y = np.digitize(x[:, :-1, 0].sum(axis=1), [-1, 1]).astype(np.int8)
    train, calibrate = Samples(x[:1_600], y[:1_600]), Samples(x[1_600:], y[1_600:])
    scaler, said = fit_scaler(train), []
    remembers = fit_lstm(train, calibrate, scaler, 1, budget=Budget(epochs=30, patience=30), progress=said.append)
    forgets = fit_logistic(train, scaler, 1)
    prior = logloss(np.tile(shares(train.y), (400, 1)), calibrate.y)
    assert logloss(remembers.predict(calibrate.x), calibrate.y) < 0.8 * prior
    assert logloss(forgets.predict(calibrate.x), calibrate.y) > 0.98 * prior
    assert len(said) == 30
    assert "epoch 1/30" in said[0]


def test_learning_stops_when_the_calibrate_split_stops_gaining():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 4, 2)).astype(np.float32)
    y = rng.integers(0, 3, 600).astype(np.int8)
    said = []
    train, calibrate = Samples(x[:300], y[:300]), Samples(x[300:], y[300:])
    fit_lstm(train, calibrate, fit_scaler(train), 1, budget=Budget(epochs=60, patience=2), progress=said.append)
    assert len(said) < 60


def test_scaling_is_float32_clipped_and_survives_a_constant_column():
    x = np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]], np.float32)[:, None, :]
    scaler = fit_scaler(Samples(x, np.zeros(3, np.int8)))
    assert scale(scaler, x).dtype == np.float32
    assert scale(scaler, x)[:, 0, 1].tolist() == [0, 0, 0]
    assert scale(scaler, np.array([[1e9, 6.0]], np.float32)).tolist() == [[CLIP, 1.0]]


def test_the_mirrored_half_swaps_down_and_up_and_leaves_flat():
    data = last_rows(samples(make_dataset(), CALIBRATE))
    both = with_mirror(data, mirror)
    n, column = len(data.y), INDEX["imbalance"]
    assert np.array_equal(both.y[n:], 2 - data.y)
    assert np.array_equal(both.x[n:, 0, column], -data.x[:, 0, column])
    assert both.x.dtype == np.float32
    assert with_mirror(data, None) is data


def test_a_class_that_was_never_seen_gets_a_share_and_does_not_break_the_fit():
    data = row_samples(make_dataset(), TRAIN)
    two = Samples(data.x[data.y != 0], data.y[data.y != 0])
    scaler = fit_scaler(two)
    for fitted in (fit_logistic(two, scaler, 0), fit_forest(two, 0)):
        proba = fitted.predict(two.x[:50])
        assert np.allclose(proba.sum(axis=1), 1, atol=1e-6)
        assert proba[:, 0].max() < 1e-6
    assert shares(two.y)[0] > 0


@pytest.mark.parametrize("member", MEMBERS)
def test_an_artefact_comes_back_from_disk_without_pickle(tmp_path, member):
    artefact = trained().artefacts[member]
    save_artefact(tmp_path / "m.npz", artefact, native=np.ones(3), data_sha256="abc")
    found, more = load_artefact(tmp_path / "m.npz", ARTEFACTS[member])
    for one, two in zip(msgspec.structs.astuple(found), msgspec.structs.astuple(artefact), strict=True):
        assert np.array_equal(one, two)
    assert str(more["data_sha256"]) == "abc"
    assert set(more) == {"native", "data_sha256"}


@pytest.mark.parametrize("content", [None, b"", b"PK no zip", b"PK\x03\x04 torn", "another kind"])
def test_a_missing_or_foreign_artefact_is_refused_naming_the_file(tmp_path, content):
    path = tmp_path / "m.npz"
    if content == "another kind":
        save_artefact(path, trained().artefacts["logistic"])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"m\.npz: no readable Trees"):
        load_artefact(path, Trees)


def test_members_without_memory_see_one_row():
    dataset = make_dataset()
    idx = np.flatnonzero(dataset.split == TEST)
    assert row_samples(dataset, TEST).x.shape == (len(idx), 1, COUNT)
    assert np.array_equal(row_samples(dataset, TEST).x[:, 0], windows(dataset, idx)[:, -1])
