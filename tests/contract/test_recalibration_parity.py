"""What the trader does to scores while it trades is what the evaluation does in batch, to the last bit."""

import numpy as np
import pytest

from pipelines.evaluation import adapt
from pipelines.labels import directions, nl_labels, nl_moves
from trader.outcomes import OutcomeParams, Outcomes

LATENCY_NS = 10_000_000


def market(seed, n):
    rng = np.random.default_rng(seed)
    ts_ns = 1_700_000_000_000_000_000 + np.cumsum(rng.choice([0, 1_000_000, 8_000_000, 40_000_000], n))
    bid = 100.0 + 0.1 * np.cumsum(rng.choice([-1, 0, 0, 0, 1], n))
    said = rng.dirichlet([1.0, 2.0, 1.0], n)
    return ts_ns.astype(np.int64), bid, bid + 0.1, said


def streamed(ts_ns, mid_px, said, k, scored, late):
    """One recalibrated score per scored decision; its answer comes ``late`` rows later."""
    outcomes, waiting, out = Outcomes(OutcomeParams(k, LATENCY_NS)), [], {}
    for i, (now, mid) in enumerate(zip(ts_ns.tolist(), mid_px.tolist(), strict=True)):
        while waiting and waiting[0] + late <= i:
            at = waiting.pop(0)
            out[at] = outcomes.answered(at, tuple(said[at].tolist()))
        outcomes.on_row(now, mid)
        if scored[i]:
            outcomes.asked(i, now)
            waiting.append(i)
            if late == 0:
                at = waiting.pop(0)
                out[at] = outcomes.answered(at, tuple(said[at].tolist()))
    return out, outcomes


@pytest.mark.parametrize("k", [1, 7, 50])
def test_scores_answered_at_once_come_out_as_in_batch(k):
    ts_ns, bid, ask, said = market(k, 3_000)
    move, told_by = nl_moves(ts_ns, bid, ask, k=k, latency_ns=LATENCY_NS)
    out, outcomes = streamed(ts_ns, (bid + ask) / 2, said, k, np.ones(3_000, bool), 0)
    known = np.flatnonzero(np.isfinite(move))
    params = OutcomeParams(k, LATENCY_NS).recalibration
    batch = adapt(said[known], directions(move[known]), known, told_by[known], params)
    assert np.array([out[i] for i in known]).tobytes() == batch.tobytes()
    assert outcomes.state.labels == known.size


def test_decisions_without_an_answer_teach_nothing_and_late_answers_still_do():
    ts_ns, bid, ask, said = market(9, 4_000)
    scored = np.random.default_rng(1).random(4_000) < 0.3
    label, _ = nl_labels(ts_ns, bid, ask, k=50, latency_ns=LATENCY_NS)
    _, outcomes = streamed(ts_ns, (bid + ask) / 2, said, 50, scored, 5)
    assert outcomes.state.labels == (scored & (label >= 0)).sum()
    silent = Outcomes(OutcomeParams(50, LATENCY_NS))
    for i, (now, mid) in enumerate(zip(ts_ns.tolist(), ((bid + ask) / 2).tolist(), strict=True)):
        silent.on_row(now, mid)
        silent.asked(i, now)
    assert silent.state.labels == 0
