"""Selection finds what tells the outcome, leaves what only tells the time, leaks nothing, and repeats itself."""

import msgspec
import numpy as np
import pytest

from features.bank import BANK, BANK_INDEX, BANK_NAMES
from features.plan import FeatureError
from features.schema import NAMES, SCHEMA_ID
from features.served import FILE, SERVED, read_served
from pipelines.folds import Estimate, estimate, time_blocks, walk_forward
from pipelines.selection import Clusters, Ranked, Ranking, Samples, cluster, importances, rank, stability, unusable
from pipelines.selection_report import described, in_words, markdown_table, ranked_importance
from pipelines.selection_trial import Trial, compare
from pipelines.served_set import choose, difference, partner, schema_id_of, with_features, write_served
from pipelines.settings import PipelineError

SECOND = 1_000_000_000
SIGNAL, COPY, WEAK, SLOW, CONSTANT, NOISE = range(6)


def made(seed=1, n=6_000, streams=2):
    """Outcomes that follow SIGNAL and a little WEAK; COPY is SIGNAL upside down, SLOW walks, the rest is noise."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 12)).astype(np.float32)
    rows[:, COPY] = -3.0 * rows[:, SIGNAL] + 0.05 * rows[:, COPY]
    rows[:, SLOW] = np.cumsum(rows[:, SLOW])
    rows[:, CONSTANT] = 5.0
    score = 1.5 * rows[:, SIGNAL] + 0.5 * rows[:, WEAK] + rng.normal(size=n)
    y = np.digitize(score, [-0.8, 0.8]).astype(np.int8)
    ts_ns = np.arange(n) * SECOND
    return Samples(rows, y, ts_ns, ts_ns + 20 * SECOND, np.arange(n) * streams // n)


@pytest.fixture(scope="module")
def samples():
    return made()


@pytest.fixture(scope="module")
def ranking(samples):
    return rank(samples, 3, 10 * SECOND, 7)


@pytest.mark.parametrize("seed", range(4))
def test_folds_learn_only_from_what_was_known_before_the_judged_stretch(seed):
    rng = np.random.default_rng(seed)
    ts_ns = np.sort(rng.integers(0, 1_000, 400)) * SECOND
    end_ns = ts_ns + rng.integers(0, 60, 400) * SECOND
    folds = walk_forward(ts_ns, end_ns, 4, 15 * SECOND)
    for fold in folds:
        assert end_ns[fold.train].max() < ts_ns[fold.test].min() - 15 * SECOND
    tested = np.concatenate([fold.test for fold in folds])
    assert len(set(tested.tolist())) == len(tested)
    assert set(tested.tolist()) == set(np.flatnonzero(time_blocks(ts_ns, 5) > 0).tolist())


def test_too_long_an_embargo_is_refused():
    ts_ns = np.arange(100) * SECOND
    with pytest.raises(PipelineError, match="0 samples to learn from"):
        walk_forward(ts_ns, ts_ns, 4, 50 * SECOND)


def test_an_estimate_is_students_interval():
    found = estimate(np.array([1.0, 2.0, 3.0, 4.0]))
    assert (found.mean, round(found.low, 4), round(found.high, 4)) == (2.5, 0.4457, 4.5543)
    assert np.isnan(estimate(np.array([1.0])).low)
    assert estimate(np.arange(5.0), 20).low < estimate(np.arange(5.0)).low


def test_what_stands_still_or_tells_the_stretch_is_left_out(samples):
    left_out = unusable(samples)
    assert set(left_out) == {SLOW, CONSTANT}
    assert left_out[CONSTANT] == "constant on these tapes"
    assert "between stretches" in left_out[SLOW]


def test_a_column_that_moves_in_one_stream_only_is_judged_there(samples):
    rows = samples.rows.copy()
    rows[samples.stream == 0, NOISE] = 0.0
    assert NOISE not in unusable(msgspec.structs.replace(samples, rows=rows))


def test_mirror_images_are_one_cluster_and_the_rest_stands_alone(samples):
    clusters = cluster(samples.rows, np.array([SIGNAL, COPY, WEAK, NOISE, 7]))
    assert clusters.of[SIGNAL] == clusters.of[COPY]
    assert set(clusters.medoids) == {clusters.of[SIGNAL], WEAK, NOISE, 7}
    assert clusters.of[[SLOW, CONSTANT]].tolist() == [-1, -1]


def test_the_medoid_is_closest_to_its_own():
    rng = np.random.default_rng(3)
    base = rng.normal(size=(2_000, 1))
    rows = np.concatenate([base + 0.5 * rng.normal(size=(2_000, 2)), base], axis=1).astype(np.float32)
    assert cluster(rows, np.arange(3), 0.5).medoids.tolist() == [2]


def test_what_tells_the_outcome_is_selected_in_nearly_every_draw(samples):
    columns = np.array([SIGNAL, WEAK, SLOW, NOISE, 7, 8, 9, 10])
    found = dict(zip(columns.tolist(), stability(samples, columns, 2, 7), strict=True))
    assert found[SIGNAL] == 1.0
    assert found[WEAK] > 0.8
    assert max(found[column] for column in (SLOW, NOISE, 7, 8, 9, 10)) < 0.6


def test_shuffling_costs_where_it_should_and_nothing_elsewhere(samples):
    columns = np.array([SIGNAL, WEAK, NOISE, 7])
    folds = walk_forward(samples.ts_ns, samples.end_ns, 4, 0)
    signal, weak, *noise = importances(samples, columns, folds, 7)
    assert signal.low > 0.1
    assert weak.low > 0.0 and weak.mean < signal.mean
    assert all(found.mean < weak.low for found in noise)


def test_the_ranking_puts_first_what_tells_the_outcome(ranking):
    assert {ranked.column for ranked in ranking.ranked[:2]} <= {SIGNAL, COPY, WEAK}
    assert set(ranking.left_out) == {SLOW, CONSTANT}
    assert sum(ranked.column in (SIGNAL, COPY) for ranked in ranking.ranked) == 1


def test_the_same_seed_gives_the_same_ranking(samples, ranking):
    again = rank(samples, 3, 10 * SECOND, 7)
    assert msgspec.json.encode(again.ranked) == msgspec.json.encode(ranking.ranked)
    assert again.clusters.of.tolist() == ranking.clusters.of.tolist()


def test_a_set_that_tells_the_outcome_beats_one_that_does_not(samples):
    looked_at = []

    def select(learned):
        looked_at.append(learned.end_ns.max())
        return [SIGNAL, WEAK]

    trials = compare(samples, [NOISE, 7], select, 10 * SECOND, 7)
    assert [trial.model for trial in trials] == ["logistic", "trees"]
    for trial in trials:
        assert trial.difference.high < 0.0
        assert trial.selected < trial.shares - 0.1
        assert abs(trial.served - trial.shares) < 0.05
        assert "better" in in_words(trial)
    assert looked_at == sorted(looked_at) and looked_at[-1] < samples.ts_ns[-1]


def ranking_of(*found, of=()):
    """A ranking of bank features by name: (name, probability, low end of the importance); ``of`` pairs clusters."""
    medoids = np.full(len(BANK), -1, np.intp)
    for name, *_ in found:
        medoids[BANK_INDEX[name]] = BANK_INDEX[name]
    for name, medoid in of:
        medoids[BANK_INDEX[name]] = BANK_INDEX[medoid]
    ranked = [Ranked(BANK_INDEX[name], share, Estimate(low + 1e-3, low, low + 2e-3)) for name, share, low in found]
    return Ranking(ranked, Clusters(medoids, np.unique(medoids[medoids >= 0])), {BANK_INDEX["day_sin"]: "constant"})


def test_pinned_come_first_then_proven_newcomers_then_served_ones():
    ranking = ranking_of(("return_5s_bps", 0.4, 0.1), ("return_10s_bps", 0.9, 0.1), ("return_1s_bps", 0.9, -0.1))
    choice = choose(ranking, ["flow_100ms"], ["return_1s_bps", "flow_100ms"], 3)
    assert set(choice.names) == {"flow_100ms", "return_10s_bps", "return_1s_bps"}
    assert choice.why[BANK_INDEX["flow_100ms"]] == "pinned"
    assert choice.why[BANK_INDEX["return_10s_bps"]] == "proven, place 2"
    assert choice.why[BANK_INDEX["return_5s_bps"]] == "place 1, with 3 chosen before it"
    assert choice.why[BANK_INDEX["day_sin"]] == "constant"


def test_a_newcomer_takes_no_place_from_a_served_one_that_says_the_same():
    ranking = ranking_of(("flow_250ms", 1.0, 0.1), ("return_5s_bps", 0.1, 0.0), of=[("flow_100ms", "flow_250ms")])
    choice = choose(ranking, [], ["flow_100ms"], 1)
    assert choice.names == ("flow_100ms",)
    assert choice.why[BANK_INDEX["flow_250ms"]] == "place 1, but flow_100ms of its cluster is chosen"


def test_a_set_without_newcomers_is_the_same_schema():
    choice = choose(ranking_of(("return_5s_bps", 1.0, -0.1)), SERVED.pinned, NAMES, len(NAMES))
    assert choice.names == NAMES
    assert schema_id_of(choice.names) == SCHEMA_ID


def test_the_same_set_in_another_order_is_no_better_and_no_worse(samples):
    for trial in compare(samples, [SIGNAL, WEAK, NOISE], lambda _: [NOISE, SIGNAL, WEAK], 10 * SECOND, 7):
        assert trial.difference == Estimate(0.0, 0.0, 0.0)


def test_mirror_partners_come_in_together_or_not_at_all():
    ranking = ranking_of(("bid_size", 1.0, 0.2), ("return_5s_bps", 1.0, 0.1))
    assert choose(ranking, [], [], 2).names == ("bid_size", "ask_size")
    assert choose(ranking, [], [], 1).names == ("return_5s_bps",)
    assert BANK[partner(BANK_INDEX["ask_size"])].name == "bid_size"


def test_more_pinned_than_fits_is_refused():
    with pytest.raises(PipelineError, match="2 features are pinned"):
        choose(ranking_of(("return_5s_bps", 1.0, 0.1)), ["bid_size"], [], 1)


def test_every_partner_in_the_bank_is_mutual():
    assert all(partner(partner(column)) == column for column in range(len(BANK)))


def test_the_schema_id_of_the_served_names_is_that_in_force():
    assert schema_id_of(NAMES) == SCHEMA_ID
    assert schema_id_of(NAMES[::-1]) != SCHEMA_ID
    with pytest.raises(FeatureError, match="bid_size"):
        schema_id_of(["bid_size"])


def test_a_written_set_keeps_all_but_the_features(tmp_path):
    target = tmp_path / "deep" / "set.toml"
    names = [*SERVED.pinned, "return_5s_bps"]
    written = write_served(FILE, target, names)
    assert written == msgspec.structs.replace(read_served(FILE), features=tuple(names))
    assert read_served(target) == written
    comments = [line for line in FILE.read_text().splitlines() if line.startswith("#")]
    assert [line for line in target.read_text().splitlines() if line.startswith("#")] == comments


def test_a_set_that_cannot_be_served_leaves_the_file(tmp_path):
    target = tmp_path / "set.toml"
    target.write_text("before")
    with pytest.raises(FeatureError):
        write_served(FILE, target, ["bid_size"])
    with pytest.raises(FeatureError):
        write_served(FILE, target, ["no_such_feature"])
    assert target.read_text() == "before"


def test_a_file_without_a_list_of_features_is_refused():
    with pytest.raises(PipelineError, match="no list"):
        with_features("window = 4", ["a"])


def test_the_record_of_a_selection_can_be_shown():
    ranking = ranking_of(("return_10s_bps", 0.9, 0.1), ("return_1s_bps", 0.9, -0.1))
    choice = choose(ranking, SERVED.pinned, NAMES, 25)
    trial = Trial("logistic", 1.0, 0.9, 1.1, Estimate(-0.1, -0.2, 0.1), 10)
    found = described(ranking, choice, [trial], NAMES, bank_id="x", samples=10, seed=7)
    assert len(found.rows) == len(BANK_NAMES)
    assert {row.name for row in found.rows if row.chosen} == set(found.chosen)
    assert (found.leaving, found.coming) == difference(NAMES, found.chosen)
    assert found.schema_id == schema_id_of(found.chosen)
    assert "return_10s_bps" in markdown_table(found).splitlines()[2]
    assert len(ranked_importance(found).axes[0].get_yticklabels()) == 2
    assert "not told apart" in in_words(trial)
