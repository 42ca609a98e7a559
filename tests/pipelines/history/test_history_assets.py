"""The partitioned assets: one file each, blocking checks, partitions and runs from the sensor."""

import dagster as dg
import pytest

from market.errors import CryptoScalpError
from pipelines.assets import history
from pipelines.history.imports import import_paths
from pipelines.history.schema import KINDS
from pipelines.resources import Workspace
from pipelines.run import signals_kept
from pipelines.settings import PipelineSettings
from tests.pipelines.history import archives
from tests.pipelines.history.test_history_faults import PARTITION, workspace

DEFS = dg.Definitions(
    assets=dg.load_assets_from_modules([history]),
    sensors=[history.history_sources],
    resources={"workspace": Workspace(settings=PipelineSettings())},
    executor=dg.in_process_executor,
)
NAME = "XYZUSDT-aggTrades-2024-07-18.zip"


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def run(instance, home, key, raise_on_error=True):
    instance.add_dynamic_partitions("history_trades", [key])
    with signals_kept():
        return dg.materialize(
            [history.history_trades],
            partition_key=key,
            instance=instance,
            resources={"workspace": home},
            raise_on_error=raise_on_error,
        )


def test_there_is_an_asset_and_a_blocking_check_of_every_kind():
    specs = {spec.key.to_user_string(): spec for spec in DEFS.resolve_all_asset_specs()}
    assert specs.keys() == {f"history_{kind}" for kind in KINDS}
    assert all(spec.group_name == "history" and spec.owners and spec.description for spec in specs.values())
    checks = [spec for asset in DEFS.assets for spec in asset.check_specs]
    assert {spec.asset_key.to_user_string() for spec in checks} == specs.keys()
    assert all(spec.blocking and spec.description for spec in checks)


def test_a_partition_is_made_judged_and_described(tmp_path, instance):
    home = workspace(tmp_path)
    rows = archives.agg_trades(500)
    del rows[100:110]
    import_paths(home, [archives.write(tmp_path / NAME, rows, archives.AGG_HEADER)])
    path = home.path(*PARTITION.file())
    before = path.read_bytes()
    path.unlink()
    result = run(instance, home, PARTITION.key)
    assert path.read_bytes() == before
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert event.partition == PARTITION.key
    assert metadata["rows"].value == 490
    assert metadata["missing"].value == 10
    assert metadata["gaps_by_reason"].value == {"missing_ids": 1, "silence": 1}
    assert metadata["day"].value.startswith("![the day and its gaps](data:image/png;base64,")
    (check,) = result.get_asset_check_evaluations()
    assert check.passed and check.blocking


def test_a_bad_partition_fails_its_check(tmp_path, instance):
    home = workspace(tmp_path)
    rows = [row.replace(",0.5,", ",0,") if i % 5 == 0 else row for i, row in enumerate(archives.agg_trades(500))]
    import_paths(home, [archives.write(tmp_path / NAME, rows, archives.AGG_HEADER)])
    result = run(instance, home, PARTITION.key, raise_on_error=False)
    (check,) = result.get_asset_check_evaluations()
    assert not result.success
    assert f"{PARTITION.key}: 20.0% of all rows were rejected" in check.description


def test_a_partition_without_a_source_says_what_to_do(tmp_path, instance):
    with pytest.raises(CryptoScalpError, match="no imported file holds"):
        run(instance, workspace(tmp_path), PARTITION.key)


def tick(instance, home, cursor=None):
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"workspace": home})
    return history.history_sources(context)


def test_the_sensor_adds_partitions_once_and_again_when_a_file_changed(tmp_path, instance):
    home = workspace(tmp_path)
    path = archives.write(tmp_path / "XYZUSDT-1m-2024-07.csv", archives.klines(3 * 1_440), archives.KLINE_HEADER)
    import_paths(home, [path])
    first = tick(instance, home)
    days = ["2024-07-18", "2024-07-19", "2024-07-20"]
    assert [request.partition_key for request in first.run_requests] == [f"binanceusdm|XYZUSDT|{day}" for day in days]
    (added,) = first.dynamic_partitions_requests
    assert added.partitions_def_name == "history_klines"
    second = tick(instance, home, first.cursor)
    assert not second.run_requests
    archives.write(path, archives.klines(2 * 1_440), archives.KLINE_HEADER)
    import_paths(home, [path])
    third = tick(instance, home, second.cursor)
    assert len(third.run_requests) == 2
    assert {request.run_key for request in third.run_requests}.isdisjoint(r.run_key for r in first.run_requests)


def test_the_sensor_runs_a_few_at_a_time(tmp_path, instance, monkeypatch):
    monkeypatch.setattr(history, "MOST_RUNS", 2)
    home = workspace(tmp_path)
    path = archives.write(tmp_path / "XYZUSDT-1m-2024-07.csv", archives.klines(3 * 1_440), archives.KLINE_HEADER)
    import_paths(home, [path])
    first = tick(instance, home)
    assert (len(first.run_requests), len(tick(instance, home, first.cursor).run_requests)) == (2, 1)
