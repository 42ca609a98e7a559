"""Group ``quality``: gaps as data, how far each source may be believed; and the anomaly model that the trader takes."""

from typing import Any, Final

import dagster as dg
import msgspec
import polars as pl

from pipelines.anomaly import describe_anomaly, fit_anomaly, watched_scores
from pipelines.asset_metadata import OWNERS, bounds, counts, picture, span, verdict
from pipelines.assets.ingest import raw_ticks
from pipelines.assets.training import MODELS, read_dataset
from pipelines.dataset import CALIBRATE, TEST, TRAIN, Dataset, content_sha256
from pipelines.plots import counts_by_name
from pipelines.quality import run_suite
from pipelines.quality_plots import score_histograms, scores_over_time
from pipelines.reliability import judge_session, scored
from pipelines.resources import Workspace
from pipelines.ticks import chosen_sessions
from trader.anomaly import from_bytes, to_bytes
from trader.bundle import ANOMALY_FILE, Anomaly, sha256_file

GAPS: Final = "recorded_gaps.parquet"
HEALTH: Final = "source_health.parquet"
RELIABILITY: Final = "source_reliability.parquet"
ABOUT: Final = (MODELS, "anomaly.json")
MODEL: Final = (MODELS, ANOMALY_FILE)
BELIEVED: Final = 0.5
MOST_FALSE_ALARMS: Final = 0.1


@dg.asset(
    group_name="quality",
    owners=OWNERS,
    kinds={"python", "parquet"},
    deps=[raw_ticks],
    description="One row per gap in the latest chosen session: silence, a break of sequence, or missing trade ids.",
)
def recorded_gaps(workspace: Workspace) -> dg.MaterializeResult[None]:
    settings = workspace.settings
    chosen, _ = chosen_sessions(settings.tape_paths, settings.sessions, settings.session_gap_s, settings.split_ns)
    gaps, health = judge_session(chosen[-1], settings.split_ns)
    workspace.write_table(gaps, GAPS)
    workspace.write_table(health, HEALTH)
    by_kind = dict(gaps.group_by("kind").len().iter_rows())
    return dg.MaterializeResult(
        metadata={
            **bounds(gaps.height, *span([health["ts_ns"].to_numpy()])),
            "gaps_by_kind": counts(by_kind),
            "missing_ids": int(gaps["missing_ids"].sum()),
            "longest_s": float((gaps["to_ns"] - gaps["from_ns"]).max() or 0) / 1e9,  # type: ignore[arg-type]
            "by_kind": picture(counts_by_name(by_kind, "gaps"), "gaps by kind"),
        }
    )


@dg.asset_check(asset=recorded_gaps, blocking=True, description="Great Expectations suite of gaps.")
def gaps_meet_expectations(workspace: Workspace) -> dg.AssetCheckResult:
    gaps = workspace.read_table(GAPS)
    if gaps.is_empty():
        return verdict([], rows=0)
    result = run_suite("gap", gaps.with_columns(lasted_ns=pl.col("to_ns") - pl.col("from_ns")))
    return verdict(result.failed, rows=result.rows, expectations_passed=result.passed)


@dg.asset(
    group_name="quality",
    owners=OWNERS,
    kinds={"polars", "parquet"},
    deps=[recorded_gaps],
    description="One row per source, symbol and five seconds: its defects, and the score the trader would give it.",
)
def source_reliability(workspace: Workspace) -> dg.MaterializeResult[None]:
    table = scored(workspace.read_table(HEALTH))
    workspace.write_table(table, RELIABILITY)
    lowest = table.group_by("source", "symbol").agg(pl.col("score").min()).sort("source", "symbol")
    return dg.MaterializeResult(
        metadata={
            **bounds(table.height, *span([table["ts_ns"].to_numpy()])),
            "lowest": dg.MetadataValue.json({f"{s} {symbol}": score for s, symbol, score in lowest.iter_rows()}),
            "over_time": picture(scores_over_time(table), "reliability over time"),
        }
    )


