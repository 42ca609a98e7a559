"""Does a selected set beat the served one? Judged where neither selection nor model has looked."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.evaluate import losses
from pipelines.folds import Estimate, block_means, estimate, time_blocks, walk_forward
from pipelines.members import CLASS_COUNT, CLIP
from pipelines.selection import Columns, Floats, Progress, Rows, Samples, fit_trees, said, thinned_to

OUTER_FOLDS: Final = 3
LEARN_ROWS: Final = 16_000
JUDGE_BLOCKS: Final = 10
_SHRINK: Final = 0.003

Fit = Callable[[Rows, npt.NDArray[np.int8], Rows, int], Floats]
Select = Callable[[Samples], Sequence[int]]


class Trial(msgspec.Struct, frozen=True):
    """Out-of-sample log loss of one kind of model: on the served set, on sets selected from what each fold learns from.

    ``difference`` is selected minus served (below 0: the selected set is better), over blocks of time.
    """

    model: str
    served: float
    selected: float
    shares: float
    difference: Estimate
    rows: int


def fit_logistic(train: Rows, y: npt.NDArray[np.int8], test: Rows, seed: int) -> Floats:
    """Multinomial logistic regression on scaled, clipped rows: the plainest model there is."""
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    inverse = np.where(deviation > 0.0, 1.0 / np.where(deviation > 0.0, deviation, 1.0), 1.0)
    model = LogisticRegression(C=_SHRINK, max_iter=300, random_state=seed)
    with threadpool_limits(1):
        model.fit(np.clip((train - mean) * inverse, -CLIP, CLIP), y)
        found = model.predict_proba(np.clip((test - mean) * inverse, -CLIP, CLIP))
    proba = np.zeros((len(test), CLASS_COUNT))
    proba[:, model.classes_] = found
    return proba


def fit_boosted(train: Rows, y: npt.NDArray[np.int8], test: Rows, seed: int) -> Floats:
    """Small boosted trees, as the selection uses them."""
    return said(fit_trees(train, y, seed), test)


MODELS: Final[dict[str, Fit]] = {"logistic": fit_logistic, "trees": fit_boosted}


def compare(
    samples: Samples,
    served: Sequence[int],
    select: Select,
    embargo_ns: int,
    seed: int,
    progress: Progress = lambda _: None,
) -> list[Trial]:
    """One trial per kind of model, over walk-forward folds; ``select`` sees only what the fold learns from."""
    found: dict[str, list[tuple[Floats, ...]]] = {name: [] for name in MODELS}
    folds = walk_forward(samples.ts_ns, samples.end_ns, OUTER_FOLDS, embargo_ns)
    for done, fold in enumerate(folds, 1):
        learned, judged = samples.part(fold.train), samples.part(fold.test)
        selected = np.array(select(learned), np.intp)
        blocks = time_blocks(judged.ts_ns, JUDGE_BLOCKS)
        # trees draw columns by their place: the same set must be the same model
        sets = (np.sort(np.array(served, np.intp)), np.sort(selected))
        for name, fit in MODELS.items():
            loss = [_loss(fit, learned, judged, columns, seed) for columns in sets]
            found[name].append((*loss, _share_loss(learned, judged), block_means(loss[1] - loss[0], blocks)))
        progress(done / len(folds))
    return [_trial(name, parts) for name, parts in found.items()]


def _loss(fit: Fit, learned: Samples, judged: Samples, columns: Columns, seed: int) -> Floats:
    at = thinned_to(len(learned.y), LEARN_ROWS)
    proba = fit(learned.rows[np.ix_(at, columns)], learned.y[at], judged.rows[:, columns], seed)
    return losses(np.maximum(proba, 1e-6), judged.y)


def _share_loss(learned: Samples, judged: Samples) -> Floats:
    """What knowing only how often each class comes would cost."""
    shares = (np.bincount(learned.y, minlength=CLASS_COUNT) + 1.0) / (len(learned.y) + CLASS_COUNT)
    return losses(np.broadcast_to(shares, (len(judged.y), CLASS_COUNT)), judged.y)


def _trial(name: str, parts: Sequence[tuple[Floats, ...]]) -> Trial:
    served, selected, shares, difference = (np.concatenate(column) for column in zip(*parts, strict=True))
    means = float(served.mean()), float(selected.mean()), float(shares.mean())
    return Trial(name, *means, estimate(difference), len(served))
