"""What Bybit's public topics and market calls say about one symbol: rows read off the exchange's state."""

from collections.abc import Reversible
from decimal import Decimal
from heapq import nlargest, nsmallest
from typing import Any, Final
from uuid import UUID

from market.events import Liquidation, Trade
from market.instruments import Instrument
from market.simulator.bybit_exchange import BybitExchange
from market.simulator.candles import Candle, end_of
from market.simulator.ladder import Ladder
from market.simulator.orders import BUY

Json = dict[str, Any]
Levels = dict[int, int]

INTERVALS: Final = {
    "1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h", "360": "6h",
    "720": "12h", "D": "1d", "W": "1w", "M": "1M",
}  # fmt: skip
_ID_SPACE: Final = 0x7C3A_91D0_5E2F_4B18_8D64 << 48


def text(value: Decimal) -> str:
    """A decimal in plain notation."""
    return format(value, "f")


def plain(value: Decimal) -> str:
    """A price that need not be on the tick grid, eight decimals at most.

    >>> plain(Decimal("100.0400000000")), plain(Decimal(100))
    ('100.04', '100')
    """
    return text(round(value, 8).normalize())


def number(value: float) -> str:
    """A float in plain notation, "" when there is none."""
    return "" if value != value else text(Decimal(repr(value)))


def side_name(side: int) -> str:
    return "Buy" if side == BUY else "Sell"


def top(ladder: Ladder, side: int, count: int) -> Levels:
    """The best ``count`` levels of a side as they are visible now, the newest best quote included."""
    best = ladder.best(side)
    if best is None:
        return {}
    if count == 1:
        return {best: ladder.visible(side, best)}
    deeper = [px for px in ladder.levels[side] if (best - px) * side > 0]
    if len(deeper) >= count:
        deeper = (nlargest if side > 0 else nsmallest)(count - 1, deeper)
    return {best: ladder.visible(side, best)} | {px: ladder.levels[side][px] for px in deeper}


def changed(before: Levels, now: Levels) -> list[tuple[int, int]]:
    """Levels that are new or differ, and those that are gone with quantity 0."""
    return [(px, lots) for px, lots in now.items() if before.get(px) != lots] + [(px, 0) for px in before.keys() - now]


