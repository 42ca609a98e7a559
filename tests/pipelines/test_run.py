"""A run leaves its record in Dagster and in our tables, in files and in Postgres, whether it succeeds or fails."""

import os
import signal

import dagster as dg
import polars as pl
import pytest

from infra.dagster_instance import write_dagster_home
from infra.stores import postgres
from market.errors import CryptoScalpError
from pipelines import storage
from pipelines.run import run_pipeline
from pipelines.settings import PipelineError, PipelineSettings
from tests.pipelines.tape_maker import walk, write


@pytest.fixture(scope="module", params=["files", pytest.param("postgres", marks=pytest.mark.integration)])
def place(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write(folder / "tape", "x.gz", walk("XUSDT", 500))
    settings = PipelineSettings(home=str(folder / "home"), tape=str(folder / "tape"))
    if request.param == "files":
        yield settings, write_dagster_home(folder, None)
        return
    with postgres(folder) as server:
        with_dsn = settings.model_copy(update={"pg_dsn": server.dsn})
        yield with_dsn, write_dagster_home(folder, server.dsn)


def recorded(settings, run_id):
    store = storage.open_store(storage.database_url(settings))
    (found,) = [run for run in storage.runs(store) if run.run_id == run_id]
    store.dispose()
    return found


def test_a_run_is_seen_in_dagster_and_in_our_tables(place):
    settings, dagster_home = place
    heard = []
    result = run_pipeline(settings, dagster_home, lambda *said: heard.append(said), only=["raw_ticks"])
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        assert instance.get_run_by_id(result.run_id).status == dg.DagsterRunStatus.SUCCESS
        event = instance.get_latest_materialization_event(dg.AssetKey("raw_ticks"))
        assert event.run_id == result.run_id
    run = recorded(settings, result.run_id)
    assert (run.status, run.error) == ("succeeded", None)
    assert run.started_ns < run.ended_ns
    assert heard[0] == ("raw_ticks", "started")
    assert heard[1][0] == "raw_ticks"
    assert heard[1][1].startswith("done in ")


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler])
def test_a_run_leaves_the_signals_as_they_were(tmp_path, handler):
    """In a job started in the background SIGINT is ignored: children must still end on SIGTERM."""
    write(tmp_path / "tape", "x.gz", walk("XUSDT", 300))
    before = signal.signal(signal.SIGINT, handler), signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        run_pipeline(
            PipelineSettings(home=str(tmp_path / "home"), tape=str(tmp_path / "tape")), None, only=["raw_ticks"]
        )
        assert signal.getsignal(signal.SIGINT) is handler
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_metadata_comes_back_plain_and_without_pictures(place):
    result = run_pipeline(place[0], None, only=["raw_ticks"])
    metadata = result.assets["raw_ticks"]
    assert metadata["frames_by_type"] == {"bookTicker": 500, "trade": 125, "depthUpdate": 84}
    assert metadata["rows"] == 625
    assert "ticks" not in metadata
    assert set(result.seconds) == {"raw_ticks"}


def test_a_failed_run_is_recorded_with_its_sentence(place):
    settings, dagster_home = place
    broken = settings.model_copy(update={"tape": settings.tape + "/none"})
    heard = []
    with pytest.raises(CryptoScalpError, match=r"raw_ticks: .*does not exist") as caught:
        run_pipeline(broken, dagster_home, lambda *said: heard.append(said), only=["raw_ticks"])
    store = storage.open_store(storage.database_url(settings))
    last = storage.runs(store)[-1]
    store.dispose()
    assert (last.status, last.error) == ("failed", str(caught.value))
    assert "dsn" not in " ".join(last.settings)
    assert heard[-1][1].startswith("failed in ")


def test_an_unexpected_failure_names_its_asset_and_keeps_the_trace(place, monkeypatch):
    def broken(*_arguments):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("pipelines.assets.ingest.read_session", broken)
    with pytest.raises(CryptoScalpError, match="raw_ticks: ZeroDivisionError: a bug") as caught:
        run_pipeline(place[0], None, only=["raw_ticks"])
    trace = place[0].home_path / "pipeline_failure.txt"
    assert str(trace) in caught.value.fix
    assert "in broken" in trace.read_text()


def test_one_setting_names_several_tapes_and_a_name_that_exists_is_never_cut(tmp_path):
    (tmp_path / f"a{os.pathsep}b").mkdir()
    two = PipelineSettings(tape=f"{tmp_path}/x{os.pathsep}{tmp_path}/y")
    assert two.tape_paths == (tmp_path / "x", tmp_path / "y")
    assert PipelineSettings(tape=f"{tmp_path}/a{os.pathsep}b").tape_paths == (tmp_path / f"a{os.pathsep}b",)
    with pytest.raises(PipelineError, match="names no path"):
        _ = PipelineSettings(tape=os.pathsep).tape_paths


def test_a_folder_without_dagster_yaml_is_refused(tmp_path, place):
    with pytest.raises(CryptoScalpError, match=r"no dagster\.yaml here"):
        run_pipeline(place[0], tmp_path, only=["raw_ticks"])


def test_the_quality_assets_write_gaps_and_scores_and_their_checks_pass(tmp_path):
    write(tmp_path / "tape", "x.gz", walk("XUSDT", 1_500))
    settings = PipelineSettings(home=str(tmp_path / "home"), tape=str(tmp_path / "tape"))
    result = run_pipeline(settings, None, only=["recorded_gaps", "source_reliability"])
    assert {check.name: check.passed for check in result.checks} == {
        "gaps_meet_expectations": True,
        "reliability_meets_expectations": True,
        "sources_are_believed": False,
    }
    assert result.assets["recorded_gaps"]["rows"] == pl.read_parquet(tmp_path / "home" / "recorded_gaps.parquet").height
    assert (tmp_path / "home" / "source_reliability.parquet").is_file()
