"""OKX's bars: their names, where they begin, and their rows. Bars of six hours and more begin by Hong Kong's clock
(UTC+8) unless their name ends with ``utc``."""

import re
from typing import Final

from market.simulator import candles
from market.simulator.candles import HOUR_MS, Candle, Candles, end_of, join
from market.simulator.okx_auth import ApiError
from market.simulator.okx_contracts import Contract, text
from market.simulator.okx_messages import ms

HONG_KONG_MS: Final = 8 * HOUR_MS
_UNITS: Final = {"m": "m", "H": "h", "D": "d", "W": "w", "M": "M"}
_LONG: Final = ("6H", "12H", "1D", "3D", "1W", "1M")
SHORT: Final = ("1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H")
BARS: Final = (*SHORT, *_LONG, *(f"{bar}utc" for bar in _LONG))


def bar_of(name: str) -> tuple[str, int]:
    """The interval of a bar, and how far its beginning is ahead of UTC's in ms.

    >>> bar_of("15m"), bar_of("4H"), bar_of("1Dutc"), bar_of("1D")
    (('15m', 0), ('4h', 0), ('1d', 0), ('1d', 28800000))
    """
    found = re.fullmatch(r"(\d+)([mHDWM])(utc)?", name)
    if found is None or name not in BARS:
        raise ApiError("51000", "Parameter bar error", 400)
    shift_ms = HONG_KONG_MS if name in _LONG else 0
    return found[1] + _UNITS[found[2]], shift_ms


def joined(series: Candles, bar: str) -> list[Candle]:
    """A series at a bar, oldest first."""
    interval, shift_ms = bar_of(bar)
    found: dict[int, list[Candle]] = {}
    for minute in series.minutes.values():
        start_ms = candles.start_of(interval, minute.start_ms + shift_ms) - shift_ms
        found.setdefault(start_ms, []).append(minute)
    return [join(start_ms, parts) for start_ms, parts in sorted(found.items())]


def price_row(contract: Contract, bar: str, candle: Candle, now_ns: int) -> list[str]:
    """Open time, four prices, and whether the bar is complete: candles of mark and index prices."""
    interval, shift_ms = bar_of(bar)
    closed = end_of(interval, candle.start_ms + shift_ms) - shift_ms < now_ns // 1_000_000
    prices = map(contract.px, (candle.open, candle.high, candle.low, candle.close))
    return [ms(candle.start_ms * 1_000_000), *prices, str(int(closed))]


def candle_row(contract: Contract, bar: str, candle: Candle, now_ns: int) -> list[str]:
    """Open time, four prices, volume in contracts, in base and in quote units, and whether the bar is complete."""
    *row, closed = price_row(contract, bar, candle, now_ns)
    instrument = contract.instrument
    value = instrument.tick_size * instrument.lot_size * candle.value
    return [*row, contract.size(candle.lots), text(instrument.qty(candle.lots)), text(value), closed]
