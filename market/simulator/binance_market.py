"""Public REST calls of Binance USD-M: metadata, depth, tickers, trades, mark prices."""

from decimal import Decimal
from math import isnan
from typing import Any, Final

from market.events import Trade
from market.instruments import Instrument
from market.simulator.binance_auth import ApiError
from market.simulator.binance_face import BinanceFace, Route, integer, require
from market.simulator.binance_limits import ORDERS_PER_10S, ORDERS_PER_MINUTE, WEIGHT_PER_MINUTE
from market.simulator.binance_messages import Json, ms, text
from market.simulator.exchange import Market
from market.simulator.rules import MAX_OPEN_ORDERS, PX_BAND, decimals
from market.simulator.stops import MAX_STOPS

DEPTH_LIMITS: Final = (5, 10, 20, 50, 100, 500, 1_000)
HOUR_MS: Final = 3_600_000
LATEST_MS: Final = 2**43
LATEST_NS = LATEST_ID = 2**63 - 1
PERPETUAL_END_MS: Final = 4_133_404_800_000
MAX_TICKS: Final = 10_000_000_000
ORDER_TYPES: Final = [
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
]


def ping(_face: BinanceFace, _params: dict[str, str]) -> Json:
    return {}


def server_time(face: BinanceFace, _params: dict[str, str]) -> Json:
    """Wall clock, since signatures are checked against it; market events keep the recording's clock."""
    return {"serverTime": face.player.wall_ns() // 1_000_000}


def exchange_info(face: BinanceFace, _params: dict[str, str]) -> Json:
    return {
        "timezone": "UTC",
        "serverTime": face.player.wall_ns() // 1_000_000,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_PER_MINUTE),
            _limit("ORDERS", "MINUTE", 1, ORDERS_PER_MINUTE),
            _limit("ORDERS", "SECOND", 10, ORDERS_PER_10S),
        ],
        "exchangeFilters": [],
        "assets": [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"} for asset in _assets(face)],
        "symbols": [_symbol(market.instrument) for market in face.exchange.markets.values()],
    }


def _assets(face: BinanceFace) -> list[str]:
    return sorted({market.instrument.quote for market in face.exchange.markets.values()})


def _limit(kind: str, interval: str, count: int, limit: int) -> Json:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}


def _symbol(instrument: Instrument) -> Json:
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_END_MS,
        "onboardDate": 0,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": decimals(instrument.tick_size),
        "quantityPrecision": decimals(instrument.lot_size),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": text(PX_BAND),
        "maxMoveOrderLimit": 10_000,
        "filters": _filters(instrument),
        "orderTypes": ORDER_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _filters(instrument: Instrument) -> list[Json]:
    tick, lot = text(instrument.tick_size), text(instrument.lot_size)
    sizes = {"minQty": text(instrument.qty(instrument.min_lots)), "maxQty": text(instrument.qty(instrument.max_lots))}
    band = {"multiplierUp": text(1 + PX_BAND), "multiplierDown": text(1 - PX_BAND), "multiplierDecimal": "4"}
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": text(instrument.px(MAX_TICKS)), "tickSize": tick},
        {"filterType": "LOT_SIZE", **sizes, "stepSize": lot},
        {"filterType": "MARKET_LOT_SIZE", **sizes, "stepSize": lot},
        {"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN_ORDERS},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": MAX_STOPS},
        {"filterType": "MIN_NOTIONAL", "notional": text(instrument.min_notional)},
        {"filterType": "PERCENT_PRICE", **band},
    ]


def depth(face: BinanceFace, params: dict[str, str]) -> Json:
    """The exchange's own book, with an id from which a client's buffered deltas go on by Binance's rule.

    The book stands at the end of a delta, so its id is moved to the first id of the next one: then that delta has
    ``U <= lastUpdateId <= u``, and as quantities are absolute nothing is skipped. Before the recording's first snapshot
    was reached, that snapshot is served: the deltas that lead up to it are old news to the client.
    """
    symbol, limit = require(params, "symbol"), integer(params, "limit", 500)
    market = face.exchange.market(symbol)
    if limit not in DEPTH_LIMITS:
        raise ApiError(-4021, f"Not a valid depth limit: {limit}.")
    ladder = market.ladder
    last_id = ladder.last_id
    for event in face.player.upcoming(symbol):
        if event.is_snapshot:
            if not ladder.synced:
                return _book(face, symbol, event.last_id, event.ts_event, event.bids[:limit], event.asks[:limit])
        elif event.last_id > ladder.last_id:
            last_id = event.first_id if ladder.last_id in (0, event.prev_id) else last_id
            if ladder.synced:
                break
    return _book(face, symbol, last_id, ladder.ts_event, _side(market, 1, limit), _side(market, -1, limit))


