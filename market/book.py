"""An order book of one symbol, exact to the last decimal, that knows when it may not be trusted.

Prices and quantities are integers scaled by a power of ten which grows when a longer decimal appears. Sequence rules
are Binance's ("How to manage a local order book correctly", futures and spot): a snapshot may arrive after the deltas
that continue it, so deltas wait in a buffer until one aligns.
"""

from bisect import bisect_left, insort
from collections import deque
from decimal import Context, Decimal
from enum import StrEnum
from operator import mul
from typing import Final, Literal

from market.errors import FrameError
from market.events import Depth

Rule = Literal["futures", "spot"]
Levels = list[tuple[int, int]]
_BUFFER: Final = 20_000
_CACHE: Final = 200_000
_DIGITS: Final = 60
_EXACT: Final = Context(prec=200)
_FIRST_DELTA: Final = "waiting for the first delta that continues the snapshot"


class Applied(StrEnum):
    """What ``Book.apply`` did: changed the book, kept the delta for later, ignored an old one, or found one missing."""

    APPLIED = "APPLIED"
    BUFFERED = "BUFFERED"
    STALE = "STALE"
    GAP = "GAP"
    SNAPSHOT = "SNAPSHOT"


def _decimals(text: str) -> int:
    """Digits after the point of a plain decimal."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isdecimal() and digits.isascii()) or len(digits) > _DIGITS:
        raise FrameError(f"level value {text[:40]!r} is not a plain decimal")
    return len(fraction)


class _TooFine(Exception):
    """A value has more decimals than the scale holds; the book widens and tries again."""


class _Scale(dict[str, int]):
    """Plain decimals to integers in units of ``10**-decimals``; remembers them, since books repeat themselves."""

    decimals = 0

    def __missing__(self, text: str) -> int:
        finer = self.decimals - _decimals(text)
        if finer < 0:
            raise _TooFine
        if len(self) >= _CACHE:
            self.clear()
        value = self[text] = int(text.replace(".", "", 1)) * 10**finer
        return value

    def exact(self, value: int) -> Decimal:
        return _EXACT.scaleb(Decimal(value), -self.decimals)


class _Side:
    """Levels of one side. ``keys`` ascend to the best (asks are negated), so the best is always last."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.qty: dict[int, int] = {}

    def load(self, levels: Levels) -> None:
        self.qty = {px * self.sign: qty for px, qty in levels if qty}
        self.keys = sorted(self.qty)

    def update(self, levels: Levels) -> None:
        """Set absolute quantities; 0 removes, and removing what is not there is normal on Binance."""
        sign, book, keys = self.sign, self.qty, self.keys
        for px, qty in levels:
            key = px * sign
            if qty:
                if key not in book:
                    insort(keys, key)
                book[key] = qty
            elif book.pop(key, None) is not None:
                del keys[bisect_left(keys, key)]

    def rescale(self, px_factor: int, qty_factor: int) -> None:
        self.qty = {key * px_factor: qty * qty_factor for key, qty in self.qty.items()}
        self.keys = [key * px_factor for key in self.keys]


class Book:
    """Book of ``symbol`` under the ``"futures"`` (U/u/pu) or ``"spot"`` (U/u) sequence rule.

    ``tradable`` is False until a snapshot and a continuing delta stand, and again after a gap or a cross until the next
    snapshot; ``reason`` says why in words ("" while tradable). ``last_id`` is the last update id the book contains.
    """

    def __init__(self, symbol: str, rule: Rule = "futures") -> None:
        self.symbol, self.rule = symbol, rule
        self.tradable = False
        self.reason = "no snapshot yet"
        self.last_id = -1
        self._aligned = self._loaded = False
        self._buffer: deque[Depth] = deque(maxlen=_BUFFER)
        self._px, self._qty = _Scale(), _Scale()
        self._bids, self._asks = _Side(1), _Side(-1)

    def apply(self, depth: Depth) -> Applied:
        """Take one snapshot or delta. A frame is applied whole or not at all.

        Raises
        ------
        FrameError
            A level is not a plain decimal pair; the book is unchanged (the next delta then shows the gap).
        """
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

    def _apply_snapshot(self, depth: Depth) -> Applied:
        if self._aligned and depth.last_id < self.last_id:
            return Applied.STALE
        bids, asks = self._parse(depth)
        self._bids.load(bids)
        self._asks.load(asks)
        self.last_id, self._loaded = depth.last_id, True
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
        futures = self.rule == "futures"
        if depth.last_id <= last and (self._aligned or not futures or depth.last_id < last):
            return Applied.STALE
        if not (self._continues(depth) if self._aligned else self._aligns(depth)):
            return self._break(depth)
        bids, asks = self._parse(depth)
        self._bids.update(bids)
        self._asks.update(asks)
        self.last_id = depth.last_id
        if not self._aligned:
            self._aligned = self.tradable = True
            self.reason = ""
        self._check_crossed()
        return Applied.APPLIED

    def _continues(self, depth: Depth) -> bool:
        if self.rule == "futures":
            return depth.prev_id == self.last_id
        return depth.first_id == self.last_id + 1

    def _aligns(self, depth: Depth) -> bool:
        """Futures U <= L <= u; also pu <= L, which proves the same (nothing of this symbol lies between pu and U)."""
        if self.rule == "futures":
            return min(depth.first_id, depth.prev_id if depth.prev_id >= 0 else depth.first_id) <= self.last_id
        return depth.first_id <= self.last_id + 1

    def _break(self, depth: Depth) -> Applied:
        before = depth.prev_id if self.rule == "futures" else depth.first_id - 1
        self.reset(f"sequence gap: the book ends at id {self.last_id}, the next delta continues {before}")
        self._buffer.append(depth)
        return Applied.GAP

    def reset(self, reason: str) -> None:
        """Distrust the book until the next snapshot (a reconnect, a silent stream); its levels stay readable."""
        self.tradable, self.reason = False, reason
        self._loaded = self._aligned = False
        self._buffer.clear()

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
        except _TooFine:
            self._grow(depth.bids + depth.asks)
        return self._scaled(depth.bids), self._scaled(depth.asks)

    def _scaled(self, levels: list[tuple[str, str]]) -> Levels:
        px, qty = self._px, self._qty
        return [(px[px_text], qty[qty_text]) for px_text, qty_text in levels]

    def _grow(self, levels: list[tuple[str, str]]) -> None:
        """Widen both scales to the longest decimals of ``levels`` at once, and the whole book with them."""
        px_decimals = max(self._px.decimals, *(_decimals(px) for px, _ in levels))
        qty_decimals = max(self._qty.decimals, *(_decimals(qty) for _, qty in levels))
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

    def _best(self, side: _Side) -> tuple[Decimal, Decimal] | None:
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

    def _value_within(self, side: _Side, bps: float) -> int:
        if not side.keys:
            return 0
        best = side.keys[-1]
        near = side.keys[bisect_left(side.keys, best - abs(best) * bps / 1e4) :]
        return side.sign * sum(map(mul, near, map(side.qty.__getitem__, near)))
