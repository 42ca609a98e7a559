"""Public calls of Bybit v5: time, contracts, book, tickers, trades, candles, funding, open interest, risk limits."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from market.instruments import Instrument
from market.simulator import brackets
from market.simulator import bybit_topics as topics
from market.simulator.bybit_auth import BybitError
from market.simulator.bybit_calls import Route, linear_symbol
from market.simulator.bybit_exchange import RECENT
from market.simulator.bybit_params import integer, page, require
from market.simulator.bybit_topics import INTERVALS, Json, text
from market.simulator.candles import Candles
from market.simulator.interest import sampled
from market.simulator.rules import PX_BAND, decimals

if TYPE_CHECKING:
    from market.simulator.bybit_face import BybitFace

CATEGORIES: Final = ("linear", "inverse", "spot", "option")
INTEREST_MS: Final = {
    **{"5min": 300_000, "15min": 900_000, "30min": 1_800_000, "1h": 3_600_000, "4h": 14_400_000},
    "1d": 86_400_000,
}
MAX_TICKS: Final = 10_000_000_000
MAX_DEPTH: Final = 1_000


def _is_linear(params: dict[str, Any]) -> bool:
    """Other categories are the venue's as well, and empty here."""
    category = require(params, "category")
    if category not in CATEGORIES:
        raise BybitError(10001, "params error: Category is invalid")
    return category == "linear"


def server_time(face: "BybitFace", _params: dict[str, Any]) -> Json:
    now_ns = face.player.wall_ns()
    return {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}


def instruments(face: "BybitFace", params: dict[str, Any]) -> Json:
    if not _is_linear(params) or params.get("status") not in (None, "", "Trading"):
        return page([], params, 1_000)
    listed = {symbol: market.instrument for symbol, market in face.exchange.markets.items()}
    if params.get("symbol"):
        symbol = linear_symbol(face, params)
        listed = {symbol: listed[symbol]}
    base = params.get("baseCoin")
    rows = [_contract(face, i) for i in listed.values() if base in (None, "", i.base)]
    return page(rows, params, 1_000, 500)


def _contract(face: "BybitFace", instrument: Instrument) -> Json:
    tick, most = instrument.tick_size, text(instrument.qty(instrument.max_lots))
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "settleCoin": instrument.quote,
        "launchTime": "0",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(decimals(tick)),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": str(brackets.MAX_LEVERAGE), "leverageStep": "1"},
        "priceFilter": {"minPrice": text(tick), "maxPrice": text(tick * MAX_TICKS), "tickSize": text(tick)},
        "lotSizeFilter": {
            "maxOrderQty": most,
            "minOrderQty": text(instrument.qty(instrument.min_lots)),
            "qtyStep": text(instrument.lot_size),
            "postOnlyMaxOrderQty": most,
            "maxMktOrderQty": most,
            "minNotionalValue": text(instrument.min_notional),
        },
        "riskParameters": {"priceLimitRatioX": text(PX_BAND), "priceLimitRatioY": text(PX_BAND)},
        "unifiedMarginTrade": True,
        "fundingInterval": topics.funding_minutes(face.exchange, instrument.symbol),
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
        "displayName": "",
        "symbolType": "",
    }


