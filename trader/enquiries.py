"""What the engine asks of the venue, and how often: fresh books, unanswered orders, trades it may have missed."""

from typing import Final

from trader.accounts import Books
from trader.execution import Status, WorkingOrder
from trader.feeds.plans import PROTOCOLS
from trader.market_state import MarketState
from trader.records import CancelOrder, FetchFills, OpenOrder, Output, QueryOrder, Resync

SECOND_NS: Final = 1_000_000_000
REPLY_TIMEOUT_NS: Final = 5 * SECOND_NS
FILLS_EVERY_NS: Final = 2 * SECOND_NS
OVERLAP_MS: Final = 60_000
# a venue whose ids do not step by one would be asked for ever: each doubt that follows a fresh book doubles the wait
DOUBT_NS: Final = 10 * SECOND_NS
MOST_DOUBT_NS: Final = 900 * SECOND_NS


class Enquiries:
    """Remembers when each thing was last asked; all readings are the engine's own (``ts_ns``)."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._resync_ns: dict[str, int] = {}
        self._doubts: dict[str, tuple[int, int]] = {}
        self._query_ns: dict[str, int] = {}
        self._fills_ns: dict[str, int] = {}
        self._was_up = False

    def book(self, market: MarketState, ts_ns: int) -> list[Output]:
        """Ask for a fresh book while it is not tradable, once a second; one in doubt (Bybit) less and less often.

        A book whose stream has been silent for longer than the venue allows is no longer tradable.
        """
        market.book.check_silence(ts_ns, _silence_ns(market))
        if market.tradable or not market.up or ts_ns - self._resync_ns.get(market.symbol, 0) < SECOND_NS:
            return []
        if market.book.tradable and not self._may_doubt(market.symbol, ts_ns):
            return []
        self._resync_ns[market.symbol] = ts_ns
        return [Resync(market.symbol, "; ".join(why for why in (market.book.reason, market.book.doubt) if why))]

    def _may_doubt(self, symbol: str, ts_ns: int) -> bool:
        since_ns, wait_ns = self._doubts.get(symbol, (0, 0))
        if since_ns and ts_ns - since_ns < wait_ns:
            return False
        came_back = since_ns and ts_ns - since_ns < 2 * wait_ns
        self._doubts[symbol] = ts_ns, min(2 * wait_ns, MOST_DOUBT_NS) if came_back else DOUBT_NS
        return True

    def silent_orders(self, symbol: str, ts_ns: int) -> list[Output]:
        """Orders without an answer become unknown; unknown ones are asked about until the venue answers."""
        outputs: list[Output] = []
        for order in self._books.orders.of(symbol):
            if order.status in (Status.SENT, Status.CANCELING) and ts_ns - order.moved_ns > REPLY_TIMEOUT_NS:
                order.move("unknown", ts_ns)
            if order.status is Status.UNKNOWN:
                outputs += self.order(order, ts_ns)
        return outputs

    def order(self, order: WorkingOrder, ts_ns: int) -> list[Output]:
        """What became of this order? Once a second."""
        client_id = order.order.client_id
        if ts_ns - self._query_ns.get(client_id, 0) < SECOND_NS:
            return []
        self._query_ns[client_id] = ts_ns
        return [QueryOrder(client_id, order.order.symbol)]

    def after_reconnect(self, ts_ns: int) -> list[Output]:
        """The user stream is back: what became of our orders, and which trades were missed?"""
        outputs: list[Output] = [o for w in self._books.orders.live.values() for o in self.order(w, ts_ns)]
        if self._was_up:
            outputs += [o for symbol in self._books.markets for o in self.fills(symbol, ts_ns)]
        self._was_up = True
        return outputs

    def fills(self, symbol: str, ts_ns: int) -> list[Output]:
        """Positions differ: ask for trades we may have missed, from a while before the last one booked."""
        if symbol not in self._books.markets or ts_ns - self._fills_ns.get(symbol, 0) < FILLS_EVERY_NS:
            return []
        self._fills_ns[symbol] = ts_ns
        return [FetchFills(symbol, max(0, self._books.fill_event_ns // 1_000_000 - OVERLAP_MS))]

    def listed(self, listed: list[OpenOrder], ts_ns: int) -> list[Output]:
        """Ask about orders that the venue no longer lists; cancel ours that it still lists though they ended here."""
        at_venue = {o.client_id for o in listed}
        outputs: list[Output] = []
        for working in self._books.orders.live.values():
            settled = working.status is Status.OPEN and ts_ns - working.moved_ns > REPLY_TIMEOUT_NS
            if settled and working.order.client_id not in at_venue:
                outputs += self.order(working, ts_ns)
        for o in listed:
            if self._books.is_ours(o.client_id) and o.client_id not in self._books.orders.live:
                outputs.append(CancelOrder(o.client_id, o.symbol))
        return outputs


def _silence_ns(market: MarketState) -> int:
    """How long the venue's depth stream may say nothing."""
    return int(PROTOCOLS[market.instrument.venue].silence_s["depth"] * SECOND_NS)
