"""The demo's figures in one nested dict, and its report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from features.schema import COUNT, SCHEMA_ID
from pipelines.report import bars_figure, calibration_figure, run_figures, verdict, write_report
from pipelines.run import PipelineResult
from pipelines.run_observer import RunObserver
from pipelines.run_summary import (
    BatchRows,
    batch_equals_stream,
    latency_figures,
    logloss,
    replay_figures,
    trader_figures,
)
from trader.bundle import Manifest
from trader.replay import ReplayResult

if TYPE_CHECKING:
    from infra.cli.demo_stages import Input

Outcomes = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


def build_summary(
    source: "Input",
    pipeline: PipelineResult,
    manifest: Manifest,
    triton_version: str,
    known_answer_diff: float,
    result: ReplayResult,
    observed: RunObserver,
    traded: dict[str, Any],
    batch: dict[str, BatchRows],
    scored: Outcomes,
) -> dict[str, Any]:
    """Everything a reader of ``summary.json`` is promised."""
    return {
        "input": _input(source),
        "quality": _quality(pipeline),
        "features": {
            "count": COUNT,
            "schema_id": SCHEMA_ID,
            "batch_equals_stream": _checked(pipeline, "batch_equals_stream") and batch_equals_stream(batch, observed),
            "rows_compared": len(observed.rows),
        },
        "model": _model(manifest, scored),
        "triton": {
            "server_version": triton_version,
            "requests": traded["requests"],
            "failures": traded["failures"],
            "fallbacks": traded["fallbacks"],
            "known_answer_max_abs_diff": known_answer_diff,
        },
        "trader": trader_figures(result, observed),
        "replay": replay_figures(result),
        "latency_us": latency_figures(observed),
    }


def _input(source: "Input") -> dict[str, Any]:
    session = source.session
    return {
        "source": source.source,
        "tape": str(source.tape),
        "venue": session.venue,
        "symbols": list(session.symbols),
        "frames": session.frames,
        "first_ts": session.first_ns,
        "last_ts": session.last_ns,
        "unseen_from_ts": source.split_ns,
        "earlier_sessions_left_out": source.earlier_sessions,
    }


def _quality(pipeline: PipelineResult) -> dict[str, Any]:
    clean = pipeline.assets["clean_ticks"]
    suites = [check for check in pipeline.checks if check.asset == "clean_ticks"]
    return {
        "rows": clean["rows"],
        "rejected": clean["rejected"],
        "checks": {check.name: check.passed for check in suites},
        "checks_passed": bool(suites) and all(check.passed for check in suites),
    }


def _checked(pipeline: PipelineResult, name: str) -> bool:
    found = [check.passed for check in pipeline.checks if check.name == name]
    return bool(found) and all(found)


def _model(manifest: Manifest, scored: Outcomes) -> dict[str, Any]:
    metrics = manifest.metrics
    return {
        "name": manifest.name,
        "version": manifest.version,
        "sha256": manifest.sha256["model.onnx"],
        "schema_id": manifest.schema_id,
        "promoted": manifest.gate.promoted,
        "reasons": list(manifest.gate.reasons),
        "logloss": metrics.logloss,
        "baseline_logloss": metrics.baseline_logloss,
        "members": metrics.members,
        "weights": metrics.weights,
        "int8": manifest.int8_reason or (manifest.int8.name if manifest.int8 is not None else None),
        "live_logloss": logloss(*scored),
        "live_outcomes": len(scored[1]),
    }


def write_demo_report(
    path: Path,
    summary: dict[str, Any],
    pipeline: PipelineResult,
    manifest: Manifest,
    observed: RunObserver,
    scored: Outcomes,
) -> None:
    """The offline HTML report of one demo run."""
    psi = pipeline.assets.get("drift_report", {}).get("psi", {})
    worst = dict(sorted(psi.items(), key=lambda item: -item[1])[:12])
    figures = [
        *run_figures(observed),
        ("Calibration of the live scores", "Unseen part; the diagonal is perfect.", calibration_figure(*scored)),
        ("Member weights", "Fitted on the calibrate split.", bars_figure(manifest.metrics.weights, "weight")),
        ("Drift", "Train window against the latest; above 0.2 is drift.", bars_figure(worst, "PSI")),
    ]
    write_report(path, summary, figures, verdict(summary, observed))