def orderbook(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Levels as visible now. ``u`` is the recorded book's own id, that of no ``orderbook`` topic."""
    symbol, limit = linear_symbol(face, params), min(integer(params, "limit", 25), MAX_DEPTH)
    market = face.exchange.markets[symbol]
    ladder, now_ms = market.ladder, face.exchange.now_ns // 1_000_000
    bids = sorted(topics.top(ladder, 1, limit).items(), reverse=True)
    asks = sorted(topics.top(ladder, -1, limit).items())
    levels = {"b": topics.spelled(market.instrument, bids), "a": topics.spelled(market.instrument, asks)}
    ids = {"u": ladder.last_id, "seq": face.exchange.book_seq[symbol], "cts": ladder.ts_event // 1_000_000}
    return {"s": symbol, **levels, "ts": now_ms, **ids}


def tickers(face: "BybitFace", params: dict[str, Any]) -> Json:
    if not _is_linear(params):
        return {"category": params["category"], "list": []}
    symbols = [linear_symbol(face, params)] if params.get("symbol") else list(face.exchange.markets)
    more = {"predictedDeliveryPrice": "", "basisRate": "", "basis": "", "deliveryFeeRate": "", "deliveryTime": "0"}
    return {"category": "linear", "list": [topics.ticker(face.exchange, symbol) | more for symbol in symbols]}


def recent_trades(face: "BybitFace", params: dict[str, Any]) -> Json:
    """The last thousand, newest first: the venue has no call for older ones."""
    symbol, limit = linear_symbol(face, params), min(integer(params, "limit", 500), RECENT)
    seen = list(face.exchange.recent[symbol])[-limit:][::-1] if limit else []
    rows = [_trade(topics.trade(face.exchange, one) | {"seq": seq}) for seq, one in seen]
    return {"category": "linear", "list": rows}


def _trade(row: Json) -> Json:
    names = {"execId": "i", "symbol": "s", "price": "p", "size": "v", "side": "S", "isRPITrade": "RPI", "seq": "seq"}
    return {name: row[source] for name, source in names.items()} | {"time": str(row["T"]), "isBlockTrade": row["BT"]}


def kline(face: "BybitFace", params: dict[str, Any]) -> Json:
    market = face.exchange.markets[linear_symbol(face, params)]
    return _candles(market.instrument, params, market.candles)


def mark_kline(face: "BybitFace", params: dict[str, Any]) -> Json:
    market = face.exchange.markets[linear_symbol(face, params)]
    return _without_volume(_candles(market.instrument, params, market.mark_candles))


def index_kline(face: "BybitFace", params: dict[str, Any]) -> Json:
    market = face.exchange.markets[linear_symbol(face, params)]
    return _without_volume(_candles(market.instrument, params, market.index_candles))


def _without_volume(answer: Json) -> Json:
    return answer | {"list": [row[:5] for row in answer["list"]]}


def _candles(instrument: Instrument, params: dict[str, Any], series: Candles) -> Json:
    """Newest first, ``start`` to ``end`` (ms) of their opening: the first ones after a start alone, else the last."""
    interval, limit = require(params, "interval"), min(integer(params, "limit", 200), 1_000)
    if interval not in INTERVALS:
        raise BybitError(10001, "params error: Invalid interval")
    start_ms, end_ms = integer(params, "start", 0), integer(params, "end", 2**60)
    found = [c for c in series.joined(INTERVALS[interval]) if start_ms <= c.start_ms <= end_ms]
    shown = found[:limit] if params.get("start") and not params.get("end") else found[-limit:] if limit else []
    rows = [topics.candle_row(instrument, candle) for candle in reversed(shown)]
    return {"symbol": instrument.symbol, "category": "linear", "list": rows}


def funding_history(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Settlements the recording showed, newest first, up to ``endTime``; a start without an end is an error here."""
    symbol, limit = linear_symbol(face, params), min(integer(params, "limit", 200), 200)
    if params.get("startTime") and not params.get("endTime"):
        raise BybitError(10001, "params error: endTime is required with startTime")
    start_ms, end_ms = _stretch(params)
    settled = face.exchange.markets[symbol].settled
    seen = [mark for mark in settled if start_ms <= mark.next_funding_ns // 1_000_000 <= end_ms]
    rows = [
        {
            "symbol": symbol,
            "fundingRate": topics.number(one.funding_rate),
            "fundingRateTimestamp": str(one.next_funding_ns // 1_000_000),
        }
        for one in seen[::-1][:limit]
    ]
    return {"category": "linear", "list": rows}


def _stretch(params: dict[str, Any]) -> tuple[int, int]:
    return integer(params, "startTime", 0), integer(params, "endTime", 2**60)


def open_interest(face: "BybitFace", params: dict[str, Any]) -> Json:
    """What stood at each interval, newest first, cursor by cursor; never recorded, the present one alone, as 0."""
    symbol, interval = linear_symbol(face, params), require(params, "intervalTime")
    step_ms = INTEREST_MS.get(interval)
    if step_ms is None:
        raise BybitError(10001, "params error: intervalTime invalid")
    start_ms, end_ms = _stretch(params)
    now_ns, readings = face.exchange.now_ns, face.exchange.markets[symbol].interest
    values = [(at, topics.number(one.qty)) for at, one in sampled(readings, step_ms, now_ns)]
    if not readings:
        values = [(now_ns // 1_000_000 // step_ms * step_ms, "0.0")]
    inside = [(at, qty) for at, qty in reversed(values) if start_ms <= at <= end_ms]
    return {"symbol": symbol} | page(
        [{"openInterest": qty, "timestamp": str(at)} for at, qty in inside], params, 200, 50
    )


def risk_limit(face: "BybitFace", params: dict[str, Any]) -> Json:
    """Stepped margins; the first tier is the lowest."""
    if not _is_linear(params):
        return page([], params, 1_000)
    symbols = [linear_symbol(face, params)] if params.get("symbol") else list(face.exchange.markets)
    rows = [
        {
            "id": number,
            "symbol": symbol,
            "riskLimitValue": text(bracket.cap),
            "maintenanceMargin": text(bracket.rate),
            "initialMargin": text(round(Decimal(1) / bracket.leverage, 6)),
            "isLowestRisk": int(number == 1),
            "maxLeverage": str(bracket.leverage),
            "mmDeduction": text(bracket.cum),
        }
        for symbol in symbols
        for number, bracket in enumerate(brackets.DEFAULT, 1)
    ]
    return page(rows, params, 1_000, 1_000)


ROUTES: Final = {
    ("GET", "/v5/market/time"): Route(server_time),
    ("GET", "/v5/market/instruments-info"): Route(instruments),
    ("GET", "/v5/market/orderbook"): Route(orderbook),
    ("GET", "/v5/market/tickers"): Route(tickers),
    ("GET", "/v5/market/recent-trade"): Route(recent_trades),
    ("GET", "/v5/market/kline"): Route(kline),
    ("GET", "/v5/market/mark-price-kline"): Route(mark_kline),
    ("GET", "/v5/market/index-price-kline"): Route(index_kline),
    ("GET", "/v5/market/funding/history"): Route(funding_history),
    ("GET", "/v5/market/open-interest"): Route(open_interest),
    ("GET", "/v5/market/risk-limit"): Route(risk_limit),
}
