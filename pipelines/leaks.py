"""Bias checks on features, labels, normalization, training sets and anyone's own function, each leak with its cause.

What turns events into rows is cut at random places (``features.leak``); the cause is told by ``pipelines.leak_causes``.
A training set is compared with itself: who is learned from, who is judged, and when each outcome was known.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from features.leak import CUTS, ROWS, Compute, Leak, find_leaks
from pipelines.dataset import SPLITS, TRAIN, Dataset, windows
from pipelines.leak_causes import cause_of, split_rows
from pipelines.members import Scaler

CAUSES: Final = {
    "future_column": (
        "the column holds what is known only later",
        "shift it the other way, or drop it from the features",
    ),
    "centred_window": (
        "a window reaches as far ahead as behind",
        "let the window end at its own row (center=False)",
    ),
    "forward_join": (
        "an as-of join takes the next match instead of the last one",
        "join backward: direction='backward', strategy='backward', searchsorted(..., side='right') - 1",
    ),
    "bar_start": (
        "bars are labelled by their start, but hold prices up to their end",
        "label bars by their end, or use the bar before the current one",
    ),
    "whole_file_normalization": (
        "it is scaled by figures of the whole file",
        "fit mean and deviation on the train split alone, or over the past only",
    ),
    "target_encoding": (
        "groups are encoded by their mean over all rows",
        "encode by the rows before, or by the train split alone",
    ),
    "whole_file": (
        "it depends on rows up to the end of the file (a rank, a backward fill, a model fitted on everything)",
        "compute it from rows up to its own alone",
    ),
    "looks_ahead": (
        "it changes when later events are taken away",
        "compute it from events up to its own alone",
    ),
    "waiting_rows": (
        "rows are there, or missing, by what comes after the event they are said to be known at",
        "say for each row after which event it is known: return (rows, known)",
    ),
    "early_label": (
        "the label is taken a step early: it uses the price at the decision or is called known before its own price",
        "count from the price after the latency, and call it known when its last price was seen",
    ),
    "unpurged_split": (
        "an outcome that is learned was known only after the next split began",
        "drop samples whose outcome matures at or after the next split's first decision (pipelines.dataset)",
    ),
    "shuffled_split": (
        "samples of an earlier split lie after the beginning of a later one",
        "split by time, never at random",
    ),
    "duplicated_rows": (
        "the same sample is in two splits",
        "remove repeated rows before splitting",
    ),
}
_AUC: Final = 0.97
_MIN_EACH: Final = 30
_MOVED: Final = 1.01

Ints = npt.NDArray[np.int64]
Label = Callable[..., Any]


class Finding(msgspec.Struct, frozen=True):
    """The first sign of one leak.

    ``value`` is what ``row`` of ``feature`` holds, ``honest`` what it is without the leak; ``about`` says in words what
    the two values are. ``cause`` is a key of ``CAUSES``.
    """

    checked: str
    feature: str
    row: int
    value: float | int
    honest: float | int
    cause: str
    about: str

    @property
    def why(self) -> str:
        """The cause in words."""
        return CAUSES[self.cause][0]

    @property
    def fix(self) -> str:
        """What to do."""
        return CAUSES[self.cause][1]

    def __str__(self) -> str:
        place = f"{self.checked}: {self.feature}, row {self.row}: {self.value}, {self.about} {self.honest}"
        return f"{place}\n  cause: {self.cause}: {self.why}\n  fix: {self.fix}"


def check_rows(
    checked: str,
    compute: Compute,
    inputs: Sequence[npt.NDArray[Any]],
    ts_ns: Ints,
    names: Sequence[str],
    *,
    cuts: int = CUTS,
    seed: int = 0,
    tolerance: float = 0.0,
) -> tuple[Finding, ...]:
    """Leaks of rows computed from a stream, as ``find_leaks`` takes it; ``ts_ns`` [n] is the clock of its events."""
    found = find_leaks(compute, inputs, names, cuts=cuts, seed=seed, tolerance=tolerance)
    return tuple(_finding(checked, leak, _cause(compute, inputs, ts_ns, names, leak)) for leak in found)


def _cause(compute: Compute, inputs: Sequence[npt.NDArray[Any]], ts_ns: Ints, names: Sequence[str], leak: Leak) -> str:
    column = list(names).index(leak.feature) if leak.feature in names else -1
    return cause_of(compute, inputs, ts_ns, leak, column)


def _finding(checked: str, leak: Leak, cause: str) -> Finding:
    about = f"but when the input ends after event {leak.events - 1}:"
    if leak.feature == ROWS:
        about = "the event it is known after, but " + about.removeprefix("but ")
    return Finding(checked, leak.feature, leak.row, leak.whole, leak.cut, cause, about)


def check_label(
    checked: str,
    label: Label,
    quotes: Sequence[npt.NDArray[Any]],
    latency_ns: int,
    *,
    cuts: int = CUTS,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Whether a label is known when it says so, and takes no price that was there before an order could arrive.

    Parameters
    ----------
    checked
        What findings call it.
    label
        ``label(ts_ns, bid_px, ask_px)`` gives labels [n] and the number of the quote that tells each, n where none
        does.
    quotes
        ``ts_ns``, ``bid_px``, ``ask_px``, each [n], ``ts_ns`` non-decreasing.
    latency_ns
        From a decision to the first price that counts. Rows without a quote in between cannot be tested for it.
    cuts, seed
        How many places, and rows, to try; and which.
    """
    found = find_leaks(label, quotes, ["label"], cuts=cuts, seed=seed)
    if found:
        return (_finding(checked, found[0], "early_label"),)
    return tuple(_decision_price(checked, label, quotes, latency_ns, cuts, seed))