def spelled(instrument: Instrument, levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
    """Levels in decimals; quantity 0 is plain "0"."""
    return [(text(instrument.px(px)), text(instrument.qty(lots)) if lots else "0") for px, lots in levels]


def trade_id(trade: Trade) -> str:
    """Bybit names trades by UUID: one that holds the recorded number.

    >>> trade_id(Trade("XYUSDT", 0, 0, 1.0, 1.0, 1, 258, 1.0, True))
    '7c3a91d0-5e2f-4b18-8d64-000000000102'
    """
    return str(UUID(int=_ID_SPACE | (trade.trade_id & (1 << 48) - 1)))


def trade(exchange: BybitExchange, seen: Trade) -> Json:
    """One trade as ``publicTrade`` sends it."""
    instrument = exchange.markets[seen.symbol].instrument
    return {
        "T": (seen.ts_event or exchange.now_ns) // 1_000_000,
        "s": seen.symbol,
        "S": side_name(seen.side),
        "v": _qty(instrument, seen.qty),
        "p": text(instrument.px(instrument.ticks(seen.px))),
        "L": tick_direction(exchange.markets[seen.symbol].stats.recent),
        "i": trade_id(seen),
        "BT": False,
        "RPI": False,
        "seq": exchange.seq[seen.symbol],
    }


def tick_direction(recent: Reversible[Trade]) -> str:
    """How the last of these trades moved the price; ``Zero`` when it did not, and an earlier one had.

    >>> at = lambda px: Trade("XYUSDT", 0, 0, px, 1.0, 1, 1, 1.0, True)
    >>> tick_direction([at(1.0), at(2.0)]), tick_direction([at(2.0), at(1.0), at(1.0)]), tick_direction([])
    ('PlusTick', 'ZeroMinusTick', 'ZeroPlusTick')
    """
    prices = (seen.px for seen in reversed(recent))
    last, is_first = next(prices, 0.0), True
    for px in prices:
        if px != last:
            return f"{'' if is_first else 'Zero'}{'Minus' if px > last else 'Plus'}Tick"
        is_first = False
    return "ZeroPlusTick"


def _qty(instrument: Instrument, qty: float) -> str:
    return text(instrument.qty(round(qty / float(instrument.lot_size))))


def liquidation(exchange: BybitExchange, event: Liquidation) -> Json:
    """A forced order; Bybit's side is that of the position that was closed."""
    instrument = exchange.markets[event.symbol].instrument
    return {
        "T": (event.ts_event or exchange.now_ns) // 1_000_000,
        "s": event.symbol,
        "S": side_name(-event.side),
        "v": _qty(instrument, event.qty),
        "p": number(event.px),
    }


def ticker(exchange: BybitExchange, symbol: str) -> Json:
    """Ticker of a symbol; day figures cover what was seen since the exchange started."""
    market = exchange.markets[symbol]
    instrument, stats, mark = market.instrument, market.stats, market.mark
    mark_px = market.mark_px()
    open_interest = market.open_interest or 0.0
    change = stats.last_px / stats.open_px - 1 if stats.open_px else 0.0
    row = {
        "symbol": symbol,
        "tickDirection": tick_direction(stats.recent),
        "lastPrice": number(stats.last_px),
        "prevPrice24h": number(stats.open_px),
        "prevPrice1h": number(stats.open_px),
        "price24hPcnt": format(change, ".6f"),
        "highPrice24h": number(stats.high_px),
        "lowPrice24h": number(stats.low_px),
        "turnover24h": format(stats.quote_volume, ".4f"),
        "volume24h": _qty(instrument, stats.volume),
        "markPrice": plain(mark_px),
        "indexPrice": "" if mark is None else number(mark.index_px),
        "fundingRate": "" if mark is None else number(mark.funding_rate),
        "nextFundingTime": "0" if mark is None else str(mark.next_funding_ns // 1_000_000),
        "fundingIntervalHour": str(funding_minutes(exchange, symbol) // 60),
        "openInterest": number(open_interest),
        "openInterestValue": format(Decimal(repr(open_interest)) * mark_px, ".4f"),
    }
    for side, name in ((1, "bid1"), (-1, "ask1")):
        best = market.ladder.best(side)
        row[f"{name}Price"] = "" if best is None else text(instrument.px(best))
        row[f"{name}Size"] = "" if best is None else text(instrument.qty(market.ladder.visible(side, best)))
    return row


def funding_minutes(exchange: BybitExchange, symbol: str) -> int:
    """Minutes between settlements as far as two of them were seen, else the usual eight hours."""
    mark, settled = exchange.markets[symbol].mark, exchange.markets[symbol].settled
    if mark is None or not settled or mark.next_funding_ns <= settled[-1].next_funding_ns:
        return 480
    return max(1, round((mark.next_funding_ns - settled[-1].next_funding_ns) / 60e9))


def candle_row(instrument: Instrument, candle: Candle) -> list[str]:
    """A candle as REST answers it: start, open, high, low, close, volume, turnover."""
    prices = [text(instrument.px(px)) for px in (candle.open, candle.high, candle.low, candle.close)]
    turnover = instrument.tick_size * instrument.lot_size * candle.value
    return [str(candle.start_ms), *prices, text(instrument.qty(candle.lots)), text(turnover)]


def candles(exchange: BybitExchange, symbol: str, interval: str) -> list[Json]:
    """The latest candle as ``kline`` sends it, after the one before it."""
    market, now_ms = exchange.markets[symbol], exchange.now_ns // 1_000_000
    found = market.candles.joined(INTERVALS[interval])[-2:]
    return [_candle(market.instrument, candle, interval, now_ms) for candle in found]


def _candle(instrument: Instrument, candle: Candle, interval: str, now_ms: int) -> Json:
    start, opened, high, low, close, volume, turnover = candle_row(instrument, candle)
    end_ms = end_of(INTERVALS[interval], candle.start_ms)
    return {
        "start": int(start),
        "end": end_ms,
        "interval": interval,
        "open": opened,
        "close": close,
        "high": high,
        "low": low,
        "volume": volume,
        "turnover": turnover,
        "confirm": now_ms > end_ms,
        "timestamp": now_ms,
    }
