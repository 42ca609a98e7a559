"""Market data of one venue: raw frames in the order received, and which symbols may be trusted, to one listener.

The venue's streams are spread over links (``trader.feeds.link``); a symbol is up while every link that carries it is up
and none of its streams that ought to speak is silent. Nothing is decoded or dropped here but second copies.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from trader.feeds.connection import ConnectLimiter
from trader.feeds.link import Link, LinkListener, LinkSettings
from trader.feeds.plans import PROTOCOLS, SocketPlan, book_requests, feed_plan
from trader.feeds.skew import Skew, sample, take
from trader.feeds.streams import Stream, Streams
from trader.feeds.watchdog import Watchdog

__all__ = ["TAPE_ENDED", "Feed", "FeedListener", "FeedSettings", "SocketPlan", "feed_plan"]

TAPE_ENDED: Final = "tape ended"
_UPGRADE_NOTICE: Final = b'"64008"'
_REFUSED: Final = (b'"event":"error"', b'"success":false', b'"error":')
_SAMPLE_EVERY_S: Final = 0.1

FrameCallback = Callable[[str, bytes], None]


class FeedSettings(msgspec.Struct, frozen=True):
    """Seconds. ``silence`` scales the venue's own limits on silent streams; ``resync_s`` keeps re-subscriptions of one
    book apart (OKX counts them); ``calm_s`` is the least time between replacements of a link for silence.
    """

    link: LinkSettings = LinkSettings()
    silence: float = 1.0
    check_s: float = 1.0
    calm_s: float = 30.0
    resync_s: float = 10.0
    skew_window_s: float = 30.0


class FeedListener(msgspec.Struct, frozen=True):
    """``on_frame(symbol, raw)``; ``on_up(symbols, why)`` and ``on_down(symbols, why)`` when their state changes.

    ``on_up`` comes before the frames it makes good. ``on_closed(why)`` tells of every lost connection.
    """

    on_frame: FrameCallback
    on_up: Callable[[tuple[str, ...], str], None] = lambda _symbols, _why: None
    on_down: Callable[[tuple[str, ...], str], None] = lambda _symbols, _why: None
    on_closed: Callable[[str], None] = lambda _why: None


class Feed:
    """All market streams of ``symbols`` on ``venue``. ``hosts`` are WebSocket addresses, the primary first.

    ``now_ns`` stamps samples of the clocks' difference. ``run`` until cancelled.
    """

    def __init__(
        self,
        venue: str,
        hosts: Sequence[str],
        symbols: Sequence[str],
        listener: FeedListener,
        now_ns: Callable[[], int],
        settings: FeedSettings = FeedSettings(),  # noqa: B008 (frozen)
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.venue, self.symbols = venue, tuple(symbols)
        self.skew: dict[Stream, Skew] = {}
        self.control: Counter[str] = Counter()
        self.refused: list[str] = []
        self.silences = 0
        self._listener, self._settings, self._now_ns = listener, settings, now_ns
        by_host = [feed_plan(venue, host, symbols) for host in hosts]
        self._protocol = PROTOCOLS[venue]
        self.streams = Streams(venue)
        limiter = ConnectLimiter(self._protocol.connects, self._protocol.connects_s)
        inner = LinkListener(self._on_frame, self._link_up, self._link_down, self._on_control)
        self.links = [
            Link(plans, self.streams.of, inner, settings.link, limiter, jitter) for plans in zip(*by_host, strict=True)
        ]
        self._missing: dict[str, set[object]] = {
            symbol: {link for link in self.links if symbol in link.symbols} for symbol in symbols
        }
        self._asked_s: dict[str, float] = {}
        self._turned_s: dict[Link, float] = {}

    async def run(self) -> None:
        """Receive until cancelled."""
        tasks = [asyncio.ensure_future(work) for work in (*(link.run() for link in self.links), self._watch())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def is_up(self, symbol: str) -> bool:
        """Whether all streams of ``symbol`` are believed to flow."""
        return not self._missing[symbol]

    def resync(self, symbol: str) -> bool:
        """Ask the socket for a fresh book; False where the venue gives it by REST alone."""
        if not self._protocol.resubscribes:
            return False
        now_s = asyncio.get_running_loop().time()
        if now_s - self._asked_s.get(symbol, float("-inf")) >= self._settings.resync_s:
            self._asked_s[symbol] = now_s
            for link in self.links:
                if symbol in link.symbols:
                    link.send(book_requests(link.plan, symbol))
        return True

    # -- what the links say -------------------------------------------------------------------------------------------

    def _on_frame(self, stream: Stream, raw: bytes) -> None:
        if stream.is_due:
            sample(stream, raw, self._now_ns())
        if stream.symbol in self._missing:
            self._listener.on_frame(stream.symbol, raw)

    def _link_up(self, link: Link) -> None:
        self._mend(link.symbols, link, f"{link.name} is up")

    def _link_down(self, link: Link, reason: str) -> None:
        self._break(link.symbols, link, f"{link.name}: {reason or 'connection lost'}")
        self._listener.on_closed(reason)

    def _mend(self, symbols: Sequence[str], cause: object, why: str) -> None:
        up = []
        for symbol in symbols:
            missing = self._missing[symbol]
            if cause in missing:
                missing.discard(cause)
                if not missing:
                    up.append(symbol)
        if up:
            self._listener.on_up(tuple(up), why)

    def _break(self, symbols: Sequence[str], cause: object, why: str) -> None:
        down = []
        for symbol in symbols:
            if not self._missing[symbol]:
                down.append(symbol)
            self._missing[symbol].add(cause)
        if down:
            self._listener.on_down(tuple(down), why)

    def _on_control(self, link: Link, raw: bytes) -> None:
        """Acknowledgements are counted, refusals kept, and OKX's notice of an upgrade (60 s ahead) is heeded."""
        if any(mark in raw for mark in _REFUSED):
            self.control["refused"] += 1
            if len(self.refused) < 20:
                self.refused.append(f"{link.name}: {raw[:300].decode('utf-8', 'replace')}")
        elif _UPGRADE_NOTICE in raw:
            self.control["notice"] += 1
            link.rotate()
        else:
            self.control["ack"] += 1

    # -- silence and clocks -------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        settings = self._settings
        limits = {kind: limit * settings.silence for kind, limit in self._protocol.silence_s.items()}
        watchdog = Watchdog(limits, self._expected())
        tick_s, checked_s, skewed_s = min(_SAMPLE_EVERY_S, settings.check_s), 0.0, 0.0
        while True:
            await asyncio.sleep(tick_s)
            checked_s, skewed_s = checked_s + tick_s, skewed_s + tick_s
            streams = list(self.streams.by_kind.values())
            for stream in streams:
                stream.is_due = True
            if checked_s >= settings.check_s:
                self._judge(watchdog, streams, checked_s)
                checked_s = 0.0
            if skewed_s >= settings.skew_window_s:
                self.measure()
                skewed_s = 0.0

    def measure(self) -> None:
        """Close the window of clock samples; streams without a sample keep their last figures."""
        for stream in self.streams.by_kind.values():
            skew = take(stream)
            if skew is not None:
                self.skew[stream] = skew

    def _expected(self) -> list[Stream]:
        return self.streams.expect(self.symbols, self._protocol.must_speak)

    def _judge(self, watchdog: Watchdog, streams: list[Stream], passed_s: float) -> None:
        for link in self.links:
            if not link.is_up:
                watchdog.forgive(s for s in streams if s.symbol in link.symbols)
        fallen, risen = watchdog.check([s for s in streams if s.symbol in self._missing], passed_s)
        for stream in fallen:
            self.silences += 1
            self._break((stream.symbol,), stream, f"silent: {stream}")
        for stream in risen:
            self._mend((stream.symbol,), stream, f"heard again: {stream}")
        for stream in watchdog.silent:
            self._turn(stream)

    def _turn(self, stream: Stream) -> None:
        """Put the link of a silent stream on a new connection at the next host, not more often than ``calm_s``."""
        now_s = asyncio.get_running_loop().time()
        for link in self.links:
            is_calm = now_s - self._turned_s.get(link, float("-inf")) >= self._settings.calm_s
            if is_calm and link.is_up and link.carries(stream):
                self._turned_s[link] = now_s
                link.rotate(next_host=True)

    def report(self) -> dict[str, Any]:
        """What happened so far, for people and files."""
        self.measure()
        return {
            "frames": sum(stream.frames for stream in self.streams.by_kind.values()),
            "by_stream": {repr(s): s.frames for s in self.streams.by_kind.values() if s.frames},
            "disconnects": sum(link.lost for link in self.links),
            "planned_reconnects": sum(link.rotated for link in self.links),
            "failed_connects": sum(link.failed for link in self.links),
            "duplicates_dropped": sum(link.duplicates for link in self.links),
            "silences": self.silences,
            "refused": self.refused,
            "recv_minus_event_ms": {repr(stream): msgspec.to_builtins(skew) for stream, skew in self.skew.items()},
        }
