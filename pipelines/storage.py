"""Facts that outlive a workspace: which models exist, which runs made them. Postgres given a DSN, else SQLite."""

from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from pipelines.settings import PipelineError, PipelineSettings

metadata = sa.MetaData()

model_versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("schema_id", sa.String(128), nullable=False),
    sa.Column("data_sha256", sa.String(64), nullable=False),
    sa.Column("code_version", sa.String(128), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("promoted", sa.Boolean, nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("run_id", sa.String(64)),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
)

pipeline_runs = sa.Table(
    "pipeline_runs",
    metadata,
    sa.Column("run_id", sa.String(64), primary_key=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("started_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("error", sa.Text),
)


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One published (or refused) model version; ``reasons`` is what the promotion gate said."""

    name: str
    version: int
    sha256: str
    schema_id: str
    data_sha256: str
    code_version: str
    state: str
    promoted: bool
    reasons: list[str]
    metrics: dict[str, Any]
    run_id: str | None
    created_ns: int


class PipelineRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the job; ``status`` is "started", "succeeded" or "failed", ``ended_ns`` None while it runs."""

    run_id: str
    status: str
    started_ns: int
    ended_ns: int | None
    settings: dict[str, Any]
    error: str | None


def database_url(settings: PipelineSettings) -> str:
    """``pg_dsn``, or a SQLite file under ``home``."""
    return settings.pg_dsn or f"sqlite:///{settings.home_path / 'cryptoscalp.db'}"


def open_store(url: str) -> sa.Engine:
    """Connect and create what is absent.

    Raises
    ------
    PipelineError
        When the database does not answer or the URL is none; the password is masked.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.database and parsed.get_backend_name() == "sqlite":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed, pool_pre_ping=True)
        metadata.create_all(engine)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise PipelineError(f"pg_dsn {_masked(url)}: {cause}", "start that database or correct pg_dsn") from error
    return engine


def _masked(url: str) -> str:
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "(no URL)"


def record_model(engine: sa.Engine, model: ModelVersion) -> None:
    """Insert or replace one model version, in one transaction."""
    _replace(engine, model_versions, msgspec.to_builtins(model))


def record_run(engine: sa.Engine, run: PipelineRun) -> None:
    """Insert or replace one run, in one transaction."""
    _replace(engine, pipeline_runs, msgspec.to_builtins(run))


def _replace(engine: sa.Engine, table: sa.Table, row: dict[str, Any]) -> None:
    same = sa.and_(*(column == row[column.name] for column in table.primary_key))
    with engine.begin() as connection:
        connection.execute(sa.delete(table).where(same))
        connection.execute(sa.insert(table).values(row))


def models(engine: sa.Engine, name: str) -> list[ModelVersion]:
    """Every recorded version of ``name``, oldest first."""
    query = sa.select(model_versions).where(model_versions.c.name == name).order_by(model_versions.c.version)
    with engine.connect() as connection:
        return [ModelVersion(**row._mapping) for row in connection.execute(query)]


def runs(engine: sa.Engine) -> list[PipelineRun]:
    """Every recorded run, oldest first."""
    query = sa.select(pipeline_runs).order_by(pipeline_runs.c.started_ns)
    with engine.connect() as connection:
        return [PipelineRun(**row._mapping) for row in connection.execute(query)]
