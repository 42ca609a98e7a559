"""A finished run in figures: replayed, its features recomputed in batch, its scores held to outcomes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from features import kernel
from market.codecs.binance import decode
from market.errors import FrameError
from market.events import Quote, Trade
from market.tape import find_tapes, merge
from pipelines.feature_frames import event_clock
from pipelines.labels import nl_labels
from pipelines.run_observer import RunObserver
from trader.journal import Run
from trader.replay import Replay, ReplayResult, scorer_of

Floats = npt.NDArray[np.float64]


class BatchRows(msgspec.Struct, frozen=True):
    """Rows of one symbol folded from a tape: receive times [n], features [n, F], event clock [n], touch [n, 2]."""

    recv_ns: npt.NDArray[np.int64]
    rows: Floats
    event_ns: npt.NDArray[np.int64]
    touch: Floats


def fold_tape(tape: Path) -> dict[str, BatchRows]:
    """The pipeline's batch features of a whole tape, by symbol."""
    events: dict[str, list[tuple[int, tuple[int, int, float, float, float, float]]]] = {}
    trades: set[tuple[str, int]] = set()
    for frame in merge(find_tapes(tape)):
        try:
            event = decode(frame.raw, frame.recv_ns)
        except FrameError:
            continue
        if isinstance(event, Trade):
            known = (frame.symbol, event.trade_id) in trades
            trades.add((frame.symbol, event.trade_id))
            if known or not event.is_market:
                continue
        if isinstance(event, Quote | Trade):
            events.setdefault(frame.symbol, []).append((frame.recv_ns, kernel.encode(event)))
    return {symbol: _fold(rows) for symbol, rows in events.items()}


def _fold(events: list[tuple[int, tuple[int, int, float, float, float, float]]]) -> BatchRows:
    kinds = np.array([e[0] for _, e in events], dtype=np.int8)
    ts = np.array([e[1] for _, e in events], dtype=np.int64)
    values = np.array([e[2:] for _, e in events], dtype=np.float64).reshape(len(events), 4)
    rows, index = kernel.fold(kinds, ts, values)
    recv = np.array([r for r, _ in events], dtype=np.int64)
    return BatchRows(
        recv_ns=recv[index],
        rows=rows,
        event_ns=event_clock(ts)[index],
        touch=values[index][:, [0, 2]],
    )


def batch_equals_stream(batch: dict[str, BatchRows], observed: RunObserver) -> bool:
    """Whether every feature vector the trader journaled equals the batch row of the same frame, bit for bit."""
    at = {symbol: {int(t): i for i, t in enumerate(b.recv_ns)} for symbol, b in batch.items()}
    return bool(observed.rows) and all(
        symbol in at
        and tick_ns in at[symbol]
        and batch[symbol].rows[at[symbol][tick_ns]].tobytes() == np.array(row, dtype=np.float64).tobytes()
        for (symbol, tick_ns), row in observed.rows.items()
    )


def outcomes(
    batch: dict[str, BatchRows], observed: RunObserver, k: int, latency_ms: float
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(probabilities [n, 3], outcomes [n]) of all scores whose label matured before the run ended."""
    known: dict[tuple[str, int], int] = {}
    for symbol, b in batch.items():
        label, _ = nl_labels(b.event_ns, b.touch[:, 0], b.touch[:, 1], k=k, latency_ns=int(latency_ms * 1e6))
        known.update({(symbol, int(t)): int(y) for t, y in zip(b.recv_ns, label, strict=True) if y >= 0})
    pairs = [
        ((s.down, s.flat, s.up), known[s.symbol, s.tick_ns]) for s in observed.scores if (s.symbol, s.tick_ns) in known
    ]
    if not pairs:
        return np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    proba, y = zip(*pairs, strict=True)
    return np.array(proba), np.array(y, dtype=np.int64)


def replay_run(
    run: Run, repository: Path, progress: Callable[[int], None] | None = None
) -> tuple[ReplayResult, RunObserver]:
    """Replay ``run`` against its journal and gather what it did on the way."""
    observed = RunObserver()
    result = Replay(run.journal, run.tape, scorer_of(run.journal, repository), observed.observe).run(progress)
    return result, observed


def logloss(proba: Floats, y: npt.NDArray[np.int64]) -> float | None:
    """Mean negative log probability of what happened; None without outcomes."""
    if not len(y):
        return None
    return float(-np.log(np.clip(proba[np.arange(len(y)), y], 1e-12, 1)).mean())


def percentiles_us(values_ns: list[int]) -> dict[str, float | None]:
    """p50 and p99 in µs; None without values."""
    if not values_ns:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(np.array(values_ns) / 1e3, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}


def trader_figures(result: ReplayResult, observed: RunObserver) -> dict[str, Any]:
    """The ``trader`` part of a run's summary, all of it from the replayed run itself."""
    assert observed.engine is not None, "observe a replay first"
    books, start = observed.engine.books, observed.engine.start
    return {
        "events": result.frames,
        "scores": len(observed.scores),
        "scores_by_source": {name: sum(s.source == name for s in observed.scores) for name in ("triton", "local")},
        "refusals": dict(observed.refusals),
        "intents": observed.intents,
        "denials_by_layer": dict(observed.denials),
        "denials_by_code": {f"{layer}.{code}": n for (layer, code), n in observed.denial_codes.most_common()},
        "orders": observed.engine.orders_sent,
        "fills": len(observed.fills),
        "maker_fills": sum(f.maker for f in observed.fills),
        "net_pnl": float(books.ledger.balance - start.balance),
        "fees": float(books.ledger.fees),
        "ended_flat": books.flat,
    }


def replay_figures(result: ReplayResult) -> dict[str, Any]:
    """The ``replay`` part of a run's summary."""
    return {
        "decisions": result.decisions,
        "outputs": result.outputs,
        "differing": result.differing,
        "first_difference": None if result.first_difference is None else str(result.first_difference),
        "scores_checked": result.scores_checked,
        "score_max_abs_diff": result.score_max_abs_diff,
    }


def latency_figures(observed: RunObserver) -> dict[str, float | None]:
    """The ``latency_us`` part of a run's summary."""
    spans = {
        "tick_to_score": [s.tick_to_score_ns for s in observed.scores],
        "tick_to_order": observed.tick_to_order_ns,
    }
    return {f"{name}_{p}": v for name, values in spans.items() for p, v in percentiles_us(values).items()}
