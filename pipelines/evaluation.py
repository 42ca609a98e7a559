"""A published bundle on tapes it never saw: every model recalibrated as the trader does it, and paired intervals.

Decisions of neighbouring ticks share most of an outcome, and all symbols share a market: uncertainty comes from blocks
of absolute time, drawn with replacement (Künsch 1989, on non-overlapping blocks). Ratios are of block totals, so that a
model and its baseline are always judged on the same draw.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from pipelines.baselines import feature_proba, prior_proba
from pipelines.evaluate import calibration_error, directional, losses, open_session
from pipelines.feature_frames import feature_rows, feature_table
from pipelines.labels import directions, horizon_moves, nl_moves
from pipelines.quality import split_clean
from pipelines.settings import PipelineError
from pipelines.ticks import all_sessions, read_session
from trader.bundle import MEMBERS, MODEL_FILE, Manifest, load_manifest
from trader.recalibration import Recalibration, RecalibrationParams, learn, recalibrated

BLOCK_S: Final = 15.0
DRAWS: Final = 2_000
MOST_TICKS: Final = 5_000_000
CHUNK: Final = 4_096
LOGISTIC: Final = "logistic"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Say = Callable[[str], None]


class Label(msgspec.Struct, frozen=True):
    """What is asked of the scores: ``k`` further quotes, or a span of ``horizon_ns`` (the other is 0)."""

    name: str
    k: int = 0
    horizon_ns: int = 0
    latency_ns: int = 10_000_000


class Stretch(msgspec.Struct, frozen=True):
    """Decisions of one symbol in one session, in order: rows float32 [n, F], times, relative moves, and the number of
    the row that tells each move.
    """

    symbol: str
    rows: npt.NDArray[np.float32]
    ts_ns: Ints
    move: Floats
    told_by: Ints


class Scored(msgspec.Struct, frozen=True):
    """Judged decisions of all stretches: outcome, move, time and symbol index [n], and what each model said [n, 3]."""

    y: npt.NDArray[np.int8]
    move: Floats
    ts_ns: Ints
    symbol_id: Ints
    symbols: tuple[str, ...]
    proba: dict[str, Floats]


def parse_label(text: str, latency_ms: float) -> Label:
    """``nl50`` (direction after 50 quotes), ``1s`` or ``500ms`` (after that time).

    >>> parse_label("nl50", 10).k, parse_label("1s", 10).horizon_ns
    (50, 1000000000)

    Raises
    ------
    PipelineError
        When it is neither.
    """
    units, latency_ns = {"ms": 1_000_000, "s": 1_000_000_000}, round(latency_ms * 1e6)
    text = text.strip().lower()
    if text.startswith("nl") and text[2:].isdecimal() and int(text[2:]) > 0:
        return Label(text, k=int(text[2:]), latency_ns=latency_ns)
    for unit in units:
        number = text.removesuffix(unit)
        if number != text and number.isdecimal() and int(number) > 0:
            return Label(text, horizon_ns=int(number) * units[unit], latency_ns=latency_ns)
    raise PipelineError(f"label {text!r} is unknown", "write nl50 (quotes), or 1s or 500ms (time)")


def read_stretches(paths: Sequence[Path], label: Label, gap_s: float, say: Say = lambda _: None) -> list[Stretch]:
    """Feature rows and outcomes of every symbol of every session on the tapes.

    Raises
    ------
    PipelineError
        When no symbol has a decision whose outcome is known.
    """
    found = list(_stretches(paths, label, gap_s, say))
    if not any(np.isfinite(stretch.move).any() for stretch in found):
        raise PipelineError(f"{', '.join(map(str, paths))}: no decision has an outcome", "pass a longer tape")
    return found


def _stretches(paths: Sequence[Path], label: Label, gap_s: float, say: Say) -> Iterator[Stretch]:
    for session in all_sessions(paths, gap_s):
        say(f"reading {session.frames:,} frames of {', '.join(session.symbols)}")
        recording = read_session(session, None, MOST_TICKS)
        for symbol, taken in sorted(recording.symbols.items()):
            clean, _ = split_clean(taken.ticks.table())
            table = feature_table(clean)
            if table.height:
                ts_ns, bid_px, ask_px = (table[name].to_numpy() for name in ("ts_ns", "bid_px", "ask_px"))
                move, told_by = moves(label, ts_ns, bid_px, ask_px)
                yield Stretch(symbol, feature_rows(table).astype(np.float32), ts_ns, move, told_by)


def moves(label: Label, ts_ns: Ints, bid_px: Floats, ask_px: Floats) -> tuple[Floats, Ints]:
    """Relative change of mid that ``label`` asks for, NaN where unknown, and the number of the row that tells it."""
    if label.k:
        return nl_moves(ts_ns, bid_px, ask_px, k=label.k, latency_ns=label.latency_ns)
    return horizon_moves(ts_ns, bid_px, ask_px, horizon_ns=label.horizon_ns, latency_ns=label.latency_ns)


def score_stretches(
    folder: Path, manifest: Manifest, stretches: Sequence[Stretch], say: Say = lambda _: None
) -> Scored:
    """Every model's recalibrated score of every decision with a whole window and a known outcome.

    Raises
    ------
    PipelineError
        When the bundle has no baselines (it was published before they travelled along).
    """
    if manifest.baselines is None:
        raise PipelineError(f"{folder}: the manifest has no baselines", "train that model again")
    symbols = tuple(sorted({stretch.symbol for stretch in stretches}))
    model, parts = (folder / MODEL_FILE).read_bytes(), []
    for stretch in stretches:
        at = np.flatnonzero(np.isfinite(stretch.move) & (np.arange(len(stretch.rows)) >= manifest.window - 1))
        if at.size:
            say(f"scoring {at.size:,} decisions of {stretch.symbol}")
            parts.append(_score(model, manifest, stretch, at, symbols.index(stretch.symbol)))
    if not parts:
        raise PipelineError("no decision has a whole window and an outcome", "pass a longer tape")
    return Scored(
        y=np.concatenate([part.y for part in parts]),
        move=np.concatenate([part.move for part in parts]),
        ts_ns=np.concatenate([part.ts_ns for part in parts]),
        symbol_id=np.concatenate([part.symbol_id for part in parts]),
        symbols=symbols,
        proba={name: np.concatenate([part.proba[name] for part in parts]) for name in parts[0].proba},
    )


def _score(model: bytes, manifest: Manifest, stretch: Stretch, at: Ints, symbol_id: int) -> Scored:
    assert manifest.baselines is not None
    proba, members = _run(model, stretch.rows, at, manifest.window)
    said = {
        "ensemble": proba,
        **{name: members[:, i] for i, name in enumerate(MEMBERS)},
        "adapted_prior": prior_proba(manifest.baselines, at.size),
        "adapted_imbalance": feature_proba(manifest.baselines, stretch.rows[at]),
    }
    y, told_by = directions(stretch.move[at]), stretch.told_by[at]
    adapted = {name: adapt(p, y, at, told_by, manifest.recalibration) for name, p in said.items()}
    return Scored(y, stretch.move[at], stretch.ts_ns[at], np.full(at.size, symbol_id), (stretch.symbol,), adapted)


def _run(model: bytes, rows: npt.NDArray[np.float32], at: Ints, window: int) -> tuple[Floats, Floats]:
    """The graph's answers to the windows that end at ``at``, cut chunk by chunk: windows are many times the rows."""
    session, back = open_session(model, threads=2), np.arange(1 - window, 1)
    parts = [
        session.run(["proba", "members"], {"x": rows[some[:, None] + back]})
        for some in np.split(at, np.arange(CHUNK, at.size, CHUNK))
    ]
    proba, members = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    return proba, members


