"""`capture` without trading: market sockets and depth snapshots into tapes until told to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from trader.capture import MOST_BYTES, Recorder
from trader.clock import Clock
from trader.errors import ConnectionRefused
from trader.feed import TAPE_ENDED, Feed, FeedListener, FeedSettings
from trader.feeds.checks import Checks
from trader.feeds.metrics import FeedMetrics, serve_metrics

_REST_S: Final = 10.0
_RETRY_S: Final = 2.0
SNAPSHOTS: Final = {
    "binanceusdm": "/fapi/v1/depth?symbol={symbol}&limit=1000",
    "okx": "/api/v5/market/books?instId={symbol}&sz=400",
    "bybit": "/v5/market/orderbook?category=linear&symbol={symbol}&limit=500",
}
OPEN_INTEREST: Final = {"binanceusdm": "/fapi/v1/openInterest?symbol={symbol}"}
_MARKS: Final = {"binanceusdm": b'"lastUpdateId"', "okx": b'"asks"', "bybit": b'"a":'}


class CaptureSettings(msgspec.Struct, frozen=True):
    """What to record and where. ``ws`` lists addresses, the primary first.

    ``seconds`` 0 runs until SIGINT, SIGTERM or the end of a simulated tape. ``snapshot_s`` is the time between depth
    snapshots of one symbol (0: only at start and after a reconnect): a damaged level deep in a book, which no sequence
    number betrays, lives no longer than that. ``interest_s`` is the same for open interest where no stream tells it.
    ``check``: decode what is recorded, to count gaps and bad frames.
    """

    out: Path
    symbols: tuple[str, ...]
    venue: str
    rest: str
    ws: tuple[str, ...]
    seconds: float = 0.0
    most_bytes: int = MOST_BYTES
    snapshot_s: float = 300.0
    interest_s: float = 60.0
    check: bool = True
    metrics_port: int | None = None
    feed: FeedSettings = FeedSettings()


class Capture:
    """One recording; ``run`` returns its report."""

    def __init__(self, settings: CaptureSettings) -> None:
        self.settings = settings
        self.failed_snapshots = self.frames = 0
        self._clock = Clock()
        self._stopping = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        listener = FeedListener(self._keep, self._on_up, self._on_down, self._on_closed)
        self.checks = Checks(settings.venue, settings.symbols)
        self.feed = Feed(
            settings.venue,
            settings.ws,
            settings.symbols,
            listener,
            self._clock.now_ns,
            settings.feed,
            books=self.checks.markets,
        )

    async def run(self, progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """Record until stopped; ``progress`` gets a few figures every second.

        Raises
        ------
        ConnectionRefused
            The venue's REST address does not answer at start, or the metrics port is taken.
        OSError
            The disk refused; what was written before stays.
        """
        s = self.settings
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REST_S)) as self._http:
            await self._fetch(s.symbols[0])
            self._recorder = Recorder(s.out, s.most_bytes, on_error=lambda: _tell_loop(loop, self._stopping))
            with contextlib.ExitStack() as stack:
                stack.callback(self._recorder.close)
                if s.metrics_port is not None:
                    stack.enter_context(serve_metrics(s.metrics_port, self._metrics()))
                await self._until_stopped(progress)
        if self._recorder.error is not None:
            raise self._recorder.error
        return self.report()

    def _metrics(self) -> FeedMetrics:
        return FeedMetrics(self.feed, self.checks.markets, lambda: self._recorder.waiting)

    async def _until_stopped(self, progress: Callable[[dict[str, Any]], None] | None) -> None:
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, self._stopping.set)
        ends = [loop.create_task(self.feed.run()), loop.create_task(self._stopping.wait())]
        tasks = [
            *ends,
            *(loop.create_task(work) for work in (self._resnapshot(), self._ask_interest(), self._tell(progress))),
        ]
        try:
            await asyncio.wait(ends, timeout=self.settings.seconds or None, return_when=asyncio.FIRST_COMPLETED)
            if ends[0].done():
                ends[0].result()  # a feed ends by a bug alone
        finally:
            for task in (*tasks, *self._asking):
                task.cancel()
            await asyncio.gather(*tasks, *self._asking, return_exceptions=True)

    def report(self) -> dict[str, Any]:
        """Everything worth knowing about the recording, as JSON takes it."""
        counts = {symbol: market.frames for symbol, market in self.checks.markets.items()}
        return {
            "by_symbol": counts,
            **self.feed.report(),
            **(self.checks.report() if self.settings.check else {}),
            "failed_snapshots": self.failed_snapshots,
            "files": sorted(path.name for path in self._recorder.finished),
        }

    def _keep(self, symbol: str, raw: bytes) -> None:
        recv_ns = self._clock.now_ns()
        self.frames += 1
        self._recorder.write(symbol, recv_ns, raw)
        if self.checks.take(symbol, recv_ns, raw, decode=self.settings.check):
            self._resync(symbol)

    def _on_up(self, symbols: tuple[str, ...], _why: str) -> None:
        """Frames may have been lost: every book needs a new start."""
        for symbol in symbols:
            self.checks.markets[symbol].disconnected(is_up=True)
            self._ask(symbol)

    def _on_down(self, symbols: tuple[str, ...], _why: str) -> None:
        for symbol in symbols:
            self.checks.markets[symbol].disconnected(is_up=False)

    def _resync(self, symbol: str) -> None:
        """Depth frames are missing: the tape needs a snapshot from which a book can start again."""
        if not self.feed.resync(symbol):
            self._ask(symbol)

    def _ask(self, symbol: str) -> None:
        task = asyncio.get_running_loop().create_task(self._snapshot(symbol))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def _on_closed(self, reason: str) -> None:
        if reason == TAPE_ENDED:
            self._stopping.set()

    async def _resnapshot(self) -> None:
        """One snapshot of every symbol in each period, evenly spread, since each costs request weight."""
        if self.settings.snapshot_s <= 0:
            return
        while True:
            for symbol in self.settings.symbols:
                await asyncio.sleep(self.settings.snapshot_s / len(self.settings.symbols))
                if self.feed.is_up(symbol):
                    await self._snapshot(symbol)

    async def _snapshot(self, symbol: str) -> None:
        for _ in range(3):
            try:
                self._keep(symbol, await self._fetch(symbol))
                return
            except ConnectionRefused:
                self.failed_snapshots += 1
                await asyncio.sleep(_RETRY_S)

    async def _ask_interest(self) -> None:
        """Open interest of every symbol in each period; an answer missed is not asked for again."""
        path = OPEN_INTEREST.get(self.settings.venue, "")
        while path and self.settings.interest_s > 0:
            for symbol in self.settings.symbols:
                with contextlib.suppress(ConnectionRefused):
                    self._keep(symbol, await self._get(path, symbol, "open interest", b'"openInterest"'))
                await asyncio.sleep(self.settings.interest_s / len(self.settings.symbols))

    async def _fetch(self, symbol: str) -> bytes:
        """A depth snapshot as the venue's REST answers it, in one line."""
        venue = self.settings.venue
        return _as_push(venue, symbol, await self._get(SNAPSHOTS[venue], symbol, "depth", _MARKS[venue]))

    async def _get(self, path: str, symbol: str, what: str, mark: bytes) -> bytes:
        """The public answer that tells ``what`` of ``symbol``: one with ``mark`` in it."""
        rest = self.settings.rest.rstrip("/")
        try:
            async with self._http.get(rest + path.format(symbol=symbol)) as reply:
                raw = (await reply.read()).replace(b"\n", b"")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectionRefused(f"{rest} does not answer: {error}", "check --rest and the network") from error
        if reply.status != 200 or mark not in raw:
            said = raw[:200].decode("utf-8", "replace")
            raise ConnectionRefused(
                f"{rest} gives no {what} of {symbol}: HTTP {reply.status} {said}", "check --symbols and --venue"
            )
        return raw

    async def _tell(self, progress: Callable[[dict[str, Any]], None] | None) -> None:
        before = 0
        while progress is not None:
            await asyncio.sleep(1.0)
            up = sum(self.feed.is_up(symbol) for symbol in self.settings.symbols)
            figures = {"frames": self.frames, "per_s": self.frames - before, "waiting": self._recorder.waiting}
            progress({**figures, "up": up, "symbols": len(self.settings.symbols)})
            before = self.frames


def _as_push(venue: str, symbol: str, raw: bytes) -> bytes:
    """OKX and Bybit name no symbol in a REST answer, and their books take no snapshot from aside of the stream: the
    answer goes to the tape whole, under a channel of its own, so that books pass it by and a reader finds it.
    """
    if venue == "okx":
        return b'{"arg":{"channel":"books-rest","instId":"%s"},"action":"rest","data":[%s]}' % (symbol.encode(), raw)
    if venue == "bybit":
        return b'{"topic":"rest.orderbook.%s","type":"rest","data":%s}' % (symbol.encode(), raw)
    return raw


def _tell_loop(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


async def record(settings: CaptureSettings, progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Record the market of ``settings``; see ``Capture.run``."""
    return await Capture(settings).run(progress)


def symbols_of(text: str) -> tuple[str, ...]:
    """Symbols of a comma-separated list, upper-case, each once.

    >>> symbols_of("btcusdt, ETHUSDT,")
    ('BTCUSDT', 'ETHUSDT')
    """
    return tuple(dict.fromkeys(s.strip().upper() for s in text.split(",") if s.strip()))
