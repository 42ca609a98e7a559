"""A candidate model as a whole: members fitted, blended, exported, examined on the test window, compared, described.

Pure functions of a dataset and artefacts; the assets keep the files and the pictures.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from features.schema import mirror
from pipelines.dataset import CALIBRATE, TEST, TRAIN, Dataset, content_sha256, windows
from pipelines.ensemble import Blend, apply_blend, fit_blend
from pipelines.evaluate import (
    ABSOLUTE_TOLERANCE,
    evaluate,
    losses,
    open_session,
    parity,
    parity_failures,
    run_graph,
    unusable,
)
from pipelines.export import Parts, build_graph, to_bytes
from pipelines.gate import Champion, Evidence
from pipelines.lstm import Lstm, fit_lstm
from pipelines.members import (
    Fitted,
    Floats,
    Logistic,
    Samples,
    Scaler,
    Trees,
    fit_forest,
    fit_logistic,
    fit_scaler,
    fit_xgboost,
    last_rows,
    samples,
    shares,
    with_mirror,
)
from pipelines.settings import PipelineError
from trader.bundle import (
    MEMBERS,
    MODEL_FILE,
    BundleError,
    Data,
    KnownAnswer,
    Metrics,
    load_manifest,
    version_dir,
    versions,
)

ARTEFACTS: Final[dict[str, type[Any]]] = {"logistic": Logistic, "forest": Trees, "xgboost": Trees, "lstm": Lstm}
LATENCY_RUNS: Final = 300

Say = Callable[[str], None]


class Examination(msgspec.Struct, frozen=True):
    """What is known of an exported graph. ``*_problem`` and ``parity_failures`` are empty where all is well."""

    metrics: Metrics
    parity: dict[str, float]
    parity_failures: tuple[str, ...]
    known_answer: KnownAnswer
    known_answer_problem: str
    score_problem: str
    latency_us: float


def row_samples(dataset: Dataset, split: int) -> Samples:
    """What members without memory see of one split."""
    return last_rows(samples(dataset, split))


def dataset_scaler(dataset: Dataset) -> Scaler:
    """The scaler of the train split and its mirror image, so that both signs of a feature scale alike."""
    return fit_scaler(with_mirror(row_samples(dataset, TRAIN), mirror))


def fit_member(name: str, dataset: Dataset, seed: int, say: Say = lambda line: None) -> Fitted:
    """Fit one of ``MEMBERS`` on the train split; calibrate only tells when to stop.

    Raises
    ------
    PipelineError
        When the train split knows a single outcome.
    """
    if len(np.unique(_outcomes(dataset, TRAIN))) < 2:
        raise PipelineError("every sample of the train split has the same outcome", "use a longer or livelier tape")
    if name == "lstm":
        train, calibrate = samples(dataset, TRAIN), samples(dataset, CALIBRATE)
        return fit_lstm(train, calibrate, dataset_scaler(dataset), seed, mirror, progress=say)
    train = with_mirror(row_samples(dataset, TRAIN), mirror)
    if name == "logistic":
        return fit_logistic(train, fit_scaler(train), seed)
    if name == "forest":
        return fit_forest(train, seed)
    return fit_xgboost(train, row_samples(dataset, CALIBRATE), seed)


def split_of(dataset: Dataset, values: npt.NDArray[Any], split: int) -> npt.NDArray[Any]:
    """From values of the evaluated samples (calibrate and test, in dataset order) those of one split, axis -2."""
    return values[..., dataset.split[dataset.split >= CALIBRATE] == split, :]


def blend_members(dataset: Dataset, native: Floats, label_k: int) -> Blend:
    """Fit the blend on the calibrate split; ``native`` [M, n, 3] answers the evaluated samples."""
    overlap = max(1, round(label_k * len(dataset.ends) / len(dataset.rows)))
    return fit_blend(split_of(dataset, native, CALIBRATE).astype(np.float64), _outcomes(dataset, CALIBRATE), overlap)


def _outcomes(dataset: Dataset, split: int) -> npt.NDArray[np.int8]:
    return dataset.y[dataset.split == split]


def export(dataset: Dataset, artefacts: Mapping[str, Any], blend: Blend) -> bytes:
    """The merged graph's bytes."""
    parts = Parts(scaler=dataset_scaler(dataset), blend=blend, window=dataset.window, **artefacts)
    return to_bytes(build_graph(parts, dataset.schema_id))


def score_split(model: bytes, dataset: Dataset, split: int) -> tuple[Floats, Floats]:
    """The graph's ``proba`` [n, 3] and ``members`` [n, M, 3] on one split."""
    return run_graph(open_session(model, threads=2), windows(dataset, np.flatnonzero(dataset.split == split)))


def examine(model: bytes, dataset: Dataset, native: Floats, blend: Blend) -> Examination:
    """Parity on the calibrate split, metrics on the test split, one known answer, and the time of one row."""
    ours, members = score_split(model, dataset, CALIBRATE)
    blended, calibrated = apply_blend(blend, split_of(dataset, native, CALIBRATE))
    expected = np.moveaxis(calibrated, 0, 1)
    tested, tested_members = score_split(model, dataset, TEST)
    answer, problem = known_answer(model, dataset, blended)
    return Examination(
        metrics=evaluate(
            tested,
            tested_members,
            _outcomes(dataset, TEST),
            shares(_outcomes(dataset, TRAIN)),
            shares(_outcomes(dataset, CALIBRATE)),
            blend.weights,
        ),
        parity=parity(members, expected) | {"proba": float(np.abs(ours - blended).max())},
        parity_failures=tuple(parity_failures(members, expected)),
        known_answer=answer,
        known_answer_problem=problem,
        score_problem=unusable(np.concatenate([ours, tested])),
        latency_us=latency_us(model, dataset),
    )


