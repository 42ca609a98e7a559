"""Open interest as a venue tells its history: what stood at every step of a grid."""

from collections.abc import Sequence
from typing import Final, NamedTuple

STEPS_MS: Final = {
    "5m": 300_000, "15m": 900_000, "30m": 1_800_000, "1h": 3_600_000, "2h": 7_200_000, "4h": 14_400_000,
    "6h": 21_600_000, "12h": 43_200_000, "1d": 86_400_000,
}  # fmt: skip


class Reading(NamedTuple):
    """Open quantity in base units at ``ts_ns``, and the price that values it."""

    ts_ns: int
    qty: float
    px: float


def sampled(readings: Sequence[Reading], step_ms: int, now_ns: int) -> list[tuple[int, Reading]]:
    """(time ms, last reading at or before it) at every step since the first reading, oldest first.

    >>> seen = [Reading(5_000_000, 7.0, 1.0), Reading(25_000_000, 8.0, 1.0)]
    >>> [(at, one.qty) for at, one in sampled(seen, 10, 31_000_000)]
    [(10, 7.0), (20, 7.0), (30, 8.0)]
    """
    found: list[tuple[int, Reading]] = []
    if not readings:
        return found
    step_ns, place = step_ms * 1_000_000, 0
    first_ns = -(-readings[0].ts_ns // step_ns) * step_ns
    for at_ns in range(first_ns, now_ns + 1, step_ns):
        while place + 1 < len(readings) and readings[place + 1].ts_ns <= at_ns:
            place += 1
        found.append((at_ns // 1_000_000, readings[place]))
    return found