@dg.asset_check(
    asset=source_reliability, blocking=True, description="Great Expectations suite of reliability: scores and rates."
)
def reliability_meets_expectations(workspace: Workspace) -> dg.AssetCheckResult:
    result = run_suite("reliability", workspace.read_table(RELIABILITY))
    return verdict(result.failed, rows=result.rows, expectations_passed=result.passed)


@dg.asset_check(asset=source_reliability, description="The median score of every source is at least one half.")
def sources_are_believed(workspace: Workspace) -> dg.AssetCheckResult:
    table = workspace.read_table(RELIABILITY)
    medians = table.group_by("source", "symbol").agg(pl.col("score").median()).sort("source", "symbol")
    problems = [f"{source} {symbol}: {score:.2f}" for source, symbol, score in medians.iter_rows() if score < BELIEVED]
    return verdict(problems, sources=medians.height)._replace(severity=dg.AssetCheckSeverity.WARN)


@dg.asset(
    group_name="quality",
    owners=OWNERS,
    kinds={"scikitlearn", "numpy"},
    deps=["training_set"],
    description="One isolation forest of unusual feature rows, as plain arrays; rows above its limit are suspicious.",
)
def anomaly_model(workspace: Workspace) -> dg.MaterializeResult[None]:
    dataset, seed = read_dataset(workspace), workspace.settings.seed
    model = fit_anomaly(dataset, seed)
    path = workspace.write_bytes(to_bytes(model), *MODEL)
    about = describe_anomaly(model, sha256_file(path), dataset, seed)
    workspace.write_json(msgspec.to_builtins(about), *ABOUT)
    scores = {name: watched_scores(model, dataset, split) for name, split in _SPLITS.items()}
    return dg.MaterializeResult(metadata=_told(about, path.stat().st_size, scores))


_SPLITS: Final = {"train": TRAIN, "calibrate": CALIBRATE, "test": TEST}


def _told(about: Anomaly, size: int, scores: dict[str, Any]) -> dict[str, Any]:
    return {
        "rows": about.rows,
        "trees": about.trees,
        "bytes": size,
        "limit": about.limit,
        "quantile": about.quantile,
        "watched_columns": about.watched_columns,
        "false_alarms": about.false_alarms,
        "found": dg.MetadataValue.json(about.found),
        "scores": picture(score_histograms(scores, about.limit), "anomaly scores"),
    }


@dg.asset_check(
    asset=anomaly_model, description="Few rows of the test split are suspicious, and most planted anomalies are found."
)
def anomalies_are_told_apart(workspace: Workspace) -> dg.AssetCheckResult:
    about = msgspec.convert(workspace.read_json(*ABOUT), Anomaly)
    problems = [f"{about.false_alarms:.1%} false alarms"] if about.false_alarms > MOST_FALSE_ALARMS else []
    problems += [f"{share:.0%} of {kind} found" for kind, share in about.found.items() if share < BELIEVED]
    told = verdict(problems, false_alarms=about.false_alarms, found=dg.MetadataValue.json(about.found))
    return told._replace(severity=dg.AssetCheckSeverity.WARN)


def read_anomaly(workspace: Workspace, dataset: Dataset) -> tuple[Anomaly | None, dict[str, bytes]]:
    """What travels with the bundle: the model of this very training set, or nothing where there is none."""
    path = workspace.path(*MODEL)
    if not path.is_file() or not workspace.path(*ABOUT).is_file():
        return None, {}
    about = msgspec.convert(workspace.read_json(*ABOUT), Anomaly)
    if about.data_sha256 != content_sha256(dataset) or about.sha256 != sha256_file(path):
        return None, {}
    data = path.read_bytes()
    from_bytes(data, dataset.schema_id)
    return about, {ANOMALY_FILE: data}
