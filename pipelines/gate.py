"""The promotion gate: every criterion judged, every verdict with its reason, and one failure keeps the champion.

Log losses of neighbouring ticks are far from independent, so differences are judged on blocks of absolute time that all
symbols share: the block totals are treated as a cluster sample (Cochran 1977, ratio estimate), the bound is one-sided.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from trader.bundle import Gate

Doubles = npt.NDArray[np.float64]

BLOCKS: Final = 20
CONFIDENCE: Final = 0.95
LATENCY_BUDGET_US: Final = 5_000.0
FEWEST_ROWS: Final = 200


class Difference(msgspec.Struct, frozen=True):
    """Mean of paired differences, its one-sided 95 % upper bound (NaN with fewer than 2 blocks), blocks of time."""

    mean: float
    upper: float
    blocks: int


class Champion(msgspec.Struct, frozen=True):
    """The serving model of the same schema on the candidate's test window.

    ``losses`` [n] is NaN where it was fitted on that very instant.
    """

    version: int
    sha256: str
    losses: Doubles


class Evidence(msgspec.Struct, frozen=True):
    """All that is known of a candidate. Texts that describe a problem are "" where there is none.

    ``losses`` and ``baseline`` are log losses per test sample [n], ``ts_ns`` their times. ``latency_us`` is the median
    of one row in ONNX Runtime: the median, because a busy machine's tail says nothing about the graph.
    """

    schema_id: str
    expected_schema_id: str
    sha256: str
    parity_failures: tuple[str, ...]
    known_answer_problem: str
    score_problem: str
    ts_ns: npt.NDArray[np.int64]
    losses: Doubles
    baseline: Doubles
    champion: Champion | None
    int8_reason: str
    latency_us: float


class Criterion(msgspec.Struct, frozen=True):
    """One verdict. A criterion that does not block is told, and changes nothing."""

    name: str
    passed: bool
    words: str
    blocking: bool = True

    def __str__(self) -> str:
        mark = "ok" if self.passed else ("refused" if self.blocking else "note")
        return f"{mark}: {self.name}: {self.words}"


def judge(evidence: Evidence) -> Gate:
    """Promoted only when every blocking criterion passes; the reasons name all of them, failures first."""
    criteria = [
        _schema(evidence),
        _parity(evidence),
        _said("known answer", evidence.known_answer_problem, "reproduced"),
        _said("scores", evidence.score_problem, "finite probabilities that vary"),
        _latency(evidence),
        _against_baseline(evidence),
        _against_champion(evidence),
        Criterion("int8", not evidence.int8_reason, evidence.int8_reason or "within its budget", blocking=False),
    ]
    failed = [c for c in criteria if not c.passed]
    promoted = not any(c.blocking for c in failed)
    return Gate(promoted, tuple(str(c) for c in failed + [c for c in criteria if c.passed]))


def _schema(e: Evidence) -> Criterion:
    same = e.schema_id == e.expected_schema_id
    return Criterion(
        "schema", same, e.schema_id if same else f"{e.schema_id}, this code computes {e.expected_schema_id}"
    )


def _parity(e: Evidence) -> Criterion:
    words = f"{', '.join(e.parity_failures)} differ from their library" if e.parity_failures else "within tolerance"
    return Criterion("parity", not e.parity_failures, words)


def _said(name: str, problem: str, otherwise: str) -> Criterion:
    return Criterion(name, not problem, problem or otherwise)


def _latency(e: Evidence) -> Criterion:
    words = f"{e.latency_us:.0f} µs for one row, budget {LATENCY_BUDGET_US:.0f} µs"
    return Criterion("latency", bool(e.latency_us <= LATENCY_BUDGET_US), words)


def _against_baseline(e: Evidence) -> Criterion:
    found = block_difference(e.losses - e.baseline, e.ts_ns)
    words = f"log loss {e.losses.mean():.5f} against {e.baseline.mean():.5f}, difference {_interval(found)}"
    return Criterion("baseline", bool(found.upper < 0), words)


def _against_champion(e: Evidence) -> Criterion:
    if e.champion is None:
        return Criterion("champion", True, "none of this schema")
    if e.champion.sha256 == e.sha256:
        return Criterion("champion", False, f"identical to version {e.champion.version}")
    return _paired(e, e.champion)


def _paired(e: Evidence, champion: Champion) -> Criterion:
    fair = ~np.isnan(champion.losses)
    if fair.sum() < FEWEST_ROWS:
        words = f"version {champion.version} was fitted on this window: only {fair.sum()} rows are new to both"
        return Criterion("champion", False, words)
    found = block_difference((e.losses - champion.losses)[fair], e.ts_ns[fair])
    words = f"difference to version {champion.version} on {fair.sum()} rows new to both: {_interval(found)}"
    return Criterion("champion", bool(found.mean <= 0), words)


def _interval(found: Difference) -> str:
    return f"{found.mean:+.5f} (95 % bound {found.upper:+.5f}, {found.blocks} blocks)"


def block_difference(differences: Doubles, ts_ns: npt.NDArray[np.int64], blocks: int = BLOCKS) -> Difference:
    """Mean of ``differences`` [n] and its upper bound, from totals over ``blocks`` equal spans of time.

    Degrees of freedom count effective blocks (Kish 1965): one crowded block is little evidence, whatever it holds.
    NaN differences make mean and bound NaN, which no comparison lets pass.
    """
    span = max(int(ts_ns.max() - ts_ns.min()), 1)
    at = np.minimum((ts_ns - ts_ns.min()) * blocks // span, blocks - 1)
    count = np.bincount(at, minlength=blocks)
    total = np.bincount(at, differences, blocks)[count > 0]
    count = count[count > 0]
    mean, filled, effective = float(differences.mean()), len(count), count.sum() ** 2 / np.square(count).sum()
    if filled < 2:
        return Difference(mean, float("nan"), filled)
    variance = np.square(total - mean * count).sum() * filled / (filled - 1)
    error = float(np.sqrt(variance)) / len(differences)
    return Difference(mean, mean + float(student.ppf(CONFIDENCE, effective - 1)) * error, filled)
