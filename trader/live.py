"""The live loop: sockets and REST in, ``engine.step`` in the middle, orders out. All waiting happens here, no deciding.

Every input is stamped with one clock reading, journaled (frames: taped), stepped, and its outputs journaled before they
are carried out: the intent of an order is on file before the order is on the wire.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from market.errors import CryptoScalpError
from trader.capture import Recorder
from trader.clock import Clock
from trader.desk import Desk
from trader.engine import Engine, client_id
from trader.errors import JournalError
from trader.feed import TAPE_ENDED, Feed, FeedListener, FeedSettings
from trader.feeds.metrics import FeedMetrics
from trader.heartbeat import Heartbeat
from trader.journal import JournalWriter, Run
from trader.online_store import OnlineStore
from trader.records import (
    Control,
    FrameIn,
    Input,
    Order,
    Output,
    Record,
    RequestScore,
    Resync,
    ScoreIn,
    Start,
    Timer,
)
from trader.scorer import Answer, TritonScorer
from trader.venues.common import Venue

_STOP_S: Final = 5.0
_REFRESH_S: Final = 900.0


class LiveTrader:
    """One account, one engine. ``run`` returns when the market ends, or after ``stop``."""

    def __init__(
        self,
        start: Start,
        run: Run,
        venue: Venue,
        scorer: TritonScorer,
        ws: str,
        clock: Clock,
        stop_on_tape_end: bool,
        heartbeat: Heartbeat | None = None,
        online: OnlineStore | None = None,
    ) -> None:
        self.engine = Engine(start)
        self._start = start
        self._venue = venue
        self._scorer = scorer
        self._ws = ws
        self._clock = clock
        self._stop_on_tape_end = stop_on_tape_end
        self.online = online
        self._journal = JournalWriter(run.journal)
        self._journal.append(start)
        self._recorder = Recorder(run.tape)
        self.feed = self._market_feed(start.instruments[0].venue, ws)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._ended = False
        self._disk_error: OSError | None = None
        self.desk = Desk(start, venue, clock.now_ns, self._feed, self._spawn, heartbeat)
        self._carry: dict[type, Callable[[Any], object]] = {
            RequestScore: self._request_score,
            **self.desk.carry,
            Resync: lambda o: self._spawn(self._resync(o.symbol)),
        }

    def stop(self, reason: str) -> None:
        """Cancel, flatten and end the run."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._feed(Control(self._clock.now_ns(), "stop", reason))

    def kill(self, hard: bool, reason: str) -> None:
        """Take no new risk (soft), or cancel and flatten as well (hard); latched for the run."""
        self._feed(Control(self._clock.now_ns(), "kill_hard" if hard else "kill_soft", reason))

    async def run(self) -> None:
        """Trade until stopped; leaves no order working and, where the venue answers, no position."""
        streams = [self._spawn(work) for work in (self.feed.run(), self._refresh(), self._ask_interest())]
        loops = [self._spawn(work) for work in (self._timer(), *self._publishing(), *self.desk.loops())]
        await self._stopping.wait()
        await (self._wind_down() if self._disk_error is None else self._leave_unrecorded())
        await self._leave()
        self._ended = True
        for task in [*streams, *loops, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._recorder.close()
        self._journal.close()
        error = self._disk_error or self._recorder.error
        if error is not None:
            raise JournalError(f"the run's folder cannot be written: {error}", "free disk space, then start a new run")

    def _feed(self, event: Input) -> None:
        """Journal one input, step, journal the outputs, then carry them out; what comes after the end is not heard."""
        if self._ended:
            return
        if self._write(event):  # type: ignore[arg-type]
            self._apply(self.engine.step(event))

    def _on_frame(self, symbol: str, raw: bytes) -> None:
        if self._ended:
            return
        ts_ns = self._clock.now_ns()
        self._recorder.write(symbol, ts_ns, raw)
        self._apply(self.engine.step(FrameIn(ts_ns, symbol, raw)))

    def _apply(self, outputs: list[Output]) -> None:
        if not all(isinstance(output, RequestScore) or self._write(output) for output in outputs):
            return
        for output in outputs:
            carry = self._carry.get(type(output))
            if carry is not None:
                carry(output)

    def _write(self, record: Record) -> bool:
        """Journal ``record``. What cannot be journaled does not happen: a full disk ends the run."""
        try:
            self._journal.append(record)
        except OSError as error:
            self._disk_error, self._ended = error, True
            self._stopping.set()
            return False
        return True

    def _request_score(self, request: RequestScore) -> None:
        def done(answer: Answer) -> None:
            self._feed(
                ScoreIn(
                    ts_ns=self._clock.now_ns(),
                    request_id=request.request_id,
                    symbol=request.symbol,
                    score=answer.score,
                    refusal=answer.refusal,
                    model_ns=answer.model_ns,
                )
            )

        self._scorer.request(request.symbol, request.x, done)

    async def _resync(self, symbol: str) -> None:
        """A fresh book: asked for on the socket, or by REST where the venue gives it there."""
        if not self.feed.resync(symbol):
            self._on_frame(symbol, await self._venue.depth_snapshot(symbol))

    async def _refresh(self) -> None:
        """Build each book anew once in ``_REFRESH_S``: a wrong level deep in it, which no sequence id betrays, ends."""
        symbols = self._start.config.symbols
        while True:
            for symbol in symbols:
                await asyncio.sleep(_REFRESH_S / len(symbols))
                if self.feed.is_up(symbol) and not self.feed.resync(symbol):
                    self._feed(Control(self._clock.now_ns(), "market_up", "periodic fresh book", (symbol,)))

    async def _ask_interest(self) -> None:
        """Open interest, where no stream tells it, goes the way of a frame: onto the tape, then into the engine."""
        symbols, every_s = self._start.config.symbols, self._start.config.feed.open_interest_s
        while True:
            for symbol in symbols:
                try:
                    raw = await self._venue.open_interest(symbol)
                except CryptoScalpError as error:
                    self._feed(Control(self._clock.now_ns(), "trouble", error.message))
                else:
                    if raw is None:
                        return
                    self._on_frame(symbol, raw)
                await asyncio.sleep(every_s / len(symbols))

    def _publishing(self) -> list[Coroutine[Any, Any, None]]:
        """Keep the online feature store fresh, where there is one."""
        if self.online is None:
            return []
        return [self.online.keep_fresh(self._newest_rows, self._start.config.online.push_s)]

    def _newest_rows(self) -> dict[str, tuple[int, Sequence[float]]]:
        ticks = {symbol: market.tick for symbol, market in self.engine.books.markets.items()}
        return {symbol: (tick.event_ns, tick.features) for symbol, tick in ticks.items() if tick is not None}

    def metrics(self) -> FeedMetrics:
        """What feed, books and recorder are doing, for Prometheus."""
        return FeedMetrics(self.feed, self.engine.books.markets, lambda: self._recorder.waiting)

    def _market_feed(self, venue: str, ws: str) -> Feed:
        def state(what: str) -> Callable[[tuple[str, ...], str], None]:
            return lambda symbols, why: self._feed(Control(self._clock.now_ns(), what, why, symbols))

        def closed(reason: str) -> None:
            if reason == TAPE_ENDED and self._stop_on_tape_end:
                self.stop(reason)

        listener = FeedListener(self._on_frame, state("market_up"), state("market_down"), closed, state("feed_lead"))
        return Feed(
            venue,
            ws.split(","),
            self._start.config.symbols,
            listener,
            self._clock.now_ns,
            FeedSettings(lines=self._start.config.feed.lines),
            books=self.engine.books.markets,
            tops=self.engine.tops.by_symbol,
        )

    async def _timer(self) -> None:
        while True:
            await asyncio.sleep(self._start.config.timer_ms / 1e3)
            if self._recorder.error is not None:
                self.stop(f"the tape cannot be written: {self._recorder.error}")
            self._feed(Timer(self._clock.now_ns()))

    async def _leave(self) -> None:
        """Disarm the switches, if no order is left; a venue that no longer answers will cancel by itself."""
        try:
            await self.desk.leave(not self.engine.books.orders.live)
        except CryptoScalpError as error:
            self._feed(Control(self._clock.now_ns(), "trouble", error.message))

    async def _wind_down(self) -> None:
        """Let cancels and closing orders finish, at most ``_STOP_S``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _STOP_S
        while loop.time() < end and not self.engine.books.flat:
            await asyncio.sleep(0.05)

    async def _leave_unrecorded(self) -> None:
        """The journal is gone: cancel and flatten at the venue without it. Getting out matters more than the record."""
        for order in list(self.engine.books.orders.live.values()):
            await self._venue.cancel(order.order.client_id, order.order.symbol)
        for count, (symbol, market) in enumerate(self.engine.books.markets.items(), self.engine.orders_sent + 1):
            held = self.engine.books.ledger.position(symbol).qty
            lots = market.instrument.lots_floor(abs(held))
            if lots:
                side = -1 if held > 0 else 1
                name = client_id(self._start.run_id, count)
                await self._venue.place(Order(name, symbol, side, lots, None, False, True, "disk"), lambda: None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        """A failed housekeeping call is a reason to distrust the picture, not to die; a bug stops the run."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._feed(
                Control(self._clock.now_ns(), "user_down", f"{type(task.exception()).__name__}: {task.exception()}")
            )