def _decision_price(
    checked: str, label: Label, quotes: Sequence[npt.NDArray[Any]], latency_ns: int, cuts: int, seed: int
) -> Iterator[Finding]:
    """The first tried row whose label follows prices up to its decision, though a later one was there in time."""
    ts_ns, bid_px, ask_px = quotes
    rows, known = split_rows(label(ts_ns, bid_px, ask_px))
    arrived = np.searchsorted(ts_ns, ts_ns + latency_ns, side="right") - 1
    testable = np.flatnonzero((known < len(ts_ns)) & (arrived[: len(known)] > np.arange(len(known))))
    rng = np.random.default_rng(seed)
    for row in np.sort(rng.choice(testable, min(cuts, len(testable)), replace=False)).tolist():
        for factor in (_MOVED, 1 / _MOVED):
            moved = [np.append(px[: row + 1] * factor, px[row + 1 :]) for px in (bid_px, ask_px)]
            other = split_rows(label(ts_ns, *moved))[0][row, 0]
            if other != rows[row, 0]:
                about = f"but when prices up to the decision, {latency_ns / 1e6:g} ms before the order, are others:"
                yield Finding(checked, "label", row, rows[row, 0].item(), other.item(), "early_label", about)
                return


def check_dataset(dataset: Dataset, latency_ns: int = 0, names: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Leaks of a training set: its split in time, its purge, repeated samples, early outcomes, columns that tell them.

    ``latency_ns`` is the least time from a decision to its outcome; ``names`` are those of the columns.
    """
    shuffled = list(_shuffled(dataset))
    checks = [shuffled or list(_unpurged(dataset)), _early(dataset, latency_ns), _repeated(dataset)]
    return tuple(finding for found in [*checks, _telling(dataset, names)] for finding in found)


def _later_start(dataset: Dataset, split: int) -> int | None:
    later = dataset.ts_ns[dataset.split > split]
    return int(later.min()) if later.size else None


def _shuffled(dataset: Dataset) -> Iterator[Finding]:
    yield from _beyond(dataset, dataset.ts_ns, "shuffled_split", "is decided at, but the next split begins at")


def _unpurged(dataset: Dataset) -> Iterator[Finding]:
    yield from _beyond(
        dataset, dataset.end_ns, "unpurged_split", "its outcome is known at, but the next split begins at"
    )


def _beyond(dataset: Dataset, at_ns: Ints, cause: str, about: str) -> Iterator[Finding]:
    for split in range(len(SPLITS) - 1):
        start_ns = _later_start(dataset, split)
        rows = np.flatnonzero((dataset.split == split) & (at_ns >= (start_ns or 0)))
        if start_ns is not None and rows.size:
            row = int(rows[0])
            yield Finding("dataset", f"{SPLITS[split]} split", row, int(at_ns[row]), start_ns, cause, about)
            return


def _early(dataset: Dataset, latency_ns: int) -> Iterator[Finding]:
    early = np.flatnonzero(dataset.end_ns < dataset.ts_ns + latency_ns)
    if early.size:
        row = int(early[0])
        honest = int(dataset.ts_ns[row]) + latency_ns
        about = "when its outcome is said to be known, but an order arrives at"
        yield Finding("dataset", "label", row, int(dataset.end_ns[row]), honest, "early_label", about)


def _repeated(dataset: Dataset) -> Iterator[Finding]:
    """Samples of one symbol whose whole window, one that moves, is in a window of another split too."""
    last = np.ascontiguousarray(dataset.rows[dataset.ends])
    keys = last.view(np.dtype((np.void, last.dtype.itemsize * last.shape[1])))[:, 0]
    order = np.argsort(keys, kind="stable")
    _, start, count = np.unique(keys[order], return_index=True, return_counts=True)
    for at, many in zip(start[count > 1].tolist(), count[count > 1].tolist(), strict=True):
        group = np.sort(order[at : at + many])
        for other in group[1:].tolist():
            one = int(group[0])
            if dataset.split[one] != dataset.split[other] and _same_window(dataset, one, other):
                about = f"number of the {SPLITS[dataset.split[other]]} sample, which is the same as number"
                name = f"{SPLITS[dataset.split[one]]} and {SPLITS[dataset.split[other]]} split"
                yield Finding("dataset", name, other, other, one, "duplicated_rows", about)
                return


def _same_window(dataset: Dataset, one: int, other: int) -> bool:
    first, second = windows(dataset, np.array([one, other]))
    return bool(
        dataset.symbol_id[one] == dataset.symbol_id[other] and np.array_equal(first, second) and np.ptp(first, 0).any()
    )


def _telling(dataset: Dataset, names: Sequence[str]) -> Iterator[Finding]:
    """Columns that alone tell up from down, as none does that holds the past."""
    moved = np.flatnonzero(dataset.y != 1)
    up = dataset.y[moved] == 2
    if min(up.sum(), (~up).sum()) < _MIN_EACH:
        return
    last = dataset.rows[dataset.ends[moved]]
    for column in range(last.shape[1]):
        auc = _auc(last[:, column], up)
        if max(auc, 1 - auc) > _AUC:
            name = names[column] if len(names) else f"column {column}"
            about = "the probability that it is larger before up than before down, which without the future is near"
            yield Finding("dataset", name, int(moved[0]), round(auc, 4), 0.5, "future_column", about)


def _auc(values: npt.NDArray[np.float32], up: npt.NDArray[np.bool_]) -> float:
    """Probability that a value of ``up`` exceeds one of the others; ties count half."""
    others = np.sort(values[~up])
    below = np.searchsorted(others, values[up], side="left") + np.searchsorted(others, values[up], side="right")
    return float(below.mean() / (2 * len(others)))


def check_scaler(dataset: Dataset, fit: Callable[[Dataset], Scaler], names: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Whether normalization fitted by ``fit`` stays as it is when rows that no train window holds are others."""
    train = dataset.ends[dataset.split == TRAIN]
    held = np.zeros(len(dataset.rows), np.bool_)
    held[(train[:, None] + np.arange(1 - dataset.window, 1)).ravel()] = True
    others = np.where(held[:, None], dataset.rows, 2 * dataset.rows + 1).astype(np.float32)
    now, then = fit(dataset), fit(msgspec.structs.replace(dataset, rows=others))
    changed = np.flatnonzero((now.mean != then.mean) | (now.inverse != then.inverse))
    about = "its mean, but when rows after the train split are others:"
    return tuple(
        Finding(
            "scaler",
            names[column] if len(names) else f"column {column}",
            int(np.argmin(held)),
            float(now.mean[column]),
            float(then.mean[column]),
            "whole_file_normalization",
            about,
        )
        for column in changed.tolist()
    )
