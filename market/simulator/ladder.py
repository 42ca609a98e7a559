"""What the recorded market shows of one symbol: depth levels, the newer best quote over them, and what we took.

Everything is in integer ticks and lots. This is the exchange's own view, "as far as known": unlike
``market.book.Book``, which a trader verifies and refuses to trade on after a gap, it always answers, and says which
levels it does not know.
"""

from collections import deque
from collections.abc import Iterator

from market.events import Depth, Quote
from market.instruments import Instrument

Levels = list[tuple[int, int]]
_RECENT = 1_000


class Ladder:
    """Visible liquidity of one symbol.

    The best quote (``bookTicker``) is newer than the last depth event most of the time. While its update id is greater
    it masks the depth levels: better levels are gone, its own level has its size. The depth levels stay unmasked
    underneath, since REST snapshots are served from them and clients go on from there with depth deltas.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._tick = float(instrument.tick_size)
        self._lot = float(instrument.lot_size)
        self._replays = instrument.venue.startswith("binance")  # elsewhere a snapshot comes in the stream, in order
        self.levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self.last_id = 0
        self.ts_event = 0
        self.synced = False
        self.gaps = 0
        self._reach: dict[int, int] = {}
        self._best: dict[int, int | None] = {1: None, -1: None}
        self._quote: tuple[int, int, int, int, int] | None = None
        self._taken: dict[tuple[int, int], tuple[int, int]] = {}
        self._recent: deque[Depth] = deque(maxlen=_RECENT)

    def _convert(self, levels: list[tuple[str, str]]) -> Levels:
        tick, lot = self._tick, self._lot
        return [(round(float(px) / tick), round(float(qty) / lot)) for px, qty in levels]

    def apply(self, depth: Depth) -> None:
        """Take a snapshot or delta of the recording. Snapshots are replayed forward over the deltas that came first."""
        if depth.is_snapshot:
            later = [d for d in self._recent if d.last_id >= depth.last_id] if self._replays else []
            self._snapshot(depth)
            for delta in later:
                self._delta(delta)
        else:
            self._delta(depth)
        if self._taken:
            self._settle_taken()

    def _snapshot(self, depth: Depth) -> None:
        for side, levels in ((1, depth.bids), (-1, depth.asks)):
            book = {px: qty for px, qty in self._convert(levels) if qty}
            self.levels[side] = book
            if book:
                self._reach[side] = min(book) if side > 0 else max(book)
        self._best = {1: None, -1: None}
        self.last_id, self.synced = depth.last_id, True
        self._recent.clear()
        self._seen(depth)

    def _delta(self, depth: Depth) -> None:
        is_chained = depth.prev_id == self.last_id
        if depth.last_id < self.last_id and not is_chained:
            return
        if (
            self.synced
            and depth.prev_id >= 0
            and not is_chained
            and not depth.first_id <= self.last_id <= depth.last_id
        ):
            self.gaps, self.synced = self.gaps + 1, False
        self._set(1, self._convert(depth.bids))
        self._set(-1, self._convert(depth.asks))
        self.last_id = depth.last_id
        self._recent.append(depth)
        self._seen(depth)

    def _seen(self, depth: Depth) -> None:
        self.ts_event = max(self.ts_event, depth.ts_event)
        if self._quote is not None and self._quote[0] <= self.last_id:
            self._quote = None

    def _set(self, side: int, levels: Levels) -> None:
        book, best, best_px = self.levels[side], self._best[side], 0
        for px, qty in levels:
            if qty:
                book[px] = qty
                if best is not None and (px - best) * side > 0:
                    best = px
                if best_px == 0 or (px - best_px) * side > 0:
                    best_px = px
            elif book.pop(px, None) is not None and px == best:
                best = None
        self._best[side] = best
        if best_px:
            self._prune(-side, best_px)

    def _prune(self, side: int, px: int) -> None:
        """A new level at ``px`` proves that no opposite level at or through it is left (only a gap leaves any)."""
        best = self._depth_best(side)
        if best is not None and (best - px) * side >= 0:
            book = self.levels[side]
            for crossed in [level for level in book if (level - px) * side >= 0]:
                del book[crossed]
            self._best[side] = None

    def quote(self, quote: Quote) -> None:
        """Take a best quote; older ones than the last depth event or quote are ignored."""
        masked = 0 if self._quote is None else self._quote[0]
        if quote.update_id <= self.last_id or quote.update_id < masked:
            return
        tick, lot = self._tick, self._lot
        bid, ask = round(quote.bid_px / tick), round(quote.ask_px / tick)
        self._quote = (quote.update_id, bid, round(quote.bid_qty / lot), ask, round(quote.ask_qty / lot))
        self.ts_event = max(self.ts_event, quote.ts_event)
        if self._taken:
            self._settle_taken()

    def _depth_best(self, side: int) -> int | None:
        best = self._best[side]
        if best is None and self.levels[side]:
            best = self._best[side] = max(self.levels[side]) if side > 0 else min(self.levels[side])
        return best

    def best(self, side: int) -> int | None:
        """Best visible price of ``side`` (+1 bids), None when that side is empty."""
        if self._quote is None:
            return self._depth_best(side)
        px, lots = self._quote[1:3] if side > 0 else self._quote[3:5]
        return px if lots else None

    def visible(self, side: int, ticks: int) -> int:
        """Lots shown at a price."""
        if self._quote is not None:
            px, lots = self._quote[1:3] if side > 0 else self._quote[3:5]
            if (ticks - px) * side >= 0:
                return lots if ticks == px else 0
        return self.levels[side].get(ticks, 0)

    def knows(self, side: int, ticks: int) -> bool:
        """Whether ``visible`` is the truth there: a known level, better than the best, or in the snapshot's range."""
        best = self.best(side)
        if ticks in self.levels[side] or (best is not None and (ticks - best) * side >= 0):
            return True
        reach = self._reach.get(side)
        return self.synced and reach is not None and (ticks - reach) * side >= 0

    def available(self, side: int, ticks: int) -> int:
        """Lots at a price that we have not taken."""
        taken = self._taken.get((side, ticks))
        return self.visible(side, ticks) - (0 if taken is None else taken[1])

    def take(self, side: int, ticks: int, lots: int) -> None:
        """Mark lots of a level as taken by us: they stay visible, since the recording does not know of us."""
        _, before = self._taken.get((side, ticks), (0, 0))
        self._taken[side, ticks] = (self.visible(side, ticks), before + lots)

    def _settle_taken(self) -> None:
        """A level that shrank lost its oldest lots first, which are the ones we took; what was added since is new."""
        for (side, ticks), (shown_before, lots) in list(self._taken.items()):
            shown = self.visible(side, ticks)
            lots -= max(0, shown_before - shown)
            if shown == 0 or lots <= 0:
                del self._taken[side, ticks]
            else:
                self._taken[side, ticks] = (shown, lots)

    def walk(self, side: int, limit_ticks: int | None) -> Iterator[tuple[int, int]]:
        """(ticks, available lots) of ``side`` from the best outward, no worse than ``limit_ticks``."""
        best = self.best(side)
        if best is None or (limit_ticks is not None and (best - limit_ticks) * side < 0):
            return
        deeper = [px for px in self.levels[side] if (best - px) * side > 0]
        for px in [best, *sorted(deeper, reverse=side > 0)]:
            if limit_ticks is not None and (px - limit_ticks) * side < 0:
                return
            lots = self.available(side, px)
            if lots:
                yield px, lots

    def top(self, side: int, count: int) -> Levels:
        """The best ``count`` depth levels without the quote over them, best first."""
        book = self.levels[side]
        return [(px, book[px]) for px in sorted(book, reverse=side > 0)[:count]]
