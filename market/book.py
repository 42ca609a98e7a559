"""An order book of one symbol, exact to the last decimal, that knows when it may not be trusted.

Prices and quantities are integers scaled by a power of ten which grows when a longer decimal appears; the venue's
sequence rule (``market.sequence``) decides what becomes of each delta. A Book takes the frames of one connection.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Final

import numpy as np

from market.delta_kernel import HEADS, parse_delta
from market.events import Depth
from market.levels import Levels, PackedSide, Scale, Side, TooFine, decimals_of, differences, widened
from market.sequence import IN_BAND, Chain, Rule, Step, aligns, bybit_step, continues, id_before, okx_step, rule_of
from market.units import time_ns

__all__ = ["Applied", "Book", "Rule", "rule_of"]
_BUFFER: Final = 20_000
STALE_RUN: Final = 20
_MOST_LEVELS: Final = 8_192
# a frame whose first bytes name a depthUpdate is worth a try of ``apply_frame``
DELTA_WITHIN: Final = 120
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
    the book contains, ``quote_id`` the same on the scale of ``Quote.update_id``, ``last_recv_ns`` when its stream last
    spoke. ``doubt`` ("" when none) says that a delta may be missing where the venue's fields cannot prove it (Bybit):
    resubscribe, the next snapshot clears it.
    """

    def __init__(self, symbol: str, rule: Rule = "futures") -> None:
        self.symbol, self.rule = symbol, rule
        self._quoted = f'"{symbol}"'.encode()
        self.tradable = False
        self.reason = "no snapshot yet"
        self.doubt = ""
        self.last_id = self.quote_id = -1
        self.last_recv_ns = 0
        self._aligned = self._loaded = False
        self._stale_run = 0
        self._buffer: deque[Depth] = deque(maxlen=_BUFFER)
        self._chain = Chain() if rule in IN_BAND else None
        self._step = okx_step if rule == "okx" else bybit_step
        self._px, self._qty = Scale(), Scale()
        self._bids: Side | PackedSide = PackedSide(1)
        self._asks: Side | PackedSide = PackedSide(-1)

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

    def apply_frame(self, raw: bytes, ts_recv: int) -> Depth | None:
        """``apply`` straight from a raw Binance ``depthUpdate`` frame: a standing book and the usual spelling only.

        Returns
        -------
        Depth or None
            The event without its levels, now applied; None, with nothing changed, when this frame must go through
            ``market.codecs`` and ``apply``.
        """
        bids, asks, room = self._bids, self._asks, _scratch
        if not self._aligned or not isinstance(bids, PackedSide) or not isinstance(asks, PackedSide):
            return None
        n = parse_delta(raw, self._quoted, self._px.decimals, self._qty.decimals, room.heads, room.px, room.qty)
        if n < 0:
            return None
        first_id, last_id, prev_id, trade_ms, event_ms, n_bids, _ = room.heads.tolist()
        ts_event = time_ns(trade_ms or event_ms)
        depth = Depth(self.symbol, ts_event, ts_recv, False, first_id, last_id, prev_id, [], [])
        if last_id <= self.last_id or last_id < first_id or not continues(self.rule, self.last_id, depth):
            return None
        self.last_recv_ns = ts_recv
        bids.take(room.px, room.qty, 0, n_bids)
        asks.take(room.px, room.qty, n_bids, n)
        self.last_id, self.quote_id, self._stale_run = last_id, depth.quote_id, 0
        self._check_crossed()
        return depth

    def validate(self, depth: Depth) -> None:
        """Raise FrameError unless every level is a pair of plain decimals; changes no level."""
        self._parse(depth)

    def _load(self, depth: Depth) -> None:
        bids, asks = self._parse(depth)
        self._fitting(lambda: (self._bids.load(bids), self._asks.load(asks)))
        self.last_id, self.quote_id, self._loaded = depth.last_id, depth.quote_id, True

    def _update(self, depth: Depth) -> None:
        bids, asks = self._parse(depth)
        self._fitting(lambda: (self._bids.update(bids), self._asks.update(asks)))
        self.last_id, self.quote_id = depth.last_id, depth.quote_id

    def _fitting(self, change: Callable[[], object]) -> None:
        """Do ``change``; when a value outgrows 64 bits, widen both sides and do it (again: quantities are absolute)."""
        try:
            change()
        except OverflowError:
            self._bids, self._asks = widened(self._bids), widened(self._asks)
            change()

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
            self._stale_run += self._aligned
            # a late or repeated delta is one; a stream that only tells of the past has begun its ids anew
            return self._break(depth) if self._stale_run >= STALE_RUN else Applied.STALE
        if not (continues if self._aligned else aligns)(self.rule, last, depth):
            return self._break(depth)
        self._update(depth)
        self._stale_run = 0
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
        self._stale_run = 0
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
        """Levels at which the book contradicts ``snapshot`` in the range of prices both know; None when the ids differ.

        A corrupted field deep in the book is seen by no sequence id: a snapshot now and then bounds what it does. On
        Bybit books of other depths can be compared, by ``seq``.
        """
        if not self._loaded or snapshot.quote_id != self.quote_id:
            return None
        sides = zip((self._bids, self._asks), self._parse(snapshot), strict=True)
        return sum(differences(side, levels) for side, levels in sides)

    def _check_crossed(self) -> None:
        if self.crossed:
            bid, ask = self._bids.best_key(), self._asks.best_key()
            assert bid is not None and ask is not None
            self.tradable = False
            self.reason = f"crossed: bid {self._px.exact(bid)} >= ask {self._px.exact(-ask)}"

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask right now."""
        bid, ask = self._bids.best_key(), self._asks.best_key()
        return bid is not None and ask is not None and bid >= -ask

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
        if not (self._bids.fits(px_factor, qty_factor) and self._asks.fits(px_factor, qty_factor)):
            self._bids, self._asks = widened(self._bids), widened(self._asks)
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

    def _best(self, side: Side | PackedSide) -> tuple[Decimal, Decimal] | None:
        found = side.top(1)
        return self._exact(side, *found[0]) if found else None

    def _exact(self, side: Side | PackedSide, key: int, qty: int) -> tuple[Decimal, Decimal]:
        return self._px.exact(key * side.sign), self._qty.exact(qty)

    def levels(self, side: int, n: int) -> list[tuple[Decimal, Decimal]]:
        """Up to ``n`` exact (price, quantity) levels from the best outward; ``side`` +1 bids, -1 asks."""
        book = self._bids if side > 0 else self._asks
        return [self._exact(book, key, qty) for key, qty in book.top(n)]

    def depth_usd(self, bps: float) -> float:
        """Quote value resting within ``bps`` basis points of the own touch, both sides together; 0.0 when empty."""
        scaled = self._bids.value_within(bps) + self._asks.value_within(bps)
        return scaled / 10 ** (self._px.decimals + self._qty.decimals)


class _Scratch:
    """Where one frame is parsed into; books of a process take turns."""

    def __init__(self) -> None:
        self.heads = np.zeros(HEADS + 1, np.int64)
        self.px, self.qty = np.zeros(_MOST_LEVELS, np.int64), np.zeros(_MOST_LEVELS, np.int64)


_scratch: Final = _Scratch()
