"""Group ``features``: clean ticks to feature rows, their store, their labels and the training set."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from features.schema import COUNT, NAMES, SCHEMA_ID, WINDOW
from infra.stores import redis_server
from pipelines import feast_store
from pipelines.asset_metadata import OWNERS, bounds, counts, picture, span, verdict
from pipelines.dataset import SPLITS, Dataset, SymbolRows, build_dataset, content_sha256, save
from pipelines.feature_frames import SCHEMA_KEY, feature_rows, feature_table, first_mismatch, require_schema
from pipelines.labels import nl_labels
from pipelines.plots import class_balance, correlation_heatmap, feature_histograms, thinned
from pipelines.resources import Workspace
from pipelines.settings import PipelineError
from pipelines.ticks import SESSION, by_session, parts_of

STREAMED_EVENTS = 20_000  # at each end of a symbol's ticks; sessions share them
FEWEST_STREAMED = 1_000
JOINED_INSTANTS = 50
PLOTTED_ROWS = 20_000
OFFLINE = ("feature_store", "offline", "tick_features.parquet")
DATASET = ("training_set", "dataset.npz")
LABELS = ("down", "flat", "up")


@dg.asset(
    group_name="features",
    owners=OWNERS,
    kinds={"numba", "parquet"},
    deps=["clean_ticks"],
    description="One row per decision point: the quote and the served features, from the kernel that the trader runs.",
)
def tick_features(workspace: Workspace) -> dg.MaterializeResult[None]:
    spans, samples = [], []

    def tables() -> Iterator[tuple[str, pl.DataFrame]]:
        for symbol, ticks in workspace.read_tables("clean_ticks"):
            table = by_session(ticks, feature_table)
            spans.append(table["ts_ns"].to_numpy())
            samples.append(feature_rows(table[thinned(table.height, PLOTTED_ROWS)]))
            yield symbol, table

    rows = workspace.replace_tables("tick_features", tables(), metadata={SCHEMA_KEY: SCHEMA_ID})
    if not any(rows.values()):
        raise PipelineError("no decision point: every symbol has fewer quotes than the warm-up", "record a longer tape")
    sample = np.concatenate(samples)
    return dg.MaterializeResult(
        metadata={
            **bounds(sum(rows.values()), *span(spans)),
            "symbols": counts(rows),
            "features": COUNT,
            "schema_id": SCHEMA_ID,
            "histograms": picture(feature_histograms(sample, NAMES), "feature histograms"),
            "correlation": picture(correlation_heatmap(sample, NAMES), "feature correlation"),
        }
    )


def read_features(workspace: Workspace) -> Iterator[tuple[str, pl.DataFrame]]:
    """Feature tables by symbol, refused when they were written under another schema."""
    for symbol in workspace.symbols("tick_features"):
        parts = ("tick_features", f"{symbol}.parquet")
        require_schema(workspace.table_metadata(*parts), str(workspace.path(*parts)))
        yield symbol, workspace.read_table(*parts)


@dg.asset_check(
    asset=tick_features,
    blocking=True,
    description="Events streamed one by one through the kernel give the stored rows bit for bit.",
)
def batch_equals_stream(workspace: Workspace) -> dg.AssetCheckResult:
    problems, compared = [], 0
    for symbol, table in read_features(workspace):
        sessions = list(parts_of(workspace.read_table("clean_ticks", f"{symbol}.parquet")))
        for number, ticks in sessions:
            stored = table.filter(pl.col(SESSION) == number)
            rows, found = first_mismatch(ticks, stored, max(STREAMED_EVENTS // len(sessions), FEWEST_STREAMED))
            compared += rows
            if found is not None:
                where = f"{symbol}, session {number}, event {found.event}, {found.feature}"
                problems.append(f"{where}: streamed {found.streamed!r}, stored {found.folded!r}")
    return verdict(problems, rows_compared=compared)


@dg.asset(
    group_name="features",
    owners=OWNERS,
    kinds={"feast", "redis", "parquet"},
    deps=[tick_features],
    description="One row per symbol and microsecond in Feast: parquet offline, the latest row of each symbol in Redis.",
)
def feature_store(workspace: Workspace) -> dg.MaterializeResult[None]:
    ordered = ((symbol, table.sort("ts_ns", maintain_order=True)) for symbol, table in read_features(workspace))
    offline = pl.concat([feast_store.offline_rows(symbol, table) for symbol, table in ordered])
    offline_file = workspace.write_table(offline, *OFFLINE)
    latest = feast_store.latest_rows(offline)
    with _feast(workspace) as store:
        feast_store.apply(store, offline_file, workspace.settings.model_name)
        feast_store.push_latest(store, latest)
        services = [service.name for service in store.list_feature_services()]
    stamps = offline[feast_store.TIMESTAMP].dt.epoch("us").to_numpy() * 1_000
    return dg.MaterializeResult(
        metadata={
            **bounds(offline.height, *span([stamps])),
            "pushed": latest.height,
            "services": ", ".join(services),
            "schema_id": SCHEMA_ID,
        }
    )


@contextmanager
def _feast(workspace: Workspace) -> Iterator[Any]:
    settings = workspace.settings
    with redis_server(settings.home_path, settings.redis_url) as server:
        yield feast_store.open_store(workspace.path("feature_store", "registry.db"), server.url)


@dg.asset_check(
    asset=feature_store, blocking=True, description="Redis gives back the latest row of every symbol, every bit of it."
)
def online_equals_offline(workspace: Workspace) -> dg.AssetCheckResult:
    latest = feast_store.latest_rows(workspace.read_table(*OFFLINE))
    with _feast(workspace) as store:
        found = feast_store.online_differences(store, workspace.settings.model_name, latest)
    return verdict(list(map(str, found)), rows_compared=latest.height)


@dg.asset_check(
    asset=feature_store, blocking=True, description="Feast's point-in-time join equals our own at sampled instants."
)
def point_in_time_equals_own_join(workspace: Workspace) -> dg.AssetCheckResult:
    rng = np.random.default_rng(workspace.settings.seed)
    compared, found = feast_store.point_in_time_differences(workspace.read_table(*OFFLINE), JOINED_INSTANTS, rng)
    return verdict(list(map(str, found)), instants_compared=compared)


@dg.asset(
    group_name="features",
    owners=OWNERS,
    kinds={"numpy", "parquet"},
    deps=[tick_features],
    description="One row per decision point: where the mid stood k top-of-book quotes later, and when that was known.",
)
def labels(workspace: Workspace) -> dg.MaterializeResult[None]:
    settings, series = workspace.settings, {}
    latency_ns = round(settings.label_latency_ms * 1e6)

    def tables() -> Iterator[tuple[str, pl.DataFrame]]:
        for symbol, table in read_features(workspace):
            known = by_session(table, labelled)
            series[symbol] = table["ts_ns"].to_numpy(), known["label"].to_numpy()
            yield symbol, known

    def labelled(table: pl.DataFrame) -> pl.DataFrame:
        quotes = (table[name].to_numpy() for name in ("ts_ns", "bid_px", "ask_px"))
        label, end_ns = nl_labels(*quotes, k=settings.label_k, latency_ns=latency_ns)
        return pl.DataFrame({"label": label, "end_ns": end_ns})

    rows = workspace.replace_tables("labels", tables())
    label = np.concatenate([label for _, label in series.values()])
    return dg.MaterializeResult(
        metadata={
            **bounds(sum(rows.values()), *span([ts_ns for ts_ns, _ in series.values()])),
            "unknown": int((label < 0).sum()),
            "classes": counts({name: int((label == i).sum()) for i, name in enumerate(LABELS)}),
            "k": settings.label_k,
            "latency_ms": settings.label_latency_ms,
            "class_balance": picture(class_balance(series), "class balance over time"),
        }
    )


@dg.asset(
    group_name="features",
    owners=OWNERS,
    kinds={"numpy"},
    deps=[tick_features, labels],
    description="One row per sample: a window of feature rows, its label and its split, purged and evenly thinned.",
)
def training_set(workspace: Workspace) -> dg.MaterializeResult[None]:
    settings = workspace.settings
    dataset = build_dataset(
        [part for symbol, table in read_features(workspace) for part in _symbol_rows(workspace, symbol, table)],
        schema_id=SCHEMA_ID,
        window=WINDOW,
        train_share=settings.train_share,
        calibrate_share=settings.calibrate_share,
        max_samples=settings.max_samples,
    )
    save(dataset, workspace.path(*DATASET))
    return dg.MaterializeResult(metadata=_about(dataset))


def _symbol_rows(workspace: Workspace, symbol: str, table: pl.DataFrame) -> Iterator[SymbolRows]:
    """Decision rows of one symbol with their labels, one part per session."""
    known = workspace.read_table("labels", f"{symbol}.parquet")
    if not known[SESSION].equals(table[SESSION]):
        raise PipelineError(
            f"labels of {symbol} have {known.height} rows, tick_features {table.height}, not of the same sessions",
            "materialize labels again",
        )
    for _, part in parts_of(table.hstack(known.select("label", "end_ns"))):
        outcome = (part[name].to_numpy() for name in ("ts_ns", "label", "end_ns"))
        yield SymbolRows(symbol, feature_rows(part).astype(np.float32), *outcome)


def _about(dataset: Dataset) -> dict[str, Any]:
    splits = {name: int((dataset.split == i).sum()) for i, name in enumerate(SPLITS)}
    series = {
        symbol: (dataset.ts_ns[dataset.symbol_id == i], dataset.y[dataset.symbol_id == i])
        for i, symbol in enumerate(dataset.symbols)
    }
    starts = {name: int(dataset.ts_ns[dataset.split == i].min()) for i, name in enumerate(SPLITS)}
    return {
        **bounds(len(dataset.y), *span([dataset.ts_ns])),
        "decision_rows": len(dataset.rows),
        "splits": counts(splits),
        "split_starts_ns": dg.MetadataValue.json(starts),
        "window": dataset.window,
        "schema_id": dataset.schema_id,
        "content_sha256": content_sha256(dataset),
        "class_balance": picture(class_balance(series), "class balance over time"),
    }
