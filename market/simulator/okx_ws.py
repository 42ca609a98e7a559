"""OKX's WebSocket paths: ``public``, ``private`` and ``business``; subscriptions, login, and orders over the socket."""

import asyncio
import secrets
import time
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from market.simulator import okx_rows as rows
from market.simulator.hub import Socket
from market.simulator.okx_auth import ApiError, Login, check_login
from market.simulator.okx_calls import Call, Json
from market.simulator.okx_face import OkxFace, Session
from market.simulator.okx_hub import BOOKS, message, name_of
from market.simulator.okx_limits import Limits
from market.simulator.okx_rest import ROUTES, carry_out
from market.simulator.okx_source import CANDLES, LIQUIDATIONS, is_shown, view
from market.simulator.player import TAPE_ENDED

PATH: Final = "/ws/v5/{section}"
VIEWS: Final = ("tickers", "books5", "bbo-tbt", "mark-price", "funding-rate", "open-interest")
MARKET: Final = {
    "public": (BOOKS, *VIEWS, "trades", LIQUIDATIONS),
    "business": ("trades-all", *CANDLES),
    "private": (),
}
VIP_ONLY: Final = ("books-l2-tbt", "books50-l2-tbt")
ACCOUNT: Final = {
    "private": ("orders", "positions", "account", "balance_and_position", "fills"),
    "business": ("orders-algo",),
    "public": (),
}
REQUESTS_PER_HOUR: Final = 480
TRADE_OPS: Final = {
    "order": "order",
    "batch-orders": "batch-orders",
    "amend-order": "amend-order",
    "batch-amend-orders": "amend-batch-orders",
    "cancel-order": "cancel-order",
    "batch-cancel-orders": "cancel-batch-orders",
}


class Command(msgspec.Struct):
    """What clients send."""

    op: str
    args: list[Json] = []
    id: str | None = None
    expTime: str = ""


def unknown(arg: Json) -> ApiError:
    named = ",".join(f"{name}:{arg[name]}" for name in sorted(arg))
    return ApiError("60018", f"Wrong URL or {named} doesn't exist. Please use the correct URL, channel and parameters.")


def check_arg(face: OkxFace, session: Session, arg: Json) -> str:
    """Whether a channel is of the market (``market``) or the account (``account``), if this path serves it."""
    channel, inst_id = str(arg.get("channel", "")), arg.get("instId")
    if channel in VIP_ONLY and session.section == "public":
        raise ApiError("64003", f"Your trading fee tier doesn't meet the requirement to access {channel} channel.")
    if inst_id is not None and (not isinstance(inst_id, str) or inst_id not in face.contracts):
        raise unknown(arg)
    if channel in ACCOUNT[session.section]:
        if not session.is_logged_in:
            raise ApiError("60011", "Please log in")
        return "account"
    if channel not in MARKET[session.section] or (channel != LIQUIDATIONS and inst_id is None):
        raise unknown(arg)
    return "market"


def topic_of(arg: Json) -> tuple[str, str]:
    """Channel and instrument; forced orders are told of all instruments at once."""
    channel = str(arg.get("channel", ""))
    return channel, "" if channel == LIQUIDATIONS else str(arg.get("instId", ""))


def subscribe(face: OkxFace, session: Session, arg: Json) -> None:
    """Subscribe to one channel, and send its state at once where it has one; the first starts the market."""
    if check_arg(face, session, arg) == "account":
        _acknowledge(session, "subscribe", arg)
        _join_account(face, session, arg)
        return
    if face.player.finished:
        raise ApiError("60018", TAPE_ENDED.decode())
    _acknowledge(session, "subscribe", arg)
    channel, inst_id = topic_of(arg)
    if channel == BOOKS:
        face.hub.join_book(session.socket, inst_id)
    else:
        face.hub.subscribe(session.socket, (inst_id, channel), name_of(channel, inst_id))
        if channel in (*VIEWS, *CANDLES) and is_shown(face.exchange, inst_id, channel):
            session.socket.write(message(channel, inst_id, [view(face.exchange, face.hub, inst_id, channel)]))
    session.socket.flush()
    face.player.start()


def _acknowledge(session: Session, event: str, arg: Json) -> None:
    session.send({"event": event, "arg": arg, "connId": session.conn_id})


def _join_account(face: OkxFace, session: Session, arg: Json) -> None:
    session.args[msgspec.json.encode(arg).decode()] = arg
    face.hub.users.add(session.socket)
    data = account_state(face, arg)
    if data is not None:
        session.send({"arg": arg, "data": data})


