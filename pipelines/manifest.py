"""What a candidate's manifests say, in both precisions."""

import msgspec

from pipelines.baselines import fit_baselines
from pipelines.candidate import Examination, describe_data
from pipelines.dataset import Dataset
from pipelines.publish import code_version, next_version, now_ns
from pipelines.settings import PipelineSettings
from trader.bundle import MODEL_FILE, Anomaly, Calibration, Gate, Int8, Label, Manifest


class Candidate(msgspec.Struct, frozen=True):
    """What is known of two graphs before anyone decides. ``int8_reason`` is "" where int8 may be published."""

    sha256: str
    examined: Examination
    calibration: Calibration
    int8_sha256: str
    int8_nodes: int
    int8_diff: float
    int8_examined: Examination
    int8_reason: str


def int8_name(name: str) -> str:
    """Name under which the quantized sibling of a model is published."""
    return f"{name}_int8"


def build_manifests(
    settings: PipelineSettings, dataset: Dataset, candidate: Candidate, gate: Gate, anomaly: Anomaly | None = None
) -> tuple[Manifest, Manifest | None]:
    """Manifests of fp32 and int8 (None when refused), both under the next version that neither name has used."""
    name, examined = settings.model_name, candidate.examined
    fp32 = Manifest(
        name=name,
        version=next_version(settings.model_repository_path, name, int8_name(name)),
        schema_id=dataset.schema_id,
        window=dataset.window,
        features=dataset.rows.shape[1],
        sha256={MODEL_FILE: candidate.sha256},
        state="onnx_only",
        state_reason="the ONNX is what is served; an engine is built on the host that has the GPU",
        data=describe_data(dataset, ", ".join(path.name for path in settings.tape_paths)),
        calibration=candidate.calibration,
        parity=examined.parity,
        metrics=examined.metrics,
        gate=gate,
        known_answer=examined.known_answer,
        label=Label("nl", settings.label_k, settings.label_latency_ms),
        created_ns=now_ns(),
        code_version=code_version(),
        int8=_int8(candidate, name),
        int8_reason=candidate.int8_reason,
        anomaly=anomaly,
        baselines=fit_baselines(dataset),
    )
    return fp32, None if candidate.int8_reason else _int8_manifest(fp32, candidate)


def _int8(candidate: Candidate, name: str) -> Int8 | None:
    if candidate.int8_reason:
        return None
    return Int8(
        name=int8_name(name),
        sha256=candidate.int8_sha256,
        quantized_nodes=candidate.int8_nodes,
        max_abs_diff=candidate.int8_diff,
        logloss=candidate.int8_examined.metrics.logloss,
    )


def _int8_manifest(fp32: Manifest, candidate: Candidate) -> Manifest:
    """Its own digest, figures, parity (quantization error included) and known answer."""
    return msgspec.structs.replace(
        fp32,
        name=int8_name(fp32.name),
        sha256={MODEL_FILE: candidate.int8_sha256},
        parity=candidate.int8_examined.parity,
        metrics=candidate.int8_examined.metrics,
        known_answer=candidate.int8_examined.known_answer,
    )
