"""The live loop: sockets and REST in, ``engine.step`` in the middle, orders out. All waiting happens here, no deciding.

Every input is stamped with one clock reading, journaled (frames: taped), stepped, and its outputs journaled before they
are carried out: the intent of an order is on file before the order is on the wire.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from market.errors import FrameError
from trader.capture import Recorder
from trader.clock import Clock
from trader.engine import Engine
from trader.errors import JournalError
from trader.feed import TAPE_ENDED, Feed, FeedListener, run_socket
from trader.journal import JournalWriter, Run
from trader.records import (
    CancelOrder,
    Control,
    FrameIn,
    Input,
    MarketInfo,
    Order,
    OrderReply,
    OrderSent,
    Output,
    QueryOrder,
    Record,
    RequestScore,
    Resync,
    ScoreIn,
    Start,
    Timer,
)
from trader.scorer import Answer, TritonScorer
from trader.venue import Venue, parse_user_event

_POLL_S: Final = 5.0
_KEEP_ALIVE_S: Final = 1_500.0
_STOP_S: Final = 5.0


class LiveTrader:
    """One account, one engine. ``run`` returns when the market ends, or after ``stop``."""

    def __init__(
        self, start: Start, run: Run, venue: Venue, scorer: TritonScorer, ws: str, clock: Clock, stop_on_tape_end: bool
    ) -> None:
        self.engine = Engine(start)
        self._start = start
        self._venue = venue
        self._scorer = scorer
        self._ws = ws
        self._clock = clock
        self._stop_on_tape_end = stop_on_tape_end
        self._journal = JournalWriter(run.journal)
        self._journal.append(start)
        self._recorder = Recorder(run.tape)
        self.feed = self._market_feed(start.instruments[0].venue, ws)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._ended = False
        self._disk_error: OSError | None = None
        self._carry: dict[type, Callable[[Any], object]] = {
            RequestScore: self._request_score,
            Order: lambda o: self._spawn(self._place(o)),
            CancelOrder: lambda o: self._spawn(self._cancel(o)),
            QueryOrder: lambda o: self._spawn(self._query(o)),
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
        symbols = list(self._start.config.symbols)
        key = await self._venue.listen_key()
        streams = [self._spawn(self.feed.run())]
        loops = [self._spawn(self._user_socket(key)), self._spawn(self._timer()), self._spawn(self._poll(symbols))]
        loops.append(self._spawn(self._keep_alive()))
        await self._stopping.wait()
        await (self._wind_down() if self._disk_error is None else self._leave_unrecorded())
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

    async def _place(self, order: Order) -> None:
        def sent() -> None:
            self._feed(OrderSent(self._clock.now_ns(), order.client_id))

        outcome, code, reason = await self._venue.place(order, sent)
        self._feed(OrderReply(self._clock.now_ns(), order.client_id, outcome, code, reason))

    async def _cancel(self, cancel: CancelOrder) -> None:
        outcome, code, reason = await self._venue.cancel(cancel.client_id, cancel.symbol)
        self._feed(OrderReply(self._clock.now_ns(), cancel.client_id, outcome, code, reason))

    async def _query(self, query: QueryOrder) -> None:
        answer = await self._venue.query(query.client_id, query.symbol, self._clock.now_ns)
        for event in answer if isinstance(answer, list) else [answer]:
            self._feed(msgspec.structs.replace(event, ts_ns=self._clock.now_ns()))

    async def _resync(self, symbol: str) -> None:
        """A fresh book: asked for on the socket, or by REST where the venue gives it there."""
        if not self.feed.resync(symbol):
            self._on_frame(symbol, await self._venue.depth_snapshot(symbol))

    def _market_feed(self, venue: str, ws: str) -> Feed:
        def state(what: str) -> Callable[[tuple[str, ...], str], None]:
            return lambda symbols, why: self._feed(Control(self._clock.now_ns(), what, why, symbols))

        def closed(reason: str) -> None:
            if reason == TAPE_ENDED and self._stop_on_tape_end:
                self.stop(reason)

        listener = FeedListener(self._on_frame, state("market_up"), state("market_down"), closed)
        return Feed(venue, ws.split(","), self._start.config.symbols, listener, self._clock.now_ns)

    async def _user_socket(self, key: str) -> None:
        def up() -> None:
            self._feed(Control(self._clock.now_ns(), "user_up", ""))
            self._spawn(self._account())

        def down(reason: str) -> None:
            self._feed(Control(self._clock.now_ns(), "user_down", reason))

        await run_socket(f"{self._ws.split(',')[0]}/private/ws?listenKey={key}", self._on_user, up, down, random.random)

    def _on_user(self, _: str, raw: bytes) -> None:
        ts_ns = self._clock.now_ns()
        try:
            event = parse_user_event(raw, ts_ns)
        except FrameError as error:
            # an account event we cannot read may have been a fill: distrust our picture until reconciled
            self._feed(Control(ts_ns, "user_down", str(error)))
            self._spawn(self._account())
            return
        if not isinstance(event, str):
            self._feed(event)
        elif event == "listenKeyExpired":
            self._feed(Control(ts_ns, "user_down", event))

    async def _account(self) -> None:
        self._feed(await self._venue.account(self._clock.now_ns))

    async def _timer(self) -> None:
        while True:
            await asyncio.sleep(self._start.config.timer_ms / 1e3)
            if self._recorder.error is not None:
                self.stop(f"the tape cannot be written: {self._recorder.error}")
            self._feed(Timer(self._clock.now_ns()))

    async def _poll(self, symbols: list[str]) -> None:
        """Slow facts: account state against the ledger, 24 h volume, and the venue's dead-man's switch."""
        while True:
            for symbol in symbols:
                volume = await self._venue.volume_24h_usd(symbol)
                self._feed(MarketInfo(self._clock.now_ns(), symbol, volume))
                await self._venue.arm_dead_man(symbol, self._start.config.dead_man_ms)
            await self._account()
            await asyncio.sleep(_POLL_S)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_ALIVE_S)
            await self._venue.keep_alive()

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
        for symbol, market in self.engine.books.markets.items():
            held = self.engine.books.ledger.position(symbol).qty
            lots = market.instrument.lots_floor(abs(held))
            if lots:
                side = -1 if held > 0 else 1
                client_id = f"{self._start.run_id}-out-{symbol}"
                await self._venue.place(Order(client_id, symbol, side, lots, None, False, True, "disk"), lambda: None)

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
