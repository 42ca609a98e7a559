"""The matching core of one symbol: our orders against a recorded market. Fills are never invented.

The recorded market does not know our orders, so every rule asks: would the recorded volume have reached us?

- An order joins behind the size visible at its price. Recorded trades at that price use up the queue ahead first; what
  is left of the trade fills us. The queue also shrinks when the visible size falls below it.
- A trade through our price, or an opposite best quote at or through it, reaches us whatever the queue was.
- A taking order takes visible levels in price order, and no visible lot is taken twice.
- Our orders never match each other, and one recorded trade is shared out among them once.
"""

from collections.abc import Callable, Iterable

from market.simulator.errors import Reason, Reject
from market.simulator.ladder import Ladder
from market.simulator.orders import Order, Status, Tif

_SHRINKS = 16
OnFill = Callable[[Order, int, int, bool], None]
OnEnd = Callable[[Order], None]
Allowance = Callable[[Order], int]


class Matcher:
    """Open orders of one symbol.

    Parameters
    ----------
    ladder
        What the recorded market shows.
    on_fill
        Called as ``(order, ticks, lots, is_maker)`` for every execution, before the order itself is updated further.
    on_end
        Called when the core itself ends an order (IOC remainder, nothing left to reduce).
    allowance
        Lots an order may fill now: the position for reduce-only orders, everything otherwise.
    """

    def __init__(self, ladder: Ladder, on_fill: OnFill, on_end: OnEnd, allowance: Allowance) -> None:
        self.ladder = ladder
        self.resting: dict[int, Order] = {}
        self.now_ns = 0
        self._on_fill, self._on_end, self._allowance = on_fill, on_end, allowance

    def crosses(self, order: Order) -> bool:
        """Whether the order would take from the visible book at once."""
        return self._would_cross(order.side, order.ticks)

    def _would_cross(self, side: int, ticks: int | None) -> bool:
        best = self.ladder.best(-side)
        return best is not None and (ticks is None or (ticks - best) * side >= 0)

    def check(self, order: Order) -> None:
        """Refuse at the door a post-only order that takes and a fill-or-kill order that cannot fill."""
        if order.tif is Tif.POST and self.crosses(order):
            raise Reject(Reason.POST_ONLY)
        if order.tif is Tif.FOK and self._reachable(order) < order.lots:
            raise Reject(Reason.FILL_OR_KILL)

    def _reachable(self, order: Order) -> int:
        return sum(lots for _, lots in self.ladder.walk(-order.side, order.ticks))

    def arrive(self, order: Order) -> None:
        """Take what the order reaches; the rest of a limit order joins the book, the rest of any other ends."""
        order.joined_ns = self.now_ns
        if order.tif is not Tif.POST:
            self._take(order, order.ticks, is_maker=False)
        if not order.is_open:
            return
        if order.ticks is None or order.tif in (Tif.IOC, Tif.FOK) or self._allowance(order) <= 0:
            self._expire(order)
        else:
            self._join(order)

    def _join(self, order: Order) -> None:
        ticks = order.ticks or 0
        order.ahead_lots = self.ladder.visible(order.side, ticks) if self.ladder.knows(order.side, ticks) else None
        order.shrinks = []
        self.resting[order.order_id] = order

    def remove(self, order_id: int) -> Order:
        """Take an open order out of the book."""
        order = self.resting.pop(order_id, None)
        if order is None:
            raise Reject(Reason.UNKNOWN_ORDER)
        return order

    def amend(self, order: Order, ticks: int, lots: int, on_amended: Callable[[], None]) -> None:
        """New price and total size. Only a smaller size at the same price keeps the place in the queue."""
        keeps_place = ticks == order.ticks and lots <= order.lots
        if order.tif is Tif.POST and not keeps_place and self._would_cross(order.side, ticks):
            raise Reject(Reason.POST_ONLY)
        order.ticks, order.lots = ticks, lots
        on_amended()
        if not keeps_place:
            del self.resting[order.order_id]
            self.arrive(order)

    def on_book(self, event_ns: int) -> None:
        """The visible book changed: shrink queues, then let opposite quotes that reach us fill us."""
        self.now_ns = max(self.now_ns, event_ns)
        if not self.resting:
            return
        for order in self.resting.values():
            self._follow_queue(order, event_ns)
        for side in (1, -1):
            self._fill_crossed(side)

    def _follow_queue(self, order: Order, event_ns: int) -> None:
        ticks, ahead = order.ticks or 0, order.ahead_lots
        shown = self.ladder.visible(order.side, ticks)
        if ahead is None:
            if shown or self.ladder.knows(order.side, ticks):
                order.ahead_lots = shown
        elif shown < ahead:
            order.shrinks = [*order.shrinks[-_SHRINKS:], (event_ns, ahead - shown)]
            order.ahead_lots = shown

    def _fill_crossed(self, side: int) -> None:
        best = self.ladder.best(-side)
        if best is None:
            return
        reached = [o for o in self.resting.values() if o.side == side and ((o.ticks or 0) - best) * side >= 0]
        for order in by_priority(reached, side):
            self._take(order, order.ticks, is_maker=True)

    def _take(self, order: Order, limit_ticks: int | None, is_maker: bool) -> None:
        for px, available in list(self.ladder.walk(-order.side, limit_ticks)):
            lots = min(available, order.left_lots, self._allowance(order))
            if lots <= 0:
                break
            self.ladder.take(-order.side, px, lots)
            self._fill(order, (order.ticks or px) if is_maker else px, lots, is_maker)

    def on_trade(self, ticks: int, lots: int, taker_side: int, event_ns: int) -> None:
        """A recorded trade: those of our orders it reaches are filled, at their own prices, out of its quantity."""
        if not self.resting:
            self.now_ns = max(self.now_ns, event_ns)
            return
        side = -taker_side
        reached = [o for o in self.resting.values() if o.side == side and ((o.ticks or 0) - ticks) * side >= 0]
        reached = [o for o in reached if event_ns == 0 or event_ns > o.joined_ns]
        through = [o for o in reached if o.ticks != ticks]
        left = lots - self._share(by_priority(through, side), lots)
        self._trade_at([o for o in reached if o.ticks == ticks], left, event_ns)
        self.now_ns = max(self.now_ns, event_ns)

    def _share(self, orders: Iterable[Order], lots: int) -> int:
        """Fill the orders in turn out of ``lots``; the lots used."""
        used = 0
        for order in orders:
            used += self._fill_up_to(order, lots - used)
        return used

    def _trade_at(self, orders: list[Order], lots: int, event_ns: int) -> None:
        """Volume at our own price: the recorded queue ahead goes first, then our earlier orders."""
        given = 0
        for order in orders:
            given += self._fill_up_to(order, self._consume_queue(order, lots, event_ns) - given)

    def _consume_queue(self, order: Order, lots: int, event_ns: int) -> int:
        """Use up the queue ahead; the lots that reach past it. An unknown queue lets nothing past."""
        if order.ahead_lots is None:
            return 0
        explained = self._explain(order, lots, event_ns)
        ahead = order.ahead_lots
        order.ahead_lots = max(0, ahead - (lots - explained))
        return lots - explained - ahead

    @staticmethod
    def _explain(order: Order, lots: int, event_ns: int) -> int:
        """Lots of a trade by which the visible book had shortened the queue before the trade's print came."""
        left, kept = lots, []
        for shrunk_ns, shrunk in order.shrinks:
            used = min(left, shrunk) if shrunk_ns >= event_ns else 0
            left -= used
            if shrunk > used:
                kept.append((shrunk_ns, shrunk - used))
        order.shrinks = kept
        return lots - left

    def _fill_up_to(self, order: Order, lots: int) -> int:
        lots = min(lots, order.left_lots, self._allowance(order))
        if lots <= 0:
            return 0
        self._fill(order, order.ticks or 0, lots, is_maker=True)
        return lots

    def _fill(self, order: Order, ticks: int, lots: int, is_maker: bool) -> None:
        self._on_fill(order, ticks, lots, is_maker)
        if not order.is_open:
            self.resting.pop(order.order_id, None)

    def end_unreducing(self) -> None:
        """End resting reduce-only orders that no longer reduce anything."""
        for order in [o for o in self.resting.values() if o.reduce_only and self._allowance(o) <= 0]:
            self._expire(order)

    def _expire(self, order: Order) -> None:
        self.resting.pop(order.order_id, None)
        order.status = Status.EXPIRED
        self._on_end(order)


def by_priority(orders: list[Order], side: int) -> list[Order]:
    """Best price first, then first come; ``orders`` come in order of arrival."""
    return sorted(orders, key=lambda order: -(order.ticks or 0) * side)
