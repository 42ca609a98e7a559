"""Exact price levels: decimals as integers in one scale, and one side of a book in order, packed or of any size."""

from bisect import bisect_left, insort
from decimal import Context, Decimal
from math import ceil
from typing import Final

import numpy as np

from market import book_kernel
from market.book_kernel import Ints
from market.errors import FrameError

Levels = list[tuple[int, int]]
_ROOM: Final = 512
_MOST: Final = 2**63 - 1
_CACHE: Final = 200_000
_DIGITS: Final = 60
_EXACT: Final = Context(prec=200)


def decimals_of(text: str) -> int:
    """Digits after the point of a plain decimal."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isdecimal() and digits.isascii()) or len(digits) > _DIGITS:
        raise FrameError(f"level value {text[:40]!r} is not a plain decimal")
    return len(fraction)


class TooFine(Exception):
    """A value has more decimals than the scale holds; the book widens and tries again."""


class Scale(dict[str, int]):
    """Plain decimals to integers in units of ``10**-decimals``; remembers them, since books repeat themselves."""

    decimals = 0

    def __missing__(self, text: str) -> int:
        finer = self.decimals - decimals_of(text)
        if finer < 0:
            raise TooFine
        if len(self) >= _CACHE:
            self.clear()
        value = self[text] = int(text.replace(".", "", 1)) * 10**finer
        return value

    def exact(self, value: int) -> Decimal:
        return _EXACT.scaleb(Decimal(value), -self.decimals)


class Side:
    """Levels of one side, integers of any size. Keys ascend to the best (asks are negated): the best is always last."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self._keys: list[int] = []
        self._qty: dict[int, int] = {}

    def load(self, levels: Levels) -> None:
        """Replace everything."""
        self._qty = {px * self.sign: qty for px, qty in levels if qty}
        self._keys = sorted(self._qty)

    def update(self, levels: Levels) -> None:
        """Set absolute quantities; 0 removes, and removing what is not there is normal on Binance."""
        sign, book, keys = self.sign, self._qty, self._keys
        for px, qty in levels:
            key = px * sign
            if qty:
                if key not in book:
                    insort(keys, key)
                book[key] = qty
            elif book.pop(key, None) is not None:
                del keys[bisect_left(keys, key)]

    def fits(self, px_factor: int, qty_factor: int) -> bool:
        """Whether ``rescale`` by these factors keeps every value in range."""
        return True

    def rescale(self, px_factor: int, qty_factor: int) -> None:
        """Follow both scales to finer units."""
        self._qty = {key * px_factor: qty * qty_factor for key, qty in self._qty.items()}
        self._keys = [key * px_factor for key in self._keys]

    def best_key(self) -> int | None:
        """Key of the best level; None when the side is empty."""
        return self._keys[-1] if self._keys else None

    def top(self, n: int) -> list[tuple[int, int]]:
        """Up to ``n`` (key, quantity), the best first."""
        return [(key, self._qty[key]) for key in self._keys[: -n - 1 : -1]] if n > 0 else []

    def value_within(self, bps: float) -> float:
        """Price times quantity, scaled, of all levels within ``bps`` basis points of the best."""
        if not self._keys:
            return 0.0
        best = self._keys[-1]
        near = self._keys[bisect_left(self._keys, best - abs(best) * bps / 1e4) :]
        return float(self.sign * sum(key * self._qty[key] for key in near))

    def quantities(self) -> dict[int, int]:
        """Every level: quantity by key."""
        return dict(self._qty)


class PackedSide:
    """The same in sorted 64-bit arrays, changed by compiled loops. A value that does not fit raises OverflowError and
    changes nothing: the book then goes on with ``Side``.
    """

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self._keys, self._values, self._n = np.zeros(_ROOM, np.int64), np.zeros(_ROOM, np.int64), 0

    def load(self, levels: Levels) -> None:
        """As ``Side.load``."""
        kept = sorted({px * self.sign: qty for px, qty in levels if qty}.items())
        keys, values = np.array(kept, np.int64).reshape(-1, 2).T
        self._reserve_exactly(len(kept) + _ROOM)
        self._keys[: len(kept)], self._values[: len(kept)], self._n = keys, values, len(kept)

    def update(self, levels: Levels) -> None:
        """As ``Side.update``."""
        if levels:
            px, qty = np.array(levels, np.int64).T.copy()
            self.take(px, qty, 0, len(levels))

    def take(self, px: Ints, qty: Ints, start: int, stop: int) -> None:
        """``update`` with ``px[start:stop]`` and ``qty[start:stop]``."""
        self._make_room(stop - start)
        self._n = book_kernel.set_levels(self._keys, self._values, self._n, px, qty, start, stop, self.sign)

    def fits(self, px_factor: int, qty_factor: int) -> bool:
        """As ``Side.fits``."""
        pairs = ((self._keys, px_factor), (self._values, qty_factor))
        return all(int(np.abs(array[: self._n]).max(initial=0)) * factor <= _MOST for array, factor in pairs)

    def rescale(self, px_factor: int, qty_factor: int) -> None:
        """As ``Side.rescale``; only where it ``fits``."""
        self._keys[: self._n] *= px_factor
        self._values[: self._n] *= qty_factor

    def best_key(self) -> int | None:
        """As ``Side.best_key``."""
        return int(self._keys[self._n - 1]) if self._n else None

    def top(self, n: int) -> list[tuple[int, int]]:
        """As ``Side.top``."""
        found: list[tuple[int, int]] = []
        at = self._n
        while at > 0 and len(found) < n:
            at -= 1
            if self._values[at]:
                found.append((int(self._keys[at]), int(self._values[at])))
        return found

    def value_within(self, bps: float) -> float:
        """As ``Side.value_within``."""
        best = self.best_key()
        if best is None:
            return 0.0
        at = int(np.searchsorted(self._keys[: self._n], ceil(best - abs(best) * bps / 1e4)))
        near = self._keys[at : self._n].astype(np.float64)
        return float(self.sign * (near @ self._values[at : self._n].astype(np.float64)))

    def quantities(self) -> dict[int, int]:
        """As ``Side.quantities``."""
        pairs = zip(self._keys[: self._n].tolist(), self._values[: self._n].tolist(), strict=True)
        return {key: qty for key, qty in pairs if qty}

    def _make_room(self, more: int) -> None:
        if self._n + more > len(self._keys):
            self._n = book_kernel.squeeze(self._keys, self._values, self._n)
            self._reserve_exactly(2 * self._n + more + _ROOM)

    def _reserve_exactly(self, room: int) -> None:
        if room > len(self._keys):
            for name in ("_keys", "_values"):
                wider = np.zeros(room, np.int64)
                wider[: self._n] = getattr(self, name)[: self._n]
                setattr(self, name, wider)


def widened(side: Side | PackedSide) -> Side:
    """The same levels without a limit of size."""
    wide = Side(side.sign)
    wide.load([(key * side.sign, qty) for key, qty in side.quantities().items()])
    return wide


def differences(side: Side | PackedSide, levels: Levels) -> int:
    """Prices at which ``levels`` and ``side`` disagree, no farther from the best than the nearer end of both."""
    said, own = {px * side.sign: qty for px, qty in levels if qty}, side.quantities()
    ends = [min(keys) for keys in (said, own) if keys]
    bound = max(ends) if ends else 0
    near = {key for keys in (said, own) for key in keys if key >= bound}
    return sum(said.get(key) != own.get(key) for key in near)