def _book(face: BinanceFace, symbol: str, last_id: int, ts_ns: int, bids: list[Any], asks: list[Any]) -> Json:
    now = ms(ts_ns or face.exchange.now_ns)
    return {"lastUpdateId": last_id - face.hub.shifts.get(symbol, 0), "E": now, "T": now, "bids": bids, "asks": asks}


def _side(market: Market, side: int, limit: int) -> list[tuple[str, str]]:
    instrument = market.instrument
    return [(text(instrument.px(px)), text(instrument.qty(lots))) for px, lots in market.ladder.top(side, limit)]


def _per_symbol(face: BinanceFace, params: dict[str, str], build: Any) -> Any:
    if params.get("symbol"):
        return build(face.exchange.market(params["symbol"]))
    return [build(market) for market in face.exchange.markets.values()]


def ticker_24hr(face: BinanceFace, params: dict[str, str]) -> Any:
    """Sums over the trades seen since the exchange started, warm-up included: less than 24 hours, and not scaled up."""
    return _per_symbol(face, params, ticker_row)


def ticker_row(market: Market) -> Json:
    """One row of ``ticker/24hr``; the ticker streams send the same numbers."""
    stats, number = market.stats, _number
    change = stats.last_px - stats.open_px
    return {
        "symbol": market.instrument.symbol,
        "priceChange": number(change),
        "priceChangePercent": number(round(100 * change / stats.open_px, 3) if stats.open_px else 0.0),
        "weightedAvgPrice": number(stats.quote_volume / stats.volume if stats.volume else 0.0),
        "lastPrice": number(stats.last_px),
        "lastQty": number(stats.recent[-1].qty if stats.recent else 0.0),
        "openPrice": number(stats.open_px),
        "highPrice": number(stats.high_px),
        "lowPrice": number(stats.low_px),
        "volume": number(stats.volume),
        "quoteVolume": number(stats.quote_volume),
        "openTime": ms(stats.first_ns),
        "closeTime": ms(stats.last_ns),
        "firstId": stats.recent[0].trade_id if stats.recent else 0,
        "lastId": stats.recent[-1].trade_id if stats.recent else 0,
        "count": stats.trades,
    }


def _number(value: float) -> str:
    return text(round(Decimal(repr(value)), 8).normalize())


def book_ticker(face: BinanceFace, params: dict[str, str]) -> Any:
    return _per_symbol(face, params, lambda market: _book_ticker(face, market))


def _book_ticker(face: BinanceFace, market: Market) -> Json:
    row: Json = {"symbol": market.instrument.symbol}
    for side, px_name, qty_name in ((1, "bidPrice", "bidQty"), (-1, "askPrice", "askQty")):
        px = market.ladder.best(side)
        row[px_name] = "0" if px is None else text(market.instrument.px(px))
        row[qty_name] = "0" if px is None else text(market.instrument.qty(market.ladder.visible(side, px)))
    return row | {
        "lastUpdateId": market.ladder.last_id - face.hub.shifts.get(market.instrument.symbol, 0),
        "time": ms(market.ladder.ts_event),
    }


def ticker_price(face: BinanceFace, params: dict[str, str]) -> Any:
    return _per_symbol(face, params, _ticker_price)


def _ticker_price(market: Market) -> Json:
    stats = market.stats
    return {"symbol": market.instrument.symbol, "price": _number(stats.last_px), "time": ms(stats.last_ns)}


def premium_index(face: BinanceFace, params: dict[str, str]) -> Any:
    return _per_symbol(face, params, lambda market: _premium(face, market))


