"""A link: the streams of one socket plan, kept flowing across connections, lifetimes and hosts.

Before its lifetime is over a connection gets a successor that is up and receiving before the old one is closed. A lost
connection comes back with growing, spread delays, each time at the next host.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from trader.feeds.connection import FAILURES, Connection, ConnectLimiter
from trader.feeds.merger import Merger
from trader.feeds.plans import SocketPlan
from trader.feeds.streams import Router, Stream

RETRY_S: Final = 60.0
_LEAST_READS: Final = 4


class LinkSettings(msgspec.Struct, frozen=True):
    """Seconds. Venues cut a socket after 24 h: ours is replaced after ``lifetime_s``; both run for ``overlap_s``, or up
    to ``overlap_max_s`` while the successor is ahead of the old one. ``tail_s``: how long second copies may trail.
    ``ping_s`` None is the venue's own pace.
    """

    lifetime_s: float = 23 * 3600.0
    overlap_s: float = 5.0
    overlap_max_s: float = 30.0
    tail_s: float = 10.0
    first_delay_s: float = 0.1
    longest_delay_s: float = 10.0
    ping_s: float | None = None


class LinkListener(msgspec.Struct, frozen=True):
    """Who hears of a link: its frames, its state, what the venue said outside streams, each planned replacement."""

    on_frame: Callable[[Stream, bytes], None]
    on_up: Callable[["Link"], None]
    on_down: Callable[["Link", str], None]
    on_control: Callable[["Link", bytes], None]


class Link:
    """One plan on one or more hosts; ``run`` it until cancelled. Counters: ``lost``, ``rotated``, ``failed``.

    ``is_homing``: it belongs to the first host, and is elsewhere only while that one fails.
    """

    def __init__(
        self,
        plans: Sequence[SocketPlan],
        router: Router,
        listener: LinkListener,
        settings: LinkSettings,
        limiter: ConnectLimiter,
        jitter: Callable[[], float],
        is_homing: bool = False,
    ) -> None:
        self.name = plans[0].name
        self.hosts = tuple(plan.url for plan in plans)
        self.symbols = plans[0].symbols
        self.lost = self.rotated = self.failed = 0
        self.is_up = False
        self.plan = plans[0]
        self._plans = plans
        self._at = 0
        self._route = router
        self._listener = listener
        self._settings = settings
        self._limiter = limiter
        self._jitter = jitter
        self._is_homing = is_homing
        self._is_retry = False
        self._turn = asyncio.Event()
        self._current: Connection | None = None
        self._merger = Merger(listener.on_frame)
        self._tail: asyncio.TimerHandle | None = None

    def carries(self, stream: Stream) -> bool:
        """Whether frames of ``stream`` come over this link, or would."""
        return stream.symbol in self.symbols and (not self.plan.kinds or stream.kind in self.plan.kinds)

    @property
    def duplicates(self) -> int:
        """Second copies dropped while two sockets ran."""
        return self._merger.dropped

    async def run(self) -> None:
        """Keep the streams flowing."""
        while True:
            connection: Connection | None = await self._connect()
            try:
                while connection is not None:
                    connection = await self._live(connection)
            finally:
                self._drop(self._current)

    def rotate(self, next_host: bool = False) -> None:
        """Replace the connection as if its lifetime were over (a silent stream, a notice of maintenance)."""
        if next_host:
            self._at += 1
        self._turn.set()

    def send(self, messages: list[bytes]) -> bool:
        """Say something on the connection; False when there is none."""
        if self._current is None or self._current.closed.is_set():
            return False
        self._current.send(messages)
        return True

    async def _connect(self) -> Connection:
        """A first connection, whatever it takes; each failed attempt waits longer and tries the next host."""
        delay_s = self._settings.first_delay_s
        while True:
            connection = Connection(self._next_plan(), self._direct, self._came_up, self._settings.ping_s)
            if await self._opens(connection):
                return connection
            await asyncio.sleep(delay_s * (1 + self._jitter()))
            delay_s = min(delay_s * 2, self._settings.longest_delay_s)

    def _next_plan(self) -> SocketPlan:
        return self._plans[self._at % len(self._plans)]

    async def _opens(self, connection: Connection) -> bool:
        await self._limiter.wait()
        try:
            await connection.open()
        except FAILURES as error:
            self.failed += 1
            self._at += 1
            self._listener.on_down(self, f"{type(error).__name__}: {error}")
            return False
        self._current, self.plan = connection, connection.plan
        return True

    def _came_up(self) -> None:
        self.is_up = True
        self._listener.on_up(self)

    async def _live(self, connection: Connection) -> Connection | None:
        """Until the connection ends (None) or has a successor (that one)."""
        self._turn.clear()
        lifetime_s = self._settings.lifetime_s * (1 - 0.02 * self._jitter())
        is_away = self._is_homing and connection.plan is not self._plans[0]
        if self._is_retry or is_away:
            lifetime_s = min(lifetime_s, RETRY_S)
        self._is_retry = False
        if not await self._ends(connection, lifetime_s):
            if is_away and not self._turn.is_set():
                self._at = 0
            successor = await self._replace(connection)
            if successor is not None:
                return successor
            if not connection.closed.is_set():
                return connection
        await self._went_down(connection)
        return None

    async def _ends(self, connection: Connection, within_s: float) -> bool:
        """True when the connection closes before the time is over or a replacement is asked for."""
        waits = {asyncio.ensure_future(connection.closed.wait()), asyncio.ensure_future(self._turn.wait())}
        try:
            await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return connection.closed.is_set()

    async def _went_down(self, connection: Connection) -> None:
        self.is_up = False
        self.lost += 1
        self._at = 0 if self._is_homing else self._at + 1
        self._merger.end()
        self._listener.on_down(self, connection.reason)
        await asyncio.sleep(self._settings.first_delay_s * (1 + self._jitter()))

    async def _replace(self, old: Connection) -> Connection | None:
        """A successor that carries on where ``old`` stands; None when it could not be had, and ``old`` goes on."""
        self._stop_tail()
        self._merger.begin()
        old.deliver = self._from_old
        new = Connection(self._next_plan(), self._from_new, ping_s=self._settings.ping_s)
        try:
            await self._limiter.wait()
            await new.open()
            await self._overlap(old, new)
        except FAILURES:
            self._keep(old)
            return None
        except asyncio.CancelledError:
            new.close()
            raise
        if new.closed.is_set():
            self._keep(old)
            return None
        self._current, self.plan = new, new.plan
        self._take_over(old)
        self.rotated += 1
        return new

    def _keep(self, old: Connection) -> None:
        """The successor failed; the old connection goes on, and another attempt is made soon."""
        self.failed += 1
        self._at += 1
        self._is_retry = True
        old.deliver = self._direct
        self._merger.end()

    async def _overlap(self, old: Connection, new: Connection) -> None:
        """Both run until the successor has been up long enough and is waiting for nothing.

        Time alone proves little while the loop stalls: both sockets must have been read a few times as well.
        """
        loop = asyncio.get_running_loop()
        begun, reads = loop.time(), 0
        while not (old.closed.is_set() or new.closed.is_set()):
            lasted_s = loop.time() - begun
            enough_s = self._settings.overlap_max_s if self._merger.is_waiting else self._settings.overlap_s
            if lasted_s >= enough_s and reads >= _LEAST_READS:
                return
            await asyncio.sleep(min(0.05, self._settings.overlap_s / _LEAST_READS))
            reads += 1

    def _take_over(self, old: Connection) -> None:
        """The successor is the connection now. An old one that broke meanwhile may have taken frames with it."""
        if old.closed.is_set() and self._merger.is_waiting:
            self._listener.on_down(self, old.reason)
            self._came_up()
        self._merger.join()
        old.close()
        self._tail = asyncio.get_running_loop().call_later(self._settings.tail_s, self._end_tail)

    def _end_tail(self) -> None:
        self._tail = None
        self._merger.end()
        if self._current is not None:
            self._current.deliver = self._direct

    def _stop_tail(self) -> None:
        if self._tail is not None:
            self._tail.cancel()
            self._tail = None

    def _drop(self, connection: Connection | None) -> None:
        self._stop_tail()
        if connection is not None:
            connection.close()

    def _direct(self, raw: bytes) -> None:
        stream = self._route(raw)
        if stream is None:
            self._listener.on_control(self, raw)
            return
        stream.frames += 1
        self._listener.on_frame(stream, raw)

    def _from_old(self, raw: bytes) -> None:
        stream = self._route(raw)
        if stream is not None:
            stream.frames += 1
            self._merger.old(stream, raw)

    def _from_new(self, raw: bytes) -> None:
        stream = self._route(raw)
        if stream is None:
            self._listener.on_control(self, raw)
            return
        stream.frames += 1
        self._merger.new(stream, raw)
