"""Plays the recorded market in real time into the exchange and its sockets; client requests arrive in that time."""

import asyncio
import contextlib
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from typing import Any, Final

from market.errors import FrameError
from market.events import Depth, Event
from market.simulator.exchange import Exchange
from market.simulator.hub import Hub
from market.simulator.source import BinanceSource, Source
from market.tape import Frame

BATCH: Final = 200
LOOK_AHEAD: Final = 5_000
TAPE_ENDED: Final = b"tape ended"
OPENING_NS: Final = 1_000_000_000
IDLE_S: Final = 0.01
MIN_WAIT_S: Final = 0.001


class Player:
    """The exchange's time.

    Tape time stands still at the first frame until ``start``; then it runs ``speed`` times as fast as the wall clock.
    Requests reach the exchange ``latency_ns`` of tape time after they were made, between the frames of that moment.
    """

    def __init__(
        self,
        frames: Iterator[Frame],
        exchange: Exchange,
        hub: Hub,
        speed: float,
        latency_ns: int,
        source: Source | None = None,
    ) -> None:
        self.source: Source = source or BinanceSource(hub.wants)
        self.exchange, self.hub, self.speed, self.latency_ns = exchange, hub, speed, latency_ns
        self.played = self.quarantined = self.max_lag_ns = 0
        self.started = self.finished = False
        self.clock_skew_ns = 0
        self._frames = frames
        self._ahead: deque[Frame] = deque()
        self._requests: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._tape_ns = self._wall_ns = self._skew_ns = 0
        self._alarm: asyncio.Future[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    # -- reading the tape ---------------------------------------------------------------------------------------------

    def _next(self) -> Frame | None:
        if not self._ahead:
            self._ahead.extend(islice(self._frames, BATCH))
        return self._ahead[0] if self._ahead else None

    def warm(self, start_ns: int) -> int:
        """Feed all frames before ``start_ns`` to the exchange alone; how many there were."""
        warmed = 0
        while (frame := self._next()) is not None and frame.recv_ns < start_ns:
            self._ahead.popleft()
            self._feed(frame)
            warmed += 1
        self._tape_ns = start_ns if frame is None else frame.recv_ns
        for symbol, market in self.exchange.markets.items():
            if not market.ladder.synced:
                self._open_book(symbol)
        return warmed

    def _open_book(self, symbol: str) -> None:
        """Recorders ask for the snapshot as they start: one that comes at once is the book at the start."""
        for event in self.upcoming(symbol):
            if event.ts_recv > self._tape_ns + OPENING_NS:
                return
            if event.is_snapshot:
                self.exchange.on_event(event)
                return

    def upcoming(self, symbol: str) -> Iterator[Depth]:
        """Depth events of a symbol that are still to come, soonest first, as far as it is sensible to look."""
        for place in range(LOOK_AHEAD):
            if place == len(self._ahead):
                frame = next(self._frames, None)
                if frame is None:
                    return
                self._ahead.append(frame)
            frame = self._ahead[place]
            if self.source.may_be_depth(frame.raw):
                with contextlib.suppress(FrameError):
                    for event in self.source.read(frame):
                        if isinstance(event, Depth) and event.symbol == symbol:
                            yield event

    def _feed(self, frame: Frame) -> Sequence[Event]:
        """Show a frame to the exchange; its events, none when it carries no market event."""
        try:
            events = self.source.read(frame)
        except FrameError:
            self.quarantined += 1
            return ()
        is_aggregate = self.source.is_aggregate(frame.raw)
        for event in events:
            if event.ts_event:
                self._skew_ns = event.ts_event - frame.recv_ns
            self.exchange.on_event(event, is_aggregate=is_aggregate)
        return events

    # -- time ---------------------------------------------------------------------------------------------------------

    def tape_now(self) -> int:
        """Tape time now (ns UTC)."""
        if not self.started:
            return self._tape_ns
        return self._tape_ns + int((time.monotonic_ns() - self._wall_ns) * self.speed)

    def market_now(self) -> int:
        """The exchange's own clock now: tape time seen through the recorder's clock skew."""
        return self.tape_now() + self._skew_ns

    def wall_ns(self) -> int:
        """The venue's wall clock (ns UTC), which signatures are checked against; a planted skew puts it off ours."""
        return time.time_ns() + self.clock_skew_ns

    def start(self) -> None:
        """Let time run; called when the first client subscribes to market data."""
        if not self.started:
            self.started, self._wall_ns = True, time.monotonic_ns()
            self._wake()

    # -- requests -----------------------------------------------------------------------------------------------------

    async def arrive(self, action: Callable[[], Any]) -> Any:
        """Run ``action`` on the exchange when the request has travelled; its result or exception."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def run() -> None:
            result, failure = None, None
            try:
                result = action()
            except Exception as error:
                failure = error
            if done.cancelled():
                return  # the client hung up; what it sent was carried out all the same
            if failure is None:
                done.set_result(result)
            else:
                done.set_exception(failure)

        heapq.heappush(self._requests, (self.tape_now() + self.latency_ns, next(self._order), run))
        self._wake()
        return await done

    def _serve_requests(self, until_ns: int) -> None:
        while self._requests and self._requests[0][0] <= until_ns:
            due_ns, _, run = heapq.heappop(self._requests)
            self.exchange.advance(due_ns + self._skew_ns)
            run()

    # -- playing ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Play until cancelled; ends market sockets with the tape, and goes on serving requests after it."""
        while True:
            now_ns = self.tape_now() + (0 if self.started else self.latency_ns)
            if self.started and not self.finished:
                self._play_until(now_ns)
            if self._next_ns() > now_ns:
                self._serve_requests(now_ns)
            self.exchange.expire(time.time_ns())
            self.hub.flush()
            if self.started and not self.finished and self._next() is None:
                self.finished = True
                self._ending = asyncio.create_task(self._end())
            await self._sleep()

    def _next_ns(self) -> int:
        frame = self._next() if self.started and not self.finished else None
        return 2**63 if frame is None else frame.recv_ns

    def _play_until(self, now_ns: int) -> None:
        for _ in range(BATCH):
            frame = self._next()
            if frame is None or frame.recv_ns > now_ns:
                return
            self._serve_requests(frame.recv_ns)
            self._ahead.popleft()
            self._play(frame)
            self.max_lag_ns = max(self.max_lag_ns, now_ns - frame.recv_ns)

    def _play(self, frame: Frame) -> None:
        self.played += 1
        events = self._feed(frame)
        if events:
            for topic, data in self.source.messages(frame, events):
                self.hub.publish(topic, data)

    async def _end(self) -> None:
        """Close market sockets once everything was sent."""
        await asyncio.sleep(max((socket.pending_s for socket in self.hub.sockets), default=0.0))
        closing = [socket.ws.close(code=1000, message=TAPE_ENDED) for socket in list(self.hub.sockets)]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _sleep(self) -> None:
        due_ns = min(self._next_ns(), self._requests[0][0] if self._requests else 2**63)
        wait_s = (due_ns - self.tape_now()) / self.speed / 1e9 if self.started else (0.0 if self._requests else IDLE_S)
        if wait_s <= 0.0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        self._alarm = loop.create_future()
        timer = loop.call_later(min(max(wait_s, MIN_WAIT_S), IDLE_S), self._wake)
        await self._alarm
        timer.cancel()

    def _wake(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)
