"""The same facts come back from SQLite and from a real Postgres; files are replaced whole or not at all."""

import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest

from infra.stores import postgres
from pipelines import storage
from pipelines.resources import Workspace, replacing
from pipelines.settings import PipelineError, PipelineSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def url(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    if request.param == "sqlite":
        yield storage.database_url(PipelineSettings(home=str(folder / "home")))
        return
    with postgres(folder) as server:
        yield storage.database_url(PipelineSettings(pg_dsn=server.dsn))


@pytest.fixture
def engine(url):
    opened = storage.open_store(url)
    yield opened
    opened.dispose()


def model(version=1, **changes):
    row = storage.ModelVersion(
        name="scalper",
        version=version,
        sha256="a" * 64,
        schema_id="s1",
        data_sha256="b" * 64,
        code_version="0.1.0",
        state="onnx_only",
        promoted=True,
        reasons=["better than the champion"],
        metrics={"logloss": 0.75, "members": {"logistic": 0.8}},
        run_id=None,
        created_ns=1_700_000_000_123_456_789,
    )
    return msgspec.structs.replace(row, **changes)


def run(run_id, status="started", **changes):
    row = storage.PipelineRun(
        run_id=run_id,
        status=status,
        started_ns=1_700_000_000_000_000_001,
        ended_ns=None,
        settings={"k": 50},
        error=None,
    )
    return msgspec.structs.replace(row, **changes)


def test_a_model_comes_back_as_it_was_recorded_oldest_version_first(engine):
    second, first = model(2, promoted=False, run_id="r1"), model(1)
    storage.record_model(engine, second)
    storage.record_model(engine, first)
    storage.record_model(engine, model(1, name="other"))
    assert storage.models(engine, "scalper") == [first, second]


def test_recording_the_same_version_again_replaces_it(engine):
    storage.record_model(engine, model(7, name="again"))
    storage.record_model(engine, model(7, name="again", promoted=False, reasons=[]))
    (kept,) = storage.models(engine, "again")
    assert (kept.promoted, kept.reasons) == (False, [])


def test_a_run_is_started_then_ended(engine):
    storage.record_run(engine, run("r1"))
    ended = run("r1", "failed", ended_ns=1_700_000_009_000_000_000, error="raw_ticks: no tape")
    storage.record_run(engine, ended)
    assert [found for found in storage.runs(engine) if found.run_id == "r1"] == [ended]


def test_opening_again_keeps_what_is_there(engine, url):
    storage.record_run(engine, run("kept"))
    again = storage.open_store(url)
    assert "kept" in {found.run_id for found in storage.runs(again)}
    again.dispose()


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        pytest.param("postgresql://u:secret@127.0.0.1:1/x", r"pg_dsn postgresql://u:\*\*\*@127.0.0.1:1/x", id="dead"),
        pytest.param("no url", r"pg_dsn \(no URL\)", id="no URL"),
    ],
)
def test_a_database_that_does_not_answer_is_named_without_its_password(dsn, says):
    with pytest.raises(PipelineError, match=says) as caught:
        storage.open_store(dsn)
    assert "secret" not in str(caught.value)


def workspace(tmp_path):
    return Workspace(settings=PipelineSettings(home=str(tmp_path)))


def table(*values):
    return pl.DataFrame({"x": values})


def test_a_write_that_fails_leaves_the_old_file_and_no_trace(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), replacing(path) as part:
        part.write_text("ne")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match=r"file/x\.json: ") as caught:
        workspace(tmp_path).write_json({}, "file", "x.json")
    assert caught.value.fix


def test_a_full_disk_leaves_the_old_table_and_is_named(tmp_path):
    workspace(tmp_path).write_table(table(1), "t.parquet")
    code = (
        "import resource, polars as pl; from pipelines.resources import Workspace\n"
        "from pipelines.settings import PipelineSettings\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        f"place = Workspace(settings=PipelineSettings(home={str(tmp_path)!r}))\n"
        "place.write_table(pl.DataFrame({'x': range(100_000)}), 't.parquet')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert "PipelineError" in done.stderr
    assert f"{tmp_path}/t.parquet: cannot be written" in done.stderr
    assert workspace(tmp_path).read_table("t.parquet")["x"].to_list() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_tables_of_a_folder_are_replaced_together(tmp_path):
    place = workspace(tmp_path)
    assert place.replace_tables("t", [("A", table(1)), ("B", table(2, 3))]) == {"A": 1, "B": 2}
    place.replace_tables("t", [("B", table(4))], metadata={"schema_id": "s"})
    assert place.symbols("t") == ["B"]
    assert place.read_table("t", "B.parquet")["x"].to_list() == [4]
    assert place.table_metadata("t", "B.parquet")["schema_id"] == "s"


def test_tables_that_fail_half_way_leave_the_old_folder(tmp_path):
    place = workspace(tmp_path)
    place.replace_tables("t", [("A", table(1))])

    def failing():
        yield "A", table(9)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        place.replace_tables("t", failing())
    assert place.read_table("t", "A.parquet")["x"].to_list() == [1]


def test_a_crash_between_the_two_renames_is_repaired_by_the_next_reader(tmp_path):
    place = workspace(tmp_path)
    place.replace_tables("t", [("A", table(1))])
    (tmp_path / "t").rename(tmp_path / ".t.old")
    assert place.symbols("t") == ["A"]


def test_what_is_missing_or_broken_is_named_with_a_fix(tmp_path):
    place = workspace(tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 torn")
    (tmp_path / "broken.json").write_text("{")
    for read, says in [
        (lambda: place.symbols("labels"), "labels: no table here"),
        (lambda: place.read_table("gone.parquet"), r"gone\.parquet: not there yet"),
        (lambda: place.read_table("broken.parquet"), r"broken\.parquet: unreadable"),
        (lambda: place.read_json("broken.json"), r"broken\.json: unreadable"),
    ]:
        with pytest.raises(PipelineError, match=says) as caught:
            read()
        assert "materialize" in caught.value.fix
