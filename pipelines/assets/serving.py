"""Group ``serving``: the merged graph and its int8 sibling, drift, the promotion verdict, and what Triton reads."""

from typing import Final

import dagster as dg
import msgspec
import numpy as np
import pandas as pd

from features.schema import NAMES, SCHEMA_ID
from pipelines import feast_store, model_plots, storage
from pipelines.asset_metadata import picture, verdict
from pipelines.assets.quality import anomaly_model, read_anomaly
from pipelines.assets.training import (
    MODELS,
    OWNERS,
    ensemble,
    metric_metadata,
    read_blend,
    read_dataset,
    read_members,
)
from pipelines.candidate import Examination, champion_on, examine, export, gather_evidence, score_split
from pipelines.dataset import CALIBRATE, TEST, TRAIN, Dataset, windows
from pipelines.drift import DRIFT_SHARE, measure_drift, save_report
from pipelines.evaluate import open_session, run_graph
from pipelines.gate import judge
from pipelines.manifest import Candidate, build_manifests, int8_name
from pipelines.publish import publish
from pipelines.quantize import calibration_rows, describe_calibration, quantize
from pipelines.registry import published
from pipelines.resources import Workspace
from pipelines.settings import PipelineError
from trader.bundle import CLASSES, Gate, Manifest, read_manifest, sha256_file

FP32: Final = (MODELS, "fp32.onnx")
INT8: Final = (MODELS, "int8.onnx")
CANDIDATE: Final = (MODELS, "candidate.json")
VERDICT: Final = (MODELS, "verdict.json")
DRIFT_ROWS: Final = 5_000


