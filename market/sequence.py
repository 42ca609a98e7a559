"""What becomes of a depth delta, by each venue's own sequence rule; ids decide, never clocks.

Binance ("How to manage a local order book correctly"): the snapshot comes from REST, aside of the stream, so the first
delta must align with it (futures U <= L <= u, spot U <= L+1 <= u) and every later one continue (futures pu == previous
u, spot U == previous u + 1). OKX (books channels, ``seqId``/``prevSeqId``): snapshot and deltas share the connection,
every prevSeqId is the seqId before; a keep-alive repeats it, a maintenance reset lowers it. Bybit (orderbook topics):
``u`` rises; the documents promise neither a previous id nor steps of one, so a missing delta cannot be proven.
"""

from collections import deque
from enum import IntEnum
from typing import Final, Literal

from market.errors import CryptoScalpError
from market.events import Depth

Rule = Literal["futures", "spot", "okx", "bybit"]
_RULES: Final[dict[str, Rule]] = {
    "binanceusdm": "futures",
    "binancecoinm": "futures",
    "binance": "spot",
    "okx": "okx",
    "bybit": "bybit",
}
IN_BAND: Final = frozenset({"okx", "bybit"})
_REMEMBERED: Final = 4096


class Step(IntEnum):
    """``NEXT`` continues the book, ``DOUBT`` too but may have skipped something, ``STALE`` is known, ``GAP`` breaks."""

    NEXT = 0
    DOUBT = 1
    STALE = 2
    GAP = 3


def rule_of(venue: str) -> Rule:
    """Sequence rule of ``venue``.

    Raises
    ------
    CryptoScalpError
        No venue of that name.

    >>> rule_of("okx"), rule_of("binance")
    ('okx', 'spot')
    """
    rule = _RULES.get(venue)
    if rule is None:
        raise CryptoScalpError(f"venue {venue!r} has no book rule", f"use one of {', '.join(_RULES)}")
    return rule


def id_before(rule: Rule, depth: Depth) -> int | None:
    """The id that a delta says it continues; None where the venue does not say it.

    >>> id_before("spot", Depth("X", 0, 0, False, 5, 9, -1, [], []))
    4
    """
    if rule == "bybit":
        return None
    return depth.first_id - 1 if rule == "spot" else depth.prev_id


def continues(rule: Rule, last_id: int, depth: Depth) -> bool:
    """Binance: whether ``depth`` is the delta right after the one that ended at ``last_id``."""
    return depth.prev_id == last_id if rule == "futures" else depth.first_id == last_id + 1


def aligns(rule: Rule, snapshot_id: int, depth: Depth) -> bool:
    """Binance: whether ``depth`` (not older than the snapshot) may be the first one after it.

    Futures U <= L <= u; also pu <= L, which proves the same (nothing of this symbol lies between pu and U).
    """
    if rule == "futures":
        return min(depth.first_id, depth.prev_id if depth.prev_id >= 0 else depth.first_id) <= snapshot_id
    return depth.first_id <= snapshot_id + 1


class Chain:
    """Memory of the links applied lately, so that a repeated delta is told from one that was missed.

    ``start`` is the snapshot's id; ``heard`` the last id received at all; ``tail`` the last one received before the
    snapshot, where the rest of an older connection's deltas, already inside the new snapshot, goes on.
    """

    def __init__(self) -> None:
        self.start = self.heard = self.tail = -1
        self._before: dict[int, int] = {}
        self._order: deque[int] = deque()

    def restart(self, snapshot_id: int) -> None:
        self.start, self.tail, self.heard = snapshot_id, self.heard, snapshot_id
        self._before.clear()
        self._order.clear()

    def add(self, depth: Depth) -> None:
        """Remember an applied delta; Bybit's ids only rise, so what is forgotten lies below ``start``."""
        self.heard = depth.last_id
        if depth.last_id in self._before or depth.last_id == depth.prev_id:
            return
        self._before[depth.last_id] = depth.prev_id
        self._order.append(depth.last_id)
        if len(self._order) > _REMEMBERED:
            oldest = self._order.popleft()
            del self._before[oldest]
            if depth.prev_id < 0:
                self.start = oldest

    def knows(self, depth: Depth) -> bool:
        if depth.last_id == depth.prev_id:
            return depth.last_id == self.start or depth.last_id in self._before
        return self._before.get(depth.last_id) == depth.prev_id


def okx_step(chain: Chain, last_id: int, depth: Depth) -> Step:
    """OKX: a delta that neither continues nor repeats the chain proves a gap, whichever way its ids went.

    A lower id alone proves nothing old: after a missed maintenance reset every id is lower.
    """
    if depth.prev_id == last_id:
        return Step.NEXT
    if chain.knows(depth):
        return Step.STALE
    if depth.prev_id == chain.tail and depth.last_id <= chain.start:
        chain.tail = depth.last_id
        return Step.STALE
    return Step.GAP


def bybit_step(chain: Chain, last_id: int, depth: Depth) -> Step:
    """Bybit: a delta that comes after a younger one proves disorder; a step above one only raises doubt."""
    if depth.last_id > last_id:
        return Step.NEXT if depth.last_id == last_id + 1 else Step.DOUBT
    return Step.STALE if depth.last_id <= chain.start or chain.knows(depth) else Step.GAP