def adapt(
    proba: npt.NDArray[np.floating], y: npt.NDArray[np.int8], at: Ints, told_by: Ints, params: RecalibrationParams
) -> Floats:
    """Scores [n, 3] of one symbol, each recalibrated on the labels known by then: row ``at[i]`` is decided on after all
    labels with ``told_by <= at[i]`` were learned, as the trader does it.
    """
    state, out, learned = Recalibration(params), np.empty((len(y), 3)), 0
    order = np.argsort(told_by, kind="stable")
    said, outcome, known = list(map(tuple, proba.tolist())), y[order].tolist(), told_by[order].tolist()
    for i, row in enumerate(at.tolist()):
        while learned < len(known) and known[learned] <= row:
            learn(state, said[order[learned]], outcome[learned])
            learned += 1
        out[i] = recalibrated(state, said[i])
    return out


def report(scored: Scored, label: str, block_s: float = BLOCK_S, seed: int = 7) -> dict[str, Any]:
    """All figures: per model, ratios of the ensemble to each baseline with 95 % intervals, per symbol."""
    blocks = block_ids(scored.ts_ns, block_s)
    loss = {name: losses(p, scored.y) for name, p in scored.proba.items()}
    totals: dict[str, Floats] = {
        name: np.asarray(np.bincount(blocks, values), np.float64) for name, values in loss.items()
    }
    count: Floats = np.bincount(blocks).astype(np.float64)
    draws = np.random.default_rng(seed).integers(0, len(count), (DRAWS, len(count)))
    best = min(MEMBERS, key=lambda name: float(loss[name].mean()))
    rivals = {"adapted_prior": "adapted_prior", "adapted_imbalance": "adapted_imbalance", "adapted_logistic": LOGISTIC}
    ratios = {name: _ratio(totals["ensemble"], totals[rival], draws) for name, rival in rivals.items()}
    ratios["best_member"] = _ratio(totals["ensemble"], totals[best], draws)
    figures = {name: _figures(scored, name, totals[name], count, draws) for name in scored.proba}
    return {
        "label": label,
        "n": len(scored.y),
        "blocks": len(count),
        "block_s": block_s,
        "verdict": verdict(ratios, float(figures["ensemble"]["ece"])),
        "classes": np.bincount(scored.y, minlength=3).tolist(),
        **figures,
        "adapted_logistic": figures[LOGISTIC],
        "best_member": best,
        "ratios": ratios,
        "by_symbol": {name: _by_symbol(scored, loss, i) for i, name in enumerate(scored.symbols)},
    }


