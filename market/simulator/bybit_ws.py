"""Bybit v5's WebSocket doors: ``/v5/public/linear``, ``/v5/private``, and orders over ``/v5/trade``."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
from aiohttp import WSMsgType, web

from market.simulator import bybit_orders
from market.simulator.bybit_auth import BybitError, check_socket, check_time
from market.simulator.bybit_hub import PRIVATE
from market.simulator.bybit_rest import call, envelope
from market.simulator.bybit_topics import INTERVALS
from market.simulator.hub import Socket, Topic
from market.simulator.player import TAPE_ENDED

if TYPE_CHECKING:
    from market.simulator.bybit_face import BybitFace

DEPTHS: Final = ("1", "50", "200", "1000")
CHANNELS: Final = {
    *(f"orderbook.{depth}" for depth in DEPTHS),
    *(f"kline.{interval}" for interval in INTERVALS),
    "publicTrade",
    "tickers",
    "allLiquidation",
}
ORDER_CALLS: Final = {
    f"order.{name}": ("POST", f"/v5/order/{name}")
    for name in ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")
}


class Command(msgspec.Struct):
    """What clients send."""

    op: str = ""
    args: list[Any] = []
    req_id: int | str = ""
    reqId: str = ""
    header: dict[str, Any] = {}


def topic_of(face: "BybitFace", name: str) -> Topic:
    """(symbol, channel) of a topic's name."""
    channel, _, symbol = name.rpartition(".")
    if channel not in CHANNELS or symbol not in face.exchange.markets:
        raise BybitError(10001, f"error:handler not found,topic:{name}")
    return symbol, channel


