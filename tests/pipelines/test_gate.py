"""A candidate is promoted by evidence alone, and every refusal says why."""

import msgspec
import numpy as np
import pytest

from pipelines.candidate import examine, gather_evidence
from pipelines.dataset import TEST
from pipelines.evaluate import losses
from pipelines.gate import BLOCKS, Champion, Evidence, block_difference, judge
from tests.pipelines.model_data import examined, make_dataset, train, trained

N = 2_000
NOISE = np.random.default_rng(0).normal(0, 0.2, N)


def evidence(**changes) -> Evidence:
    good = Evidence(
        schema_id="s1",
        expected_schema_id="s1",
        sha256="new",
        parity_failures=(),
        known_answer_problem="",
        score_problem="",
        ts_ns=np.arange(N) * 1_000_000,
        losses=0.9 + NOISE,
        baseline=np.full(N, 1.0),
        champion=None,
        int8_reason="",
        latency_us=60.0,
    )
    return msgspec.structs.replace(good, **changes)


def champion(gap=0.0, sha256="old", seen=0):
    """A champion whose loss is ``gap`` above the candidate's, fitted on the first ``seen`` rows."""
    said = 0.9 + NOISE + gap
    said[:seen] = np.nan
    return Champion(version=4, sha256=sha256, losses=said)


def test_a_sound_candidate_without_a_champion_is_promoted():
    found = judge(evidence())
    assert found.promoted
    assert all(reason.startswith("ok: ") for reason in found.reasons)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_id": "s2"}, "refused: schema: s2, this code computes s1"),
        ({"parity_failures": ("lstm", "forest")}, "refused: parity: lstm, forest differ"),
        ({"known_answer_problem": "one window differs"}, "refused: known answer: one window differs"),
        ({"score_problem": "the score is constant"}, "refused: scores: the score is constant"),
        ({"latency_us": 5_001.0}, "refused: latency: 5001 µs"),
        ({"latency_us": float("nan")}, "refused: latency"),
        ({"losses": np.full(N, 1.1)}, "refused: baseline: log loss 1.10000 against 1.00000"),
        ({"losses": 0.999 + NOISE}, "refused: baseline"),
        ({"losses": np.full(N, np.nan)}, "refused: baseline: log loss nan"),
        ({"champion": champion(gap=-0.01)}, "refused: champion: difference to version 4 on 2000 rows"),
        ({"champion": champion(sha256="new")}, "refused: champion: identical to version 4"),
        (
            {"champion": champion(gap=0.1, seen=N - 10)},
            "refused: champion: version 4 was fitted on this window: only 10",
        ),
        ({"champion": champion(gap=0.1), "losses": np.full(N, np.nan)}, "refused: champion"),
    ],
)
def test_one_failure_refuses_and_its_reason_comes_first(changes, said):
    found = judge(evidence(**changes))
    assert not found.promoted
    assert any(reason.startswith(said) for reason in found.reasons)
    assert found.reasons[0].startswith("refused: ")


@pytest.mark.parametrize(("gap", "seen"), [(0.0, 0), (0.05, 0), (0.05, N // 2)])
def test_a_champion_that_is_not_better_is_replaced(gap, seen):
    found = judge(evidence(champion=champion(gap, seen=seen)))
    assert found.promoted
    assert any(f"on {N - seen} rows new to both" in reason for reason in found.reasons)


def test_int8_is_told_and_refuses_nothing():
    found = judge(evidence(int8_reason="nothing was quantized"))
    assert found.promoted
    assert found.reasons[0] == "note: int8: nothing was quantized"


def test_the_bound_of_equal_blocks_is_that_of_their_means():
    values, ts_ns = NOISE[:1_000], np.arange(1_000) * 7
    means = values.reshape(BLOCKS, -1).mean(axis=1)
    found = block_difference(values, ts_ns)
    one_sided_t_19 = 1.729133
    assert found.mean == pytest.approx(values.mean())
    assert found.blocks == BLOCKS
    assert found.upper - found.mean == pytest.approx(one_sided_t_19 * means.std(ddof=1) / np.sqrt(BLOCKS), rel=1e-5)


def test_one_good_minute_is_no_evidence_however_many_ticks_it_holds():
    calm, ts_ns = np.zeros(N), np.concatenate([np.arange(N // 2), np.linspace(N, 40 * N, N // 2)]).astype(np.int64)
    calm[: N // 2] = -0.2
    assert block_difference(calm, ts_ns).upper > 0
    assert block_difference(np.full(N, -0.2), ts_ns).upper < 0


@pytest.mark.parametrize("ts_ns", [np.zeros(5, np.int64), np.full(5, 1_700_000_000_000_000_000)])
def test_a_single_instant_has_no_bound_and_so_never_passes(ts_ns):
    assert np.isnan(block_difference(np.full(5, -1.0), ts_ns).upper)
    assert not judge(evidence(ts_ns=ts_ns, losses=np.zeros(5), baseline=np.ones(5))).promoted


def from_candidate(t, found):
    proba = np.asarray(found[0])
    return gather_evidence(t.dataset, proba, found[1], "new", "", None, t.dataset.schema_id)


def test_a_trained_candidate_is_promoted_and_one_on_shuffled_labels_never():
    from pipelines.candidate import score_split

    t = trained()
    assert judge(from_candidate(t, (score_split(t.model, t.dataset, TEST)[0], examined()))).promoted
    lost = train(make_dataset(seed=5, learnable=False))
    found = examine(lost.model, lost.dataset, lost.native, lost.blend)
    verdict = judge(from_candidate(lost, (score_split(lost.model, lost.dataset, TEST)[0], found)))
    assert not verdict.promoted
    assert verdict.reasons[0].startswith("refused: baseline")


def test_the_better_of_both_class_shares_is_the_baseline():
    t = trained()
    y = t.dataset.y[t.dataset.split == TEST]
    uniform = np.full((len(y), 3), 1 / 3)
    found = gather_evidence(t.dataset, uniform, examined(), "new", "", None, t.dataset.schema_id)
    lower = min(examined().metrics.baseline_logloss, examined().metrics.recent_prior_logloss)
    assert found.baseline.mean() == pytest.approx(lower)
    assert found.losses.mean() == pytest.approx(losses(uniform, y).mean())
