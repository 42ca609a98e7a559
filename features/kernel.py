"""The served row, live and in batch, by one body: ``update`` per event, and ``fold``, which loops ``update``.

Each call is O(1): decayed sums need no window, lags and bars live in rings. What is computed is ``features.schema``'s
list; ``features.bank`` gives the same for all features there are, or for any others.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from features.compiled import Kernel
from features.families import FAMILIES
from features.plan import Plan
from features.schema import FEATURES
from features.state import Row, State
from market.events import QUOTE, TRADE, Quote, Trade

__all__ = ["SERVED", "State", "address_of", "clock_ns", "encode", "fold", "init_state", "row_of", "update", "warm_up"]

SERVED: Final = Kernel(Plan(FEATURES, FAMILIES))


def init_state() -> State:
    """A fresh state: no event seen. One per symbol and stream; ``state.copy()`` is a snapshot."""
    return SERVED.init_state()


def address_of(state: State) -> int:
    """Where ``state`` lies in memory, as ``update`` takes it. Good for as long as ``state`` itself is held."""
    return int(state.ctypes.data)


def row_of(state: State) -> Row:
    """A view of the row last written to ``state``, ``float64[features]``."""
    return SERVED.row(state)


def update(address: int, kind: int, ts_ns: int, a: float, b: float, c: float, d: float) -> bool:
    """Take one event into the state at ``address``; at a decision point write its row (``row_of``).

    Parameters
    ----------
    address
        ``address_of`` a state of ``init_state``, of this symbol; changed in place.
    kind, ts_ns
        ``market.events.QUOTE`` or ``TRADE`` (more in ``features.body``), and the event clock in ns UTC (made
        monotone here).
    a, b, c, d
        Quote: bid_px, bid_qty, ask_px, ask_qty. Trade: px, qty, the taker's side (+1 or -1), 0.

    Returns
    -------
    bool
        True at a decision point of the schema, after the first ``WARMUP_ROWS`` usable quotes. A quote with bid above
        ask, and any event with a price or quantity that is NaN, zero, negative or absurd, leaves the state as it was.
        A row is never NaN or infinite.
    """
    return bool(SERVED.update(address, kind, ts_ns, a, b, c, d))


def fold(
    kinds: npt.NDArray[np.int8],
    ts: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    state: State | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Feature rows of a stretch of events, exactly as ``update`` gives them one by one; see ``Kernel.fold``."""
    return SERVED.fold(kinds, ts, values, state)


def clock_ns(state: State) -> int:
    """The event clock after the last event taken, ns UTC; 0 before the first."""
    return int(state["now_ns"][0])


def encode(event: Quote | Trade) -> tuple[int, int, float, float, float, float]:
    """Arguments of ``update`` after the address. The clock is ``ts_event``, or ``ts_recv`` where there is none."""
    ts_ns = event.ts_event if event.ts_event > 0 else event.ts_recv
    if isinstance(event, Quote):
        return QUOTE, ts_ns, event.bid_px, event.bid_qty, event.ask_px, event.ask_qty
    return TRADE, ts_ns, event.px, event.qty, float(event.side), 0.0


def warm_up() -> None:
    """Load the compiled kernel and run it once on a throwaway state, so that the first live tick pays for nothing."""
    state = init_state()
    update(address_of(state), QUOTE, 0, 1.0, 1.0, 1.0, 1.0)
    fold(np.zeros(1, np.int8), np.zeros(1, np.int64), np.ones((1, 4)))
