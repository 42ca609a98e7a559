"""What ccxt is asked for, per venue and kind: rows at or after a time, so that none can fall out between two answers.
Venues differ in how far one answer reaches and from which end it is filled.

=============  ========================================================================================================
trades         Binance: from a time, then from an id on. OKX: from new to old, so a stretch is walked from its end.
               Bybit and others that take no time: the last ones alone, an error where they do not reach back.
klines         A page from a time on; on OKX the window of a page.
funding        Binance: from a time on. OKX and Bybit fill a page from its new end: only a window that cannot hold more
               settlements (one an hour) is asked for.
open_interest  Readings each five minutes, the finest that all three give, by windows of a page.
=============  ========================================================================================================
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from pipelines.history.paging import Row
from pipelines.history.schema import HistoryError

HOUR_MS: Final = 3_600_000
INTEREST: Final = "5m"
INTEREST_MS: Final = 300_000
WALK_MS: Final = 600_000
ENDLESS: Final = 2**31
HEADERS: Final = {
    "trades": ("venue", "symbol", "timestamp", "id", "side", "price", "amount", "is_aggregate"),
    "klines": ("venue", "symbol", "timestamp", "interval_ms", "open", "high", "low", "close", "volume"),
    "funding": ("venue", "symbol", "timestamp", "funding_rate"),
    "open_interest": ("venue", "symbol", "timestamp", "open_interest", "open_interest_usd"),
}
# rows of one answer, never more than the venue gives; "" is every other venue
LIMITS: Final = {
    "trades": {"": 1_000, "okx": 100},
    "klines": {"": 1_000, "okx": 100},
    "funding": {"": 1_000, "okx": 100, "bybit": 200},
    "open_interest": {"": 500, "okx": 100, "bybit": 200},
}
_OKX_HISTORY: Final = {"method": "publicGetMarketHistoryTrades"}


class Wanted(msgspec.Struct, frozen=True):
    """A stretch of history: ``venue`` and ``symbol`` as ccxt calls them, [since_ms, until_ms)."""

    venue: str
    symbol: str
    kind: str
    since_ms: int
    until_ms: int
    interval: str = "1m"


class Asker(NamedTuple):
    """A client, what is wanted of it, the symbol as the venue spells it, and ``patient``, which repeats a call."""

    client: Any
    wanted: Wanted
    symbol_id: str
    limit: int
    patient: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

    @property
    def bar_ms(self) -> int:
        return int(self.client.parse_timeframe(self.wanted.interval)) * 1_000

    def row(self, time_ms: int, key: str, *cells: object) -> Row:
        """One row of a page; a missing cell is empty."""
        texts = ("" if cell is None else str(cell) for cell in (time_ms, *cells))
        return Row(time_ms, key, (self.wanted.venue, self.symbol_id, *texts))


Rows = Callable[[Asker, int, str | None], Awaitable[list[Row]]]


def rows_of(wanted: Wanted) -> Rows:
    """The call for what is wanted: (asker, since_ms, key to go on after) to rows."""
    if wanted.kind == "trades":
        return {"okx": _walked_trades, "bybit": _last_trades}.get(wanted.venue, _trades)
    return {"klines": _klines, "funding": _funding, "open_interest": _interest}[wanted.kind]


def limit_of(wanted: Wanted) -> int:
    """Rows of one answer."""
    limits = LIMITS[wanted.kind]
    return limits.get(wanted.venue, limits[""])


def reach(asker: Asker) -> tuple[int, int]:
    """(rows of a full page, ms that one answer covers): what the pager needs to know of the venue."""
    wanted, limit = asker.wanted, asker.limit
    if wanted.kind == "trades":
        whole = {"okx": (ENDLESS, WALK_MS), "bybit": (ENDLESS, wanted.until_ms - wanted.since_ms)}
        return whole.get(wanted.venue, (limit, HOUR_MS))
    return limit, limit * {"klines": asker.bar_ms, "funding": HOUR_MS, "open_interest": INTEREST_MS}[wanted.kind]


async def _trades(asker: Asker, since_ms: int, after: str | None) -> list[Row]:
    by_id = {} if after is None else {"fromId": _next_id(after, asker.wanted.symbol)}
    return [_trade_row(asker, trade) for trade in await _asked(asker, since_ms if after is None else None, by_id)]


async def _asked(asker: Asker, since_ms: int | None, params: dict[str, Any]) -> list[dict[str, Any]]:
    symbol = asker.wanted.symbol
    found = await asker.patient(lambda: asker.client.fetch_trades(symbol, since_ms, asker.limit, params))
    return list(found)


def _next_id(after: str, symbol: str) -> int:
    if not after.isdigit():
        raise HistoryError(
            f"{symbol}: more trades share one millisecond than a page holds, and their ids are no numbers",
            "take this stretch from an archive file",
        )
    return int(after) + 1


def _trade_row(asker: Asker, trade: dict[str, Any]) -> Row:
    # Binance names an aggregate's number "a"
    is_aggregate = int("a" in (trade.get("info") or {}))
    cells = (trade["id"], trade["side"], trade["price"], trade["amount"], is_aggregate)
    return asker.row(int(trade["timestamp"]), str(trade["id"]), *cells)


async def _walked_trades(asker: Asker, since_ms: int, _after: str | None) -> list[Row]:
    """Every trade of the next ten minutes, however many pages: by time to the newest, then back by id."""
    found: list[Row] = []
    older = {"type": "2", "after": str(min(since_ms + WALK_MS, asker.wanted.until_ms))}
    while page := [_trade_row(asker, trade) for trade in await _asked(asker, None, _OKX_HISTORY | older)]:
        found += page
        if min(row.ts_ms for row in page) < since_ms:
            break
        older = {"type": "1", "after": str(min(int(row.key) for row in page))}
    return [row for row in found if row.ts_ms >= since_ms]


async def _last_trades(asker: Asker, since_ms: int, _after: str | None) -> list[Row]:
    """All that the venue gives: its last trades, if they reach back to ``since_ms``. ``seq`` is their order."""
    found = await _asked(asker, None, {})
    oldest_ms = min((int(trade["timestamp"]) for trade in found), default=since_ms)
    if len(found) >= asker.limit and oldest_ms >= since_ms:
        back = datetime.fromtimestamp(oldest_ms / 1_000, UTC).isoformat(timespec="milliseconds")
        raise HistoryError(
            f"{asker.wanted.symbol}: {asker.wanted.venue} gives no trades but the last {len(found)}, back to {back}",
            "take what lies before from an archive file or a recording",
        )
    in_order = sorted(found, key=lambda trade: (trade["timestamp"], int((trade.get("info") or {}).get("seq") or 0)))
    return [_trade_row(asker, trade) for trade in in_order]


async def _klines(asker: Asker, since_ms: int, _after: str | None) -> list[Row]:
    wanted = asker.wanted
    ask = lambda: asker.client.fetch_ohlcv(wanted.symbol, wanted.interval, since_ms, asker.limit)  # noqa: E731
    return [asker.row(int(bar[0]), str(bar[0]), asker.bar_ms, *bar[1:6]) for bar in await asker.patient(ask)]


async def _funding(asker: Asker, since_ms: int, _after: str | None) -> list[Row]:
    wanted, end_ms = asker.wanted, since_ms + asker.limit * HOUR_MS
    window = {"okx": {"after": str(end_ms)}, "bybit": {"until": end_ms - 1}}.get(wanted.venue, {})
    call = asker.client.fetch_funding_rate_history
    found = await asker.patient(lambda: call(wanted.symbol, since_ms, asker.limit, window))
    return [asker.row(int(one["timestamp"]), str(one["timestamp"]), one["fundingRate"]) for one in found]


async def _interest(asker: Asker, since_ms: int, _after: str | None) -> list[Row]:
    wanted, window = asker.wanted, {"until": since_ms + asker.limit * INTEREST_MS - 1}
    call = asker.client.fetch_open_interest_history
    found = await asker.patient(lambda: call(wanted.symbol, INTEREST, since_ms, asker.limit, window))
    names = ("openInterestAmount", "openInterestValue")
    return [asker.row(int(one["timestamp"]), str(one["timestamp"]), *map(one.get, names)) for one in found]