class Connection:
    """One client. ``kind`` is the door it came through: public, private or trade."""

    def __init__(self, face: "BybitFace", socket: Socket, kind: str) -> None:
        self.face, self.socket, self.kind = face, socket, kind
        self.conn_id = uuid4().hex[:20]
        self.is_known = False
        self._running: set[asyncio.Task[None]] = set()

    def say(self, message: dict[str, Any]) -> None:
        self.socket.write(msgspec.json.encode(message))
        self.socket.flush()

    def hear(self, text: str) -> None:
        """Carry out one command."""
        try:
            command = msgspec.json.decode(text, type=Command)
        except msgspec.MsgspecError:
            self._answer(Command(), BybitError(10001, "Params Error"))
            return
        if command.op in ORDER_CALLS and self.kind == "trade":
            task = asyncio.get_running_loop().create_task(self._order(command))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return
        self._plain(command)

    def _plain(self, command: Command) -> None:
        try:
            handle = {"ping": self._ping, "auth": self._auth, "subscribe": self._join, "unsubscribe": self._leave}
            if command.op not in handle:
                raise BybitError(10001, f"error:unknown op {command.op}")
            handle[command.op](command)
        except BybitError as error:
            self._answer(command, error)

    def _answer(self, command: Command, error: BybitError | None = None, message: str = "") -> None:
        """The trade door answers with a code, the others with a verdict."""
        if self.kind == "trade":
            code, words = (0, "OK") if error is None else (error.code, error.message)
            self.say({"retCode": code, "retMsg": words, "op": command.op, "connId": self.conn_id})
            return
        words = message if error is None else error.message
        verdict = {"success": error is None, "ret_msg": words, "conn_id": self.conn_id}
        self.say({**verdict, "req_id": str(command.req_id), "op": command.op})

    def _ping(self, command: Command) -> None:
        stamp = [str(self.face.wall_ms())]
        if self.kind == "public":
            self._answer(command, message="pong")
        elif self.kind == "private":
            self.say({"req_id": str(command.req_id), "op": "pong", "args": stamp, "conn_id": self.conn_id})
        else:
            self.say({"retCode": 0, "retMsg": "OK", "op": "pong", "data": stamp, "connId": self.conn_id})

    def _auth(self, command: Command) -> None:
        if self.kind == "public":
            raise BybitError(10001, "error:handler not found,auth")
        check_socket(self.face.credentials, command.args, self.face.wall_ms())
        self.is_known = True
        self._answer(command)

    # -- topics -------------------------------------------------------------------------------------------------------

    def _join(self, command: Command) -> None:
        names = [str(name) for name in command.args]
        if self.kind == "public":
            self._join_public(command, [(topic_of(self.face, name), name) for name in names])
        else:
            self._check_private(names)
            self.socket.names.update(names)
            self._answer(command)

    def _join_public(self, command: Command, wanted: list[tuple[Topic, str]]) -> None:
        self._answer(command, message="subscribe")
        for topic, name in wanted:
            if name not in self.socket.names:
                self.face.hub.subscribe(self.socket, topic, name)
                self.face.stream.greet(self.socket, topic)
        self.socket.flush()
        if wanted:
            self.face.player.start()

    def _check_private(self, names: list[str]) -> None:
        if not self.is_known:
            raise BybitError(10019, "Request not authorized")
        unknown = [name for name in names if name.removesuffix(".linear") not in PRIVATE]
        if unknown or self.kind != "private":
            raise BybitError(10001, f"error:handler not found,topic:{','.join(unknown)}")

    def _leave(self, command: Command) -> None:
        for name in (str(name) for name in command.args):
            if self.kind == "public":
                self.face.hub.unsubscribe(self.socket, name)
            else:
                self.socket.names.discard(name)
        self._answer(command)

    # -- orders -------------------------------------------------------------------------------------------------------

    async def _order(self, command: Command) -> None:
        try:
            result, headers = await self._carry_out(command)
            content = envelope(self.face, result)
        except BybitError as error:
            content, headers = envelope(self.face, {}, error.code, error.message), error.headers
        self.say(
            {
                "reqId": command.reqId,
                "retCode": content["retCode"],
                "retMsg": content["retMsg"],
                "op": command.op,
                "data": content["result"],
                "retExtInfo": content["retExtInfo"],
                "header": {"Timenow": str(self.face.wall_ms()), **headers},
                "connId": self.conn_id,
            }
        )

    async def _carry_out(self, command: Command) -> tuple[Any, dict[str, str]]:
        if not self.is_known:
            raise BybitError(10019, "Request not authorized")
        stamp, window = (str(command.header.get(f"X-BAPI-{name}", "")) for name in ("TIMESTAMP", "RECV-WINDOW"))
        check_time(stamp, window, self.face.wall_ms())
        params = command.args[0] if command.args and isinstance(command.args[0], dict) else None
        if params is None:
            raise BybitError(10001, "Params Error")
        key = ORDER_CALLS[command.op]
        route = bybit_orders.ROUTES[key]
        entries = params.get("request")
        uses = len(entries) if isinstance(entries, list) and entries else 1
        headers = self.face.limits.spend(key[1], route.limit, uses, time.time())
        return await call(self.face, route, params), headers


async def open_socket(request: web.Request) -> Socket:
    """Accept the connection. No compression, since frames are written by hand."""
    ws = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
    await ws.prepare(request)
    if not isinstance(request.transport, asyncio.Transport):
        raise ConnectionResetError("the client left during the handshake")
    return Socket(ws, request.transport, is_wrapped=False)


def handler(face: "BybitFace", kind: str) -> Any:
    """The aiohttp handler of one door."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if not face.limits.connect(time.monotonic()):
            raise web.HTTPForbidden
        socket = await open_socket(request)
        if kind == "public" and face.player.finished:
            await socket.ws.close(code=1000, message=TAPE_ENDED)
            return socket.ws
        if kind != "public":
            face.hub.users.add(socket)
        connection = Connection(face, socket, kind)
        try:
            async for message in socket.ws:
                if message.type is WSMsgType.TEXT:
                    connection.hear(message.data)
        finally:
            face.hub.forget(socket)
        return socket.ws

    return handle


def routes(face: "BybitFace") -> list[web.RouteDef]:
    """The three doors."""
    doors = {"/v5/public/linear": "public", "/v5/private": "private", "/v5/trade": "trade"}
    return [web.get(path, handler(face, kind)) for path, kind in doors.items()]
