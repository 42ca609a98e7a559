"""Feast around the feature tables: registry, offline file, online rows, and the proofs that all three say the same.

Feast's own historical join costs samples times history, so training sets come from our as-of join; both are held equal
here on sampled instants, with only the neighbourhood of each instant given to Feast. The nearest earlier row decides an
as-of join, and the neighbourhood holds it together with decoys on both sides, so the answer is that of the whole table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from features.online import PROJECT, VIEW
from features.schema import NAMES, SCHEMA_ID
from pipelines.settings import PipelineError

TIMESTAMP: Final = "event_timestamp"
NEIGHBOURS: Final = 20
UNUSED_REDIS: Final = "redis://127.0.0.1:1/0"  # a store needs an online half; historical joins never talk to it

Ints = npt.NDArray[np.int64]


class Difference(msgspec.Struct, frozen=True):
    """One value on which two stores disagree; NaN where one has none."""

    symbol: str
    ts_us: int
    feature: str
    ours: float
    feast: float

    def __str__(self) -> str:
        return f"{self.symbol} at {self.ts_us} µs, {self.feature}: ours {self.ours!r}, Feast {self.feast!r}"


def connection_string(url: str) -> str:
    """A Redis URL in Feast's own spelling.

    >>> connection_string("redis://:secret@localhost:6380/2")
    'localhost:6380,db=2,password=secret'
    >>> connection_string("rediss://me@cache")
    'cache:6379,db=0,username=me,ssl=true'

    Raises
    ------
    PipelineError
        When it is no redis:// or rediss:// URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise PipelineError("redis_url is no Redis URL", "write it as redis://host:port/db")
    database = parts.path.strip("/") or parse_qs(parts.query).get("db", ["0"])[0]
    options = {"db": database, "username": parts.username, "password": parts.password}
    options["ssl"] = "true" if parts.scheme == "rediss" else None
    given = [f"{name}={value}" for name, value in options.items() if value]
    return ",".join([f"{parts.hostname}:{parts.port or 6379}", *given])


