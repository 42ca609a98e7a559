"""A model bundle on disk: ``model_repository/<name>/<version>/{model.onnx, manifest.json}``.

The manifest says what the graph was trained on, how well it did, and what it answers to one recorded input, so that
whoever loads it (publisher, Triton launcher, trader) can prove that it is whole and of the schema it expects. A version
becomes visible by one rename: a folder whose name is an integer is complete, unless someone changed it afterwards.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from market.errors import CryptoScalpError
from trader.recalibration import RecalibrationParams

MODEL_FILE: Final = "model.onnx"
ANOMALY_FILE: Final = "anomaly.npz"
MANIFEST_FILE: Final = "manifest.json"
MEMBERS: Final = ("logistic", "forest", "xgboost", "lstm")
CLASSES: Final = ("down", "flat", "up")
STATES: Final = ("onnx_only", "engine_built", "engine_skipped")


class BundleError(CryptoScalpError):
    """A model bundle is missing, incomplete, altered, or of another feature schema."""


class Int8(msgspec.Struct, frozen=True):
    """The quantized sibling. ``max_abs_diff`` is its largest probability difference to fp32 on the test split."""

    name: str
    sha256: str
    quantized_nodes: int
    max_abs_diff: float
    logloss: float


class Data(msgspec.Struct, frozen=True):
    """What it was fitted and judged on. Rows at or after ``fitted_until_ns`` (event clock) were never fitted on."""

    tape: str
    first_ts_ns: int
    last_ts_ns: int
    fitted_until_ns: int
    rows: int
    symbols: tuple[str, ...]
    sha256: str


class Calibration(msgspec.Struct, frozen=True):
    """The rows that calibrated blend and int8 ranges, by count and hash of their float32 bytes."""

    rows: int
    sha256: str


class Metrics(msgspec.Struct, frozen=True):
    """Out of sample, on the test split. ``accuracy_p70``: of the scores with p(down) or p(up) above 0.7 (their share is
    ``coverage_p70``), how many got the direction right, flats counted as errors; None where there is no such score.

    ``baseline_logloss`` always answers the class shares of the train split; ``recent_prior_logloss`` those of the
    calibrate split. ``members`` are log losses and ``weights`` shares of the blend, by member name.
    """

    rows: int
    logloss: float
    baseline_logloss: float
    recent_prior_logloss: float
    brier: float
    ece: float
    accuracy_p70: float | None
    coverage_p70: float
    members: dict[str, float]
    weights: dict[str, float]


class Gate(msgspec.Struct, frozen=True):
    """The promotion verdict. A bundle with ``promoted`` False may be shadowed, never traded."""

    promoted: bool
    reasons: tuple[str, ...]


class KnownAnswer(msgspec.Struct, frozen=True):
    """One recorded input ``x`` [1][window][features] and what ONNX Runtime answered: ``proba`` [3]."""

    x: tuple[tuple[tuple[float, ...], ...], ...]
    proba: tuple[float, ...]


class Label(msgspec.Struct, frozen=True):
    """What the probabilities speak of: NL``k`` is the mid's direction ``k`` top-of-book quotes after ``latency_ms``."""

    kind: str
    k: int
    latency_ms: float


class Anomaly(msgspec.Struct, frozen=True):
    """The anomaly model that travels along. Its ``limit`` is the ``quantile`` of the calibrate split's scores.

    ``data_sha256`` names the training set, ``rows`` those it grew on. Shares of rows: ``false_alarms`` of the untouched
    test split, ``found`` of the anomalies planted there, by kind.
    """

    sha256: str
    data_sha256: str
    trees: int
    rows: int
    quantile: float
    limit: float
    watched_columns: int
    false_alarms: float
    found: dict[str, float]


class Baselines(msgspec.Struct, frozen=True):
    """What any model must beat, fitted on the same train split: class shares ``prior`` [3], and a logistic regression
    on the last ``feature`` alone, ``softmax(weight * value + bias)``, both [3].
    """

    prior: tuple[float, float, float]
    feature: str
    weight: tuple[float, float, float]
    bias: tuple[float, float, float]