@dg.asset(
    group_name="serving",
    owners=OWNERS,
    kinds={"onnx", "onnxruntime"},
    deps=[ensemble],
    description="One merged ONNX graph of scaler, members, calibration and blend, in fp32 and with int8 dense parts.",
)
def onnx_models(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    dataset, blend = read_dataset(workspace), read_blend(workspace)
    artefacts, native = read_members(workspace, dataset)
    model = export(dataset, artefacts, blend)
    workspace.write_bytes(model, *FP32)
    examined = examine(model, dataset, native, blend)
    context.log.info(f"fp32 graph of {len(model):,} bytes, {examined.latency_us:.0f} µs a row; quantizing")
    candidate = _with_int8(workspace, dataset, model, examined)
    workspace.write_json(msgspec.to_builtins(candidate), *CANDIDATE)
    proba, _ = score_split(model, dataset, TEST)
    diagram = model_plots.reliability_diagram(proba, dataset.y[dataset.split == TEST])
    return dg.MaterializeResult(
        metadata={
            **metric_metadata(examined.metrics),
            "sha256": candidate.sha256,
            "schema_id": dataset.schema_id,
            "bytes": len(model),
            "latency_us": examined.latency_us,
            "path": dg.MetadataValue.path(str(workspace.path(*FP32))),
            "reliability": picture(diagram, "reliability of the served graph"),
        }
    )


def _with_int8(workspace: Workspace, dataset: Dataset, model: bytes, examined: Examination) -> Candidate:
    ranges = calibration_rows(windows(dataset, np.flatnonzero(dataset.split == CALIBRATE)))
    tested = np.flatnonzero(dataset.split == TEST)
    quantized = quantize(model, ranges, windows(dataset, tested), dataset.y[tested])
    workspace.write_bytes(quantized.model, *INT8)
    _, native = read_members(workspace, dataset)
    return Candidate(
        sha256=sha256_file(workspace.path(*FP32)),
        examined=examined,
        calibration=describe_calibration(ranges),
        int8_sha256=sha256_file(workspace.path(*INT8)),
        int8_nodes=quantized.nodes,
        int8_diff=quantized.max_abs_diff,
        int8_examined=examine(quantized.model, dataset, native, read_blend(workspace)),
        int8_reason=quantized.refused,
    )


def read_candidate(workspace: Workspace) -> Candidate:
    """What ``onnx_models`` wrote beside the graphs.

    Raises
    ------
    PipelineError
        When it is absent, or speaks of another graph than the one that lies beside it.
    """
    candidate = msgspec.convert(workspace.read_json(*CANDIDATE), Candidate)
    path = workspace.path(*FP32)
    if not path.is_file() or sha256_file(path) != candidate.sha256:
        raise PipelineError(f"{path}: not the graph that candidate.json describes", "materialize onnx_models again")
    return candidate


@dg.asset_check(
    asset=onnx_models,
    description="Each member in the graph answers what the library that trained it answers, within 1e-5 + 1e-4·|y|.",
)
def parity(workspace: Workspace) -> dg.AssetCheckResult:
    examined = read_candidate(workspace).examined
    failures = [f"{name} differs by {examined.parity[name]:.2g}" for name in examined.parity_failures]
    return verdict(failures, max_abs_diff=dg.MetadataValue.json(examined.parity))


@dg.asset_check(
    asset=onnx_models,
    description="One recorded window gives the same answer alone, in a batch, and from the members themselves.",
)
def known_answer(workspace: Workspace) -> dg.AssetCheckResult:
    examined = read_candidate(workspace).examined
    proba = dict(zip(CLASSES, examined.known_answer.proba, strict=True))
    problems = [problem for problem in (examined.known_answer_problem, examined.score_problem) if problem]
    return verdict(problems, proba=dg.MetadataValue.json(proba))


@dg.asset_check(
    asset=onnx_models,
    description="Dense nodes really are int8, their outputs differ from fp32, and the log loss stays within 1 %.",
)
def quantization(workspace: Workspace) -> dg.AssetCheckResult:
    candidate = read_candidate(workspace)
    found = verdict(
        [candidate.int8_reason] if candidate.int8_reason else [],
        quantized_nodes=candidate.int8_nodes,
        max_abs_diff=candidate.int8_diff,
        logloss=candidate.int8_examined.metrics.logloss,
        fp32_logloss=candidate.examined.metrics.logloss,
    )
    return found._replace(severity=dg.AssetCheckSeverity.WARN)


@dg.asset(
    group_name="serving",
    owners=OWNERS,
    kinds={"evidently"},
    deps=[onnx_models],
    description="Population stability of features and predictions: the train window against the latest, by Evidently.",
)
def drift_report(workspace: Workspace) -> dg.MaterializeResult[None]:
    dataset, model = read_dataset(workspace), workspace.path(*FP32).read_bytes()
    reference, current = (_drift_frame(dataset, model, split) for split in (TRAIN, TEST))
    drift, report = measure_drift(reference, current)
    html = workspace.path("drift", "report.html")
    save_report(report, html, workspace.path("drift", "report.json"))
    return dg.MaterializeResult(
        metadata={
            "rows": len(current),
            "reference_rows": len(reference),
            "share_drifted": drift.share,
            "columns_drifted": ", ".join(drift.drifted) or "none",
            "dataset_drift": bool(drift.share >= DRIFT_SHARE),
            "psi": dg.MetadataValue.json(drift.psi),
            "report": dg.MetadataValue.path(str(html)),
            "psi_by_column": picture(model_plots.psi_bars(drift), "PSI by column"),
        }
    )


def _drift_frame(dataset: Dataset, model: bytes, split: int) -> pd.DataFrame:
    """Last rows and predictions of one split, thinned evenly."""
    idx = np.flatnonzero(dataset.split == split)
    idx = idx[np.arange(min(DRIFT_ROWS, len(idx))) * len(idx) // min(DRIFT_ROWS, len(idx))]
    x = windows(dataset, idx)
    proba, _ = run_graph(open_session(model, threads=2), x)
    columns = [*NAMES, *(f"proba_{name}" for name in CLASSES)]
    return pd.DataFrame(np.hstack([x[:, -1], proba]).astype(np.float64), columns=columns)


@dg.asset(
    group_name="serving",
    owners=OWNERS,
    kinds={"onnxruntime", "json"},
    deps=[onnx_models, drift_report],
    description="One verdict on the candidate, with every reason: parity, known answer, schema, baseline, champion.",
)
def promotion_gate(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    settings, dataset, candidate = workspace.settings, read_dataset(workspace), read_candidate(workspace)
    proba, _ = score_split(workspace.path(*FP32).read_bytes(), dataset, TEST)
    champion = champion_on(dataset, settings.model_repository_path, settings.model_name)
    evidence = gather_evidence(
        dataset, proba, candidate.examined, candidate.sha256, candidate.int8_reason, champion, SCHEMA_ID
    )
    gate = judge(evidence)
    workspace.write_json({"sha256": candidate.sha256, "gate": msgspec.to_builtins(gate)}, *VERDICT)
    context.log.info(f"promoted: {gate.promoted}; " + "; ".join(gate.reasons))
    return dg.MaterializeResult(
        metadata={
            "promoted": gate.promoted,
            "rows": len(proba),
            "champion_version": "none" if champion is None else champion.version,
            "reasons": dg.MetadataValue.json(list(gate.reasons)),
            "verdict": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in gate.reasons)),
        }
    )


def read_verdict(workspace: Workspace, candidate: Candidate) -> Gate:
    """The verdict on exactly this candidate."""
    found = workspace.read_json(*VERDICT)
    if found["sha256"] != candidate.sha256:
        raise PipelineError(f"{workspace.path(*VERDICT)}: judges another graph", "materialize promotion_gate again")
    return msgspec.convert(found["gate"], Gate)


@dg.asset(
    group_name="serving",
    owners=OWNERS,
    kinds={"triton", "onnx"},
    deps=[promotion_gate, anomaly_model, "feature_store"],
    description="A promoted candidate as a new version in the model repository; a refused one leaves the champion.",
)
def published_bundle(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    settings, candidate = workspace.settings, read_candidate(workspace)
    gate = read_verdict(workspace, candidate)
    if not gate.promoted and not _may_shadow(workspace):
        context.log.info("refused: the champion stays")
        return dg.MaterializeResult(
            metadata={
                "published": False,
                "promoted": False,
                "name": settings.model_name,
                "reasons": list(gate.reasons),
                "rows": candidate.examined.metrics.rows,
            }
        )
    dataset = read_dataset(workspace)
    anomaly, beside = read_anomaly(workspace, dataset)
    fp32, int8 = build_manifests(settings, dataset, candidate, gate, anomaly)
    if int8 is not None:
        publish(settings.model_repository_path, int8, workspace.path(*INT8).read_bytes(), beside)
    folder = publish(settings.model_repository_path, fp32, workspace.path(*FP32).read_bytes(), beside)
    version = int(folder.name)
    published(settings.model_repository_path, read_manifest(folder))
    _record(workspace, fp32, candidate, version, context.run.run_id)
    registry = workspace.path("feature_store", "registry.db")
    service = (
        feast_store.register_version(registry, fp32.name, version, candidate.sha256) if registry.exists() else "none"
    )
    return dg.MaterializeResult(
        metadata={
            "published": True,
            "name": fp32.name,
            "version": version,
            "feature_service": service,
            "promoted": gate.promoted,
            "reasons": list(gate.reasons),
            "sha256": candidate.sha256,
            "schema_id": fp32.schema_id,
            "int8": candidate.int8_reason or int8_name(fp32.name),
            "anomaly_model": anomaly is not None,
            "path": dg.MetadataValue.path(str(folder)),
            "rows": fp32.data.rows,
        }
    )


def _may_shadow(workspace: Workspace) -> bool:
    """A refused candidate may be published for shadowing only where nothing promoted can serve."""
    settings = workspace.settings
    return settings.allow_shadow and (
        champion_on(read_dataset(workspace), settings.model_repository_path, settings.model_name) is None
    )


def _record(workspace: Workspace, manifest: Manifest, candidate: Candidate, version: int, run_id: str) -> None:
    store = storage.open_store(storage.database_url(workspace.settings))
    try:
        storage.record_model(
            store,
            storage.ModelVersion(
                name=manifest.name,
                version=version,
                sha256=candidate.sha256,
                schema_id=manifest.schema_id,
                data_sha256=manifest.data.sha256,
                code_version=manifest.code_version,
                state=manifest.state,
                promoted=manifest.gate.promoted,
                reasons=list(manifest.gate.reasons),
                metrics=msgspec.to_builtins(manifest.metrics),
                run_id=run_id,
                created_ns=manifest.created_ns,
            ),
        )
    finally:
        store.dispose()
