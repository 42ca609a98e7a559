"""How far a source (one stream of one venue) may be believed: one formula, fed live or from a tape by the same class.

    reliability = 2 ** -(sum of defect / half)

``Defects`` are rates of about the last minute, and each ``half_*`` of ``ReliabilityParams`` is the rate that halves the
score on its own. A source without a defect scores 1; one that has fallen silent falls towards 0.
"""

from collections.abc import Iterable
from math import exp
from typing import Final, Literal

import msgspec

from market.events import Depth, Event, Quote, Trade
from market.sequence import Rule, id_before
from trader.quality import COUNTING, Stream
from trader.streaming import SECOND_NS

GAP_KINDS: Final = ("silence", "sequence", "trade_ids")


class ReliabilityParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Memory, patience with silence, the rates that halve the score, and the lead that a backup needs."""

    memory_s: float = 60.0
    stale_floor_s: float = 2.0
    stale_ratio: float = 50.0
    half_gaps: float = 2.0
    half_duplicates: float = 0.05
    half_stale: float = 0.1
    half_crossed: float = 0.01
    half_quarantined: float = 0.01
    half_disagreeing: float = 0.01
    lead: float = 0.2


PARAMS: Final = ReliabilityParams()


class Defects(msgspec.Struct, frozen=True):
    """Rates of about the last ``memory_s``.

    ``gaps`` a minute; shares of events that were ``duplicates``, left the book ``crossed`` or were ``quarantined``; the
    share of time ``stale``; the share of the book's compared sides that were ``disagreeing`` with the ticker.
    """

    gaps: float
    duplicates: float
    stale: float
    crossed: float
    quarantined: float
    disagreeing: float


class Gap(msgspec.Struct, frozen=True):
    """Something is missing between two receive times; ``missing_ids`` is None where the venue's ids do not tell."""

    kind: str
    from_ns: int
    to_ns: int
    missing_ids: int | None


def reliability(defects: Defects, params: ReliabilityParams = PARAMS) -> float:
    """The score, in [0, 1]. A defect that is NaN counts as a whole: what cannot be judged is not believed.

    >>> reliability(Defects(0, 0, 0, 0, 0, 0)), reliability(Defects(2.0, 0, 0, 0, 0.01, 0))
    (1.0, 0.25)
    """
    weights = {name: getattr(defects, name) / getattr(params, f"half_{name}") for name in defects.__struct_fields__}
    return float(2.0 ** -sum(w if w == w else 100.0 for w in weights.values()))


def prefer(primary: float, backup: float, params: ReliabilityParams = PARAMS) -> Literal["primary", "backup"]:
    """Which of two sources to follow; the backup takes over only with a clear lead, so that equals do not alternate.

    After a change of roles call it the other way round: the lead then protects the new primary.

    >>> prefer(0.9, 1.0), prefer(0.5, 0.95)
    ('primary', 'backup')
    """
    return "backup" if backup >= primary + params.lead else "primary"