def account_state(face: OkxFace, arg: Json) -> list[Json] | None:
    """What an account channel shows first; None for those that tell changes only."""
    inst_id = arg.get("instId")
    contracts = [face.contract(inst_id)] if inst_id is not None else list(face.contracts.values())
    if arg["channel"] == "account":
        return [rows.balance_row(face.exchange)]
    if arg["channel"] == "positions":
        return rows.position_rows(face.exchange, contracts)
    if arg["channel"] == "balance_and_position":
        return [face.summary(contracts, "snapshot")]
    return None


def unsubscribe(face: OkxFace, session: Session, arg: Json) -> None:
    """Stop a channel; stopping one that was never asked for is no error."""
    channel, inst_id = topic_of(arg)
    session.args.pop(msgspec.json.encode(arg).decode(), None)
    if channel == BOOKS and inst_id in face.contracts:
        face.hub.leave_book(session.socket, inst_id)
    face.hub.unsubscribe(session.socket, name_of(channel, inst_id))
    _acknowledge(session, "unsubscribe", arg)


def login(face: OkxFace, session: Session, arg: Json) -> None:
    """Open the account's channels to this connection."""
    try:
        given = msgspec.convert(arg, Login, strict=False)
    except msgspec.ValidationError:
        raise ApiError("60009", "Login failed.") from None
    check_login(face.credentials, given, face.player.wall_ns() / 1e9)
    session.is_logged_in = True
    session.send({"event": "login", "code": "0", "msg": "", "connId": session.conn_id})


OPS: Final = {"subscribe": subscribe, "unsubscribe": unsubscribe, "login": login}


async def trade(face: OkxFace, session: Session, command: Command) -> Json:
    """Carry out an order operation; the answer carries the request's id."""
    now = str(time.time_ns() // 1_000)
    head = {"id": command.id, "op": command.op, "inTime": now, "outTime": now}
    if not session.is_logged_in or session.section != "private":
        return head | {"code": "60011", "msg": "Please log in", "data": []}
    path = f"/api/v5/trade/{TRADE_OPS[command.op]}"
    exp_ms = int(command.expTime) if command.expTime.isdecimal() else 0
    try:
        result = await carry_out(face, path, ROUTES["POST", path], Call(dict(*command.args[:1]), command.args, exp_ms))
    except ApiError as error:
        return head | {"code": error.code, "msg": error.message, "data": []}
    return head | result | {"outTime": str(time.time_ns() // 1_000)}


async def respond(face: OkxFace, session: Session, limits: Limits, text: str) -> None:
    """Carry out one client message and answer it."""
    if text == "ping":
        session.socket.write(b"pong")
        session.socket.flush()
        return
    try:
        command = msgspec.json.decode(text, type=Command)
    except msgspec.MsgspecError:
        _refuse(session, ApiError("60012", f"Invalid request: {text[:200]}"))
        return
    if command.op in TRADE_OPS:
        session.send(await trade(face, session, command))
        return
    act = OPS.get(command.op)
    try:
        if act is None or not command.args:
            raise ApiError("60012", f"Invalid request: {text[:200]}")
        limits.spend("requests", "", REQUESTS_PER_HOUR, 1, time.monotonic(), 3_600.0)
    except ApiError as error:
        _refuse(session, error if error.code != "50011" else ApiError("60014", "Requests too frequent"))
        return
    for arg in command.args:
        try:
            act(face, session, arg)
        except ApiError as error:
            _refuse(session, error)


def _refuse(session: Session, error: ApiError) -> None:
    session.send({"event": "error", "code": error.code, "msg": error.message, "connId": session.conn_id})


async def open_session(request: web.Request) -> Session:
    """Accept the connection. No compression, since frames are written by hand."""
    ws = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
    await ws.prepare(request)
    transport = request.transport
    if not isinstance(transport, asyncio.Transport):
        raise ConnectionResetError("the client left during the handshake")
    return Session(Socket(ws, transport, False), request.match_info["section"], secrets.token_hex(4))


def handler(face: OkxFace) -> Any:
    """The aiohttp handler of every WebSocket path."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.match_info["section"] not in MARKET:
            return web.json_response({"code": "50404", "msg": "The requested path does not exist."}, status=404)
        session, limits = await open_session(request), Limits()
        face.sessions[session.conn_id] = session
        try:
            async for item in session.socket.ws:
                if item.type is WSMsgType.TEXT:
                    await respond(face, session, limits, item.data)
        finally:
            del face.sessions[session.conn_id]
            face.hub.forget(session.socket)
        return session.socket.ws

    return handle