def known_answer(
    model: bytes, dataset: Dataset, expected: npt.NDArray[np.floating] | None = None
) -> tuple[KnownAnswer, str]:
    """Input and answer for the calibrate split's middle window, and what is wrong with it ("" when nothing is).

    The answer is given alone by a fresh session, and must equal that within a batch and ``expected`` [n, 3].
    """
    idx = np.flatnonzero(dataset.split == CALIBRATE)
    middle = len(idx) // 2
    x = windows(dataset, idx[middle : middle + 1])
    alone = open_session(model).run(["proba"], {"x": x})[0][0]
    within = open_session(model).run(["proba"], {"x": windows(dataset, idx[max(0, middle - 7) : middle + 1])})[0][-1]
    answer = KnownAnswer(
        tuple(tuple(tuple(map(float, row)) for row in one) for one in x), tuple(float(p) for p in alone)
    )
    others = [within] if expected is None else [within, expected[middle]]
    diff = float(np.abs(np.stack(others) - alone).max())
    return answer, "" if diff <= ABSOLUTE_TOLERANCE else f"one window alone differs by {diff:.2g} from its batch"


def latency_us(model: bytes, dataset: Dataset) -> float:
    """Median microseconds of one row in ONNX Runtime on one thread."""
    session, x = open_session(model), windows(dataset, np.array([len(dataset.ends) - 1]))
    took = []
    for _ in range(LATENCY_RUNS):
        start = time.perf_counter_ns()
        session.run(["proba"], {"x": x})
        took.append(time.perf_counter_ns() - start)
    return float(np.median(took)) / 1e3


def fitted_until_ns(dataset: Dataset) -> int:
    """First instant that fitting knows nothing of: every label it used matured before."""
    return int(dataset.end_ns[dataset.split < TEST].max()) + 1


def describe_data(dataset: Dataset, tape: str) -> Data:
    """The manifest's words on the data."""
    return Data(
        tape=tape,
        first_ts_ns=int(dataset.ts_ns.min()),
        last_ts_ns=int(dataset.ts_ns.max()),
        fitted_until_ns=fitted_until_ns(dataset),
        rows=len(dataset.y),
        symbols=dataset.symbols,
        sha256=content_sha256(dataset),
    )


def champion_on(dataset: Dataset, repository: Path, name: str) -> Champion | None:
    """The newest promoted, unbroken version of the same schema on the test split; None when there is none."""
    for version in reversed(versions(repository, name)):
        folder = version_dir(repository, name, version)
        try:
            manifest = load_manifest(folder, dataset.schema_id)
        except BundleError:
            continue
        if manifest.gate.promoted:
            proba, _ = score_split((folder / MODEL_FILE).read_bytes(), dataset, TEST)
            said = losses(proba, _outcomes(dataset, TEST))
            return Champion(version, manifest.sha256[MODEL_FILE], _fair(said, dataset, manifest.data))
    return None


def _fair(said: npt.NDArray[np.float64], dataset: Dataset, fitted: Data) -> npt.NDArray[np.float64]:
    """Losses with NaN where the champion was fitted on that very instant of the same symbols."""
    ts_ns = dataset.ts_ns[dataset.split == TEST]
    known = (ts_ns >= fitted.first_ts_ns) & (ts_ns < fitted.fitted_until_ns)
    shared = np.isin(np.array(dataset.symbols), np.array(fitted.symbols))[dataset.symbol_id[dataset.split == TEST]]
    return np.where(known & shared, np.nan, said)


def gather_evidence(
    dataset: Dataset,
    proba: Floats,
    examined: Examination,
    sha256: str,
    int8_reason: str,
    champion: Champion | None,
    schema_id: str,
) -> Evidence:
    """All that the gate weighs; ``proba`` [n, 3] are the candidate's scores of the test split."""
    y = _outcomes(dataset, TEST)
    priors = [shares(_outcomes(dataset, split)) for split in (TRAIN, CALIBRATE)]
    baselines = [losses(np.broadcast_to(prior, proba.shape), y) for prior in priors]
    return Evidence(
        schema_id=dataset.schema_id,
        expected_schema_id=schema_id,
        sha256=sha256,
        parity_failures=examined.parity_failures,
        known_answer_problem=examined.known_answer_problem,
        score_problem=examined.score_problem,
        ts_ns=dataset.ts_ns[dataset.split == TEST],
        losses=losses(proba, y),
        baseline=min(baselines, key=lambda loss: float(loss.mean())),
        champion=champion,
        int8_reason=int8_reason,
        latency_us=examined.latency_us,
    )


def in_member_order(values: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Stack per-member arrays in ``MEMBERS`` order."""
    return np.stack([np.asarray(values[name]) for name in MEMBERS])