def block_ids(ts_ns: Ints, block_s: float) -> Ints:
    """Consecutive numbers of the blocks of absolute time that hold a decision, [n]."""
    return np.unique(ts_ns // round(block_s * 1e9), return_inverse=True)[1]


def _ratio(ours: Floats, theirs: Floats, draws: Ints) -> list[float]:
    drawn = ours[draws].sum(axis=1) / theirs[draws].sum(axis=1)
    return [float(ours.sum() / theirs.sum()), *map(float, np.quantile(drawn, [0.025, 0.975]))]


def _figures(scored: Scored, name: str, total: Floats, count: Floats, draws: Ints) -> dict[str, Any]:
    proba, y = scored.proba[name], scored.y
    accuracy, coverage = directional(proba, y)
    drawn = total[draws].sum(axis=1) / count[draws].sum(axis=1)
    return {
        "logloss": float(total.sum() / count.sum()),
        "logloss_ci": list(map(float, np.quantile(drawn, [0.025, 0.975]))),
        "ece": calibration_error(proba, y),
        "coverage_p70": coverage,
        "accuracy_p70": accuracy,
        "rank_ic": rank_ic(proba, scored.move),
    }


def rank_ic(proba: Floats, move: Floats) -> float | None:
    """Spearman's correlation of p(up) - p(down) with the move that followed; None where one of them never changes."""
    direction = proba[:, 2] - proba[:, 0]
    if np.ptp(direction) == 0.0 or np.ptp(move) == 0.0:
        return None
    return float(spearmanr(direction, move).statistic)


def _by_symbol(scored: Scored, loss: Mapping[str, Floats], symbol_id: int) -> dict[str, Any]:
    at = scored.symbol_id == symbol_id
    return {"n": int(at.sum()), "logloss": {name: float(values[at].mean()) for name, values in loss.items()}}


def verdict(ratios: Mapping[str, Sequence[float]], ece: float) -> str:
    """One sentence, the bad news first."""
    lost = [name for name, (_, _, upper) in ratios.items() if name != "best_member" and upper >= 1.0]
    worse = ratios["best_member"][0] > 1.01
    told = [f"does not beat {', '.join(lost)}"] if lost else ["beats every baseline"]
    told += ["is worse than its best member"] if worse else []
    told += [f"is off by {ece:.3f} in calibration"] if ece > 0.03 else []
    return "the ensemble " + ", ".join(told)


def evaluate_bundle(
    folder: Path,
    tapes: Sequence[Path],
    label_text: str | None = None,
    gap_s: float = 3600.0,
    block_s: float = BLOCK_S,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Judge the bundle in ``folder`` on ``tapes``; ``label_text`` None asks for what it was trained on.

    Raises
    ------
    BundleError, TapeError, PipelineError
        The bundle is unfit or of another schema; there is no tape; nothing can be judged.
    """
    manifest = load_manifest(folder)
    label = parse_label(label_text or f"nl{manifest.label.k}", manifest.label.latency_ms)
    scored = score_stretches(folder, manifest, read_stretches(tapes, label, gap_s, say), say)
    told = {"bundle": f"{manifest.name} version {manifest.version}", "trained_on": label_of(manifest)}
    return told | report(scored, label.name, block_s)


def label_of(manifest: Manifest) -> str:
    """The label a bundle was trained on, as ``parse_label`` reads it."""
    return f"nl{manifest.label.k}"
