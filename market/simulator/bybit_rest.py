"""Bybit v5's REST calls over HTTP: address limit, signature, account limits, then one handler; errors as Bybit's."""

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from market.simulator import bybit_account, bybit_market, bybit_orders, bybit_queries
from market.simulator.bybit_auth import BybitError, check_request
from market.simulator.bybit_calls import Route, api_error
from market.simulator.errors import Reject

if TYPE_CHECKING:
    from market.simulator.bybit_face import BybitFace

ROUTES: Final[dict[tuple[str, str], Route]] = {
    **bybit_market.ROUTES,
    **bybit_account.ROUTES,
    **bybit_orders.ROUTES,
    **bybit_queries.ROUTES,
}
UNKNOWN_OUTCOME: Final = BybitError(10000, "Server Timeout", 503)
Headers = dict[str, str]


def parameters(query: str, body: str) -> dict[str, Any]:
    """Parameters of a query, or of a JSON body."""
    if not body:
        return dict(parse_qsl(query, keep_blank_values=True))
    try:
        values = msgspec.json.decode(body)
    except msgspec.DecodeError:
        values = None
    if not isinstance(values, dict):
        raise BybitError(10001, "Request parameter error.")
    return values


async def answer(face: "BybitFace", request: web.Request, body: str) -> tuple[Any, Headers]:
    """The answer to one call and its limit headers; raises BybitError."""
    face.limits.visit(time.monotonic())
    route = ROUTES.get((request.method, request.path))
    if route is None:
        raise BybitError(404, f"path {request.path} is not served", 404)
    query = request.rel_url.raw_query_string
    if not route.limit:
        return route.handler(face, parameters(query, "")), {}
    check_request(face.credentials, request.headers, body if request.method == "POST" else query, face.wall_ms())
    params = parameters(query, body)
    entries = params.get("request")
    uses = len(entries) if isinstance(entries, list) and entries else 1
    headers = face.limits.spend(request.path, route.limit, uses, time.time())
    return await call(face, route, params), headers


async def call(face: "BybitFace", route: Route, params: dict[str, Any]) -> Any:
    """Carry out one signed call, from whichever door it came."""
    try:
        if not route.travels:
            return route.handler(face, params)
        result = await face.player.arrive(lambda: route.handler(face, params))
    except Reject as reject:
        raise api_error(face, reject, str(params.get("symbol"))) from None
    if route.places and face.unknown_orders > 0:
        face.unknown_orders -= 1
        raise UNKNOWN_OUTCOME
    return result


def envelope(face: "BybitFace", result: Any, code: int = 0, message: str = "OK") -> dict[str, Any]:
    """What every answer is wrapped in; batches bring their own ``retExtInfo``."""
    more = result.pop("retExtInfo", {}) if isinstance(result, dict) else {}
    return {"retCode": code, "retMsg": message, "result": result, "retExtInfo": more, "time": face.wall_ms()}


def handler(face: "BybitFace") -> Any:
    """The aiohttp handler of every ``/v5`` path."""

    async def handle(request: web.Request) -> web.Response:
        status = 200
        try:
            body = (await request.read()).decode(errors="replace") if request.can_read_body else ""
            result, headers = await answer(face, request, body)
            content = envelope(face, result)
        except BybitError as error:
            status, headers = error.status, error.headers
            content = envelope(face, {}, error.code, error.message)
        return web.Response(
            body=msgspec.json.encode(content), status=status, headers=headers, content_type="application/json"
        )

    return handle


def routes(face: "BybitFace") -> list[web.RouteDef]:
    """Everything under ``/v5`` that is no socket."""
    return [web.route("*", "/v5/{tail:.*}", handler(face))]
