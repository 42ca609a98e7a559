"""Parametric value at risk and expected shortfall of a book of worst-case ranges.

Returns are taken as jointly normal with zero mean over the horizon (RiskMetrics Technical Document, 1996). A position
whose orders are still working is a *range* of notionals, not a point: each pair of ranges counts with the corner that
adds most variance, so hedges are credited only once they are filled, and a wider range never lowers the result.
"""

from collections.abc import Mapping, Sequence
from math import exp, pi, sqrt
from typing import Final

from risk.stake import Leg

# quantiles of the standard normal
Z_95: Final = 1.6448536269514722
Z_99: Final = 2.3263478740408408


def value_at_risk(sigma: float, z: float = Z_95) -> float:
    """Loss exceeded with the probability that ``z`` leaves, in the unit of ``sigma`` (one standard deviation of P&L).

    >>> round(value_at_risk(0.02), 4), round(value_at_risk(0.02, Z_99), 4)
    (0.0329, 0.0465)
    """
    return z * sigma


def expected_shortfall(sigma: float, z: float = Z_95, tail: float = 0.05) -> float:
    """Mean loss beyond the VaR: ``sigma * pdf(z) / tail`` (McNeil, Frey, Embrechts, 2015, section 2.3.4).

    >>> round(expected_shortfall(0.02), 4), round(expected_shortfall(0.02, Z_99, 0.01), 4)
    (0.0413, 0.0533)
    """
    return sigma * exp(-0.5 * z * z) / sqrt(2.0 * pi) / tail


def pair_key(a: str, b: str) -> str:
    """Key of an unordered pair.

    >>> pair_key("ETHUSDT", "BTCUSDT")
    'BTCUSDT|ETHUSDT'
    """
    return f"{a}|{b}" if a < b else f"{b}|{a}"


def correlation(correlations: Mapping[str, float], a: str, b: str) -> float | None:
    """Correlation of a pair in [-1, 1]; None when missing or broken."""
    rho = correlations.get(pair_key(a, b))
    return rho if rho is not None and -1.0 <= rho <= 1.0 else None


def scaled(legs: Sequence[Leg], vols: Mapping[str, float]) -> list[Leg] | None:
    """Notional ranges times each symbol's volatility over the horizon; None when one is missing or broken."""
    out = []
    for symbol, low, high in legs:
        vol = vols.get(symbol)
        if vol is None or not 0.0 <= vol < float("inf"):
            return None
        out.append((symbol, low * vol, high * vol))
    return out


def undiversified(legs: Sequence[Leg]) -> float:
    """Standard deviation if everything moved against the book at once: an upper bound of ``sigma``, linear in legs.

    >>> undiversified([("A", -3.0, 1.0), ("B", 0.0, 4.0)])
    7.0
    """
    return sum(max(abs(low), abs(high)) for _, low, high in legs)


def covariance(a: Leg, b: Leg, correlations: Mapping[str, float]) -> float:
    """Largest covariance two scaled ranges can contribute; an unknown correlation counts as the worst of -1 and 1.

    >>> covariance(("A", 2.0, 2.0), ("B", -3.0, -3.0), {"A|B": 0.5}), covariance(("A", 2.0, 2.0), ("B", -3.0, -3.0), {})
    (-3.0, 6.0)
    """
    rho = correlation(correlations, a[0], b[0])
    corners = (a[1] * b[1], a[1] * b[2], a[2] * b[1], a[2] * b[2])
    if rho is None:
        return max(abs(corner) for corner in corners)
    return max(rho * corner for corner in corners)


def variance(legs: Sequence[Leg], correlations: Mapping[str, float]) -> float:
    """Largest variance the scaled ranges can have together, pair by pair; exact when every range is a point."""
    total = sum(own_variance(leg) for leg in legs)
    for i, leg in enumerate(legs):
        total += cross_variance(leg, legs[:i], correlations)
    return total


def own_variance(leg: Leg) -> float:
    """Largest variance of one scaled range alone."""
    return max(leg[1] * leg[1], leg[2] * leg[2])


def cross_variance(leg: Leg, others: Sequence[Leg], correlations: Mapping[str, float]) -> float:
    """What one scaled range adds to the variance of the others beside its own."""
    return 2.0 * sum(covariance(leg, other, correlations) for other in others)


def sigma(total_variance: float) -> float:
    """Root of a variance that rounding may have left just below zero; NaN stays NaN."""
    return 0.0 if total_variance < 0 else sqrt(total_variance)
