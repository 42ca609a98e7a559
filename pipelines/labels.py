"""What happened after each decision: NLk, the direction of the mid k top-of-book quotes later.

The count starts ``latency_ns`` after the decision on the event clock, so an order's way to the venue is in the label.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

DOWN: Final = 0
FLAT: Final = 1
UP: Final = 2
UNKNOWN: Final = -1
NEVER_NS: Final = np.iinfo(np.int64).max
_SAME_PX: Final = 1e-12  # relative; far below half a tick of any venue, above the rounding of one float addition

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def nl_labels(
    ts_ns: Ints, bid_px: Floats, ask_px: Floats, *, k: int, latency_ns: int
) -> tuple[npt.NDArray[np.int8], Ints]:
    """Label every top-of-book quote as a decision point.

    With ``r`` the last quote at or before ``ts_ns[i] + latency_ns``, the label compares the mid of quote ``r + k`` with
    the mid of quote ``r``.

    Parameters
    ----------
    ts_ns : int64 [n]
        Event clock, non-decreasing.
    bid_px : float64 [n]
        Best bid of each quote.
    ask_px : float64 [n]
        Best ask of each quote.
    k : int
        Further quotes to wait, at least 1.
    latency_ns : int
        Delay between decision and reference price.

    Returns
    -------
    label : int8 [n]
        0 down, 1 flat, 2 up; -1 where quote ``r + k`` was not recorded.
    end_ns : int64 [n]
        Event clock of quote ``r + k``, when the label is known; the largest int64 where it never is.

    Examples
    --------
    >>> ts, bid = np.arange(5) * 10, np.array([1.0, 1.0, 2.0, 2.0, 1.0])
    >>> label, end = nl_labels(ts, bid, bid + 1, k=2, latency_ns=0)
    >>> label.tolist(), end[:3].tolist()
    ([2, 2, 0, -1, -1], [20, 30, 40])
    """
    move, row = nl_moves(ts_ns, bid_px, ask_px, k=k, latency_ns=latency_ns)
    return directions(move), np.append(ts_ns, NEVER_NS)[row]


def nl_moves(ts_ns: Ints, bid_px: Floats, ask_px: Floats, *, k: int, latency_ns: int) -> tuple[Floats, Ints]:
    """The relative change of mid that :func:`nl_labels` judges, NaN where it is unknown, and the quote that tells it.

    The second result is the number of that quote, ``n`` where it never came: the order in which things become known,
    which times do not give, since quotes share them.
    """
    reference = np.searchsorted(ts_ns, ts_ns + latency_ns, side="right") - 1
    return _moves(bid_px, ask_px, reference, reference + k)


def horizon_moves(
    ts_ns: Ints, bid_px: Floats, ask_px: Floats, *, horizon_ns: int, latency_ns: int
) -> tuple[Floats, Ints]:
    """As :func:`nl_moves`, over a span of time: from the last quote at or before ``ts_ns + latency_ns`` to the last one
    at or before ``horizon_ns`` later, which is known once the next quote was seen.
    """
    at_ns = ts_ns + latency_ns
    reference = np.searchsorted(ts_ns, at_ns, side="right") - 1
    return _moves(bid_px, ask_px, reference, np.searchsorted(ts_ns, at_ns + horizon_ns, side="right"), back=1)


def directions(move: Floats) -> npt.NDArray[np.int8]:
    """Classes of relative changes: 0 down, 1 flat, 2 up, -1 for NaN."""
    label = np.where(move > _SAME_PX, UP, np.where(move < -_SAME_PX, DOWN, FLAT)).astype(np.int8)
    return np.where(np.isnan(move), np.int8(UNKNOWN), label)


def _moves(
    bid_px: Floats, ask_px: Floats, reference: npt.NDArray[np.intp], known_at: npt.NDArray[np.intp], back: int = 0
) -> tuple[Floats, Ints]:
    """Change of mid from quote ``reference`` to quote ``known_at - back``, told by quote ``known_at``."""
    n = len(bid_px)
    known = known_at < n
    mid_px = 0.5 * (bid_px + ask_px)
    before, after = mid_px[reference[known]], mid_px[known_at[known] - back]
    move = np.full(n, np.nan)
    move[known] = (after - before) / before
    return move, np.minimum(known_at, n).astype(np.int64)
