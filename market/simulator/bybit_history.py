"""What a Bybit client may ask about the past of one symbol: candles, mark candles, funding, open interest.

Only what the recording showed is answered. Candles are kept per minute in whole ticks and lots; longer ones are joined
from them when asked for, so sums stay exact.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
MONDAY_MS: Final = 4 * DAY_MS  # 1970-01-05
MINUTES: Final = ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720")
INTERVALS: Final = (*MINUTES, "D", "W", "M")


class Candle(msgspec.Struct):
    """Prices in ticks, ``lots`` traded and ``value`` in ticks times lots; ``start_ms`` UTC."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    value: int = 0

    def add(self, ticks: int, lots: int) -> None:
        self.high, self.low, self.close = max(self.high, ticks), min(self.low, ticks), ticks
        self.lots += lots
        self.value += ticks * lots


class Funding(msgspec.Struct, frozen=True):
    """One settlement: its time and rate."""

    ts_ns: int
    rate: float


class History:
    """The past of one symbol."""

    def __init__(self) -> None:
        self.candles: dict[int, Candle] = {}
        self.marks: dict[int, Candle] = {}
        self.funding: list[Funding] = []
        self.open_interest: list[tuple[int, float]] = []


def add(candles: dict[int, Candle], ts_ns: int, ticks: int, lots: int) -> None:
    """Put one price into the candle of its minute."""
    start_ms = start_of("1", ts_ns // 1_000_000)
    candle = candles.get(start_ms)
    if candle is None:
        candle = candles[start_ms] = Candle(start_ms, ticks, ticks, ticks, ticks)
    candle.add(ticks, lots)


def start_of(interval: str, at_ms: int) -> int:
    """Start of the candle that holds a time (ms).

    >>> start_of("5", 1_700_000_000_000), start_of("W", 1_700_000_000_000), start_of("M", 1_700_000_000_000)
    (1699999800000, 1699833600000, 1698796800000)
    """
    if interval == "M":
        day = datetime.fromtimestamp(at_ms / 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp() * 1000)
    if interval == "W":
        return at_ms - (at_ms - MONDAY_MS) % (7 * DAY_MS)
    return at_ms - at_ms % (DAY_MS if interval == "D" else int(interval) * MINUTE_MS)


def end_of(interval: str, start_ms: int) -> int:
    """Last millisecond of a candle."""
    if interval == "M":
        return start_of("M", start_ms + 31 * DAY_MS) - 1
    days = {"D": 1, "W": 7}.get(interval)
    return start_ms + (int(interval) * MINUTE_MS if days is None else days * DAY_MS) - 1


def joined(minutes: Iterable[Candle], interval: str) -> list[Candle]:
    """Candles of an interval out of those of one minute, oldest first; minutes without a price leave no candle."""
    result: list[Candle] = []
    for minute in minutes:
        start_ms = start_of(interval, minute.start_ms)
        if not result or result[-1].start_ms != start_ms:
            result.append(msgspec.structs.replace(minute, start_ms=start_ms))
            continue
        last = result[-1]
        last.high, last.low, last.close = max(last.high, minute.high), min(last.low, minute.low), minute.close
        last.lots += minute.lots
        last.value += minute.value
    return result
