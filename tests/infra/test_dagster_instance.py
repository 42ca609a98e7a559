"""The written instance is one Dagster accepts, and its runs land where the settings say."""

import psycopg2
import pytest

from infra.dagster_instance import write_dagster_home
from infra.stores import PG_SETTING, postgres
from pipelines.run import signals_kept

pytestmark = pytest.mark.integration


def run_once(folder):
    """Run a one-op job on the instance of ``folder``; its run id, read back from a fresh instance."""
    from dagster import DagsterInstance, job, op

    @op
    def count() -> int:
        return 1

    @job
    def counting() -> None:
        count()

    with DagsterInstance.from_config(str(folder)) as instance:
        assert instance.telemetry_enabled is False
        with signals_kept():
            run_id = counting.execute_in_process(instance=instance).run_id
    with DagsterInstance.from_config(str(folder)) as instance:
        assert instance.get_run_by_id(run_id).is_success
    return run_id


def test_runs_are_stored_in_postgres_when_there_is_one(tmp_path, monkeypatch):
    monkeypatch.delenv(PG_SETTING, raising=False)
    with postgres(tmp_path) as server:
        run_id = run_once(write_dagster_home(tmp_path, server.dsn))
        connection = psycopg2.connect(server.dsn)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT status FROM runs WHERE run_id = %s", [run_id])
            assert cursor.fetchall() == [("SUCCESS",)]
            cursor.execute("SELECT count(*) FROM event_logs WHERE run_id = %s", [run_id])
            assert cursor.fetchone()[0] > 3
        connection.close()
    assert not list((tmp_path / "dagster").rglob("*.db"))


def test_runs_are_stored_in_files_without_postgres(tmp_path):
    run_once(write_dagster_home(tmp_path, None))
    assert list((tmp_path / "dagster").rglob("*.db"))


def test_writing_again_replaces_the_settings_and_keeps_them_private(tmp_path):
    write_dagster_home(tmp_path, "postgresql://me:secret@127.0.0.1:1/a")
    folder = write_dagster_home(tmp_path, 'postgresql://me:"s: {#@127.0.0.1:2/b')
    settings = folder / "dagster.yaml"
    assert settings.stat().st_mode & 0o077 == 0
    import yaml

    assert yaml.safe_load(settings.read_text())["storage"]["postgres"]["postgres_url"].endswith(":2/b")
    assert [path.name for path in folder.glob("dagster.yaml*")] == ["dagster.yaml"]
