"""Look-ahead found by cutting: what is known after an event may not change when later events are taken away.

It fits whatever turns events or a table into rows: features, labels, normalization. A column that already holds the
future when it comes in cannot be seen, only what the function itself takes from there.

>>> px = np.arange(100.0) ** 2
>>> find_leaks(lambda px: np.diff(px, prepend=px[0]), (px,))
()
>>> print(find_leaks(lambda px: np.diff(px, append=px[-1]), (px,), ["return"])[0])
return: row 0, known after event 0, is 1.0, but 0.0 when the input ends after event 0
>>> find_leaks(lambda px: px - px.mean(), (px,), ["centred"])[0].feature
'centred'

A label looks ahead by design. It says when it is known, and may not need more than that:

>>> def rises(px, ahead):
...     n = max(len(px) - ahead, 0)
...     return np.sign(px[ahead:] - px[:n]), np.arange(n) + 2
>>> find_leaks(lambda px: rises(px, 2), (px,))
()
>>> find_leaks(lambda px: rises(px, 3), (px,))[0].feature
'rows'
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.number[Any]]
Known: TypeAlias = npt.NDArray[np.integer[Any]]
Compute: TypeAlias = Callable[..., Rows | tuple[Rows, Known]]

CUTS: Final = 200
ROWS: Final = "rows"
"""Stands for the feature where a row is missing or one too many."""


class Leak(msgspec.Struct, frozen=True):
    """The first row of ``feature`` that changes with what comes after it.

    Attributes
    ----------
    feature
        Its name; ``rows`` where a row is missing, or one too many.
    row
        Number of the row among all rows of the whole input.
    event
        The event after which the row is said to be known.
    events
        How many events the input was cut to.
    whole, cut
        The value from the whole input and from the cut one. For ``rows``: the event after which it is known, NaN where
        the row is missing.
    """

    feature: str
    row: int
    event: int
    events: int
    whole: float
    cut: float

    def __str__(self) -> str:
        ended = f"{self.cut} when the input ends after event {self.events - 1}"
        return f"{self.feature}: row {self.row}, known after event {self.event}, is {self.whole}, but {ended}"


def find_leaks(
    compute: Compute,
    inputs: Sequence[npt.NDArray[Any]],
    names: Sequence[str] = (),
    *,
    cuts: int = CUTS,
    seed: int = 0,
    tolerance: float = 0.0,
) -> tuple[Leak, ...]:
    """Cut the input at random places and compare all rows that are known by then.

    Parameters
    ----------
    compute
        ``compute(*inputs)`` gives rows ``[k]`` or ``[k, f]``, and the event after which each is known, ``[k]``. Without
        the latter, row ``i`` is known after event ``i``. It must not change its inputs.
    inputs
        Arrays ``[n, ...]`` of the same ``n`` events, in order: columns of a table, or the parts of a stream.
    names
        Of the ``f`` columns; else their numbers.
    cuts, seed
        How many places to cut at (everywhere, when there are no more), and which.
    tolerance
        Differences up to this are none. 0 asks for the same number; NaN equals NaN.

    Returns
    -------
    leaks
        Nothing, or for every leaking column its first changed row over all cuts, columns in order.

    Raises
    ------
    ValueError
        When the inputs differ in length or there are fewer than two events.
    """
    size = len(inputs[0]) if inputs else 0
    if size < 2 or any(len(part) != size for part in inputs):
        raise ValueError(f"inputs of {[len(part) for part in inputs]} events: give at least two, all of one length")
    whole = _rows(compute(*inputs))
    found: dict[int, Leak] = {}
    for events in _places(size, cuts, seed):
        part = _rows(compute(*(values[:events] for values in inputs)))
        for column, leak in _changes(_until(whole, events), _until(part, events), events, names, tolerance):
            if column not in found or leak.row < found[column].row:
                found[column] = leak
    return tuple(found[column] for column in sorted(found))


def _rows(result: Rows | tuple[Rows, Known]) -> tuple[Rows, Known]:
    """Rows ``[k, f]`` and the event after which each is known."""
    rows, known = result if isinstance(result, tuple) else (result, np.arange(len(result)))
    return np.reshape(rows, (len(rows), int(np.prod(np.shape(rows)[1:])))), np.asarray(known)


def _places(size: int, cuts: int, seed: int) -> Known:
    """Lengths to cut to, at least one event and not all."""
    if cuts >= size - 1:
        return np.arange(1, size)
    return np.sort(np.random.default_rng(seed).choice(np.arange(1, size), cuts, replace=False))


def _until(computed: tuple[Rows, Known], events: int) -> tuple[Known, Rows, Known]:
    """Numbers, values and events of the rows that are known within the first ``events``."""
    rows, known = computed
    at = np.flatnonzero(known < events)
    return at, rows[at], known[at]


def _changes(
    whole: tuple[Known, Rows, Known],
    part: tuple[Known, Rows, Known],
    events: int,
    names: Sequence[str],
    tolerance: float,
) -> Iterator[tuple[int, Leak]]:
    """The first changed row of every column that has one; column -1 when other rows are there."""
    (at, rows, known), (_, cut_rows, cut_known) = whole, part
    if not np.array_equal(known, cut_known):
        yield -1, _other_rows(at, known, cut_known, events)
        return
    with np.errstate(invalid="ignore"):
        same = (rows == cut_rows) | (np.isnan(rows) & np.isnan(cut_rows)) | (np.abs(rows - cut_rows) <= tolerance)
    for column in np.flatnonzero(~same.all(axis=0)).tolist():
        row = int(np.argmin(same[:, column]))
        values = float(rows[row, column]), float(cut_rows[row, column])
        name = names[column] if names else f"column {column}"
        yield column, Leak(name, int(at[row]), int(known[row]), events, *values)


def _other_rows(at: Known, known: Known, cut_known: Known, events: int) -> Leak:
    """Where the two lists of events part; a row that one of them lacks is NaN."""
    shorter = min(len(known), len(cut_known))
    apart = np.flatnonzero(known[:shorter] != cut_known[:shorter])
    row = int(apart[0]) if apart.size else shorter
    whole, cut = (float(of[row]) if row < len(of) else np.nan for of in (known, cut_known))
    number = int(at[row]) if row < len(at) else len(at)
    return Leak(ROWS, number, int(whole if row < len(known) else cut), events, whole, cut)
