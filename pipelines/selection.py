"""From the whole bank to the few features worth serving: clusters, stability selection, permutation importance.

Features that say the same are one cluster, and its medoid speaks for it (Spearman correlation, average linkage). A
medoid's selection probability is how often small boosted trees on half of the time blocks rank it among their best
(stability selection, Meinshausen and Buhlmann 2010, on complementary halves, Shah and Samworth 2013). Those that are
chosen often are shuffled in the held-out part of every purged walk-forward fold, and what that costs in log loss is
their importance (Breiman 2001).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import xgboost
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from pipelines.evaluate import losses
from pipelines.folds import Estimate, Fold, block_means, estimate, time_blocks, walk_forward
from pipelines.members import CLASS_COUNT, THREADS

CLUSTER_ROWS: Final = 6_000
SAME: Final = 0.25
"""Average distance, 1 - |rho|, up to which features are one cluster."""
STREAM_ROWS: Final = 4_000
BETWEEN: Final = 0.5
"""Most share of a feature's rank variance that may lie between twentieths of a stream."""
LEARN_ROWS: Final = 8_000
JUDGE_ROWS: Final = 3_000
DRAWS: Final = 32
BLOCKS: Final = 20
LEARN_BLOCKS: Final = 6
JUDGE_BLOCKS: Final = 2
FOLDS: Final = 4
REPEATS: Final = 2
SHUFFLED: Final = 3
"""So many times the wanted count of medoids are shuffled."""
ROUNDS: Final = 25
_TREES: Final = {
    "objective": "multi:softprob",
    "num_class": CLASS_COUNT,
    "max_depth": 3,
    "eta": 0.25,
    "min_child_weight": 20.0,
    "lambda": 5.0,
    "colsample_bynode": 0.3,
    "tree_method": "hist",
    "max_bin": 64,
    "nthread": THREADS,
}

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Columns = npt.NDArray[np.intp]
Progress = Callable[[float], None]


class Samples(msgspec.Struct, frozen=True):
    """Labelled decision points: rows [n, F], class [n], time and end of the label [n], stream of each [n]."""

    rows: Rows
    y: npt.NDArray[np.int8]
    ts_ns: Ints
    end_ns: Ints
    stream: Ints

    def part(self, at: npt.NDArray[np.intp]) -> "Samples":
        """The samples at ``at``."""
        return Samples(self.rows[at], self.y[at], self.ts_ns[at], self.end_ns[at], self.stream[at])


class Clusters(msgspec.Struct, frozen=True):
    """``of`` [F] is each column's medoid (-1: left out), ``medoids`` the columns that speak for a cluster."""

    of: Columns
    medoids: Columns


class Ranked(msgspec.Struct, frozen=True):
    """A medoid: how often it was selected, and what shuffling it costs (None: not shuffled), best first."""

    column: int
    probability: float
    importance: Estimate | None


class Ranking(msgspec.Struct, frozen=True):
    """What ``rank`` found; ``left_out`` says why for columns that were no candidates."""

    ranked: list[Ranked]
    clusters: Clusters
    left_out: dict[int, str]


def thinned_to(count: int, most: int) -> npt.NDArray[np.intp]:
    """Indices of at most ``most`` of ``count`` samples, evenly."""
    return np.arange(count) if count <= most else np.arange(most) * count // most


def unusable(samples: Samples) -> dict[int, str]:
    """Columns that tell nothing here: constant ones, and those that tell the stretch of time rather than the moment.

    The latter would fit what one stretch happened to be like, which no recording of a few stretches can judge.
    """
    streams = np.unique(samples.stream)
    shares = np.array([_between_stretches(samples, int(stream)) for stream in streams])
    with np.errstate(invalid="ignore"):
        share = np.nansum(shares, axis=0) / np.sum(~np.isnan(shares), axis=0)
    slow = {int(c): f"{share[c]:.0%} of its variance lies between stretches" for c in np.flatnonzero(share > BETWEEN)}
    return slow | {int(c): "constant on these tapes" for c in np.flatnonzero(np.isnan(share))}


