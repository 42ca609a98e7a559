"""Feature tables are what the kernel says, event by event; everything after them stays aligned with them."""

import os

import numpy as np
import polars as pl
import pytest

from features.kernel import address_of, clock_ns, encode, init_state, row_of, update
from features.parameters import PARAMETERS
from features.schema import NAMES, SCHEMA_ID, WARMUP_ROWS
from market.errors import CryptoScalpError
from market.events import QUOTE, TRADE
from pipelines.dataset import load, windows
from pipelines.feature_frames import (
    QUOTE_COLUMNS,
    event_clock,
    feature_rows,
    feature_table,
    first_mismatch,
    kernel_input,
    sample_slices,
    typed_event,
)
from pipelines.labels import nl_labels
from pipelines.quality import CLEAN_SCHEMA
from pipelines.run import run_pipeline
from pipelines.settings import PipelineSettings
from tests.pipelines.tape_maker import MS, START_NS, walk, write

UP_TO_TRAINING_SET = ("raw_ticks", "clean_ticks", "tick_features", "labels", "training_set")


def ticks(n, seed=1, scale=1.0, jitter_ns=4_000_000):
    rng = np.random.default_rng(seed)
    level = 1_000 + np.cumsum(rng.integers(-1, 2, n))
    kind = np.where(rng.random(n) < 0.8, QUOTE, TRADE).astype(np.int8)
    is_quote = kind == QUOTE
    size = rng.uniform(0.1, 9, (2, n))
    event = 1_700_000_000_000_000_000 + np.cumsum(rng.integers(0, 5_000_000, n)) - rng.integers(0, jitter_ns, n)
    columns = {
        "ts_recv": event + 7_000_000,
        "ts_event": np.where(rng.random(n) < 0.05, 0, event),
        "kind": kind,
        "a": level * scale,
        "b": size[0],
        "c": np.where(is_quote, (level + rng.integers(1, 3, n)) * scale, rng.choice([-1.0, 1.0], n)),
        "d": np.where(is_quote, size[1], 0.0),
        "seq": np.arange(n),
    }
    return pl.DataFrame(columns).select(pl.col(name).cast(dtype) for name, dtype in CLEAN_SCHEMA.items())


@pytest.mark.parametrize("scale", [1e-8, 0.1, 1e5])
def test_the_table_holds_the_bits_of_update(scale):
    given = ticks(3_000, scale=scale)
    table, state, rows, at = feature_table(given), init_state(), [], []
    for i, tick in enumerate(given.iter_rows(named=True)):
        if update(address_of(state), *encode(typed_event(tick))):
            rows.append(row_of(state).copy())
            at.append(i)
    assert feature_rows(table).tobytes() == np.array(rows).tobytes()
    assert table["bid_px"].to_list() == given["a"].gather(at).to_list()
    assert table["ask_qty"].to_list() == given["d"].gather(at).to_list()
    assert table["ts_recv"].to_list() == given["ts_recv"].gather(at).to_list()


def test_columns_come_in_the_order_readers_expect():
    table = feature_table(ticks(1_000))
    assert tuple(table.columns) == QUOTE_COLUMNS + NAMES
    assert table.height == (ticks(1_000)["kind"] == QUOTE).sum() - WARMUP_ROWS
    assert table["ts_ns"].is_sorted()


def test_too_few_quotes_give_an_empty_table():
    assert feature_table(ticks(100)).height == 0
    assert feature_table(ticks(0)).height == 0


@pytest.mark.parametrize("seed", range(4))
def test_the_event_clock_is_the_kernels(seed):
    rng = np.random.default_rng(seed)
    given = ticks(400, seed)
    shift = np.where(rng.random(400) < 0.02, rng.integers(-3, 3, 400) * 2 * PARAMETERS.rebase_ns, 0)
    given = given.with_columns(pl.col("ts_event") + pl.Series(shift), ts_recv=pl.col("ts_recv") + pl.Series(shift))
    kinds, ts_ns, values = kernel_input(given)
    state, seen = init_state(), []
    for kind, stamp, value in zip(kinds.tolist(), ts_ns.tolist(), values.tolist(), strict=True):
        update(address_of(state), kind, stamp, *value)
        seen.append(clock_ns(state))
    assert event_clock(ts_ns).tolist() == seen


