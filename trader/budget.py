"""One rate budget per address and account: sliding windows of the venue's limits, with a share kept for exits.

In process by default; through Redis when ``CRYPTOSCALP_REDIS_URL`` is set, so that all processes behind one address
share one count. Windows slide in slots and count every slot they touch: the true count is never above ours. The venue's
own headers raise our count when others use the address too, and its refusals hold all requests off.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import redis.asyncio as redis

RESERVE: Final = 0.2
SLOTS: Final = 60
REDIS_SETTING: Final = "CRYPTOSCALP_REDIS_URL"
EGRESS_SETTING: Final = "CRYPTOSCALP_EGRESS"
REDIS_TIMEOUT_S: Final = 0.25
REDIS_RETRY_S: Final = 1.0


class Limit(msgspec.Struct, frozen=True):
    """At most ``most`` of ``what`` in any ``span_ms``; ``shared`` by the address ("ip") or the account."""

    what: str
    span_ms: int
    most: int
    shared: str = "ip"


class Budget(Protocol):
    """``take`` spends ``costs`` (amount by what) or nothing; only ``essential`` ones (cancels, reduce-only orders, what
    is needed to know our orders) may use the reserve. ``observe`` hears what the venue has counted, ``hold`` its
    refusals."""

    async def take(self, costs: Mapping[str, int], essential: bool) -> bool: ...
    async def observe(self, what: str, span_ms: int, used: int) -> None: ...
    async def hold(self, for_ms: int) -> None: ...
    async def close(self) -> None: ...


def allowed(limit: Limit, essential: bool) -> int:
    """What a request of this kind may fill the window to."""
    return limit.most if essential else int(limit.most * (1 - RESERVE))


class LocalBudget:
    """The budget of one process; ``now_ms`` is any clock that does not run backwards."""

    def __init__(self, limits: Sequence[Limit], now_ms: Callable[[], float] | None = None) -> None:
        self._limits = tuple(limits)
        self._now_ms = now_ms or (lambda: time.monotonic() * 1e3)
        self._slots: list[dict[int, int]] = [{} for _ in self._limits]
        self._held_until_ms = 0.0

    async def take(self, costs: Mapping[str, int], essential: bool) -> bool:
        now = self._now_ms()
        wanted = [(i, costs[limit.what]) for i, limit in enumerate(self._limits) if costs.get(limit.what, 0) > 0]
        if now < self._held_until_ms:
            return False
        if any(self._used(i, now) + cost > allowed(self._limits[i], essential) for i, cost in wanted):
            return False
        for i, cost in wanted:
            self._add(i, now, cost)
        return True

    async def observe(self, what: str, span_ms: int, used: int) -> None:
        now = self._now_ms()
        for i, limit in enumerate(self._limits):
            if (limit.what, limit.span_ms) == (what, span_ms) and used > self._used(i, now):
                self._add(i, now, used - self._used(i, now))

    async def hold(self, for_ms: int) -> None:
        self._held_until_ms = max(self._held_until_ms, self._now_ms() + for_ms)

    async def close(self) -> None:
        return None

    def _add(self, i: int, now: float, cost: int) -> None:
        slot = int(now // _width_ms(self._limits[i]))
        self._slots[i][slot] = self._slots[i].get(slot, 0) + cost

    def _used(self, i: int, now: float) -> int:
        limit, slots = self._limits[i], self._slots[i]
        oldest = int((now - limit.span_ms) // _width_ms(limit))
        for slot in [s for s in slots if s < oldest]:
            del slots[slot]
        return sum(slots.values())


def _width_ms(limit: Limit) -> int:
    return max(1, limit.span_ms // SLOTS)


# KEYS: the hold, then one hash per window. ARGV: span, width, most, cost for each. All or nothing, on Redis's clock.
_TAKE: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > now then return 0 end
for i = 2, #KEYS do
  local a = (i - 2) * 4
  local span, width, most, cost = tonumber(ARGV[a+1]), tonumber(ARGV[a+2]), tonumber(ARGV[a+3]), tonumber(ARGV[a+4])
  local oldest, used = math.floor((now - span) / width), 0
  local rows = redis.call('HGETALL', KEYS[i])
  for j = 1, #rows, 2 do
    if tonumber(rows[j]) < oldest then redis.call('HDEL', KEYS[i], rows[j]) else used = used + tonumber(rows[j+1]) end
  end
  if used + cost > most then return 0 end
end
for i = 2, #KEYS do
  local a = (i - 2) * 4
  redis.call('HINCRBY', KEYS[i], math.floor(now / tonumber(ARGV[a+2])), ARGV[a+4])
  redis.call('PEXPIRE', KEYS[i], tonumber(ARGV[a+1]) * 2)
end
return 1
"""
# KEYS: one hash. ARGV: span, width, used as the venue counts it.
_OBSERVE: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local oldest, used = math.floor((now - ARGV[1]) / ARGV[2]), 0
local rows = redis.call('HGETALL', KEYS[1])
for j = 1, #rows, 2 do
  if tonumber(rows[j]) >= oldest then used = used + tonumber(rows[j+1]) end
