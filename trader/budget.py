"""One order-rate budget per process: sliding windows of the venue's order limits, with a share kept for exits."""

from collections import deque
from collections.abc import Callable
from typing import Final

WINDOWS: Final = ((10_000_000_000, 300), (60_000_000_000, 1_200))
RESERVE: Final = 0.2


class Budget:
    """Counts order actions in each window of ``WINDOWS`` (ns, most actions); ``now_ns`` is the clock.

    ``RESERVE`` of every window is left to essential actions: cancels and reduce-only orders.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._taken: deque[int] = deque()

    def take(self, orders: int, essential: bool) -> bool:
        """Spend ``orders`` actions; False (and nothing spent) when a non-essential one would eat the reserve."""
        now = self._now_ns()
        while self._taken and self._taken[0] <= now - WINDOWS[-1][0]:
            self._taken.popleft()
        if not essential and not self._fits(now, orders):
            return False
        self._taken.extend([now] * orders)
        return True

    def _fits(self, now: int, orders: int) -> bool:
        return all(sum(t > now - span for t in self._taken) + orders <= most * (1 - RESERVE) for span, most in WINDOWS)