@pytest.mark.parametrize(
    ("n", "size", "slices"), [(10, 20, [(0, 10)]), (40, 20, [(0, 40)]), (50, 20, [(0, 20), (30, 50)])]
)
def test_sample_slices(n, size, slices):
    assert sample_slices(n, size) == slices


def test_streamed_events_equal_the_stored_rows_at_both_ends():
    given = ticks(4_000)
    table = feature_table(given)
    compared, found = first_mismatch(given, table, 1_000)
    assert found is None
    assert 1_000 < compared < table.height


@pytest.mark.parametrize("row", [3, -5])
def test_one_changed_bit_is_found_and_named(row):
    given = ticks(4_000)
    table = feature_table(given)
    values = table["imbalance"].to_numpy().copy()
    values[row] = np.nextafter(values[row], 9.0)
    _, found = first_mismatch(given, table.with_columns(imbalance=values), 1_000)
    assert found.feature == "imbalance"
    assert given["kind"][found.event] == QUOTE
    assert found.streamed != found.folded


def test_a_missing_row_is_found():
    given = ticks(4_000)
    _, found = first_mismatch(given, feature_table(given)[:-1], 1_000)
    assert found.feature == "rows"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    write(folder / "tape", "a.gz", walk("AUSDT", 2_500))
    write(folder / "tape", "b.gz", walk("BUSDT", 1_500, tick=1e-8, start_ns=1_700_000_001_000_000_000))
    settings = PipelineSettings(home=str(folder / "home"), tape=str(folder / "tape"))
    return settings, run_pipeline(settings, None, only=UP_TO_TRAINING_SET)


def tables(home, name):
    return {path.stem: pl.read_parquet(path) for path in sorted((home[0].home_path / name).glob("*.parquet"))}


def test_batch_equals_stream_is_checked_for_every_row_of_a_small_tape(home):
    check = next(check for check in home[1].checks if check.name == "batch_equals_stream")
    assert check.passed
    assert check.metadata["rows_compared"] == sum(table.height for table in tables(home, "tick_features").values())


def test_labels_are_aligned_with_the_features_they_judge(home):
    labels = tables(home, "labels")
    for symbol, table in tables(home, "tick_features").items():
        columns = (table[name].to_numpy() for name in ("ts_ns", "bid_px", "ask_px"))
        label, end_ns = nl_labels(*columns, k=50, latency_ns=10_000_000)
        assert labels[symbol]["label"].to_list() == label.tolist()
        assert labels[symbol]["end_ns"].to_list() == end_ns.tolist()


