"""Candles of what was played: kept per minute in whole ticks and lots, longer ones joined from them when asked for."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
MONDAY_MS: Final = 4 * DAY_MS  # 1970-01-05
MINUTES: Final = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480,
    "12h": 720, "1d": 1_440, "3d": 4_320,
}  # fmt: skip
INTERVALS: Final = (*MINUTES, "1w", "1M")


class Candle(msgspec.Struct):
    """Prices in ticks; ``lots`` traded, ``value`` in ticks times lots, and both again for buying takers only."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    value: int = 0
    trades: int = 0
    bought_lots: int = 0
    bought_value: int = 0
    first_id: int = 0
    last_id: int = 0

    def add(self, ticks: int, lots: int, side: int, trade_id: int) -> None:
        self.high, self.low, self.close = max(self.high, ticks), min(self.low, ticks), ticks
        if lots:
            self.lots, self.value, self.trades = self.lots + lots, self.value + ticks * lots, self.trades + 1
            self.first_id, self.last_id = self.first_id or trade_id, trade_id
            if side > 0:
                self.bought_lots, self.bought_value = self.bought_lots + lots, self.bought_value + ticks * lots


def start_of(interval: str, time_ms: int) -> int:
    """When the candle that holds ``time_ms`` (UTC) begins.

    >>> start_of("5m", 3_700_000), start_of("1w", 5 * DAY_MS), start_of("1M", 40 * DAY_MS)
    (3600000, 345600000, 2678400000)
    """
    if interval == "1M":
        day = datetime.fromtimestamp(time_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return int(day.timestamp()) * 1000
    if interval == "1w":
        return time_ms - (time_ms - MONDAY_MS) % (7 * DAY_MS)
    return time_ms - time_ms % (MINUTES[interval] * MINUTE_MS)


def end_of(interval: str, start_ms: int) -> int:
    """Last millisecond of the candle that begins at ``start_ms``."""
    if interval == "1M":
        return start_of("1M", start_ms + 32 * DAY_MS) - 1
    return start_ms + (7 * DAY_MS if interval == "1w" else MINUTES[interval] * MINUTE_MS) - 1


class Candles:
    """One series of minutes, oldest first."""

    def __init__(self) -> None:
        self.minutes: dict[int, Candle] = {}

    def add(self, time_ns: int, ticks: int, lots: int = 0, side: int = 0, trade_id: int = 0) -> None:
        """Put one price, or one trade, into the candle of its minute."""
        time_ms = time_ns // 1_000_000
        start_ms = time_ms - time_ms % MINUTE_MS
        candle = self.minutes.get(start_ms)
        if candle is None:
            candle = self.minutes[start_ms] = Candle(start_ms, ticks, ticks, ticks, ticks)
        candle.add(ticks, lots, side, trade_id)

    def joined(self, interval: str) -> list[Candle]:
        """The series at an interval; minutes without a price leave no candle."""
        found: dict[int, list[Candle]] = {}
        for candle in self.minutes.values():
            found.setdefault(start_of(interval, candle.start_ms), []).append(candle)
        return [join(start_ms, parts) for start_ms, parts in sorted(found.items())]

    def last(self, interval: str) -> Candle | None:
        """The newest candle at an interval."""
        if not self.minutes:
            return None
        start_ms = start_of(interval, max(self.minutes))
        return join(start_ms, [c for c in self.minutes.values() if c.start_ms >= start_ms])


def join(start_ms: int, parts: Iterable[Candle]) -> Candle:
    """One candle of several, oldest first."""
    rows = list(parts)
    traded, bought = [row for row in rows if row.trades], [row for row in rows if row.bought_lots]
    return Candle(
        start_ms=start_ms,
        open=rows[0].open,
        high=max(row.high for row in rows),
        low=min(row.low for row in rows),
        close=rows[-1].close,
        lots=sum(row.lots for row in traded),
        value=sum(row.value for row in traded),
        trades=sum(row.trades for row in traded),
        bought_lots=sum(row.bought_lots for row in bought),
        bought_value=sum(row.bought_value for row in bought),
        first_id=traded[0].first_id if traded else 0,
        last_id=traded[-1].last_id if traded else 0,
    )
