"""Binance USD-M's REST calls over HTTP: limits, keys and signatures checked, then one handler; errors as Binance's."""

import time
from typing import Any, Final

import msgspec
from aiohttp import web

from market.simulator import (
    binance_account,
    binance_algo,
    binance_candles,
    binance_market,
    binance_orders,
    binance_settings,
)
from market.simulator.binance_auth import ApiError, check_key, check_signature, parse
from market.simulator.binance_face import BinanceFace, Route, api_error
from market.simulator.errors import Reject

ROUTES: Final[dict[tuple[str, str], Route]] = {
    **binance_market.ROUTES,
    **binance_account.ROUTES,
    **binance_settings.ROUTES,
    **binance_orders.ROUTES,
    **binance_algo.ROUTES,
    **binance_candles.ROUTES,
}
CANDLES: Final = (binance_candles.klines, binance_candles.mark_klines, binance_candles.index_klines)
UNKNOWN_OUTCOME: Final = ApiError(-1000, "Unknown error, please check your request or try again later.", 503)


def weight(route: Route, params: dict[str, str]) -> int:
    """Request weight of a call; depth and candles by their limit, tickers and open orders more without a symbol."""
    if route.handler is binance_market.depth:
        limit = int(params["limit"]) if params.get("limit", "").isdecimal() else 500
        return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20
    if route.handler in CANDLES:
        return binance_candles.candle_weight(params)
    if route.weight_all is not None and not params.get("symbol"):
        return route.weight_all
    return route.weight


async def answer(face: BinanceFace, request: web.Request, body: str) -> Any:
    """The answer to one call; raises ApiError."""
    route = ROUTES.get((request.method, request.path))
    if route is None:
        face.limits.spend(1, time.time())
        raise ApiError(-5000, f"Path {request.path}, Method {request.method} is invalid", 404)
    query = request.rel_url.raw_query_string
    params = parse(query, body)
    face.limits.spend(weight(route, params), time.time())
    if route.pool:
        face.limits.spend_pool(route.pool, time.time())
    if route.security != "none":
        check_key(face.credentials, request.headers.get("X-MBX-APIKEY"))
    if route.security == "signed":
        check_signature(face.credentials, query, body, face.player.wall_ns() // 1_000_000)
    if route.new_orders:
        face.limits.spend_order(time.time(), _orders(params))
    return await _handle(face, route, params)


def _orders(params: dict[str, str]) -> int:
    """How many new orders a call counts as."""
    return max(1, params.get("batchOrders", "").count('"symbol"'))


async def _handle(face: BinanceFace, route: Route, params: dict[str, str]) -> Any:
    try:
        if not route.travels:
            return route.handler(face, params)
        result = await face.player.arrive(lambda: route.handler(face, params))
    except Reject as reject:
        raise api_error(face, reject, params.get("symbol", "")) from None
    if route.new_orders and face.unknown_orders > 0:
        face.unknown_orders -= 1
        raise UNKNOWN_OUTCOME
    return result


def handler(face: BinanceFace) -> Any:
    """The aiohttp handler of every ``/fapi`` path."""

    async def handle(request: web.Request) -> web.Response:
        status, headers = 200, {}
        try:
            body = (await request.read()).decode(errors="replace") if request.can_read_body else ""
            result = await answer(face, request, body)
        except ApiError as error:
            status, headers = error.status, error.headers
            result = {"code": error.code, "msg": error.message}
        content = msgspec.json.encode(result)
        headers = {**headers, **face.limits.headers(time.time())}
        return web.Response(body=content, status=status, headers=headers, content_type="application/json")

    return handle
