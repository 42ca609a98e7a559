"""Windows stay inside their symbol, splits are instants, purge removes every label that straddles one."""

import numpy as np
import pytest

from pipelines.dataset import (
    CALIBRATE,
    TEST,
    TRAIN,
    SymbolRows,
    assign_splits,
    build_dataset,
    content_sha256,
    load,
    save,
    windows,
)
from pipelines.settings import PipelineError

WINDOW = 16


def part(symbol, n, start_ns=0, step_ns=1_000, matures=5, seed=0):
    rng = np.random.default_rng(seed)
    ts_ns = start_ns + np.arange(n, dtype=np.int64) * step_ns
    label = rng.integers(0, 3, n).astype(np.int8)
    label[n - matures :] = -1
    rows = np.repeat(np.arange(n, dtype=np.float32)[:, None], 3, axis=1) + np.float32(start_ns % 7) * 1e6
    return SymbolRows(symbol, rows, ts_ns, label, ts_ns + matures * step_ns)


def build(*parts, max_samples=1_000_000, train_share=0.6, calibrate_share=0.15):
    return build_dataset(
        parts,
        schema_id="s1",
        window=WINDOW,
        train_share=train_share,
        calibrate_share=calibrate_share,
        max_samples=max_samples,
    )


def test_windows_end_at_the_sample_and_hold_the_fifteen_rows_before():
    dataset = build(part("A", 400))
    cut = windows(dataset, np.array([0, 7]))
    assert cut.shape == (2, WINDOW, 3)
    assert cut.dtype == np.float32
    assert cut[0, :, 0].tolist() == list(range(16))
    assert cut[1, -1, 0] == dataset.rows[dataset.ends[7], 0]


def test_windows_never_cross_from_one_symbol_into_the_next():
    dataset = build(part("A", 300), part("B", 300, start_ns=3))
    first = dataset.ends - (WINDOW - 1)
    assert set(np.where(dataset.ends < 300, 0, 1).tolist()) == {0, 1}
    assert np.array_equal(np.where(first < 300, 0, 1), dataset.symbol_id)
    assert np.array_equal(np.where(dataset.ends < 300, 0, 1), dataset.symbol_id)


DAY_NS = 86_400_000_000_000