def offline_rows(symbol: str, table: pl.DataFrame) -> pl.DataFrame:
    """A feature table as Feast stores it: µs timestamps, and of rows within one microsecond only the last."""
    stamped = table.select(
        pl.lit(symbol).alias("symbol"),
        (pl.col("ts_ns") // 1_000).cast(pl.Datetime("us", "UTC")).alias(TIMESTAMP),
        *NAMES,
    )
    return stamped.unique(TIMESTAMP, keep="last", maintain_order=True)


def latest_rows(offline: pl.DataFrame) -> pl.DataFrame:
    """The last row of every symbol."""
    return offline.group_by("symbol", maintain_order=True).last()


def open_store(registry: Path, redis_url: str) -> Any:
    """A ``FeatureStore`` on a file registry and a Redis online store (``feature_repo/feature_store.yaml`` in code)."""
    from feast import FeatureStore, RepoConfig

    registry.parent.mkdir(parents=True, exist_ok=True)
    online = {"type": "redis", "connection_string": connection_string(redis_url), "skip_dedup": True}
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry={"registry_type": "file", "path": str(registry)},
        offline_store={"type": "dask"},
        online_store=online,
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def apply(store: Any, offline_file: Path, model: str) -> None:
    """Register entity, view, push source and one service per published name of ``model``.

    Raises
    ------
    PipelineError
        When what is registered is not what ``features.schema`` says.
    """
    from feature_repo import definitions

    view = definitions.feature_view(offline_file)
    store.apply([definitions.symbol, view, *definitions.feature_services(view, model)])
    registered = store.get_feature_view(VIEW)
    fields = tuple(field.name for field in registered.features)
    if fields != NAMES or registered.tags.get("schema_id") != SCHEMA_ID:
        raise PipelineError("Feast registered other fields than the schema has", "delete the registry and run again")


def register_version(registry: Path, model: str, version: int, sha256: str) -> str:
    """Add the feature service of a published version to the registry; returns its name."""
    from feature_repo import definitions

    store = open_store(registry, UNUSED_REDIS)
    service = definitions.version_service(store.get_feature_view(VIEW), model, version, sha256)
    store.apply([service])
    return str(service.name)


def push_latest(store: Any, rows: pl.DataFrame) -> None:
    """Push feature rows (one per symbol, as :func:`offline_rows` gives them) to the online store."""
    from redis.exceptions import RedisError

    from feature_repo.definitions import PUSH

    try:
        store.push(PUSH, rows.to_pandas())
    except RedisError as error:
        raise PipelineError(f"redis_url: {error}", "start that server or correct redis_url") from error


def online_differences(store: Any, model: str, rows: pl.DataFrame) -> list[Difference]:
    """Values the online store gives back for ``rows``'s symbols that are not exactly the ones in ``rows``."""
    entities = [{"symbol": symbol} for symbol in rows["symbol"]]
    served = store.get_online_features(features=store.get_feature_service(model), entity_rows=entities).to_dict()
    by_symbol = {
        symbol: {name: served[name][i] for name in NAMES if name in served} for i, symbol in enumerate(served["symbol"])
    }
    return _differences(rows, [by_symbol.get(symbol, {}) for symbol in rows["symbol"]])


def _differences(rows: pl.DataFrame, theirs: Sequence[Mapping[str, float | None]]) -> list[Difference]:
    found = []
    for row, their in zip(rows.iter_rows(named=True), theirs, strict=True):
        for name in NAMES:
            value = their.get(name)
            got = float("nan") if value is None else float(value)
            if got != row[name]:
                ts_us = int(row[TIMESTAMP].timestamp() * 1e6)
                found.append(Difference(row["symbol"], ts_us, name, row[name], got))
    return found


def sample_instants(ts_us: Ints, count: int, rng: np.random.Generator) -> Ints:
    """At most ``count`` distinct instants, each between (or on) two rows of ``ts_us``, sorted."""
    at = rng.choice(len(ts_us), min(count, len(ts_us)), replace=False)
    gap = np.append(np.diff(ts_us), 1)[at]
    return np.unique(ts_us[at] + (rng.random(len(at)) * gap).astype(np.int64))


def as_of(ts_us: Ints, instants: Ints) -> Ints:
    """Index of the last row at or before each instant; our own point-in-time join."""
    return np.searchsorted(ts_us, instants, side="right") - 1


def point_in_time_differences(
    offline: pl.DataFrame, count: int, rng: np.random.Generator
) -> tuple[int, list[Difference]]:
    """Join ``count`` sampled instants with our as-of join and with Feast's; returns instants and differences."""
    ours, nearby = [], []
    for rows in offline.partition_by("symbol", maintain_order=True):
        ts_us = rows[TIMESTAMP].dt.epoch("us").to_numpy()
        instants = sample_instants(ts_us, -(-count // offline["symbol"].n_unique()), rng)
        at = as_of(ts_us, instants)
        stamp = pl.Series(instants).cast(pl.Datetime("us", "UTC"))
        ours.append(rows[at].with_columns(stamp.alias(TIMESTAMP)))
        around = np.unique(np.clip(at[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1), 0, len(ts_us) - 1))
        nearby.append(rows[around])
    expected = pl.concat(ours)
    joined = _feast_join(pl.concat(nearby), expected.select("symbol", TIMESTAMP))
    theirs = {(row["symbol"], row[TIMESTAMP]): row for row in joined.iter_rows(named=True)}
    keys = expected.select("symbol", TIMESTAMP).rows()
    return len(keys), _differences(expected, [theirs.get(key, {}) for key in keys])


def _feast_join(rows: pl.DataFrame, entities: pl.DataFrame) -> pl.DataFrame:
    """``get_historical_features`` of the same definitions over a throwaway registry and offline file."""
    from feature_repo.definitions import MODEL

    with TemporaryDirectory() as folder:
        offline_file = Path(folder, "rows.parquet")
        rows.write_parquet(offline_file)
        store = open_store(Path(folder, "registry.db"), UNUSED_REDIS)
        apply(store, offline_file, MODEL)
        service = store.get_feature_service(MODEL)
        frame = store.get_historical_features(entity_df=entities.to_pandas(), features=service).to_df()
    return pl.from_pandas(frame).with_columns(pl.col(TIMESTAMP).cast(pl.Datetime("us", "UTC")))
