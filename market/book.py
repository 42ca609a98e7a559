"""An order book of one symbol, exact to the last decimal, that knows when it may not be trusted.

Prices and quantities are integers scaled by a power of ten which grows when a longer decimal appears; the venue's
sequence rule (``market.sequence``) decides what becomes of each delta. A Book takes the frames of one connection.
"""

from bisect import bisect_left
from collections import deque
from decimal import Decimal
from enum import StrEnum
from operator import mul
from typing import Final

from market.events import Depth
from market.levels import Levels, Scale, Side, TooFine, decimals_of
from market.sequence import IN_BAND, Chain, Rule, Step, aligns, bybit_step, continues, id_before, okx_step, rule_of

__all__ = ["Applied", "Book", "Rule", "rule_of"]
_BUFFER: Final = 20_000
_FIRST_DELTA: Final = "waiting for the first delta that continues the snapshot"
_NO_IDS: Final = "the venue sent no sequence ids: the book cannot be proven"


class Applied(StrEnum):
    """What ``Book.apply`` did: changed the book, kept the delta for later, ignored an old one, or found one missing.

    On OKX and Bybit a delta before the snapshot is STALE: the snapshot that follows on the same connection is younger.
    """

    APPLIED = "APPLIED"
    BUFFERED = "BUFFERED"
    STALE = "STALE"
    GAP = "GAP"
    SNAPSHOT = "SNAPSHOT"


