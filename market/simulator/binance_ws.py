"""Binance USD-M's WebSocket paths: ``/public``, ``/market``, ``/private`` as split in 2026, and the undivided ones."""

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from market.simulator.binance_face import BinanceFace
from market.simulator.hub import Socket
from market.simulator.player import TAPE_ENDED
from market.simulator.wire import ALL, PARTIAL, topic_of

PING_S: Final = 180.0
MAX_STREAMS: Final = 1_024
PUBLIC: Final = {"depth", "bookTicker", "trade", *PARTIAL}
MARKET_TOO: Final = {"trade"}


class Command(msgspec.Struct):
    """What clients send on a market socket."""

    method: str
    params: list[Any] = []
    id: int | str | None = None


class InvalidStream(Exception):
    """A stream name that this path does not serve."""


def check_stream(face: BinanceFace, section: str, name: str) -> tuple[str, str]:
    """Topic of a stream name, if the path serves it and the symbol exists."""
    topic = topic_of(name)
    if topic is None or (topic[0] not in face.exchange.markets and topic[0] != ALL):
        raise InvalidStream(f"invalid stream {name}")
    where = "public" if topic[1] in PUBLIC else "market"
    if section not in ("", where) and topic[1] not in MARKET_TOO:
        raise InvalidStream(f"stream {name} is served on /{where}")
    return topic


def subscribe(face: BinanceFace, socket: Socket, section: str, names: list[str]) -> None:
    """Subscribe to all names or none; the first subscription lets the market run."""
    topics = [(check_stream(face, section, name), name) for name in names]
    if len(socket.names | set(names)) > MAX_STREAMS:
        raise InvalidStream(f"more than {MAX_STREAMS} streams on one connection")
    for topic, name in topics:
        face.hub.subscribe(socket, topic, name)
    if topics:
        face.player.start()


def respond(face: BinanceFace, socket: Socket, section: str, text: str) -> dict[str, Any]:
    """Carry out one client command; the answer to it."""
    command = Command(method="")
    try:
        command = msgspec.json.decode(text, type=Command)
        names = [str(name) for name in command.params]
        result: Any = None
        if command.method == "SUBSCRIBE":
            subscribe(face, socket, section, names)
        elif command.method == "UNSUBSCRIBE":
            for name in names:
                face.hub.unsubscribe(socket, name)
        elif command.method == "LIST_SUBSCRIPTIONS":
            result = sorted(socket.names)
        else:
            raise InvalidStream(f"unknown method {command.method}")
    except (msgspec.MsgspecError, InvalidStream) as error:
        return {"error": {"code": 2, "msg": f"Invalid request: {error}"}, "id": command.id}
    return {"result": result, "id": command.id}


def streams_of(request: web.Request) -> list[str]:
    """Stream names in the address: ``?streams=a/b`` or ``/ws/a``. A bare number is only a connection's label (ccxt)."""
    listed = request.query.get("streams", "")
    tail = request.match_info.get("tail", "")
    return [name for name in [*listed.split("/"), *tail.split("/")] if "@" in name or "!" in name]


async def open_socket(request: web.Request, is_wrapped: bool, label: str = "") -> Socket:
    """Accept the connection. No compression, since frames are written by hand."""
    ws = web.WebSocketResponse(heartbeat=PING_S, compress=False, max_msg_size=1 << 20)
    await ws.prepare(request)
    transport = request.transport
    if not isinstance(transport, asyncio.Transport):
        raise ConnectionResetError("the client left during the handshake")
    return Socket(ws, transport, is_wrapped, label)


async def serve_market(face: BinanceFace, request: web.Request, section: str, is_wrapped: bool) -> web.StreamResponse:
    """One market connection until it closes."""
    names = streams_of(request)
    try:
        for name in names:
            check_stream(face, section, name)
    except InvalidStream as error:
        return web.json_response({"code": 2, "msg": f"Invalid request: {error}"}, status=400)
    socket = await open_socket(request, is_wrapped)
    if face.player.finished:
        await socket.ws.close(code=1000, message=TAPE_ENDED)
        return socket.ws
    try:
        subscribe(face, socket, section, names)
        async for message in socket.ws:
            if message.type is WSMsgType.TEXT:
                socket.write(msgspec.json.encode(respond(face, socket, section, message.data)))
                socket.flush()
    finally:
        face.hub.forget(socket)
    return socket.ws


async def serve_user(face: BinanceFace, request: web.Request, listen_key: str, is_wrapped: bool) -> web.StreamResponse:
    """One user-data connection until it closes."""
    if not listen_key or listen_key != face.listen_key:
        return web.json_response({"code": -1125, "msg": "This listenKey does not exist."}, status=400)
    socket = await open_socket(request, is_wrapped, listen_key)
    face.hub.users.add(socket)
    try:
        async for _ in socket.ws:
            pass
    finally:
        face.hub.forget(socket)
    return socket.ws


def handler(face: BinanceFace) -> Any:
    """The aiohttp handler of every WebSocket path."""

    async def handle(request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        section = parts.pop(0) if parts[0] in ("public", "market", "private") else ""
        is_wrapped, tail = parts[0] == "stream", parts[1] if len(parts) > 1 else ""
        listen_key = request.query.get("listenKey") or request.query.get("streams", "") or tail
        if section == "private" or (face.listen_key is not None and listen_key == face.listen_key):
            return await serve_user(face, request, listen_key, is_wrapped)
        return await serve_market(face, request, section, is_wrapped)

    return handle


PATHS: Final = [
    f"{section}/{kind}{tail}"
    for section in ("", "/public", "/market", "/private")
    for kind in ("ws", "stream")
    for tail in ("", "/", "/{tail:.+}")
]
