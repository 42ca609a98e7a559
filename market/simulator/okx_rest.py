"""OKX's REST calls over HTTP: keys, signatures and limits checked, then one handler; errors in the venue's codes."""

import time
from collections import Counter
from typing import Any, Final

import msgspec
from aiohttp import web

from market.simulator import okx_account, okx_algos, okx_history, okx_market, okx_orders
from market.simulator.errors import Reject
from market.simulator.okx_auth import ApiError, check_request
from market.simulator.okx_calls import Call, Json, Route, value
from market.simulator.okx_face import OkxFace, api_error

PATH: Final = "/api/v5/{tail:.*}"
ROUTES: Final[dict[tuple[str, str], Route]] = {
    **okx_market.ROUTES,
    **okx_history.ROUTES,
    **okx_account.ROUTES,
    **okx_orders.ROUTES,
    **okx_algos.ROUTES,
}
UNKNOWN_OUTCOME: Final = ApiError(
    "50004",
    "API endpoint request timeout (does not mean that the request was successful or failed, "
    "please check the request result)",
    400,
)


def envelope(rows: list[Any]) -> Json:
    """The answer around rows: code 1 when everything asked for was refused, 2 when some of it was."""
    refused = [row for row in rows if isinstance(row, dict) and row.get("sCode", "0") != "0"]
    if not refused:
        return {"code": "0", "msg": "", "data": rows}
    if len(refused) == len(rows):
        return {"code": "1", "msg": "All operations failed", "data": rows}
    return {"code": "2", "msg": "Bulk operation partially succeeded.", "data": rows}


def parse(query: dict[str, str], body: str, exp_ms: str) -> Call:
    """The parameters of a request: its query, else its JSON body."""
    if not body:
        return Call(dict(query), [dict(query)], _exp(exp_ms))
    try:
        content = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        raise ApiError("50002", "JSON syntax error", 400) from None
    items = content if isinstance(content, list) else [content]
    if not all(isinstance(item, dict) for item in items):
        raise ApiError("50002", "JSON syntax error", 400)
    return Call(items[0] if items else {}, items, _exp(exp_ms))


def _exp(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def spend(face: OkxFace, path: str, route: Route, call: Call) -> None:
    """Count a request against its limits."""
    now_s = time.monotonic()
    owners = Counter(_owner(item) for item in call.items) if route.by_instrument else Counter({"": 1})
    for owner, count in owners.items():
        face.limits.spend(path, owner, route.limit, count, now_s, route.window_s)
    if route.new_orders:
        face.limits.spend_orders(len(call.items), now_s)


def _owner(item: Json) -> str:
    """The instrument a request counts against, or the type of them."""
    return value(item, "instId") or value(item, "instIdCode") or value(item, "instType")


async def carry_out(face: OkxFace, path: str, route: Route, call: Call) -> Json:
    """Spend the limits, run the handler when the request has travelled, and wrap what it says."""
    spend(face, path, route, call)
    try:
        if not route.travels:
            return envelope(route.handler(face, call))
        rows = await face.player.arrive(lambda: route.handler(face, call))
    except Reject as reject:
        raise api_error(reject) from None
    if route.new_orders and face.unknown_orders > 0:
        face.unknown_orders -= 1
        raise UNKNOWN_OUTCOME
    return envelope(rows)


async def answer(face: OkxFace, request: web.Request, body: str) -> Json:
    """The answer to one call; raises ApiError."""
    route = ROUTES.get((request.method, request.path))
    if route is None:
        raise ApiError("50404", "The requested path does not exist.", 404)
    if route.is_private:
        check_request(
            face.credentials, request.headers, request.method, request.raw_path, body, face.player.wall_ns() / 1e9
        )
    call = parse(dict(request.query), body, request.headers.get("expTime", ""))
    return await carry_out(face, request.path, route, call)


def handler(face: OkxFace) -> Any:
    """The aiohttp handler of every ``/api/v5`` path."""

    async def handle(request: web.Request) -> web.Response:
        status = 200
        try:
            body = (await request.read()).decode(errors="replace") if request.can_read_body else ""
            result = await answer(face, request, body)
        except ApiError as error:
            status, result = error.status, {"code": error.code, "msg": error.message, "data": []}
        return web.Response(body=msgspec.json.encode(result), status=status, content_type="application/json")

    return handle
