"""Worst-case arithmetic the laws share: what the book may become if every working and unknown order fills.

A *span* is the lowest and highest value something may reach. A missing fact is named by its Deny code, never guessed.
"""

from math import inf, isfinite
from typing import Literal, TypeGuard

import msgspec

from risk.profiles import Limits, Profile
from risk.types import AccountView, Intent, MarketView, PositionView

Span = tuple[float, float]
Leg = tuple[str, float, float]
Unknown = Literal[
    "INVALID_INTENT", "UNKNOWN_EQUITY", "UNKNOWN_PRICE", "UNKNOWN_POSITION", "UNKNOWN_REGIME", "ACCOUNT_NOT_SYNCED"
]


class Rest(msgspec.Struct, frozen=True):
    """The book beside the intent's symbol: signed notional spans, the sum of their worst sides, and the largest one."""

    legs: list[Leg]
    total: float
    most: float


class Stake(msgspec.Struct, frozen=True):
    """What an entry would add to. Quantities in base units of the intent's symbol, money in quote units.

    ``px`` is the higher of the limit price and the ask, so that notional is never understated. ``held`` is the span
    of the symbol's own quantity; ``ahead`` the part in the intent's direction, negative while the intent only
    reduces; ``free`` what reduces and needs no room; ``gross`` position and all working orders without netting.
    ``others`` are the notional spans of every other symbol held or worked. ``dust`` is the smallest quantity a shrunk
    intent may have.
    """

    side: int
    px: float
    equity: float
    held: Span
    ahead: float
    free: float
    gross: float
    rest: Rest
    profile: Profile
    dust: float


def known(value: float | None) -> TypeGuard[float]:
    """Whether a number is there and finite.

    >>> known(None), known(float("nan")), known(0.0)
    (False, False, True)
    """
    return value is not None and isfinite(value)


def positive(value: float | None) -> TypeGuard[float]:
    """Whether a number is there, finite and above zero."""
    return value is not None and isfinite(value) and value > 0


def span(position: PositionView) -> Span:
    """Lowest and highest signed base quantity of a position at its worst.

    >>> span(PositionView(qty=1.0, mark_px=10.0, open_buy_qty=0.5, open_sell_qty=2.0))
    (-1.0, 1.5)
    """
    return position.qty - abs(position.open_sell_qty), position.qty + abs(position.open_buy_qty)


def ahead(low: float, high: float, side: int) -> float:
    """How far a span reaches in the direction of ``side``; negative while it lies wholly on the other side.

    >>> ahead(-1.0, 1.5, 1), ahead(2.0, 2.0, -1)
    (1.5, -2.0)
    """
    return high if side > 0 else -low


def worst(low: float, high: float) -> float:
    """Largest absolute value within a span."""
    return max(abs(low), abs(high))


def rest_of(account: AccountView, symbol: str) -> Rest | None:
    """Every symbol but ``symbol`` that is held or worked, at its worst; None when one of them is unknown."""
    legs: list[Leg] = []
    total, most = 0.0, 0.0
    for name, position in account.positions.items():
        low, high = span(position)
        if name == symbol or low == 0 == high:
            continue
        mark_px = position.mark_px
        if not (-inf < low <= high < inf and 0 < mark_px < inf):
            return None
        legs.append((name, low * mark_px, high * mark_px))
        exposure = (high if high > -low else -low) * mark_px
        total += exposure
        most = exposure if exposure > most else most
    return Rest(legs, total, most)


def stake_of(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Stake | Unknown:
    """The book an entry would add to, or the code of the first fact that is missing or broken."""
    px, ask_px, equity = intent.px, market.ask_px, account.equity
    if intent.side not in (1, -1) or not positive(intent.qty) or not positive(px):
        return "INVALID_INTENT"
    if not account.synced:
        return "ACCOUNT_NOT_SYNCED"
    if not positive(equity):
        return "UNKNOWN_EQUITY"
    if not positive(ask_px):
        return "UNKNOWN_PRICE"
    profile = limits.profiles.get(market.regime)
    if profile is None:
        return "UNKNOWN_REGIME"
    return _stake(intent, account, max(px, ask_px), equity, profile, limits)


def _stake(
    intent: Intent, account: AccountView, px: float, equity: float, profile: Profile, limits: Limits
) -> Stake | Unknown:
    position = account.positions.get(intent.symbol, FLAT)
    rest = rest_of(account, intent.symbol)
    low, high = span(position)
    if rest is None or not isfinite(low) or not isfinite(high):
        return "UNKNOWN_POSITION"
    reach = ahead(low, high, intent.side)
    gross = abs(position.qty) + abs(position.open_buy_qty) + abs(position.open_sell_qty)
    dust = limits.min_resize * equity / px
    return Stake(intent.side, px, equity, (low, high), reach, max(0.0, -reach), gross, rest, profile, dust)


FLAT = PositionView(qty=0.0, mark_px=1.0, open_buy_qty=0.0, open_sell_qty=0.0)


def reducible(intent: Intent, account: AccountView) -> float:
    """Base quantity a reduce-only intent may have: the position it closes, less orders already working to close it."""
    position = account.positions.get(intent.symbol, FLAT)
    if not known(position.qty) or position.qty * intent.side >= 0:
        return 0.0
    working = abs(position.open_sell_qty if intent.side < 0 else position.open_buy_qty)
    return max(0.0, abs(position.qty) - working) if isfinite(working) else 0.0