def _premium(face: BinanceFace, market: Market) -> Json:
    mark = market.mark
    px = text(round(market.mark_px(), 8))
    return {
        "symbol": market.instrument.symbol,
        "markPrice": px,
        "indexPrice": px if mark is None or isnan(mark.index_px) else _number(mark.index_px),
        "estimatedSettlePrice": px,
        "lastFundingRate": "0" if mark is None or isnan(mark.funding_rate) else _number(mark.funding_rate),
        "interestRate": "0.00010000",
        "nextFundingTime": 0 if mark is None else ms(mark.next_funding_ns),
        "time": ms(face.exchange.now_ns),
    }


def trades(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    market, limit = face.exchange.market(require(params, "symbol")), rows_asked(params)
    return [trade_row(trade) for trade in market.prints.latest(limit)]


def old_trades(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """Trades from an id on, else the latest ones."""
    prints, limit = face.exchange.market(require(params, "symbol")).prints, rows_asked(params, most=500)
    found = prints.after(integer(params, "fromId"), 0, LATEST_NS, limit) if params.get("fromId") else None
    return [trade_row(trade) for trade in (prints.latest(limit) if found is None else found)]


def agg_trades(face: BinanceFace, params: dict[str, str]) -> list[Json]:
    """One aggregate per trade: the first ones from an id or a time on, up to an hour of them, else the latest."""
    prints, limit = face.exchange.market(require(params, "symbol")).prints, rows_asked(params)
    start_ms, end_ms = integer(params, "startTime", 0), integer(params, "endTime", LATEST_MS)
    if start_ms and params.get("endTime") and end_ms - start_ms > HOUR_MS:
        raise ApiError(-1127, "More than 1 hours between startTime and endTime.")
    end_ns = end_ms * 1_000_000 + 999_999
    if params.get("fromId") or start_ms:
        found = prints.after(integer(params, "fromId", 0), start_ms * 1_000_000, end_ns, limit)
    else:
        found = prints.before(LATEST_ID, end_ns + 1, limit)[::-1]
    return [_aggregate(trade) for trade in found]


def rows_asked(params: dict[str, str], most: int = 1_000, default: int = 500) -> int:
    """How many rows a page may have."""
    return min(integer(params, "limit", default), most)


def _aggregate(trade: Trade) -> Json:
    ids = {"a": trade.trade_id, "f": trade.trade_id, "l": trade.trade_id}
    px, qty = _number(trade.px), _number(trade.qty)
    return ids | {"p": px, "q": qty, "nq": qty, "T": ms(trade.ts_event), "m": trade.side < 0}


def trade_row(trade: Trade) -> Json:
    """A trade as ``trades`` and ``historicalTrades`` list it."""
    px, qty = _number(trade.px), _number(trade.qty)
    quote = _number(trade.px * trade.qty)
    row = {"id": trade.trade_id, "price": px, "qty": qty, "quoteQty": quote, "time": ms(trade.ts_event)}
    return row | {"isBuyerMaker": trade.side < 0}


ROUTES: Final = {
    ("GET", "/fapi/v1/ping"): Route(ping, 1, "none"),
    ("GET", "/fapi/v1/time"): Route(server_time, 1, "none"),
    ("GET", "/fapi/v1/exchangeInfo"): Route(exchange_info, 1, "none"),
    ("GET", "/fapi/v1/depth"): Route(depth, 10, "none"),
    ("GET", "/fapi/v1/ticker/24hr"): Route(ticker_24hr, 1, "none", weight_all=40),
    ("GET", "/fapi/v1/ticker/bookTicker"): Route(book_ticker, 2, "none", weight_all=5),
    ("GET", "/fapi/v1/ticker/price"): Route(ticker_price, 1, "none", weight_all=2),
    ("GET", "/fapi/v2/ticker/price"): Route(ticker_price, 1, "none", weight_all=2),
    ("GET", "/fapi/v1/premiumIndex"): Route(premium_index, 1, "none", weight_all=10),
    ("GET", "/fapi/v1/trades"): Route(trades, 5, "none"),
    ("GET", "/fapi/v1/historicalTrades"): Route(old_trades, 20, "key"),
    ("GET", "/fapi/v1/aggTrades"): Route(agg_trades, 20, "none"),
}
