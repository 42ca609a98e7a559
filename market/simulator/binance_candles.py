"""Binance USD-M's history calls: candles of trades, mark and index price, funding rates, open interest."""

from typing import Any, Final

from market.instruments import Instrument
from market.simulator.binance_auth import ApiError
from market.simulator.binance_face import BinanceFace, Route, integer, require
from market.simulator.binance_messages import Json, ms, text
from market.simulator.candles import INTERVALS, Candle, Candles, end_of
from market.simulator.exchange import Market
from market.simulator.interest import STEPS_MS, Reading, sampled

MAX_CANDLES: Final = 1_500
MAX_RATES: Final = 1_000
MAX_INTEREST: Final = 500
CANDLE_WEIGHTS: Final = ((99, 1), (499, 2), (1_000, 5), (MAX_CANDLES, 10))


def row(instrument: Instrument, interval: str, candle: Candle) -> list[Any]:
    """One candle as an array, volumes in base and quote units."""
    unit = instrument.tick_size * instrument.lot_size
    prices = [text(instrument.px(px)) for px in (candle.open, candle.high, candle.low, candle.close)]
    return [
        candle.start_ms,
        *prices,
        text(instrument.qty(candle.lots)),
        end_of(interval, candle.start_ms),
        text(unit * candle.value),
        candle.trades,
        text(instrument.qty(candle.bought_lots)),
        text(unit * candle.bought_value),
        "0",
    ]


def _interval(params: dict[str, str]) -> str:
    interval = require(params, "interval")
    if interval not in INTERVALS:
        raise ApiError(-1120, "Invalid interval.")
    return interval


def _klines(market: Market, series: Candles, params: dict[str, str]) -> list[list[Any]]:
    """Candles inside startTime..endTime: the first ones after a start, else the latest."""
    interval = _interval(params)
    start_ms, end_ms = integer(params, "startTime", 0), integer(params, "endTime", 2**60)
    candles = [candle for candle in series.joined(interval) if start_ms <= candle.start_ms <= end_ms]
    limit = min(integer(params, "limit", 500), MAX_CANDLES)
    return [row(market.instrument, interval, c) for c in (candles[:limit] if start_ms else candles[-limit:])]


def klines(face: BinanceFace, params: dict[str, str]) -> list[list[Any]]:
    """Candles of the trades seen since the exchange started, warm-up included."""
    market = face.exchange.market(require(params, "symbol"))
    return _klines(market, market.candles, params)


def mark_klines(face: BinanceFace, params: dict[str, str]) -> list[list[Any]]:
    market = face.exchange.market(require(params, "symbol"))
    return _klines(market, market.mark_candles, params)


def index_klines(face: BinanceFace, params: dict[str, str]) -> list[list[Any]]:
    market = face.exchange.market(require(params, "pair"))
    return _klines(market, market.index_candles, params)


def funding_rate(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Settlements seen, oldest first."""
    start_ms, end_ms = integer(params, "startTime", 0), integer(params, "endTime", 2**60)
    symbols = [params["symbol"]] if params.get("symbol") else list(face.exchange.markets)
    marks = [mark for symbol in symbols for mark in face.exchange.market(symbol).settled]
    marks = [mark for mark in marks if start_ms <= ms(mark.next_funding_ns) <= end_ms]
    rows = [
        {
            "symbol": mark.symbol,
            "fundingTime": ms(mark.next_funding_ns),
            "fundingRate": f"{mark.funding_rate:.8f}",
            "markPrice": f"{mark.mark_px:.8f}",
        }
        for mark in sorted(marks, key=lambda mark: mark.next_funding_ns)
    ]
    limit = min(integer(params, "limit", 100), MAX_RATES)
    return rows[:limit] if start_ms else rows[-limit:]


def funding_info(_face: BinanceFace, _params: dict[str, str]) -> list[Json]:
    """Only symbols with another interval or cap than the usual one are listed, and a recording states none."""
    return []


def open_interest(face: BinanceFace, params: dict[str, str]) -> Json:
    """As recorded; where the recording is silent, what is open on this exchange, which is the account's own."""
    market = face.exchange.market(require(params, "symbol"))
    symbol = market.instrument.symbol
    held = sum(abs(position.lots) for _, position in face.exchange.account.legs(symbol))
    seen = market.open_interest
    qty = text(market.instrument.qty(held)) if seen is None else f"{seen:.8f}"
    return {"symbol": symbol, "openInterest": qty, "time": ms(face.exchange.now_ns)}


def open_interest_history(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """What stood at each step of ``period``, oldest first; more than a page of it: the newest (documented nowhere)."""
    market, period = face.exchange.market(require(params, "symbol")), require(params, "period")
    if period not in STEPS_MS:
        raise ApiError(-1130, "Data sent for parameter 'period' is not valid.")
    start_ms, end_ms = integer(params, "startTime", 0), integer(params, "endTime", 2**60)
    seen = sampled(market.interest, STEPS_MS[period], face.exchange.now_ns)
    rows = [_interest(market.instrument.symbol, at, one) for at, one in seen if start_ms <= at <= end_ms]
    limit = min(integer(params, "limit", 30), MAX_INTEREST)
    return rows[-limit:] if limit else []


def _interest(symbol: str, at_ms: int, reading: Reading) -> Json:
    amounts = {"sumOpenInterest": f"{reading.qty:.8f}", "sumOpenInterestValue": f"{reading.qty * reading.px:.8f}"}
    return {"symbol": symbol, **amounts, "timestamp": at_ms}


def candle_weight(params: dict[str, str]) -> int:
    """Request weight of a call for candles, by how many may come."""
    limit = int(params["limit"]) if params.get("limit", "").isdecimal() else 500
    return next((weight for most, weight in CANDLE_WEIGHTS if limit <= most), CANDLE_WEIGHTS[-1][1])


ROUTES: Final[dict[tuple[str, str], Route]] = {
    ("GET", "/fapi/v1/klines"): Route(klines, 5, "none"),
    ("GET", "/fapi/v1/markPriceKlines"): Route(mark_klines, 5, "none"),
    ("GET", "/fapi/v1/indexPriceKlines"): Route(index_klines, 5, "none"),
    ("GET", "/fapi/v1/fundingRate"): Route(funding_rate, 0, "none", pool="funding"),
    ("GET", "/fapi/v1/fundingInfo"): Route(funding_info, 0, "none", pool="funding"),
    ("GET", "/fapi/v1/openInterest"): Route(open_interest, 1, "none"),
    ("GET", "/futures/data/openInterestHist"): Route(open_interest_history, 0, "none", pool="statistics"),
}
