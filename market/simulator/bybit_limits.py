"""Bybit's rate limits: calls per second of one account and endpoint (10006), calls and sockets of one address (403)."""

from collections import deque
from typing import Final

from market.simulator.bybit_auth import BybitError

PER_ADDRESS: Final = 600
ADDRESS_WINDOW_S: Final = 5.0
BAN_S: Final = 600.0
CONNECTS: Final = 500
CONNECTS_WINDOW_S: Final = 300.0
WINDOW_S: Final = 1.0


class Limits:
    """Counts of one address and one account, over sliding windows of wall time (s)."""

    def __init__(self, per_address: int = PER_ADDRESS) -> None:
        self.per_address = per_address
        self._calls: deque[float] = deque()
        self._connects: deque[float] = deque()
        self._spent: dict[str, deque[tuple[float, int]]] = {}
        self._banned_until_s = 0.0

    def visit(self, now_s: float) -> None:
        """Count one call of the address; beyond the limit it is shut out for ten minutes."""
        while self._calls and self._calls[0] <= now_s - ADDRESS_WINDOW_S:
            self._calls.popleft()
        if now_s >= self._banned_until_s and len(self._calls) >= self.per_address:
            self._banned_until_s = now_s + BAN_S
        if now_s < self._banned_until_s:
            raise BybitError(10018, "access too frequent", 403)
        self._calls.append(now_s)

    def connect(self, now_s: float) -> bool:
        """Count one new socket of the address; whether it is allowed."""
        while self._connects and self._connects[0] <= now_s - CONNECTS_WINDOW_S:
            self._connects.popleft()
        self._connects.append(now_s)
        return len(self._connects) <= CONNECTS

    def spend(self, endpoint: str, limit: int, count: int, now_s: float) -> dict[str, str]:
        """Count ``count`` uses of an endpoint; the headers that tell what is left, or a refusal that has them too."""
        spent = self._spent.setdefault(endpoint, deque())
        while spent and spent[0][0] <= now_s - WINDOW_S:
            spent.popleft()
        used = sum(uses for _, uses in spent)
        if used + count > limit:
            reset_s = (spent[0][0] if spent else now_s) + WINDOW_S
            raise BybitError(
                10006, "Too many visits. Exceeded the API Rate Limit.", 200, _headers(limit, 0, int(reset_s * 1e3))
            )
        spent.append((now_s, count))
        return _headers(limit, limit - used - count, int(now_s * 1e3))


def _headers(limit: int, left: int, reset_ms: int) -> dict[str, str]:
    return {
        "X-Bapi-Limit": str(limit),
        "X-Bapi-Limit-Status": str(left),
        "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
    }
