"""What Feast registers, serves and joins is what the schema, the feature table and our own as-of join say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import redis

from features.online import FIELDS, VIEW, decode_row, encode_row, row_key
from features.schema import FEATURES, NAMES, SCHEMA_ID
from infra.stores import redis_server
from pipelines import feast_store
from pipelines.feast_store import latest_rows
from pipelines.settings import PipelineError

START_NS = 1_700_000_000_000_000_123


def feature_table(n, seed, step_ns=500_000):
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=n) * 10.0 ** rng.integers(-9, 9) for name in NAMES}
    ts_ns = START_NS + np.cumsum(rng.integers(0, step_ns, n))
    return pl.DataFrame({"ts_ns": ts_ns, **columns})


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="module")
def offline():
    tables = {"AAAUSDT": feature_table(3_000, 1), "BBBUSDT": feature_table(2_000, 2)}
    return pl.concat([feast_store.offline_rows(symbol, table) for symbol, table in tables.items()])


@pytest.fixture(scope="module")
def store(tmp_path_factory, offline, redis_url):
    folder = tmp_path_factory.mktemp("feast")
    offline.write_parquet(folder / "rows.parquet")
    opened = feast_store.open_store(folder / "registry.db", redis_url)
    feast_store.apply(opened, folder / "rows.parquet", "scalper")
    return opened


@pytest.mark.integration
def test_registered_fields_are_the_schema_in_its_order(store):
    view = store.get_feature_view(VIEW)
    assert tuple(field.name for field in view.features) == NAMES
    assert view.tags["schema_id"] == SCHEMA_ID
    assert [field.description for field in view.features] == [f"{f.definition} [{f.unit}]" for f in FEATURES]


@pytest.mark.integration
def test_every_published_model_name_has_a_service(store):
    assert {service.name for service in store.list_feature_services()} == {"scalper", "scalper_int8"}


@pytest.mark.integration
def test_each_published_version_keeps_a_service_of_its_own(tmp_path, offline, redis_url):
    offline.write_parquet(tmp_path / "rows.parquet")
    registry = tmp_path / "registry.db"
    feast_store.apply(feast_store.open_store(registry, redis_url), tmp_path / "rows.parquet", "scalper")
    names = [feast_store.register_version(registry, "scalper", version, f"{version}" * 64) for version in (1, 2)]
    assert names == ["scalper_v1", "scalper_v2"]
    service = feast_store.open_store(registry, redis_url).get_feature_service("scalper_v1")
    assert service.tags == {"schema_id": SCHEMA_ID, "model": "scalper", "version": "1", "sha256": "1" * 64}
    assert [feature.name for feature in service.feature_view_projections[0].features] == list(NAMES)


@pytest.mark.integration
def test_the_thin_reader_gets_the_bits_that_feast_wrote(store, offline, redis_url):
    rows = latest_rows(offline)
    feast_store.push_latest(store, rows)
    with redis.Redis.from_url(redis_url) as client:
        for row in rows.iter_rows(named=True):
            found = decode_row(client.hmget(row_key(row["symbol"]), list(FIELDS)), row["symbol"])
            assert found.features == tuple(row[name] for name in NAMES)
            assert found.event_ns == int(row["event_timestamp"].timestamp() * 1e6) * 1_000


@pytest.mark.integration
def test_feast_gets_the_bits_that_the_thin_writer_wrote(store, offline, redis_url):
    feast_store.push_latest(store, latest_rows(offline))
    newer = offline.group_by("symbol", maintain_order=True).first()
    with redis.Redis.from_url(redis_url) as client:
        for row in newer.iter_rows(named=True):
            event_ns = int(row["event_timestamp"].timestamp() * 1e6) * 1_000
            client.hset(row_key(row["symbol"]), mapping=encode_row(event_ns, [row[name] for name in NAMES]))
    assert feast_store.online_differences(store, "scalper", newer) == []


@pytest.mark.integration
def test_pushed_rows_come_back_from_redis_to_the_last_bit(store, offline):
    rows = latest_rows(offline)
    feast_store.push_latest(store, rows)
    assert feast_store.online_differences(store, "scalper", rows) == []


@pytest.mark.integration
def test_a_value_that_is_not_online_is_named(store, offline):
    rows = latest_rows(offline)
    feast_store.push_latest(store, rows)
    changed = rows.with_columns(pl.col("imbalance") + 1e-12 * pl.col("imbalance").abs().clip(lower_bound=1e-3))
    differences = feast_store.online_differences(store, "scalper", changed)
    assert {(d.symbol, d.feature) for d in differences} == {("AAAUSDT", "imbalance"), ("BBBUSDT", "imbalance")}


@pytest.mark.integration
def test_a_symbol_that_was_never_pushed_differs_in_every_feature(store, offline):
    stranger = latest_rows(offline)[:1].with_columns(symbol=pl.lit("NEVER"))
    assert len(feast_store.online_differences(store, "scalper", stranger)) == len(NAMES)


@pytest.mark.integration
def test_a_run_over_an_older_tape_replaces_newer_online_rows(store, offline):
    older = offline.group_by("symbol", maintain_order=True).first()
    feast_store.push_latest(store, latest_rows(offline))
    feast_store.push_latest(store, older)
    assert feast_store.online_differences(store, "scalper", older) == []


@pytest.mark.integration
def test_our_as_of_join_equals_feasts_on_sampled_instants(offline):
    compared, differences = feast_store.point_in_time_differences(offline, 50, np.random.default_rng(3))
    assert differences == []
    assert compared >= 48


def test_as_of_takes_the_last_row_at_or_before():
    ts_us = np.array([10, 20, 30])
    assert feast_store.as_of(ts_us, np.array([10, 19, 20, 29, 30, 99])).tolist() == [0, 0, 1, 1, 2, 2]


def test_offline_rows_keep_the_last_of_a_microsecond():
    table = feature_table(3, 5).with_columns(ts_ns=pl.Series([1_000_000_000, 1_000_000_900, 1_000_001_000]))
    rows = feast_store.offline_rows("X", table)
    assert rows[NAMES[0]].to_list() == table[NAMES[0]].to_list()[1:]


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://"])
def test_a_url_that_is_no_redis_url_is_refused(url):
    with pytest.raises(PipelineError, match="redis_url"):
        feast_store.connection_string(url)


@pytest.mark.integration
def test_feast_apply_reads_the_repo_folder_and_registers_the_schema(tmp_path, redis_url):
    repo = Path(__file__).parents[2] / "feature_repo"
    offline_file = tmp_path / "feature_store" / "offline" / "tick_features.parquet"
    offline_file.parent.mkdir(parents=True)
    feast_store.offline_rows("X", feature_table(5, 1)).write_parquet(offline_file)
    host_port = feast_store.connection_string(redis_url).split(",")[0]
    done = subprocess.run(
        [Path(sys.executable).with_name("feast"), "-c", repo, "apply"],
        env={"CRYPTOSCALP_HOME": str(tmp_path), "CRYPTOSCALP_REDIS": host_port, "PYTHONPATH": str(repo.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    store = feast_store.open_store(tmp_path / "feature_store" / "registry.db", redis_url)
    assert tuple(field.name for field in store.get_feature_view(VIEW).features) == NAMES