class Book:
    """Book of ``symbol`` under the sequence rule of its venue (``rule_of``).

    ``tradable`` is False until a snapshot stands (on Binance: and a delta that continues it), and again after a gap or
    a cross until the next snapshot; ``reason`` says why in words ("" while tradable). ``last_id`` is the last update id
    the book contains, ``last_recv_ns`` when its stream last spoke. ``doubt`` ("" when none) says that a delta may be
    missing where the venue's fields cannot prove it (Bybit): resubscribe, the next snapshot clears it.
    """

    def __init__(self, symbol: str, rule: Rule = "futures") -> None:
        self.symbol, self.rule = symbol, rule
        self.tradable = False
        self.reason = "no snapshot yet"
        self.doubt = ""
        self.last_id = -1
        self.last_recv_ns = 0
        self._aligned = self._loaded = False
        self._buffer: deque[Depth] = deque(maxlen=_BUFFER)
        self._chain = Chain() if rule in IN_BAND else None
        self._step = okx_step if rule == "okx" else bybit_step
        self._px, self._qty = Scale(), Scale()
        self._bids, self._asks = Side(1), Side(-1)

    def apply(self, depth: Depth) -> Applied:
        """Take one snapshot or delta. A frame is applied whole or not at all.

        Raises
        ------
        FrameError
            A level is not a plain decimal pair; the book is unchanged (the next delta then shows the gap, except on
            Bybit, which shows a doubt).
        """
        self.last_recv_ns = depth.ts_recv
        if self._chain is not None:
            return self._take_in_band(depth, self._chain)
        if depth.is_snapshot:
            return self._apply_snapshot(depth)
        if not self._loaded:
            self.validate(depth)
            self._buffer.append(depth)
            return Applied.BUFFERED
        return self._apply_delta(depth)

    def validate(self, depth: Depth) -> None:
        """Raise FrameError unless every level is a pair of plain decimals; changes no level."""
        self._parse(depth)

    def _load(self, depth: Depth) -> None:
        bids, asks = self._parse(depth)
        self._bids.load(bids)
        self._asks.load(asks)
        self.last_id, self._loaded = depth.last_id, True

    def _update(self, depth: Depth) -> None:
        bids, asks = self._parse(depth)
        self._bids.update(bids)
        self._asks.update(asks)
        self.last_id = depth.last_id

    def _apply_snapshot(self, depth: Depth) -> Applied:
        if self._aligned and depth.last_id < self.last_id:
            return Applied.STALE
        self._load(depth)
        self.tradable, self.reason = self._aligned, "" if self._aligned else _FIRST_DELTA
        self._aligned = False
        self._check_crossed()
        return self._drain()

    def _drain(self) -> Applied:
        waiting, self._buffer = self._buffer, deque(maxlen=_BUFFER)
        while waiting:
            if self._apply_delta(waiting.popleft()) is Applied.GAP:
                self._buffer.extend(waiting)
                return Applied.GAP
        return Applied.SNAPSHOT

    def _apply_delta(self, depth: Depth) -> Applied:
        last = self.last_id
        if depth.last_id <= last and (self._aligned or self.rule == "spot" or depth.last_id < last):
            return Applied.STALE
        if not (continues if self._aligned else aligns)(self.rule, last, depth):
            return self._break(depth)
        self._update(depth)
        if not self._aligned:
            self._aligned = self.tradable = True
            self.reason = ""
        self._check_crossed()
        return Applied.APPLIED

    def _take_in_band(self, depth: Depth, chain: Chain) -> Applied:
        """OKX and Bybit: the snapshot comes on the deltas' own connection and is complete by itself."""
        if depth.is_snapshot:
            self._load(depth)
            chain.restart(depth.last_id)
            self.tradable, self.reason = depth.last_id >= 0, "" if depth.last_id >= 0 else _NO_IDS
            self.doubt = ""
            self._check_crossed()
            return Applied.SNAPSHOT
        if not self._loaded:
            self.validate(depth)
            chain.heard = depth.last_id
            return Applied.STALE
        return self._follow_in_band(depth, chain)

    def _follow_in_band(self, depth: Depth, chain: Chain) -> Applied:
        step = self._step(chain, self.last_id, depth)
        if step is Step.GAP:
            chain.heard = depth.last_id
            return self._break(depth)
        if step is Step.STALE:
            return Applied.STALE
        last = self.last_id
        self._update(depth)
        chain.add(depth)
        if step is Step.DOUBT:
            self.doubt = f"update id went from {last} to {depth.last_id}: a delta may be missing"
        self._check_crossed()
        return Applied.APPLIED

    def _break(self, depth: Depth) -> Applied:
        before = id_before(self.rule, depth)
        said = f"update {depth.last_id} came late" if before is None else f"the next delta continues {before}"
        self.reset(f"sequence gap: the book ends at id {self.last_id}, {said}")
        if self._chain is None:
            self._buffer.append(depth)
        return Applied.GAP

    def reset(self, reason: str) -> None:
        """Distrust the book until the next snapshot (a reconnect, a silent stream); its levels stay readable."""
        self.tradable, self.reason = False, reason
        self._loaded = self._aligned = False
        self._buffer.clear()

    def check_silence(self, now_ns: int, limit_ns: int) -> bool:
        """Reset the book when its stream said nothing for longer than ``limit_ns``; True when it is silent.

        Both are ns of the receive clock. Choose the limit by what the venue promises: OKX speaks at least once a
        minute, the others only when the book changes.
        """
        silent = self._loaded and now_ns - self.last_recv_ns > limit_ns
        if silent:
            self.reset(f"silent for {(now_ns - self.last_recv_ns) / 1e9:.1f} s")
        return silent

    def differences(self, snapshot: Depth) -> int | None:
        """Levels at which the book contradicts ``snapshot`` inside its range of prices; None when the ids differ.

        What a corrupted field deep in the book did is seen by no sequence id: a snapshot now and then bounds it.
        """
        if not self._loaded or snapshot.last_id != self.last_id:
            return None
        found = 0
        for side, levels in zip((self._bids, self._asks), self._parse(snapshot), strict=True):
            said = {px * side.sign: qty for px, qty in levels if qty}
            own = side.keys[bisect_left(side.keys, min(said)) :] if said else side.keys
            found += sum(said.get(key) != side.qty[key] for key in own) + sum(key not in side.qty for key in said)
        return found

    def _check_crossed(self) -> None:
        bids, asks = self._bids.keys, self._asks.keys
        if bids and asks and bids[-1] >= -asks[-1]:
            self.tradable = False
            self.reason = f"crossed: bid {self._px.exact(bids[-1])} >= ask {self._px.exact(-asks[-1])}"

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask right now."""
        return bool(self._bids.keys and self._asks.keys) and self._bids.keys[-1] >= -self._asks.keys[-1]

    def _parse(self, depth: Depth) -> tuple[Levels, Levels]:
        """Both sides in one scale: what one side makes finer holds for the other."""
        try:
            return self._scaled(depth.bids), self._scaled(depth.asks)
        except TooFine:
            self._grow(depth.bids + depth.asks)
        return self._scaled(depth.bids), self._scaled(depth.asks)

    def _scaled(self, levels: list[tuple[str, str]]) -> Levels:
        px, qty = self._px, self._qty
        return [(px[px_text], qty[qty_text]) for px_text, qty_text in levels]

    def _grow(self, levels: list[tuple[str, str]]) -> None:
        """Widen both scales to the longest decimals of ``levels`` at once, and the whole book with them."""
        px_decimals = max(self._px.decimals, *(decimals_of(px) for px, _ in levels))
        qty_decimals = max(self._qty.decimals, *(decimals_of(qty) for _, qty in levels))
        px_factor, qty_factor = 10 ** (px_decimals - self._px.decimals), 10 ** (qty_decimals - self._qty.decimals)
        for side in (self._bids, self._asks):
            side.rescale(px_factor, qty_factor)
        for scale, decimals in ((self._px, px_decimals), (self._qty, qty_decimals)):
            scale.decimals = decimals
            scale.clear()

    def best_bid(self) -> tuple[Decimal, Decimal] | None:
        """Exact (price, quantity) of the best bid; None when the side is empty."""
        return self._best(self._bids)

    def best_ask(self) -> tuple[Decimal, Decimal] | None:
        """Exact (price, quantity) of the best ask; None when the side is empty."""
        return self._best(self._asks)

    def _best(self, side: Side) -> tuple[Decimal, Decimal] | None:
        if not side.keys:
            return None
        key = side.keys[-1]
        return self._px.exact(key * side.sign), self._qty.exact(side.qty[key])

    def levels(self, side: int, n: int) -> list[tuple[Decimal, Decimal]]:
        """Up to ``n`` exact (price, quantity) levels from the best outward; ``side`` +1 bids, -1 asks."""
        book = self._bids if side > 0 else self._asks
        keys = book.keys[: -n - 1 : -1] if n > 0 else []
        return [(self._px.exact(key * book.sign), self._qty.exact(book.qty[key])) for key in keys]

    def depth_usd(self, bps: float) -> float:
        """Quote value resting within ``bps`` basis points of the own touch, both sides together; 0.0 when empty."""
        scaled = self._value_within(self._bids, bps) + self._value_within(self._asks, bps)
        return scaled / 10 ** (self._px.decimals + self._qty.decimals)

    def _value_within(self, side: Side, bps: float) -> int:
        if not side.keys:
            return 0
        best = side.keys[-1]
        near = side.keys[bisect_left(side.keys, best - abs(best) * bps / 1e4) :]
        return side.sign * sum(map(mul, near, map(side.qty.__getitem__, near)))
