"""Binance's rate limits: request weight per minute, orders per 10 s and minute, calls of a group per five minutes; 429
beyond, 418 for those who go on."""

from typing import Final

from market.simulator.binance_auth import ApiError

WEIGHT_PER_MINUTE: Final = 2_400
ORDERS_PER_10S: Final = 300
ORDERS_PER_MINUTE: Final = 1_200
REFUSALS_BEFORE_BAN: Final = 100
BAN_S: Final = 120
# funding rates and their rules share one count of an address, the statistics under /futures/data another
POOLS: Final = {"funding": 500, "statistics": 1_000}
POOL_S: Final = 300


class Window:
    """A count per fixed window of wall time, as the venue's headers report it."""

    def __init__(self, length_s: int) -> None:
        self.length_s = length_s
        self.used = 0
        self._window = -1

    def roll(self, now_s: float) -> int:
        """The count in the window of ``now_s``."""
        window = int(now_s // self.length_s)
        if window != self._window:
            self._window, self.used = window, 0
        return self.used

    def left_s(self, now_s: float) -> int:
        """Whole seconds until the window ends."""
        return int(self.length_s - now_s % self.length_s) + 1


class Limits:
    """Counts of one address and one account."""

    def __init__(self, weight_limit: int = WEIGHT_PER_MINUTE) -> None:
        self.weight_limit = weight_limit
        self.weight, self.orders_10s, self.orders_1m = Window(60), Window(10), Window(60)
        self._pools = {name: Window(POOL_S) for name in POOLS}
        self._refusals = 0
        self._banned_until_s = 0.0

    def spend_pool(self, name: str, now_s: float) -> None:
        """Count a call of a group that has a limit of its own, or refuse it."""
        window = self._pools[name]
        if window.roll(now_s) >= POOLS[name]:
            text = f"Too many requests; current limit is {POOLS[name]} requests per 5 minutes."
            raise ApiError(-1003, text, 429, {"Retry-After": str(window.left_s(now_s))})
        window.used += 1

    def spend(self, weight: int, now_s: float) -> None:
        """Count a request, or refuse it."""
        if now_s < self._banned_until_s:
            raise self._ban(now_s)
        if self.weight.roll(now_s) == 0:
            self._refusals = 0
        if self.weight.used + weight > self.weight_limit:
            raise self._refuse(now_s)
        self.weight.used += weight

    def _refuse(self, now_s: float) -> ApiError:
        self._refusals += 1
        if self._refusals > REFUSALS_BEFORE_BAN:
            self._banned_until_s = now_s + BAN_S
            return self._ban(now_s)
        text = f"Too many requests; current limit of IP(127.0.0.1) is {self.weight_limit} requests per minute."
        return ApiError(-1003, text, 429, {"Retry-After": str(self.weight.left_s(now_s))})

    def _ban(self, now_s: float) -> ApiError:
        until_ms = int(self._banned_until_s * 1000)
        text = f"Way too many requests; IP(127.0.0.1) banned until {until_ms}."
        return ApiError(-1003, text, 418, {"Retry-After": str(int(self._banned_until_s - now_s) + 1)})

    def spend_order(self, now_s: float, count: int = 1) -> None:
        """Count new orders, or refuse them."""
        for window, limit, name in (
            (self.orders_10s, ORDERS_PER_10S, "10 SECOND"),
            (self.orders_1m, ORDERS_PER_MINUTE, "MINUTE"),
        ):
            if window.roll(now_s) + count > limit:
                text = f"Too many new orders; current limit is {limit} orders per {name}."
                raise ApiError(-1015, text, 429, {"Retry-After": str(window.left_s(now_s))})
        self.orders_10s.used += count
        self.orders_1m.used += count

    def headers(self, now_s: float) -> dict[str, str]:
        """What every answer says about the limits."""
        return {
            "X-MBX-USED-WEIGHT-1M": str(self.weight.roll(now_s)),
            "X-MBX-ORDER-COUNT-10S": str(self.orders_10s.roll(now_s)),
            "X-MBX-ORDER-COUNT-1M": str(self.orders_1m.roll(now_s)),
        }