class SourceHealth:
    """Counts of one stream of one symbol, decayed by our clock; ``defects`` and ``score`` read them.

    ``take`` its events one by one, or ``tally`` what counters say of it now and then. ``may_pause``: silence is no
    defect of this stream.
    """

    __slots__ = (
        "_counts",
        "_depth_id",
        "_ids_count",
        "_may_pause",
        "_params",
        "_rolled_ns",
        "_rule",
        "_since_ns",
        "_stream",
        "_trade_id",
    )

    def __init__(self, venue: str, rule: Rule, params: ReliabilityParams = PARAMS, may_pause: bool = False) -> None:
        self._params, self._rule, self._may_pause = params, rule, may_pause
        self._ids_count = venue in COUNTING
        self._stream = Stream()
        self._counts = dict.fromkeys((*Defects.__struct_fields__, "events", "compared"), 0.0)
        self._depth_id = self._trade_id = -1
        self._rolled_ns = self._since_ns = 0

    def take(self, event: Event, is_crossed: bool = False) -> list[Gap]:
        """One event in the order received; returns the gaps it shows. ``is_crossed``: so the book stood after it."""
        before_ns, ts_ns = self._stream.recv_ns, event.ts_recv
        gaps = self._hear(ts_ns, may_pause=isinstance(event, Trade))
        self._counts["events"] += 1
        if isinstance(event, Depth):
            gaps += self._follow(event, before_ns)
        elif isinstance(event, Trade):
            gaps += self._count_trade(event, before_ns)
        elif isinstance(event, Quote):
            is_crossed = is_crossed or event.bid_px > event.ask_px
        self._counts["crossed"] += is_crossed
        self._counts["gaps"] += len(gaps)
        return gaps

    def tally(
        self, ts_ns: int, events: int, gaps: int = 0, duplicates: int = 0, crossed: int = 0, quarantined: int = 0
    ) -> None:
        """So much came since the last tally, by reading ``ts_ns`` of our clock; nothing counts before the first event.

        The pause between events is taken as the mean over the time between two tallies.
        """
        if not (events or self._since_ns):
            return
        self._roll(ts_ns)
        if events:
            silent_s, patience_s = self._stream.silent_s(ts_ns), self._patience_s()
            if silent_s > patience_s and not self._may_pause:
                self._counts["stale"] += silent_s - patience_s
            self._stream.heard(ts_ns, self._params.memory_s, events)
        told = {
            "events": events,
            "gaps": gaps,
            "duplicates": duplicates,
            "crossed": crossed,
            "quarantined": quarantined,
        }
        for name, count in told.items():
            self._counts[name] += count

    @property
    def is_heard(self) -> bool:
        """Whether anything came yet."""
        return self._since_ns > 0

    def quarantine(self, ts_ns: int) -> None:
        """A frame of this source could not be read."""
        self._roll(ts_ns)
        self._counts["events"] += 1
        self._counts["quarantined"] += 1

    def compare(self, sides: int, disagreeing: int) -> None:
        """So many sides of the book were compared with the ticker, so many of them disagreed."""
        self._counts["compared"] += sides
        self._counts["disagreeing"] += disagreeing

    def defects(self, ts_ns: int) -> Defects:
        """Rates at reading ``ts_ns`` of our clock; changes nothing."""
        fade, counts = self._fade(ts_ns), self._counts
        seen_s = min(max((ts_ns - self._since_ns) / SECOND_NS, 1.0), self._params.memory_s)
        over_s = 0.0 if self._may_pause else max(self._stream.silent_s(ts_ns) - self._patience_s(), 0.0)
        shares = {name: counts[name] / max(counts["events"], 1.0) for name in ("duplicates", "crossed", "quarantined")}
        return Defects(
            gaps=60.0 * counts["gaps"] * fade / self._params.memory_s,
            stale=min((counts["stale"] * fade + over_s) / seen_s, 1.0),
            disagreeing=counts["disagreeing"] / max(counts["compared"], 1.0),
            **shares,
        )

    def score(self, ts_ns: int) -> float:
        """``reliability`` of the defects at ``ts_ns``; 0 before the first event."""
        return reliability(self.defects(ts_ns), self._params) if self._since_ns else 0.0

    def _hear(self, ts_ns: int, may_pause: bool) -> list[Gap]:
        self._roll(ts_ns)
        silent_s, patience_s, before_ns = self._stream.silent_s(ts_ns), self._patience_s(), self._stream.recv_ns
        self._stream.heard(ts_ns, self._params.memory_s)
        if may_pause or silent_s <= patience_s:
            return []
        self._counts["stale"] += silent_s - patience_s
        return [Gap("silence", before_ns, ts_ns, None)]

    def _follow(self, depth: Depth, before_ns: int) -> list[Gap]:
        last = self._depth_id
        if depth.is_snapshot:
            self._depth_id = -1 if self._rule in ("futures", "spot") else depth.last_id
            return []
        before = id_before(self._rule, depth)
        if last >= 0 and depth.last_id <= last and (before is None or before < last):
            self._counts["duplicates"] += 1
            return []
        self._depth_id = depth.last_id
        if last < 0 or before is None or before == last:
            return []
        return [Gap("sequence", before_ns, depth.ts_recv, max(before - last, 0) or None)]

    def _count_trade(self, trade: Trade, before_ns: int) -> list[Gap]:
        if not self._ids_count:
            return []
        last = self._trade_id
        if 0 <= trade.trade_id <= last:
            self._counts["duplicates"] += 1
            return []
        self._trade_id = trade.trade_id
        missing = trade.trade_id - last - 1
        return [Gap("trade_ids", before_ns, trade.ts_recv, missing)] if last >= 0 and missing else []

    def _patience_s(self) -> float:
        return self._stream.patience_s(self._params.stale_ratio, self._params.stale_floor_s)

    def _fade(self, ts_ns: int) -> float:
        return exp(-max(ts_ns - self._rolled_ns, 0) / SECOND_NS / self._params.memory_s) if self._rolled_ns else 1.0

    def _roll(self, ts_ns: int) -> None:
        """Let the counts fade, once a second."""
        self._since_ns = self._since_ns or ts_ns
        if self._rolled_ns and ts_ns - self._rolled_ns < SECOND_NS:
            return
        fade = self._fade(ts_ns)
        self._rolled_ns = max(ts_ns, self._rolled_ns)
        for name in self._counts:
            self._counts[name] *= fade


def joint_score(sources: Iterable[SourceHealth], ts_ns: int) -> float:
    """What a connection is worth: the score of its worst stream; 0 where it has none."""
    return min((source.score(ts_ns) for source in sources), default=0.0)