def _between_stretches(samples: Samples, stream: int) -> Floats:
    """Share of every column's rank variance that lies between stretches of one stream; nan where it stands still."""
    at = np.flatnonzero(samples.stream == stream)
    at = at[thinned_to(len(at), STREAM_ROWS)]
    ranks, blocks = _standard_ranks(samples.rows[at]), time_blocks(samples.ts_ns[at], BLOCKS)
    means = np.array([ranks[blocks == block].mean(axis=0) for block in np.unique(blocks)])
    counts = np.bincount(blocks)[np.unique(blocks)]
    share = counts @ means**2 / len(at)
    return np.where(np.any(ranks != 0.0, axis=0), share, np.nan)


def _standard_ranks(rows: npt.NDArray[np.floating]) -> Floats:
    """Ranks of every column, of mean 0 and deviation 1; constant columns are 0."""
    ranks = rankdata(rows, axis=0)
    ranks -= ranks.mean(axis=0)
    deviation = ranks.std(axis=0)
    return np.where(deviation > 0.0, ranks / np.where(deviation > 0.0, deviation, 1.0), 0.0)


def cluster(rows: Rows, candidates: Columns, same: float = SAME) -> Clusters:
    """Columns that rank samples alike, forward or backward, as clusters; the medoid is closest to all of its own."""
    of = np.full(rows.shape[1], -1, np.intp)
    if len(candidates) < 2:
        of[candidates] = candidates
        return Clusters(of, candidates)
    ranks = _standard_ranks(rows[thinned_to(len(rows), CLUSTER_ROWS)][:, candidates])
    distance = np.clip(1.0 - np.abs(ranks.T @ ranks) / len(ranks), 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    label = fcluster(linkage(squareform(distance, checks=False), "average"), same, "distance")
    for each in np.unique(label):
        own = np.flatnonzero(label == each)
        of[candidates[own]] = candidates[own[np.argmin(distance[np.ix_(own, own)].sum(axis=0))]]
    return Clusters(of, np.unique(of[candidates]))


def fit_trees(rows: Rows, y: npt.NDArray[np.int8], seed: int) -> xgboost.Booster:
    """Small boosted trees, the same for the same input."""
    data = xgboost.QuantileDMatrix(rows, y, max_bin=_TREES["max_bin"], nthread=THREADS)
    return xgboost.train({**_TREES, "seed": seed}, data, ROUNDS)


def said(trees: xgboost.Booster, rows: Rows) -> Floats:
    """Probabilities [n, 3] of ``rows``."""
    return np.asarray(trees.inplace_predict(rows), np.float64)


def stability(samples: Samples, columns: Columns, best: int, seed: int, progress: Progress = lambda _: None) -> Floats:
    """Share of the draws that offered each of ``columns`` in which it was among the ``best`` that cost, [columns].

    A draw learns from a stretch of time and half of the columns, and shuffles each in the stretch that follows: what
    only tells one stretch from another costs nothing there.
    """
    rng, blocks = np.random.default_rng(seed), time_blocks(samples.ts_ns, BLOCKS)
    offered, chosen = np.zeros(len(columns)), np.zeros(len(columns))
    for draw in range(DRAWS):
        start = int(rng.integers(0, BLOCKS - LEARN_BLOCKS - JUDGE_BLOCKS + 1))
        at = _purged(samples, blocks, start)
        some = np.sort(rng.permutation(len(columns))[: -(-len(columns) // 2)])
        costs = _drawn_costs(samples, at, columns[some], seed + draw, rng)
        order = np.argsort(-costs, kind="stable")[:best]
        offered[some] += 1.0
        chosen[some[order[costs[order] > 0.0]]] += 1.0
        progress((draw + 1) / DRAWS)
    return chosen / np.maximum(offered, 1.0)


def _purged(samples: Samples, blocks: Ints, start: int) -> Fold:
    """The stretch from block ``start`` and the one that follows it, without labels that reach into that."""
    middle = start + LEARN_BLOCKS
    test = np.flatnonzero((blocks >= middle) & (blocks < middle + JUDGE_BLOCKS))
    first_ns = samples.ts_ns[test].min(initial=np.iinfo(np.int64).max)
    train = np.flatnonzero((blocks >= start) & (blocks < middle) & (samples.end_ns < first_ns))
    return Fold(train[thinned_to(len(train), LEARN_ROWS)], test[thinned_to(len(test), JUDGE_ROWS)])


def _drawn_costs(samples: Samples, at: Fold, columns: Columns, seed: int, rng: np.random.Generator) -> Floats:
    trees = fit_trees(samples.rows[np.ix_(at.train, columns)], samples.y[at.train], seed)
    costs = _costs(trees, samples.rows[np.ix_(at.test, columns)], samples.y[at.test], rng, 1)
    return costs.mean(axis=1)


def importances(samples: Samples, columns: Columns, folds: Sequence[Fold], seed: int) -> list[Estimate]:
    """Log loss that shuffling each of ``columns`` adds in the held-out parts, over blocks of time of all folds.

    The intervals hold together: among many that are worth nothing, some would look proven one by one.
    """
    rng, added = np.random.default_rng(seed), []
    for fold in folds:
        train = fold.train[thinned_to(len(fold.train), 2 * LEARN_ROWS)]
        test = fold.test[thinned_to(len(fold.test), JUDGE_ROWS)]
        trees = fit_trees(samples.rows[np.ix_(train, columns)], samples.y[train], seed)
        judged = samples.part(test)
        costs = _costs(trees, judged.rows[:, columns], judged.y, rng, REPEATS)
        blocks = time_blocks(judged.ts_ns, BLOCKS // len(folds))
        added.append(np.array([block_means(cost, blocks) for cost in costs]))
    return [estimate(values, len(columns)) for values in np.concatenate(added, axis=1)]


def _costs(
    trees: xgboost.Booster, rows: Rows, y: npt.NDArray[np.int8], rng: np.random.Generator, repeats: int
) -> Floats:
    """Loss that shuffling each column adds to each row, mean of the repeats, [columns, n]; 0 where no tree looks."""
    before, costs = losses(said(trees, rows), y), np.zeros((rows.shape[1], len(y)))
    for name in sorted(trees.get_score(importance_type="weight")):
        column = int(name.removeprefix("f"))
        kept = rows[:, column].copy()
        for _ in range(repeats):
            rows[:, column] = rng.permutation(kept)
            costs[column] += (losses(said(trees, rows), y) - before) / repeats
        rows[:, column] = kept
    return costs


def rank(
    samples: Samples,
    count: int,
    embargo_ns: int,
    seed: int,
    progress: Progress = lambda _: None,
    barred: Mapping[int, str] | None = None,
) -> Ranking:
    """Every usable medoid, best first: by the mean of its places by selection probability and by importance in terms of
    the reach of its interval.

    ``count`` is how many will be chosen; four times as many may be selected in each half, and ``SHUFFLED`` times as
    many are shuffled. ``barred`` columns are no candidates, for the reasons given.
    """
    left_out = unusable(samples) | dict(barred or {})
    candidates = np.array([c for c in range(samples.rows.shape[1]) if c not in left_out], np.intp)
    clusters = cluster(samples.rows, candidates)
    probability = stability(samples, clusters.medoids, 2 * count, seed, lambda share: progress(0.8 * share))
    often = np.argsort(-probability, kind="stable")
    tested = clusters.medoids[often[: SHUFFLED * count]]
    folds = walk_forward(samples.ts_ns, samples.end_ns, FOLDS, embargo_ns)
    found = importances(samples, tested, folds, seed)
    progress(1.0)
    by_cost = np.argsort(np.argsort([-each.over_reach for each in found], kind="stable"), kind="stable")
    places = np.concatenate([np.arange(len(tested)) + by_cost, 2 * np.arange(len(tested), len(often))])
    ranked = [
        Ranked(int(clusters.medoids[often[i]]), float(probability[often[i]]), found[i] if i < len(found) else None)
        for i in np.argsort(places, kind="stable")
    ]
    return Ranking(ranked, clusters, left_out)
