"""Stepped margin: the larger a position, the more of it must be held, and the less leverage is allowed."""

from decimal import Decimal
from typing import Final

import msgspec

ZERO = Decimal(0)


class Bracket(msgspec.Struct, frozen=True):
    """Positions worth ``floor`` to ``cap`` quote units: maintenance ``rate``, highest initial ``leverage``.

    ``cum`` makes the maintenance margin continuous over the steps: it is ``notional * rate - cum``.
    """

    floor: Decimal
    cap: Decimal
    rate: Decimal
    leverage: int
    cum: Decimal


def steps(rows: tuple[tuple[int, str, int], ...]) -> tuple[Bracket, ...]:
    """Brackets of (cap, maintenance rate, leverage) rows, smallest first.

    >>> [str(bracket.cum) for bracket in steps(((100, "0.01", 50), (1000, "0.02", 20)))]
    ['0.00', '1.00']
    """
    found: list[Bracket] = []
    floor, rate, cum = ZERO, ZERO, ZERO
    for cap, text, leverage in rows:
        cum += floor * (Decimal(text) - rate)
        rate = Decimal(text)
        found.append(Bracket(floor, Decimal(cap), rate, leverage, cum))
        floor = Decimal(cap)
    return tuple(found)


# caps in quote units and rates in the style of large perpetual contracts; a recording does not state any
DEFAULT: Final = steps(
    (
        (300_000, "0.004", 125),
        (800_000, "0.005", 100),
        (3_000_000, "0.0065", 75),
        (12_000_000, "0.01", 50),
        (70_000_000, "0.02", 25),
        (100_000_000, "0.025", 20),
        (230_000_000, "0.05", 10),
        (480_000_000, "0.1", 5),
        (600_000_000, "0.125", 4),
        (800_000_000, "0.15", 3),
        (1_200_000_000, "0.25", 2),
        (1_800_000_000, "0.5", 1),
    )
)
MAX_LEVERAGE: Final = DEFAULT[0].leverage


def bracket_of(notional: Decimal) -> Bracket:
    """The bracket a position of this absolute value is in."""
    return next((bracket for bracket in DEFAULT if notional <= bracket.cap), DEFAULT[-1])


def maintenance(notional: Decimal) -> Decimal:
    """Margin below which a position of this absolute value is liquidated.

    >>> maintenance(Decimal(300_000)), maintenance(Decimal(400_000))
    (Decimal('1200.000'), Decimal('1700.000'))
    """
    bracket = bracket_of(notional)
    return notional * bracket.rate - bracket.cum


def cap_of(leverage: int) -> Decimal:
    """Largest position value allowed at an initial leverage."""
    return max((bracket.cap for bracket in DEFAULT if bracket.leverage >= leverage), default=ZERO)
