"""Candles of the trades an exchange has seen: kept by the minute, joined into wider ones."""

import re
from typing import Final

import msgspec

from market.simulator.okx_auth import ApiError
from market.simulator.okx_contracts import Contract, number
from market.simulator.okx_messages import ms, plain_size

MINUTE_NS: Final = 60_000_000_000
MINUTES: Final = {"m": 1, "H": 60, "D": 1_440}
BARS: Final = ("1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H", "1D", "1Dutc")


class Candle(msgspec.Struct):
    """Trades of one minute; ``volume`` in base units."""

    open_ns: int
    open_px: float
    high_px: float
    low_px: float
    close_px: float
    volume: float = 0.0
    quote_volume: float = 0.0

    def add(self, px: float, qty: float) -> None:
        self.high_px, self.low_px, self.close_px = max(self.high_px, px), min(self.low_px, px), px
        self.volume += qty
        self.quote_volume += px * qty


def minutes_of(bar: str) -> int:
    """Minutes of a bar such as ``1m``, ``4H``, ``1Dutc``.

    >>> minutes_of("15m"), minutes_of("4H"), minutes_of("1Dutc")
    (15, 240, 1440)
    """
    found = re.fullmatch(r"([1-9]\d?)([mHD])(?:utc)?", bar)
    if found is None:
        raise ApiError("51000", "Parameter bar error", 400)
    return int(found[1]) * MINUTES[found[2]]


def merged(candles: list[Candle], width_ns: int) -> list[Candle]:
    """One-minute candles joined into wider ones, oldest first."""
    found: list[Candle] = []
    for candle in candles:
        open_ns = candle.open_ns - candle.open_ns % width_ns
        if not found or found[-1].open_ns < open_ns:
            found.append(Candle(open_ns, *(candle.open_px,) * 4))
        last = found[-1]
        last.high_px, last.low_px = max(last.high_px, candle.high_px), min(last.low_px, candle.low_px)
        last.close_px = candle.close_px
        last.volume += candle.volume
        last.quote_volume += candle.quote_volume
    return found


def candle_row(contract: Contract, candle: Candle, width_ns: int, now_ns: int) -> list[str]:
    """Open time, four prices, volume in contracts, in base and in quote units, and whether it is complete."""
    prices = (candle.open_px, candle.high_px, candle.low_px, candle.close_px)
    size = plain_size(candle.volume / float(contract.ct_val))
    closed = "1" if candle.open_ns + width_ns <= now_ns else "0"
    sums = (number(candle.volume), number(candle.quote_volume))
    return [ms(candle.open_ns), *map(number, prices), size, *sums, closed]