def test_sessions_of_one_symbol_share_its_id_and_no_window_crosses_them():
    one = build(part("A", 300), part("A", 200, start_ns=DAY_NS), part("B", 250, start_ns=DAY_NS, seed=1))
    session = np.searchsorted([300, 500], one.ends, side="right")
    assert one.symbols == ("A", "B")
    assert np.array_equal(one.symbol_id, session // 2)
    assert np.array_equal(np.searchsorted([300, 500], one.ends - (WINDOW - 1), side="right"), session)


def test_the_test_split_is_the_latest_part_in_time_over_all_sessions():
    one = build(part("A", 500), part("A", 400, start_ns=2 * DAY_NS), part("B", 300, start_ns=DAY_NS, seed=1))
    starts = [one.ts_ns[one.split == split].min() for split in (CALIBRATE, TEST)]
    assert DAY_NS < starts[0] < starts[1] and starts[1] > 2 * DAY_NS
    assert set(one.split[one.ts_ns < DAY_NS].tolist()) == {TRAIN}, "a whole session falls into one split"
    for earlier, later in ((TRAIN, CALIBRATE), (CALIBRATE, TEST)):
        assert one.end_ns[one.split == earlier].max() < one.ts_ns[one.split == later].min()


def test_thinning_spares_no_session():
    whole = build(part("A", 3_000), part("A", 1_000, start_ns=DAY_NS), part("B", 2_000, start_ns=DAY_NS))
    thin = build(
        part("A", 3_000), part("A", 1_000, start_ns=DAY_NS), part("B", 2_000, start_ns=DAY_NS), max_samples=600
    )
    shares = [[(np.searchsorted([3_000, 4_000], d.ends, "right") == i).mean() for i in range(3)] for d in (whole, thin)]
    assert shares[1] == pytest.approx(shares[0], abs=0.005)


def test_unknown_labels_are_no_samples():
    dataset = build(part("A", 600, matures=40))
    assert dataset.ends.max() < 560
    assert set(np.unique(dataset.y)) <= {0, 1, 2}


def test_split_boundaries_are_instants_common_to_all_symbols():
    dataset = build(part("A", 500), part("B", 800, start_ns=100_003, step_ns=700, seed=1))
    for earlier, later in ((TRAIN, CALIBRATE), (CALIBRATE, TEST)):
        assert dataset.ts_ns[dataset.split == earlier].max() < dataset.ts_ns[dataset.split == later].min()


def test_purge_leaves_no_label_that_matures_after_the_next_split_starts():
    dataset = build(part("A", 500, matures=30))
    for earlier, later in ((TRAIN, CALIBRATE), (CALIBRATE, TEST)):
        assert dataset.end_ns[dataset.split == earlier].max() < dataset.ts_ns[dataset.split == later].min()


@pytest.mark.parametrize(
    ("end_ns", "expected"),
    [
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [0, 0, 0, 0, 0, -1, -1, 2, 2, 2], id="label matures one step on"),
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 0, 0, 0, 0, 0, 1, 2, 2, 2], id="label matures at once"),
        pytest.param([9] * 10, [-1, -1, -1, -1, -1, -1, -1, 2, 2, 2], id="label matures at the very end"),
    ],
)
def test_assign_splits_on_ten_samples(end_ns, expected):
    got = assign_splits(np.arange(10, dtype=np.int64), np.array(end_ns, np.int64), 0.6, 0.1)
    assert got.tolist() == expected


def test_equal_timestamps_fall_into_one_split():
    ts_ns = np.repeat(np.arange(5, dtype=np.int64), 10)
    split = assign_splits(ts_ns, ts_ns, 0.5, 0.2)
    assert all(len(set(split[ts_ns == value].tolist())) == 1 for value in range(5))


def test_thinning_keeps_the_asked_number_evenly_spread():
    dataset = build(part("A", 5_000), max_samples=1_000)
    assert len(dataset.ends) == 1_000
    gaps = np.diff(dataset.ends[dataset.split == TRAIN])
    assert gaps.min() >= 4
    assert gaps.max() <= 6


def test_a_tape_too_short_for_three_splits_is_refused():
    with pytest.raises(PipelineError, match=r"no train sample.*too short"):
        build(part("A", 12, matures=2))


def test_more_symbols_than_ids_are_refused():
    with pytest.raises(PipelineError, match="128 symbols"):
        build(*(part(str(i), 20) for i in range(128)))


def test_shares_that_leave_no_test_split_are_refused():
    with pytest.raises(PipelineError, match=r"train_share 0\.9 and calibrate_share 0\.1 leave nothing"):
        build(part("A", 400), train_share=0.9, calibrate_share=0.1)


def test_save_and_load_return_the_same_content(tmp_path):
    dataset = build(part("A", 300), part("B", 300, start_ns=5))
    save(dataset, tmp_path / "training_set" / "dataset.npz")
    again = load(tmp_path / "training_set" / "dataset.npz")
    assert again.symbols == ("A", "B")
    assert content_sha256(again) == content_sha256(dataset)
    assert list((tmp_path / "training_set").iterdir()) == [tmp_path / "training_set" / "dataset.npz"]


def test_content_hash_sees_one_changed_label():
    dataset = build(part("A", 300))
    before = content_sha256(dataset)
    dataset.y[3] = (dataset.y[3] + 1) % 3
    assert content_sha256(dataset) != before


def test_load_of_a_broken_file_names_it(tmp_path):
    (tmp_path / "dataset.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(PipelineError, match=r"dataset\.npz: no readable training set"):
        load(tmp_path / "dataset.npz")