end
if tonumber(ARGV[3]) > used then
  redis.call('HINCRBY', KEYS[1], math.floor(now / ARGV[2]), tonumber(ARGV[3]) - used)
  redis.call('PEXPIRE', KEYS[1], ARGV[1] * 2)
end
return used
"""
# KEYS: the hold. ARGV: for how many ms. A longer hold is never shortened.
_HOLD: Final = """
local t = redis.call('TIME')
local till = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[1])
local held = redis.call('GET', KEYS[1])
if not held or tonumber(held) < till then redis.call('SET', KEYS[1], till, 'PX', ARGV[1]) end
return till
"""


class RedisBudget:
    """The budget of all processes that name the same ``ip`` and ``account``.

    Fails closed: while Redis does not answer, only essential requests pass, counted in process.
    """

    def __init__(self, url: str, limits: Sequence[Limit], ip: str, account: str) -> None:
        self._limits = tuple(limits)
        # retries would hold up an order; a lost answer counts as refused
        self._redis: Any = redis.Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S, retry=None
        )
        self._scripts = [self._redis.register_script(text) for text in (_TAKE, _OBSERVE, _HOLD)]
        owner = {"ip": ip, "account": f"{ip}:{account}"}
        self._keys = [f"cryptoscalp:rate:{owner[x.shared]}:{x.what}:{x.span_ms}" for x in self._limits]
        self._hold_key = f"cryptoscalp:rate:{ip}:hold"
        self._spare = LocalBudget(limits)
        self._lost_s = float("-inf")

    async def take(self, costs: Mapping[str, int], essential: bool) -> bool:
        wanted = [i for i, limit in enumerate(self._limits) if costs.get(limit.what, 0) > 0]
        keys, arguments = [self._hold_key], []
        for i in wanted:
            limit = self._limits[i]
            keys.append(self._keys[i])
            arguments += [limit.span_ms, _width_ms(limit), allowed(limit, essential), costs[limit.what]]
        answer = await self._run(0, keys, arguments)
        if answer is None:
            return essential and await self._spare.take(costs, essential)
        return bool(answer)

    async def observe(self, what: str, span_ms: int, used: int) -> None:
        for key, limit in zip(self._keys, self._limits, strict=True):
            if (limit.what, limit.span_ms) == (what, span_ms):
                await self._run(1, [key], [span_ms, _width_ms(limit), used])

    async def hold(self, for_ms: int) -> None:
        await self._spare.hold(for_ms)
        await self._run(2, [self._hold_key], [for_ms])

    async def close(self) -> None:
        await self._redis.aclose()

    async def _run(self, script: int, keys: list[str], arguments: list[int]) -> int | None:
        """The script's answer, or None while Redis is away; after a failure it is left alone for a moment."""
        if time.monotonic() - self._lost_s < REDIS_RETRY_S:
            return None
        try:
            return int(await self._scripts[script](keys=keys, args=arguments))
        except (redis.RedisError, OSError, TimeoutError):
            self._lost_s = time.monotonic()
            return None


def open_budget(limits: Sequence[Limit], venue: str, api_key: str) -> Budget:
    """Shared through Redis when ``CRYPTOSCALP_REDIS_URL`` is set, else in process.

    ``venue`` names whose limits these are (with its address where that is not the venue's own).
    ``CRYPTOSCALP_EGRESS`` tells hosts apart that share one Redis but not one address.
    """
    url = os.environ.get(REDIS_SETTING)
    if not url:
        return LocalBudget(limits)
    account = hashlib.sha256(api_key.encode()).hexdigest()[:16]
    return RedisBudget(url, limits, f"{venue}:{os.environ.get(EGRESS_SETTING, 'shared')}", account)
