"""Market data of one venue: raw frames in the order received, and which symbols may be trusted, to one listener.

The venue's streams are spread over links (``trader.feeds.link``), in one line or in two that are hot at once; a symbol
is up while a link of each plan that carries it is up and none of its streams that ought to speak is silent. Nothing is
dropped here but second copies.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from market.codecs import decode_all
from trader.feeds.connection import ConnectLimiter
from trader.feeds.hot import HotMerger
from trader.feeds.link import Link, LinkListener
from trader.feeds.pair import Pair
from trader.feeds.plans import PROTOCOLS, SocketPlan, book_requests, feed_plan
from trader.feeds.report import report_of
from trader.feeds.scores import BookCounts, Compared, Scores
from trader.feeds.settings import FeedListener, FeedSettings
from trader.feeds.skew import Skew, sample, take
from trader.feeds.streams import Stream, Streams
from trader.feeds.watchdog import Watchdog
from trader.reliability import prefer

__all__ = ["TAPE_ENDED", "Feed", "FeedListener", "FeedSettings", "SocketPlan", "feed_plan"]

TAPE_ENDED: Final = "tape ended"
_UPGRADE_NOTICE: Final = b'"64008"'
_REFUSED: Final = (b'"event":"error"', b'"success":false', b'"error":')
_SAMPLE_EVERY_S: Final = 0.1


class Feed:
    """All market streams of ``symbols`` on ``venue``. ``hosts`` are WebSocket addresses, the primary first.

    ``now_ns`` stamps samples of the clocks' difference. ``books`` and ``tops`` are what its listener counts of each
    symbol: gaps and bad frames, and the book's top against the ticker. ``run`` until cancelled.
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
        books: Mapping[str, BookCounts] | None = None,
        tops: Mapping[str, Compared] | None = None,
    ) -> None:
        self.venue, self.symbols = venue, tuple(symbols)
        self.skew: dict[tuple[str, str], Skew] = {}
        self.control: Counter[str] = Counter()
        self.refused: list[str] = []
        self.silences = self.left_for_score = 0
        self._listener, self._settings, self._now_ns, self._jitter = listener, settings, now_ns, jitter
        self._protocol = PROTOCOLS[venue]
        self._limiter = ConnectLimiter(self._protocol.connects, self._protocol.connects_s)
        self.by_line = [Streams(venue) for _ in range(settings.lines)]
        by_host = [feed_plan(venue, host, symbols) for host in hosts]
        self.pairs = [self._pair(plans) for plans in zip(*by_host, strict=True)]
        self.scores = Scores(venue, self.pairs, self.by_line, books or {}, tops or {})
        self._missing: dict[str, set[object]] = {
            symbol: {pair for pair in self.pairs if symbol in pair.symbols} for symbol in symbols
        }
        self._silent: set[tuple[str, str]] = set()
        self._asked_s: dict[str, float] = {}
        self._turned_s: dict[Link, float] = {}

    @property
    def links(self) -> list[Link]:
        """All connections, plan by plan."""
        return [link for pair in self.pairs for link in pair.links]

    def streams(self) -> list[Stream]:
        """All streams of all lines."""
        return [stream for streams in self.by_line for stream in list(streams.by_kind.values())]

    def _pair(self, plans: Sequence[SocketPlan]) -> Pair:
        """The second line begins at the second host, and bears its number in its name."""
        if self._settings.lines == 1:
            return Pair([self._link(plans, self.by_line[0], self._on_frame)], None)
        loop_s: Callable[[], float] = lambda: asyncio.get_running_loop().time()  # noqa: E731
        merger = HotMerger(self._on_frame, decode_all(self.venue), loop_s, self._settings.hot)
        links = []
        for line, streams in enumerate(self.by_line):
            named = [msgspec.structs.replace(plan, name=f"{plan.name}.{line + 1}") for plan in plans]
            turned = named[line % len(named) :] + named[: line % len(named)]
            links.append(self._link(turned, streams, partial(merger.take, line)))
        return Pair(links, merger)

    def _link(self, plans: Sequence[SocketPlan], streams: Streams, on_frame: Callable[[Stream, bytes], None]) -> Link:
        inner = LinkListener(on_frame, self._link_up, self._link_down, self._on_control)
        is_homing = self._settings.lines > 1
        return Link(plans, streams.of, inner, self._settings.link, self._limiter, self._jitter, is_homing)

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
            for pair in self.pairs:
                if symbol in pair.symbols:
                    self._ask_book(pair, symbol)
        return True

    def _ask_book(self, pair: Pair, symbol: str) -> None:
        link = pair.links[pair.leader]
        if link.send(book_requests(link.plan, symbol)) and pair.merger is not None:
            pair.merger.expect(symbol, pair.leader)

    # -- what the links say -------------------------------------------------------------------------------------------

    def _on_frame(self, stream: Stream, raw: bytes) -> None:
        if stream.is_due:
            sample(stream, raw, self._now_ns())
        if stream.symbol in self._missing:
            self._listener.on_frame(stream.symbol, raw)

    def _pair_of(self, link: Link) -> tuple[Pair, int]:
        return next((pair, pair.links.index(link)) for pair in self.pairs if link in pair.links)

    def _link_up(self, link: Link) -> None:
        pair, line = self._pair_of(link)
        if pair.merger is not None:
            pair.merger.up(line)
        self._mend(pair.symbols, pair, f"{link.name} is up")

    def _link_down(self, link: Link, reason: str) -> None:
        """A line that is lost takes nothing down while the other one stands."""
        pair, line = self._pair_of(link)
        if pair.merger is not None:
            pair.merger.down(line)
        if pair.merger is None or not pair.links[1 - line].is_up:
            self._break(pair.symbols, pair, f"{link.name}: {reason or 'connection lost'}")
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
        watchdogs = [
            Watchdog(limits, streams.expect(self.symbols, self._protocol.must_speak)) for streams in self.by_line
        ]
        tick_s, checked_s, skewed_s = min(_SAMPLE_EVERY_S, settings.check_s), 0.0, 0.0
        while True:
            await asyncio.sleep(tick_s)
            checked_s, skewed_s = checked_s + tick_s, skewed_s + tick_s
            for stream in self.streams():
                stream.is_due = True
            for pair in self.pairs:
                if pair.merger is not None:
                    pair.merger.tick()
            if checked_s >= settings.check_s:
                self._check_silence(watchdogs, checked_s)
                self._check_scores()
                checked_s = 0.0
            if skewed_s >= settings.skew_window_s:
                self.measure()
                skewed_s = 0.0

    def measure(self) -> None:
        """Close the window of clock samples; streams without a sample keep their last figures."""
        for stream in self.streams():
            skew = take(stream)
            if skew is not None:
                self.skew[stream.key] = skew

    def _check_silence(self, watchdogs: list[Watchdog], passed_s: float) -> None:
        """A stream is silent once it is on every line that stands; the link on which it is moves to another socket."""
        still, gone = [], []
        for line, watchdog in enumerate(watchdogs):
            mine = [s for s in self.by_line[line].by_kind.values() if s.symbol in self._missing]
            links = [pair.links[line] for pair in self.pairs if pair.links[line].is_up]
            down = [s for s in mine if not any(link.carries(s) for link in links)]
            watchdog.forgive(down)
            watchdog.check(mine, passed_s)
            still.append({s.key for s in watchdog.silent})
            gone.append({s.key for s in down})
            for link in {link for link in links for s in watchdog.silent if link.carries(s)}:
                self._turn(link)
        silent = set.union(*still)
        self._tell_silence(silent.intersection(*(s | g for s, g in zip(still, gone, strict=True))))

    def _tell_silence(self, silent: set[tuple[str, str]]) -> None:
        """``silent``: symbol and kind of every stream that ought to speak and does not."""
        fallen, risen = silent - self._silent, self._silent - silent
        self._silent = silent
        self.silences += len(fallen)
        for symbol, kind in sorted(fallen):
            self._break((symbol,), (symbol, kind), f"silent: {kind} of {symbol}")
        for symbol, kind in sorted(risen):
            self._mend((symbol,), (symbol, kind), f"heard again: {kind} of {symbol}")

    def _turn(self, link: Link) -> bool:
        """Put a link on a new connection at the next host, not more often than ``calm_s``; True when it is asked to."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._turned_s.get(link, float("-inf")) < self._settings.calm_s:
            return False
        self._turned_s[link] = now_s
        link.rotate(next_host=True)
        return True

    def _check_scores(self) -> None:
        """Of two lines the better one leads; a line alone goes to a better host."""
        self.scores.update(self._now_ns())
        for pair in self.pairs:
            settled = [self.scores.settled(link) for link in pair.links]
            if pair.judge(settled):
                self._tell_lead(pair)
            elif len(settled) == 1 and settled[0] is not None:
                self._leave_if_worse(pair.links[0], settled[0])

    def _leave_if_worse(self, link: Link, score: float) -> None:
        has_better = link.is_up and prefer(score, self.scores.elsewhere(link)) == "backup"
        if has_better and self._turn(link):
            self.scores.leave(link)
            self.left_for_score += 1

    def _tell_lead(self, pair: Pair) -> None:
        new, old = pair.links[pair.primary], pair.links[1 - pair.primary]
        scores = f"{self.scores.score(new):.2f} against {self.scores.score(old):.2f}"
        self._listener.on_lead(pair.symbols, f"{new.name} leads, by {scores} of {old.name}")

    def report(self) -> dict[str, Any]:
        """What happened so far, for people and files."""
        self.measure()
        return report_of(self)

    def frames(self) -> dict[tuple[str, str], int]:
        """Frames received so far by symbol and kind, on all lines."""
        counts: Counter[tuple[str, str]] = Counter()
        for stream in self.streams():
            counts[stream.key] += stream.frames
        return dict(counts)
