"""Exact price levels: decimals as integers in one scale, and one side of a book kept in order."""

from bisect import bisect_left, insort
from decimal import Context, Decimal
from typing import Final

from market.errors import FrameError

Levels = list[tuple[int, int]]
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
