"""How a law says yes, less, or no. Comparisons are written so that NaN always falls on the side of Deny.

Whether an intent passes a bound on quantity depends on the room there is, never on the quantity asked for: that is
why a tighter limit in an earlier layer cannot open a later one.
"""

from collections.abc import Callable
from math import inf, nan
from typing import Final

from risk.stake import Stake
from risk.types import LAYERS, Allow, Deny, Intent, Resize, Verdict

ALLOW: Final = {layer: Allow(layer) for layer in LAYERS}
# a room worked out in closed form is a few roundings off the measure it inverts
_SHAVE: Final = 1.0 - 1e-12
_HALVINGS: Final = 60


def deny(layer: str, code: str, observed: float, limit: float) -> Deny:
    """Deny, with the headroom worked out."""
    return Deny(layer, code, observed, limit, limit - observed)


def unknown(layer: str, code: str, limit: float = nan) -> Deny:
    """Deny because a fact is missing or broken."""
    return Deny(layer, code, nan, limit, nan)


def at_most(layer: str, code: str, observed: float | None, limit: float) -> Deny | None:
    """Deny unless ``observed`` is known and not above ``limit``."""
    if observed is None or observed != observed:
        return unknown(layer, code, limit)
    return None if observed <= limit else deny(layer, code, observed, limit)


def at_least(layer: str, code: str, observed: float | None, limit: float) -> Deny | None:
    """Deny unless ``observed`` is known, finite and not below ``limit``; the headroom is then negative."""
    if observed is None or observed != observed:
        return unknown(layer, code, limit)
    return None if limit <= observed < inf else Deny(layer, code, observed, limit, observed - limit)


def between(layer: str, code: str, observed: float | None, limit: float) -> Deny | None:
    """Deny unless ``observed`` is known and within ``[0, limit]``."""
    return at_least(layer, code, observed, 0.0) or at_most(layer, code, observed, limit)


def reducing_only(layer: str, code: str, intent: Intent, stake: Stake, observed: float, limit: float) -> Verdict:
    """No room at all: what merely reduces may pass, nothing else."""
    return _shrunk(layer, code, intent, stake, observed, limit, 0.0)


def within(
    layer: str,
    code: str,
    intent: Intent,
    stake: Stake,
    limit: float,
    per_unit: float,
    base: float = 0.0,
    floor: float = 0.0,
) -> Verdict:
    """Bound ``max(floor, (base + qty) * per_unit)`` by ``limit``: allow, shrink to what fits, or deny."""

    def measure(qty: float) -> float:
        value = (base + qty) * per_unit
        return floor if value < floor else value

    return bounded(
        layer, code, intent, stake, limit, measure, lambda: _SHAVE * (limit / per_unit - base) if per_unit > 0 else 0.0
    )


def bounded(
    layer: str,
    code: str,
    intent: Intent,
    stake: Stake,
    limit: float,
    measure: Callable[[float], float],
    room: Callable[[], float],
) -> Verdict:
    """Bound a ``measure`` that never falls as quantity grows; ``room()`` is the largest quantity it should allow."""
    if intent.qty <= stake.free:
        return ALLOW[layer]
    observed = measure(intent.qty)
    if observed <= limit:
        return ALLOW[layer]
    fits = room()
    return _shrunk(layer, code, intent, stake, observed, limit, fits if fits > 0 and measure(fits) <= limit else 0.0)


def largest(measure: Callable[[float], float], limit: float, qty: float) -> float:
    """Largest quantity below ``qty`` whose never-falling ``measure`` stays within ``limit``, by bisection, else 0.

    >>> round(largest(lambda qty: qty * qty, 9.0, 10.0), 9)
    3.0
    """
    low, high = 0.0, qty
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if measure(middle) <= limit else (low, middle)
    return low


def _shrunk(layer: str, code: str, intent: Intent, stake: Stake, observed: float, limit: float, fits: float) -> Verdict:
    if intent.qty <= stake.free:
        return ALLOW[layer]
    qty = max(fits, stake.free)
    if 0 < qty < intent.qty and qty >= stake.dust:
        return Resize(layer, code, observed, limit, qty)
    return deny(layer, code, observed, limit)
