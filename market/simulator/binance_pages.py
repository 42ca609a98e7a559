"""Paging of Binance's history calls."""

from collections.abc import Callable
from typing import Any, Final

from market.simulator.binance_face import integer

MAX_ROWS: Final = 1_000


def page(
    rows: list[Any], params: dict[str, str], from_id: bool, time_ns: Callable[[Any], int], default: int = 500
) -> list[Any]:
    """Rows in time order inside startTime..endTime: the first ones after a given id or time, else the latest."""
    start_ms, end_ms = integer(params, "startTime", 0), integer(params, "endTime", 2**60)
    rows = [row for row in rows if start_ms <= time_ns(row) // 1_000_000 <= end_ms]
    limit = min(integer(params, "limit", default), MAX_ROWS)
    return rows[:limit] if from_id or start_ms else rows[-limit:]