class Manifest(msgspec.Struct, frozen=True):
    """``manifest.json``. ``window`` and ``features`` are the input's T and F; ``sha256`` maps file names to digests.

    ``int8`` is None where no quantized sibling was published; ``int8_reason`` then says why. ``state_reason`` belongs
    to ``state`` (``onnx_only``, ``engine_built``, ``engine_skipped``). ``parity`` holds, per member, the largest
    absolute difference between the graph and the library that trained it. ``anomaly`` is None where no anomaly model
    travels along. ``recalibration`` is how scores follow what happened lately (``trader.recalibration``).
    """

    name: str
    version: int
    schema_id: str
    window: int
    features: int
    sha256: dict[str, str]
    state: str
    state_reason: str
    data: Data
    calibration: Calibration
    parity: dict[str, float]
    metrics: Metrics
    gate: Gate
    known_answer: KnownAnswer
    label: Label
    created_ns: int
    code_version: str
    int8: Int8 | None = None
    int8_reason: str = ""
    anomaly: Anomaly | None = None
    baselines: Baselines | None = None
    recalibration: RecalibrationParams = RecalibrationParams()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions(repository: Path, name: str) -> list[int]:
    """Published versions of a model, ascending; empty when there is none. Staging folders are not versions."""
    folder = Path(repository) / name
    if not folder.is_dir():
        return []
    return sorted(int(child.name) for child in folder.iterdir() if child.is_dir() and child.name.isdecimal())


def latest_version(repository: Path, name: str) -> int:
    """The highest published version of a model.

    Raises
    ------
    BundleError
        When no version is published.
    """
    found = versions(repository, name)
    if not found:
        raise BundleError(f"{repository}/{name}: no published version", "run `cryptoscalp train` or `make demo` first")
    return found[-1]


def version_dir(repository: Path, name: str, version: int) -> Path:
    """Folder of one version, whether it exists or not."""
    return Path(repository) / name / str(version)


def load_manifest(folder: Path, schema_id: str | None = None) -> Manifest:
    """Read and verify one version: every named file present and unaltered, the schema ours, the known answer sane.

    Parameters
    ----------
    folder
        ``model_repository/<name>/<version>``.
    schema_id
        The schema the caller computes features by; None stands for ``features.schema.SCHEMA_ID``.

    Raises
    ------
    BundleError
        Naming the file and what is wrong with it.
    """
    manifest = read_manifest(Path(folder))
    _check_files(Path(folder), manifest)
    _check_schema(Path(folder), manifest, _own_schema_id() if schema_id is None else schema_id)
    _check_known_answer(Path(folder), manifest)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Parse ``manifest.json`` alone, verifying nothing else. Raises BundleError when it is missing or malformed."""
    path = folder / MANIFEST_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BundleError(
            f"{path}: no such file", "publish the model again, or point to a version that exists"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{path}: unreadable manifest ({error})", "publish the model again") from None


def _own_schema_id() -> str:
    from features.schema import SCHEMA_ID

    return SCHEMA_ID


def _check_files(folder: Path, manifest: Manifest) -> None:
    if MODEL_FILE not in manifest.sha256:
        raise BundleError(f"{folder / MANIFEST_FILE}: sha256 names no {MODEL_FILE}", "publish the model again")
    for name, expected in manifest.sha256.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path}: no such file", "publish the model again")
        found = sha256_file(path)
        if found != expected:
            raise BundleError(
                f"{path}: sha256 is {found[:12]}…, the manifest says {expected[:12]}…",
                "the file was altered after publishing: publish again or go back to an earlier version",
            )


def _check_schema(folder: Path, manifest: Manifest, schema_id: str) -> None:
    if manifest.schema_id != schema_id:
        raise BundleError(
            f"{folder / MANIFEST_FILE}: schema_id is {manifest.schema_id!r}, this code computes {schema_id!r}",
            "retrain with this code, or run the code version that the manifest names",
        )


def _check_known_answer(folder: Path, manifest: Manifest) -> None:
    answer, x = manifest.known_answer.proba, manifest.known_answer.x
    if not is_distribution(answer):
        raise BundleError(f"{folder / MANIFEST_FILE}: known_answer.proba is {list(answer)}", "publish the model again")
    rows = x[0] if len(x) == 1 else ()
    if len(rows) != manifest.window or any(len(row) != manifest.features for row in rows):
        raise BundleError(
            f"{folder / MANIFEST_FILE}: known_answer.x is not [1][{manifest.window}][{manifest.features}]",
            "publish the model again",
        )


def is_distribution(proba: Sequence[float], tolerance: float = 1e-4) -> bool:
    """Whether three numbers are class probabilities: finite, within [0, 1], summing to 1. NaN is never one.

    >>> is_distribution((0.2, 0.5, 0.3)), is_distribution((0.2, 0.5, float("nan"))), is_distribution((0.5, 0.5))
    (True, False, False)
    """
    whole = len(proba) == len(CLASSES) and all(math.isfinite(p) and -tolerance <= p <= 1 + tolerance for p in proba)
    return whole and abs(sum(proba) - 1.0) <= tolerance
