"""How far each connection may be believed, judged once in a while from counters: the way of the frames pays nothing.

Every stream of every link is a source (``trader.reliability``). With two lines their merger counts what the ids of each
say against it; with one line that is what the books of its symbols counted. Which host was how good is remembered.
"""

from collections.abc import Mapping, Sequence
from math import exp
from typing import Final, Protocol

from market.sequence import rule_of
from trader.feeds.link import Link
from trader.feeds.pair import Pair
from trader.feeds.plans import PROTOCOLS
from trader.feeds.streams import Stream, Streams
from trader.reliability import SourceHealth, joint_score
from trader.streaming import SECOND_NS

GRACE_NS: Final = 5 * SECOND_NS
FORGET_S: Final = 300.0
Key = tuple[str, str]
Counts = tuple[int, int, int, int]


class BookCounts(Protocol):
    """What a book's keeper counted."""

    @property
    def gaps(self) -> int: ...
    @property
    def reasons(self) -> Mapping[str, int]: ...


class Compared(Protocol):
    """Sides of a book compared with the ticker, and how many of them differed."""

    @property
    def sides(self) -> int: ...
    @property
    def differing(self) -> int: ...


class _Rated:
    """One link under judgement, on the host it is connected to."""

    def __init__(self) -> None:
        self.url = ""
        self.up_ns = 0
        self.sources: dict[Key, SourceHealth] = {}
        self.seen: dict[Key, Counts] = {}
        self.left: dict[str, tuple[float, int]] = {}


class Scores:
    """``update`` at a steady pace, then ask for ``score``. ``by_line`` are the streams of each line."""

    def __init__(
        self,
        venue: str,
        pairs: Sequence[Pair],
        by_line: Sequence[Streams],
        books: Mapping[str, BookCounts],
        tops: Mapping[str, Compared],
    ) -> None:
        self._venue, self._rule, self._silence_s = venue, rule_of(venue), PROTOCOLS[venue].silence_s
        self._pairs, self._by_line, self._books, self._tops = pairs, by_line, books, tops
        self._rated = {link: _Rated() for pair in pairs for link in pair.links}
        self._compared: dict[str, tuple[int, int]] = {}
        self.now_ns = 0

    def update(self, now_ns: int) -> None:
        """Take in what the counters say since the last time."""
        self.now_ns = now_ns
        for pair in self._pairs:
            for line, link in enumerate(pair.links):
                self._enter(link)
                for stream in list(self._by_line[line].by_kind.values()):
                    if link.carries(stream) and (stream.kind in self._silence_s or stream.kind == "trade"):
                        self._tally(pair, line, stream)
        for symbol, top in self._tops.items():
            self._compare(symbol, top)

    def score(self, link: Link) -> float:
        """Its worst stream's; 0 while it is down or one of them has not spoken."""
        return joint_score(list(self._rated[link].sources.values()), self.now_ns) if link.is_up else 0.0

    def settled(self, link: Link) -> float | None:
        """The score; None while a connection is too young to be judged."""
        rated = self._rated[link]
        is_young = self.now_ns - rated.up_ns < GRACE_NS
        return None if link.is_up and (not rated.up_ns or is_young) else self.score(link)

    def elsewhere(self, link: Link) -> float:
        """The best that may be expected of its other hosts: those left for their faults are trusted again in time."""
        rated = self._rated[link]
        others = [url for url in link.hosts if url != rated.url]
        return max((self._remembered(rated, url) for url in others), default=0.0)

    def leave(self, link: Link) -> None:
        """Remember how good the present host was."""
        self._rated[link].left[self._rated[link].url] = self.score(link), self.now_ns

    def by_source(self) -> list[tuple[Link, str, str, float]]:
        """(link, symbol, kind, score) of every source heard so far."""
        return [
            (link, *key, source.score(self.now_ns))
            for link, rated in list(self._rated.items())
            for key, source in list(rated.sources.items())
            if source.is_heard
        ]

    def _remembered(self, rated: _Rated, url: str) -> float:
        score, left_ns = rated.left.get(url, (1.0, self.now_ns))
        return 1.0 - (1.0 - score) * exp(-(self.now_ns - left_ns) / SECOND_NS / FORGET_S)

    def _enter(self, link: Link) -> None:
        """Begin anew on another host; note since when the link is up."""
        rated = self._rated[link]
        if rated.url != link.plan.url:
            rated.url = link.plan.url
            rated.up_ns = 0
            rated.sources.clear()
        if not link.is_up:
            rated.up_ns = 0
        elif not rated.up_ns:
            rated.up_ns = self.now_ns

    def _tally(self, pair: Pair, line: int, stream: Stream) -> None:
        rated, key = self._rated[pair.links[line]], stream.key
        source = rated.sources.get(key)
        if source is None:
            may_pause = stream.kind not in self._silence_s
            source = rated.sources[key] = SourceHealth(self._venue, self._rule, may_pause=may_pause)
        counts = self._counts(pair, line, stream)
        frames, gaps, duplicates, quarantined = _minus(counts, rated.seen.get(key, (0, 0, 0, 0)))
        rated.seen[key] = counts
        source.tally(self.now_ns, frames, gaps=gaps, duplicates=duplicates, quarantined=quarantined)

    def _counts(self, pair: Pair, line: int, stream: Stream) -> Counts:
        """(frames, gaps, duplicates, quarantined) of a stream so far."""
        if pair.merger is not None:
            told = pair.merger.tally(stream.key, line)
            return (stream.frames, told.gaps, told.duplicates, told.broken) if told is not None else (0, 0, 0, 0)
        book = self._books.get(stream.symbol) if stream.kind == "depth" else None
        return (
            (stream.frames, book.gaps, 0, sum(book.reasons.values())) if book is not None else (stream.frames, 0, 0, 0)
        )

    def _compare(self, symbol: str, top: Compared) -> None:
        """A difference is laid to the line that brought the book's newest change."""
        now, before = (top.sides, top.differing), self._compared.get(symbol, (0, 0))
        self._compared[symbol] = now
        for pair in self._pairs:
            link = pair.links[0 if pair.merger is None else pair.merger.brought_by(symbol)]
            source = self._rated[link].sources.get((symbol, "depth"))
            if source is not None and now != before:
                source.compare(now[0] - before[0], now[1] - before[1])


def _minus(now: Counts, before: Counts) -> Counts:
    return now[0] - before[0], now[1] - before[1], now[2] - before[2], now[3] - before[3]
