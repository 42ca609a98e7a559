"""Trades of one market since the exchange started, kept so that clients can page back through them."""

from array import array
from bisect import bisect_left
from typing import Final

from market.events import Trade

MOST: Final = 1_000_000


class Prints:
    """Trades in the order of their numbers, which the venue counts up; a number that comes again is the same trade.

    Columns rather than objects: a busy symbol prints millions a day. Beyond ``most`` the oldest ones are forgotten.
    """

    def __init__(self, symbol: str, most: int = MOST) -> None:
        self._symbol, self._most = symbol, most
        self._ids, self._times = array("q"), array("q")
        self._px, self._qty, self._sides = array("d"), array("d"), array("b")

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, trade: Trade, time_ns: int) -> None:
        """Keep one trade; ``time_ns`` is its own time, or the exchange's where it has none."""
        at = len(self._ids)
        if at and trade.trade_id <= self._ids[-1]:
            at = bisect_left(self._ids, trade.trade_id)
            if self._ids[at] == trade.trade_id:
                return
        for column, value in self._cells(trade, time_ns):
            column.insert(at, value)
        if len(self._ids) > self._most:
            self._forget(self._most // 10)

    def _cells(self, trade: Trade, time_ns: int) -> list[tuple[array, float]]:  # type: ignore[type-arg]
        numbers = [(self._ids, trade.trade_id), (self._times, time_ns), (self._sides, trade.side)]
        return [*numbers, (self._px, trade.px), (self._qty, trade.qty)]

    def _forget(self, count: int) -> None:
        for column in (self._ids, self._times, self._px, self._qty, self._sides):
            del column[:count]

    def latest(self, count: int) -> list[Trade]:
        """The last ``count`` trades, oldest first."""
        return [self._at(place) for place in range(max(0, len(self) - count), len(self))]

    def after(self, trade_id: int, start_ns: int, end_ns: int, count: int) -> list[Trade]:
        """The first ``count`` trades numbered ``trade_id`` or above, of [start_ns, end_ns], oldest first."""
        first = max(bisect_left(self._ids, trade_id), bisect_left(self._times, start_ns))
        found: list[Trade] = []
        for place in range(first, len(self)):
            if len(found) == count or self._times[place] > end_ns:
                break
            found.append(self._at(place))
        return found

    def before(self, trade_id: int, time_ns: int, count: int) -> list[Trade]:
        """The last ``count`` trades numbered below ``trade_id`` and earlier than ``time_ns``, newest first."""
        last = min(bisect_left(self._ids, trade_id), bisect_left(self._times, time_ns))
        return [self._at(place) for place in range(last - 1, max(-1, last - 1 - count), -1)]

    def _at(self, place: int) -> Trade:
        qty, time_ns = self._qty[place], self._times[place]
        ids = (self._symbol, time_ns, time_ns)
        return Trade(*ids, self._px[place], qty, self._sides[place], self._ids[place], qty, True)
