"""OKX's rate limits: so many requests in two seconds per endpoint, per user or per user and instrument."""

from collections import deque
from typing import Final

from market.simulator.okx_auth import ApiError

WINDOW_S: Final = 2.0
ORDERS_PER_ACCOUNT: Final = 1_000


class Limits:
    """Times of the requests of the last two seconds, by what they count against."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], deque[float]] = {}

    def _room(self, key: tuple[str, str], limit: int, count: int, now_s: float, window_s: float) -> deque[float] | None:
        spent = self._spent.setdefault(key, deque())
        while spent and now_s - spent[0] >= window_s:
            spent.popleft()
        return spent if len(spent) + count <= limit else None

    def spend(
        self, endpoint: str, owner: str, limit: int, count: int, now_s: float, window_s: float = WINDOW_S
    ) -> None:
        """Count requests, or refuse them; ``owner`` is an instrument, or "" where the limit is of the user alone."""
        spent = self._room((endpoint, owner), limit, count, now_s, window_s)
        if spent is None:
            raise ApiError("50011", "Rate limit reached. Please refer to API documentation and throttle requests", 429)
        spent.extend([now_s] * count)

    def spend_orders(self, count: int, now_s: float) -> None:
        """Count new and amended orders of the whole account, or refuse them."""
        spent = self._room(("account", ""), ORDERS_PER_ACCOUNT, count, now_s, WINDOW_S)
        if spent is None:
            raise ApiError("50061", "The maximum order rate limit of this sub-account has been reached", 429)
        spent.extend([now_s] * count)