def test_training_windows_are_the_rows_before_their_decision(home):
    dataset = load(home[0].home_path / "training_set" / "dataset.npz")
    features, labels = tables(home, "tick_features"), tables(home, "labels")
    assert dataset.symbols == ("AUSDT", "BUSDT")
    assert dataset.schema_id == SCHEMA_ID
    for sample in (0, len(dataset.y) // 2, len(dataset.y) - 1):
        symbol = dataset.symbols[dataset.symbol_id[sample]]
        row = features[symbol]["ts_ns"].to_list().index(dataset.ts_ns[sample])
        same = [i for i, ts in enumerate(features[symbol]["ts_ns"]) if ts == dataset.ts_ns[sample]]
        wanted = [feature_rows(features[symbol])[i - 15 : i + 1].astype(np.float32) for i in same if i >= 15]
        cut = windows(dataset, np.array([sample]))[0]
        assert any(np.array_equal(cut, window) for window in wanted), row
        assert dataset.y[sample] in {labels[symbol]["label"][i] for i in same}


def test_two_runs_over_the_same_tape_make_the_same_training_set(home, tmp_path):
    again = PipelineSettings(home=str(tmp_path), tape=home[0].tape)
    result = run_pipeline(again, None, only=UP_TO_TRAINING_SET)
    same = "content_sha256"
    assert result.assets["training_set"][same] == home[1].assets["training_set"][same]


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Two sessions on two days, in one folder and in two: the settings of both runs, and what the first made."""
    folder = tmp_path_factory.mktemp("days")
    for number, days_on in enumerate((0, 3)):
        lines = walk("AUSDT", 1_500, seed=number, start_ns=START_NS + days_on * 86_400_000 * MS)
        write(folder / "both", f"{number}.gz", lines)
        write(folder / f"tape{number}", "a.gz", lines)
    tapes = {"one": str(folder / "both"), "two": os.pathsep.join([str(folder / "tape1"), str(folder / "tape0")])}
    runs = {name: PipelineSettings(home=str(folder / name), tape=tapes[name], sessions="all") for name in tapes}
    return runs, run_pipeline(runs["one"], None, only=UP_TO_TRAINING_SET)


def test_every_session_warms_up_by_itself_and_no_label_reaches_into_the_next(days):
    settings = days[0]["one"]
    stored, labels = (
        pl.read_parquet(settings.home_path / name / "AUSDT.parquet") for name in ("tick_features", "labels")
    )
    clean = pl.read_parquet(settings.home_path / "clean_ticks" / "AUSDT.parquet")
    for number in (0, 1):
        alone = feature_table(clean.filter(session=number))
        assert alone.height == 1_500 - WARMUP_ROWS
        own = stored.with_row_index().filter(session=number)
        assert feature_rows(own).tobytes() == feature_rows(alone).tobytes()
        columns = (alone[name].to_numpy() for name in ("ts_ns", "bid_px", "ask_px"))
        label, end_ns = nl_labels(*columns, k=50, latency_ns=10_000_000)
        known = labels[own["index"].to_list()]
        assert (known["label"].to_list(), known["end_ns"].to_list()) == (label.tolist(), end_ns.tolist())
        assert (label[-50:] < 0).all(), "the last outcomes of a session are unknown"


def test_no_training_window_holds_rows_of_two_sessions(days):
    dataset = load(days[0]["one"].home_path / "training_set" / "dataset.npz")
    session = pl.read_parquet(days[0]["one"].home_path / "tick_features" / "AUSDT.parquet")["session"].to_numpy()
    assert np.array_equal(session[dataset.ends], session[dataset.ends - dataset.window + 1])
    assert set(session[dataset.ends].tolist()) == {0, 1}


def test_every_check_holds_over_several_sessions(days):
    assert {check.name for check in days[1].checks} >= {"batch_equals_stream", "quotes_meet_expectations"}
    assert all(check.passed for check in days[1].checks)


def test_sessions_in_one_folder_and_in_two_paths_make_the_same_training_set(days):
    again = run_pipeline(days[0]["two"], None, only=UP_TO_TRAINING_SET)
    assert again.assets["training_set"]["content_sha256"] == days[1].assets["training_set"]["content_sha256"]


def test_tables_from_before_sessions_were_numbered_are_refused(days, tmp_path):
    table = pl.read_parquet(days[0]["one"].home_path / "tick_features" / "AUSDT.parquet").drop("session")
    (tmp_path / "tick_features").mkdir()
    table.write_parquet(tmp_path / "tick_features" / "AUSDT.parquet", metadata={"schema_id": SCHEMA_ID})
    with pytest.raises(CryptoScalpError, match="labels: a table without the column session"):
        run_pipeline(PipelineSettings(home=str(tmp_path), tape="unused"), None, only=["labels"])


def test_features_of_another_schema_are_refused(home, tmp_path):
    settings = PipelineSettings(home=str(tmp_path), tape=home[0].tape)
    table = tables(home, "tick_features")["AUSDT"]
    (tmp_path / "tick_features").mkdir()
    table.write_parquet(tmp_path / "tick_features" / "AUSDT.parquet", metadata={"schema_id": "0123456789abcdef"})
    with pytest.raises(CryptoScalpError, match=r"labels: .*AUSDT\.parquet: feature schema 0123456789abcdef"):
        run_pipeline(settings, None, only=["labels"])


def test_a_tape_within_the_warm_up_is_refused(tmp_path):
    write(tmp_path / "tape", "x.gz", walk("XUSDT", 200))
    settings = PipelineSettings(home=str(tmp_path / "home"), tape=str(tmp_path / "tape"))
    with pytest.raises(CryptoScalpError, match="tick_features: no decision point"):
        run_pipeline(settings, None, only=UP_TO_TRAINING_SET[:3])
