"""Walk-forward folds that leak nothing, time blocks, and means with intervals over blocks."""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from pipelines.settings import PipelineError

CONFIDENCE: Final = 0.95

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Fold(msgspec.Struct, frozen=True):
    """Indices of samples to learn from and, all later, to judge by."""

    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


class Estimate(msgspec.Struct, frozen=True):
    """A mean, and the bounds of its confidence interval; nan where one block alone tells nothing of the spread."""

    mean: float
    low: float
    high: float

    @property
    def over_reach(self) -> float:
        """The mean in units of the interval's half width: above 1 the interval lies above 0. 0 where both are 0."""
        reach = self.high - self.mean
        return self.mean / reach if reach > 0.0 else float(np.sign(self.mean))


def time_blocks(ts_ns: Ints, count: int) -> Ints:
    """Which of ``count`` stretches of equally many samples each sample falls into; equal times are not parted.

    >>> time_blocks(np.array([30, 10, 10, 40]), 2).tolist()
    [1, 0, 0, 1]
    """
    ordered = np.sort(ts_ns)
    starts = ordered[np.arange(1, count) * len(ordered) // count]
    return np.searchsorted(starts, ts_ns, side="right").astype(np.int64)


def walk_forward(ts_ns: Ints, end_ns: Ints, count: int, embargo_ns: int) -> list[Fold]:
    """``count`` folds, each judged on the stretch that follows all it learns from.

    A sample is learned from only when its label was known ``embargo_ns`` before the judged stretch starts (purging and
    embargo, Lopez de Prado 2018). All symbols share the same instants.

    Raises
    ------
    PipelineError
        When a fold has nothing to learn from or to judge by.
    """
    blocks, folds = time_blocks(ts_ns, count + 1), []
    for test in range(1, count + 1):
        judged = np.flatnonzero(blocks == test)
        start = ts_ns[judged].min(initial=np.iinfo(np.int64).max)
        learned = np.flatnonzero((blocks < test) & (end_ns < start - embargo_ns))
        if not (len(judged) and len(learned)):
            raise PipelineError(
                f"fold {test} of {count} has {len(learned)} samples to learn from and {len(judged)} to judge by",
                "give a longer tape, fewer folds or a shorter embargo",
            )
        folds.append(Fold(learned, judged))
    return folds


def estimate(values: Floats, questions: int = 1) -> Estimate:
    """Mean of independent values and its interval by Student's t (Student 1908).

    Where as many ``questions`` are asked of the same data, all intervals together hold with ``CONFIDENCE`` (Dunn 1961).

    >>> estimate(np.array([1.0, 2.0, 3.0])).mean
    2.0
    """
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Estimate(mean, np.nan, np.nan)
    bound = stats.t.ppf(1.0 - (1.0 - CONFIDENCE) / (2 * questions), count - 1)
    reach = float(bound * np.std(values, ddof=1) / np.sqrt(count))
    return Estimate(mean, mean - reach, mean + reach)


def block_means(values: Floats, blocks: Ints) -> Floats:
    """Mean of ``values`` within each block that has any, [blocks]: neighbours share outcomes, blocks hardly do."""
    counts = np.bincount(blocks)
    filled = counts > 0
    return np.bincount(blocks, values)[filled] / counts[filled]
