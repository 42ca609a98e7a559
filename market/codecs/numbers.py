"""What every codec asks of a number, and the failures all of them turn into ``FrameError``."""

from math import inf, nan
from typing import Annotated, Final

import msgspec

from market.errors import FrameError

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Levels = list[tuple[str, str]]
Top = tuple[str, str, str, str]
BROKEN: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def positive(value: float, what: str) -> float:
    """``value`` unchanged; FrameError unless it is finite and above zero.

    >>> positive(0.5, "price")
    0.5
    """
    if 0.0 < value < inf:
        return value
    raise FrameError(f"{what} {value!r} is not a positive number")


def quantity(value: float, what: str) -> float:
    """``value`` unchanged; FrameError unless it is finite and not negative."""
    if 0.0 <= value < inf:
        return value
    raise FrameError(f"{what} {value!r} is not a quantity")


def ratio(text: str, what: str) -> float:
    """A finite number of either sign, NaN for an empty text; FrameError otherwise.

    >>> ratio("-0.0001", "funding rate"), ratio("", "funding rate")
    (-0.0001, nan)
    """
    try:
        value = float(text) if text else nan
    except ValueError:
        raise FrameError(f"{what} {text!r} is not a number") from None
    if abs(value) == inf:
        raise FrameError(f"{what} {text!r} is not finite")
    return value


def price_or_nan(text: str, what: str) -> float:
    """A price above zero, NaN for an empty text; FrameError otherwise."""
    return positive(ratio(text, what), what) if text else nan


def quantity_or_nan(text: str, what: str) -> float:
    """A number not below zero, NaN for an empty text; FrameError otherwise."""
    return quantity(ratio(text, what), what) if text else nan


def side_of(text: str, what: str) -> int:
    """+1 for buy, -1 for sell in any case of letters; FrameError otherwise.

    >>> side_of("Sell", "trade side")
    -1
    """
    side = {"buy": 1, "sell": -1}.get(text.lower())
    if side is None:
        raise FrameError(f"{what} {text[:40]!r} is neither buy nor sell")
    return side


def two_sided(bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> bool:
    """Whether the numbers are a quote: prices above zero, quantities not negative, all finite."""
    return 0.0 < bid_px < inf and 0.0 < ask_px < inf and 0.0 <= bid_qty < inf and 0.0 <= ask_qty < inf
