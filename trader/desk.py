"""The account side of the live loop: orders out, the user stream in, reconciliation, and the dead-man's switch."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec

from market.errors import CryptoScalpError
from trader.heartbeat import Heartbeat
from trader.records import (
    CancelOrder,
    Control,
    FetchFills,
    Input,
    MarketInfo,
    Order,
    OrderReply,
    OrderSent,
    QueryOrder,
    Start,
)
from trader.user_stream import StreamListener, run_user_stream
from trader.venues.common import Received, Venue

ACCOUNT_S: Final = 5.0
ORDERS_EVERY: Final = 3
VOLUME_S: Final = 30.0
KEEP_ALIVE_S: Final = 1_500.0
BEAT_S: Final = 0.25
# at most a quarter of Binance's 2,400 weight a minute goes into arming, at 10 for each symbol
ARM_S_PER_SYMBOL: Final = 1.0


def dead_man_plan(symbols: int, countdown_ms: int) -> tuple[float, int]:
    """(seconds between armings, countdown in ms): three armings fit one countdown, within the weight they may cost.

    >>> dead_man_plan(2, 30_000), dead_man_plan(20, 30_000)
    ((10.0, 30000), (20.0, 60000))
    """
    every_s = max(countdown_ms / 3_000, symbols * ARM_S_PER_SYMBOL)
    return every_s, max(countdown_ms, round(every_s * 3_000))


class Desk:
    """``feed`` takes engine inputs, ``spawn`` runs work in the background; ``carry`` maps outputs to their doing."""

    def __init__(
        self,
        start: Start,
        venue: Venue,
        now_ns: Callable[[], int],
        feed: Callable[[Input], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._config = start.config
        self._venue = venue
        self._now_ns = now_ns
        self._feed = feed
        self._spawn = spawn
        self._heartbeat = heartbeat
        self._snapshots = 0
        self._is_up = False
        self.carry: dict[type, Callable[[Any], object]] = {
            Order: lambda o: spawn(self._place(o)),
            CancelOrder: lambda o: spawn(self._cancel(o)),
            QueryOrder: lambda o: spawn(self._query(o)),
            FetchFills: lambda o: spawn(self._fetch_fills(o)),
        }

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """Everything that runs until cancelled."""
        every_s, _ = dead_man_plan(len(self._config.symbols), self._config.dead_man_ms)
        loops = [
            run_user_stream(self._venue.user_stream, self._listener(), random.random),
            self._every(ACCOUNT_S, self.reconcile, "user_down"),
            self._every(VOLUME_S, self._volumes, "trouble"),
            self._every(KEEP_ALIVE_S, self._keep_alive, "trouble"),
            self._every(every_s, self._arm, "user_down"),
        ]
        return loops if self._heartbeat is None else [*loops, self._beat(self._heartbeat)]

    async def reconcile(self) -> None:
        """Positions and balance against the ledger; every few times and after each reconnection the orders too."""
        orders = None
        if self._snapshots % ORDERS_EVERY == 0:
            orders = await self._venue.open_orders(self._config.symbols)
        self._snapshots += 1
        account = await self._venue.account()
        self._feed(msgspec.structs.replace(account, ts_ns=self._now_ns(), open_orders=orders))

    async def leave(self, orders_gone: bool) -> None:
        """Disarm once no order is left; otherwise switch and watchdog stay armed and end them."""
        if not orders_gone:
            return
        if self._heartbeat is not None:
            self._heartbeat.finish()
        if self._venue.has_dead_man:
            await self._venue.arm_dead_man(self._config.symbols, 0)

    async def _place(self, order: Order) -> None:
        def sent() -> None:
            self._feed(OrderSent(self._now_ns(), order.client_id))

        outcome, code, reason = await self._venue.place(order, sent)
        self._feed(OrderReply(self._now_ns(), order.client_id, outcome, code, reason))

    async def _cancel(self, cancel: CancelOrder) -> None:
        outcome, code, reason = await self._venue.cancel(cancel.client_id, cancel.symbol)
        self._feed(OrderReply(self._now_ns(), cancel.client_id, outcome, code, reason))

    async def _query(self, query: QueryOrder) -> None:
        answer = await self._venue.query(query.client_id, query.symbol)
        for event in answer if isinstance(answer, list) else [answer]:
            self._feed(msgspec.structs.replace(event, ts_ns=self._now_ns()))

    async def _fetch_fills(self, wanted: FetchFills) -> None:
        for event in await self._venue.fills(wanted.symbol, wanted.since_ms):
            self._feed(msgspec.structs.replace(event, ts_ns=self._now_ns()))
        await self.reconcile()

    def _listener(self) -> StreamListener:
        def up() -> None:
            self._snapshots, self._is_up = 0, True
            self._feed(Control(self._now_ns(), "user_up", self._venue.name))
            self._spawn(self.reconcile())

        def down(reason: str) -> None:
            if self._is_up:
                self._feed(Control(self._now_ns(), "user_down", reason))
            self._is_up = False

        def unreadable(reason: str) -> None:
            # an account event we cannot read may have been a fill: distrust our picture until reconciled
            self._feed(Control(self._now_ns(), "user_down", reason))
            self._spawn(self.reconcile())

        return StreamListener(self._now_ns, self._receive, unreadable, up, down)

    def _receive(self, received: Received) -> None:
        for event in received.events:
            self._feed(event)

    async def _volumes(self) -> None:
        for symbol in self._config.symbols:
            volume = await self._venue.volume_24h_usd(symbol)
            self._feed(MarketInfo(self._now_ns(), symbol, volume))

    async def _arm(self) -> None:
        if self._venue.has_dead_man:
            _, countdown_ms = dead_man_plan(len(self._config.symbols), self._config.dead_man_ms)
            await self._venue.arm_dead_man(self._config.symbols, countdown_ms)

    async def _keep_alive(self) -> None:
        if self._is_up:
            await self._venue.keep_alive()

    async def _beat(self, heartbeat: Heartbeat) -> None:
        """Tell the watchdog that this loop turns; once it has acted for us, take no new risk."""
        while True:
            heartbeat.beat()
            if heartbeat.fired():
                self._feed(Control(self._now_ns(), "kill_soft", "the watchdog cancelled our orders"))
                return
            await asyncio.sleep(BEAT_S)

    async def _every(self, period_s: float, work: Callable[[], Awaitable[None]], trouble: str) -> None:
        """Run ``work`` again and again; a venue that does not answer is an input, not an end."""
        while True:
            try:
                await work()
            except CryptoScalpError as error:
                self._feed(Control(self._now_ns(), trouble, error.message))
            await asyncio.sleep(period_s)
