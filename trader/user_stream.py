"""The private socket: kept alive, logged in, read by the venue's own rules, and replaced when the venue ends it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from market.errors import CryptoScalpError, FrameError
from trader.venues.common import Received, UserStream

PING_S: Final = 15.0
SILENT_S: Final = 40.0
_FIRST_DELAY_S: Final = 0.1
_LAST_DELAY_S: Final = 10.0


class StreamListener(msgspec.Struct, frozen=True):
    """``receive`` gets each frame's meaning, ``unreadable`` what could not be read; ``up`` when events are complete,
    ``down`` why they no longer are."""

    now_ns: Callable[[], int]
    receive: Callable[[Received], None]
    unreadable: Callable[[str], None]
    up: Callable[[], None]
    down: Callable[[str], None]


class _Socket(WSListener):  # type: ignore[misc]
    def __init__(self, stream: UserStream, listener: StreamListener) -> None:
        self._stream = stream
        self._listener = listener
        self.heard_s = asyncio.get_running_loop().time()
        self.reason = ""
        self.closed = asyncio.Event()

    def on_ws_connected(self, transport: WSTransport) -> None:
        hello = self._stream.hello()
        for message in hello:
            transport.send(WSMsgType.TEXT, message)
        if not hello:
            self._listener.up()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.heard_s = asyncio.get_running_loop().time()
        if frame.msg_type == WSMsgType.TEXT:
            self._on_text(transport, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            self._end(transport, f"closed by the venue: {frame.get_close_message()!r}")

    def _on_text(self, transport: WSTransport, raw: bytes) -> None:
        try:
            received = self._stream.receive(raw, self._listener.now_ns())
        except FrameError as error:
            self._listener.unreadable(str(error))
            return
        self._listener.receive(received)
        for message in received.send:
            transport.send(WSMsgType.TEXT, message)
        if received.ready:
            self._listener.up()
        if received.lost:
            self._end(transport, received.lost)

    def _end(self, transport: WSTransport, reason: str) -> None:
        self.reason = reason
        transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed.set()


async def run_user_stream(
    open_stream: Callable[[], Awaitable[UserStream]], listener: StreamListener, jitter: Callable[[], float]
) -> None:
    """Keep one private stream alive until cancelled; every connection gets a new stream (listen key, login)."""
    delay_s = _FIRST_DELAY_S
    while True:
        began_s = asyncio.get_running_loop().time()
        try:
            reason = await _serve(await open_stream(), listener)
        except (OSError, WSError, TimeoutError, CryptoScalpError) as error:
            reason = f"{type(error).__name__}: {error}"
        if asyncio.get_running_loop().time() - began_s > SILENT_S:
            delay_s = _FIRST_DELAY_S
        listener.down(reason)
        await asyncio.sleep(delay_s * (1 + jitter()))
        delay_s = min(delay_s * 2, _LAST_DELAY_S)


async def _serve(stream: UserStream, listener: StreamListener) -> str:
    """One connection until it ends; why it did. Streams that want pings must answer them."""
    transport, socket = await ws_connect(
        lambda: _Socket(stream, listener),
        stream.url,
        enable_auto_ping=True,
        auto_ping_idle_timeout=10,
        auto_ping_reply_timeout=10,
    )
    loop = asyncio.get_running_loop()
    while not socket.closed.is_set():
        try:
            await asyncio.wait_for(socket.closed.wait(), PING_S)
        except TimeoutError:
            if stream.ping and loop.time() - socket.heard_s > SILENT_S:
                transport.disconnect()
                return "the venue no longer answers our pings"
            if stream.ping:
                transport.send(WSMsgType.TEXT, stream.ping)
    return str(socket.reason)
