"""One WebSocket connection: subscribes when open, keeps itself alive, hands text on, and remembers why it ended."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from trader.feeds.plans import PROTOCOLS, SocketPlan

HANDSHAKE_S: Final = 5.0
_PONG: Final = b"pong"
Deliver = Callable[[bytes], None]


class ConnectLimiter:
    """At most ``count`` connections begun in any ``window_s``; one for all sockets of a process to one venue."""

    def __init__(self, count: int, window_s: float) -> None:
        self._count, self._window_s = count, window_s
        self._begun: deque[float] = deque()
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Return when a connection may begin; callers are served in order."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            while self._begun and self._begun[0] <= loop.time() - self._window_s:
                self._begun.popleft()
            if len(self._begun) >= self._count:
                await asyncio.sleep(self._begun.popleft() + self._window_s - loop.time())
            self._begun.append(loop.time())


class Connection(WSListener):  # type: ignore[misc]
    """A socket of ``plan``. ``deliver`` gets every text message and may be replaced while it runs.

    ``opened`` is called before the first message can arrive. ``reason`` says why it closed ("" when the network broke).
    ``ping_s`` None is the venue's own pace.
    """

    def __init__(
        self,
        plan: SocketPlan,
        deliver: Deliver,
        opened: Callable[[], None] = lambda: None,
        ping_s: float | None = None,
    ) -> None:
        self.plan = plan
        self._ping_s = PROTOCOLS[plan.venue].ping_s if ping_s is None else ping_s
        self.deliver = deliver
        self.reason = ""
        self.closed = asyncio.Event()
        self._opened = opened
        self._heard = True
        self._transport: WSTransport | None = None
        self._pinging: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect and subscribe.

        Raises
        ------
        OSError, WSError, TimeoutError
            Nobody answers, or not as a WebSocket.
        """
        protocol = PROTOCOLS[self.plan.venue]
        uses_frames = not protocol.ping
        connecting = ws_connect(
            lambda: self,
            self.plan.url,
            websocket_handshake_timeout=HANDSHAKE_S,
            enable_auto_ping=uses_frames,
            auto_ping_idle_timeout=self._ping_s,
            auto_ping_reply_timeout=self._ping_s,
        )
        await asyncio.wait_for(connecting, 2 * HANDSHAKE_S)
        if not uses_frames:
            self._pinging = asyncio.get_running_loop().create_task(self._ping(protocol.ping, self._ping_s))

    def send(self, messages: list[bytes]) -> None:
        """Write text messages, in order; nothing happens on a closed socket."""
        if self._transport is not None and not self.closed.is_set():
            for message in messages:
                self._transport.send(WSMsgType.TEXT, message)

    def close(self) -> None:
        """Leave; what the venue has sent already may still arrive."""
        if self._transport is not None:
            self._transport.send_close()
            self._transport.disconnect()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._opened()
        self.send(self.plan.subscribe)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._heard = True
        if frame.msg_type == WSMsgType.TEXT:
            raw = frame.get_payload_as_bytes()
            if raw != _PONG:
                self.deliver(raw)
        elif frame.msg_type == WSMsgType.CLOSE:
            message = frame.get_close_message()
            self.reason = message.decode() if isinstance(message, bytes) else (message or "")
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed.set()
        if self._pinging is not None:
            self._pinging.cancel()

    async def _ping(self, ping: bytes, every_s: float) -> None:
        """Ask for a sign of life; two intervals without any message mean that the line is dead."""
        silent = 0
        while True:
            await asyncio.sleep(every_s)
            silent = 0 if self._heard else silent + 1
            self._heard = False
            if silent >= 2 and self._transport is not None:
                self.reason = f"nothing received for {2 * every_s:g} s"
                self._transport.disconnect(graceful=False)
                return
            self.send([ping])


FAILURES: Final = (OSError, WSError, TimeoutError)
